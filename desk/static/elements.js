// Makes elements without markup: all text becomes text nodes, so a post can run nothing.

const SVG = "http://www.w3.org/2000/svg";

/** Returns an element. Attributes that are null, undefined or false are left out; `on` holds listeners. */
export function el(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** The same for an element of SVG. */
export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, { on = {}, ...attributes }, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    element.setAttribute(name, value === true ? "" : value);
  }
  for (const [name, listener] of Object.entries(on)) element.addEventListener(name, listener);
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false && child !== ""));
  return element;
}

/** A stranger's words. They keep their own direction and do not turn what stands beside them. */
export function words(text, attributes = {}) {
  return el("bdi", attributes, text);
}

/** The letters of a type, in its colour. */
export function typeMark(type, sign = "") {
  return el("bdi", { class: `type ${type}`, dir: "ltr" }, `${type}${sign}`);
}

export function key(name) {
  return el("kbd", { "aria-hidden": "true" }, name);
}

export function percent(share) {
  return `${Math.round(share * 100)}%`;
}
