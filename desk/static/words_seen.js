// Notes which lines come into view, between the bar at the top and the buttons.

let observer = null;

/** Looks at lines until the next call. `onSeen` gets the posts that came into view. */
export function observe(lines, buttons, onSeen) {
  observer?.disconnect();
  const covers = (bar) => getComputedStyle(bar).position !== "static"; // in a low window the bars move with the page
  const heightOf = (bar) => (covers(bar) ? Math.round(bar.getBoundingClientRect().height) : 0);
  const [top, height] = [document.querySelector(".bar"), buttons].map(heightOf);
  // where the buttons stand when they cover lines: now they may stand higher, below the last line
  const bottom = height && height + Math.round(parseFloat(getComputedStyle(buttons).bottom) || 0);
  const noticed = (entries) => {
    const inView = entries.filter(({ isIntersecting }) => isIntersecting && document.visibilityState === "visible");
    onSeen(inView.map(({ target }) => target.dataset.post));
  };
  observer = new IntersectionObserver(noticed, { threshold: 0.7, rootMargin: `-${top}px 0px -${bottom}px 0px` });
  for (const line of lines) observer.observe(line);
}
