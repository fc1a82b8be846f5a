// The launcher's page: who holds the phone, the three tabs, and the mini program inside the third.

import { openChat } from './account.js';
import { load, run } from './miniprogram.js';
import { showOrg } from './org.js';
import { addressFor, choose as chooseBrowser, chosen, enter, leaveFor, setCookie } from './open.js';
import { openScanner } from './scan.js';
import { backFromWebView, phoneOf } from './phone.js';

const element = (id) => document.getElementById(id);
const body = document.body;
const bridge = body.dataset.bridge;

// People. The choice is the same cookie as that of the page in WeChat's place which asks who holds the phone.

function choose(person) {
  const before = body.dataset.person;
  setCookie('simulator_person', person);
  body.dataset.person = person;
  for (const chip of document.querySelectorAll('#people [data-person]')) {
    chip.setAttribute('aria-pressed', String(chip.dataset.person === person));
  }
  if (before && before !== person) {
    setCookie(SWITCHED, 'yes');
    askWhoItIs();
  }
  chat.holderChanged();
  program.restart();
}

element('people').addEventListener('click', (event) => {
  const chip = event.target.closest('[data-person]');
  if (chip) {
    element('another').elements.person.value = '';
    choose(chip.dataset.person);
  }
});

element('another').addEventListener('submit', (event) => {
  event.preventDefault();
  const person = event.target.elements.person.value.trim();
  if (person) {
    choose(person);
  }
});

// This browser's cookies on the bridge are still those of whoever held the phone before, as they would not be on a phone
// of somebody else's. So the next link to the login asks for a new one.

const SWITCHED = 'simulator_switched';

function askWhoItIs() {
  const switched = document.cookie.includes(SWITCHED + '=');
  for (const link of document.querySelectorAll('a[data-entry]')) {
    const url = new URL(link.href);
    if (['/login', '/login/wecom'].includes(url.pathname) && switched) {
      url.searchParams.set('prompt', 'login');
      link.href = url.href;
    }
  }
}

askWhoItIs();

// Links. WeChat treats somebody who comes from the menu differently from somebody who follows a link; the cookie says
// which it was, and is spent by the authorize page.

const MENU_SECONDS = 60;

function comeFrom(entry) {
  setCookie('simulator_entry', entry, `; Max-Age=${entry ? MENU_SECONDS : 0}`);
}

document.addEventListener('click', (event) => {
  const link = event.target.closest('a[data-entry]');
  if (link) {
    comeFrom(link.dataset.entry);
    if (link.dataset.url) {
      chat.tapped(link.dataset.url);
    }
    setCookie(SWITCHED, '', '; Max-Age=0');
    const browser = link.dataset.entry === 'chat' ? 'wechat' : body.dataset.browser; // the chat is WeChat's own
    enter(browser);
    if (addressFor(link.href, browser) !== link.href) {
      event.preventDefault();
      leaveFor(link.href, browser);
    }
  }
});

function showBrowser() {
  body.dataset.browser = element('browser').value = chosen();
  showOrg(body.dataset.browser);
}

showBrowser();

element('browser').addEventListener('change', (event) => {
  chooseBrowser(event.target.value);
  showOrg(event.target.value);
});

// With several official accounts, the page is made anew for the chosen one.
const SCANNED = 'simulator_scanned';

function chatWith(appid) {
  setCookie('simulator_account', appid);
  location.reload();
}

element('account')?.addEventListener('change', (event) => chatWith(event.target.value));

element('open-link').addEventListener('submit', (event) => {
  event.preventDefault();
  const address = addressOf(event.target.elements.link.value.trim());
  element('wrong-link').hidden = address !== '';
  if (address) {
    comeFrom('');
    leaveFor(address);
  }
});

// addressOf takes a whole address, a path on the bridge, or the simulator's own authorize page.
function addressOf(text) {
  const base = text.startsWith('/connect/') ? location.origin : bridge || undefined;
  try {
    const url = new URL(text, base);
    return text && /^https?:$/.test(url.protocol) ? url.href : '';
  } catch {
    return '';
  }
}

// The chat with the official account. Whatever is done there reaches the account's server as an event.

const chat = openChat(body.dataset.account, () => body.dataset.person, {
  menuShown: askWhoItIs,
  openProgram(path) {
    history.replaceState(null, '', '#miniprogram');
    openTab();
    program.restart(path);
  },
});

// The scanner. What it opens is opened on the phone, whatever browser links open in.

const scanner = openScanner(
  () => body.dataset.person,
  (address) => {
    comeFrom('');
    leaveFor(address, 'wechat');
  },
  (event, report, appid) => {
    history.replaceState(null, '', '#account');
    if (appid !== body.dataset.account) {
      sessionStorage.setItem(SCANNED, JSON.stringify({ event, report }));
      chatWith(appid);
      return;
    }
    openTab();
    chat.tell(event, report);
  }
);

// A scan that led to the chat with another account is told there.
const scanned = sessionStorage.getItem(SCANNED);
if (scanned) {
  sessionStorage.removeItem(SCANNED);
  const { event, report } = JSON.parse(scanned);
  chat.tell(event, report);
}

// Tabs. The address names the open one, so that a reload and Back stay there.

const TABS = ['account', 'links', 'scan', 'miniprogram'];

function openTab() {
  const wanted = location.hash.slice(1);
  const open = TABS.includes(wanted) ? wanted : TABS[0];
  for (const tab of TABS) {
    element('panel-' + tab).hidden = tab !== open;
    element('tab-' + tab).setAttribute('aria-selected', String(tab === open));
  }
  titleBar(element('panel-' + open).dataset.title, '');
  scanner.shown(open === 'scan');
  if (open === 'account') {
    chat.opened();
  }
  program.shown(open === 'miniprogram');
}

for (const tab of TABS) {
  element('tab-' + tab).addEventListener('click', () => {
    history.replaceState(null, '', '#' + tab);
    openTab();
  });
}

window.addEventListener('hashchange', openTab);

function titleBar(title, color) {
  element('bar-title').textContent = title;
  element('bar').style.background = color;
}

// The mini program. It runs while its tab is open and somebody holds the phone, anew for each person.

const program = createProgram(element('miniprogram-view'));

function createProgram(view) {
  if (!view) {
    return { restart() {}, shown() {} }; // there is none to run
  }
  let open = false;
  let started; // the run that goes on, {stop()}
  let runs = 0; // a start that was overtaken by another is given up

  async function start(from) {
    stop();
    const person = body.dataset.person;
    element('miniprogram-hint').hidden = person !== '';
    if (!person) {
      return;
    }
    const mine = ++runs;
    view.textContent = view.dataset.starting;
    try {
      const files = await load();
      if (mine === runs) {
        const phone = phoneOf(files.appid, person, { title: titleBar, toast, modal });
        Object.assign(view.dataset, { person, appid: files.appid });
        phone.changed();
        started = run(files, phone, view, fail, from);
      }
    } catch (problem) {
      fail(problem);
    }
  }

  function stop() {
    runs++;
    started?.stop();
    started = undefined;
    view.replaceChildren();
    for (const name of ['person', 'appid', 'page', 'stored']) {
      delete view.dataset[name];
    }
    element('miniprogram-error').hidden = true;
    element('miniprogram-modal').hidden = true;
    element('miniprogram-calls').replaceChildren();
    toast('', 0);
    element('bar-back').hidden = true;
  }

  element('miniprogram-restart').addEventListener('click', () => start());
  element('bar-back').addEventListener('click', () => started?.back());
  return {
    // restart runs the program anew if it is open, from its first page or the one named.
    restart: (url) => open && start({ url }),
    shown(isOpen) {
      element('miniprogram-inside').hidden = !isOpen;
      if (isOpen !== open) {
        open = isOpen;
        open ? start(backFromWebView()) : stop();
      }
    },
  };
}

let toastTimer;

// toast shows a title, for ever if milliseconds is 0; an empty title takes it away.
function toast(title, milliseconds) {
  clearTimeout(toastTimer);
  const shown = element('miniprogram-toast');
  shown.textContent = title;
  shown.hidden = title === '';
  if (milliseconds > 0) {
    toastTimer = setTimeout(() => (shown.hidden = true), milliseconds);
  }
}

// modal resolves to {confirm, cancel}.
function modal({ title = '', content = '', showCancel = true, confirmText, cancelText }) {
  const [mask, confirm, cancel] = ['miniprogram-modal', 'modal-confirm', 'modal-cancel'].map(element);
  element('modal-title').textContent = title;
  element('modal-content').textContent = content;
  confirm.textContent = confirmText ?? confirm.dataset.text;
  cancel.textContent = cancelText ?? cancel.dataset.text;
  cancel.hidden = !showCancel;
  mask.hidden = false;
  confirm.focus();
  return new Promise((resolve) => {
    const close = (confirmed) => () => {
      mask.hidden = true;
      resolve({ confirm: confirmed, cancel: !confirmed });
    };
    confirm.onclick = close(true);
    cancel.onclick = close(false);
  });
}

function fail(problem) {
  console.error(problem);
  const shown = element('miniprogram-error');
  shown.textContent = problem?.message ?? problem?.errMsg ?? String(problem);
  shown.hidden = false;
}

// A program's callbacks run on their own; what they throw ends up here.
for (const kind of ['error', 'unhandledrejection']) {
  window.addEventListener(kind, (event) => {
    if (element('miniprogram-error') && location.hash === '#miniprogram') {
      fail(event.reason ?? event.error ?? event.message);
    }
  });
}

openTab();
