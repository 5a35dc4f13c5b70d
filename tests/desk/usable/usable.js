// What the tests ask a page: which controls it has, which of them has the focus and can be seen, and what is cut.

window.usable = (() => {
  const TABBABLE = "a[href], button:not(:disabled), input:not([type=hidden]):not(:disabled), select, textarea, summary, [tabindex]";
  const isVisible = (element) => element.checkVisibility({ visibilityProperty: true, contentVisibilityAuto: true });
  /** Tab reaches one radio button of a group, arrows the others. */
  const isTabbable = (element) =>
    element.matches(TABBABLE) && element.tabIndex >= 0 && isVisible(element) && !(element.type === "radio" && !element.checked);

  /** What a person calls a control. It stays the same when the page draws the control again. */
  function name(element) {
    const label = element.getAttribute("aria-label") ?? element.labels?.[0]?.textContent ?? element.textContent;
    const more = element.getAttribute("href") ?? element.name ?? "";
    return [element.tagName.toLowerCase(), element.id, label.replace(/\s+/g, " ").trim().slice(0, 60), more].filter(Boolean).join(" ");
  }

  const tabbable = (root) => [...root.querySelectorAll(TABBABLE)].filter(isTabbable);

  /** Controls that a mouse can press, and no key. */
  function mouseOnly() {
    const addresses = new Set(tabbable(document).map((element) => element.getAttribute("href")));
    return [...document.body.querySelectorAll("*")].filter((element) => {
      if (!isVisible(element) || getComputedStyle(element).cursor !== "pointer") return false;
      for (let at = element; at; at = at.parentElement) {
        if (isTabbable(at) || (at.control && isTabbable(at.control))) return false;
        if (at.matches("a[href]") && addresses.has(at.getAttribute("href"))) return false; // a second way to a link
      }
      return true;
    }).map(name);
  }

  /** Whether some of an element can be seen: it is in the window, and nothing lies on all of it. */
  function isUncovered(element) {
    const rects = [...element.getClientRects()].map(({ left, right, top, bottom }) => {
      const [x, y] = [Math.max(0, left), Math.max(0, top)];
      return { left: x, top: y, width: Math.min(innerWidth, right) - x, height: Math.min(innerHeight, bottom) - y };
    }).filter((rect) => rect.width > 0 && rect.height > 0);
    return rects.some((rect) => [0.1, 0.5, 0.9].some((x) => [0.1, 0.5, 0.9].some((y) => {
      const found = document.elementFromPoint(rect.left + x * rect.width, rect.top + y * rect.height);
      return found && (element.contains(found) || found.contains(element));
    })));
  }

  /** The element with the focus, or null. `ring`: whether something shows that. */
  function focused() {
    const element = document.activeElement;
    if (!element || element === document.body) return null;
    const { outlineStyle, outlineWidth, boxShadow } = getComputedStyle(element);
    const ring = (outlineStyle !== "none" && parseFloat(outlineWidth) >= 2) || boxShadow !== "none";
    return { name: name(element), ring, uncovered: isUncovered(element) };
  }

  /** Controls that stay covered, wherever the page is scrolled to. */
  function covered(root) {
    return tabbable(root).filter((element) => {
      if (element.matches(".skip")) return false;
      element.scrollIntoView({ block: "nearest", inline: "nearest", behavior: "instant" });
      return !isUncovered(element);
    }).map(name);
  }

  /** The words that a person sees. Those that a reader of screens alone gets, or that only decorate, are left out. */
  function texts(root) {
    const found = [];
    const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      const parent = node.parentElement;
      if (node.data.trim() && isVisible(parent) && !parent.closest(".sr, .skip, [aria-hidden]")) found.push(node.data.replace(/\s+/g, " ").trim());
    }
    return found;
  }

  const cuts = (style) => ["hidden", "clip"].includes(style.overflowX) || ["hidden", "clip"].includes(style.overflowY);

  /** Texts that stick out of the window, or of a box that cuts them, and that no scrolling brings back. The line of a
   * name is cut on purpose, until it is the current one. */
  function cut(root) {
    const found = new Set();
    const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      const parent = node.parentElement;
      if (!node.data.trim() || !isVisible(parent) || parent.closest(".sr, .skip, svg, .kwic:not(.current *)")) continue;
      const range = document.createRange();
      range.selectNodeContents(node);
      for (const rect of range.getClientRects()) {
        if (!rect.width) continue;
        const edges = { left: 0, right: innerWidth, top: -Infinity, bottom: Infinity };
        for (let box = parent; box !== document.documentElement; box = box.parentElement) {
          const style = getComputedStyle(box);
          if (["auto", "scroll"].includes(style.overflowX) || ["auto", "scroll"].includes(style.overflowY)) {
            edges.left = -Infinity;
            edges.right = Infinity;
            break;
          }
          if (!cuts(style) || style.display === "inline") continue;
          const { left, right, top, bottom } = box.getBoundingClientRect();
          Object.assign(edges, { left: Math.max(edges.left, left), right: Math.min(edges.right, right), top: Math.max(edges.top, top), bottom: Math.min(edges.bottom, bottom) });
        }
        const out = Math.max(edges.left - rect.left, rect.right - edges.right, edges.top - rect.top - 4, rect.bottom - edges.bottom - 4);
        const whole = parent.closest("[title]")?.title ?? "";
        if (out > 2 && !whole.includes(node.data.trim())) found.add(`${node.data.trim().slice(0, 60)} (${parent.className || parent.tagName}, ${Math.round(out)} px)`);
      }
    }
    return [...found];
  }

  /** Why the page can be moved sideways: the innermost elements that reach beyond the window, up to three. */
  function tooWide() {
    const over = document.documentElement.scrollWidth - innerWidth;
    if (over <= 0) return [];
    const wide = [...document.querySelectorAll("body *")].filter((one) => one.getBoundingClientRect().right > innerWidth + 1 && !one.closest(".scroll"));
    const innermost = wide.filter((one) => !wide.some((other) => other !== one && one.contains(other)));
    return [`by ${over} px`, ...innermost.slice(0, 3).map((one) => one.outerHTML.slice(0, 120))];
  }

  return { tooWide, name, names: (root) => tabbable(root).map(name), mouseOnly, focused, covered, texts, cut };
})();
