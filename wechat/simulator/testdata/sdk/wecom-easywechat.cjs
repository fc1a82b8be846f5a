// The npm package node-easywechat, as an app of a corp.
'use strict';

const { Work, ServerRequest } = require('node-easywechat');
const { settings, received, run } = require('./harness.cjs');

const open = (simulator) =>
  new Work({
    corp_id: settings.appid,
    secret: settings.secret,
    token: settings.token,
    aes_key: settings.aesKey,
    http: { baseURL: simulator + '/qyapi/' },
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
  async ({ simulator, path, params, sign }) => {
    const app = open(simulator);
    return sign ? app.getUtils().buildJsSdkConfig(sign) : (await app.getClient().get(path, { params })).toObject();
  }
);
