let made = 0;

Page({
  data: { query: '', nickname: 'given', avatar: '', log: '', shows: 0 },
  list: [],

  onLoad(query) {
    made++;
    this.list.push(made); // a field of this page alone
    this.setData({ query: `${JSON.stringify(query)} ${this.list.length}` });
  },
  onShow() {
    this.setData({ shows: this.data.shows + 1 });
  },
  note(name, value) {
    this.setData({ log: `${name} ${JSON.stringify(value)}` });
  },
  typed({ detail }) {
    this.note('input', detail.value);
  },
  submit({ detail }) {
    this.note('submit', detail.value);
  },
  chose({ detail }) {
    this.setData({ avatar: detail.avatarUrl });
  },
  pictureLoaded() {
    this.note('picture', this.data.avatar);
  },
  phone({ detail, type }) {
    this.note(type, [detail.errMsg, (detail.code ?? '').length]);
  },
  user({ detail }) {
    this.note('user', [detail.errMsg, Object.keys(detail).sort().join()]);
  },
  async profile() {
    const results = [];
    const tell = async (name, options) => {
      try {
        const { userInfo, errMsg } = await wx[name](options);
        results.push(errMsg, userInfo.nickName);
      } catch ({ errMsg }) {
        results.push(errMsg);
      }
    };
    await tell('getUserProfile', {});
    await tell('getUserProfile', { desc: 'for your card' });
    await wx.login();
    await tell('getUserProfile', { desc: 'for your card' });
    await tell('getUserInfo');
    this.note('profile', results);
  },
  toWeb() {
    wx.navigateTo({ url: '../web/web?from=form' });
  },
  nowhere() {
    wx.navigateTo({ url: '/pages/none/none', fail: ({ errMsg }) => this.note('nowhere', errMsg) });
  },
});
