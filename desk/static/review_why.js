// Draws why the model is unsure of the mention in question.

import { el, percent, svg, typeMark, words } from "./elements.js";
import { actionOf, isOpen, mentionOf, overlap } from "./work.js";

const VERDICTS = { accept: "accepted", reject: "rejected", add: "added", retype: "type changed", respan: "span changed" };
/** Kind of uncertainty -> what it says. */
const KINDS = { aleatoric: "Noise in the wording", epistemic: "Lack of knowledge" };

export function drawWhy(work, onChoose) {
  const item = work.items[work.cursor];
  const mention = mentionOf(item);
  const asked = work.items.filter((other) => other.asked);
  const position = item.asked ? `Question ${asked.indexOf(item) + 1} of ${asked.length}` : item.isAdded ? "Added by a person" : "The model is sure";
  const head = el(
    "header",
    { class: "why-head" },
    el("p", { class: "row small" }, el("span", { class: "badge" }, position), note(item), verdict(item)),
    el("h2", {}, el("q", {}, words(work.text.slice(mention.start, mention.end))), " ", typeMark(mention.type, isOpen(item) ? "?" : "")),
  );
  const figures = item.figures;
  if (!figures) return [head];
  return [head, drawReasons(figures.reasons), drawFigures(figures, work.task.threshold), drawViews(figures), drawRivals(work, item, onChoose), drawTypicality(work.task)];
}

function note(item) {
  if (item.figures?.is_audit) return el("span", { class: "badge" }, "spot check");
  return item.isCandidate ? el("span", { class: "badge" }, "not chosen by the model") : null;
}

function verdict(item) {
  const action = actionOf(item);
  if (item.isSuperseded) return el("span", { class: "badge" }, "overlaps one that you accepted");
  return action ? el("span", { class: "badge answered" }, VERDICTS[action]) : null;
}

function drawReasons(reasons) {
  if (!reasons.length) return null;
  return el("ul", { class: "reasons" }, ...reasons.map(({ sentence }) => el("li", {}, words(sentence))));
}

function drawFigures(figures, threshold) {
  return el(
    "dl",
    { class: "figures" },
    figure("Probability", percent(figures.probability), bar(figures.probability, threshold), threshold < 1 ? `at ${percent(threshold)} or more, only spot checks ask` : "people are asked about every mention now"),
    ...Object.entries(KINDS).map(([kind, name]) => figure(name, variance(figures[kind]), kindBar(figures, kind), kindWords(figures, kind))),
  );
}

function figure(name, value, chart, meaning) {
  return el("div", {}, el("dt", {}, name), el("dd", { class: "figure value" }, value), el("dd", { class: "chart-cell" }, chart), el("dd", { class: "soft small" }, meaning));
}

function variance(value) {
  return value >= 100 ? String(Math.round(value)) : value < 0.001 ? "<0.001" : value.toPrecision(2);
}

/** The bar of a kind: its rank, with a mark at half of the mentions. Without a rank: its part of the uncertainty. */
function kindBar(figures, kind) {
  const rank = rankOf(figures, kind);
  return rank === null ? bar(partOf(figures, kind), null) : bar(rank, 0.5);
}

/** Says what the bar of a kind shows. */
function kindWords(figures, kind) {
  const rank = rankOf(figures, kind);
  return rank === null ? `${kind}: ${percent(partOf(figures, kind))} of its uncertainty` : rankWords(kind, rank);
}

/** The share of mentions that have less of a kind; null while too few mentions are known. */
function rankOf(figures, kind) {
  return figures[`${kind}_rank`];
}

/** The share of a kind in the sum of both, which needs no other mention. */
function partOf(figures, kind) {
  const sum = figures.aleatoric + figures.epistemic;
  return sum > 0 ? figures[kind] / sum : 0;
}

function rankWords(kind, rank) {
  const grade = rank >= 0.75 ? "high, " : rank <= 0.25 ? "low, " : "";
  if (rank >= 0.99) return `${kind}: very high, above 99 of 100 mentions`;
  if (rank < 0.5) return `${kind}: ${grade}below ${Math.floor((1 - rank) * 10)} of 10 mentions`;
  return `${kind}: ${grade}above ${Math.floor(rank * 10)} of 10 mentions`;
}

/** A bar from 0 to 1 with a mark: the threshold, or the median mention. */
function bar(share, mark) {
  const x = 100 * Math.min(1, Math.max(0, mark));
  return svg(
    "svg",
    { class: "meter", viewBox: "0 0 100 8", preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("rect", { class: "bar-track", x: 0, y: 1, width: 100, height: 6, rx: 0.8 }),
    svg("rect", { class: "bar-fill", x: 0, y: 1, width: 100 * share, height: 6, rx: 0.8 }),
    mark === null ? null : svg("line", { class: "meter-mark", x1: x, x2: x, y1: 0, y2: 8, "vector-effect": "non-scaling-stroke" }),
  );
}

function drawViews({ views }) {
  if (!views.length) return null;
  const cell = (chart, text) => el("td", { class: "figure" }, el("span", {}, text), chart);
  const rows = views.map((view) =>
    el(
      "tr",
      {},
      el("th", { scope: "row" }, words(view.name)),
      cell(bar(view.probability, null), percent(view.probability)),
      ...Object.keys(KINDS).map((kind) => cell(kindBar(view, kind), variance(view[kind]))),
      cell(bar(view.share, null), percent(view.share)),
    ),
  );
  const head = ["view", "sure", "noise", "lack", "share"].map((name) => el("th", { scope: "col" }, name));
  return el(
    "div",
    {},
    el("h3", {}, "Each view alone"),
    el("table", { class: "views" }, el("thead", {}, el("tr", {}, ...head)), el("tbody", {}, ...rows)),
    el("p", { class: "soft small" }, `Bars of noise and lack: ${rankOf(views[0], "aleatoric") === null ? "their parts of the view's uncertainty" : "how many of the mentions have less"}.`),
  );
}

function drawRivals(work, item, onChoose) {
  const here = mentionOf(item);
  const rivals = work.items.filter((other) => other !== item && overlap(mentionOf(other), here));
  if (!rivals.length) return null;
  const lines = rivals.map((other) => {
    const { start, end, type } = mentionOf(other);
    const sure = other.figures ? percent(other.figures.probability) : "";
    return el("li", {}, el("button", { type: "button", class: "quiet rival", on: { click: () => onChoose(other) } }, el("q", {}, words(work.text.slice(start, end))), typeMark(type), el("span", { class: "soft figure" }, sure)));
  });
  return el("div", {}, el("h3", {}, "Other readings of these words"), el("ul", { class: "rivals" }, ...lines));
}

function drawTypicality({ typicality }) {
  if (typicality === null || typicality > 0.1) return null;
  return el("p", { class: "soft small" }, `An unusual post: only ${percent(typicality)} of the posts that the model was checked on are as unusual.`);
}
