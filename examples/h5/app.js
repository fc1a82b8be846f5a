// A page behind wxbridge: greets whoever is logged in, sends the others to the login, calls an API, and uses WeChat's JS-SDK.
//
// wxbridge.js and jssdk.js come from the bridge. What wxbridge.js reads is for the eye only. The credential is another cookie,
// which no script can read: the browser sends it to the API, and the API checks it.
(function () {
  'use strict';

  var element = function (id) { return document.getElementById(id); };

  var texts = /^zh/.test(navigator.language)
    ? {
        lang: 'zh-CN',
        hello: '你好，',
        nameless: '微信用户',
        until: '登录有效至 ',
        callAPI: '调用接口',
        tryJSSDK: '试用 JSSDK',
        jssdkReady: 'JSSDK 可用：wx.config 已被微信接受。',
        title: '尚未登录',
        lostHint: '还没有登录：刚才的登录没有完成；如果完成了，就是本页收不到 Cookie，本页须与登录服务同域，或设置 WXBRIDGE_COOKIE_DOMAIN。',
        refusedHint: '接口没有接受刚刚的登录：它的 issuer 和 audience 是否与登录服务一致？',
        login: '微信登录',
        trouble: '接口暂时不可用：'
      }
    : {
        lang: 'en',
        hello: 'Hello, ',
        nameless: 'WeChat user',
        until: 'Logged in until ',
        callAPI: 'Call the API',
        tryJSSDK: 'Try the JS-SDK',
        jssdkReady: 'The JS-SDK is ready: WeChat has accepted wx.config.',
        title: 'Not logged in',
        lostHint: 'Not logged in yet: the login was not finished. If it was, the cookie does not reach this page: it must be on the host of the bridge, or WXBRIDGE_COOKIE_DOMAIN be set.',
        refusedHint: 'The API did not accept the login just made: are its issuer and audience those of the bridge?',
        login: 'Log in with WeChat',
        trouble: 'The API cannot be reached: '
      };

  function start() {
    wxbridge.ensureLogin().then(greet, function () { askToLogIn(texts.lostHint); });
  }

  function greet(user) {
    var name = user.nickname.trim() || texts.nameless;
    element('greeting').textContent = texts.hello + name;
    element('letter').textContent = Array.from(name)[0];
    element('until').textContent = texts.until + user.expires.toLocaleTimeString(texts.lang);
    showPicture(user.picture);
    show('signed-in');
  }

  function askToLogIn(hint) {
    element('login').href = wxbridge.loginURL();
    element('signed-out-hint').textContent = hint;
    show('signed-out');
  }

  function callAPI() {
    var address = document.querySelector('meta[name="wxbridge-api"]').content;
    wxbridge.fetch(address, { cache: 'no-store' }).then(function (reply) {
      if (reply.status === 401) {
        askToLogIn(texts.refusedHint); // the login that wxbridge.fetch has tried did not help
        return null;
      }
      return reply.ok ? reply.text() : texts.trouble + reply.status;
    }, function (problem) {
      return texts.trouble + problem.message;
    }).then(function (text) {
      element('answer').textContent = text;
    });
  }

  // tryJSSDK shows what a page does before it calls wx.scanQRCode, wx.updateAppMessageShareData and the like.
  function tryJSSDK() {
    wxbridge.jssdk({ jsApiList: ['updateAppMessageShareData', 'scanQRCode'] }).then(function () {
      element('answer').textContent = texts.jssdkReady;
    }, function (problem) {
      element('answer').textContent = problem.message;
    });
  }

  // showPicture lets the picture cover the letter once it has arrived.
  function showPicture(picture) {
    var image = element('avatar');
    image.hidden = true;
    image.onload = function () { image.hidden = false; };
    image.onerror = function () { image.hidden = true; };
    var address = pictureAddress(picture);
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
      var url = new URL(picture);
      var isLocal = url.hostname === 'localhost' || url.hostname === '127.0.0.1';
      if (url.protocol === 'http:' && !isLocal) {
        url.protocol = 'https:';
      }
      return /^https?:$/.test(url.protocol) ? url.href : '';
    } catch (noAddress) {
      return '';
    }
  }

  function show(section) {
    element('signed-in').hidden = section !== 'signed-in';
    element('signed-out').hidden = section !== 'signed-out';
  }

  document.documentElement.lang = texts.lang;
  element('call-api').textContent = texts.callAPI;
  element('try-jssdk').textContent = texts.tryJSSDK;
  element('signed-out-title').textContent = texts.title;
  element('login').textContent = texts.login;
  element('call-api').addEventListener('click', callAPI);
  element('try-jssdk').addEventListener('click', tryJSSDK);
  // A page that Back brings out of the browser's memory may be older than the last login or logout.
  window.addEventListener('pageshow', function (event) {
    if (event.persisted) {
      start();
    }
  });
  start();
})();
