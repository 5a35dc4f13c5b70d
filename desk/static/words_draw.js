// Draws the page /review/words: names, lines, buttons, and what became of the last answer.

import { el, key, percent, typeMark, words } from "./elements.js";

const BUTTONS = [
  { press: "a", label: "Accept", classes: "primary main", decides: true },
  { press: "r", label: "Reject", classes: "main", decides: true },
  { press: "1", type: "PER", decides: true },
  { press: "2", type: "LOC", decides: true },
  { press: "3", type: "ORG", decides: true },
  { press: "4", type: "MISC", decides: true },
  { press: "x", label: "All", name: "Tick all or none" },
  { press: "space", print: "␣", label: "Tick", move: true },
  { press: "up", print: "↑", name: "Line before", move: true },
  { press: "down", print: "↓", name: "Next line", move: true },
  { press: "left", print: "←", label: "Back", name: "Name before" },
  { press: "right", print: "→", label: "Next", name: "Next name" },
  { press: "u", label: "Undo" },
  { press: "?", name: "Keys" },
];

/** `count`: number of lines that an answer would decide. */
export function drawActions(count, isOff) {
  return BUTTONS.map(({ press, print, label, name, type, classes, decides, move }) =>
    el(
      "button",
      {
        type: "button",
        class: [classes ?? (type ? "pick" : "rest"), move ? "move" : ""].join(" ").trim(),
        "data-press": press,
        "aria-keyshortcuts": press === "space" ? "Space" : press,
        "aria-label": type ? `Accept as ${type}` : name,
        disabled: Boolean(decides && isOff),
      },
      key(print ?? press),
      type ? typeMark(type) : label && el("span", {}, decides && count ? `${label} ${count}` : label),
    ),
  );
}

export function addressOf({ name, type }) {
  return `/review/words?${new URLSearchParams({ type, name })}`;
}

export function drawNames({ groups, next, search, state }, open, onMore) {
  if (state !== "here") return [el("p", { class: "soft small" }, state === "loading" ? "Looking for names …" : "The names could not be read.")];
  if (!groups.length) {
    return [el("p", { class: "soft small" }, search ? "No name that waits has these letters." : "No name waits.")];
  }
  const items = groups.map((group) =>
    el(
      "li",
      {},
      el(
        "a",
        { class: "words-name", href: addressOf(group), "aria-current": isSame(group, open) && "true", "data-name": group.name, "data-type": group.type },
        words(group.name, { class: "name" }),
        typeMark(group.type),
        el("span", { class: "figure" }, el("span", { class: "sr" }, ", "), group.tasks, el("span", { class: "sr" }, group.tasks === 1 ? " post" : " posts")),
      ),
    ),
  );
  return [el("ul", {}, ...items), next !== null && el("button", { type: "button", class: "quiet words-more", on: { click: onMore } }, "More names")];
}

export function isSame(one, other) {
  return Boolean(one && other && one.name === other.name && one.type === other.type);
}

export function drawHead(group, lines, hasMore) {
  if (!group) return [el("h2", { id: "group-title" }, "Names")];
  const count = hasMore ? `the first ${lines.length} posts` : counted(lines.length, "post");
  return [el("h2", { id: "group-title" }, words(group.name), typeMark(group.type)), el("p", { class: "soft small figure" }, count)];
}

/** `reasons`: id of a post -> why it was left alone. `me`: the name of the person who looks. */
export function drawLines({ lines, next, ticked, reasons }, me, onMore) {
  const spot = lines.some((line) => line.is_audit);
  return [
    spot && el("p", { class: "words-hint" }, "Spot checks measure how often the model is right. They have no tick: read one before you tick it."),
    el("ul", { "aria-labelledby": "group-title" }, ...lines.map((line) => drawLine(line, ticked.has(line.post), reasons.get(line.post), me))),
    next !== null && el("button", { type: "button", class: "quiet words-more", on: { click: onMore } }, "More lines"),
  ];
}

function drawLine(line, isTicked, reason, me) {
  const held = line.holder !== null;
  const checkbox = el("input", { type: "checkbox", "aria-disabled": held && "true", autocomplete: "off" });
  checkbox.checked = isTicked;
  const facts = [
    line.is_candidate && "not chosen by the model",
    line.places > 1 && `${line.places} times`,
    line.others > 0 && `+${counted(line.others, "question")}`,
    line.copies > 0 && `+${line.copies === 1 ? "1 copy" : `${line.copies} copies`}`,
    line.photos > 0 && counted(line.photos, "photo"),
  ].filter(Boolean);
  return el(
    "li",
    { class: `words-line ${isTicked ? "" : "off"} ${held ? "held" : ""}`.trim(), "data-post": line.post },
    el(
      "label",
      {},
      checkbox,
      el(
        "span",
        { class: "kwic", dir: line.rtl ? "rtl" : "ltr" },
        el("span", { class: "before" }, words(line.before)),
        el("mark", { class: "mention" }, words(line.mention)),
        el("span", { class: "after" }, words(line.after)),
      ),
      el(
        "span",
        { class: "meta" },
        el("span", {}, line.author && words(line.author), line.author && " · ", words(line.source), ...facts.flatMap((fact) => [" · ", el("span", { class: "fact" }, fact)])),
        line.is_audit ? el("span", { class: "badge spot" }, "spot check") : null,
        held ? el("span", { class: "badge held" }, "held by ", line.holder === me ? "you in another window" : words(line.holder)) : null,
      ),
      el("span", { class: "sure" }, percent(line.probability), el("span", { class: "sr" }, " probable")),
      reason && el("span", { class: "why" }, `Not decided: ${reason}`),
    ),
  );
}

/** Says before an answer what it will do. */
export function drawPreview({ decided, unticked, unseen, held }, busy) {
  if (busy) return [busy];
  const stays = [unticked && `${unticked} without a tick`, held && `${held} held elsewhere`, unseen && `${unseen} not on the screen yet`].filter(Boolean);
  const will = decided ? `One key decides ${counted(decided, "post")}.` : "No line on the screen has a tick.";
  return [will, stays.length ? el("span", { class: "soft" }, ` Not decided: ${stays.join(", ")}.`) : ""];
}

/** Says what became of an answer. */
export function drawTold({ sentence, tone, undoable, again, left = [], authors }, onUndo, onAgain) {
  const buttons = [
    undoable && el("button", { type: "button", on: { click: onUndo } }, key("u"), "Undo"),
    again && el("button", { type: "button", on: { click: onAgain } }, "Try again"),
  ];
  const reasons = left.slice(0, 12).map(({ post, sentence: why }) => el("li", {}, "Post of ", words(authors?.get(post) ?? post), ": ", words(why)));
  return [
    el("div", { class: "row" }, el("strong", { class: tone === "bad" ? "bad" : "" }, sentence), ...buttons),
    reasons.length ? el("ul", {}, ...reasons, left.length > 12 && el("li", {}, `and ${left.length - 12} more`)) : null,
  ];
}

export function drawEmpty(state, reason) {
  if (state === "loading") return [el("p", { class: "words-empty soft" }, "Looking for lines …")];
  if (state === "away") return [el("div", { class: "words-empty" }, el("p", {}, reason), el("p", {}, el("a", { href: location.href }, "Load the page again")))];
  return [
    el("div", { class: "words-empty" }, el("p", {}, el("strong", {}, state === "gone" ? "Nobody is asked about this name any more." : "No name waits for a decision.")), el("p", { class: "soft" }, "New tasks come with new posts. ", el("a", { href: "/review" }, "Review one by one"))),
  ];
}

export function counted(number, noun) {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}
