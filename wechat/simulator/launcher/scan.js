// Scanning: the person of the phone points WeChat's camera at a QR code, which here is pasted or picked from a list.

const element = (id) => document.getElementById(id);

const LOOK_AGAIN = 2000; // milliseconds: a code may be made while the panel is open

// openScanner wires the panel; holder() names the person, open(address) opens a page on their phone, and happened(event,
// report, appid) is told what an account heard of them.
export function openScanner(holder, open, happened) {
  const result = element('scan-result');
  let scanned = ''; // what the account on show was found by

  function say(text) {
    const line = document.createElement('li');
    line.textContent = text;
    result.append(line);
  }

  async function scan(text, consent) {
    const person = holder();
    element('scan-follow').hidden = true;
    result.replaceChildren();
    if (!person) {
      say(result.dataset.nobody);
      return;
    }
    const code = /^https?:/.test(text) ? { url: text } : { ticket: text };
    const report = await post({ person, consent, ...code });
    if (person === holder()) {
      show(report, text);
    }
  }

  function show({ kind, appid, event, push, shown, open: page, error }, text) {
    if (page) {
      open(page);
    } else if (event) {
      happened(event, push, appid);
    } else if (error || shown) {
      say(error ?? shown);
    } else if (kind === 'account') {
      scanned = text;
      element('scan-follow').hidden = false;
    }
  }

  element('scan').addEventListener('submit', (event) => {
    event.preventDefault();
    const text = event.target.elements.code.value.trim();
    if (text) {
      scan(text, 'wait');
    }
  });
  element('scan-follow').addEventListener('click', () => scan(scanned, 'allow'));

  let timer;
  let listed = ''; // what is on show; the buttons stay the same while it does

  async function list() {
    const { codes } = await (await fetch('/_simulator/scannable')).json();
    if (JSON.stringify(codes) === listed) {
      return;
    }
    listed = JSON.stringify(codes);
    const items = codes.map(({ kind, says, about }) => {
      const item = document.createElement('li');
      const button = document.createElement('button');
      button.type = 'button';
      button.dataset.kind = kind;
      button.textContent = `${element('scan-codes').dataset[kind]} · ${about}`;
      button.addEventListener('click', () => scan(says, 'wait'));
      item.append(button);
      return item;
    });
    element('scan-codes').replaceChildren(...items);
  }

  return {
    shown(isOpen) {
      clearInterval(timer);
      if (isOpen) {
        result.replaceChildren();
        element('scan-follow').hidden = true;
        list();
        timer = setInterval(() => list().catch(() => {}), LOOK_AGAIN); // a simulator that is being started again is no fault
      }
    },
  };
}

async function post(body) {
  try {
    const response = await fetch('/_simulator/scan', {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(body),
    });
    return await response.json();
  } catch (problem) {
    return { error: problem.message };
  }
}
