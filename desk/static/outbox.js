// Sends what a person decided, in order, behind the screen. It waits in the browser's storage until the server has
// stored it, so a reload, a crash or a lost connection loses nothing. Of a post, only places in its text are stored. The
// note of a flag is stored until it is sent.

import { ApiError, send } from "./page.js";

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 15_000;
/** Answers of a server, or of a proxy before it, that pass by themselves. */
const PASSING = new Set([408, 425, 429, 502, 503, 504]);
/** Number of tries after which a fault of the server counts as a refusal: it may lie in this one operation. */
const MOST_FAULTS = 5;

/** Returns a random id of 32 hex digits. */
export function newId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * An operation is { id, kind, path, body, post, at }. Repeating one is safe, so a lost answer does no harm.
 *
 * `hooks`: `done(op, answer)` and `refused(op, reason, status)` tell the end of an operation, before the rest is stored;
 * `changed()` comes whenever the state below is another; `stale()` when only a page that is loaded again can send.
 */
export class Outbox {
  constructor(key, hooks) {
    this.key = key;
    this.hooks = hooks;
    this.operations = read(key);
    this.isRunning = false;
    /** "" while all is well, else "offline", "away" (the desk answers, and a server that it needs does not), "signed out" or
     * "forbidden". */
    this.trouble = "";
    this.reason = "";
    /** Whether a reload loses nothing. */
    this.isStored = true;
    /** Keys of tabs that are gone, whose copies are still stored. */
    this.adopted = [];
    this.failures = 0;
    this.wake = () => {};
    addEventListener("online", () => this.retry());
  }

  get size() {
    return this.operations.length;
  }

  /** When the oldest waiting operation was made, in Unix milliseconds. */
  get since() {
    return this.operations[0]?.at;
  }

  of(post) {
    return this.operations.filter((operation) => operation.post === post);
  }

  push(operation) {
    this.operations.push({ ...operation, at: Date.now() });
    this.#changed();
    this.run();
  }

  /** Takes an operation back and returns it. Returns null if it was sent, even if no answer came: it may have arrived. */
  withdraw(id) {
    const found = this.operations.find((operation) => operation.id === id);
    if (!found || found.isTried) return null;
    this.#remove(found);
    this.#changed();
    return found;
  }

  /** Takes all operations on a post back, and returns them. */
  drop(post) {
    const dropped = this.of(post);
    dropped.forEach((operation) => this.#remove(operation));
    this.#changed();
    return dropped;
  }

  /** Takes over what tabs that are gone left behind. Their copy goes when this one is stored. */
  adopt(key) {
    this.operations.push(...read(key));
    this.adopted.push(key);
    this.#changed();
    this.run();
  }

  retry() {
    this.failures = 0;
    this.wake();
    this.run();
  }

  /** Sends one operation after another. One that is refused is taken out, so it stops no other one. */
  async run() {
    if (this.isRunning) return;
    this.isRunning = true;
    while (this.operations.length) {
      const [operation] = this.operations;
      operation.isTried = true;
      const { answer, error } = await attempt(operation);
      const fate = error ? fateOf(error, operation) : "done";
      if (fate === "signed out" || fate === "forbidden") {
        this.#troubled(fate, error.message);
        if (error.isStale) this.#tell("stale");
        break;
      }
      if (fate === "later") {
        this.#troubled(error instanceof ApiError ? "away" : "offline", error.message);
        await this.#pause();
        continue;
      }
      this.#remove(operation);
      this.failures = 0;
      if (fate === "done") this.#tell("done", operation, answer);
      else this.#tell("refused", operation, error.message, error.status);
      this.#troubled("", "");
    }
    this.isRunning = false;
  }

  /** Calls a hook. Its fault is in the console, and stops no operation. */
  #tell(hook, ...told) {
    try {
      this.hooks[hook](...told);
    } catch (error) {
      reportError(error);
    }
  }

  #remove(operation) {
    this.operations = this.operations.filter((other) => other !== operation);
  }

  #pause() {
    const longest = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** this.failures);
    this.failures += 1;
    return new Promise((resolve) => {
      this.wake = resolve;
      setTimeout(resolve, longest * (0.5 + Math.random() / 2));
    });
  }

  #troubled(trouble, reason) {
    this.trouble = trouble;
    this.reason = reason;
    this.#changed();
  }

  #changed() {
    try {
      if (this.operations.length) localStorage.setItem(this.key, JSON.stringify(this.operations));
      else localStorage.removeItem(this.key);
      this.isStored = true;
      this.adopted.splice(0).forEach((key) => localStorage.removeItem(key));
    } catch {
      this.isStored = false;
      // No room, or no storage at all: then a reload loses what waits, and nothing else.
    }
    this.#tell("changed");
  }
}

async function attempt({ path, body }) {
  try {
    return { answer: await send("POST", path, body) };
  } catch (error) {
    return { error };
  }
}

/** Returns what a failure means for an operation: "later", "refused", "signed out" or "forbidden". */
function fateOf(error, operation) {
  if (!(error instanceof ApiError) || PASSING.has(error.status)) return "later";
  if (error.status === 401) return "signed out";
  if (error.status === 403) return "forbidden";
  if (error.status < 500) return "refused";
  operation.faults = (operation.faults ?? 0) + 1;
  return operation.faults < MOST_FAULTS ? "later" : "refused";
}

function read(key) {
  try {
    const found = JSON.parse(localStorage.getItem(key) ?? "[]");
    return Array.isArray(found) ? found : [];
  } catch {
    return [];
  }
}
