// What every page does: changes the theme, closes menus, shows messages.

const THEMES = ["light", "dark"];

function currentTheme() {
  const chosen = document.documentElement.dataset.theme;
  if (chosen) return chosen;
  return matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
}

function changeTheme() {
  const next = THEMES[1 - THEMES.indexOf(currentTheme())];
  document.documentElement.dataset.theme = next;
  document.cookie = `theme=${next}; path=/; max-age=31536000; samesite=lax`;
}

for (const button of document.querySelectorAll("[data-theme-toggle]")) button.addEventListener("click", changeTheme);

/** A menu lies over the page, so it closes when a person goes on elsewhere, by mouse or by Tab. */
function closeOthers(event) {
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
}
document.addEventListener("click", closeOthers);
document.addEventListener("focusin", closeOthers);

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    menu.open = false;
    menu.querySelector("summary").focus();
  }
});

/** Shows a message for a few seconds. `tone` is "good", "bad" or "plain". Returns its element. */
export function toast(message, tone = "plain", seconds = 5) {
  const element = document.createElement("p");
  element.className = `toast ${tone}`;
  element.textContent = message;
  document.getElementById("toasts").append(element);
  if (seconds) setTimeout(() => element.remove(), seconds * 1000);
  return element;
}

/** Whether a key press belongs to the page: no text field has the focus, and no modifier but shift is held. */
export function isOurs(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return false;
  return !event.target.closest("input:not([type=checkbox]):not([type=radio]), textarea, select, [contenteditable]");
}

/** Longest wait for an answer. The desk itself waits ten seconds for Kafka and Redis, and thirty for Elasticsearch. */
const ANSWER_MS = 40_000;

/**
 * Sends JSON to our own API and returns the answer's JSON. Throws `ApiError` with the server's reason, and another error
 * when no answer comes in time.
 */
export async function send(method, path, body, answerMs = ANSWER_MS) {
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(new Error(`the desk did not answer within ${answerMs / 1000} seconds`)), answerMs);
  try {
    return await sendNow(method, path, body, late.signal);
  } finally {
    clearTimeout(timer);
  }
}

async function sendNow(method, path, body, signal) {
  const headers = { Accept: "application/json" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (method !== "GET") headers["X-CSRF-Token"] = document.querySelector("meta[name=csrf]").content;
  const response = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body), signal });
  const type = response.headers.get("Content-Type") ?? "";
  const answer = type.startsWith("application/json") ? await response.json() : null;
  if (!response.ok) {
    const isStale = response.headers.get("X-CSRF-Token") === "stale";
    throw new ApiError(response.status, answer?.error ?? `the desk answered ${response.status}`, isStale);
  }
  return answer;
}

/** The server refused a request. `status` is that of HTTP. `isStale`: the person has signed in again since the page came. */
export class ApiError extends Error {
  constructor(status, message, isStale = false) {
    super(message);
    this.status = status;
    this.isStale = isStale;
  }
}
