// The list of the person's last decisions.

import { actionOf, mentionOf } from "./work.js";

const REMEMBERED = 10;

/**
 * `rows` is a list of { id, post, entry, told, state, reason }. The state is "waiting" until the server has stored the
 * decision, then "sent"; "refused" if it did not count; "changed" if somebody has changed it since. `entry` is that of
 * the hand, or null for a decision of before a reload.
 */
export class History {
  constructor(session) {
    this.session = session;
    this.rows = session.refused;
  }

  find(id) {
    return this.rows.find((row) => row.id === id);
  }

  /** The last decision that can be opened again. */
  get last() {
    return this.rows.find(({ state }) => state === "waiting" || state === "sent");
  }

  /** The rows that the server has, too. */
  get stored() {
    return this.rows.filter(({ state }) => state === "sent" || state === "changed");
  }

  remember(id, entry) {
    const { post } = entry.task;
    this.#add({ id, post, entry, told: toldOf(entry.work), state: "waiting", reason: "" });
    this.session.forgetRefused(post);
  }

  sent(id) {
    const row = this.find(id);
    if (row) row.state = "sent";
  }

  /** Says that a decision did not count. One from before a reload gets a new row. What is stored has no words of a post. */
  refuse({ id, post }, reason) {
    const row = { ...(this.find(id) ?? { id, post, entry: null, told: [] }), state: "refused", reason };
    this.#add(row);
    this.session.keepRefused({ ...row, entry: null, told: [] });
  }

  remove(post) {
    this.rows = this.#without(post);
    this.session.forgetRefused(post);
  }

  /**
   * Takes over the server's list. It has no post that was erased or hidden, so these rows go. `before`: what `stored` was
   * when the server was asked; it may have stored more since. `waiting`: posts on which something waits to be sent.
   */
  merge(decisions, before, waiting) {
    const listed = new Map(decisions.map((decision) => [decision.post, decision]));
    const rows = this.rows.filter((row) => !before.includes(row) || listed.has(row.post));
    for (const row of rows) if (before.includes(row) && listed.get(row.post).is_changed) row.state = "changed";
    const here = new Set([...rows.map(({ post }) => post), ...waiting]);
    const others = decisions
      .filter(({ post }) => !here.has(post))
      .map(({ id, post, answers, is_changed: isChanged }) => ({ id, post, entry: null, told: answers, state: isChanged ? "changed" : "sent", reason: "" }));
    this.rows = [...rows, ...others].slice(0, REMEMBERED);
  }

  #add(row) {
    this.rows = [row, ...this.#without(row.post)].slice(0, REMEMBERED);
  }

  #without(post) {
    return this.rows.filter((row) => row.post !== post);
  }
}

/** Returns what a decision says about each mention, as the server lists it. */
function toldOf(work) {
  return work.items
    .filter((item) => item.answered)
    .map((item) => {
      const { start, end, type } = mentionOf(item);
      return { text: work.text.slice(start, end), type, action: actionOf(item) };
    });
}
