// Puts the times of a page into the reader's own time zone.
(function () {
  'use strict';

  Array.prototype.forEach.call(document.querySelectorAll('time[datetime]'), function (time) {
    var at = new Date(time.dateTime);
    if (isFinite(at)) {
      time.textContent = at.toLocaleTimeString(document.documentElement.lang);
    }
  });
})();
