// Follows a scan: shows how far the phone has come, and fetches the login once its person has agreed.
(function () {
  'use strict';

  var root = document.getElementById('scan');
  var address = '/login/scan/events?scan=' + encodeURIComponent(root.dataset.scan);
  var again = 2000; // milliseconds until another try after a failure, doubled each time
  var source = null;

  listen();

  // A browser that was asleep may have lost the stream without a word.
  document.addEventListener('visibilitychange', function () {
    if (!document.hidden && source !== null) {
      source.close();
      listen();
    }
  });

  // listen opens the stream. A connection that breaks is opened again by the browser itself; an answer that is no stream is
  // not, so this does.
  function listen() {
    source = new EventSource(address);
    source.addEventListener('state', function (event) {
      again = 2000;
      toggle('offline', false);
      arrive(event.data);
    });
    source.onerror = function () {
      toggle('offline', true);
      if (source !== null && source.readyState === EventSource.CLOSED) {
        source = null;
        later(listen);
      }
    };
  }

  function arrive(state) {
    if (state === 'waiting' || state === 'scanned') {
      show(state);
      return;
    }
    source.close();
    source = null;
    if (state === 'confirmed') {
      show(state);
      finish();
      return;
    }
    end(state === 'declined' ? 'declined' : 'expired');
  }

  // finish exchanges the scan for the cookies of the login, which works once.
  function finish() {
    fetch('/login/scan/finish', {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ scan: root.dataset.scan })
    }).then(function (response) {
      if (response.status === 429 || response.status >= 500) {
        throw new Error('busy');
      }
      return response.json().then(function (answer) {
        if (response.ok) {
          location.replace(answer.location);
        } else {
          end(answer.error === 'access_denied' ? 'refused' : 'expired');
        }
      });
    }).catch(function () {
      toggle('offline', true);
      later(finish);
    });
  }

  function end(why) {
    Array.prototype.forEach.call(root.querySelectorAll('[data-why]'), function (text) {
      text.hidden = text.dataset.why !== why;
    });
    toggle('offline', false);
    show('over');
  }

  function show(state) {
    Array.prototype.forEach.call(root.querySelectorAll('[data-when]'), function (part) {
      part.hidden = part.dataset.when !== state;
    });
  }

  function later(what) {
    setTimeout(what, again);
    again = Math.min(2 * again, 30000);
  }

  function toggle(id, visible) {
    document.getElementById(id).hidden = !visible;
  }
})();
