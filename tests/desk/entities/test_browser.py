"""A person corrects a name in a real browser."""

from __future__ import annotations

from playwright.async_api import Page, expect

from streams.settings import Settings
from tests.desk.search.conftest import post, write


async def test_a_person_joins_two_names_and_takes_it_back(desk: str, desk_settings: Settings, page: Page) -> None:
    await write(
        desk_settings,
        post("1", "NASA is here", ("NASA", "ORG")),
        post("2", "NASA again", ("NASA", "ORG")),
        post("3", "The Space Agency", ("Space Agency", "ORG")),
    )
    rows = page.locator("#mentioned ~ .name-rows > li")
    await page.goto(f"{desk}/entities?period=all")
    await expect(rows).to_have_count(2)
    await page.get_by_role("link", name="NASA").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("NASA")
    field = page.get_by_label("It is the same as")
    await field.press_sequentially("Spa")
    await expect(page.locator("#same-names option")).to_have_attribute("value", "space agency")
    await field.fill("space agency")
    await page.get_by_role("button", name="Join them").click()
    await expect(page.get_by_role("status").first).to_contain_text("The two names are one now")
    await expect(page.locator(".hit")).to_have_count(3)
    await page.get_by_role("link", name="Search its posts").click()
    await expect(page.locator(".total")).to_contain_text("3 posts")
    await page.goto(f"{desk}/entities?period=all")
    await expect(rows).to_have_count(1)
    await expect(rows).to_contain_text("3")
    await page.get_by_role("link", name="Corrections").click()
    await page.get_by_role("button", name="Take back").click()
    await expect(page.get_by_role("status").first).to_contain_text("Taken back")
    await expect(page.get_by_role("button", name="Take back")).to_have_count(0)
    await page.goto(f"{desk}/entities?period=all")
    await expect(rows).to_have_count(2)
    await page.get_by_label("Type").select_option("LOC")
    await page.wait_for_url("**type=LOC**")
    await expect(rows).to_have_count(0)
