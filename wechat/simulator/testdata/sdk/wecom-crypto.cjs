// The npm package @wecom/crypto, WeCom's own. It has no server, so this one is written around it.
'use strict';

const { decrypt, encrypt, getJsApiSignature, getSignature } = require('@wecom/crypto');
const { settings, received, run } = require('./harness.cjs');

const text = (xml, name) => new RegExp(`<${name}>(?:<!\\[CDATA\\[)?(.*?)(?:\\]\\]>)?</${name}>`, 's').exec(xml)?.[1];

async function bodyOf(request) {
  let body = '';
  for await (const chunk of request) {
    body += chunk;
  }
  return body;
}

function sealed(message) {
  const [timestamp, nonce] = [String(Math.floor(Date.now() / 1000)), '1372623149'];
  const encrypted = encrypt(settings.aesKey, message, settings.appid);
  const signature = getSignature(settings.token, timestamp, nonce, encrypted);
  return `<xml><Encrypt><![CDATA[${encrypted}]]></Encrypt><MsgSignature><![CDATA[${signature}]]></MsgSignature>` +
    `<TimeStamp>${timestamp}</TimeStamp><Nonce><![CDATA[${nonce}]]></Nonce></xml>`;
}

run(
  async (request, response) => {
    const query = new URL(request.url, 'http://localhost').searchParams;
    const encrypted = request.method === 'GET' ? query.get('echostr') : text(await bodyOf(request), 'Encrypt');
    const signature = getSignature(settings.token, query.get('timestamp'), query.get('nonce'), encrypted);
    const { message, id } = decrypt(settings.aesKey, encrypted);
    if (signature !== query.get('msg_signature') || id !== settings.appid) {
      response.writeHead(400).end();
      return;
    }
    if (request.method === 'GET') {
      response.end(message);
      return;
    }
    const [to, from] = [text(message, 'ToUserName'), text(message, 'FromUserName')];
    received({ FromUserName: from, MsgType: text(message, 'MsgType'), Event: text(message, 'Event') });
    response.end(sealed(`<xml><ToUserName>${from}</ToUserName><FromUserName>${to}</FromUserName><CreateTime>1348831860</CreateTime>` +
      '<MsgType>text</MsgType><Content>你好</Content></xml>'));
  },
  async ({ url, ticket }) => getJsApiSignature({ url, ticket })
);
