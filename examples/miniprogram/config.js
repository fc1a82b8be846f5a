// The only file to change. Both addresses must be listed in WeChat's console under request 合法域名 (request domains).
// The simulator replaces this file, so that the program finds the bridge it was started beside.
module.exports = {
  // Where wxbridge runs: its public URL, without a slash at the end.
  bridge: 'http://127.0.0.1:8080',

  // Your own servers that may get the access token, e.g. ['https://api.example.com'].
  apis: [],
};
