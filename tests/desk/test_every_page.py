"""What holds for every page: it can be used without a mouse, without colours, and at every width."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path

import pytest
from playwright.async_api import Browser, Locator, Page, expect
from starlette.responses import HTMLResponse

from desk.access.access import users_of
from desk.app import create
from examples.desk_posts import posts
from streams.settings import Settings
from tests.desk.access.conftest import PASSWORD
from tests.desk.conftest import served
from tests.desk.filled import fill, read, save, set_apart
from tests.desk.pages import PAGES, look, until
from tests.desk.routes import walk

AXE = (files("axe_playwright_python") / "axe.min.js").read_text()
USABLE = (Path(__file__).parent / "usable.js").read_text()
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
ALL = {"runOnly": {"type": "tag", "values": TAGS}, "resultTypes": ["violations"]}
WIDE, PHONE = (1440, 900), (390, 844)
NARROW = {"a zoom of 200%": (720, 450, 2), "a phone": (*PHONE, 1), "a zoom of 400%": (320, 256, 4)}
"""Windows as (width, height, device pixels a pixel). A zoom makes 720 of 1440 pixels, or 320 of 1280."""
DIALOGS = {"/review": {"?": "#keys", "f": "#flag"}, "/review/words": {"?": "#keys"}}
"""Page -> key and button of each dialog, and the dialog."""
BY_TAP = {"button Line before", "button Next line", "button ␣Tick", "Tick"}
"""Buttons, and the words on them, that a phone does not show on `/review/words`: there a tap on a line does it."""
NO_SERVERS = {"kafka": "127.0.0.1:9", "redis": "redis://127.0.0.1:9", "elasticsearch": "http://127.0.0.1:9"}
FAULTS = {"/nowhere": ("ada", 404), "/search?page=x": ("ada", 400), "/search": ("ada", 503), "/audit": ("rob", 403)}
"""Pages that say what is wrong, on a desk without servers: who asks for them, and their status."""

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


def test_every_page_is_listed(settings: Settings) -> None:
    routes = walk(create(settings).routes)
    pages = {path for path, route in routes if getattr(route, "response_class", None) is HTMLResponse}
    assert len(pages) > 10
    patterns = {page.partition("?")[0] for page in PAGES}
    assert {path for path in pages if "{" not in path} <= patterns
    for path in pages - patterns:
        start = path.partition("{")[0]
        assert any(page.startswith(start) and page != start for page in patterns), f"no example of {path}"


@pytest.fixture
async def page(browser: Browser) -> AsyncIterator[Page]:
    """A tab without a security policy, since axe-core is put into it. Nothing moves, so no colour is between two."""
    width, height = WIDE
    context = await browser.new_context(
        viewport={"width": width, "height": height}, bypass_csp=True, reduced_motion="reduce"
    )
    await context.add_init_script(USABLE)
    yield await context.new_page()
    await context.close()


@pytest.fixture
async def full_desk(desk: str, desk_settings: Settings) -> str:
    """The address of a desk whose pages have something to show."""
    await fill(desk_settings, [read(post) for post in posts(60, until())])
    await set_apart(desk_settings, ["which one?", ""])
    await save(desk_settings, ["NASA", "Paris"])
    return desk


@pytest.fixture
def away_desk(tmp_path: Path) -> Iterator[str]:
    """A desk whose servers are away, with users."""
    settings = Settings(_env_file=None, home=tmp_path / "away", **NO_SERVERS)  # type: ignore[arg-type]
    users_of(settings).add("ada", PASSWORD, ("admin", "analyst"))
    users_of(settings).add("rob", PASSWORD, ("reviewer",))
    with served(settings) as address:
        yield address


async def every(page: Page, full_desk: str, away_desk: str) -> AsyncIterator[str]:
    """Opens every page in turn, also those that say what is wrong. Opens what can be unfolded. Yields its address."""
    for path in PAGES:
        if path == "/login":
            continue  # an open desk has no login
        assert await look(page, full_desk + path) == 200, path
        yield path
    person = None
    for path, (asking, status) in FAULTS.items():
        if asking != person:
            await page.context.clear_cookies()
            await page.goto(f"{away_desk}/login?next=/nowhere")
            if person is None:
                yield "/login"
            await page.get_by_label("Name", exact=True).fill(asking)
            await page.get_by_label("Password", exact=True).fill(PASSWORD)
            await page.keyboard.press("Enter")
            await page.get_by_role("heading", name="Nothing here").wait_for()
            person = asking
        assert await look(page, away_desk + path) == status, path
        yield f"{path}, {status}"


async def unfold(page: Page) -> None:
    """Opens all that folds, but menus, which lie over the page."""
    await page.evaluate("() => document.querySelectorAll('details:not(.menu)').forEach(one => (one.open = true))")


@asynccontextmanager
async def opened(page: Page, path: str) -> AsyncIterator[AsyncIterator[tuple[str, Locator]]]:
    """Yields all that opens over a page, one after another, each open: menus, dialogs, and the editing of a span."""

    async def each() -> AsyncIterator[tuple[str, Locator]]:
        for menu in await page.locator("details.menu:visible").all():
            button = menu.locator("summary")
            await button.press("Enter")
            yield f"menu {await button.inner_text()}", menu
            await page.keyboard.press("Escape")
            await expect(menu).not_to_have_attribute("open", "")
            await expect(button).to_be_focused()
        for key, selector in DIALOGS.get(path, {}).items():
            button, dialog = page.locator(f"[data-press='{key}']"), page.locator(selector)
            await button.press("Enter")
            await expect(dialog).to_be_visible()
            yield f"dialog {selector}", dialog
            await page.keyboard.press("Escape")
            await expect(dialog).to_be_hidden()
            await expect(button).to_be_focused()
        for key in "en" if path == "/review" else "":
            await page.locator("#main").press(key)
            await expect(page.locator(".mention.edited")).to_be_visible()
            yield f"editing by {key}", page.locator("#review")
            await page.keyboard.press("Escape")
            await expect(page.locator(".mention.edited")).to_have_count(0)

    yield each()


async def judged(page: Page, place: str, part: Locator | None = None) -> list[str]:
    """Returns what axe-core finds, in light and in dark."""
    faults = []
    for scheme in ("light", "dark"):
        await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        root = part or page.locator("html")
        found = await root.evaluate("(root, rules) => axe.run(root, rules)", ALL)
        for fault in found["violations"]:
            faults.append(f"{place}, {scheme}: {fault['id']}: {[node['html'][:160] for node in fault['nodes']]}")
    return faults


async def test_axe_finds_nothing_in_light_and_dark(page: Page, full_desk: str, away_desk: str) -> None:
    faults = []
    async for path in every(page, full_desk, away_desk):
        await page.evaluate(AXE)
        await unfold(page)
        faults += await judged(page, path)
        async with opened(page, path) as parts:
            async for name, part in parts:
                faults += await judged(page, f"{path}, {name}", part)
        await page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
        faults += await judged(page, f"{path} on a phone")
        await page.set_viewport_size({"width": WIDE[0], "height": WIDE[1]})
    assert not faults, "\n".join(faults)


async def test_keys_alone_reach_everything(page: Page, full_desk: str, away_desk: str) -> None:
    faults = []
    async for path in every(page, full_desk, away_desk):
        await unfold(page)
        faults += [f"{path}: only a mouse presses {name}" for name in await page.evaluate("() => usable.mouseOnly()")]
        faults += await walked(page, path, await page.evaluate("() => usable.names(document)"))
        async with opened(page, path) as parts:
            async for name, part in parts:
                if name.startswith("editing"):
                    continue  # there Tab chooses the edge that moves, and Escape leaves
                inside = await part.evaluate("part => usable.names(part)")
                is_dialog = name.startswith("dialog")
                assert not is_dialog or await part.evaluate("part => part.contains(document.activeElement)"), name
                faults += await walked(page, f"{path}, {name}", inside, only=is_dialog)
                await part.locator("summary, [data-close]").first.focus()
    assert not faults, "\n".join(faults)


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


async def test_nothing_is_lost_in_a_small_window(page: Page, full_desk: str, away_desk: str) -> None:
    devices, faults = await page.context.new_cdp_session(page), []

    async def ask(question: str, part: Locator | None = None) -> list[str]:
        found: list[str] = await (part or page.locator("body")).evaluate(f"part => usable.{question}(part)")
        return found

    async for path in every(page, full_desk, away_desk):
        await unfold(page)
        faults += [f"{path}: one over the other: {cards}" for cards in await page.evaluate(OVERLAPPING)]
        controls, texts = set(await ask("names")), set(await ask("texts"))
        for name, (width, height, scale) in NARROW.items():
            size = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": False}
            await devices.send("Emulation.setDeviceMetricsOverride", size)
            found = {f"too wide: {element}" for element in await ask("tooWide")}
            found |= {f"one over the other: {cards}" for cards in await page.evaluate(OVERLAPPING)}
            found |= {f"lost: {control}" for control in controls - set(await ask("names")) - BY_TAP}
            found |= {f"lost: {text}" for text in texts - set(await ask("texts")) - BY_TAP}
            found |= {f"cut: {text}" for text in await ask("cut")}
            found |= {f"covered: {control}" for control in await ask("covered")}
            async with opened(page, path) as parts:
                async for part_name, part in parts:
                    found |= {f"{part_name}: cut: {text}" for text in await ask("cut", part)}
                    found |= {f"{part_name}: covered: {control}" for control in await ask("covered", part)}
            faults += [f"{path}, {name}: {fault}" for fault in sorted(found)]
        await devices.send("Emulation.clearDeviceMetricsOverride")
    assert not faults, "\n".join(faults)
