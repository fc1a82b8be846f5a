// The npm package node-easywechat, with stable_token.
'use strict';

const { OfficialAccount, ServerRequest } = require('node-easywechat');
const { settings, received, run } = require('./harness.cjs');

const open = (simulator) =>
  new OfficialAccount({
    app_id: settings.appid,
    secret: settings.secret,
    token: settings.token,
    aes_key: settings.aesKey,
    use_stable_access_token: true,
    http: { baseURL: simulator + '/' },
    file_cache: { path: settings.folder + '/' },
  });

run(
  async (request, response) => {
    const app = open('http://127.0.0.1:1');
    app.setRequest(await ServerRequest.createFromIncomingMessage(request));
    const server = app.getServer();
    server.with((message, next) => received(message) || next(message));
    const reply = await server.serve();
    response.writeHead(reply.getStatusCode(), reply.getHeaders());
    response.end(reply.getBody().toString());
  },
  async ({ simulator, openid }) => {
    const response = await open(simulator).getClient().get('cgi-bin/user/info', { params: { openid, lang: 'zh_CN' } });
    return response.toObject();
  }
);
