const counter = require('../../lib/counter');
const again = require('/lib/counter.js');
const config = require('../../config.js');

const results = [];

// check notes one result; a row is a name, what came out, and what should have.
function check(name, got, want) {
  const [a, b] = [JSON.stringify(got), JSON.stringify(want)];
  results.push(a === b ? 'ok ' + name : `${name}: ${a}, want ${b}`);
}

const called = (call, options) =>
  new Promise((resolve) => {
    call({
      ...options,
      success: (result) => resolve({ success: result }),
      fail: (failure) => resolve({ fail: failure.errMsg }),
    });
  });

const initial = { deep: { list: [{ name: 'a' }, { name: 'b' }] } };

Page({
  data: { results: [], done: false, height: 10, taps: '', answer: '', ...initial },
  order: [],

  onLoad() {
    this.order.push('load');
  },
  onShow() {
    this.order.push('show');
  },
  async onReady() {
    check('order', this.order, ['load', 'show']);
    check('app', getApp().launched, ['launch pages/main/main', 'show']);
    check('pages', getCurrentPages().length === 1 && getCurrentPages()[0] === this, true);
    check('route', this.route, 'pages/main/main');
    check('a module runs once', [counter.runs, again === counter], [1, true]);
    check('modules may require each other', counter.loop(), 'loop');
    check('config', [config.bridge.startsWith('http://127.0.0.1:'), config.kept], [true, true]);
    check('a module that is missing', thrownBy(() => require('./missing')), "module 'pages/main/missing.js' is not defined");
    check('no browser', [typeof window, typeof document, typeof localStorage, typeof fetch], ['undefined', 'undefined', 'undefined', 'undefined']);
    this.checkData();
    this.checkStorage();
    await this.checkAsync();
    await this.checkRequests();
    this.setData({ results, done: true });
  },

  checkData() {
    let told = false;
    this.setData({ 'deep.list[1].name': 'set', 'made.here[0]': 1 }, () => (told = true));
    check('setData', [this.data.deep.list[1].name, this.data.made, told], ['set', { here: [1] }, true]);
    check('data is a copy', initial.deep.list[1].name, 'b');
  },

  checkStorage() {
    check('nothing stored', wx.getStorageSync('a'), '');
    for (const value of ['text', '', 0, false, { n: [1, '二'] }, [null]]) {
      wx.setStorageSync('a', value);
      check('stored ' + JSON.stringify(value), wx.getStorageSync('a'), value);
    }
    check('keys', wx.getStorageInfoSync().keys, ['a']);
    wx.setStorageSync('b', 1);
    wx.removeStorageSync('a');
    check('removed', [wx.getStorageSync('a'), wx.getStorageSync('b')], ['', 1]);
    wx.clearStorageSync();
    check('cleared', wx.getStorageInfoSync().keys, []);
  },

  async checkAsync() {
    check('getStorage of nothing', await called(wx.getStorage, { key: 'x' }), { fail: 'getStorage:fail data not found' });
    await wx.setStorage({ key: 'x', data: 5 });
    check('a promise without callbacks', await wx.getStorage({ key: 'x' }), { errMsg: 'getStorage:ok', data: 5 });
    check('no session yet', await called(wx.checkSession), { fail: 'checkSession:fail session time out, need relogin' });
    const { code, errMsg } = await wx.login();
    check('login', [errMsg, /^[\w-]{32}$/.test(code)], ['login:ok', true]);
    check('a session now', await called(wx.checkSession), { success: { errMsg: 'checkSession:ok' } });
    check('language', wx.getAppBaseInfo().language, 'zh_CN');
    check('appid', /^wx[0-9a-f]{16}$/.test(wx.getAccountInfoSync().miniProgram.appId), true);
  },

  async checkRequests() {
    const request = (options) => called(wx.request, { ...options, url: options.url.startsWith('/') ? config.bridge + options.url : options.url });
    const found = await request({ url: '/x?a=1', data: { b: '&=二' } });
    check('query', [found.success.statusCode, found.success.data], [200, 'page of /x?a=1&b=%26%3D%E4%BA%8C']);
    check('a status is no failure', (await request({ url: '/me' })).success.statusCode, 401);
    check('another host', await request({ url: 'https://evil.example/' }), { fail: 'request:fail url not in domain list' });
    check('PATCH', await request({ url: '/me', method: 'PATCH' }), { fail: 'request:fail method is invalid' });
    check('timeout', await request({ url: '/slow', timeout: 30 }), { fail: 'request:fail timeout' });
    const aborted = new Promise((resolve) => {
      wx.request({ url: config.bridge + '/slow', fail: ({ errMsg }) => resolve(errMsg) }).abort();
    });
    check('abort', await aborted, 'request:fail abort');
  },

  tapInner(event) {
    this.note('inner', event);
  },
  tapOuter(event) {
    this.note('outer', event);
  },
  tapCaught(event) {
    this.note('caught', event);
  },
  note(name, event) {
    const taps = `${this.data.taps} ${name}:${JSON.stringify(event.currentTarget.dataset)}`;
    this.setData({ taps: taps.trim() });
  },
  async tapAsk() {
    const { confirm } = await wx.showModal({ title: 'sure?' });
    this.setData({ answer: confirm ? 'confirmed' : 'cancelled' });
  },
  toForm() {
    wx.navigateTo({ url: '/pages/form/form?a=1&b=%26' });
  },
  tapThrow() {
    throw new Error('thrown on purpose');
  },
});

function thrownBy(work) {
  try {
    work();
    return 'nothing';
  } catch (problem) {
    return problem.message;
  }
}
