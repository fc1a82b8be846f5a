const textsFor = require('./texts');

const { bridge } = getApp();

Page({
  data: {
    texts: {},
    state: 'working', // working, in, out or failed
    fan: null,
    avatar: '',
    letter: '',
    accounts: '',
    until: '',
    problem: '',
  },

  onLoad() {
    this.setData({ texts: textsFor(wx.getAppBaseInfo().language || 'zh_CN') });
    this.readMe();
  },

  // readMe asks the bridge who this is; the helper logs in by itself where it has to.
  readMe() {
    return bridge.request({ url: '/me' }).then(
      ({ data }) => this.show(data),
      (problem) => this.fail(problem)
    );
  },

  tapReadMe() {
    this.readMe().then(() => {
      if (this.data.state === 'in') {
        wx.showToast({ title: this.data.texts.read });
      }
    });
  },

  tapLogIn() {
    this.setData({ state: 'working' });
    this.readMe();
  },

  tapLogOut() {
    const gone = () => this.setData({ state: 'out', fan: null, avatar: '', letter: '' });
    bridge.logout().then(gone, gone); // the token is gone from this phone even if the bridge could not be told
  },

  // Not every avatar that WeChat once gave can still be loaded: then the first letter of the name stands in.
  avatarFailed() {
    this.setData({ avatar: '' });
  },

  show(fan) {
    this.setData({
      state: 'in',
      fan,
      avatar: fan.avatar_url,
      letter: Array.from(fan.nickname || this.data.texts.nameless)[0],
      accounts: fan.identities.map((identity) => identity.provider).join(', '),
      until: timeOf(bridge.expiresAt()),
    });
  },

  fail(problem) {
    if (problem.code !== 'logged_out') {
      this.setData({ state: 'failed', problem: problem.code + ': ' + problem.message });
    }
  },
});

function timeOf(date) {
  const two = (n) => String(n).padStart(2, '0');
  return date ? two(date.getHours()) + ':' + two(date.getMinutes()) : '';
}
