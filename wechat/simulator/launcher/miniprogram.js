// Runs a native mini program's own files: its modules, its App, and its pages in a stack.

import { parse, render } from './wxml.js';
import { patch } from './dom.js';
import { createWX } from './wx.js';

const ROOT = '/_simulator/miniprogram/';

const modules = new Map(); // path → the function around the module's source

// The simulator serves each module as a script that calls this.
window.defineMiniProgramModule = (path, body) => modules.set(path, body);

let loading; // the program's files, loaded once and shared by all runs

// load resolves to {appid, settings, theme}: settings are those of app.json.
export function load() {
  loading ??= loadOnce();
  loading.catch(() => (loading = undefined));
  return loading;
}

async function loadOnce() {
  const { appid, scripts } = await readJSON('');
  await Promise.all(scripts.map(loadScript));
  const settings = await readJSON('app.json');
  await loadStyles('app.wxss');
  const theme = settings.themeLocation ? await readJSON(settings.themeLocation) : {};
  return { appid, settings, theme };
}

const pageFiles = new Map(); // path → promise of {nodes, window, styles}

function loadPage(program, path) {
  if (!pageFiles.has(path)) {
    const files = loadPageOnce(program, path);
    files.catch(() => pageFiles.delete(path));
    pageFiles.set(path, files);
  }
  return pageFiles.get(path);
}

async function loadPageOnce({ settings, theme }, path) {
  const [page, wxml] = await Promise.all([readJSON(path + '.json'), readText(path + '.wxml')]);
  const styles = await loadStyles(path + '.wxss');
  return { nodes: parse(wxml), window: themed({ ...settings.window, ...page }, theme), styles };
}

async function readText(path) {
  const reply = await fetch(ROOT + path);
  if (!reply.ok) {
    throw new Error(`${path || 'the list of files'}: status ${reply.status}`);
  }
  return reply.text();
}

async function readJSON(path) {
  const text = await readText(path);
  try {
    return JSON.parse(text);
  } catch (problem) {
    throw new Error(`${path}: ${problem.message}`);
  }
}

function loadScript(path) {
  return new Promise((resolve, reject) => {
    const script = document.createElement('script');
    script.src = ROOT + path;
    script.onload = () => (modules.has(path) ? resolve() : reject(new Error(`${path}: syntax error, see the browser's console`)));
    script.onerror = () => reject(new Error(`${path}: cannot be loaded`));
    document.head.append(script);
  });
}

// loadStyles waits for the sheet and resolves to its element; a program need not have one.
function loadStyles(path) {
  return new Promise((resolve) => {
    const link = document.createElement('link');
    link.rel = 'stylesheet';
    link.href = ROOT + path;
    link.onload = link.onerror = () => resolve(link);
    document.head.append(link);
  });
}

// themed replaces values such as @barColor by the theme's (documented: theme.json).
function themed(settings, theme) {
  const values = theme[matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light'] ?? {};
  const resolve = (value) => (typeof value === 'string' && value.startsWith('@') ? values[value.slice(1)] : value);
  return Object.fromEntries(Object.entries(settings).map(([name, value]) => [name, resolve(value)]));
}

const STACK_MAX = 10; // documented

// run starts the loaded program for the person of the phone and shows its pages in view. fail is told what the program
// throws. start says where: {url}, the first page if empty; or, coming back from a web-view, {stack, resume} as
// phone.openWebView was given the stack and jweixin.js told what to do: {call, url, delta, messages}. It returns
// {stop(), back()}.
export function run(program, phone, view, fail, start = {}) {
  let running = true;
  let app;
  let registered; // what Page was last called with
  const definitions = new Map(); // path → that, of the page's module
  const stack = []; // {page, path, query, root, files, left}, the page on show last
  const loaded = new Map(); // path → exports, of this run alone
  const top = () => stack[stack.length - 1];
  view.replaceChildren();

  const navigation = {
    navigateTo: ({ url }) => open(addressOf(url, 'navigateTo'), () => stack.length < STACK_MAX || refuse('navigateTo:fail page stack limit exceed')),
    redirectTo: ({ url }) => open(addressOf(url, 'redirectTo'), () => close(1)),
    reLaunch: ({ url }) => open(addressOf(url, 'reLaunch'), () => close(stack.length)),
    switchTab: ({ url }) => open(addressOf(url, 'switchTab'), () => close(stack.length)),
    navigateBack: async ({ delta = 1 } = {}) => {
      close(Math.min(delta, stack.length - 1));
      reveal();
    },
  };
  const wx = createWX(phone, () => running, navigation);

  const framework = {
    App: (options) => {
      app = options;
    },
    Page: (options) => {
      registered = options;
    },
    getApp: () => app,
    getCurrentPages: () => stack.map(({ page }) => page),
  };

  function importModule(path) {
    if (loaded.has(path)) {
      return loaded.get(path).exports;
    }
    const body = modules.get(path);
    if (!body) {
      throw new Error(`module '${path}' is not defined`);
    }
    const module = { exports: {} };
    loaded.set(path, module);
    const require = (name) => importModule(resolvePath(path, name));
    const { App, Page, getApp, getCurrentPages } = framework;
    body.call(undefined, require, module, module.exports, wx, App, Page, getApp, getCurrentPages);
    return module.exports;
  }

  // call runs a piece of the program; what it throws, at once or later, is shown and ends nothing else.
  function call(owner, method, ...given) {
    try {
      const result = owner?.[method]?.(...given);
      result?.then?.(undefined, fail);
    } catch (problem) {
      fail(problem);
    }
  }

  // addressOf reads the url of a navigation: a path of the program, from its root or from the page on show, and a query.
  function addressOf(url, name) {
    const [path, query = ''] = String(url).split('?');
    const resolved = path === '' ? program.settings.pages[0] : resolvePath(top()?.path ?? '', path).replace(/\.js$/, '');
    if (!program.settings.pages.includes(resolved)) {
      return refuse(`${name}:fail page "${resolved}" is not found`);
    }
    const pairs = query.split('&').filter((pair) => pair !== '').map((pair) => pair.split(/=(.*)/s).slice(0, 2));
    return { path: resolved, query: Object.fromEntries(pairs.map(([key, value = '']) => [key, value])) }; // not decoded (documented)
  }

  function refuse(errMsg) {
    throw { errMsg };
  }

  // open puts a page on the stack, once makeRoom has been through with the ones there.
  async function open({ path, query }, makeRoom = () => {}, left = false) {
    const files = await loadPage(program, path);
    if (!running) {
      return;
    }
    makeRoom();
    if (!definitions.has(path)) {
      registered = undefined;
      importModule(path + '.js');
      definitions.set(path, registered ?? refuse(`${path}.js: Page was not called`));
    }
    call(top()?.page, 'onHide');
    const entry = { path, query, files, left, root: document.createElement('page'), page: instanceOf(definitions.get(path)) };
    const { page } = entry;
    page.route = path;
    page.options = query;
    page.setData = (changes, done) => {
      for (const [name, value] of Object.entries(changes)) {
        assign(page.data, name, value);
      }
      if (running) {
        show(entry);
        done?.call(page);
      }
    };
    stack.push(entry);
    view.append(entry.root);
    onTop();
    show(entry);
    call(page, 'onLoad', query);
    call(page, 'onShow');
    call(page, 'onReady');
  }

  function close(count) {
    for (const { page, root } of stack.splice(stack.length - count)) {
      call(page, 'onUnload');
      root.remove();
    }
  }

  // reveal shows the page that others were in front of.
  function reveal() {
    onTop();
    show(top());
    call(top().page, 'onShow');
  }

  function onTop() {
    for (const { root, files } of stack) {
      files.styles.disabled = files !== top().files;
      root.hidden = root !== top().root;
    }
    phone.pageChanged(top().path, stack.length, top().files.window);
  }

  function show(entry) {
    const tree = render(entry.files.nodes, entry.page.data);
    patch(entry.root, tree, phone, (handler, event) => emit(entry.page, handler, event));
    const address = webViewOf(tree)?.attributes.src;
    if (address && !entry.left && entry === top()) {
      entry.left = true;
      phone.openWebView(address, stack.map(({ path, query }) => ({ path, query })));
    }
  }

  function emit(page, handler, event) {
    if (!running) {
      return;
    }
    if (typeof page[handler] === 'function') {
      call(page, handler, event);
    } else {
      fail(new Error(`the page has no method ${handler}`));
    }
  }

  // comeBack makes the stack anew that a web-view was opened on, hands over what the H5 page posted, and goes where it said.
  async function comeBack(kept, { call: name, messages = [], ...options }) {
    for (const [i, { path, query }] of kept.entries()) {
      await open({ path, query }, undefined, i === kept.length - 1);
    }
    const { attributes = {} } = webViewOf(render(top().files.nodes, top().page.data)) ?? {};
    const handler = attributes.bindmessage ?? attributes['bind:message'];
    if (messages.length > 0 && handler) {
      emit(top().page, handler, { type: 'message', detail: { data: messages } });
    }
    await navigation[name]?.(options);
  }

  async function begin() {
    importModule('app.js');
    const first = addressOf(start.url ?? '', 'launch');
    call(app, 'onLaunch', { ...first, scene: 1001 });
    call(app, 'onShow', { ...first, scene: 1001 });
    await (start.resume ? comeBack(start.stack, start.resume) : open(first));
  }

  // A failure that is no Error is of the program's own making: a page that is not there.
  begin().catch((problem) => fail(problem instanceof Error ? problem : new Error(problem.errMsg)));

  return {
    back: () => stack.length > 1 && navigation.navigateBack(),
    stop() {
      close(stack.length);
      running = false;
    },
  };
}

// instanceOf makes a page of its definition. Each has data and fields of its own.
function instanceOf(definition) {
  const page = {};
  for (const [name, value] of Object.entries(definition)) {
    page[name] = typeof value === 'object' ? copyOf(value) : value;
  }
  page.data = JSON.parse(JSON.stringify(page.data ?? {}));
  return page;
}

function copyOf(value) {
  try {
    return structuredClone(value);
  } catch {
    return value; // there are functions in it
  }
}

function webViewOf(tree) {
  for (const node of tree) {
    const found = node.tag === 'web-view' ? node : webViewOf(node.children ?? []);
    if (found) {
      return found;
    }
  }
  return undefined;
}

// resolvePath is where require(name) in the module at path leads: './x', '../x' or '/x', with or without .js.
function resolvePath(path, name) {
  const base = name.startsWith('/') ? [] : path.split('/').slice(0, -1);
  for (const part of name.split('/')) {
    if (part === '..') {
      base.pop();
    } else if (part !== '.' && part !== '') {
      base.push(part);
    }
  }
  const resolved = base.join('/');
  return resolved.endsWith('.js') ? resolved : resolved + '.js';
}

// assign sets what a key of setData names: 'fan', 'fan.nickname' or 'list[0].done' (documented).
function assign(data, path, value) {
  const keys = path.split(/[.[\]]+/).filter((key) => key !== '');
  let owner = data;
  keys.slice(0, -1).forEach((key, i) => {
    if (typeof owner[key] !== 'object' || owner[key] === null) {
      owner[key] = /^\d+$/.test(keys[i + 1]) ? [] : {};
    }
    owner = owner[key];
  });
  owner[keys[keys.length - 1]] = value;
}
