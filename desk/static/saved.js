// The page of saved searches: asks before something is deleted, and copies a secret. All of it works without.

import { toast } from "./page.js";

for (const form of document.querySelectorAll("form[data-ask]")) {
  form.addEventListener("submit", (event) => {
    if (!confirm(form.dataset.ask)) event.preventDefault();
  });
}

for (const button of document.querySelectorAll("[data-copy]")) {
  button.addEventListener("click", async () => {
    const held = document.getElementById(button.dataset.copy);
    try {
      await navigator.clipboard.writeText(held.textContent);
      toast("Copied", "good");
    } catch {
      getSelection().selectAllChildren(held);
      toast("Select it, and copy it by hand");
    }
  });
}
