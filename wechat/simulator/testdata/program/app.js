App({
  launched: [],
  onLaunch(options) {
    this.launched.push('launch ' + options.path);
  },
  onShow() {
    this.launched.push('show');
  },
});
