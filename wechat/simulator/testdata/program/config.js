module.exports = { bridge: 'https://replaced.example', kept: true };
