// Stands in for WeChat's own jweixin-1.6.0.js in a page that a simulated WeChat browser shows. It has the same names,
// texts and habits; what the real one asks of WeChat's browser, this one asks of the simulator it came from, so that a
// wrong signature or a foreign domain is refused as it would be on a phone. The page's own policy has to let it connect to
// the simulator.
(() => {
  const simulator = new URL(document.currentScript.src).origin;
  const chosen = /(?:^|; )simulator_browser=(\w+)/.exec(document.cookie)?.[1] ?? '';
  const agent = navigator.userAgent;
  const inMiniProgram = chosen ? chosen === 'webview' : /miniprogram\//i.test(agent);
  const landing = performance.getEntriesByType('navigation')[0]?.name ?? location.href;

  // iOS checks the address that the page was entered by, others the one it has now (observed). Neither looks at the fragment.
  function pageAddress() {
    return (/iphone|ipad/i.test(agent) ? landing : location.href).split('#')[0];
  }

  // One state for wx.config; whoever adds another kind of configuration gives it a state of its own.
  const config = { outcome: '', apis: [], onReady: [], onError: undefined };
  const agentConfig = { outcome: '', apis: [], onReady: [], onError: undefined };

  // configure asks the simulator about a call and its four signed values, and tells the state's listeners.
  async function configure(call, options, state) {
    Object.assign(state, { outcome: '', apis: options.jsApiList ?? [] });
    if (chosen === 'desktop') {
      console.info(`wx.${call}: this is not WeChat's browser, so nothing happens, as with the real script.`);
      return;
    }
    const { appId, corpid, agentid, timestamp, nonceStr, signature } = options;
    const result = await ask({ call, appId: appId ?? corpid, agentid, timestamp, nonceStr, signature, url: pageAddress() });
    state.outcome = result.errMsg === call + ':ok' ? 'ok' : 'refused';
    if (options.debug) {
      console.info(`wx.${call}`, result);
    }
    if (state.outcome === 'ok') {
      state.onReady.splice(0).forEach((callback) => callback());
    } else {
      state.onError?.(result);
    }
  }

  async function ask(question) {
    try {
      const reply = await fetch(simulator + '/_simulator/jssdk-config', {
        method: 'POST',
        headers: { 'Content-Type': 'text/plain' },
        body: JSON.stringify(question),
        credentials: 'omit',
        referrerPolicy: 'no-referrer',
      });
      const verdict = await reply.json();
      return verdict.errMsg ? verdict : { errMsg: `${question.call}:fail,Error: ${verdict.error}` };
    } catch {
      return { errMsg: `${question.call}:fail,Error: no answer from the simulator at ${simulator}; does the page's connect-src list it?` };
    }
  }

  // perform calls back as the real script does: success, fail or cancel, then complete.
  async function perform(name, options = {}, work) {
    await undefined; // never before the caller goes on
    let result;
    if (![config, agentConfig].some(({ outcome, apis }) => outcome === 'ok' && apis.includes(name))) {
      result = { errMsg: `${name}:fail, the permission value is offline verifying` };
    } else {
      result = { errMsg: `${name}:ok`, ...work(options) };
    }
    const kind = /:(ok|cancel)/.exec(result.errMsg)?.[1];
    ({ ok: options.success, cancel: options.cancel })[kind]?.(result);
    if (!kind) {
      options.fail?.(result);
    }
    options.complete?.(result);
  }

  // What can be called after wx.config. Most of it changes only what WeChat's own menus show.
  const apis = {
    scanQRCode: () => {
      const resultStr = prompt('scanQRCode: what does the code say?');
      return resultStr === null ? { errMsg: 'scanQRCode:cancel' } : { resultStr };
    },
    getNetworkType: () => ({ networkType: 'wifi' }),
    closeWindow: () => void location.assign(simulator + '/'),
  };
  for (const name of ['updateAppMessageShareData', 'updateTimelineShareData', 'onMenuShareTimeline', 'onMenuShareAppMessage',
    'hideOptionMenu', 'showOptionMenu', 'hideMenuItems', 'showMenuItems', 'hideAllNonBaseMenuItem', 'showAllNonBaseMenuItem']) {
    apis[name] = () => ({});
  }

  // agentConfig is WeCom's: the identity of one app, told by success and fail. WeChat's browser has no such function.
  function configureAgent(options) {
    const inWeChat = chosen ? chosen !== 'wecom' : /micromessenger/i.test(agent) && !/wxwork/i.test(agent);
    if (inWeChat) {
      setTimeout(() => options.fail?.({ errMsg: 'agentConfig:function not exist' }));
      return;
    }
    Object.assign(agentConfig, { onReady: [() => options.success?.({ errMsg: 'agentConfig:ok' })], onError: options.fail });
    configure('agentConfig', options, agentConfig);
  }

  const wx = {
    config: (options) => void configure('config', options, config),
    agentConfig: configureAgent,
    ready: (callback) => void (config.outcome === 'ok' ? callback() : config.onReady.push(callback)),
    error: (callback) => void (config.onError = callback),
    checkJsApi: ({ jsApiList = [], success, complete }) => {
      const checkResult = Object.fromEntries(jsApiList.map((name) => [name, Object.hasOwn(apis, name)]));
      const result = { checkResult, errMsg: 'checkJsApi:ok' };
      setTimeout(() => [success, complete].forEach((callback) => callback?.(result)));
    },
  };
  for (const [name, work] of Object.entries(apis)) {
    wx[name] = (options) => void perform(name, options, work);
  }

  // The page inside a mini program's web-view. Messages reach the program when the page is left for it (documented).

  const MESSAGES = 'simulator_messages';

  function backToProgram(call) {
    return (options = {}) => {
      if (!inMiniProgram) {
        options.fail?.({ errMsg: `${call}:fail` });
        return;
      }
      const { url, delta } = options;
      const messages = JSON.parse(sessionStorage.getItem(MESSAGES) ?? '[]');
      sessionStorage.removeItem(MESSAGES);
      location.assign(simulator + '/?webview=' + encodeURIComponent(JSON.stringify({ call, url, delta, messages })) + '#miniprogram');
    };
  }

  wx.miniProgram = {
    getEnv: (callback) => void setTimeout(() => callback({ miniprogram: inMiniProgram })),
    postMessage: ({ data }) => {
      const messages = JSON.parse(sessionStorage.getItem(MESSAGES) ?? '[]');
      sessionStorage.setItem(MESSAGES, JSON.stringify([...messages, data]));
    },
  };
  for (const call of ['navigateTo', 'redirectTo', 'navigateBack', 'reLaunch', 'switchTab']) {
    wx.miniProgram[call] = backToProgram(call);
  }
  if (inMiniProgram) {
    window.__wxjs_environment = 'miniprogram';
  }

  window.wx = window.jWeixin = wx;
})();
