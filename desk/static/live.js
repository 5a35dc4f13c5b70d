// The live page: posts slide in on top as server-sent events bring them, and go when they match no more.

import { isOurs } from "./page.js";

const MOST = 100; // posts on the page; older ones make room
const NEWS_MS = 10_000; // a screen reader is told of new posts at most so often
const AGAIN_MS = 1000;
const LONGEST_PAUSE_MS = 30_000;

const bar = document.getElementById("live");
const says = document.getElementById("live-says");
const count = document.getElementById("live-count");
const news = document.getElementById("live-news");
const gap = document.getElementById("live-gap");
const more = document.getElementById("live-more");
const list = document.getElementById("live-hits");
const empty = document.getElementById("live-empty");
const pauseButton = document.getElementById("live-pause");
const template = document.getElementById("live-hit");
const title = document.title;

const rows = new Map(); // id -> its <li>, the newest last
let held = new Map(); // id -> post, while the page is paused
let paused = false;
let seen = 0;
let unread = 0;
let untold = 0;
let last = "";
let away = ""; // why no posts come, while the stream is open
let source = null;
let again = AGAIN_MS;

function state(name, text) {
  bar.dataset.state = name;
  says.textContent = text;
}

function span(className, text) {
  const element = document.createElement("span");
  element.className = className;
  element.append(text);
  return element;
}

/** Fills in the text: its mentions in colour, and the words that match marked. */
function drawText(into, parts) {
  for (const { pieces, type } of parts) {
    const here = type ? span(`mention ${type}`, "") : into;
    for (const [text, matched] of pieces) {
      if (!matched) here.append(text);
      else here.append(Object.assign(document.createElement("mark"), { textContent: text }));
    }
    if (!type) continue;
    const letters = span("type", "");
    letters.append(span("sr", " ("), type, span("sr", ")"));
    here.append(letters);
    into.append(here);
  }
}

function draw(post) {
  const row = template.content.cloneNode(true).querySelector("li");
  const part = (selector) => row.querySelector(selector);
  const address = `/posts/${encodeURIComponent(post.id)}`;
  part(".hit-author").textContent = post.author?.name || post.author?.id || "unknown author";
  part(".hit-open").href = address;
  part("time").textContent = post.created_at ? `${post.created_at.slice(0, 10)} ${post.created_at.slice(11, 16)}` : "no date";
  part("time").dateTime = post.created_at ?? "";
  part(".hit-source").textContent = post.source;
  part(".decided").hidden = post.decided_by !== "human";
  part(".decided bdi").textContent = post.reviewer ?? "a person";
  part(".post").hidden = post.withheld;
  part(".withheld").hidden = !post.withheld;
  drawText(part(".post"), post.cut);
  if (post.media.length) {
    const image = part("img");
    part(".hit-image").hidden = false;
    part(".hit-image").href = address;
    image.alt = post.alt[0] || "Image of the post";
    image.addEventListener("error", () => { row.querySelector(".hit-image").hidden = true; });
    image.src = `/images/${encodeURIComponent(post.id)}/0.jpg?small`;
  }
  return row;
}

function drop(id) {
  rows.get(id)?.remove();
  rows.delete(id);
}

function show(post) {
  drop(post.id);
  const row = draw(post);
  row.classList.add("arrived");
  list.prepend(row);
  rows.set(post.id, row);
  while (rows.size > MOST) drop(rows.keys().next().value);
  settle();
}

function settle() {
  list.hidden = rows.size === 0;
  empty.hidden = rows.size > 0;
  count.textContent = seen.toLocaleString("en").replaceAll(",", "\u202f");
  more.hidden = held.size === 0;
  more.textContent = held.size === 1 ? "Show 1 new post" : `Show ${held.size} new posts`;
  document.title = unread ? `(${unread > 99 ? "99+" : unread}) ${title}` : title;
}

function arrived(post) {
  seen += 1;
  untold += 1;
  if (document.hidden || paused) unread += 1;
  if (!paused) {
    show(post);
    return;
  }
  held.delete(post.id);
  held.set(post.id, post);
  while (held.size > MOST) held.delete(held.keys().next().value);
  settle();
}

function release() {
  const waiting = [...held.values()];
  held = new Map();
  unread = 0;
  for (const post of waiting) show(post);
  settle();
}

function pause() {
  paused = !paused;
  pauseButton.firstChild.textContent = paused ? "Go on " : "Pause ";
  if (!paused) release();
  if (source?.readyState === EventSource.OPEN) standing();
}

/** Says how the open stream stands. */
function standing() {
  if (away) state("away", away);
  else state(paused ? "paused" : "live", paused ? "Paused" : "Live");
}

function address() {
  const query = new URLSearchParams(bar.dataset.query);
  for (const name of ["sort", "page"]) query.delete(name);
  if (last) query.set("after", last);
  for (const id of [...rows.keys(), ...held.keys()].slice(-MOST)) query.append("shown", id);
  return `/api/v1/tail?${query}`;
}

/** Opens the stream where the last one ended. The browser's own way would not say which posts are shown. */
function connect() {
  away = "";
  source = new EventSource(address());
  const on = (name, act) => source.addEventListener(name, (event) => {
    if (event.lastEventId) last = event.lastEventId;
    act(JSON.parse(event.data));
  });
  on("ready", () => {
    again = AGAIN_MS;
    away = "";
    standing();
  });
  on("away", ({ error }) => {
    away = `${error}. Posts come when it answers again.`;
    standing();
  });
  on("post", arrived);
  on("gone", ({ id }) => {
    drop(id);
    held.delete(id);
    settle();
  });
  on("gap", () => { gap.hidden = false; });
  on("end", () => reconnect(0));
  on("fault", ({ error }) => {
    source.close();
    state("away", error);
  });
  source.onerror = () => {
    state("away", "Not connected. Trying again…");
    if (source.readyState === EventSource.CLOSED) explain(source.url); // the desk has answered, with an error
    reconnect(again);
    again = Math.min(LONGEST_PAUSE_MS, again * 2);
  };
}

/** Says why the desk refuses the stream: the browser does not tell what the answer to an EventSource holds. */
async function explain(url) {
  const reading = new AbortController();
  try {
    const answer = await fetch(url, { signal: reading.signal, headers: { Accept: "application/json" } });
    const { error } = answer.ok ? {} : await answer.json();
    if (error && bar.dataset.state === "away") state("away", `${error}. Trying again…`);
  } catch {
    // the connection is lost, as the page says already
  } finally {
    reading.abort();
  }
}

let timer = 0;
function reconnect(wait) {
  source.close();
  clearTimeout(timer);
  timer = setTimeout(connect, wait);
}

setInterval(() => {
  if (!untold) return;
  news.textContent = untold === 1 ? "1 new post" : `${untold} new posts`;
  untold = 0;
}, NEWS_MS);

pauseButton.addEventListener("click", pause);
more.addEventListener("click", () => (paused ? pause() : release()));
document.addEventListener("keydown", (event) => {
  if (isOurs(event) && event.key === "p") pause();
});
document.addEventListener("visibilitychange", () => {
  if (document.hidden || paused) return;
  unread = 0;
  settle();
});

connect();
