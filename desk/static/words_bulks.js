// Answers for many lines at once, and the list of those that can be undone. The list holds no text of a post.

import { ApiError, send } from "./page.js";

const API = "/api/v1/review/names/bulks";
const MOST = 20;
/** Longest wait for the answer to one request, which decides hundreds of posts. */
const ANSWER_MS = 300_000;
const STATUS_OF_REFUSALS = new Set([400, 404, 409, 413, 422]);

/** The answer to a call that is repeated too late. */
const TOO_OLD = 409;

export class Bulks {
  /** `undoS`: time, in seconds, for which a bulk can be undone. */
  constructor(person, undoS) {
    this.key = `mner.words.${person}`;
    this.undoMs = undoS * 1000;
    /** An answer that the desk has not confirmed: { id, body }. */
    this.pending = null;
  }

  /** The last bulk that can be undone: { id, told }. Also after a reload, and from another tab. */
  get last() {
    return this.#read().at(-1);
  }

  /** Decides. `told` says how, without words of a post. Throws; `pending` is set when the same call can be repeated. */
  async decide(body, told) {
    const { id } = await send("POST", API);
    this.pending = { id, body, told };
    this.#write([...this.#read(), { id, told: told(body.lines.length), at: Date.now() }].slice(-MOST)); // before: its answer may get lost
    return this.again();
  }

  /** Repeats a call whose answer got lost. It decides nothing twice. */
  async again() {
    const { id, body, told } = this.pending;
    try {
      const result = await send("PUT", `${API}/${id}`, body, ANSWER_MS);
      this.pending = null;
      this.#write(this.#read().flatMap((bulk) => (bulk.id !== id ? [bulk] : result.posts.length ? [{ ...bulk, told: told(result.posts.length) }] : [])));
      return result;
    } catch (error) {
      if (error instanceof ApiError && STATUS_OF_REFUSALS.has(error.status)) {
        this.pending = null;
        if (error.status !== TOO_OLD) this.#forget(id); // else its first call may have decided something
      }
      throw error;
    }
  }

  /** Takes the last bulk back. One that the desk refuses to undo is forgotten. */
  async undo() {
    const { id } = this.last;
    try {
      const result = await send("POST", `${API}/${id}/retraction`, undefined, ANSWER_MS);
      if (!result.left.some(({ why }) => why === "failed" || why === "held")) this.#forget(id);
      return result;
    } catch (error) {
      if (error instanceof ApiError && STATUS_OF_REFUSALS.has(error.status)) this.#forget(id);
      throw error;
    }
  }

  #forget(id) {
    this.#write(this.#read().filter((bulk) => bulk.id !== id));
  }

  #read() {
    try {
      const found = JSON.parse(localStorage.getItem(this.key) ?? "[]");
      return Array.isArray(found) ? found.filter(({ at }) => Date.now() - at < this.undoMs) : [];
    } catch {
      return [];
    }
  }

  #write(bulks) {
    try {
      localStorage.setItem(this.key, JSON.stringify(bulks));
    } catch {
      // a full or forbidden storage: the bulk can be undone until the page is loaded again
    }
  }
}
