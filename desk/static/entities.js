// The pages of names: filters apply at once, and names are suggested while a person types. All of it works without.

import { send } from "./page.js";

for (const form of document.querySelectorAll("form[data-submit]")) {
  for (const field of form.querySelectorAll("select")) field.addEventListener("change", () => form.requestSubmit());
  form.addEventListener("formdata", (event) => {
    for (const [name, value] of [...event.formData]) if (!value) event.formData.delete(name);
  });
}

const PAUSE_MS = 150;

function suggest(field) {
  const list = document.getElementById(field.dataset.suggest);
  let waiting = 0;
  field.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(async () => {
      const typed = field.value;
      try {
        const found = await send("GET", `/api/v1/entities/suggestions?q=${encodeURIComponent(typed)}`);
        if (field.value !== typed) return; // an answer to an earlier text
        list.replaceChildren(...found.map(({ name, posts }) => new Option(`${posts} posts`, name)));
      } catch {
        list.replaceChildren(); // one can type the name without help
      }
    }, PAUSE_MS);
  });
}

for (const field of document.querySelectorAll("input[data-suggest]")) suggest(field);
