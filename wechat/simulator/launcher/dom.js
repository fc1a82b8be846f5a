// Shows the tree of wxml.js in the page. What is there already is changed in place, so that focus and pictures stay.

// patch makes parent's children show the nodes; emit(handler, event) is called for what the person does. phone is that of
// wx.js: it knows the pictures behind temporary paths, web-views, and what the buttons with an open-type give.
export function patch(parent, nodes, phone, emit) {
  nodes.forEach((node, i) => {
    const old = parent.childNodes[i];
    const fresh = typeof node === 'string' ? patchText(old, node) : patchElement(old, node, phone, emit);
    if (!old) {
      parent.append(fresh);
    } else if (old !== fresh) {
      old.replaceWith(fresh);
    }
  });
  while (parent.childNodes.length > nodes.length) {
    parent.lastChild.remove();
  }
}

function patchText(old, text) {
  if (old?.nodeType !== Node.TEXT_NODE) {
    return document.createTextNode(text);
  }
  if (old.data !== text) {
    old.data = text;
  }
  return old;
}

const ELEMENTS = { image: 'img', 'web-view': 'a' }; // the others keep their names

function patchElement(old, node, phone, emit) {
  const name = ELEMENTS[node.tag] ?? node.tag;
  const element = old?.localName === name ? old : document.createElement(name);
  setAttributes(element, node, phone);
  setValue(element, node);
  listen(element, node, phone, emit);
  patch(element, node.tag === 'web-view' ? [String(node.attributes.src ?? '')] : node.children, phone, emit);
  return element;
}

// Attributes that go to the page as they are; there is no way for a program to set any other.
const PLAIN = /^(id|class|hidden|disabled|type|size|plain|mode|user-select|selectable|name|placeholder|maxlength|for|role|aria-[a-z]+|data-[\w-]+)$/;

function setAttributes(element, node, phone) {
  const wanted = new Map();
  for (const [name, value] of Object.entries(node.attributes)) {
    if (PLAIN.test(name) && value !== false && value !== undefined && value !== null) {
      wanted.set(name, value === true ? '' : String(value));
    }
  }
  for (const [name, value] of Object.entries(ownAttributes(node, phone))) {
    wanted.set(name, value);
  }
  for (const { name } of [...element.attributes]) {
    if (!wanted.has(name) && name !== 'style') {
      element.removeAttribute(name);
    }
  }
  for (const [name, value] of wanted) {
    if (element.getAttribute(name) !== value) {
      element.setAttribute(name, value);
    }
  }
  const fit = { aspectFill: 'object-fit:cover;', aspectFit: 'object-fit:contain;' };
  const style = (node.tag === 'image' ? fit[node.attributes.mode] ?? '' : '') + (node.attributes.style ?? '');
  if (style !== '' || element.style.length > 0) {
    element.style.cssText = style; // an attribute would be refused by the page's policy
  }
}

// ownAttributes are those that stand for what WeChat's element does by itself.
function ownAttributes({ tag, attributes }, phone) {
  switch (tag) {
    case 'image':
      return { alt: attributes['aria-label'] ?? '', ...(attributes.src ? { src: phone.pictureOf(String(attributes.src)) } : {}) };
    case 'web-view':
      return { href: phone.webViewAddress(String(attributes.src ?? '')), class: 'sim-webview' };
    case 'input': // the keyboard offers the person's own name (documented)
      return { autocomplete: 'off', ...(attributes.type === 'nickname' ? { list: 'nicknames' } : {}) };
    default:
      return {};
  }
}

const given = new WeakMap(); // input → the value its page last gave it

// setValue leaves what the person has typed, unless the page gives another value.
function setValue(element, { tag, attributes }) {
  if (tag !== 'input' || !('value' in attributes)) {
    return;
  }
  const value = String(attributes.value ?? '');
  if (given.get(element) !== value) {
    given.set(element, value);
    element.value = value;
  }
}

// WeChat's events and the browser's. bind lets an event go on to the parents, catch does not.
const EVENTS = { tap: 'click', load: 'load', error: 'error', input: 'input', blur: 'blur', focus: 'focus', submit: 'submit', reset: 'reset' };
const BINDING = /^(bind|catch):?(\w+)$/;

const bindings = new WeakMap(); // element → {browser event: {handler, stops, type, node}}

function listen(element, node, phone, emit) {
  let known = bindings.get(element);
  if (!known) {
    known = {};
    bindings.set(element, known);
    behave(element, node.tag);
  }
  behaviours.set(element, { node, phone, emit });
  const wanted = {};
  for (const [name, handler] of Object.entries(node.attributes)) {
    const [, kind, type] = BINDING.exec(name) ?? [];
    if (kind && EVENTS[type]) {
      wanted[EVENTS[type]] = { handler, stops: kind === 'catch', type };
    }
  }
  for (const browserEvent of Object.keys(wanted)) {
    if (!(browserEvent in known)) {
      element.addEventListener(browserEvent, (event) => dispatch(element, event, known[browserEvent]));
    }
  }
  for (const browserEvent of Object.keys(known)) {
    known[browserEvent] = undefined;
  }
  for (const [browserEvent, binding] of Object.entries(wanted)) {
    known[browserEvent] = { ...binding, node, emit };
  }
}

function dispatch(element, event, binding) {
  if (!binding) {
    return;
  }
  if (binding.stops) {
    event.stopPropagation();
  }
  const target = { id: element.id, dataset: datasetOf(binding.node) };
  binding.emit(binding.handler, {
    type: binding.type,
    timeStamp: event.timeStamp,
    target,
    currentTarget: target,
    detail: detailOf(element, binding.type),
  });
}

function detailOf(element, type) {
  switch (type) {
    case 'input':
    case 'blur':
    case 'focus':
      return { value: element.value };
    case 'submit':
      return { value: Object.fromEntries([...element.elements].filter(({ name, localName }) => name && localName === 'input').map(({ name, value }) => [name, value])) };
    default:
      return {};
  }
}

const behaviours = new WeakMap(); // element → {node, phone, emit}, of the last patch

// behave adds what WeChat's elements do by themselves. A button ends a form only with a form-type; one with an open-type
// asks the phone for something, which an event of its own brings. A nickname that WeChat would refuse is cleared after the
// input is left (documented).
function behave(element, tag) {
  const now = () => behaviours.get(element);
  if (tag === 'form') {
    element.addEventListener('submit', (event) => event.preventDefault());
  } else if (tag === 'button') {
    element.addEventListener('click', (event) => {
      const { attributes } = now().node;
      const formType = attributes['form-type'];
      if (!formType || formType === 'reset') {
        event.preventDefault();
      }
      if (formType === 'reset') {
        element.closest('form')?.reset();
      }
      if (attributes['open-type']) {
        askPhone(now(), String(attributes['open-type']));
      }
    });
  } else if (tag === 'input') {
    element.addEventListener('blur', () => {
      const { node, phone } = now();
      if (node.attributes.type === 'nickname' && phone.refusesNickname(element.value)) {
        setTimeout(() => (element.value = ''));
      }
    });
  }
}

async function askPhone({ node, phone, emit }, openType) {
  const type = openType.toLowerCase(); // getPhoneNumber → bindgetphonenumber
  const handler = node.attributes['bind' + type] ?? node.attributes['bind:' + type];
  const detail = await phone.openType(openType);
  if (handler && detail) {
    emit(handler, { type, target: { dataset: datasetOf(node) }, currentTarget: { dataset: datasetOf(node) }, detail });
  }
}

// datasetOf keeps the types of data-… attributes, as WeChat does.
function datasetOf(node) {
  const dataset = {};
  for (const [name, value] of Object.entries(node.attributes)) {
    if (name.startsWith('data-')) {
      dataset[name.slice(5).replace(/-(\w)/g, (_, letter) => letter.toUpperCase())] = value;
    }
  }
  return dataset;
}
