// Places in a post's text. The server counts code points, and so does every module here. The browser counts UTF-16
// code units, and only `toUnit` and `toPoint` know them. Where words and characters end, the server says: the browser's
// `Intl.Segmenter` follows other versions of Unicode's rules.

/** A text that is cut at code points. `words` and `inner` are those of the server's task. */
export class Text {
  constructor(string, words = [], inner = []) {
    this.string = string;
    this.points = Array.from(string);
    this.words = words;
    const inside = new Set(inner);
    this.edges = [];
    for (let place = 0; place <= this.points.length; place += 1) if (!inside.has(place)) this.edges.push(place);
  }

  get length() {
    return this.points.length;
  }

  /** The string between two code points. */
  slice(start, end) {
    return this.points.slice(start, end).join("");
  }
}

/** Returns how many UTF-16 units of the string come before this code point. */
export function toUnit(string, point) {
  let unit = 0;
  for (let count = 0; count < point && unit < string.length; count += 1) unit += width(string, unit);
  return unit;
}

/** Returns how many code points of the string come before this UTF-16 unit. Inside of a pair, the pair's own place. */
export function toPoint(string, unit) {
  let point = 0;
  for (let at = 0; at + width(string, at) <= unit && at < string.length; at += width(string, at)) point += 1;
  return point;
}

function width(string, unit) {
  return string.codePointAt(unit) > 0xffff ? 2 : 1;
}

// A span is { start, end, edge }. `edge` is the one that moves: "end", "start" or "both". The rules are those of
// `review/span.py`; a test holds the two together.

const NEXT_EDGE = { end: "start", start: "both", both: "end" };

export function switchEdge(span) {
  return { ...span, edge: NEXT_EDGE[span.edge] };
}

/** Moves a start to the next word's start, an end to the next word's end, the whole span onto the next word. */
export function byWord(text, span, step) {
  if (span.edge === "both") {
    const words = text.words.filter(([, , isWord]) => isWord);
    const word = step > 0 ? words.find(([start]) => start >= span.end) : words.findLast(([, end]) => end <= span.start);
    return word ? { ...span, start: word[0], end: word[1] } : span;
  }
  const side = span.edge === "start" ? 0 : 1;
  const edges = text.words.map((word) => word[side]);
  return moveEdge(span, next(span.edge === "start" ? span.start : span.end, step, edges));
}

export function byCharacter(text, span, step) {
  const start = next(span.start, step, text.edges);
  const end = next(span.end, step, text.edges);
  if (span.edge === "both") return start === span.start || end === span.end ? span : { ...span, start, end };
  return moveEdge(span, span.edge === "start" ? start : end);
}

function moveEdge(span, place) {
  const moved = span.edge === "start" ? { ...span, start: place } : { ...span, end: place };
  return moved.start < moved.end ? moved : span;
}

/** Returns the next of the rising edges after or before the place, or the place itself. */
function next(place, step, edges) {
  const found = step > 0 ? edges.find((edge) => edge > place) : edges.findLast((edge) => edge < place);
  return found ?? place;
}

/** Returns the first word that overlaps none of these [start, end] spans, or else the first word. */
export function firstFree(text, taken) {
  const words = text.words.filter(([, , isWord]) => isWord).map(([start, end]) => [start, end]);
  if (!words.length) words.push([0, text.length]);
  const free = words.find(([start, end]) => taken.every(([from, to]) => end <= from || to <= start));
  const [start, end] = free ?? words[0];
  return { start, end, edge: "both" };
}

/** Returns the words, and runs of signs, that a selection touches. Without any, the characters that it touches. */
export function snap(text, start, end) {
  const touched = text.words.filter(([from, to]) => from < end && start < to);
  const words = touched.some(([, , isWord]) => isWord) ? touched.filter(([, , isWord]) => isWord) : touched;
  if (words.length) return { start: words[0][0], end: words.at(-1)[1], edge: "end" };
  const from = text.edges.findLast((edge) => edge <= start) ?? 0;
  const to = text.edges.find((edge) => edge >= Math.max(end, start + 1)) ?? text.length;
  return { start: from, end: to, edge: "end" };
}
