// The state of a task while a person answers its questions. Every change returns a new state. The rules are those of
// `review/work.py`, since the next task must be on the screen before the server has answered; the server checks all.

import { Text } from "./spans.js";

/** The action makes no sense here. The message tells the reviewer why. */
export class Impossible extends Error {}

/** Returns the work on a task of the API. */
export function begin(task) {
  const text = new Text(task.text, task.words, task.inner);
  const items = task.items.map((item, place) => ({
    place,
    before: { start: item.start, end: item.end, type: item.type },
    after: item.after,
    asked: item.asked,
    answered: item.answered,
    isCandidate: item.is_candidate,
    isAdded: item.is_added,
    isSuperseded: false,
    figures: item.is_added ? null : item,
  }));
  const updated = supersede(items);
  return { task, text, items: updated, cursor: nextOpen(updated, -1), previous: null };
}

/** Returns the mention of an item as it is now or, if it is rejected, as it was before. */
export function mentionOf(item) {
  return item.after ?? item.before;
}

export function isOpen(item) {
  return item.asked && !item.answered && !item.isSuperseded;
}

/** Whether the mention is in the final list if nothing else changes. */
export function stands(item) {
  return item.after !== null && (item.answered || !item.asked);
}

export function isDone(work) {
  return !work.items.some(isOpen);
}

/** Returns "accept", "reject", "retype", "respan" or "add", or null for an item without an answer. */
export function actionOf(item) {
  const { before, after, answered, isAdded } = item;
  if (!answered) return null;
  if (!after) return "reject";
  if (isAdded) return "add";
  if (after.start !== before.start || after.end !== before.end) return "respan";
  return after.type === before.type ? "accept" : "retype";
}

export function current(work) {
  return work.items[work.cursor];
}

export function accept(work) {
  return answer(work, mentionOf(current(work)));
}

/** Rejects the current mention. One that the person added here is removed. */
export function reject(work) {
  if (current(work).place !== null) return answer(work, null);
  const items = supersede(work.items.filter((_, place) => place !== work.cursor));
  return { ...work, items, cursor: nextOpen(items, work.cursor - 1), previous: work };
}

export function retype(work, type) {
  return answer(work, { ...mentionOf(current(work)), type });
}

export function respan(work, start, end, type) {
  const mention = { start, end, type: type ?? mentionOf(current(work)).type };
  checkVisible(work, mention);
  return answer(work, mention);
}

export function add(work, start, end, type) {
  const mention = { start, end, type };
  checkVisible(work, mention);
  check(work, mention, null);
  const here = current(work);
  const item = { place: null, before: null, after: mention, asked: false, answered: true, isCandidate: false, isAdded: true, isSuperseded: false, figures: null };
  const sorted = [...work.items, item].sort((a, b) => order(mentionOf(a), mentionOf(b)));
  const cursor = sorted.indexOf(here);
  const items = supersede(sorted);
  const moves = isOpen(here) && !isOpen(items[cursor]);
  return { ...work, items, cursor: moves ? nextOpen(items, cursor) : cursor, previous: work };
}

/** Makes the next (1) or the previous (-1) mention the current one. */
export function move(work, step) {
  return { ...work, cursor: (work.cursor + step + work.items.length) % work.items.length };
}

export function moveTo(work, cursor) {
  return { ...work, cursor };
}

/** Returns the work before the last answer, or null. */
export function undo(work) {
  return work.previous;
}

/** Returns what the API takes: the answers by the place of the item in the task, and the added mentions. */
export function answersOf(work) {
  const answered = work.items.filter((item) => item.answered);
  return {
    answers: answered.filter((item) => item.place !== null).map((item) => ({ item: item.place, after: item.after })),
    added: answered.filter((item) => item.place === null).map((item) => item.after),
  };
}

/** Returns the work on a task with answers of `answersOf` from before a reload. One undo takes all of them back. */
export function resume(task, { answers, added }) {
  const fresh = begin(task);
  if (!answers.length && !added.length) return fresh;
  const kept = new Map(answers.map(({ item, after }) => [item, after]));
  const items = fresh.items.map((item) =>
    kept.has(item.place) ? { ...item, after: kept.get(item.place), answered: true } : item,
  );
  const news = added.map((after) => ({ place: null, before: null, after, asked: false, answered: true, isCandidate: false, isAdded: true, isSuperseded: false, figures: null }));
  const all = supersede([...items, ...news].sort((a, b) => order(mentionOf(a), mentionOf(b))));
  const cursor = all.some(isOpen) ? nextOpen(all, -1) : all.findLastIndex((item) => item.asked);
  return { ...fresh, items: all, cursor: Math.max(cursor, 0), previous: fresh };
}

function answer(work, after) {
  const item = current(work);
  if (after) check(work, after, item);
  const changed = { ...item, after, answered: true };
  const items = supersede(work.items.map((other) => (other === item ? changed : other)));
  return { ...work, items, cursor: nextOpen(items, work.cursor), previous: work };
}

function checkVisible(work, mention) {
  if (work.text.words.some(([start, end]) => overlap(mention, { start, end }))) return;
  throw new Impossible("A mention needs at least one visible character.");
}

/** Throws unless the mention overlaps none that stands. */
function check(work, mention, ignored) {
  for (const item of work.items) {
    const other = mentionOf(item);
    if (item !== ignored && stands(item) && overlap(mention, other)) {
      throw new Impossible(`It overlaps “${work.text.slice(other.start, other.end)}”: reject or move that mention first.`);
    }
  }
}

/** Closes every open question that an accepted mention overlaps: of the two, at most one is right. */
function supersede(items) {
  const accepted = items.filter((item) => item.answered && stands(item)).map(mentionOf);
  return items.map((item) => {
    if (!item.asked) return item;
    const isSuperseded = !item.answered && accepted.some((other) => overlap(mentionOf(item), other));
    return isSuperseded === item.isSuperseded ? item : { ...item, isSuperseded };
  });
}

/** Returns the place of the next open question, wrapping around, or `place` when none is open. */
function nextOpen(items, place) {
  for (let step = 1; step <= items.length; step += 1) {
    const at = (place + step + items.length) % items.length;
    if (isOpen(items[at])) return at;
  }
  return Math.min(Math.max(place, 0), items.length - 1);
}

export function overlap(a, b) {
  return a.start < b.end && b.start < a.end;
}

function order(a, b) {
  return a.start - b.start || a.end - b.end;
}
