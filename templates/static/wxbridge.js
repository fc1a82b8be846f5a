// The bridge for pages: who is logged in, the way to the login, and API calls that log in again once when a login has ended.
// Any page on a host that the bridge's cookies reach may load it from the bridge: <script src="https://login.example.com/wxbridge.js">
//
//   wxbridge.current()       who the ID-token cookie names: {id, nickname, picture, expires}, or null. For the eye only, since
//                            nothing is verified here: who acts on it asks a server, which checks the access token.
//                            {expired: true} also gives one that is over by the clock of this phone
//   wxbridge.ensureLogin()   a Promise of the same; if nobody is logged in, the page leaves for the login and comes back. It
//                            rejects if that did not help a moment ago; the error's loginURL is for a button
//   wxbridge.fetch(...)      fetch() with the login's cookie, for this page's origin and those in the script's attribute data-apis.
//                            A 401 of theirs leads through the login once; other hosts get no cookies
//   wxbridge.loginURL(to)    the address of a login that ends at to, by default at this page
//
// The script's attribute data-cookie names the one cookie to read; without it both names that the bridge may use are tried.
// ECMAScript 5 throughout; ensureLogin() needs a Promise and fetch() a fetch, which in-app browsers have had since 2017.
(function () {
  'use strict';

  var wxbridge = window.wxbridge = window.wxbridge || {};
  var script = document.currentScript || lastScript();
  var bridge = originOf(script.src);
  var cookies = (script.getAttribute('data-cookie') || '__Host-wxbridge_id wxbridge_id').split(' ');
  var ours = [location.href].concat((script.getAttribute('data-apis') || '').split(' ')).map(originOf).filter(Boolean);

  var MOMENT = 60 * 1000; // after a login that brought no cookie, the next one waits so long
  var WHILE = 10 * MOMENT; // and so long after one that the API did not accept, unless it has accepted something since
  var LONGEST = 1024; // bytes of an address to return to

  var leaving = false;

  wxbridge.current = function (options) {
    var atLeast = options && options.expired ? -Infinity : Date.now();
    var claims = cookies.map(claimsIn).filter(function (found) {
      return found && found.exp * 1000 > atLeast;
    })[0];
    return !claims ? null : {
      id: claims.sub,
      nickname: typeof claims.nickname === 'string' ? claims.nickname : '',
      picture: typeof claims.picture === 'string' ? claims.picture : '',
      expires: new Date(claims.exp * 1000)
    };
  };

  wxbridge.loginURL = function (to) {
    return bridge + '/login?return_to=' + encodeURIComponent(to || here());
  };

  wxbridge.ensureLogin = function () {
    var user = wxbridge.current();
    if (user) {
      forget('no cookie');
      return Promise.resolve(user);
    }
    return leave('no cookie', MOMENT) ? new Promise(function () {}) : Promise.reject(lost());
  };

  wxbridge.fetch = function (input, init) {
    var isOurs = ours.indexOf(originOf(typeof input === 'object' && input.url || String(input))) >= 0;
    var options = {};
    for (var name in init) {
      options[name] = init[name];
    }
    options.credentials = isOurs ? options.credentials || 'include' : 'omit';
    return window.fetch(input, options).then(function (answer) {
      if (!isOurs || options.credentials === 'omit' || answer.redirected && ours.indexOf(originOf(answer.url)) < 0) {
        return answer; // another host's 401 says nothing of our login
      }
      if (answer.status !== 401) {
        forget('refused');
        return answer;
      }
      return leave('refused', WHILE) ? new Promise(function () {}) : answer;
    });
  };

  // leave goes to the login, unless it was tried for the same reason within the pause. However many ask, there is one
  // navigation; nobody who asked hears more, since the page ends.
  function leave(reason, pause) {
    if (!leaving) {
      leaving = mayTry(reason, pause);
      if (leaving) {
        location.replace(wxbridge.loginURL()); // Back then skips the page that could show nothing
      }
    }
    return leaving;
  }

  function mayTry(reason, pause) {
    try {
      var ago = Date.now() - Number(sessionStorage.getItem(keyOf(reason)));
      sessionStorage.setItem(keyOf(reason), String(Date.now()));
      return ago > pause || ago < 0; // a clock that was set back says nothing
    } catch (storageIsBlocked) {
      return false; // then cookies are, too, and going round would not help
    }
  }

  function forget(reason) {
    try {
      sessionStorage.removeItem(keyOf(reason));
    } catch (storageIsBlocked) {
      // nothing was kept
    }
  }

  function keyOf(reason) {
    return 'wxbridge.tried.' + reason;
  }

  function lost() {
    var problem = new Error('wxbridge: nobody is logged in, and the login a moment ago changed nothing. If it was completed, the ' +
      'cookie does not reach this page: it must be on the host of the bridge, or WXBRIDGE_COOKIE_DOMAIN be set.');
    problem.loginURL = wxbridge.loginURL();
    return problem;
  }

  // here is this page's address, cut to what the bridge takes: first the fragment goes, then the query.
  function here() {
    var addresses = [location.href, location.href.split('#')[0], location.href.split(/[?#]/)[0]];
    return addresses.filter(function (address) { return address.length <= LONGEST; })[0] || originOf(location.href) + '/';
  }

  // claimsIn gives the payload of a cookie's JWT (RFC 7519 §3), or null if there is none that can be read. Of a name that is there
  // twice, another host has planted one.
  function claimsIn(name) {
    var values = document.cookie.split('; ').filter(function (pair) {
      return pair.indexOf(name + '=') === 0;
    });
    if (values.length !== 1) {
      return null;
    }
    var parts = values[0].slice(name.length + 1).split('.');
    try {
      var claims = JSON.parse(utf8(atob(parts[1].replace(/-/g, '+').replace(/_/g, '/'))));
      var complete = parts.length === 3 && typeof claims.sub === 'string' && typeof claims.exp === 'number';
      return complete && isFinite(new Date(claims.exp * 1000)) ? claims : null;
    } catch (damaged) {
      return null;
    }
  }

  // utf8 decodes bytes in a string, without the TextDecoder that older browsers lack; it throws if they are no UTF-8.
  function utf8(bytes) {
    return decodeURIComponent(bytes.replace(/[^]/g, function (c) {
      return '%' + ('0' + c.charCodeAt(0).toString(16)).slice(-2);
    }));
  }

  // originOf resolves an address as the page's links are; '' is nobody's.
  function originOf(address) {
    var link = document.createElement('a');
    link.href = address;
    link.href = link.href; // very old browsers fill in the parts of absolute addresses only
    var port = /^(https:443|http:80)$/.test(link.protocol + link.port) ? '' : link.port;
    return /^https?:$/.test(link.protocol) ? link.protocol + '//' + link.hostname + (port && ':' + port) : '';
  }

  // lastScript stands in for document.currentScript: a script that runs while the page is read is the last one so far.
  function lastScript() {
    var scripts = document.getElementsByTagName('script');
    return scripts[scripts.length - 1];
  }

  // The mark of WeChat's login link comes along through the redirects.
  if (location.hash === '#wechat_redirect') {
    history.replaceState(history.state, '', location.pathname + location.search);
  }

  // A page that Back brings out of the browser's memory has not left after all.
  window.addEventListener('pageshow', function (event) {
    leaving = leaving && !event.persisted;
  });
})();
