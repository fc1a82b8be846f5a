// Leaving the launcher for a page. Which browser that page believes to be in is a cookie of its host name; the simulator
// sets it there on the way, see /_simulator/open.

const LOOPBACK = /^(localhost|127\.0\.0\.1)$/;
const BROWSER = 'simulator_browser';
const CHOICE = 'links-open-in'; // of this window, which keeps it when a page was opened in another browser than that
const HOPPED = 'simulator_hopped'; // the other host name was told of a browser that is not WeChat's

// setCookie returns when the browser has the cookie. A browser may take it in behind the script's back, so that a page which is
// opened right after would be asked for without it; whoever reads the cookies waits for that.
export function setCookie(name, value, attributes = '') {
  document.cookie = `${name}=${encodeURIComponent(value)}; Path=/; SameSite=Lax${attributes}`;
  return document.cookie;
}

const forget = (name) => setCookie(name, '', '; Max-Age=0');

// choose makes browser what links open in: wechat, webview, wecom or desktop.
export function choose(browser) {
  document.body.dataset.browser = browser;
  sessionStorage.setItem(CHOICE, browser);
  enter(browser);
}

// chosen is what this window has chosen, or else any other.
export const chosen = () => sessionStorage.getItem(CHOICE) ?? document.body.dataset.browser;

// enter makes browser what the simulator's own pages are in, such as the one that asks for consent.
export function enter(browser) {
  browser === 'wechat' ? forget(BROWSER) : setCookie(BROWSER, browser);
}

// addressFor is where to go for a page to be shown in a browser; the page's own address if there is nothing to set.
export function addressFor(address, browser = document.body.dataset.browser) {
  const target = new URL(address, location.origin);
  const canHop = [location, target].every(({ protocol, hostname }) => protocol === 'http:' && LOOPBACK.test(hostname));
  const mustHop = browser !== 'wechat' || document.cookie.includes(HOPPED + '=');
  if (!canHop || !mustHop || target.origin === location.origin) {
    return target.href;
  }
  const hop = new URL('/_simulator/open', location.origin);
  hop.hostname = target.hostname;
  hop.search = new URLSearchParams({ url: target.href, browser });
  return hop.href;
}

// leaveFor goes there. A mini program's web-view is entered for its page alone: what is opened afterwards is not in it.
export function leaveFor(address, browser = document.body.dataset.browser) {
  const way = addressFor(address, browser);
  if (browser === 'wechat' || browser === document.body.dataset.browser) {
    enter(browser);
  }
  browser === 'wechat' ? forget(HOPPED) : setCookie(HOPPED, 'yes');
  location.assign(way);
}
