// The pages of search: keys, images that cannot be shown, and exports with their progress. All of it works without.

import { ApiError, isOurs, toast } from "./page.js";

// Keys

const box = document.getElementById("q");
const hits = [...document.querySelectorAll(".hit")];

function current() {
  return hits.findIndex((hit) => hit.contains(document.activeElement));
}

function move(step) {
  if (!hits.length) return;
  const hit = hits[Math.min(hits.length - 1, Math.max(0, current() + step))];
  hit.focus({ preventScroll: true });
  hit.scrollIntoView({ block: "nearest" });
}

const KEYS = {
  "/": () => box?.select(),
  j: () => move(1),
  k: () => move(-1),
  o: () => hits[current()]?.querySelector(".hit-open").click(),
};

document.addEventListener("keydown", (event) => {
  if (!isOurs(event) || !Object.hasOwn(KEYS, event.key)) return;
  event.preventDefault();
  KEYS[event.key]();
});

// Images

function lost(image) {
  const frame = image.closest(".hit-image") ?? image;
  frame.hidden = true;
  const note = image.parentElement.querySelector(".hit-lost");
  if (note) note.hidden = false;
}

for (const image of document.querySelectorAll(".hit-image img, .post-images img")) {
  image.addEventListener("error", () => lost(image));
  if (image.complete && !image.naturalWidth) lost(image);
}

// Exports

const LARGE = 20_000; // posts of a file that should not stand in memory, where the browser can write to the disk
const EVERY_MS = 200;

const panel = document.getElementById("exporting");
const says = document.getElementById("export-says");
const progress = document.getElementById("export-progress");
const cancel = document.getElementById("export-cancel");

const [QUOTE, COMMA, LINE_FEED] = [34, 44, 10];

/** Counts the posts of a JSONL file: one a line. The function takes the next bytes and returns the count so far. */
function jsonlCounter() {
  let lines = 0;
  return (bytes) => {
    for (const byte of bytes) if (byte === LINE_FEED) lines += 1;
    return lines;
  };
}

/** Counts the posts of a CSV file. A post has a row for each mention; its id is the first cell of each. */
function csvCounter() {
  let quoted = false;
  let inId = true;
  let id = "";
  let before = "";
  let posts = -1; // the first row holds the names of the columns
  return (bytes) => {
    for (const byte of bytes) {
      if (byte === QUOTE) quoted = !quoted;
      else if (inId && byte === COMMA) {
        if (id !== before) posts += 1;
        [before, id, inId] = [id, "", false];
      } else if (inId) id += String.fromCharCode(byte);
      else if (byte === LINE_FEED && !quoted) inId = true;
    }
    return Math.max(0, posts);
  };
}

/** Returns where the bytes go: a file that the person chose, or memory, from which they are downloaded at the end. */
async function openSink(name, posts) {
  if (posts > LARGE && window.showSaveFilePicker) {
    const handle = await window.showSaveFilePicker({ suggestedName: name });
    return handle.createWritable();
  }
  const parts = [];
  return {
    write: async (bytes) => parts.push(bytes),
    abort: async () => parts.splice(0),
    close: async () => {
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob(parts));
      link.download = name;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    },
  };
}

function grouped(number) {
  return number.toLocaleString("en").replaceAll(",", "\u202f");
}

function show(done, total) {
  says.textContent = `${grouped(done)} of ${grouped(total)} posts`;
  progress.max = Math.max(1, total);
  progress.value = Math.min(done, total);
}

async function download(link, signal) {
  const { layout, name } = link.dataset;
  let total = Number(link.dataset.total);
  const sink = await openSink(name, total);
  try {
    const response = await fetch(link.dataset.address, { signal });
    if (!response.ok) {
      const answer = await response.json().catch(() => null);
      throw new ApiError(response.status, answer?.error ?? `the desk answered ${response.status}`);
    }
    total = Number(response.headers.get("X-Total-Count") ?? total);
    const count = layout === "csv" ? csvCounter() : jsonlCounter();
    const reader = response.body.getReader();
    let done = 0;
    let shown = 0;
    show(0, total);
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      done = count(part.value);
      await sink.write(part.value);
      if (performance.now() - shown < EVERY_MS) continue;
      shown = performance.now();
      show(done, total);
    }
    await sink.close();
    return done;
  } catch (error) {
    await sink.abort();
    throw error;
  }
}

const stay = (event) => event.preventDefault();

async function run(link) {
  const controller = new AbortController();
  cancel.onclick = () => controller.abort();
  show(0, Number(link.dataset.total));
  panel.hidden = false;
  window.addEventListener("beforeunload", stay);
  try {
    toast(`${grouped(await download(link, controller.signal))} posts exported`, "good");
  } catch (error) {
    if (error.name === "AbortError") toast("The export was cancelled");
    else toast(error instanceof ApiError ? error.message : "The export broke off. Try it again.", "bad", 10);
  } finally {
    window.removeEventListener("beforeunload", stay);
    panel.hidden = true;
  }
}

for (const link of document.querySelectorAll("[data-export]")) {
  link.addEventListener("click", (event) => {
    event.preventDefault();
    if (!panel.hidden) return;
    link.closest("details").open = false;
    cancel.focus();
    run(link);
  });
}
