// What becomes of what was sent. Each answer is stored, or comes back as its task with the reason, or is listed with it.

import { entryOf } from "./hand.js";
import { toast } from "./page.js";

export class Outcomes {
  constructor(queue) {
    this.queue = queue;
  }

  done(operation, answer) {
    const { kind, id } = operation;
    if (kind === "settle") this.queue.history.sent(id);
    else if (kind === "flag" && this.queue.counts) this.queue.counts = { ...this.queue.counts, apart: this.queue.counts.apart + 1 };
    else if (kind === "reopen") this.#reopened(answer);
    else if (kind === "return") this.#returned(operation, answer);
    if (kind === "unskip" || kind === "reopen") this.queue.fill();
  }

  #reopened(task) {
    const later = this.queue.outbox.of(task.post);
    for (const { body } of later) if (body.token === null) body.token = task.token;
    const entry = this.queue.hand.find(task.post);
    if (!entry) {
      if (!later.length && !this.queue.arrive(entryOf(task, task))) toast("The post that you opened again comes next.");
      return; // or it was decided again meanwhile
    }
    entry.token = task.token;
    if (entry.task.id !== task.id) {
      Object.assign(entry, entryOf(task, task, "The post changed since your decision."));
      this.queue.changed(entry === this.queue.shown);
    }
    this.queue.hand.save();
  }

  refused(operation, reason, status) {
    const { kind, post } = operation;
    if (kind === "skip" || kind === "unskip") return;
    if (status === 410) this.#gone(post);
    else if (kind === "reopen") this.#notReopened(operation, reason);
    else if (kind === "return") this.#notReturned(operation, reason);
    else if (!this.queue.outbox.of(post).length) this.#didNotCount(operation, reason); // else it was opened again meanwhile
  }

  #gone(post) {
    this.queue.outbox.drop(post);
    this.queue.history.remove(post);
    this.queue.takeOut(post, "The post on the screen was deleted.");
    toast("A post that you worked on was deleted, so nothing is left to decide about it.", "plain", 12);
  }

  #notReopened({ post }, reason) {
    const answer = this.queue.outbox.drop(post).findLast(({ kind }) => kind === "settle" || kind === "flag");
    this.queue.takeOut(post, reason);
    if (answer) this.#didNotCount(answer, reason);
    else if (this.queue.asked === post) toast(reason, "bad", 12);
    this.queue.recall(); // the old decision may stand
  }

  /** Lists a refused answer with its reason, and asks for its task. */
  #didNotCount(operation, reason) {
    this.queue.history.refuse(operation, reason);
    toast(`A ${nounOf(operation)} did not count: ${reason}`, "bad", 12);
    const { id, kind, post, session, body, kept } = operation;
    const { task, answers, added } = kept ?? body;
    this.queue.askBack({ id, post, reason, session, notice: `Your ${nounOf({ kind })} did not count: ${reason}`, kept: { task, answers, added } });
  }

  #returned({ post, notice, kept }, task) {
    this.queue.history.remove(post);
    const known = this.queue.hand.find(post);
    const entry = entryOf(task, kept?.task === task.id ? kept : null, notice);
    if (!known) this.queue.arrive(entry);
    else if (known.task.id === task.id) Object.assign(known, { token: task.token, notice });
    else {
      Object.assign(known, entry);
      this.queue.changed(known === this.queue.shown);
    }
    this.queue.hand.save();
  }

  #notReturned({ of: id, post, reason: first }, reason) {
    this.queue.history.refuse({ id, post }, first);
    if (this.queue.asked === post) toast(`The post was not opened: ${reason}`, "bad", 12);
  }
}

function nounOf({ kind }) {
  return kind === "flag" ? "flag" : "decision";
}
