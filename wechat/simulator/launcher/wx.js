// The wx of the launcher's phone: a small part of WeChat's, with its names, error texts and habits.

// createWX makes the wx of one run of the program. phone is {appid, person, language, record(name, detail), changed(),
// toast(title, milliseconds), modal(options), title(text), profile(api)}; running() tells whether the run goes on: afterwards
// nothing calls back; navigation holds the calls that change pages.
export function createWX(phone, running, navigation = {}) {
  const storage = createStorage(`wx:${phone.appid}:${phone.person}:`, phone.changed);

  // answer calls back as WeChat does, or returns a promise where no callback is given (documented).
  function answer(name, options = {}, work) {
    const { success, fail, complete } = options;
    const done = work.then(
      (result) => ({ result: { errMsg: name + ':ok', ...result }, callback: success }),
      (failure) => ({ result: { ...failure, errMsg: failure.errMsg ?? `${name}:fail ${failure.message}` }, callback: fail, failed: true })
    );
    if (!success && !fail && !complete) {
      return done.then(({ result, failed }) => (failed ? Promise.reject(result) : result));
    }
    done.then(({ result, callback }) => {
      if (running()) {
        callback?.(result);
        complete?.(result);
      }
    });
    return undefined;
  }

  async function login() {
    const { person, appid } = phone;
    const reply = await post('/_simulator/js-code', { person, appid });
    const { code, error } = await reply.json();
    phone.record('wx.login', code ? 'code' : error);
    if (!code) {
      throw { errMsg: 'login:fail ' + error };
    }
    return { code };
  }

  async function checkSession() {
    const { person, appid } = phone;
    const { valid } = await (await post('/_simulator/session', { person, appid })).json();
    if (!valid) {
      throw { errMsg: 'checkSession:fail session time out, need relogin' };
    }
    return {};
  }

  // profile is getUserInfo or getUserProfile: since 2022 the same name and picture for everybody (documented).
  async function profile(name, { desc } = {}) {
    if (name === 'getUserProfile' && !desc) {
      throw { errMsg: 'getUserProfile:fail parameter error: parameter.desc should be String instead of Undefined;' };
    }
    const { error, ...result } = await phone.profile(name);
    phone.record('wx.' + name, error ?? result.userInfo.nickName);
    if (error) {
      throw { errMsg: `${name}:fail ${error}` };
    }
    return result;
  }

  async function request(options, signal) {
    const { url, method = 'GET', header = {}, dataType, timeout } = options;
    const what = `${method.toUpperCase()} ${pathOf(url)}`;
    let reply;
    try {
      reply = await post('/_simulator/wx-request', { ...encodeBody(options), method, header, dataType, timeout }, signal);
    } catch {
      throw { errMsg: signal.aborted ? 'request:fail abort' : 'request:fail' };
    }
    const result = await reply.json();
    phone.record('wx.request', `${what} → ${result.statusCode ?? result.errMsg}`);
    if (result.statusCode === undefined) {
      throw result;
    }
    return { ...result, cookies: [] };
  }

  const wx = {
    login: (options) => answer('login', options, login()),
    checkSession: (options) => answer('checkSession', options, checkSession()),
    getUserInfo: (options) => answer('getUserInfo', options, profile('getUserInfo', options)),
    getUserProfile: (options) => answer('getUserProfile', options, profile('getUserProfile', options)),
    request: (options) => {
      const control = new AbortController();
      const work = request(options, control.signal);
      answer('request', { complete() {}, ...options }, work); // a RequestTask, never a promise (documented)
      return { abort: () => control.abort() };
    },
    showToast: (options) => answer('showToast', options, Promise.resolve(phone.toast(options.title, options.duration ?? 1500))),
    hideToast: (options) => answer('hideToast', options, Promise.resolve(phone.toast('', 0))),
    showLoading: (options) => answer('showLoading', options, Promise.resolve(phone.toast(options.title, 0))),
    hideLoading: (options) => answer('hideLoading', options, Promise.resolve(phone.toast('', 0))),
    showModal: (options) => answer('showModal', options, phone.modal(options)),
    setNavigationBarTitle: (options) => answer('setNavigationBarTitle', options, Promise.resolve(phone.title(options.title))),
    getAppBaseInfo: () => ({
      SDKVersion: '3.0.0',
      version: '8.0.68',
      language: phone.language,
      theme: matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light',
    }),
    getAccountInfoSync: () => ({ miniProgram: { appId: phone.appid, envVersion: 'develop', version: '' } }),
  };
  for (const [name, go] of Object.entries(navigation)) {
    wx[name] = (options = {}) => answer(name, options, (async () => go(options))());
  }
  return Object.assign(wx, storageCalls(storage, answer));
}

export function post(url, body, signal) {
  return fetch(url, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
    credentials: 'omit',
    signal,
  });
}

function pathOf(url) {
  try {
    return new URL(url).pathname;
  } catch {
    return String(url);
  }
}

// encodeBody turns data into the query of a GET, a form, or JSON (documented), with the url it goes to.
function encodeBody({ url, method = 'GET', header = {}, data }) {
  const hasFields = typeof data === 'object' && data !== null;
  const contentType = Object.entries(header).find(([name]) => name.toLowerCase() === 'content-type')?.[1] ?? 'application/json';
  const form = () => Object.entries(data).map((pair) => pair.map(encodeURIComponent).join('=')).join('&');
  if (!hasFields) {
    return { url, data: data === undefined || data === null ? '' : String(data) };
  }
  if (/^(get|head|options)$/i.test(method)) {
    const query = form();
    return { url: query ? url + (url.includes('?') ? '&' : '?') + query : url, data: '' };
  }
  return { url, data: contentType.includes('x-www-form-urlencoded') ? form() : JSON.stringify(data) };
}

// createStorage keeps values of the program and the person apart from all others. Values are wrapped, so that a text and
// the JSON of a text differ.
function createStorage(prefix, changed) {
  const keys = () => Object.keys(localStorage).filter((key) => key.startsWith(prefix));
  return {
    keys: () => keys().map((key) => key.slice(prefix.length)),
    get: (key) => {
      const kept = localStorage.getItem(prefix + key);
      return kept === null ? undefined : JSON.parse(kept).data;
    },
    set: (key, data) => {
      localStorage.setItem(prefix + key, JSON.stringify({ data }));
      changed();
    },
    remove: (key) => {
      localStorage.removeItem(prefix + key);
      changed();
    },
    clear: () => {
      keys().forEach((key) => localStorage.removeItem(key));
      changed();
    },
  };
}

// storageCalls are the two forms of each call. A key that is not there reads as '' or, asked later, fails (documented).
function storageCalls(storage, answer) {
  const later = (name, options, work) => answer(name, options, new Promise((resolve) => resolve(work())));
  const info = () => ({ keys: storage.keys(), currentSize: 0, limitSize: 10240 });
  return {
    getStorageSync: (key) => storage.get(key) ?? '',
    setStorageSync: (key, data) => storage.set(key, data),
    removeStorageSync: (key) => storage.remove(key),
    clearStorageSync: () => storage.clear(),
    getStorageInfoSync: info,
    getStorage: (options) =>
      later('getStorage', options, () => {
        const data = storage.get(options.key);
        if (data === undefined) {
          throw { errMsg: 'getStorage:fail data not found' };
        }
        return { data };
      }),
    setStorage: (options) => later('setStorage', options, () => storage.set(options.key, options.data)),
    removeStorage: (options) => later('removeStorage', options, () => storage.remove(options.key)),
    clearStorage: (options) => later('clearStorage', options, () => storage.clear()),
    getStorageInfo: (options) => later('getStorageInfo', options, info),
  };
}

// storedBy lists what a program has stored for a person, for the developer to look at.
export function storedBy(appid, person) {
  const storage = createStorage(`wx:${appid}:${person}:`, () => {});
  return storage.keys().sort().map((key) => ({ key, value: storage.get(key) }));
}
