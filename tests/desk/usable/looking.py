"""Asks a page whether everybody can use it: axe-core, the keyboard alone, and small windows."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from playwright.async_api import Locator, Page

AXE = (files("axe_playwright_python") / "axe.min.js").read_text()
USABLE = (Path(__file__).parent / "usable.js").read_text()
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
ALL = {"runOnly": {"type": "tag", "values": TAGS}, "resultTypes": ["violations"]}
WIDE, TABLET, PHONE = (1440, 900), (1024, 768), (390, 844)
NARROW = {
    "1024 pixels": (*TABLET, 1),
    "a zoom of 200%": (720, 450, 2),
    "a phone": (*PHONE, 1),
    "a zoom of 400%": (320, 256, 4),
}
"""Windows as (width, height, device pixels a pixel). A zoom makes 720 of 1440 pixels, or 320 of 1280."""
OVERLAPPING = """() => {
  const cards = [...document.querySelectorAll("main .card")].filter((card) => card.offsetParent);
  const boxes = cards.map((card) => [card, card.getBoundingClientRect()]);
  const over = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1
    && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 1;
  return boxes.flatMap(([one, a], place) => boxes.slice(place + 1)
    .filter(([other, b]) => !one.contains(other) && !other.contains(one) && over(a, b))
    .map(([other]) => `${one.getAttribute("aria-labelledby")} and ${other.getAttribute("aria-labelledby")}`));
}"""
"""The cards that cover parts of each other."""


async def unfold(page: Page) -> None:
    """Opens all that folds, but menus, which lie over the page."""
    await page.evaluate("() => document.querySelectorAll('details:not(.menu)').forEach(one => (one.open = true))")


async def judged(page: Page, place: str, part: Locator | None = None) -> list[str]:
    """Returns what axe-core finds, in light and in dark."""
    faults = []
    for scheme in ("light", "dark"):
        await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        root = part or page.locator("html")
        found = await root.evaluate("(root, rules) => axe.run(root, rules)", ALL)
        for fault in found["violations"]:
            nodes = [f"{node['html'][:160]} ({' '.join(node['failureSummary'].split())})" for node in fault["nodes"]]
            faults.append(f"{place}, {scheme}: {fault['id']}: {nodes}")
    return faults


async def walked(page: Page, place: str, names: list[str], *, only: bool = False) -> list[str]:
    """Presses Tab until each control had the focus. Returns what is wrong. `only`: no other control may have it."""
    first, faults = await page.evaluate("() => usable.focused()"), list[str]()
    reached, left = {first["name"]} if first else set[str](), 2 * len(names) + 20
    while not set(names) <= reached and left:
        await page.keyboard.press("Tab")
        focus = await page.evaluate("() => usable.focused()")
        left -= 1
        if focus is None:  # the end of the page, or the browser's own controls
            continue
        reached.add(focus["name"])
        if not focus["ring"]:
            faults.append(f"{place}: nothing shows the focus on {focus['name']}")
        if not focus["uncovered"]:
            faults.append(f"{place}: something covers {focus['name']}, which has the focus")
    faults += [f"{place}: Tab does not reach {name}" for name in set(names) - reached]
    if only:
        faults += [f"{place}: Tab leaves it for {name}" for name in reached - set(names)]
    return faults


async def squeezed(page: Page, place: str) -> list[str]:
    """Returns what is too wide, cut or covered, in each narrow window."""
    devices, faults = await page.context.new_cdp_session(page), list[str]()
    body = page.locator("body")
    for name, (width, height, scale) in NARROW.items():
        size = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": False}
        await devices.send("Emulation.setDeviceMetricsOverride", size)
        for question in ("tooWide", "cut", "covered"):
            found = await body.evaluate(f"part => usable.{question}(document.querySelector('dialog[open]') ?? part)")
            faults += [f"{place}, {name}: {question}: {fault}" for fault in found]
        faults += [f"{place}, {name}: one over the other: {cards}" for cards in await page.evaluate(OVERLAPPING)]
    await devices.send("Emulation.clearDeviceMetricsOverride")
    await devices.detach()
    return faults
