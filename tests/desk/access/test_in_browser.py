"""A person signs in with the keyboard, reads the audit log, and signs out, in Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, expect

from desk.access.access import users_of
from streams.settings import Settings
from tests.desk.access.conftest import PASSWORD
from tests.desk.conftest import served

NOWHERE = {"kafka": "127.0.0.1:9", "redis": "redis://127.0.0.1:9", "elasticsearch": "http://127.0.0.1:9"}


@pytest.fixture
def desk_with_users(tmp_path: Path) -> Iterator[str]:
    """A desk whose servers are away. People can sign in, and read the audit log."""
    settings = Settings(_env_file=None, home=tmp_path, **NOWHERE)  # type: ignore[arg-type]
    users_of(settings).add("ada", PASSWORD, ("admin",))
    users_of(settings).add("rob", PASSWORD, ("reviewer",))
    with served(settings) as address:
        yield address


async def violations(page: Page) -> list[str]:
    """Returns what axe-core finds on the page, in both themes."""
    found: list[str] = []
    for scheme in ("light", "dark"):
        await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # no colour is on its way to another
        found += [fault["id"] for fault in (await Axe().run(page)).response["violations"]]
    return found


async def test_a_person_signs_in_by_keyboard_and_out_again(desk_with_users: str, page: Page) -> None:
    await page.goto(f"{desk_with_users}/audit?action=login")
    await expect(page).to_have_title("Sign in · mner desk")
    assert await violations(page) == []
    await page.keyboard.type("ada")
    await page.keyboard.press("Tab")
    await page.keyboard.type("a wrong password")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("alert")).to_have_text("Name or password is wrong.")
    await expect(page.get_by_label("Name", exact=True)).to_have_value("ada")
    await expect(page.get_by_label("Password", exact=True)).to_be_focused()
    assert await violations(page) == []
    await page.keyboard.type(PASSWORD)
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(f"{desk_with_users}/audit?action=login")
    await expect(page.get_by_role("row")).to_have_count(2)
    assert await violations(page) == []
    await page.set_viewport_size({"width": 390, "height": 844})
    assert await page.evaluate("document.documentElement.scrollWidth") == 390
    await page.get_by_label("Signed in as ada").click()
    await page.get_by_role("button", name="Sign out").click()
    await expect(page).to_have_title("Sign in · mner desk")
    await page.go_back()
    await expect(page).to_have_title("Sign in · mner desk")


async def test_a_reviewer_gets_a_page_that_says_why(desk_with_users: str, page: Page) -> None:
    await page.goto(f"{desk_with_users}/login?next=/audit")
    await page.get_by_label("Name", exact=True).fill("rob")
    await page.get_by_label("Password", exact=True).fill(PASSWORD)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="You may not do this")).to_be_visible()
    await expect(page.get_by_text("this page is for the role admin")).to_be_visible()
    assert await violations(page) == []
