// The lines of one name: which have a tick, which were on the screen, and so what an answer would decide.

export class Lines {
  /** `state` is "loading", "lines", "gone", "empty" or "away". `reasons` says what was not decided just now, by post. */
  constructor(state, { reason = "", reasons = new Map() } = {}) {
    this.state = state;
    this.reason = reason;
    this.reasons = reasons;
    this.lines = [];
    this.next = null;
    this.ticked = new Set();
    this.seen = new Set();
    this.current = 0;
  }

  /** Adds a page of lines. Some may be here already, since the group moves meanwhile. */
  add({ lines, next }) {
    const known = new Set(this.lines.map(({ post }) => post));
    const news = lines.filter(({ post }) => !known.has(post));
    this.lines = [...this.lines, ...news];
    this.next = next;
    for (const line of news) if (isPlain(line)) this.ticked.add(line.post);
  }

  find(post) {
    return this.lines.find((line) => line.post === post);
  }

  /** What an answer would decide: at most `most` lines with a tick that were on the screen. */
  tally(most) {
    const free = this.lines.filter(({ holder }) => holder === null);
    const ticked = free.filter(({ post }) => this.ticked.has(post));
    const decided = ticked.filter(({ post }) => this.seen.has(post)).slice(0, most);
    return { lines: decided, decided: decided.length, unticked: free.length - ticked.length, unseen: ticked.length - decided.length, held: this.lines.length - free.length };
  }

  toggle({ post }) {
    if (!this.ticked.delete(post)) this.ticked.add(post);
  }

  /** Ticks all lines, or none if all are ticked. Spot checks get their ticks one by one. */
  toggleAll() {
    const plain = this.lines.filter(isPlain).map(({ post }) => post);
    const isAll = plain.every((post) => this.ticked.has(post));
    for (const post of isAll ? [...this.ticked] : plain) this.ticked[isAll ? "delete" : "add"](post);
  }
}

function isPlain({ is_audit: isAudit, holder }) {
  return !isAudit && holder === null;
}
