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
    delay: (act) => setImmediate(act), // how long the phone and the network take

    keys: 0, // session keys that WeChat has made
    keyOfCode: new Map(), // what the bridge gets for a code
    stored: '', // the key that the bridge keeps
    asked: 0, // times that wx.getUserInfo was called
    sessionOver: false, // WeChat has ended its session
    phoneCodes: new Map(), // code of a phone button → times it was used
    tickets: 0,
  };
  world.to = (url) => world.calls.filter((call) => call.url === url);

  const unlessOffline = (options, name, act) =>
    world.delay(() => (world.networkFails ? options.fail({ errMsg: world.networkFails }) : world.delay(() => options.success(act()))));

  global.wx = {
    // Each login makes a new session key: what was encrypted with the one before is void.
    login: (options) =>
      world.delay(() => {
        world.codes++;
        if (world.loginFails) {
          return options.fail({ errMsg: world.loginFails });
        }
        const code = 'code-' + world.codes;
        world.keys++;
        world.keyOfCode.set(code, 'key-' + world.keys);
        world.sessionOver = false;
        return options.success({ code, errMsg: 'login:ok' });
      }),
    checkSession: (options) =>
      world.delay(() =>
        world.sessionOver || world.keys === 0
          ? options.fail({ errMsg: 'checkSession:fail session time out, need relogin' })
          : options.success({ errMsg: 'checkSession:ok' })
      ),
    getUserInfo: (options) => {
      world.asked++;
      const key = 'key-' + world.keys;
      world.delay(() => options.success({ encryptedData: key, iv: 'iv', rawData: '{}', signature: 's' }));
    },
    request: (options) => {
      const token = tokenOf(options);
      world.calls.push({ url: options.url, method: options.method || 'GET', token, data: options.data });
      unlessOffline(options, 'request', () => answer(options, token));
      return { abort() {} };
    },
    uploadFile: (options) => {
      world.calls.push({ url: options.url, method: 'upload', token: tokenOf(options), data: options.filePath });
      unlessOffline(options, 'uploadFile', () => ({ statusCode: 200, data: '{"url":"https://cdn.example.com/a.png"}' }));
    },
    navigateTo: ({ url }) => (world.navigated = url),
    getAppBaseInfo: () => ({ language: 'en' }),
    showToast: () => undefined,
    getStorageSync: (key) => (world.storage.has(key) ? structuredClone(world.storage.get(key)) : ''),
    setStorageSync: (key, value) => {
      if (world.storageFull) {
        throw new Error('setStorageSync:fail exceed storage max size');
      }
      world.storage.set(key, structuredClone(value));
    },
    removeStorageSync: (key) => world.storage.delete(key),
  };

  function answer({ url, data }, token) {
    if (url === BRIDGE + '/miniprogram/login') {
      return world.loginAnswer || loginAnswer(data.code);
    }
    if (world.answers[url]) {
      return world.answers[url];
    }
    if (!world.good.has(token)) {
      return refusal(401, 'invalid_token');
    }
    switch (url) {
      case BRIDGE + '/miniprogram/phone':
        return phoneAnswer(data.code);
      case BRIDGE + '/miniprogram/profile':
        return profileAnswer(data);
      case BRIDGE + '/miniprogram/webview-ticket':
        return { statusCode: 200, header: {}, data: { ticket: 't/' + ++world.tickets, expires_in: 60 } };
    }
    return { statusCode: 200, header: {}, data: { id: 'fan-1', token, identities: [], nickname: '', phone_number: '' } };
  }

  function loginAnswer(code) {
    world.logins++;
    world.stored = world.keyOfCode.get(code);
    const access_token = 'token-' + world.logins;
    world.good.add(access_token);
    const fan = { id: 'fan-1', nickname: '', avatar_url: '', registered: false };
    return { statusCode: 200, header: {}, data: { access_token, token_type: 'Bearer', expires_in: world.expiresIn, fan } };
  }

  function phoneAnswer(code) {
    if (!world.phoneCodes.has(code)) {
      return refusal(400, 'invalid_grant');
    }
    world.phoneCodes.set(code, world.phoneCodes.get(code) + 1);
    return world.phoneCodes.get(code) > 1
      ? refusal(400, 'invalid_grant')
      : { statusCode: 200, header: {}, data: { phone_number: '13800000000', country_code: '86' } };
  }

  function profileAnswer(data) {
    if (data.encrypted_data !== undefined && (data.encrypted_data !== world.stored || data.encrypted_data !== 'key-' + world.keys)) {
      return refusal(400, 'invalid_grant');
    }
    const { nickname = '', avatar_url = '' } = data;
    return { statusCode: 200, header: {}, data: { id: 'fan-1', nickname, avatar_url, registered: true, identities: [] } };
  }
  return world;
}

const tokenOf = (options) => ((options.header || {}).Authorization || '').replace('Bearer ', '');
const refusal = (statusCode, error) => ({ statusCode, header: {}, data: { error, error_description: 'no', request_id: 'r1' } });

// slowly makes phone and network take a moment that differs from call to call, in the same way in every run.
function slowly(world, seed) {
  let state = seed + 1;
  const random = () => (state = (state * 48271) % 2147483647) / 2147483647;
  world.delay = (act) => setTimeout(act, random() * 4);
  world.random = random;
}
const wait = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

// newPage is one more page of the program, on its own data.
function newPage(bridge) {
  const file = path.resolve(path.dirname(process.argv[2]), '../pages/index/index.js');
  let page;
  global.getApp = () => ({ bridge });
  global.Page = (options) => (page = options);
  delete require.cache[file];
  require(file);
  page.data = structuredClone(page.data);
  page.setData = (changes) => Object.assign(page.data, changes);
  return page;
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

  // Several pages start, log in and are refused at once, while the person has tapped the button on each of them.
  async phoneOnTheFirstTap() {
    for (let attempt = 0; attempt < 100; attempt++) {
      const world = newWorld();
      slowly(world, attempt);
      const bridge = start();
      const pages = Array.from({ length: 4 }, () => newPage(bridge));
      const expire = () => wait(world.random() * 20).then(() => world.good.delete('token-1'));
      const logIn = () => wait(world.random() * 20).then(() => bridge.login());
      const tap = async (page, code) => {
        world.phoneCodes.set(code, 0);
        await wait(world.random() * 12);
        await page.tapPhone({ detail: { code, errMsg: 'getPhoneNumber:ok' } });
        assert.equal(page.data.phone, '13800000000', `attempt ${attempt}, ${code}: ${page.data.note}`);
      };
      pages.forEach((page) => page.onLoad());
      await Promise.all([
        ...pages.map((page, n) => tap(page, 'tap-' + n)),
        expire(),
        logIn(),
        logIn(),
        bridge.sendUserInfo(),
      ]);
      assert.deepEqual([...world.phoneCodes.values()], [1, 1, 1, 1], `attempt ${attempt}: uses of each code`);
    }
  },

  async onePhoneTapIsOneRequest() {
    const world = newWorld();
    const bridge = start();
    world.phoneCodes.set('tap', 0);
    const detail = { code: 'tap', errMsg: 'getPhoneNumber:ok' };
    const answers = await Promise.all([bridge.phone(detail), bridge.phone(detail), bridge.phone(detail)]);
    assert.deepEqual(answers[2], { phone_number: '13800000000', country_code: '86' });
    assert.equal(world.phoneCodes.get('tap'), 1, 'uses of the code');
    await assert.rejects(bridge.phone(detail), { code: 'invalid_grant' }); // later, it is spent
  },

  async whoKeepsTheNumberIsNotAsked() {
    const world = newWorld();
    const bridge = start();
    await assert.rejects(bridge.phone({ errMsg: 'getPhoneNumber:fail user deny' }), { code: 'wx_phone', message: 'getPhoneNumber:fail user deny' });
    await assert.rejects(bridge.phone(undefined), { code: 'wx_phone' });
    assert.equal(world.calls.length, 0, 'requests');
  },

  // Logins of the helper's own never come between the data and their way to the bridge.
  async userInfoWithLoginsRacing() {
    for (let attempt = 0; attempt < 100; attempt++) {
      const world = newWorld();
      slowly(world, attempt);
      const bridge = start();
      const logIn = () => wait(world.random() * 20).then(() => bridge.login());
      const fans = await Promise.all([bridge.sendUserInfo(), wait(8).then(() => bridge.sendUserInfo()), logIn(), logIn(), logIn(), logIn()]);
      assert.equal(world.asked, 2, `attempt ${attempt}: times the data were asked for`);
      assert.deepEqual([fans[0].registered, fans[1].registered], [true, true], `attempt ${attempt}`);
    }
  },

  async staleSessionLogsInAndAsksAgain() {
    const world = newWorld();
    const bridge = start();
    await bridge.login();
    world.keys++; // another login of this person, which the bridge has not seen
    const fan = await bridge.sendUserInfo();
    assert.equal(fan.registered, true);
    assert.deepEqual([world.logins, world.asked], [2, 2], 'logins, times the data were asked for');
  },

  async secondStaleSessionIsAnError() {
    const world = newWorld();
    const bridge = start();
    world.answers[BRIDGE + '/miniprogram/profile'] = refusal(400, 'invalid_grant');
    await assert.rejects(bridge.sendUserInfo(), { code: 'invalid_grant', requestId: 'r1' });
    assert.deepEqual([world.logins, world.asked], [2, 2], 'logins, times the data were asked for');
    delete world.answers[BRIDGE + '/miniprogram/profile'];
    assert.equal((await bridge.sendUserInfo()).registered, true);
  },

  async sessionThatWeChatHasEndedIsRenewedFirst() {
    const world = newWorld();
    const bridge = start();
    await bridge.login();
    world.sessionOver = true;
    await bridge.sendUserInfo();
    assert.deepEqual([world.logins, world.asked], [2, 1], 'logins, times the data were asked for');
  },

  async userInfoOfARefusedTokenLogsInOnce() {
    const world = newWorld();
    const bridge = start();
    await bridge.login();
    world.good.clear();
    const results = await Promise.all([bridge.sendUserInfo(), bridge.sendUserInfo(), bridge.request(me)]);
    assert.equal(results[0].registered, true);
    assert.equal(world.logins, 2, 'logins');
  },

  async logoutWhileDataAreAskedForSendsNothing() {
    const world = newWorld();
    const bridge = start();
    await bridge.login();
    world.delay = (act) => setTimeout(act, 5);
    const waiting = assert.rejects(bridge.sendUserInfo(), { code: 'logged_out' });
    await wait(1);
    bridge.logout();
    await waiting;
    assert.equal(world.to(BRIDGE + '/miniprogram/profile').length, 0, 'profiles sent');
    assert.equal(bridge.isLoggedIn(), false);
  },

  async savedProfileIsTheFan() {
    newWorld();
    const bridge = start();
    await bridge.saveProfile({ nickname: 'Ann', avatar_url: '' });
    assert.deepEqual(bridge.fan(), { id: 'fan-1', nickname: 'Ann', avatar_url: '', registered: true });
    assert.deepEqual(start().fan().nickname, 'Ann', 'after a restart');
  },

  async nameOfAStaleSessionIsSentAgain() {
    const world = newWorld();
    const bridge = start();
    await bridge.login();
    world.answers[BRIDGE + '/miniprogram/profile'] = refusal(400, 'invalid_grant');
    await assert.rejects(bridge.saveProfile({ nickname: 'Ann' }), { code: 'invalid_grant' });
    assert.deepEqual([world.logins, world.to(BRIDGE + '/miniprogram/profile').length], [2, 2], 'logins, profiles sent');
    world.answers[BRIDGE + '/miniprogram/profile'] = refusal(400, 'invalid_request');
    await assert.rejects(bridge.saveProfile({ nickname: 'risky' }), { code: 'invalid_request' });
    assert.equal(world.logins, 2, 'logins');
  },

  async webViewURLHoldsATicketAndTheWay() {
    newWorld();
    const bridge = start();
    assert.equal(
      await bridge.webViewURL('https://h5.example.com/a?b=1&c=2#d'),
      BRIDGE + '/login/ticket?ticket=t%2F1&return_to=https%3A%2F%2Fh5.example.com%2Fa%3Fb%3D1%26c%3D2%23d'
    );
    assert.equal(await bridge.webViewURL(), BRIDGE + '/login/ticket?ticket=t%2F2&return_to=%2F', 'another ticket each time');
  },

  async pictureGoesToYourOwnServerWithTheToken() {
    const world = newWorld();
    const bridge = start();
    const { data } = await bridge.upload({ url: API + '/pictures', filePath: 'http://tmp/a.png', name: 'file' });
    assert.equal(JSON.parse(data).url, 'https://cdn.example.com/a.png');
    assert.deepEqual(world.to(API + '/pictures'), [{ url: API + '/pictures', method: 'upload', token: 'token-1', data: 'http://tmp/a.png' }]);
    await assert.rejects(bridge.upload({ url: 'https://evil.example/', filePath: 'x', name: 'file' }), { code: 'foreign_url' });
  },

  async pageOpensTheWebView() {
    const world = newWorld();
    const page = newPage(start());
    page.tapWeb();
    assert.equal(world.navigated, '/pages/web/web?to=%2F');
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
