// The npm package @logto/connector-wecom: a login server's connector, which has WeCom's addresses built in. Requests to
// them are sent to the simulator with their Host, as a TLS front would.
'use strict';

const http = require('node:http');
const https = require('node:https');
const path = require('node:path');
const { pathToFileURL } = require('node:url');
const { settings, run } = require('./harness.cjs');

let simulator; // its URL

https.request = (url, options, callback) => {
  const { protocol, hostname, port } = simulator;
  const headers = { ...options.headers, host: url.host };
  return http.request({ ...options, protocol, hostname, port, path: url.pathname + url.search, headers, agent: undefined }, callback);
};

async function connect(agentId) {
  const { default: createConnector } = await import(
    pathToFileURL(path.join(process.env.NODE_PATH, '@logto/connector-wecom/lib/index.js'))
  );
  return createConnector({ getConfig: async () => ({ corpId: settings.appid, appSecret: settings.secret, agentId, scope: settings.scope }) });
}

run(
  (_, response) => response.writeHead(404).end(),
  async ({ simulator: address, agentid, start, code }) => {
    simulator = new URL(address);
    const connector = await connect(agentid);
    if (code) {
      return connector.getUserInfo({ code });
    }
    const link = await connector.getAuthorizationUri({ ...start, headers: { userAgent: start.userAgent } });
    return { link };
  }
);
