const config = require('../../config.js');

Page({
  data: { src: '' },
  onLoad() {
    this.setData({ src: config.bridge + '/h5?in=program' });
  },
  told({ detail }) {
    wx.setStorageSync('told', detail.data);
  },
});
