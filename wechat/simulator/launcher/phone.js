// The phone that the mini program runs on: what its wx, its buttons and its web-view ask of it.

import { addressFor, leaveFor } from './open.js';
import { post, storedBy } from './wx.js';

const element = (id) => document.getElementById(id);
const STACK = 'simulator_stack'; // in sessionStorage: the pages that a web-view was opened from

// phoneOf is the phone of a person with the mini program appid open. screen is {title(text, color), toast(…), modal(…)}.
export function phoneOf(appid, person, screen) {
  const pictures = new Map(); // temporary path → address

  const ask = async (control, more = {}) => (await post('/_simulator/' + control, { person, appid, ...more })).json();

  const phone = {
    appid,
    person,
    language: document.documentElement.lang === 'en' ? 'en' : 'zh_CN',
    toast: screen.toast,
    modal: screen.modal,
    title: (text) => screen.title(text, element('bar').style.background),
    record(name, detail) {
      const line = document.createElement('li');
      line.textContent = `${name} ${detail}`;
      element('miniprogram-calls').append(line);
    },
    changed: () => showStorage(storedBy(appid, person)),
    pageChanged(path, depth, window) {
      element('miniprogram-view').dataset.page = path;
      element('bar-back').hidden = depth < 2;
      screen.title(window.navigationBarTitleText ?? '', window.navigationBarBackgroundColor ?? '');
    },

    // profile is what wx.getUserInfo or wx.getUserProfile gives; {error} without a login.
    profile: (api) => ask('encrypted-profile', { api }),

    // openType is what a tap on a button with this open-type brings; undefined for those that bring nothing here.
    openType(type) {
      const kinds = { getPhoneNumber, getUserInfo, chooseAvatar };
      return kinds[type]?.();
    },
    pictureOf: (path) => pictures.get(path) ?? path,

    // refusesNickname stands in for WeChat's check of names.
    refusesNickname: (name) => /违规|risky/i.test(name),

    webViewAddress: (address) => (isOnBridge(address) ? addressFor(address, 'webview') : '#miniprogram'),

    // openWebView shows an H5 page in a web-view. The launcher frames nothing: the page takes the whole window, with the
    // cookie that says web-view. stack is kept for the way back.
    openWebView(address, stack) {
      phone.record('web-view', address);
      if (!isOnBridge(address)) {
        phone.toast('不支持打开非业务域名', 0);
        return;
      }
      sessionStorage.setItem(STACK, JSON.stringify(stack));
      leaveFor(address, 'webview');
    },
  };

  async function getPhoneNumber() {
    const refusal = { errMsg: 'getPhoneNumber:fail user deny' };
    const result = chipOf(person)?.dataset.refuses === 'true' ? refusal : { ...(await ask('phone-code')), errMsg: 'getPhoneNumber:ok' };
    phone.record('getPhoneNumber', result.code ? 'code' : result.errMsg);
    return result;
  }

  async function getUserInfo() {
    const { error, ...result } = await phone.profile('getUserInfo');
    return error ? { errMsg: 'getUserInfo:fail ' + error } : { ...result, errMsg: 'getUserInfo:ok' };
  }

  // chooseAvatar gives a path that only this phone knows (documented); it has to be uploaded by the program.
  function chooseAvatar() {
    const path = `http://tmp/${crypto.randomUUID()}.jpeg`;
    pictures.set(path, '/_simulator/avatar?' + new URLSearchParams({ person }));
    phone.record('chooseAvatar', path);
    return { avatarUrl: path };
  }

  offerNickname(person);
  return phone;
}

// backFromWebView is where to go on after an H5 page in a web-view called wx.miniProgram: the start of run. undefined if
// that is not how the launcher was entered.
export function backFromWebView() {
  const parameters = new URLSearchParams(location.search);
  const resume = parameters.get('webview');
  const stack = JSON.parse(sessionStorage.getItem(STACK) ?? '[]');
  if (!resume) {
    return undefined;
  }
  parameters.delete('webview');
  history.replaceState(null, '', '/?' + parameters + location.hash);
  sessionStorage.removeItem(STACK);
  return stack.length > 0 ? { stack, resume: JSON.parse(resume) } : undefined;
}

// isOnBridge is the list of domains that a web-view may open (documented), which is the bridge alone.
function isOnBridge(address) {
  return URL.parse(address)?.origin === document.body.dataset.bridge;
}

// chipOf is what the page says of somebody; undefined for strangers.
function chipOf(person) {
  return [...document.querySelectorAll('#people [data-person]')].find(({ dataset }) => dataset.person === person);
}

function offerNickname(person) {
  const option = document.createElement('option');
  option.value = chipOf(person)?.dataset.nickname ?? person;
  element('nicknames').replaceChildren(option);
}

function showStorage(entries) {
  const list = element('miniprogram-storage');
  element('miniprogram-view').dataset.stored = entries.map(({ key }) => key).join(' ');
  list.replaceChildren(
    ...entries.flatMap(({ key, value }) => [newElement('dt', key), newElement('dd', JSON.stringify(value))])
  );
  if (entries.length === 0) {
    list.append(newElement('dd', list.dataset.empty));
  }
}

function newElement(name, text) {
  const made = document.createElement(name);
  made.textContent = text;
  return made;
}
