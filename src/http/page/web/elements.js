// Elements, made and changed without text that could become markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value == null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.setAttribute("class", value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child != null && child !== false));
  return element;
}

/** An element of HTML. Children are elements and texts. */
export function make(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** The same of SVG. */
export function draw(tag, attributes, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

export function by(id) {
  return document.getElementById(id);
}

/** Sets a text, if it is another one: a screen reader tells of changes. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function show(element, isShown) {
  element.hidden = !isShown;
}

/** A bar that is filled by a share of 0 to 1. */
export function bar(share, label) {
  const inner = make("i");
  const outer = make("div", { class: "bar", role: "progressbar", "aria-label": label, "aria-valuemin": 0, "aria-valuemax": 100 }, inner);
  setBar(outer, share);
  return outer;
}

export function setBar(outer, share) {
  const whole = Math.round(1000 * Math.min(1, Math.max(0, share || 0))) / 10;
  outer.firstChild.style.width = `${whole}%`;
  outer.setAttribute("aria-valuenow", Math.round(whole));
}

/**
 * Brings a list up to date by key, so that what stays keeps its focus. `create` makes the element of an item, and `update`
 * changes it.
 */
export function keyed(list, items, key, create, update) {
  const known = new Map([...list.children].map((child) => [child.dataset.key, child]));
  let before = null;
  for (const item of items) {
    const name = String(key(item));
    let element = known.get(name);
    if (element) {
      known.delete(name);
    } else {
      element = create(item);
      element.dataset.key = name;
    }
    update(element, item);
    const place = before ? before.nextSibling : list.firstChild;
    if (place !== element) list.insertBefore(element, place);
    before = element;
  }
  for (const gone of known.values()) gone.remove();
}

/** A short word about something that was done. */
export function note(text, isBad = false) {
  const element = make("div", { class: isBad ? "note bad" : "note" }, text);
  by("notes").append(element);
  setTimeout(() => element.remove(), isBad ? 12000 : 6000);
}

/** Opens the one dialog. The promise ends when it is closed. */
export function openDialog(title, body, { narrow = false } = {}) {
  const dialog = by("dialog");
  say(by("dialog-title"), title);
  by("dialog-body").replaceChildren(...[body].flat());
  dialog.classList.toggle("narrow", narrow);
  if (!dialog.open) dialog.showModal();
  by("dialog-title").focus();
  return new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }));
}

export function closeDialog() {
  const dialog = by("dialog");
  if (dialog.open) dialog.close();
}
