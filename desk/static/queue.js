// The tasks that come, and what becomes of each: it is decided, flagged, skipped, opened again, or comes back.

import { Hand, entryOf } from "./hand.js";
import { History } from "./history.js";
import { newId, Outbox } from "./outbox.js";
import { Outcomes } from "./outcomes.js";
import { send, toast } from "./page.js";
import { Session } from "./session.js";
import { answersOf, undo } from "./work.js";

const API = "/api/v1/review";
/** Tasks that are leased before they are needed. While a person decides fast, as many more as the last seconds took. */
const AHEAD = 3;
const PACE_MS = 2000;
const MOST = 20;
/** Largest number of leases of one request. */
const MOST_LEASES = 24;
const RENEW_MS = 60_000;
const LOOK_MS = 4000;
/** Shortest time between two loads of the page by itself. */
const RELOAD_MS = 5000;

/**
 * `state` is "loading" while the next task is on its way, "task", "empty" when none is free, "signed out", "forbidden", or
 * "away" when the server does not answer. `changed(moved)`: `moved` says that the post on the screen is another, or was
 * changed, without a press of the person.
 */
export class Queue {
  constructor(person, changed) {
    this.changed = changed;
    this.session = new Session(person);
    this.hand = new Hand(this.session);
    this.history = new History(this.session);
    this.counts = null;
    this.state = "loading";
    this.reason = "";
    this.skipped = 0;
    this.paces = [];
    this.filling = false;
    this.isLeaving = false;
    /** Whether the desk may have leased tasks to this tab in an answer that never came. */
    this.isUnsure = true;
    /** The post that the person asked to open and that is on its way. It comes before the one on the screen. */
    this.asked = null;
  }

  /** Starts with the tasks that this tab held before a reload. */
  async start() {
    this.hand.held = await this.session.start();
    const outcomes = new Outcomes(this);
    this.outbox = new Outbox(this.session.outboxKey, {
      done: (operation, answer) => outcomes.done(operation, answer),
      refused: (operation, reason, status) => outcomes.refused(operation, reason, status),
      changed: () => this.changed(),
      stale: () => this.#loadAgain(),
    });
    this.outbox.run();
    this.#adoptOthers();
    setInterval(() => this.renew(), RENEW_MS);
    setInterval(() => this.#look(), LOOK_MS);
    addEventListener("pagehide", () => this.#leave());
    addEventListener("pageshow", (event) => event.persisted && this.#comeBack());
    addEventListener("online", () => this.fill());
    document.addEventListener("visibilitychange", () => document.hidden || this.#comeBack());
    await this.#openAddressed();
    await this.fill();
    this.recall();
    setTimeout(() => this.renew(), 3000); // the last page's `#leave` may come after this page's renewal
  }

  get shown() {
    return this.hand.shown;
  }

  /** The person goes on with the post on the screen. So what they asked to open before comes behind it. */
  stay() {
    this.asked = null;
  }

  /** Changes the work on the shown task. */
  update(work) {
    Object.assign(this.shown, { work, notice: "" });
    this.hand.save();
  }

  /** Sends the decision on the shown task behind the screen, and goes on to the next task. */
  settle() {
    const entry = this.hand.take();
    const { post, id: task } = entry.task;
    const id = newId();
    this.history.remember(id, entry);
    this.submit({ id, kind: "settle", post, path: `${API}/decisions`, body: { id, post, task, token: entry.token, ...answersOf(entry.work) } });
    this.#next();
  }

  /** Leaves the shown task to somebody else, behind the screen, and goes on to the next task. */
  flag(note) {
    const { task, token, work } = this.hand.take();
    const kept = { task: task.id, ...answersOf(work) };
    this.submit({ kind: "flag", post: task.post, path: pathOf(task.post, "flag"), body: { token, note }, kept });
    this.#next();
  }

  skip() {
    const { task, token } = this.hand.take();
    this.skipped += 1;
    this.submit({ kind: "skip", post: task.post, path: `${API}/skips`, body: { session: this.session.id, post: task.post, token } });
    this.#next();
  }

  unskip() {
    this.skipped = 0;
    this.submit({ kind: "unskip", post: "", path: `${API}/unskips`, body: { session: this.session.id } });
    this.state = "loading";
  }

  /**
   * Shows a decided task again, as it was before its last answer. If the decision was not sent yet, it never is.
   * Otherwise it is taken back behind the screen. One from before a reload comes when the server has sent it.
   */
  reopen(row) {
    const { entry, id, post, state } = row;
    if (!entry || state === "refused") this.asked = post;
    if (state === "refused") return this.askBack(row);
    this.history.remove(post);
    const withdrawn = this.outbox.withdraw(id);
    if (!withdrawn) this.submit({ kind: "reopen", post, path: pathOf(post, "reopening"), body: { session: this.session.id } });
    if (!entry) return;
    const token = withdrawn ? withdrawn.body.token : null;
    this.hand.open({ ...entry, work: undo(entry.work) ?? entry.work, token, notice: "" });
    this.state = "task";
  }

  /** Leases the next tasks, and what the tab held before a reload. */
  async fill() {
    const { held } = this.hand;
    this.paces = this.paces.filter((at) => at > performance.now() - PACE_MS);
    const want = Math.min(MOST, 1 + AHEAD + this.paces.length) - this.hand.size - held.length;
    if (this.filling || (want <= 0 && !held.length)) return;
    this.filling = true;
    let added = [];
    try {
      await this.#keepUnsent();
      const late = this.hand.late();
      const before = held.map(({ post, token }) => ({ post, token }));
      const leases = [...before, ...late].slice(0, MOST_LEASES); // the desk knows the others
      const known = this.isUnsure ? this.#known() : null;
      const found = await send("POST", `${API}/hand`, { session: this.session.id, want: Math.max(0, want), held: leases, known });
      this.isUnsure = false;
      if (!this.outbox.size) this.skipped = found.counts.skipped; // also what another tab skipped
      const isLate = new Set(late.map(({ post }) => post));
      for (const task of found.tasks) if (isLate.has(task.post)) this.hand.rank(task);
      added = found.tasks.filter(({ post }) => !isLate.has(post));
      this.hand.fill(added);
      this.counts = found.counts;
      this.state = this.hand.size ? "task" : "empty";
    } catch (error) {
      this.isUnsure = true;
      this.reason = error.message;
      if (error.isStale) this.#loadAgain();
      if (!this.hand.size) this.state = error.status === 401 ? "signed out" : error.status === 403 ? "forbidden" : "away";
    } finally {
      this.filling = false;
    }
    this.changed();
    if (added.length) this.fill();
  }

  /** Renews the leases of what is here and of what waits to be sent, and looks what became of the last decisions. */
  async renew() {
    try {
      const held = this.hand.leases();
      const lost = new Set(await renewed([...held, ...this.#unsent()]));
      for (const lease of held) if (lost.has(lease.post)) this.#lose(lease);
    } catch (error) {
      if (error.isStale) this.#loadAgain();
      // The next renewal comes in a minute, and a lease can be renewed after its end.
    }
    await this.recall();
  }

  submit(operation) {
    this.outbox.push({ id: newId(), session: this.session.id, ...operation });
  }

  /** Puts the post that the address names before the others. */
  async #openAddressed() {
    const post = new URLSearchParams(location.search).get("post");
    if (!post) return;
    history.replaceState(null, "", location.pathname); // a reload finds it among what this tab held
    const { held } = this.hand;
    const place = held.findIndex((each) => each.post === post);
    if (place >= 0) return void held.unshift(...held.splice(place, 1));
    try {
      const task = await send("POST", pathOf(post, "lease"), { session: this.session.id });
      this.arrive(entryOf(task));
    } catch (error) {
      toast(`The post was not opened: ${error.message}`, "bad", 12);
    }
  }

  /** Takes in a post that comes back. The post on the screen stays, unless the person asked for this one and waits. */
  arrive(entry) {
    const isFirst = this.asked === entry.task.post || !this.hand.size;
    if (isFirst) {
      this.asked = null;
      this.hand.open(entry);
    } else this.hand.comeBack(entry);
    this.state = "task";
    this.changed(isFirst);
    return isFirst;
  }

  #next() {
    this.asked = null;
    this.paces.push(performance.now());
    this.state = this.hand.size ? "task" : "loading";
    this.fill();
  }

  /** Asks for the task of a refused answer, in its turn: the outbox goes on meanwhile. */
  askBack({ id, post, reason, session = this.session.id, notice = `Your answer did not count: ${reason}`, kept = null }) {
    if (this.outbox.of(post).length) return; // asked for already
    this.submit({ kind: "return", of: id, post, path: pathOf(post, "lease"), session, body: { session }, reason, notice, kept });
  }

  #look() {
    if (document.hidden || this.hand.size) return;
    this.fill();
  }

  /** The person looks at the tab again: the computer may have slept, or they have signed in in another tab. */
  #comeBack() {
    this.outbox.retry();
    this.renew();
    this.#look();
  }

  /** Loads the page again, since the person has signed in again: the desk takes nothing from this one any more. */
  #loadAgain() {
    if (this.isLeaving || !this.outbox.isStored) return;
    this.isLeaving = true;
    const load = () => {
      const dialog = document.querySelector("dialog[open]");
      if (dialog) dialog.addEventListener("close", load, { once: true }); // a note that is half written is stored nowhere
      else location.reload();
    };
    setTimeout(load, Math.max(0, RELOAD_MS - performance.now()));
  }

  #lose({ post, token }) {
    if (this.hand.find(post)?.token !== token) return; // it has another lease since
    this.takeOut(post, "Your hold on a post ended: another reviewer has it, or it is decided.");
  }

  /** Takes a post out of the hand. The person is told if it was on the screen. */
  takeOut(post, reason) {
    const place = this.hand.remove(post);
    if (place < 0) return;
    if (place === 0) {
      toast(reason, "bad", 12);
      this.state = this.hand.size ? "task" : "loading";
    }
    this.changed(place === 0);
    this.fill();
  }

  // Leases and storage

  /**
   * The posts that are here, whose answers wait, or that were decided last: the queue may not have applied these yet. The
   * desk gives back the other leases of this tab.
   */
  #known() {
    const decided = this.history.rows.filter(({ state }) => state === "waiting" || state === "sent");
    const known = [...this.hand.entries.map(({ task }) => task), ...this.outbox.operations, ...decided].map(({ post }) => post);
    const held = new Set(this.hand.held.map(({ post }) => post));
    return known.filter((post) => post && !held.has(post));
  }

  /** The leases of what waits to be sent. */
  #unsent() {
    return this.outbox.operations.filter(({ body }) => body.token).map(({ post, body }) => ({ post, token: body.token }));
  }

  /** Renews the leases of what has waited for long, before new tasks are asked for: else these might be the same posts. */
  async #keepUnsent() {
    if (this.outbox.since < Date.now() - RENEW_MS) await renewed(this.#unsent());
  }

  /** Gets the last decisions, also those of before a reload, or of another browser. */
  async recall() {
    try {
      const before = this.history.stored;
      const { decisions } = await send("GET", `${API}/decisions`);
      this.history.merge(decisions, before, this.outbox.operations.map(({ post }) => post));
      this.changed();
    } catch {
      // The list is a convenience.
    }
  }

  /** Lets the leases end soon. A reload renews them before that. */
  #leave() {
    const headers = { "Content-Type": "application/json", "X-CSRF-Token": document.querySelector("meta[name=csrf]").content };
    for (const leases of inParts(this.hand.leases())) {
      fetch(`${API}/leases`, { method: "POST", headers, body: JSON.stringify({ leases, leaving: true }), keepalive: true });
    }
  }

  async #adoptOthers() {
    for await (const key of this.session.abandoned()) this.outbox.adopt(key);
  }
}

/** Renews leases. Returns the posts whose lease is lost. */
async function renewed(leases) {
  const lost = [];
  for (const part of inParts(leases)) {
    const answer = await send("POST", `${API}/leases`, { leases: part });
    lost.push(...answer.lost);
  }
  return lost;
}

/** Splits leases into as many as one request may have. */
function inParts(leases) {
  return Array.from({ length: Math.ceil(leases.length / MOST_LEASES) }, (_, part) => leases.slice(part * MOST_LEASES, (part + 1) * MOST_LEASES));
}

function pathOf(post, action) {
  return `${API}/tasks/${encodeURIComponent(post)}/${action}`;
}
