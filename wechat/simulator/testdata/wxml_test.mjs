// Trees that the launcher's reader of WXML makes. Run by TestWXML.
import assert from 'node:assert/strict';
import { compileText, parse, render } from './wxml.mjs';

const tree = (source, data = {}) => render(parse(source), data);
const view = (attributes, ...children) => ({ tag: 'view', attributes, children });

// Elements, text and attributes.
assert.deepEqual(tree('<view class="a {{b}}" hidden>x {{n}}<text/></view>', { b: 'c', n: 3 }), [
  view({ class: 'a c', hidden: true }, 'x 3', { tag: 'text', attributes: {}, children: [] }),
]);
assert.deepEqual(tree("<view a='\"' b = \"'\" wx:key=\"id\">\n</view>"), [view({ a: '"', b: "'" })]);
assert.deepEqual(tree('<!-- <view> --><view/><!-- open'), [view({})]);
assert.deepEqual(tree('{{a < b ? "less" : "more"}}', { a: 1, b: 2 }), ['less']);
assert.deepEqual(tree('<view data-o="{{o}}"/>', { o: { k: 1 } }), [view({ 'data-o': { k: 1 } })]);
assert.deepEqual(tree('{{x}}', { x: '<img onerror=1>' }), ['<img onerror=1>']);

// Conditions: one branch of a chain, and each chain for itself.
const chain = '<view wx:if="{{n===1}}">1</view>\n<view wx:elif="{{n===2}}">2</view>\n<view wx:else>3</view>';
for (const n of [1, 2, 3]) {
  assert.deepEqual(tree(chain, { n }), [view({}, String(n))]);
}
assert.deepEqual(tree('<block wx:if="{{a}}"><view/><view/></block><block wx:else>no</block>', { a: 1 }), [view({}), view({})]);
assert.deepEqual(tree('<view wx:if="{{a}}">a</view><view>always</view><view wx:if="{{b}}">b</view>', { b: 1 }), [
  view({}, 'always'),
  view({}, 'b'),
]);

// Lists.
assert.deepEqual(tree('<view wx:for="{{l}}" wx:key="*this">{{index}}:{{item.n}}</view>', { l: [{ n: 'a' }, { n: 'b' }] }), [
  view({}, '0:a'),
  view({}, '1:b'),
]);
assert.deepEqual(tree('<block wx:for="{{l}}" wx:for-item="x" wx:for-index="i"><view wx:if="{{x}}">{{i + 1}}{{out}}</view></block>', { l: [0, 5], out: '!' }), [
  view({}, '2!'),
]);
assert.deepEqual(tree('<view wx:for="{{l}}" wx:if="{{item > 1}}">{{item}}</view>', { l: [1, 2] }), [view({}, '2')]);
assert.deepEqual(tree('<view wx:for="{{missing}}"/>'), []);

// Expressions.
const data = { a: { b: [{ c: 'deep' }] }, key: 'b', yes: true, no: false, n: 4, s: 'x', list: [1, 2] };
for (const [source, want] of [
  ['{{a.b[0].c}}', 'deep'],
  ['{{a[key][0]["c"]}}', 'deep'],
  ['{{a.none.of.this}}', undefined],
  ['{{nothing[0]}}', undefined],
  ['{{list.length}}', 2],
  ['{{s.length}}', 1],
  ['{{!no && !yes}}', false],
  ['{{no || s}}', 'x'],
  ['{{yes ? no ? 1 : 2 : 3}}', 2],
  ['{{n - 1 - 1 === 2}}', true],
  ['{{-n + 10}}', 6],
  ['{{"a" + n}}', 'a4'],
  ['{{1 + 2 > 2 == true}}', true],
  ['{{(yes || no) && no}}', false],
  ['{{null}}', null],
  ['{{ 1.5 }}', 1.5],
  ['plain', 'plain'],
  ['{{s}}-{{nothing}}-{{n}}', 'x--4'],
  // Only the data's own properties are there.
  ['{{constructor}}', undefined],
  ['{{a.constructor}}', undefined],
  ['{{a.__proto__}}', undefined],
  ['{{list.map}}', undefined],
]) {
  assert.deepEqual(compileText(source)(data), want, source);
}

// What is not understood is an error, never something else.
for (const source of [
  '<view>', '</view>', '<view></text>', '<view a=b/>', '<view', '<map/>', '<script>1</script>', '<template name="x"/>',
  '{{f(1)}}', '{{a = 1}}', '{{a.}}', '{{[1]}}', '{{1 +}}', '{{a b}}', '{{}}', '{{`x`}}', '{{a ? b}}', '{{(a}}', '{{{a: 1}}}',
]) {
  assert.throws(() => tree(source, data), Error, source);
}

console.log('all trees as expected');
