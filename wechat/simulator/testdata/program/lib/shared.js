exports.runs = 0;
