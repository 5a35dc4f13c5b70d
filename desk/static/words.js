// The page /review/words: one answer for all posts that ask about the same name.
//
// An answer counts for lines with a tick that were on the screen. Presses while an answer is on its way do nothing: they
// would be meant for lines that are going.

import { Bulks } from "./words_bulks.js";
import { addressOf, drawActions, drawEmpty, drawHead, drawLines, drawNames, drawPreview, drawTold, isSame } from "./words_draw.js";
import { isOurs, send, toast } from "./page.js";
import { Lines } from "./words_lines.js";
import { observe as observeLines } from "./words_seen.js";

const API = "/api/v1/review/names";
const TYPES = { 1: "PER", 2: "LOC", 3: "ORG", 4: "MISC" };
const KEYS = { ArrowUp: "up", k: "up", ArrowDown: "down", j: "down", ArrowLeft: "left", "[": "left", ArrowRight: "right", "]": "right", " ": "space" };
const PLAIN = new Set(["a", "r", "1", "2", "3", "4", "x", "u", "?", "/"]);
const NAMES = 50;

const page = Object.fromEntries([...document.querySelectorAll("[data-part]")].map((part) => [part.dataset.part, part]));
const root = document.getElementById("words");
const sheet = document.getElementById("keys");
const narrow = document.getElementById("narrow");
const me = root.dataset.person;
const most = Number(root.dataset.most);
const bulks = new Bulks(me, Number(root.dataset.undoS));

/** `state` is "loading" until the first names have come, "away" if they did not, then "here". */
const names = { groups: [], next: null, search: "", state: "loading" };
/** The name on the screen, and its lines. */
let open = null;
let shown = new Lines("loading");
let busy = "";
let visit = 0;

// Loading

/** Loads the first `count` names or, with `more`, as many after those that are here. A page may have fewer than asked. */
async function loadNames(count = NAMES, more = false) {
  const search = narrow.value;
  let groups = more ? names.groups : [];
  let next = more ? names.next : 0;
  const wanted = groups.length + Math.max(1, count);
  while (next !== null && groups.length < wanted) {
    const limit = Math.min(200, wanted - groups.length);
    const found = await send("GET", `${API}?${new URLSearchParams({ q: search, limit, offset: next })}`);
    if (search !== narrow.value) return;
    groups = [...groups, ...found.groups];
    next = found.next;
  }
  Object.assign(names, { groups, next, search: search.trim(), state: "here" });
  drawAllNames();
}

/** Opens a name. `reasons` says what was not decided of it just now. */
async function show(group, { push = true, reasons = new Map() } = {}) {
  const mine = ++visit;
  open = group;
  shown = new Lines(group ? "loading" : "empty");
  if (push && group) history.pushState(null, "", addressOf(group));
  paint();
  if (!group) return;
  const found = await send("GET", `${API}/lines?${new URLSearchParams(group)}`);
  if (mine !== visit) return;
  open = { name: found.name, type: found.type };
  shown = new Lines(found.lines.length ? "lines" : "gone", { reasons });
  shown.add(found);
  paint();
  scrollTo({ top: 0 });
}

async function moreLines() {
  const mine = visit;
  const found = await send("GET", `${API}/lines?${new URLSearchParams({ ...open, offset: shown.next })}`);
  if (mine !== visit) return;
  shown.add(found);
  paint();
}

/** Does something that needs the desk. Its failure is told. */
async function attempt(doing) {
  try {
    await doing();
  } catch (error) {
    if (names.state === "loading") names.state = "away";
    if (shown.state === "loading") shown = new Lines("away", { reason: error.message });
    tell({ sentence: error.message, tone: "bad", again: Boolean(bulks.pending) });
    paint();
  }
}

function observe() {
  const watched = shown;
  observeLines(page.lines.querySelectorAll(".words-line"), page.actions.parentElement, (posts) => {
    posts.forEach((post) => watched.seen.add(post));
    drawBar();
  });
}

// Answers

async function decide(name) {
  const { lines } = shown.tally(most);
  if (bulks.pending) return unconfirmed();
  if (!lines.length) return void toast("Nothing is decided: no line that was on the screen has a tick.", "bad");
  const to = TYPES[name];
  const action = name === "r" ? "reject" : !to || to === open.type ? "accept" : "retype";
  const body = {
    ...open,
    action,
    to: action === "retype" ? to : null,
    lines: lines.map(({ post, seen }) => ({ post, seen })),
    looked_at: Math.max(lines.length, shown.seen.size),
  };
  const { type } = open;
  const told = (count) => (action === "reject" ? `${count} rejected as ${type}` : action === "accept" ? `${count} accepted as ${type}` : `${count} changed from ${type} to ${to}`);
  await work(`Deciding ${lines.length} …`, () => bulks.decide(body, told));
}

const repeat = () => work("Trying again …", () => bulks.again());

/** Waits for the result of an answer, then shows what is left of the name, or the next one. */
async function work(words, doing) {
  if (busy) return;
  busy = words;
  root.dataset.state = "busy";
  drawBar();
  const wasUnseen = shown.tally(most).unseen > 0;
  const authors = new Map(shown.lines.map(({ post, author }) => [post, author ?? post]));
  const following = neighbour(1);
  await attempt(async () => {
    let result = null;
    try {
      result = await doing();
      await loadNames(names.groups.length);
    } finally {
      busy = "";
      if (result) tellResult(result, authors); // not before: a press of its Undo would do nothing
    }
    const stays = result.left.length > 0 || wasUnseen;
    const next = stays ? { name: result.name, type: result.type } : following;
    const target = next ?? names.groups.find((group) => !isSame(group, open)) ?? names.groups[0] ?? null;
    await show(target, { reasons: new Map(result.left.map(({ post, sentence }) => [post, sentence])) });
  });
  drawBar();
}

function tellResult({ posts, left }, authors) {
  const sentence = posts.length ? bulks.last?.told : "Nothing was decided.";
  tell({ sentence, undoable: posts.length > 0, left, authors });
}

/** One answer at a time: nothing may come between one that the desk has not confirmed, and its repetition. */
function unconfirmed() {
  tell({ sentence: "Your last answer is not confirmed yet: press “Try again” first.", tone: "bad", again: true });
}

async function undo() {
  if (busy) return;
  if (bulks.pending) return unconfirmed();
  const { last } = bulks;
  if (!last) return void toast("There is nothing to undo: no answer of yours here can be taken back.");
  busy = "Undoing …";
  drawBar();
  await attempt(async () => {
    let undone;
    try {
      undone = await bulks.undo();
    } finally {
      busy = "";
    }
    const { posts, left, name, type } = undone;
    tell({ sentence: `Undone: ${posts.length === 1 ? "1 post is" : `${posts.length} posts are`} open again.`, left });
    await loadNames(names.groups.length);
    await show({ name, type });
  });
  drawBar();
}

// Presses

function press(name) {
  if (busy) return;
  if (name === "?") sheet.showModal();
  else if (name === "/") narrow.focus();
  else if (name === "u") undo();
  else if (name === "left" || name === "right") attempt(() => goTo(neighbour(name === "left" ? -1 : 1)));
  else if (shown.state !== "lines") return;
  else if (name === "up" || name === "down") moveTo(shown.current + (name === "up" ? -1 : 1));
  else if (name === "space") tick(shown.lines[shown.current]);
  else if (name === "x") {
    shown.toggleAll();
    mark();
  }
  else decide(name);
}

function neighbour(step) {
  const place = names.groups.findIndex((group) => isSame(group, open));
  return names.groups[place < 0 ? 0 : place + step] ?? null;
}

async function goTo(group) {
  if (!group || isSame(group, open)) return;
  if (!bulks.pending) clear();
  await show(group);
}

function tick(line) {
  const who = line.holder === me ? "You have this post open in another window" : "Somebody works on this post at the moment";
  if (line.holder !== null) return void toast(`${who}, so it cannot be decided here.`);
  shown.toggle(line);
  mark();
}

function moveTo(place) {
  shown.current = Math.max(0, Math.min(shown.lines.length - 1, place));
  mark();
  const line = page.lines.querySelectorAll(".words-line")[shown.current];
  line.querySelector("input").focus({ preventScroll: true });
  line.scrollIntoView({ block: "nearest" });
}

// Drawing

function drawAllNames() {
  page.names.replaceChildren(...drawNames(names, open, () => attempt(() => loadNames(NAMES, true))).filter(Boolean));
}

function paint() {
  root.dataset.state = shown.state;
  drawAllNames();
  page.names.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest" });
  page.head.replaceChildren(...drawHead(open, shown.lines, shown.next !== null));
  const drawn = shown.state === "lines" ? drawLines(shown, me, () => attempt(moreLines)) : drawEmpty(shown.state, shown.reason);
  page.lines.replaceChildren(...drawn.filter(Boolean));
  mark();
  observe();
}

/** Shows ticks and the current line, without drawing the lines again. */
function mark() {
  page.lines.querySelectorAll(".words-line").forEach((element, place) => {
    const isTicked = shown.ticked.has(element.dataset.post);
    element.querySelector("input").checked = isTicked;
    element.classList.toggle("off", !isTicked);
    element.classList.toggle("current", place === shown.current);
    if (place === shown.current) spread(element.querySelector(".kwic"));
  });
  drawBar();
}

/** Shows all of the current line's text if it does not fit. */
function spread(context) {
  if (context.dataset.measured) return;
  context.dataset.measured = "yes";
  context.classList.remove("long");
  const isLong = [...context.children].some((part) => part.scrollWidth > part.clientWidth + 1 || part.firstChild.offsetWidth > part.clientWidth + 8);
  context.classList.toggle("long", isLong);
}

function drawBar() {
  const told = shown.tally(most);
  const isOff = Boolean(busy) || !told.decided;
  const state = JSON.stringify([told.decided, isOff]);
  page.preview.replaceChildren(...(busy || shown.state === "lines" ? drawPreview(told, busy) : []));
  if (page.actions.dataset.state === state) return;
  const focused = page.actions.contains(document.activeElement) && document.activeElement.dataset.press;
  page.actions.dataset.state = state;
  page.actions.replaceChildren(...drawActions(told.decided, isOff));
  if (focused) page.actions.querySelector(`[data-press="${CSS.escape(focused)}"]`)?.focus();
}

function tell(said) {
  page.told.hidden = false;
  page.told.classList.toggle("bad", said.tone === "bad");
  page.told.replaceChildren(...drawTold(said, undo, repeat).filter(Boolean));
}

function clear() {
  page.told.hidden = true;
  page.told.replaceChildren();
}

// Input

addEventListener("keydown", (event) => {
  if (!isOurs(event) || sheet.open) return;
  const name = KEYS[event.key] ?? (PLAIN.has(event.key.toLowerCase()) ? event.key.toLowerCase() : null);
  if (!name || (event.repeat && name !== "up" && name !== "down")) return;
  if (name === "space" && event.target.closest("button, a, summary, input")) return;
  event.preventDefault();
  press(name);
});

root.addEventListener("click", (event) => {
  const button = event.target.closest("[data-press]");
  if (button) return press(button.dataset.press);
  const link = event.target.closest(".words-name");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  if (!busy) attempt(() => goTo({ name: link.dataset.name, type: link.dataset.type }));
});

page.lines.addEventListener("change", (event) => {
  const line = lineOf(event.target);
  if (!line) return;
  if (!busy) tick(line);
  event.target.checked = shown.ticked.has(line.post);
});

page.lines.addEventListener("focusin", (event) => {
  const line = event.target.matches("input") && lineOf(event.target);
  if (!line) return;
  shown.current = shown.lines.indexOf(line);
  mark();
});

function lineOf(element) {
  const post = element.closest(".words-line")?.dataset.post;
  return shown.find(post);
}

let narrowing = 0;
narrow.addEventListener("input", () => {
  clearTimeout(narrowing);
  narrowing = setTimeout(() => attempt(() => loadNames()), 150);
});
narrow.addEventListener("keydown", (event) => {
  if (event.key === "Escape") narrow.blur();
  if (event.key !== "Enter" || !names.groups.length) return;
  narrow.blur();
  attempt(() => goTo(names.groups[0]));
});

addEventListener("resize", () => {
  for (const context of page.lines.querySelectorAll(".kwic")) delete context.dataset.measured;
  mark();
  observe();
});
document.addEventListener("visibilitychange", observe);
addEventListener("popstate", () => attempt(() => show(fromAddress() ?? names.groups[0] ?? null, { push: false })));
for (const close of sheet.querySelectorAll("[data-close]")) close.addEventListener("click", () => sheet.close());
sheet.addEventListener("keydown", (event) => event.key === "?" && sheet.close());

function fromAddress() {
  const { type, name } = Object.fromEntries(new URLSearchParams(location.search));
  return type && name ? { name, type } : null;
}

attempt(async () => {
  paint();
  if (bulks.last) tell({ sentence: bulks.last.told, undoable: true });
  await loadNames();
  await show(fromAddress() ?? names.groups[0] ?? null, { push: false });
});
