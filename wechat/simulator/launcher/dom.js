// Shows the tree of wxml.js in the page. What is there already is changed in place, so that focus and pictures stay.

// patch makes parent's children show the nodes; emit(handler, event) is called for what the person does.
export function patch(parent, nodes, emit) {
  nodes.forEach((node, i) => {
    const old = parent.childNodes[i];
    const fresh = typeof node === 'string' ? patchText(old, node) : patchElement(old, node, emit);
    if (!old) {
      parent.append(fresh);
    } else if (old !== fresh) {
      old.replaceWith(fresh);
    }
  });
  while (parent.childNodes.length > nodes.length) {
    parent.lastChild.remove();
  }
}

function patchText(old, text) {
  if (old?.nodeType !== Node.TEXT_NODE) {
    return document.createTextNode(text);
  }
  if (old.data !== text) {
    old.data = text;
  }
  return old;
}

const ELEMENTS = { image: 'img' }; // the others keep their names

function patchElement(old, node, emit) {
  const name = ELEMENTS[node.tag] ?? node.tag;
  const element = old?.localName === name ? old : document.createElement(name);
  setAttributes(element, node);
  listen(element, node, emit);
  patch(element, node.children, emit);
  return element;
}

// Attributes that go to the page as they are; there is no way for a program to set any other.
const PLAIN = /^(id|class|hidden|disabled|type|size|plain|mode|user-select|selectable|role|aria-[a-z]+|data-[\w-]+)$/;

function setAttributes(element, node) {
  const wanted = new Map();
  for (const [name, value] of Object.entries(node.attributes)) {
    const isPlain = PLAIN.test(name) || (name === 'src' && node.tag === 'image');
    if (isPlain && value !== false && value !== undefined && value !== null) {
      wanted.set(name, value === true ? '' : String(value));
    }
  }
  if (node.tag === 'image') {
    wanted.set('alt', node.attributes['aria-label'] ?? '');
  }
  for (const { name } of [...element.attributes]) {
    if (!wanted.has(name) && name !== 'style') {
      element.removeAttribute(name);
    }
  }
  for (const [name, value] of wanted) {
    if (element.getAttribute(name) !== value) {
      element.setAttribute(name, value);
    }
  }
  const fit = { aspectFill: 'object-fit:cover;', aspectFit: 'object-fit:contain;' };
  const style = (node.tag === 'image' ? fit[node.attributes.mode] ?? '' : '') + (node.attributes.style ?? '');
  if (style !== '' || element.style.length > 0) {
    element.style.cssText = style; // an attribute would be refused by the page's policy
  }
}

// WeChat's events and the browser's. bind lets an event go on to the parents, catch does not.
const EVENTS = { tap: 'click', load: 'load', error: 'error' };
const BINDING = /^(bind|catch):?(\w+)$/;

const bindings = new WeakMap(); // element → {browser event: {handler, stops, type, node}}

function listen(element, node, emit) {
  let known = bindings.get(element);
  if (!known) {
    known = {};
    bindings.set(element, known);
  }
  const wanted = {};
  for (const [name, handler] of Object.entries(node.attributes)) {
    const [, kind, type] = BINDING.exec(name) ?? [];
    if (kind && EVENTS[type]) {
      wanted[EVENTS[type]] = { handler, stops: kind === 'catch', type };
    }
  }
  for (const browserEvent of Object.keys(wanted)) {
    if (!(browserEvent in known)) {
      element.addEventListener(browserEvent, (event) => dispatch(element, event, known[browserEvent]));
    }
  }
  for (const browserEvent of Object.keys(known)) {
    known[browserEvent] = undefined;
  }
  for (const [browserEvent, binding] of Object.entries(wanted)) {
    known[browserEvent] = { ...binding, node, emit };
  }
}

function dispatch(element, event, binding) {
  if (!binding) {
    return;
  }
  if (binding.stops) {
    event.stopPropagation();
  }
  const target = { id: element.id, dataset: datasetOf(binding.node) };
  binding.emit(binding.handler, {
    type: binding.type,
    timeStamp: event.timeStamp,
    target,
    currentTarget: target,
    detail: {},
  });
}

// datasetOf keeps the types of data-… attributes, as WeChat does.
function datasetOf(node) {
  const dataset = {};
  for (const [name, value] of Object.entries(node.attributes)) {
    if (name.startsWith('data-')) {
      dataset[name.slice(5).replace(/-(\w)/g, (_, letter) => letter.toUpperCase())] = value;
    }
  }
  return dataset;
}
