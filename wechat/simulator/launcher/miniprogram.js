// Runs a native mini program's own files: its modules, its App, and one Page at a time.

import { parse, render } from './wxml.js';
import { patch } from './dom.js';
import { createWX } from './wx.js';

const ROOT = '/_simulator/miniprogram/';

const modules = new Map(); // path → the function around the module's source

// The simulator serves each module as a script that calls this.
window.defineMiniProgramModule = (path, body) => modules.set(path, body);

let loading; // the program's files, loaded once and shared by all runs

// load resolves to {appid, app, page, path, nodes}.
export function load() {
  loading ??= loadOnce();
  loading.catch(() => (loading = undefined));
  return loading;
}

async function loadOnce() {
  const { appid, scripts } = await readJSON('');
  await Promise.all(scripts.map(loadScript));
  const app = await readJSON('app.json');
  const path = app.pages[0];
  const [page, wxml] = await Promise.all([readJSON(path + '.json'), readText(path + '.wxml')]);
  await loadStyles('app.wxss');
  await loadStyles(path + '.wxss');
  const theme = app.themeLocation ? await readJSON(app.themeLocation) : {};
  return { appid, path, nodes: parse(wxml), window: themed({ ...app.window, ...page }, theme) };
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

// loadStyles waits for the sheet; a program need not have one.
function loadStyles(path) {
  return new Promise((resolve) => {
    const link = document.createElement('link');
    link.rel = 'stylesheet';
    link.href = ROOT + path;
    link.onload = link.onerror = resolve;
    document.head.append(link);
  });
}

// themed replaces values such as @barColor by the theme's (documented: theme.json).
function themed(settings, theme) {
  const values = theme[matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light'] ?? {};
  const resolve = (value) => (typeof value === 'string' && value.startsWith('@') ? values[value.slice(1)] : value);
  return Object.fromEntries(Object.entries(settings).map(([name, value]) => [name, resolve(value)]));
}

// run starts the loaded program for the person of the phone and shows its page in view. fail is told what the program
// throws. It returns {stop()}.
export function run(program, phone, view, fail) {
  let running = true;
  let app;
  let page;
  const loaded = new Map(); // path → exports, of this run alone
  const wx = createWX(phone, () => running);
  const root = document.createElement('page');
  view.replaceChildren(root);

  const framework = {
    App: (options) => {
      app = options;
    },
    Page: (options) => {
      page = options;
    },
    getApp: () => app,
    getCurrentPages: () => (page ? [page] : []),
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

  function show() {
    patch(root, render(program.nodes, page.data), (handler, event) => {
      if (!running) {
        return;
      }
      if (typeof page[handler] === 'function') {
        call(page, handler, event);
      } else {
        fail(new Error(`the page has no method ${handler}`));
      }
    });
  }

  try {
    importModule('app.js');
    call(app, 'onLaunch', { path: program.path, query: {}, scene: 1001 });
    call(app, 'onShow', { path: program.path, query: {}, scene: 1001 });
    importModule(program.path + '.js');
    page.data = JSON.parse(JSON.stringify(page.data ?? {}));
    page.route = program.path;
    page.setData = (changes, done) => {
      for (const [path, value] of Object.entries(changes)) {
        assign(page.data, path, value);
      }
      if (running) {
        show();
        done?.call(page);
      }
    };
    show();
    call(page, 'onLoad', {});
    call(page, 'onShow');
    call(page, 'onReady');
  } catch (problem) {
    fail(problem);
  }

  return {
    stop() {
      call(page, 'onUnload');
      running = false;
      root.remove();
    },
  };
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
