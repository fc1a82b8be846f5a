// The chat with the official account: following, tapping and writing, each of which WeChat tells the account's server.

import { showMenu } from './menu.js';

const element = (id) => document.getElementById(id);

const BUTTON_KEY = 'HELLO'; // of the menu button that opens no page

// openChat wires the account's panel; holder() names the person who holds the phone, "" for nobody. actions are
// {menuShown(), openProgram(path)}.
export function openChat(appid, holder, actions) {
  if (!appid) {
    return { holderChanged() {}, tapped() {}, opened() {}, tell() {} };
  }
  const follow = element('follow');
  let following = false; // as far as the page knows

  function showFollowing(now) {
    following = now;
    for (const chat of ['say', 'menu-click'].map(element)) {
      chat.hidden = !following;
    }
    element('follow-hint').hidden = following || holder() === '';
    follow.setAttribute('aria-pressed', String(following));
    follow.textContent = following ? follow.dataset.pressed : follow.dataset.released;
    follow.classList.toggle('sim-quiet', following);
  }

  function add(className, text) {
    const line = document.createElement('li');
    line.className = className;
    line.append(...(className === 'sim-answered' ? linked(text) : [text]));
    element('account-events').append(line);
    line.scrollIntoView({ block: 'nearest' });
  }

  // happen lets an event happen to the holder and shows what became of it. Who does not follow the account has no chat with it
  // (assumed), and so there is nothing to tell but that they follow now.
  async function happen(event) {
    const person = holder();
    if (!following && event.name !== 'subscribe') {
      add('sim-happened', element('follow-hint').textContent);
      return;
    }
    const report = await push(appid, person, event);
    if (person === holder()) {
      tell(event.name, report);
    }
  }

  function tell(name, report) {
    add('sim-happened', summary(name, report));
    if (report.shown) {
      add('sim-answered', report.shown);
    }
    if (typeof report.following === 'boolean') {
      showFollowing(report.following);
    }
    if (name === 'subscribe') {
      opened();
    }
  }

  // opened shows the menu that the phone has now: opening the chat may fetch it anew.
  async function opened() {
    const person = holder();
    if (person === '') {
      return;
    }
    const { pushed, button } = await (await fetch('/_simulator/menu?' + new URLSearchParams({ person, appid }))).json();
    if (person !== holder()) {
      return;
    }
    const nav = element('pushed-menu');
    nav.hidden = !pushed;
    for (const own of ['menu', 'menu-notes'].map(element)) {
      own?.toggleAttribute('hidden', pushed);
    }
    showMenu(nav, button, {
      click: (key) => happen({ name: 'CLICK', key }),
      program: ({ pagepath }) => {
        happen({ name: 'view_miniprogram', path: pagepath });
        actions.openProgram(pagepath);
      },
      other: ({ type }) => add('sim-happened', nav.dataset.other + type),
    });
    actions.menuShown();
  }

  async function holderChanged() {
    const person = holder();
    element('account-events').replaceChildren();
    element('account-actions').hidden = person === '';
    element('account-hint').hidden = person !== '';
    showFollowing(false);
    if (person === '') {
      return;
    }
    const response = await fetch('/_simulator/following?' + new URLSearchParams({ person, appid }));
    const answer = await response.json();
    if (person === holder()) {
      showFollowing(answer.following === true);
      await opened();
    }
  }

  follow.addEventListener('click', () => {
    happen({ name: follow.getAttribute('aria-pressed') === 'true' ? 'unsubscribe' : 'subscribe' });
  });

  element('menu-click').addEventListener('click', () => happen({ name: 'CLICK', key: BUTTON_KEY }));

  element('say').addEventListener('submit', (event) => {
    event.preventDefault();
    const input = event.target.elements.text;
    const content = input.value.trim();
    if (content) {
      input.value = '';
      add('sim-said', content);
      happen({ name: 'text', content });
    }
  });

  holderChanged();
  return {
    holderChanged,
    opened,
    tell, // of something that happened elsewhere on the phone
    // tapped is a link of the menu; the page it is on is being left.
    tapped(address) {
      if (holder() && following) {
        happen({ name: 'VIEW', url: /^https?:/.test(address) ? address : new URL(address, location.origin).href });
      }
    },
  };
}

// linked makes links of the addresses in an answer, and of the <a href> that WeChat shows as links in texts (assumed).
function linked(text) {
  const LINK = /<a\s+href=["'](https?:[^"']+)["'][^>]*>([^<]*)<\/a>|(https?:\/\/[^\s<>"'，。）]+)/g;
  const parts = [];
  let at = 0;
  for (const found of text.matchAll(LINK)) {
    const link = document.createElement('a');
    [link.href, link.textContent] = [found[1] ?? found[3], found[2] ?? found[3]];
    link.dataset.entry = 'chat';
    parts.push(text.slice(at, found.index), link);
    at = found.index + found[0].length;
  }
  return [...parts, text.slice(at)];
}

// push answers the simulator's report. keepalive: the request outlives the page.
async function push(appid, person, event) {
  try {
    const response = await fetch('/_simulator/events', {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ person, appid, event }),
      keepalive: true,
    });
    return await response.json();
  } catch (problem) {
    return { error: problem.message };
  }
}

// summary is like "subscribe → 200 success", or "CLICK → 404 ×3: answered with status 404, want 200".
function summary(name, { attempts = [], problem, error, reply }) {
  const last = attempts.at(-1);
  const status = last ? ` ${last.status ?? '–'}` : '';
  const times = attempts.length > 1 ? ` ×${attempts.length}` : '';
  const wrong = error ?? problem ?? (reply?.kind === 'invalid' ? reply.problem : undefined);
  const good = reply?.kind === 'none' ? ' success' : '';
  return `${name} →${status}${times}${wrong ? `: ${wrong}` : good}`;
}
