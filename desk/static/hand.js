// The tasks that this tab holds: the one on the screen, and the next ones with their leases.

import { answersOf, begin, resume } from "./work.js";

/** `entries` is a list of { task, work, token, notice }. The token is null while the task is being opened again. */
export class Hand {
  constructor(session) {
    this.session = session;
    this.entries = [];
    /** What the tab held before a reload, until the desk has given it again. */
    this.held = [];
  }

  get shown() {
    return this.entries[0] ?? null;
  }

  get size() {
    return this.entries.length;
  }

  find(post) {
    return this.entries.find((entry) => entry.task.post === post);
  }

  leases() {
    return this.entries.filter((entry) => entry.token).map(({ task, token }) => ({ post: task.post, token }));
  }

  /** Puts an entry on the screen. */
  open(entry) {
    this.entries.unshift(entry);
    this.save();
  }

  /** Puts a task behind the one on the screen, so that no press meets it unseen. */
  comeBack(entry) {
    this.entries.splice(1, 0, entry);
    this.save();
  }

  /** Puts the tasks that the server leased behind the others, those of before a reload with their answers. */
  fill(tasks) {
    const before = new Map(this.held.map((each) => [each.post, each]));
    this.held = [];
    for (const task of tasks) {
      const known = this.find(task.post);
      if (known) {
        if (known.task.id === task.id) known.token = task.token; // its lease had ended, and this is the next one
        continue;
      }
      const kept = before.get(task.post);
      this.entries.push(entryOf(task, kept && kept.task === task.id ? kept : null));
      preload(task);
    }
    this.save();
  }

  /** Returns the leases of tasks whose ranks are still being read. */
  late() {
    return this.entries.filter(({ task, token }) => token && task.is_rank_late).map(({ task, token }) => ({ post: task.post, token }));
  }

  /** Gives a task that is here its ranks. They are set in place, since work that an undo brings back shares them. */
  rank({ id, post, items, is_rank_late }) {
    const task = this.find(post)?.task;
    if (task?.id !== id) return; // it was decided or changed meanwhile
    task.is_rank_late = is_rank_late;
    for (const [place, { aleatoric_rank, epistemic_rank, views }] of items.entries()) Object.assign(task.items[place], { aleatoric_rank, epistemic_rank, views });
  }

  /** Takes the task away from the screen and returns its entry. */
  take() {
    const entry = this.entries.shift();
    this.#letGo(entry.task.post);
    return entry;
  }

  /** Takes a post out. Returns its place, or -1 if it is not here. */
  remove(post) {
    const place = this.entries.findIndex((entry) => entry.task.post === post);
    if (place >= 0) this.entries.splice(place, 1);
    this.#letGo(post);
    return place;
  }

  #letGo(post) {
    this.held = this.held.filter((each) => each.post !== post);
    this.save();
  }

  save() {
    const here = this.entries.filter((entry) => entry.token);
    const held = this.held.filter(({ post }) => !this.find(post));
    this.session.saveHand([...here.map(({ task, token, work }) => ({ post: task.post, token, task: task.id, ...answersOf(work) })), ...held]);
  }
}

/** Returns a new entry. `kept`: the answers that were given before. */
export function entryOf(task, kept = null, notice = "") {
  return { task, work: kept ? resume(task, kept) : begin(task), token: task.token, notice };
}

/** Makes the browser fetch the photo before the task is on the screen. */
function preload(task) {
  for (const { address } of task.image.photos.slice(0, 1)) new Image().src = address;
}
