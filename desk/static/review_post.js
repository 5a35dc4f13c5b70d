// Draws the post: its text with the mentions, who wrote it, its image with what was found in it.

import { el, svg, typeMark, words } from "./elements.js";
import { toPoint } from "./spans.js";
import { isOpen, mentionOf, overlap, stands } from "./work.js";

/** Text node -> the code point of the post at which it begins. */
const places = new WeakMap();

/** Returns the text with its mentions. `edited` is the span that is being edited, or null. */
export function drawText(work, edited, onChoose) {
  const marks = edited ? [editedMark(edited)] : [];
  const items = work.items.filter((item, place) => !edited || edited.adding || place !== work.cursor);
  const rank = (item) => (item === work.items[work.cursor] ? 0 : stands(item) ? 1 : item.isCandidate ? 3 : 2);
  for (const item of [...items].sort((a, b) => rank(a) - rank(b))) {
    const mark = itemMark(work, item, !edited && item === work.items[work.cursor]);
    if (!marks.some((other) => overlap(mark, other))) marks.push(mark);
  }
  marks.sort((a, b) => a.start - b.start);
  const children = [];
  let place = 0;
  for (const mark of marks) {
    children.push(plain(work.text, place, mark.start), drawMark(work.text, mark, onChoose));
    place = mark.end;
  }
  children.push(plain(work.text, place, work.text.length));
  return el("p", { class: "post", dir: "auto", id: "post-text", lang: work.task.lang }, ...children);
}

/** Returns the code points that a selection in the text covers, or null. */
export function selected(container) {
  const selection = getSelection();
  if (!selection.rangeCount || selection.isCollapsed) return null;
  const range = selection.getRangeAt(0);
  if (!container.contains(range.startContainer) || !container.contains(range.endContainer)) return null;
  const start = placeOf(container, range.startContainer, range.startOffset);
  const end = placeOf(container, range.endContainer, range.endOffset);
  return start < end ? { start, end } : null;
}

function placeOf(container, node, offset) {
  if (places.has(node)) return places.get(node) + toPoint(node.data, offset);
  // Between nodes, or in the letters of a type: the end of the text before that point.
  const range = document.createRange();
  range.setStart(container, 0);
  range.setEnd(node, offset);
  const walker = document.createTreeWalker(container, NodeFilter.SHOW_TEXT);
  let place = 0;
  for (let text = walker.nextNode(); text && range.comparePoint(text, text.data.length) <= 0; text = walker.nextNode()) {
    if (places.has(text)) place = places.get(text) + Array.from(text.data).length;
  }
  return place;
}

function plain(text, start, end) {
  const node = document.createTextNode(text.slice(start, end));
  places.set(node, start);
  return node;
}

function editedMark({ start, end, edge, type, adding }) {
  return { start, end, type, classes: `mention edited edge-${edge}`, sign: adding ? "+" : "", isCurrent: true, item: null, label: "the span that you edit" };
}

function itemMark(work, item, isCurrent) {
  const mention = mentionOf(item);
  const gone = !isOpen(item) && !stands(item);
  const sign = gone ? "✗" : isOpen(item) ? "?" : item.answered ? "✓" : "";
  const state = gone ? "rejected" : isOpen(item) ? "question" : item.answered ? "answered" : "sure";
  const candidate = item.isCandidate && isOpen(item) ? " candidate" : "";
  const label = `${work.text.slice(mention.start, mention.end)}, ${mention.type}, ${state}`;
  return { ...mention, classes: `mention ${state}${candidate}`, sign, isCurrent, item, label };
}

function drawMark(text, mark, onChoose) {
  const choose = mark.item ? { click: () => onChoose(mark.item) } : {};
  return el(
    "span",
    {
      class: `${mark.classes} ${mark.type}${mark.isCurrent ? " current" : ""}`,
      role: mark.item ? "button" : null,
      tabindex: mark.item ? "0" : null,
      "aria-label": mark.item ? mark.label : null,
      "aria-current": mark.isCurrent ? "true" : null,
      on: choose,
    },
    plain(text, mark.start, mark.end),
    typeMark(mark.type, mark.sign),
  );
}

/** Returns the line on author, time, source, language, edit and copies. */
export function drawAbout(task) {
  const parts = [];
  if (task.author) parts.push(el("strong", {}, words(task.author)));
  if (task.created_at) parts.push(el("time", { datetime: task.created_at }, moment(task.created_at)));
  parts.push(words(task.source));
  if (task.lang) parts.push(el("span", { class: "badge" }, words(task.lang)));
  if (task.edit) parts.push(el("span", { class: "badge" }, `edit ${task.edit}`));
  if (task.copies) parts.push(el("span", { class: "badge" }, task.copies === 1 ? "and 1 copy" : `and ${task.copies} copies`));
  return el("p", { class: "about row" }, ...parts);
}

function moment(text) {
  const iso = new Date(text).toISOString();
  return `${iso.slice(0, 10)} ${iso.slice(11, 16)} UTC`;
}

/** Returns the first photo with boxes, what was found in it, and the description that the model read; null if nothing. */
export function drawImage(task) {
  const { photos, regions, status, reason } = task.image;
  const parts = [];
  if (photos.length) parts.push(drawPhoto(photos[0], task.image));
  else if (status === "failed") parts.push(el("p", { class: "soft small" }, "The image could not be read: ", words(reason ?? "no reason given")));
  if (photos.length && status === "failed") parts.push(el("p", { class: "soft small" }, "The model did not see this image: ", words(reason ?? "no reason given")));
  if (photos.length && status === "none") parts.push(el("p", { class: "soft small" }, "The model did not look at this image."));
  if (regions.length) parts.push(drawRegions(regions));
  if (task.context) parts.push(el("p", { class: "context" }, el("span", { class: "soft small" }, "What the model read in the image"), el("span", { dir: "auto" }, task.context)));
  return parts.length ? el("div", { class: "review-image" }, ...parts) : null;
}

function drawPhoto(photo, { width, height, regions }) {
  const size = { w: width || 100, h: height || 75 };
  const image = el("img", { src: photo.address, alt: photo.alt ?? "The post's photo. It has no description.", width: size.w, height: size.h, decoding: "async" });
  const frame = el("div", { class: "photo" }, image, drawBoxes(regions, size));
  image.addEventListener("error", async () => frame.replaceWith(await drawMissing(photo)), { once: true });
  return el("figure", {}, frame, photo.alt ? el("figcaption", { class: "soft small", dir: "auto" }, photo.alt) : null);
}

/** Says why there is no photo. */
async function drawMissing(photo) {
  let reason = "the desk does not answer";
  try {
    const answer = await fetch(photo.address);
    if (!answer.ok) reason = (await answer.json()).error;
  } catch {
    // the first reason holds
  }
  return el("p", { class: "photo-missing", role: "note" }, el("strong", {}, "No photo"), el("span", { class: "small" }, words(reason)));
}

function drawBoxes(regions, size) {
  const boxes = placeBoxes(regions, size).map(({ kind, at, number }, place) =>
    svg(
      "g",
      { class: `box ${kind}`, "data-region": place },
      svg("rect", { ...at, class: "box-halo", "vector-effect": "non-scaling-stroke" }),
      svg("rect", { ...at, "vector-effect": "non-scaling-stroke" }),
      svg("rect", { class: "box-number", ...number }),
      svg("text", { x: number.x + number.width / 2, y: number.y + number.height * 0.74, "font-size": number.height * 0.74, "text-anchor": "middle" }, `${place + 1}`),
    ),
  );
  return svg("svg", { class: "boxes", viewBox: `0 0 ${size.w} ${size.h}`, "aria-hidden": "true" }, ...boxes);
}

/** Finds a place for the number of each box: beside it, above it or below it, where it hides least of what was found. */
export function placeBoxes(regions, { w, h }) {
  const height = Math.max(w, h) / 26;
  const width = height * (regions.length > 9 ? 1.3 : 1);
  const boxes = regions.map(({ kind, box: [left, top, right, bottom] }) => ({ kind, at: { x: left * w, y: top * h, width: (right - left) * w, height: (bottom - top) * h } }));
  const taken = boxes.map(({ at }) => at);
  for (const box of boxes) {
    const { x, y } = box.at;
    const [before, after, above, below] = [x - width, x + box.at.width, y - height, y + box.at.height];
    const corners = [[before, y], [x, above], [x, below], [after, y], [after - width, above], [after - width, below], [x, y]];
    const places = corners.map(([left, top]) => ({ x: left, y: top, width, height }));
    const inside = places.filter((at) => at.x >= 0 && at.y >= 0 && at.x + width <= w && at.y + height <= h);
    const hidden = (at) => Math.round(taken.reduce((sum, other) => sum + common(at, other), 0));
    box.number = inside.reduce((best, at) => (hidden(at) < hidden(best) ? at : best), inside[0] ?? places.at(-1));
    taken.push(box.number);
  }
  return boxes;
}

/** Returns the area that two rectangles share. */
function common(a, b) {
  const across = Math.min(a.x + a.width, b.x + b.width) - Math.max(a.x, b.x);
  const down = Math.min(a.y + a.height, b.y + b.height) - Math.max(a.y, b.y);
  return Math.max(0, across) * Math.max(0, down);
}

function drawRegions(regions) {
  const lines = regions.map(({ kind, label, score }, place) => {
    const mark = (isOn) => () => document.querySelector(`[data-region="${place}"]`)?.classList.toggle("on", isOn);
    return el(
      "li",
      { class: kind, on: { mouseenter: mark(true), mouseleave: mark(false) } },
      el("span", { class: "region-number" }, `${place + 1}`),
      kind === "text" ? el("q", {}, words(label)) : words(label),
      el("span", { class: "soft figure" }, `${Math.round(score * 100)}%`),
    );
  });
  return el("div", {}, el("h3", { class: "small soft" }, "Found in the image"), el("ol", { class: "regions" }, ...lines));
}
