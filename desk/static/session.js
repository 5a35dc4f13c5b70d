// Names the tab, and keeps what belongs to it in the browser's storage: which tasks it holds, and what it has to send.

import { newId } from "./outbox.js";

const MOST_REFUSED = 10;

export class Session {
  constructor(person) {
    this.person = person;
    this.id = newId();
  }

  /** Finds the session of before a reload. Returns what it held. A copied tab, whose session another tab still uses, gets
   * one of its own. */
  async start() {
    const saved = stored(sessionStorage, this.#handKey);
    this.id = saved?.session ?? this.id;
    let held = saved?.held ?? [];
    if (!(await lock(this.outboxKey))) {
      this.id = newId();
      held = [];
      await lock(this.outboxKey);
    }
    this.saveHand(held); // a reload finds the session also if no task came before it
    return held;
  }

  get outboxKey() {
    return `${this.#outboxPrefix}${this.id}`;
  }

  /** Yields the keys of the outboxes of tabs that are gone. Where there are no locks, as on plain HTTP, nobody can tell
   * these from tabs that are open, so there are none. */
  async *abandoned() {
    if (!navigator.locks) return;
    const others = Object.keys(localStorage).filter((key) => key.startsWith(this.#outboxPrefix) && key !== this.outboxKey);
    for (const key of others) if (await lock(key)) yield key;
  }

  saveHand(held) {
    store(sessionStorage, this.#handKey, { session: this.id, held });
  }

  /** What did not count, in whichever tab: it stays until the post is decided or opened again. */
  get refused() {
    const found = stored(localStorage, this.#refusedKey);
    return Array.isArray(found) ? found : [];
  }

  keepRefused(row) {
    store(localStorage, this.#refusedKey, [row, ...this.refused.filter(({ post }) => post !== row.post)].slice(0, MOST_REFUSED));
  }

  forgetRefused(post) {
    const left = this.refused.filter((row) => row.post !== post);
    if (left.length < this.refused.length) store(localStorage, this.#refusedKey, left);
  }

  get #handKey() {
    return `mner.review.hand:${this.person}`;
  }

  get #refusedKey() {
    return `mner.review.refused:${this.person}`;
  }

  get #outboxPrefix() {
    return `mner.review.outbox:${this.person}:`;
  }
}

function stored(storage, key) {
  try {
    return JSON.parse(storage.getItem(key));
  } catch {
    return null; // somebody else's words under our key
  }
}

function store(storage, key, value) {
  try {
    storage.setItem(key, JSON.stringify(value));
  } catch {
    // a full or forbidden storage: a reload gets other tasks, and nothing else is lost
  }
}

/** Holds a name for as long as this tab lives. Returns false if another tab holds it. Where there are no locks, true. */
function lock(name) {
  if (!navigator.locks) return true;
  return new Promise((resolve) => {
    const forEver = () => {
      resolve(true);
      return new Promise(() => {});
    };
    // A reload may come before the browser has let the last page's locks go.
    navigator.locks.request(name, { signal: AbortSignal.timeout(400) }, forEver).catch(() => resolve(false));
  });
}
