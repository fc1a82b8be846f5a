// Counts how often the module itself has run.
const shared = require('./shared');
shared.runs += 1;
exports.runs = shared.runs;
exports.loop = () => require('./loop.js').name;
