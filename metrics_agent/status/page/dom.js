// Elements. Text from outside only ever becomes text: nothing here, or anywhere, parses HTML.

import { visible } from "./words.js";

export const byId = (id) => document.getElementById(id);

// Make an element with classes and children; a text is a child too.
export const element = (name, className = "", ...children) => {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.append(...children);
  return made;
};

// Set a text, and touch the page only if it changed: selections and screen readers stay calm.
export const setText = (node, text) => {
  const shown = visible(text);
  if (node.textContent !== shown) node.textContent = shown;
};

export const setAttribute = (node, name, value) => {
  if (node.getAttribute(name) !== value) node.setAttribute(name, value);
};

// Make a list follow items, so that what stays keeps its elements, its focus and what is open.
//   key: item -> text, different for each item
//   make: () -> { node, update(item) }
export const keyed = (parent, key, make) => {
  let shown = new Map();
  return (items) => {
    const next = new Map();
    let before = null;
    for (const item of items) {
      const name = key(item);
      if (next.has(name)) continue;
      const view = shown.get(name) ?? make();
      view.update(item);
      next.set(name, view);
      const place = before ? before.nextSibling : parent.firstChild;
      if (view.node !== place) parent.insertBefore(view.node, place);
      before = view.node;
    }
    for (const [name, view] of shown) if (!next.has(name)) view.node.remove();
    shown = next;
  };
};

// Make a list of names and values in a <dl>.
export const facts = (parent) => {
  const update = keyed(
    parent,
    ([name]) => name,
    () => {
      const term = element("dt");
      const value = element("dd");
      return {
        node: element("div", "", term, value),
        update: ([name, text]) => {
          setText(term, name);
          setText(value, text);
        },
      };
    },
  );
  return (pairs) => update(pairs.filter(([, text]) => text !== null && text !== ""));
};

// Make a badge: a state as a word and a colour.
export const badge = () => {
  const node = element("span", "badge");
  return {
    node,
    update: (mood, word) => {
      setAttribute(node, "data-mood", mood);
      setText(node, word);
    },
  };
};
