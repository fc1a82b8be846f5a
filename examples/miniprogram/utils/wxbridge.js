// Login with wxbridge from a native mini program. Copy this file into your own; it needs nothing but wx.
//
//   const bridge = createBridge({ bridge: 'https://login.example.com', apis: ['https://api.example.com'] });
//   bridge.request({ url: '/me' }).then((answer) => answer.data.nickname);
//   bridge.phone(event.detail).then(({ phone_number }) => …); // in the handler of <button open-type="getPhoneNumber">
//   bridge.saveProfile({ nickname });
//   bridge.webViewURL('/').then((src) => this.setData({ src })); // for <web-view src="{{src}}">
//
// request() logs in by itself when there is no good token, and once more, silently, when a server answers 401. However
// many requests wait, one login is in flight. Every promise rejects with a BridgeError.

// createBridge takes the bridge's address, the origins of other servers that may get the token, and optionally the alias
// of the app (when the bridge serves several mini programs) and the time a request may take, in milliseconds.
function createBridge({ bridge, apis = [], app = '', timeout = 15000 }) {
  let session = load(bridge); // {bridge, token, expiresAt, fan}, or null
  let pending = null; // the login in flight, shared by all who wait for it
  let era = 0; // counts logouts: what began before one must not log in again after it
  let sealed = Promise.resolve(); // user data on their way; a login must wait, since its session key would make them void
  const phones = new Map(); // code of the phone button → the one request with it

  // login resolves to the fan {id, nickname, avatar_url, registered}.
  function login() {
    if (pending) {
      return pending;
    }
    const began = era;
    const attempt = sealed
      .then(() => getCode(timeout))
      .then((code) => exchange(code))
      .then((answer) => {
        checkEra(began);
        session = sessionFrom(bridge, answer.data);
        save(session);
        return session.fan;
      });
    pending = attempt;
    const done = () => {
      if (pending === attempt) {
        pending = null;
      }
    };
    attempt.then(done, done);
    return attempt;
  }

  function exchange(code) {
    const data = app ? { code, app } : { code };
    return send({ url: bridge + '/miniprogram/login', method: 'POST', data, timeout }).then(checkStatus);
  }

  // request takes what wx.request takes and resolves to {statusCode, data, header}; a status of 400 or more rejects. A url
  // that begins with a slash is the bridge's. The token goes to the bridge and to apis, nowhere else.
  function request(options) {
    return authorized(options, send);
  }

  // upload is the same for what wx.uploadFile takes: {url, filePath, name}.
  function upload(options) {
    return authorized(options, sendFile);
  }

  function authorized(options, call) {
    const url = options.url.startsWith('/') ? bridge + options.url : options.url;
    if (![bridge, ...apis].some((origin) => url.startsWith(origin + '/'))) {
      return Promise.reject(new BridgeError('foreign_url', 'the access token must not go to ' + url));
    }
    const began = era;
    const attempt = () => {
      checkEra(began);
      const token = session.token;
      const header = Object.assign({}, options.header, { Authorization: 'Bearer ' + token });
      return call(Object.assign({ timeout }, options, { url, header })).then((answer) => ({ answer, token }));
    };
    return ensureLogin()
      .then(attempt)
      .then((first) => {
        if (first.answer.statusCode !== 401) {
          return first;
        }
        checkEra(began);
        return renew(first.token).then(attempt);
      })
      .then(({ answer }) => checkStatus(answer));
  }

  function ensureLogin() {
    return isLoggedIn() ? Promise.resolve() : login();
  }

  // renew replaces a token that a server has refused, unless another request has done so already.
  function renew(refused) {
    return session && session.token !== refused ? Promise.resolve() : login();
  }

  // phone turns the detail of a getPhoneNumber event into {phone_number, country_code}. Its code is good once, whoever of
  // several pages gets the event first; no login touches it, so the first tap is enough.
  function phone({ code, errMsg } = {}) {
    if (!code) {
      return Promise.reject(new BridgeError('wx_phone', errMsg || 'WeChat gave no code'));
    }
    if (!phones.has(code)) {
      const answer = request({ url: '/miniprogram/phone', method: 'POST', data: { code } }).then(({ data }) => data);
      phones.set(code, answer);
      const done = () => phones.delete(code);
      answer.then(done, done);
    }
    return phones.get(code);
  }

  // saveProfile stores {nickname, avatar_url}, both optional; an empty one changes nothing. It resolves to the fan. The
  // picture must be on a server: what chooseAvatar gives is a file on this phone.
  function saveProfile({ nickname = '', avatar_url = '' }) {
    const began = era;
    const post = () => request({ url: '/miniprogram/profile', method: 'POST', data: { nickname, avatar_url } });
    const again = (problem) => {
      if (problem.code !== 'invalid_grant') {
        throw problem;
      }
      checkEra(began);
      return login().then(post); // WeChat checks names only of people who have logged in lately
    };
    return post()
      .catch(again)
      .then((answer) => keepFan(answer.data));
  }

  // sendUserInfo stores what wx.getUserInfo says, encrypted with the session key of the latest login. Since 2022 it has no
  // names any more but on old phones. Data of a session that has ended are refused: then it logs in and asks for them again,
  // once. It resolves to the fan.
  function sendUserInfo() {
    const began = era;
    return ensureSession()
      .then(() => sendSealed(began))
      .then((first) => {
        const { statusCode, data } = first.answer;
        if (statusCode !== 401 && !(data && data.error === 'invalid_grant')) {
          return first;
        }
        checkEra(began);
        return renew(first.token).then(() => sendSealed(began));
      })
      .then(({ answer }) => keepFan(checkStatus(answer).data));
  }

  // sendSealed asks for the data and sends them. It lets a login in flight end first, and later ones wait meanwhile.
  function sendSealed(began) {
    const sent = Promise.resolve(pending)
      .then(getUserInfo)
      .then(({ encryptedData, iv, rawData, signature }) => {
        checkEra(began);
        const token = session.token;
        const header = { Authorization: 'Bearer ' + token };
        const data = { encrypted_data: encryptedData, iv, raw_data: rawData, signature };
        return send({ url: bridge + '/miniprogram/profile', method: 'POST', data, header, timeout }).then((answer) => ({ answer, token }));
      });
    const done = () => undefined;
    sealed = Promise.all([sealed, sent.then(done, done)]).then(done);
    return sent;
  }

  // ensureSession logs in if WeChat has ended its own session, as it does when a person stays away.
  function ensureSession() {
    return ensureLogin().then(() => pending || checkSession().catch(login));
  }

  // webViewURL resolves to an address for <web-view>, good once and for a minute, that logs its pages in as the same fan and
  // leads to returnTo.
  function webViewURL(returnTo = '/') {
    return request({ url: '/miniprogram/webview-ticket', method: 'POST' }).then(
      ({ data }) =>
        `${bridge}/login/ticket?ticket=${encodeURIComponent(data.ticket)}&return_to=${encodeURIComponent(returnTo)}`
    );
  }

  function keepFan({ id, nickname, avatar_url, registered }) {
    if (session) {
      session.fan = { id, nickname, avatar_url, registered };
      save(session);
    }
    return { id, nickname, avatar_url, registered };
  }

  // logout ends the session here at once, and on the bridge if it can be reached.
  function logout() {
    const token = isLoggedIn() ? session.token : '';
    era++;
    session = null;
    pending = null;
    wx.removeStorageSync(STORAGE_KEY);
    if (!token) {
      return Promise.resolve();
    }
    const header = { Authorization: 'Bearer ' + token };
    return send({ url: bridge + '/logout', method: 'POST', header, timeout }).then(() => undefined);
  }

  function checkEra(began) {
    if (began !== era) {
      throw new BridgeError('logged_out', 'logged out in the meantime');
    }
  }

  function isLoggedIn() {
    return session !== null && Date.now() < session.expiresAt;
  }

  return {
    login,
    request,
    upload,
    phone,
    saveProfile,
    sendUserInfo,
    webViewURL,
    logout,
    isLoggedIn,
    fan: () => (isLoggedIn() ? session.fan : null),
    expiresAt: () => (isLoggedIn() ? new Date(session.expiresAt) : null),
  };
}

// BridgeError says what went wrong. code is the server's error word ('invalid_grant', 'rate_limited' …), or one of
// 'wx_login', 'wx_phone', 'wx_user_info' (WeChat gave none), 'network', 'bad_answer', 'foreign_url', 'logged_out'. requestId finds the log line.
class BridgeError extends Error {
  constructor(code, message, { statusCode = 0, requestId = '' } = {}) {
    super(message);
    this.name = 'BridgeError';
    this.code = code;
    this.statusCode = statusCode;
    this.requestId = requestId;
  }
}

const STORAGE_KEY = 'wxbridge.session';

// A token is given up a little before its end, so that it does not expire on the way to a server.
const MARGIN_SECONDS = 60;

function load(bridge) {
  const saved = wx.getStorageSync(STORAGE_KEY); // '' when nothing is there
  const whole = saved && saved.bridge === bridge && typeof saved.token === 'string' && saved.expiresAt > 0;
  return whole ? saved : null;
}

function save(session) {
  try {
    wx.setStorageSync(STORAGE_KEY, session);
  } catch (full) {
    // The storage is full: the session then lasts as long as the program runs.
  }
}

function sessionFrom(bridge, data) {
  const { access_token: token, expires_in: seconds, fan } = data || {};
  if (typeof token !== 'string' || !(seconds > 0) || !fan) {
    throw new BridgeError('bad_answer', 'the bridge gave no token: is its address right?');
  }
  const margin = Math.min(MARGIN_SECONDS, seconds / 2);
  return { bridge, token, expiresAt: Date.now() + (seconds - margin) * 1000, fan };
}

// getCode asks WeChat for a code. It works once and for five minutes, so it is never kept.
function getCode(timeout) {
  return new Promise((resolve, reject) => {
    wx.login({
      timeout,
      success: ({ code, errMsg }) => (code ? resolve(code) : reject(new BridgeError('wx_login', errMsg))),
      fail: ({ errMsg }) => reject(new BridgeError('wx_login', errMsg)),
    });
  });
}

// checkSession fails when WeChat's own session has ended, and the session key with it.
function checkSession() {
  return new Promise((resolve, reject) => wx.checkSession({ success: resolve, fail: reject }));
}

function getUserInfo() {
  return new Promise((resolve, reject) => {
    wx.getUserInfo({
      withCredentials: true,
      success: resolve,
      fail: ({ errMsg }) => reject(new BridgeError('wx_user_info', errMsg)),
    });
  });
}

function send(options) {
  return promised(wx.request, options);
}

function sendFile(options) {
  return promised(wx.uploadFile, options);
}

function promised(call, options) {
  return new Promise((resolve, reject) => {
    call(
      Object.assign({}, options, {
        success: resolve,
        fail: ({ errMsg }) => reject(new BridgeError('network', errMsg)),
      })
    );
  });
}

function checkStatus(answer) {
  if (answer.statusCode < 400) {
    return answer;
  }
  const { error, error_description: description, request_id: requestId } = answer.data || {};
  const { statusCode } = answer;
  throw new BridgeError(error || 'http_' + statusCode, description || 'status ' + statusCode, { statusCode, requestId });
}

module.exports = { createBridge, BridgeError };
