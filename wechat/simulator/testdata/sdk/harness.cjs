// Runs a WeChat SDK for the tests: its message server on a free port, and its API calls by line of stdin. Each line of
// stdout is JSON: {url} at the start, {message} for each message the SDK took, {result} or {error} for each line read.
'use strict';

const http = require('node:http');
const readline = require('node:readline');

const say = (line) => process.stdout.write(JSON.stringify(line) + '\n');

// settings: {appid, secret, token, aesKey, folder}; aesKey is '' in plain mode.
exports.settings = JSON.parse(process.argv[2]);

// received reports a message; what it returns is the text to reply with.
exports.received = ({ FromUserName, MsgType, Event, Content }) => {
  say({ message: { FromUserName, MsgType, Event, Content } });
  return MsgType === 'text' ? 'echo: ' + Content : '';
};

// run serves with serve(request, response) and answers {simulator, openid} by what userOf gives for them.
exports.run = (serve, userOf) => {
  const server = http.createServer((request, response) => {
    Promise.resolve(serve(request, response)).catch((problem) => {
      console.error(problem);
      response.writeHead(500);
      response.end(String(problem));
    });
  });
  server.listen(0, '127.0.0.1', () => say({ url: `http://127.0.0.1:${server.address().port}` }));
  readline.createInterface({ input: process.stdin }).on('line', async (line) => {
    try {
      say({ result: await userOf(JSON.parse(line)) });
    } catch (problem) {
      say({ error: String(problem) });
    }
  }).on('close', () => process.exit(0));
};
