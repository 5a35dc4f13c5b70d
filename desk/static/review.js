// The page /review: what each press does, and what the screen shows.

import { el, words } from "./elements.js";
import { nameOf, Presses } from "./keys.js";
import { toast } from "./page.js";
import { Queue } from "./queue.js";
import { drawAbout, drawImage, drawText, selected } from "./review_post.js";
import { drawActions, drawHistory, drawState, drawSync } from "./review_side.js";
import { drawWhy } from "./review_why.js";
import { byCharacter, byWord, firstFree, snap, switchEdge } from "./spans.js";
import * as rules from "./work.js";

const TYPES = { 1: "PER", 2: "LOC", 3: "ORG", 4: "MISC" };
const STEPS = { tab: 1, right: 1, down: 1, "shift-tab": -1, left: -1, up: -1 };

const page = Object.fromEntries([...document.querySelectorAll("[data-part]")].map((part) => [part.dataset.part, part]));
const root = document.getElementById("review");
const sheet = document.getElementById("keys");
const flagging = document.getElementById("flag");
const badge = document.querySelector("[data-waiting]");
const note = document.getElementById("flag-note");

/** While a span is edited: { span, adding }. */
let editing = null;
let message = "";
let isHandling = false;
/** Part of the page -> what it depended on when it was drawn. */
const drawn = new Map();

const queue = new Queue(root.dataset.person, (moved) => {
  if (moved) {
    presses.forget("the post on the screen is another one now");
    editing = null;
    flagging.close();
  }
  paint();
});
// While the next post is on its way, presses wait for it. Where no post comes, they mean something else, or nothing.
const presses = new Presses(() => queue.state !== "loading", handle, (count, why) => {
  message = `${count} ${count === 1 ? "press was" : "presses were"} not used: ${why}.`;
});

function handle(name) {
  message = "";
  queue.stay();
  isHandling = true;
  try {
    if (!queue.shown) onBlank(name);
    else if (editing) onSpan(name);
    else onTask(name);
  } catch (error) {
    if (!(error instanceof rules.Impossible)) throw error;
    message = error.message;
  } finally {
    isHandling = false;
  }
  paint();
}

function onTask(name) {
  const { work } = queue.shown;
  if (name === "a") change(rules.accept(work));
  else if (name === "r") change(rules.reject(work));
  else if (name in TYPES) change(rules.retype(work, TYPES[name]));
  else if (name in STEPS) step(name);
  else if (name === "e") editing = { span: { ...place(rules.mentionOf(rules.current(work))), edge: "end" }, adding: false };
  else if (name === "n") editing = { span: firstFree(work.text, work.items.map((item) => Object.values(place(rules.mentionOf(item))))), adding: true };
  else if (name === "s") queue.skip();
  else if (name === "f") askForNote();
  else if (name === "u") takeBack();
}

/** Tab leaves the post after its last mention, also when it was pressed before that mention was painted. */
function step(name) {
  const { work } = queue.shown;
  const isLast = work.cursor === work.items.length - 1;
  if (name === "tab" && isLast) page.actions.querySelector("button")?.focus();
  else if (name !== "shift-tab" || work.cursor > 0) queue.update(rules.move(work, STEPS[name]));
}

function onSpan(name) {
  const { work } = queue.shown;
  const { span, adding } = editing;
  const steps = { left: -1, right: 1, "shift-left": -1, "shift-right": 1 };
  if (name in steps) editing = { ...editing, span: (name.startsWith("shift") ? byCharacter : byWord)(work.text, span, steps[name]) };
  else if (name === "tab") editing = { ...editing, span: switchEdge(span) };
  else if (name === "escape") editing = null;
  else if (name === "n" && !adding) editing = { ...editing, adding: true };
  else if (name === "enter" && adding) throw new rules.Impossible("Press 1 to 4 for the type of the new mention.");
  else if (name === "enter" || name in TYPES) {
    const changed = adding
      ? rules.add(work, span.start, span.end, TYPES[name])
      : rules.respan(work, span.start, span.end, TYPES[name]);
    editing = null;
    change(changed);
  }
}

function onBlank(name) {
  if (name === "u") takeBack();
  else if (name === "w" && queue.skipped) queue.unskip();
  else throw new rules.Impossible(`No post is on the screen, so ${name} does nothing.`);
}

/** Presses that came before this screen without a post: only what it offers can have been meant for it. */
function dropUnmeant() {
  if (presses.waiting.some((name) => name !== "u" && name !== "w")) presses.forget("no post came for them");
}

function change(work) {
  queue.update(work);
  if (rules.isDone(work)) queue.settle();
}

/** Asks why the post is for somebody else. Presses that came before the question was seen are no answer to it. */
function askForNote() {
  presses.forget("the note comes first");
  note.value = "";
  flagging.showModal();
}

/** Undoes the last answer of this post or, if it has none, opens the post that was decided last. */
function takeBack() {
  const before = queue.shown && rules.undo(queue.shown.work);
  if (before) queue.update(before);
  else reopen(queue.history.last);
}

function reopen(row) {
  if (!row) throw new rules.Impossible("There is nothing to undo: you decided no post here yet.");
  editing = null;
  queue.reopen(row);
}

function place({ start, end }) {
  return { start, end };
}

function choose(item) {
  const at = queue.shown.work.items.indexOf(item);
  if (at < 0) return;
  queue.update(rules.moveTo(queue.shown.work, at));
  paint();
}

// Drawing

function paint() {
  if (isHandling) return;
  const entry = queue.shown;
  if (!entry && queue.state !== "loading") dropUnmeant();
  const waiting = presses.waiting.length;
  root.dataset.state = entry ? "task" : queue.state;
  const { counts, outbox, history, state, skipped, reason } = queue;
  redraw("counts", [counts, outbox?.trouble, outbox?.reason, outbox?.size, navigator.onLine], () => drawSync(queue));
  if (counts && badge) {
    badge.hidden = !counts.apart;
    badge.textContent = counts.apart.toLocaleString("en").replaceAll(",", "\u202f");
  }
  const decided = history.rows.map(({ id, state: sent }) => `${id} ${sent}`).join();
  redraw("past", [decided], () => drawHistory(history.rows, (row) => act(() => reopen(row))));
  redraw("blank", entry ? [] : [state, counts?.leased, reason, skipped, Boolean(history.last), waiting, message], () => (entry ? [] : drawState(queue, waiting, message)));
  redraw("actions", [Boolean(entry), Boolean(editing), editing?.adding], () => drawActions(entry, editing));
  const isNew = Boolean(entry) && drawn.get("about")?.[0] !== entry.task;
  if (entry) drawTask(entry, isNew);
  page.message.textContent = entry ? message : ""; // else it stands on the screen without a post
  presses.changed(isNew && entry.notice ? "this post came back, so look at it first" : "");
}

/**
 * Draws a part of the page again if it depends on something that changed, and returns whether it did. So a button is not
 * taken from under a finger.
 */
function redraw(part, dependencies, draw) {
  const before = drawn.get(part);
  if (before && before.length === dependencies.length && before.every((value, place) => value === dependencies[place])) return false;
  drawn.set(part, dependencies);
  page[part].replaceChildren(...draw().filter(Boolean));
  return true;
}

function drawTask({ task, work, notice }, isNew) {
  const hadFocus = page.text.contains(document.activeElement) || document.activeElement === document.body;
  const type = editing?.adding ? "MISC" : rules.mentionOf(rules.current(work)).type;
  const isMoved = redraw("text", [work, editing], () => [drawText(work, editing && { ...editing.span, type, adding: editing.adding }, choose)]);
  redraw("why", [work, editing, rules.current(work).figures?.aleatoric_rank], () => (editing ? drawEditing(work) : drawWhy(work, choose)));
  redraw("about", [task], () => [drawAbout(task)]);
  redraw("image", [task], () => [drawImage(task)]);
  page.notice.hidden = !notice;
  page.notice.textContent = notice;
  if (isNew) scrollTo({ top: 0 });
  // a post may be longer than the screen
  if (isMoved) page.text.querySelector(".current")?.scrollIntoView({ block: "nearest" });
  if (hadFocus && !sheet.open) page.text.querySelector(".current[tabindex]")?.focus({ preventScroll: true });
}

function drawEditing(work) {
  const { span, adding } = editing;
  const edges = { start: "The left edge moves.", end: "The right edge moves.", both: "The span moves from word to word." };
  const keep = adding ? "Press 1 to 4 for its type." : "Enter keeps it; 1 to 4 also sets the type.";
  return [
    el("header", { class: "why-head" }, el("p", { class: "small" }, el("span", { class: "badge" }, adding ? "New mention" : "Edit the span")), el("h2", { id: "preview" }, el("q", {}, words(work.text.slice(span.start, span.end))))),
    el("p", {}, `${edges[span.edge]} ${keep}`),
    el("p", { class: "soft small figure" }, `characters ${span.start}–${span.end}`),
  ];
}

/** Does something that no key does, as a press would. */
function act(action) {
  message = "";
  queue.stay();
  try {
    action();
  } catch (error) {
    if (!(error instanceof rules.Impossible)) throw error;
    message = error.message;
  }
  paint();
}

// Input

addEventListener("keydown", (event) => {
  const isClick = !editing && (event.key === " " || (event.key === "Enter" && !isAhead(event)));
  if (isClick && event.target.matches("#post-text [role=button]")) {
    event.preventDefault();
    event.target.click();
    return;
  }
  const name = nameOf(event);
  if (!name && event.key === "Tab" && isAhead(event)) event.preventDefault(); // it is held down
  if (!name) return;
  if (sheet.open || flagging.open) return;
  if (name === "?") {
    event.preventDefault();
    sheet.showModal();
    return;
  }
  if (!isForUs(name, event)) return;
  event.preventDefault();
  if (name === "escape" && queue.state === "loading") {
    presses.forget("you pressed Escape");
    paint();
  } else presses.press(name);
  if (queue.state === "loading") paint();
});

/** Leaves the browser its keys: Tab leaves the post after its last mention, Enter presses the button that has the focus. */
function isForUs(name, event) {
  if (editing || isAhead(event)) return true;
  if (name === "enter" || name === "escape") return name === "escape" && queue.state === "loading";
  const inPost = isInPost(event.target);
  if (!(name in STEPS)) return true;
  if (!queue.shown || (event.target.closest("button, a, summary") && !inPost)) return false;
  if (name === "up" || name === "down") return inPost && queue.shown.work.items.length > 1;
  if (name !== "tab" && name !== "shift-tab") return true;
  const { cursor, items } = queue.shown.work;
  return inPost && (name === "tab" ? cursor < items.length - 1 : cursor > 0);
}

function isInPost(element) {
  return element === document.body || element.id === "main" || page.text.contains(element);
}

/** Whether a key was pressed before the screen was painted on which it will act. The browser would use it on this one. */
function isAhead(event) {
  return isInPost(event.target) && (queue.state === "loading" || presses.areAhead);
}

root.addEventListener("click", (event) => {
  const button = event.target.closest("[data-press]");
  if (!button) return;
  if (button.dataset.press === "?") sheet.showModal();
  else presses.press(button.dataset.press);
});

let selecting = 0;
let isDown = false;
addEventListener("pointerdown", () => (isDown = true));
addEventListener("pointerup", () => {
  isDown = false;
  selecting = setTimeout(takeSelection, 0);
});
document.addEventListener("selectionchange", () => {
  clearTimeout(selecting);
  if (!isDown) selecting = setTimeout(takeSelection, 350); // the handles of a touch screen send no other event
});

/** A selection in the text becomes a span of whole words, with a preview. */
function takeSelection() {
  const text = page.text.querySelector("#post-text");
  const found = queue.shown && text && selected(text);
  if (!found) return;
  getSelection().removeAllRanges();
  queue.stay();
  const { work } = queue.shown;
  const span = snap(work.text, found.start, found.end);
  const adding = editing ? editing.adding : !rules.overlap(span, rules.mentionOf(rules.current(work)));
  editing = { span, adding };
  message = "";
  paint();
}

for (const close of root.querySelectorAll("[data-close]")) close.addEventListener("click", () => close.closest("dialog").close());
sheet.addEventListener("keydown", (event) => event.key === "?" && sheet.close());

flagging.addEventListener("submit", (event) => {
  event.preventDefault();
  flagging.close();
  act(() => queue.flag(note.value.trim()));
  toast("You left the post to somebody else. It waits under Disputed.");
});

paint();
queue.start();
