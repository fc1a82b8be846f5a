// Runs the mini program's helper under Node with a stand-in for wx and the bridge. Usage: node helper_test.js HELPER SCENARIO
'use strict';

const assert = require('node:assert/strict');
const path = require('node:path');

const BRIDGE = 'https://login.example.com';
const API = 'https://api.example.com';

// world is a phone and a bridge: wx answers later, never at once, as on a phone. Tests change its fields to break it.
function newWorld() {
  const world = {
    storage: new Map(),
    calls: [], // every wx.request, as {url, method, token, data}
    codes: 0, // codes given by wx.login
    logins: 0, // logins that the bridge accepted
    good: new Set(), // tokens that the bridge accepts
    expiresIn: 7200,
    loginAnswer: null, // an answer instead of a token
    loginFails: '', // errMsg of wx.login
    networkFails: '', // errMsg of wx.request
    storageFull: false,
    answers: {}, // url → answer, for everything but the login
  };
  world.to = (url) => world.calls.filter((call) => call.url === url);

  global.wx = {
    login: (options) =>
      setImmediate(() => {
        world.codes++;
        return world.loginFails
          ? options.fail({ errMsg: world.loginFails })
          : options.success({ code: 'code-' + world.codes, errMsg: 'login:ok' });
      }),
    request: (options) => {
      const token = ((options.header || {}).Authorization || '').replace('Bearer ', '');
      world.calls.push({ url: options.url, method: options.method || 'GET', token, data: options.data });
      setImmediate(() => {
        if (world.networkFails) {
          return options.fail({ errMsg: world.networkFails });
        }
        return options.success(answer(options.url, token));
      });
      return { abort() {} };
    },
    getStorageSync: (key) => (world.storage.has(key) ? structuredClone(world.storage.get(key)) : ''),
    setStorageSync: (key, value) => {
      if (world.storageFull) {
        throw new Error('setStorageSync:fail exceed storage max size');
      }
      world.storage.set(key, structuredClone(value));
    },
    removeStorageSync: (key) => world.storage.delete(key),
  };

  function answer(url, token) {
    if (url === BRIDGE + '/miniprogram/login') {
      if (world.loginAnswer) {
        return world.loginAnswer;
      }
      world.logins++;
      const access_token = 'token-' + world.logins;
      world.good.add(access_token);
      const fan = { id: 'fan-1', nickname: '', avatar_url: '', registered: false };
      return { statusCode: 200, header: {}, data: { access_token, token_type: 'Bearer', expires_in: world.expiresIn, fan } };
    }
    if (world.answers[url]) {
      return world.answers[url];
    }
    return world.good.has(token)
      ? { statusCode: 200, header: {}, data: { id: 'fan-1', token } }
      : { statusCode: 401, header: {}, data: { error: 'invalid_token', error_description: 'over', request_id: 'r1' } };
  }
  return world;
}

const { createBridge, BridgeError } = require(path.resolve(process.argv[2]));
const start = (more) => createBridge({ bridge: BRIDGE, apis: [API], ...more });
const me = { url: '/me' };

const scenarios = {
  async fiftyAtOnce() {
    const world = newWorld();
    const bridge = start();
    const answers = await Promise.all(Array.from({ length: 50 }, () => bridge.request(me)));
    assert.equal(world.codes, 1, 'codes asked of WeChat');
    assert.equal(world.logins, 1, 'logins');
    assert.equal(answers.filter((a) => a.data.token === 'token-1').length, 50, 'answered requests');
  },

  async fiftyWithARefusedToken() {
    const world = newWorld();
    const bridge = start();
    await bridge.login();
    world.good.clear();
    const answers = await Promise.all(Array.from({ length: 50 }, () => bridge.request(me)));
    assert.equal(world.logins, 2, 'logins');
    assert.equal(world.to(BRIDGE + '/me').length, 100, 'requests, replays included');
    assert.ok(answers.every((a) => a.data.token === 'token-2'));
  },

  async replayOnce() {
    const world = newWorld();
    const bridge = start();
    await bridge.login();
    world.good.clear();
    const answer = await bridge.request({ url: API + '/orders', method: 'POST', data: { n: 1 }, header: { 'x-a': 'b' } });
    assert.equal(answer.data.token, 'token-2');
    assert.equal(world.logins, 2, 'logins');
    assert.deepEqual(world.to(API + '/orders'), [
      { url: API + '/orders', method: 'POST', token: 'token-1', data: { n: 1 } },
      { url: API + '/orders', method: 'POST', token: 'token-2', data: { n: 1 } },
    ]);
  },

  async secondRefusalIsAnError() {
    const world = newWorld();
    const bridge = start();
    await bridge.login();
    world.answers[API + '/x'] = { statusCode: 401, header: {}, data: { error: 'invalid_token', request_id: 'r9' } };
    await assert.rejects(bridge.request({ url: API + '/x' }), (e) => {
      assert.ok(e instanceof BridgeError);
      assert.deepEqual([e.code, e.statusCode, e.requestId], ['invalid_token', 401, 'r9']);
      return true;
    });
    assert.equal(world.to(API + '/x').length, 2, 'requests');
    assert.equal(world.logins, 2, 'logins');
  },

  async failedLoginRejectsAllAndTheNextWorks() {
    const world = newWorld();
    const bridge = start();
    world.loginAnswer = {
      statusCode: 503,
      header: {},
      data: { error: 'temporarily_unavailable', error_description: 'WeChat is busy.', request_id: 'r2' },
    };
    const results = await Promise.allSettled(Array.from({ length: 50 }, () => bridge.request(me)));
    assert.ok(results.every((r) => r.status === 'rejected' && r.reason.code === 'temporarily_unavailable'));
    assert.equal(results[0].reason.message, 'WeChat is busy.');
    assert.equal(world.codes, 1, 'codes asked of WeChat');
    assert.equal(world.to(BRIDGE + '/me').length, 0, 'requests without a token');
    world.loginAnswer = null;
    assert.equal((await bridge.request(me)).data.token, 'token-1');
  },

  async everyFailureIsABridgeError() {
    const rejectsWith = async (code, change) => {
      const world = newWorld();
      change(world);
      await assert.rejects(start().request(me), (e) => e instanceof BridgeError && e.code === code && e.message !== '', code);
    };
    await rejectsWith('wx_login', (w) => (w.loginFails = 'login:fail'));
    await rejectsWith('network', (w) => (w.networkFails = 'request:fail timeout'));
    await rejectsWith('bad_answer', (w) => (w.loginAnswer = { statusCode: 200, data: '<html>a portal</html>' }));
    await rejectsWith('bad_answer', (w) => (w.loginAnswer = { statusCode: 200, data: { access_token: 't', expires_in: 'soon' } }));
    await rejectsWith('http_502', (w) => (w.loginAnswer = { statusCode: 502, data: '<html>Bad Gateway</html>' }));
    await rejectsWith('http_500', (w) => (w.answers[BRIDGE + '/me'] = { statusCode: 500, data: '' }));
  },

  async storageSurvivesARestart() {
    const world = newWorld();
    await start().login();
    const again = start();
    assert.equal(again.isLoggedIn(), true);
    assert.equal(again.fan().id, 'fan-1');
    assert.equal((await again.request(me)).data.token, 'token-1');
    assert.equal(world.codes, 1, 'codes asked of WeChat');
  },

  async storedTokenOfAnotherBridgeIsNotUsed() {
    const world = newWorld();
    await start().login();
    const other = createBridge({ bridge: 'https://other.example.com' });
    assert.equal(other.isLoggedIn(), false);
    await assert.rejects(other.request(me));
    assert.equal(world.calls.filter((call) => call.url.includes('other') && call.token !== '').length, 0);
  },

  async damagedStorageCountsAsEmpty() {
    for (const junk of ['text', 7, [], {}, { bridge: BRIDGE }, { bridge: BRIDGE, token: 1, expiresAt: 1e15 }]) {
      const world = newWorld();
      world.storage.set('wxbridge.session', junk);
      assert.equal((await start().request(me)).data.token, 'token-1');
    }
  },

  async fullStorageDoesNotStopTheLogin() {
    const world = newWorld();
    world.storageFull = true;
    const bridge = start();
    await bridge.request(me);
    await bridge.request(me);
    assert.equal(world.logins, 1, 'logins');
  },

  async expiredTokenIsNotSent() {
    const world = newWorld();
    const bridge = start();
    await bridge.login();
    const { now } = Date;
    try {
      Date.now = () => now() + 7199 * 1000; // within the margin before the end
      assert.equal(bridge.isLoggedIn(), false);
      assert.equal((await bridge.request(me)).data.token, 'token-2');
    } finally {
      Date.now = now;
    }
    assert.deepEqual(world.to(BRIDGE + '/me').map((call) => call.token), ['token-2']);
  },

  async tokenGoesNowhereElse() {
    const world = newWorld();
    const bridge = start();
    await bridge.login();
    const foreign = ['https://evil.example', API + '.evil.example/x', API + '@evil.example/', BRIDGE + ':8443/me', 'http://login.example.com/me', 'me'];
    for (const url of foreign) {
      await assert.rejects(bridge.request({ url }), { code: 'foreign_url' }, url);
    }
    assert.equal(world.calls.length, 1, 'the login alone');
  },

  async logoutEndsTheSession() {
    const world = newWorld();
    const bridge = start();
    await bridge.login();
    world.answers[BRIDGE + '/logout'] = { statusCode: 204, data: '' };
    await bridge.logout();
    assert.equal(bridge.isLoggedIn(), false);
    assert.equal(bridge.fan(), null);
    assert.equal(world.storage.size, 0, 'stored entries');
    assert.deepEqual(world.to(BRIDGE + '/logout').map((call) => [call.method, call.token]), [['POST', 'token-1']]);
  },

  async logoutForgetsTheTokenWithoutNetwork() {
    const world = newWorld();
    const bridge = start();
    await bridge.login();
    world.networkFails = 'request:fail';
    await assert.rejects(bridge.logout(), { code: 'network' });
    assert.equal(world.storage.size, 0, 'stored entries');
    assert.equal(start().isLoggedIn(), false);
  },

  async logoutDuringARequestDoesNotLogInAgain() {
    const world = newWorld();
    const bridge = start();
    await bridge.login();
    world.good.clear();
    const waiting = assert.rejects(bridge.request(me), { code: 'logged_out' });
    await Promise.resolve(); // now it is on its way, and will be answered 401
    assert.equal(world.to(BRIDGE + '/me').length, 1, 'requests on their way');
    await bridge.logout();
    await waiting;
    assert.equal(world.logins, 1, 'logins');
    assert.equal(bridge.isLoggedIn(), false);
  },

  async logoutDuringALoginKeepsNoToken() {
    const world = newWorld();
    const bridge = start();
    const waiting = assert.rejects(bridge.request(me), { code: 'logged_out' });
    await bridge.logout();
    await waiting;
    assert.equal(world.storage.size, 0, 'stored entries');
    assert.equal(bridge.isLoggedIn(), false);
    assert.equal((await bridge.request(me)).statusCode, 200);
  },

  async aliasOfTheAppIsSent() {
    const world = newWorld();
    await start({ app: 'shop' }).login();
    assert.deepEqual(world.calls[0].data, { code: 'code-1', app: 'shop' });
  },
};

const name = process.argv[3];
if (name === 'list') {
  console.log(Object.keys(scenarios).join('\n'));
} else {
  // A promise that never settles lets Node end early: that must not pass for success.
  let finished = false;
  process.on('exit', () => {
    if (!finished) {
      console.error('the scenario never came to an end');
      process.exitCode = 1;
    }
  });
  scenarios[name]().then(
    () => (finished = true),
    (problem) => {
      finished = true;
      console.error(problem);
      process.exitCode = 1;
    }
  );
}
