exports.name = 'loop';
exports.counter = require('./counter'); // the other has begun already: what it has exported so far
