// Presses of keys and buttons, one after another.
//
// To which post a press belongs: people type ahead, so a press may come before the post is painted that it is meant for.
// Each press has its turn, in order, once the screen is painted to which the press before it led, and it belongs to the
// post that is on the screen then. This holds for all keys: Tab, Escape, Enter and arrows wait as letters do, since they
// follow on what the letters before them did. But a press that came before a post was painted counts for this post only
// if the person could mean it: if the post came as the next one, by their own press. A post that came by itself, since
// another reviewer took the one on the screen, and one that came back with a reason to read, must be seen first. Presses
// from before, and presses for which no post came, do nothing, and the screen says how many and why.

import { isOurs } from "./page.js";

export class Presses {
  /**
   * `isReady` says whether a press makes sense now, or should wait. `handle(name)` applies one. `unused(count, why)` is
   * told of presses that do nothing.
   */
  constructor(isReady, handle, unused) {
    this.isReady = isReady;
    this.handle = handle;
    this.unused = unused;
    this.waiting = [];
    this.isPainted = false;
    /** Whether a frame is on its way. It is "late" for what changes on the screen now. */
    this.frame = "";
    this.mustSee = "";
    this.channel = new MessageChannel();
    this.channel.port1.onmessage = () => this.#painted();
  }

  /** Whether the screen is not yet what the presses of before lead to. */
  get areAhead() {
    return !this.isPainted || this.waiting.length > 0;
  }

  press(name) {
    this.waiting.push(name);
    this.run();
  }

  /** Drops the presses that wait. */
  forget(why) {
    const count = this.waiting.length;
    this.waiting = [];
    if (count) this.unused(count, why);
  }

  /** The screen is about to change. The next press waits until it has been painted. `mustSee`: why a press from before
   * then does nothing, or "". */
  changed(mustSee = "") {
    this.mustSee ||= mustSee;
    this.isPainted = false;
    if (this.frame) this.isStale = this.frame === "late";
    else this.#ask();
  }

  run() {
    while (this.waiting.length && this.isPainted && this.isReady()) this.handle(this.waiting.shift());
  }

  #ask() {
    this.frame = "asked";
    this.isStale = false;
    requestAnimationFrame(() => {
      this.frame = "late";
      this.channel.port2.postMessage(null); // comes after the frame that is drawn now
    });
  }

  #painted() {
    this.frame = "";
    if (this.isStale) return this.#ask();
    this.isPainted = true;
    const why = this.mustSee;
    this.mustSee = "";
    if (why) this.forget(why);
    this.run();
  }
}

const NAMES = {
  ArrowLeft: "left",
  ArrowRight: "right",
  ArrowUp: "up",
  ArrowDown: "down",
  Enter: "enter",
  Escape: "escape",
  Tab: "tab",
};
const PLAIN = new Set(["a", "r", "1", "2", "3", "4", "s", "f", "e", "n", "u", "w", "?"]);

/** Returns the name of a press that the review may use, or null: "a", "left", "shift-left", "?". A key that is held down
 * repeats; only arrows may. */
export function nameOf(event) {
  if (!isOurs(event) || (event.repeat && !event.key.startsWith("Arrow"))) return null;
  const special = NAMES[event.key];
  if (special) return event.shiftKey ? `shift-${special}` : special;
  const plain = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  return PLAIN.has(plain) ? plain : null;
}
