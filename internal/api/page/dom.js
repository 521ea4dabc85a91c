// Small helpers around the document. Text enters it as text only; there is no markup from outside.

export const $ = (id) => document.getElementById(id);

// element returns a new element with a class and children; strings become text.
export function element(name, className = "", ...children) {
  const e = document.createElement(name);
  if (className) e.className = className;
  e.append(...children);
  return e;
}

const shown = new WeakMap();

// put sets an element's text, and leaves the document alone if it has that text already.
export function put(e, text) {
  if (shown.get(e) === text) return;
  shown.set(e, text);
  e.textContent = text;
}

// attribute does the same for an attribute; null removes it.
export function attribute(e, name, value) {
  if (value === null) e.removeAttribute(name);
  else if (e.getAttribute(name) !== String(value)) e.setAttribute(name, value);
}

// facts makes a list of [label, value, state] the items of ul, reusing those that are there.
export function facts(ul, list) {
  while (ul.children.length > list.length) ul.lastChild.remove();
  while (ul.children.length < list.length) ul.append(element("li", "", element("b"), " ", element("span")));
  list.forEach(([label, value, state], i) => {
    const li = ul.children[i];
    put(li.children[0], value);
    put(li.children[1], label);
    attribute(li, "data-status", state ?? null);
  });
}
