const { bridge } = getApp();

// Opens an H5 page as the same fan: ?to= is where it leads.
Page({
  data: { src: '', problem: '' },

  onLoad({ to }) {
    bridge.webViewURL(decodeURIComponent(to || '/')).then(
      (src) => this.setData({ src }),
      (problem) => this.setData({ problem: problem.code + ': ' + problem.message })
    );
  },
});
