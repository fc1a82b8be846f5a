// What the page says, in the language of the phone.
module.exports = function textsFor(language) {
  return language.indexOf('zh') === 0 ? chinese : english;
};

const chinese = {
  working: '登录中…',
  hello: '你好，',
  nameless: '微信用户',
  guest: '访客：微信只给了 openid，尚无昵称和头像',
  registered: '已注册',
  signedOut: '已退出登录',
  signedOutHint: '本机保存的令牌已删除',
  failed: '登录没有成功',
  id: '用户 ID',
  accounts: '已关联身份',
  until: '令牌有效至',
  readMe: '刷新',
  read: '已更新',
  logIn: '登录',
  retry: '重试',
  logOut: '退出登录',
};

const english = {
  working: 'Logging in…',
  hello: 'Hello, ',
  nameless: 'WeChat user',
  guest: 'Guest: WeChat gave an openid only, no name or picture yet',
  registered: 'Registered',
  signedOut: 'Logged out',
  signedOutHint: 'The token kept on this phone is gone',
  failed: 'The login did not work',
  id: 'Fan id',
  accounts: 'Identities',
  until: 'Token good until',
  readMe: 'Refresh',
  read: 'Up to date',
  logIn: 'Log in',
  retry: 'Try again',
  logOut: 'Log out',
};
