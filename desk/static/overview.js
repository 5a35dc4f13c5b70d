// Loads the page again every 15 seconds, where a person wants that. The choice stays for this tab.

const EVERY_MS = 15_000;
const box = document.getElementById("refresh");

box.checked = sessionStorage.getItem("refresh") === "on";
box.addEventListener("change", () => sessionStorage.setItem("refresh", box.checked ? "on" : "off"));
setInterval(() => {
  if (box.checked && !document.hidden) location.reload();
}, EVERY_MS);
