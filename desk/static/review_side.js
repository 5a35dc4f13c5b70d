// Draws what stands around the post: the buttons, the last decisions, the counts, and the screens without a post.

import { el, key, typeMark, words } from "./elements.js";

const TASK_BUTTONS = [
  { press: "a", label: "Accept", classes: "primary main" },
  { press: "r", label: "Reject", classes: "main" },
  { press: "1", type: "PER" },
  { press: "2", type: "LOC" },
  { press: "3", type: "ORG" },
  { press: "4", type: "MISC" },
  { press: "e", label: "Edit" },
  { press: "n", label: "Add" },
  { press: "s", label: "Skip" },
  { press: "f", label: "Flag" },
  { press: "u", label: "Undo" },
  { press: "?", name: "Keys" },
];
const SPAN_BUTTONS = [
  { press: "enter", print: "↵", label: "Keep", classes: "primary main", unless: "adding" },
  { press: "escape", print: "esc", label: "Cancel", classes: "main" },
  ...TASK_BUTTONS.filter(({ type }) => type),
  { press: "left", print: "←", label: "Word" },
  { press: "right", print: "→", label: "Word" },
  { press: "shift-left", print: "⇧←", label: "Letter" },
  { press: "shift-right", print: "⇧→", label: "Letter" },
  { press: "tab", print: "⇥", label: "Edge" },
  { press: "n", label: "As new", only: "editing" },
];

export function drawActions(entry, editing) {
  if (!entry) return [];
  const buttons = editing
    ? SPAN_BUTTONS.filter(({ unless, only }) => !(unless && editing.adding) && !(only && editing.adding))
    : TASK_BUTTONS;
  return buttons.map(({ press, print, label, name, type, classes }) =>
    el(
      "button",
      { type: "button", class: classes ?? (type ? "pick" : "rest"), "data-press": press, "aria-keyshortcuts": press === "?" ? "?" : press, "aria-label": type ? `Accept as ${type}` : name },
      key(print ?? press),
      type ? typeMark(type) : label && el("span", {}, label),
    ),
  );
}

const STATES = { waiting: "not sent yet", sent: "", changed: "changed by another" };

export function drawHistory(history, onReopen) {
  if (!history.length) return [el("p", { class: "soft small" }, "What you decide here can be opened again.")];
  const lines = history.map((row) => {
    const { post, told, state, reason } = row;
    const answers = told.map(({ text, type, action }) =>
      el("span", { class: `past-answer ${action}` }, words(text), " ", action === "reject" ? el("span", { class: "soft" }, "✗") : typeMark(type, "✓")),
    );
    const note = reason ? `did not count: ${reason}` : STATES[state];
    return el(
      "li",
      {},
      el(
        "button",
        { type: "button", class: "quiet past", disabled: state === "changed", title: "Open this post again", on: { click: () => onReopen(row) } },
        el("span", { class: "sr" }, "Open again: "),
        ...(told.length ? answers : ["post ", words(post)]),
        note ? el("span", { class: `small ${state}` }, words(note)) : null,
      ),
    );
  });
  return [el("ol", { class: "past-list" }, ...lines)];
}

/** Returns the counts of the queue, and a line when decisions wait to be sent. */
export function drawSync({ counts, outbox }) {
  const parts = [];
  if (outbox?.size && outbox.trouble) parts.push(el("span", { class: "sync bad", role: "status" }, trouble(outbox)));
  if (counts) {
    const number = (count) => count.toLocaleString("en").replaceAll(",", "\u202f");
    parts.push(el("span", { class: "soft small figure" }, `${number(counts.open)} waiting · ${number(counts.leased)} in review · ${number(counts.decided)} decided`));
  }
  return parts;
}

function trouble({ size, since, trouble: kind, reason }) {
  const waits = `${size} ${size === 1 ? "decision waits" : "decisions wait"} since ${new Date(since).toTimeString().slice(0, 5)}`;
  if (kind === "signed out") return `You are signed out: ${waits}. Sign in again; nothing is lost.`;
  if (kind === "forbidden") return `${reason}: ${waits}.`;
  if (kind === "away") return `The desk cannot store answers now: ${waits}. Nothing is lost, and it is tried again. The reason: ${reason}`;
  return navigator.onLine ? `The desk does not answer: ${waits}. Nothing is lost.` : `Offline: ${waits}. Nothing is lost.`;
}

/** Returns the screen without a post. */
export function drawState({ state, counts, reason, skipped, history }, waiting, message) {
  const parts = drawBlank({ state, counts, reason, skipped, history }, waiting);
  return message ? [...parts, el("p", { class: "review-message" }, message)] : parts;
}

function drawBlank({ state, counts, reason, skipped, history }, waiting) {
  const undo = history.last ? el("button", { type: "button", "data-press": "u" }, key("u"), el("span", {}, "Undo the last")) : null;
  const skips = skipped ? el("button", { type: "button", "data-press": "w" }, key("w"), el("span", {}, `Show the ${skipped} skipped again`)) : null;
  if (state === "loading") {
    const typed = waiting ? `${waiting} ${waiting === 1 ? "press waits" : "presses wait"} for it. Escape forgets them.` : "";
    return blank("Fetching the next post …", typed);
  }
  if (state === "signed out") return blank("You are signed out", "What you decided is kept and sent when you have signed in.", link("/login?next=/review", "Sign in"));
  if (state === "forbidden") return blank("Not for your role", reason, link("/", "To the overview"));
  if (state === "away" && !navigator.onLine) {
    return blank("You are offline", "You answered every post that was here. What you decided is kept, and sent when you are back.", undo);
  }
  if (state === "away") return blank("The queue does not answer", `${reason}. The page looks again every few seconds.`, undo);
  if (counts?.leased) return blank("Others have the rest", `Reviewers work on the last ${counts.leased}. A post that they give back appears here.`, skips, undo);
  return blank("All done", "No post waits for a decision. The next one appears here by itself.", skips, undo);
}

function blank(title, text, ...buttons) {
  return [el("h2", {}, title), el("p", { class: "soft" }, text), el("p", { class: "row" }, ...buttons.filter(Boolean))];
}

function link(address, name) {
  return el("a", { class: "button", href: address }, name);
}
