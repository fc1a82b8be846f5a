// Reads WXML and turns it, with a page's data, into a plain tree. Supported are the elements of TAGS, the attributes wx:if,
// wx:elif, wx:else and wx:for, and {{expressions}}. Nothing is evaluated as JavaScript.

// parse compiles the text of a .wxml file. The error names what is wrong with it.
export function parse(source) {
  const root = { children: [] };
  const open = [root];
  const top = () => open[open.length - 1];
  let at = 0;
  while (at < source.length) {
    if (source.startsWith('<!--', at)) {
      const end = source.indexOf('-->', at);
      at = end < 0 ? source.length : end + 3;
    } else if (source.startsWith('</', at)) {
      const [whole, tag] = match(/<\/([\w-]+)\s*>/y, source, at, 'a closing tag');
      if (open.length === 1 || top().tag !== tag) {
        throw new Error(`</${tag}> closes nothing`);
      }
      open.pop();
      at += whole.length;
    } else if (source[at] === '<') {
      const { element, closed, end } = parseTag(source, at);
      top().children.push(element);
      if (!closed) {
        open.push(element);
      }
      at = end;
    } else {
      const end = endOfText(source, at);
      const text = source.slice(at, end);
      if (text.trim() !== '') {
        top().children.push({ text: compileText(text) });
      }
      at = end;
    }
  }
  if (open.length > 1) {
    throw new Error(`<${top().tag}> is not closed`);
  }
  return root.children;
}

const TAGS = ['view', 'text', 'image', 'button', 'form', 'input', 'label', 'web-view', 'block'];
const EMPTY = ['input']; // need not be closed

function parseTag(source, start) {
  const [whole, tag] = match(/<([\w-]+)/y, source, start, 'a tag');
  if (!TAGS.includes(tag)) {
    throw new Error(`<${tag}> is not among what the simulator can show: ${TAGS.join(', ')}`);
  }
  const element = { tag, attributes: {}, children: [] };
  let at = start + whole.length;
  for (;;) {
    const [space] = match(/\s*/y, source, at);
    at += space.length;
    if (source.startsWith('/>', at)) {
      return { element, closed: true, end: at + 2 };
    }
    if (source[at] === '>') {
      return { element, closed: EMPTY.includes(tag) && !source.startsWith('</' + tag, at + 1), end: at + 1 };
    }
    const [attribute, name, double, single] = match(/([\w:-]+)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'))?/y, source, at, 'an attribute');
    const value = double ?? single;
    element.attributes[name] = value === undefined ? () => true : compileText(value);
    at += attribute.length;
  }
}

function match(pattern, source, at, what) {
  pattern.lastIndex = at;
  const found = pattern.exec(source);
  if (!found) {
    throw new Error(`want ${what} at: ${source.slice(at, at + 30)}`);
  }
  return found;
}

// endOfText finds the next tag; a < inside {{ }} is none.
function endOfText(source, at) {
  for (let i = at; i < source.length; i++) {
    if (source[i] === '<') {
      return i;
    }
    if (source.startsWith('{{', i)) {
      const end = source.indexOf('}}', i);
      i = end < 0 ? source.length : end + 1;
    }
  }
  return source.length;
}

// compileText makes a function from data to value. A single {{expression}} keeps its type; mixed text is a string.
export function compileText(text) {
  const parts = text.split(/\{\{([\s\S]*?)\}\}/).map((part, i) => (i % 2 ? compileExpression(part) : part));
  if (parts.length === 1) {
    return () => text;
  }
  const mixed = parts.filter((part) => part !== '');
  if (mixed.length === 1) {
    return mixed[0];
  }
  return (data) => mixed.map((part) => (typeof part === 'function' ? shown(part(data)) : part)).join('');
}

function shown(value) {
  return value === undefined || value === null ? '' : String(value);
}

// The operators of two sides by rank. Both sides are functions of the data, so that && and || can leave one out.
const RANKS = [
  { '||': (a, b) => (data) => a(data) || b(data) },
  { '&&': (a, b) => (data) => a(data) && b(data) },
  {
    '===': (a, b) => (data) => a(data) === b(data),
    '!==': (a, b) => (data) => a(data) !== b(data),
    '==': (a, b) => (data) => a(data) == b(data), // eslint-disable-line eqeqeq
    '!=': (a, b) => (data) => a(data) != b(data), // eslint-disable-line eqeqeq
  },
  {
    '<=': (a, b) => (data) => a(data) <= b(data),
    '>=': (a, b) => (data) => a(data) >= b(data),
    '<': (a, b) => (data) => a(data) < b(data),
    '>': (a, b) => (data) => a(data) > b(data),
  },
  { '+': (a, b) => (data) => a(data) + b(data), '-': (a, b) => (data) => a(data) - b(data) },
];

const TOKEN = /\s*(?:(\d+(?:\.\d+)?)|'([^']*)'|"([^"]*)"|([A-Za-z_$][\w$]*)|(===|!==|==|!=|<=|>=|&&|\|\||[-+!?:<>().[\]]))/y;
const CONSTANTS = { true: true, false: false, null: null, undefined: undefined };

// compileExpression makes a function from data to value. What is missing on the way of a path is undefined.
export function compileExpression(source) {
  const tokens = tokenize(source);
  let next = 0;
  const take = (operator) => {
    if (tokens[next]?.operator !== operator) {
      return false;
    }
    next++;
    return true;
  };
  const want = (operator) => {
    if (!take(operator)) {
      throw new Error(`{{${source}}}: want ${operator}`);
    }
  };

  function ternary() {
    const test = ranked(0);
    if (!take('?')) {
      return test;
    }
    const yes = ternary();
    want(':');
    const no = ternary();
    return (data) => (test(data) ? yes(data) : no(data));
  }

  function ranked(rank) {
    if (rank === RANKS.length) {
      return unary();
    }
    let left = ranked(rank + 1);
    for (;;) {
      const operator = Object.keys(RANKS[rank]).find(take);
      if (!operator) {
        return left;
      }
      left = RANKS[rank][operator](left, ranked(rank + 1));
    }
  }

  function unary() {
    if (take('!')) {
      const value = unary();
      return (data) => !value(data);
    }
    if (take('-')) {
      const value = unary();
      return (data) => -value(data);
    }
    return path();
  }

  function path() {
    let value = primary();
    for (;;) {
      const owner = value;
      if (take('.')) {
        const { name } = tokens[next++] ?? {};
        if (name === undefined) {
          throw new Error(`{{${source}}}: want a name after the dot`);
        }
        value = (data) => member(owner(data), name);
      } else if (take('[')) {
        const key = ternary();
        want(']');
        value = (data) => member(owner(data), key(data));
      } else {
        return value;
      }
    }
  }

  function primary() {
    if (take('(')) {
      const inner = ternary();
      want(')');
      return inner;
    }
    const token = tokens[next++];
    if (token && 'value' in token) {
      return () => token.value;
    }
    if (token?.name === undefined) {
      throw new Error(`{{${source}}} is not among the expressions the simulator knows`);
    }
    if (Object.hasOwn(CONSTANTS, token.name)) {
      return () => CONSTANTS[token.name];
    }
    return (data) => member(data, token.name);
  }

  const compiled = ternary();
  if (next < tokens.length) {
    throw new Error(`{{${source}}} is not among the expressions the simulator knows`);
  }
  return compiled;
}

function tokenize(source) {
  const tokens = [];
  let at = 0;
  while (source.slice(at).trim() !== '') {
    const [whole, number, single, double, name, operator] = match(TOKEN, source, at, `an expression in {{${source}}}`);
    at += whole.length;
    if (number !== undefined) {
      tokens.push({ value: Number(number) });
    } else if (name !== undefined) {
      tokens.push({ name });
    } else if (operator !== undefined) {
      tokens.push({ operator });
    } else {
      tokens.push({ value: single ?? double });
    }
  }
  return tokens;
}

// member reads own properties only, besides the length of lists and texts.
function member(owner, key) {
  if (owner === undefined || owner === null) {
    return undefined;
  }
  return Object.hasOwn(Object(owner), key) ? owner[key] : undefined;
}

// render makes the tree to show: elements {tag, attributes, children} and strings.
export function render(nodes, data) {
  const shownNodes = [];
  let taken = true; // whether a branch of the current wx:if chain was taken
  for (const node of nodes) {
    if (node.text) {
      shownNodes.push(shown(node.text(data)));
      continue;
    }
    const { 'wx:if': ifTest, 'wx:elif': elifTest, 'wx:else': elseTest, 'wx:for': list } = node.attributes;
    if (list) {
      shownNodes.push(...renderList(node, list(data), data));
      continue;
    }
    if (ifTest) {
      taken = Boolean(ifTest(data));
    } else if (elifTest || elseTest) {
      if (taken) {
        continue;
      }
      taken = elseTest ? true : Boolean(elifTest(data));
    }
    const conditional = ifTest || elifTest || elseTest;
    if (!conditional || taken) {
      shownNodes.push(...renderElement(node, data));
    }
  }
  return shownNodes;
}

function renderList(node, list, data) {
  const name = (attribute, otherwise) => node.attributes[attribute]?.(data) ?? otherwise;
  const [item, index] = [name('wx:for-item', 'item'), name('wx:for-index', 'index')];
  const { 'wx:for': _, ...attributes } = node.attributes; // a wx:if on the same element then asks of each item
  return Object.entries(list ?? []).flatMap(([key, value]) =>
    render([{ ...node, attributes }], { ...data, [item]: value, [index]: Array.isArray(list) ? Number(key) : key })
  );
}

function renderElement(node, data) {
  const children = render(node.children, data);
  if (node.tag === 'block') {
    return children;
  }
  const attributes = {};
  for (const [name, value] of Object.entries(node.attributes)) {
    if (!name.startsWith('wx:')) {
      attributes[name] = value(data);
    }
  }
  return [{ tag: node.tag, attributes, children }];
}
