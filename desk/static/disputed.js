// The page /review/disputed: each key is a button or a link that prints it.

import { isOurs, send, toast } from "./page.js";

const BODIES = { up: { is_up: true }, down: { is_up: false } };
let isBusy = false;

/** The client's id of a decision: a press after a failure sends the same one, so nothing is settled twice. */
const ids = new WeakMap();

function idOf(button) {
  if (!ids.has(button)) {
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    ids.set(button, [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join(""));
  }
  return ids.get(button);
}

function bodyOf(button) {
  const { body, task, version } = button.dataset;
  if (version) return { id: idOf(button), task, version };
  return BODIES[body];
}

async function press(button) {
  if (isBusy || button.disabled) return;
  isBusy = true;
  button.setAttribute("aria-busy", "true");
  try {
    await send(button.dataset.send, button.dataset.path, bodyOf(button));
    location.assign(button.dataset.next);
  } catch (error) {
    isBusy = false;
    button.removeAttribute("aria-busy");
    toast(error.message, "bad", 12);
  }
}

for (const button of document.querySelectorAll("[data-send]")) button.addEventListener("click", () => press(button));

addEventListener("pageshow", (event) => event.persisted && location.reload()); // the list of before is out of date

addEventListener("keydown", (event) => {
  if (!isOurs(event) || event.repeat || isBusy) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : "";
  if (!/^[a-z1-9]$/.test(key)) return;
  const element = document.querySelector(`[data-key="${key}"]`);
  if (!element) return;
  event.preventDefault();
  element.click();
});
