// A page behind wxbridge: greets whoever is logged in, sends the others to the login, and calls an API.
//
// The ID-token cookie is for the eye only. The credential is the other cookie, which no script can read: the browser
// sends it to the API, and the API checks it.
(function () {
  'use strict';

  const setting = (name) => document.querySelector(`meta[name="wxbridge-${name}"]`).content;
  const bridge = setting('bridge').replace(/\/$/, '');
  const element = (id) => document.getElementById(id);

  const texts = /^zh/.test(navigator.language)
    ? {
        lang: 'zh-CN',
        hello: '你好，',
        nameless: '微信用户',
        until: '登录有效至 ',
        callAPI: '调用接口',
        title: '尚未登录',
        lostHint: '还没有登录：刚才的登录没有完成；如果完成了，就是本页收不到 Cookie，本页须与登录服务同域，或设置 WXBRIDGE_COOKIE_DOMAIN。',
        refusedHint: '接口没有接受刚刚的登录：它的 issuer 和 audience 是否与登录服务一致？',
        login: '微信登录',
        trouble: '接口暂时不可用：',
      }
    : {
        lang: 'en',
        hello: 'Hello, ',
        nameless: 'WeChat user',
        until: 'Logged in until ',
        callAPI: 'Call the API',
        title: 'Not logged in',
        lostHint: 'Not logged in yet: the login was not finished. If it was, the cookie does not reach this page: it must be on the host of the bridge, or WXBRIDGE_COOKIE_DOMAIN be set.',
        refusedHint: 'The API did not accept the login just made: are its issuer and audience those of the bridge?',
        login: 'Log in with WeChat',
        trouble: 'The API cannot be reached: ',
      };

  // readClaims gives what the ID token says, or null. Nothing here is verified: it decides what is shown, no more.
  function readClaims() {
    const cookies = document.cookie.split('; ').map((pair) => pair.split('='));
    const named = (name) => cookies.filter(([given]) => given === name);
    const found = [...named('__Host-wxbridge_id'), ...named('wxbridge_id')];
    if (found.length === 0) {
      return null;
    }
    try {
      const payload = found[0][1].split('.')[1].replace(/-/g, '+').replace(/_/g, '/');
      const bytes = Uint8Array.from(atob(payload), (c) => c.charCodeAt(0));
      const claims = JSON.parse(new TextDecoder().decode(bytes));
      return typeof claims.exp === 'number' && claims.exp * 1000 > Date.now() ? claims : null;
    } catch (damaged) {
      return null;
    }
  }

  // goToLogin leaves for the bridge, which leads back here. Somebody who came from there a moment ago, for the same
  // reason, would go round in circles: they are told what is wrong instead.
  function goToLogin(reason, hint) {
    const address = bridge + '/login?return_to=' + encodeURIComponent(location.href);
    if (isFirstTry(reason)) {
      location.replace(address);
      return;
    }
    element('login').href = address;
    element('signed-out-hint').textContent = hint;
    show('signed-out');
  }

  const MOMENT = 60 * 1000;
  const keyOf = (reason) => 'wxbridge.last-login.' + reason;

  function isFirstTry(reason) {
    try {
      const last = Number(sessionStorage.getItem(keyOf(reason)));
      sessionStorage.setItem(keyOf(reason), String(Date.now()));
      return Date.now() - last > MOMENT;
    } catch (storageBlocked) {
      return false; // cookies are then blocked too: going round would not help
    }
  }

  function forgetTries(reason) {
    try {
      sessionStorage.removeItem(keyOf(reason));
    } catch (storageBlocked) {
      // nothing was kept
    }
  }

  function greet(claims) {
    const name = typeof claims.nickname === 'string' && claims.nickname.trim() !== '' ? claims.nickname : texts.nameless;
    element('greeting').textContent = texts.hello + name;
    element('letter').textContent = Array.from(name.trim())[0];
    element('until').textContent = texts.until + new Date(claims.exp * 1000).toLocaleTimeString(texts.lang);
    showPicture(claims.picture);
    show('signed-in');
  }

  // showPicture lets the picture cover the letter once it has arrived.
  function showPicture(picture) {
    const image = element('avatar');
    image.hidden = true;
    image.onload = () => (image.hidden = false);
    image.onerror = () => (image.hidden = true);
    const address = pictureAddress(picture);
    if (address === '') {
      image.removeAttribute('src');
    } else {
      image.src = address;
    }
  }

  // pictureAddress takes https, and http from a simulator on this machine. Old profiles of WeChat hold http addresses of
  // hosts that have long had https.
  function pictureAddress(picture) {
    try {
      const url = new URL(picture);
      const isLocal = url.hostname === 'localhost' || url.hostname === '127.0.0.1';
      if (url.protocol === 'http:' && !isLocal) {
        url.protocol = 'https:';
      }
      return /^https?:$/.test(url.protocol) ? url.href : '';
    } catch (noAddress) {
      return '';
    }
  }

  async function callAPI() {
    let reply;
    try {
      reply = await fetch(setting('api'), { credentials: 'include', cache: 'no-store' });
    } catch (problem) {
      element('answer').textContent = texts.trouble + problem.message;
      return;
    }
    if (reply.status === 401) {
      goToLogin('refused', texts.refusedHint); // expired, or ended elsewhere
      return;
    }
    forgetTries('refused');
    element('answer').textContent = reply.ok ? await reply.text() : texts.trouble + reply.status;
  }

  function show(section) {
    element('signed-in').hidden = section !== 'signed-in';
    element('signed-out').hidden = section !== 'signed-out';
  }

  function start() {
    const claims = readClaims();
    if (claims) {
      forgetTries('no cookie');
      greet(claims);
    } else {
      goToLogin('no cookie', texts.lostHint);
    }
  }

  // The mark of WeChat's login link comes along through the redirects.
  if (location.hash === '#wechat_redirect') {
    history.replaceState(null, '', location.pathname + location.search);
  }
  document.documentElement.lang = texts.lang;
  element('call-api').textContent = texts.callAPI;
  element('signed-out-title').textContent = texts.title;
  element('login').textContent = texts.login;
  element('call-api').addEventListener('click', callAPI);
  // A page that Back brings out of the browser's memory may be older than the last login or logout.
  window.addEventListener('pageshow', (event) => event.persisted && start());
  start();
})();
