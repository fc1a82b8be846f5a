// Shows who is logged in, as wxbridge.js reads it from the ID-token cookie. That is for the eye only: a page that acts on it
// asks the server, which checks the signature.
(function () {
  'use strict';

  var home = document.getElementById('home');
  var nameless = element('nickname').textContent;

  show(home.hasAttribute('data-signed-in'));

  // A page that comes back from the browser's memory may be older than the last login or logout.
  window.addEventListener('pageshow', function (event) {
    if (event.persisted) {
      show(false);
    }
  });

  // show fills the page. fresh says that the server has just found the login good, which counts for more than the phone's
  // clock or a cookie that did not arrive.
  function show(fresh) {
    var user = window.wxbridge.current({ expired: fresh });
    var signedIn = fresh || user !== null;
    toggle('signed-in', signedIn);
    toggle('signed-out', !signedIn);
    toggle('logout', signedIn);
    toggle('login', !signedIn);
    toggle('facts', user !== null);
    toggle('avatar', false);
    toggle('avatar-letter', false);
    toggle('avatar-nobody', true);
    if (user !== null) {
      greet(user);
    }
  }

  function greet(user) {
    var name = user.nickname.trim();
    element('nickname').textContent = name || nameless;
    element('avatar-letter').textContent = name && firstLetter(name);
    element('fan-id').textContent = user.id;
    element('expires').dateTime = user.expires.toISOString();
    element('expires').textContent = user.expires.toLocaleString(document.documentElement.lang);
    toggle('avatar-letter', name !== '');
    toggle('avatar-nobody', name === '');
    showPicture(user.picture);
  }

  // showPicture lets the picture cover the letter once it has arrived, if it comes from a host that the page may load from.
  function showPicture(picture) {
    var address = pictureAddress(picture);
    var image = element('avatar');
    image.onload = function () { image.hidden = false; };
    image.onerror = function () { image.hidden = true; };
    if (address === '') {
      image.removeAttribute('src');
    } else {
      image.src = address;
    }
  }

  function pictureAddress(picture) {
    var url;
    try {
      url = new URL(picture);
    } catch (e) {
      return '';
    }
    if (url.protocol === 'http:' && location.protocol === 'https:') {
      url.protocol = 'https:'; // old profiles hold http addresses of hosts that have long had https
    }
    var hosts = home.dataset.imageHosts.split(' ');
    var known = hosts.indexOf(url.origin) >= 0 || hosts.indexOf(url.host) >= 0;
    return known && /^https?:$/.test(url.protocol) ? url.href : '';
  }

  // firstLetter gives the first character as people count them: an emoji made of several code points is one.
  function firstLetter(name) {
    if (typeof Intl === 'object' && Intl.Segmenter) {
      return new Intl.Segmenter().segment(name)[Symbol.iterator]().next().value.segment;
    }
    return Array.from(name)[0];
  }

  function toggle(id, visible) {
    element(id).hidden = !visible;
  }

  function element(id) {
    return document.getElementById(id);
  }
})();
