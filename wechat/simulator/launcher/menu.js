// The menu of the official account, as the account pushed it. Until it pushes one, the page shows the menu of its own.

// showMenu fills nav with the buttons of a pushed menu. actions are {click(key), program(button), other(button)}; links are
// left to the page's handler of a[data-entry].
export function showMenu(nav, buttons, actions) {
  const all = buttons.map((button) => (button.sub_button.length > 0 ? parent(button, actions) : leaf(button, actions)));
  nav.replaceChildren(...all);
}

function parent(button, actions) {
  const box = document.createElement('div');
  box.className = 'sim-menu-parent';
  const list = document.createElement('div');
  list.className = 'sim-submenu';
  list.hidden = true;
  list.append(...button.sub_button.map((sub) => leaf(sub, actions)));
  const opener = named(document.createElement('button'), button);
  opener.addEventListener('click', () => (list.hidden = !list.hidden));
  box.append(list, opener);
  return box;
}

function leaf(button, actions) {
  if (button.type === 'view') {
    const link = named(document.createElement('a'), button);
    Object.assign(link.dataset, { entry: 'menu', url: button.url });
    link.href = button.url;
    return link;
  }
  const made = named(document.createElement('button'), button);
  made.addEventListener('click', () => {
    const act = { click: () => actions.click(button.key), miniprogram: () => actions.program(button) }[button.type];
    act ? act() : actions.other(button);
  });
  return made;
}

function named(element, { name }) {
  if (element.localName === 'button') {
    element.type = 'button';
  }
  element.textContent = name;
  element.title = name; // the client cuts long names off
  return element;
}
