// WeChat's JS-SDK (微信 JSSDK) for pages: load this in <head>, before any router, and then
//
//   wxbridge.jssdk({ jsApiList: ['updateAppMessageShareData'] }).then(function (wx) { … });
//
// It loads WeChat's script, lets the bridge sign this page's address, and calls wx.config. Options: jsApiList, openTagList and debug
// as wx.config takes them, and app, the alias of one of several official accounts. Where WeChat refuses, the console says what to
// fix; the promise rejects with an error that has a code: not_wechat, script, bridge, invalid_url_domain, invalid_signature,
// refused or silent. A page with a Content-Security-Policy lets in the bridge (script-src, connect-src) and WeChat's script
// (script-src https://res.wx.qq.com).
(function () {
  'use strict';

  var BRIDGE = 'https://login.example.com'; // the server writes its own address here
  var WEIXIN = 'https://res.wx.qq.com/open/js/jweixin-1.6.0.js'; // and here that of a simulator, if it has one

  var PATIENCE = 15 * 1000;

  var wxbridge = window.wxbridge = window.wxbridge || {};
  var agent = navigator.userAgent;
  var entry = pageAddress();
  var loading = null;
  var last = { key: '', answer: null };
  var queue = null; // wx.config is asked one thing at a time: its answers do not say to what

  wxbridge.jssdk = function (options) {
    options = options || {};
    var address = signedAddress();
    var key = JSON.stringify([address, options]);
    if (last.key !== key) {
      var run = function () { return configure(address, options); };
      queue = queue ? queue.then(run, run) : run();
      last = { key: key, answer: queue };
      queue.then(null, function (problem) {
        last = last.key === key ? { key: '', answer: null } : last; // the next call tries anew
        console.error('[wxbridge] ' + problem.message);
      });
    }
    return last.answer;
  };

  // signedAddress is the address that WeChat will hold against the signature: on iOS the one the page was entered by, whatever a
  // router has made of it since; elsewhere the present one.
  function signedAddress() {
    var isIOS = /iphone|ipad|ipod/i.test(agent) && !/wechatdevtools/i.test(agent);
    return isIOS ? entry : pageAddress();
  }

  function pageAddress() {
    return location.href.split('#')[0];
  }

  function configure(address, options) {
    if (!/micromessenger/i.test(agent) && !/\/_simulator\//.test(WEIXIN)) {
      return Promise.reject(problem('not_wechat', say(
        '这不是微信的浏览器：JSSDK 只在微信里可用。',
        'This is not WeChat’s browser: the JS-SDK works inside WeChat only.')));
    }
    return Promise.all([loadWeixin(), sign(address, options.app)]).then(function (ready) {
      return config(ready[0], ready[1], address, options);
    });
  }

  function loadWeixin() {
    if (window.wx && typeof window.wx.config === 'function') {
      return Promise.resolve(window.wx);
    }
    loading = loading || new Promise(function (resolve, reject) {
      var script = document.createElement('script');
      script.src = WEIXIN;
      script.onload = function () {
        var wx = window.wx || window.jWeixin;
        if (wx && typeof wx.config === 'function') {
          resolve(wx);
          return;
        }
        fail(say('已加载，但没有全局变量 wx：页面若使用 AMD 模块加载器，请先自行加载它，并赋给 window.wx。',
          'was loaded, but there is no global wx: where the page has an AMD module loader, load it yourself first and put it into window.wx.'));
      };
      script.onerror = function () {
        fail(say('无法加载：请检查网络，以及页面的 Content-Security-Policy 是否在 script-src 中允许它。',
          'cannot be loaded: check the network, and that the page’s Content-Security-Policy allows it in script-src.'));
      };
      document.head.appendChild(script);

      function fail(text) {
        loading = null;
        reject(problem('script', WEIXIN + ' ' + text));
      }
    });
    return loading;
  }

  // sign asks the bridge. The address is encoded once: what the bridge signs must be what WeChat sees, to the letter.
  function sign(address, app) {
    return new Promise(function (resolve, reject) {
      var request = new XMLHttpRequest();
      var url = BRIDGE + '/jssdk/config?url=' + encodeURIComponent(address);
      request.open('GET', app ? url + '&app=' + encodeURIComponent(app) : url);
      request.timeout = PATIENCE;
      request.onload = function () {
        var answer = parse(request.responseText);
        if (request.status === 200 && answer && answer.signature) {
          resolve(answer);
          return;
        }
        reject(problem('bridge', say('登录服务没有为本页签名：', 'The bridge did not sign this page: ') + request.status + ' ' +
          (answer ? answer.error + ': ' + answer.error_description + ' (request_id ' + answer.request_id + ')' : '')));
      };
      request.onerror = request.ontimeout = function () {
        reject(problem('bridge', say(
          '请求不到 ' + BRIDGE + ' 的签名：请检查网络、页面 Content-Security-Policy 的 connect-src，以及登录服务的 WXBRIDGE_RETURN_ORIGINS 是否含有 ' + origin() + '。',
          'No signature could be had from ' + BRIDGE + ': check the network, connect-src in the page’s Content-Security-Policy, and that WXBRIDGE_RETURN_ORIGINS of the bridge has ' + origin() + '.')));
      };
      request.send();
    });
  }

  function config(wx, signed, address, options) {
    return new Promise(function (resolve, reject) {
      var timer = setTimeout(function () {
        reject(problem('silent', say('微信没有回答 wx.config：本页是否在微信里打开？', 'WeChat did not answer wx.config: is this page open in WeChat?')));
      }, PATIENCE);
      wx.config({
        debug: options.debug === true,
        appId: signed.appId,
        timestamp: signed.timestamp,
        nonceStr: signed.nonceStr,
        signature: signed.signature,
        jsApiList: options.jsApiList || [],
        openTagList: options.openTagList || []
      });
      wx.error(function (answer) {
        clearTimeout(timer);
        reject(refusal(answer || {}, signed.appId, address));
      });
      wx.ready(function () {
        clearTimeout(timer);
        setTimeout(function () { resolve(wx); }); // WeChat calls it after a refusal, too
      });
    });
  }

  // refusal turns what WeChat says into what to do.
  function refusal(answer, appId, address) {
    var errMsg = String(answer.errMsg);
    var found;
    if (/invalid url domain/.test(errMsg)) {
      found = problem('invalid_url_domain', say(
        location.host + ' 不在公众号 ' + appId + ' 的 JS接口安全域名 中。请到 mp.weixin.qq.com → 设置与开发 → 账号设置 → 功能设置 → JS接口安全域名 添加它' +
          '（只填主机名；子域名逐个填写；只支持 80 和 443 端口）。它与 网页授权域名 是两项设置。',
        location.host + ' is not among the JS接口安全域名 of the official account ' + appId + '. Add it at mp.weixin.qq.com → 设置与开发 → 账号设置 → ' +
          '功能设置 → JS接口安全域名 (the host alone; each sub-domain by itself; ports 80 and 443 only). It is another setting than 网页授权域名.'));
    } else if (/invalid signature/.test(errMsg)) {
      found = badSignature([].concat(answer.realAuthUrl || []), appId, address);
    } else {
      found = problem('refused', say('微信拒绝了 wx.config（appId ' + appId + '，网址 ' + address + '）。',
        'WeChat refused wx.config (appId ' + appId + ', address ' + address + ').'));
    }
    found.errMsg = errMsg;
    found.message += ' [' + errMsg + ']';
    return found;
  }

  // badSignature compares the address that was signed with those that WeChat says it checked.
  function badSignature(checked, appId, address) {
    var known = say('签名的网址是 ' + address, 'The address that was signed is ' + address);
    if (checked.length > 0 && checked.indexOf(address) < 0) {
      return problem('invalid_signature', known + say(
        '，而微信校验的是 ' + checked.join('、') + '。请把 jssdk.js 放在 <head> 里、路由之前加载，并在地址变化之后再调用 wxbridge.jssdk()。',
        ', but WeChat checked ' + checked.join(', ') + '. Load jssdk.js in <head>, before any router, and call wxbridge.jssdk() after the address has changed.'));
    }
    return problem('invalid_signature', known + say(
      '。若它与地址栏一致（# 之前），请检查：公众号 ' + appId + ' 的 AppSecret 是否属于它；是否有代理或过滤器改写了网址（如把 & 变成 &amp;）；' +
        '本公众号的 ticket 是否也被别的系统获取：登录服务每 20 分钟重新获取一次。',
      '. If that is what the address bar shows (up to the #), check that the AppSecret is that of the account ' + appId + ', that no proxy or filter ' +
        'rewrites addresses (& to &amp;, say), and whether another system fetches tickets of this account: the bridge fetches one every 20 minutes.'));
  }

  function problem(code, text) {
    var error = new Error(text);
    error.code = code;
    return error;
  }

  function say(chinese, english) {
    return /^zh/i.test(navigator.language) ? chinese : english;
  }

  function parse(text) {
    try {
      return JSON.parse(text);
    } catch (noJSON) {
      return null;
    }
  }

  function origin() {
    return location.protocol + '//' + location.host;
  }
})();
