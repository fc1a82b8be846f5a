// The only file to change. Both addresses must be listed in WeChat's console under request 合法域名 (request domains).
// The simulator replaces this file, so that the program finds the bridge it was started beside.
module.exports = {
  // Where wxbridge runs: its public URL, without a slash at the end.
  bridge: 'http://127.0.0.1:8080',

  // Your own servers that may get the access token, e.g. ['https://api.example.com'].
  apis: [],

  // The H5 page that the program opens in its web-view: a path of the bridge's, or a URL on one of its RETURN_ORIGINS. The hosts of
  // both must be 业务域名 (business domains) in WeChat's console.
  h5: '/',

  // Where chosen pictures are uploaded to, on one of apis; '' hides the button. wx.uploadFile sends the field "file", the answer is
  // {"url": "https://…"}. wxbridge keeps the address of a picture, never the picture.
  upload: '',
};
