// The npm packages wechat (with wechat-crypto) and wechat-api.
'use strict';

const API = require('wechat-api');
const wechat = require('wechat');
const { settings, received, run } = require('./harness.cjs');

const config = { token: settings.token, appid: settings.appid };
if (settings.aesKey) {
  config.encodingAESKey = settings.aesKey;
}
const middleware = wechat(config, (request, response) => {
  response.reply(received(request.weixin));
});

const api = new API(settings.appid, settings.secret);

run(
  (request, response) => {
    request.query = Object.fromEntries(new URL(request.url, 'http://localhost').searchParams);
    middleware(request, response, (problem) => {
      response.writeHead(500);
      response.end(String(problem));
    });
  },
  ({ simulator, openid }) => {
    api.endpoint = simulator;
    return new Promise((resolve, reject) => {
      api.getUser(openid, (problem, user) => (problem ? reject(problem) : resolve(user)));
    });
  }
);
