// Stands in for WeChat's own wxLogin.js: new WxLogin({id, appid, scope, redirect_uri, state, …}) puts the login page of a
// website app into a frame. redirect_uri comes URL-encoded, as with the real one. The look of the page (style, href,
// stylelite, color_scheme) is not simulated.
(() => {
  const simulator = new URL(document.currentScript.src).origin;

  window.WxLogin = function WxLogin({ id, appid, scope, redirect_uri, state = '', self_redirect, fast_login, lang, onReady, onQRcodeReady }) {
    const container = document.getElementById(id);
    const frame = document.createElement('iframe');
    const query = [
      `appid=${appid}`, `redirect_uri=${redirect_uri}`, 'response_type=code', `scope=${scope}`, `state=${state}`,
      'login_type=jssdk', `self_redirect=${self_redirect === true || self_redirect === 'true'}`,
    ];
    if (fast_login !== undefined) {
      query.push(`fast_login=${Number(fast_login)}`);
    }
    if (lang) {
      query.push(`lang=${lang}`);
    }
    frame.src = `${simulator}/connect/qrconnect?${query.join('&')}`;
    frame.width = '300px';
    frame.height = '400px';
    frame.style.border = '0';
    frame.allow = 'local-network-access';
    window.addEventListener('message', ({ origin, source, data }) => {
      if (origin !== simulator || source !== frame.contentWindow) {
        return;
      }
      if (data?.wxLogin === 'ready') {
        onReady?.(true);
      } else if (data?.wxLogin === 'qrcode') {
        onQRcodeReady?.();
      }
    });
    container.replaceChildren(frame);
  };
})();
