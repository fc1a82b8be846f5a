const config = require('./config');
const { createBridge } = require('./utils/wxbridge');

App({
  // One helper for the whole program: its pages share the token and the login in flight.
  bridge: createBridge(config),
});
