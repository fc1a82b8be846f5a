const textsFor = require('./texts');

const config = require('../../config');

const { bridge } = getApp();

Page({
  data: {
    texts: {},
    state: 'working', // working, in, out or failed
    fan: null,
    avatar: '',
    letter: '',
    accounts: '',
    phone: '',
    until: '',
    problem: '',
    note: '', // what came of the last tap
    canUpload: Boolean(config.upload),
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

  // tapPhone is the handler of a getPhoneNumber button; people who refuse come here too.
  tapPhone({ detail }) {
    return this.attempt(bridge.phone(detail).then(({ phone_number: phone }) => this.setData({ phone })));
  },

  // submitProfile waits for the form: WeChat may empty a nickname that it does not like when its field is left.
  submitProfile({ detail }) {
    return this.attempt(bridge.saveProfile({ nickname: detail.value.nickname }).then(() => this.readMe()));
  },

  // chooseAvatar gets a file on this phone. It goes to a server of your own first, whose address for it the bridge keeps.
  chooseAvatar({ detail }) {
    const saved = bridge.upload({ url: config.upload, filePath: detail.avatarUrl, name: 'file' }).then(({ data }) =>
      bridge.saveProfile({ avatar_url: JSON.parse(data).url })
    );
    return this.attempt(saved.then(() => this.readMe()));
  },

  tapWeb() {
    wx.navigateTo({ url: '/pages/web/web?to=' + encodeURIComponent(config.h5 || '/') });
  },

  attempt(work) {
    this.setData({ note: '' });
    return work.then(
      () => this.setData({ note: this.data.texts.saved }),
      (problem) => this.setData({ note: (problem.code || 'error') + ': ' + problem.message })
    );
  },

  tapLogIn() {
    this.setData({ state: 'working' });
    this.readMe();
  },

  tapLogOut() {
    const gone = () => this.setData({ state: 'out', fan: null, avatar: '', letter: '', phone: '', note: '' });
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
      phone: fan.phone_number || '',
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
