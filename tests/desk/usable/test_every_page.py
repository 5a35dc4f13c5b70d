"""What holds for every page: it can be used without a mouse, without colours, and at every width."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import Locator, Page, expect
from starlette.responses import HTMLResponse

from desk.app import create
from streams.settings import Settings
from tests.desk.access.conftest import PASSWORD
from tests.desk.pages import PAGES, look
from tests.desk.routes import walk
from tests.desk.usable.looking import AXE, NARROW, OVERLAPPING, PHONE, WIDE, judged, unfold, walked

DIALOGS = {"/review": {"?": "#keys", "f": "#flag"}, "/review/words": {"?": "#keys"}}
"""Page -> key and button of each dialog, and the dialog."""
BY_TAP = {"button Line before", "button Next line", "button ␣Tick", "Tick"}
"""Buttons, and the words on them, that a phone does not show on `/review/words`: there a tap on a line does it."""
FAULTS = {"/nowhere": ("ada", 404), "/search?page=x": ("ada", 400), "/search": ("ada", 503), "/audit": ("rob", 403)}
"""Pages that say what is wrong, on a desk without servers: who asks for them, and their status."""


def test_every_page_is_listed(settings: Settings) -> None:
    routes = walk(create(settings).routes)
    pages = {path for path, route in routes if getattr(route, "response_class", None) is HTMLResponse}
    assert len(pages) > 10
    patterns = {page.partition("?")[0] for page in PAGES}
    assert {path for path in pages if "{" not in path} <= patterns
    for path in pages - patterns:
        start = path.partition("{")[0]
        assert any(page.startswith(start) and page != start for page in patterns), f"no example of {path}"


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
