"""Every key of the review is a button too."""

from __future__ import annotations

from playwright.async_api import Locator, Page, expect

from desk.review.key_sheets import ONE_BY_ONE
from streams.settings import Settings
from tests.desk.review.made import decisions, fill, moved_on, opened, outcome, sent, shows, texts

PRESSES = {"←": "left", "→": "right", "⇧←": "shift-left", "⇧→": "shift-right", "esc": "escape"}
"""What a key prints -> its name in the page, where these differ."""
PRINTS = {"tab": "⇥", "enter": "↵"}
"""Key of the sheet -> what its button prints, where these differ."""
UP_AND_DOWN = {"↑", "↓"}
"""Keys without a button: they do what left and right do. For a pointer each mention in the text is a button."""


async def buttons(page: Page) -> dict[str, str]:
    """Returns the name of the press of each button that is on the screen, and what it prints."""
    shown = await page.locator("[data-press]:visible").all()
    return {await one.get_attribute("data-press") or "": await one.locator("kbd").inner_text() for one in shown}


def button(page: Page, press: str) -> Locator:
    return page.locator(f"[data-press='{press}']:visible")


async def test_each_key_of_the_sheet_is_a_button_that_does_the_same(
    desk: str, desk_settings: Settings, page: Page
) -> None:
    made = await fill(desk_settings, 10)
    await opened(page, desk)
    seen = await buttons(page)
    part, wanted = page.locator(".review-why"), dict[str, list[tuple[str, str]]]()

    for place, (press, kind) in enumerate(
        (("a", "PER"), ("r", None), ("1", "PER"), ("2", "LOC"), ("3", "ORG"), ("4", "MISC"))
    ):
        await shows(page, made[place])
        await button(page, press).click()
        await moved_on(page, made[place])
        wanted[made[place]] = [(f"Person{place:02}", kind)] if kind else []

    await button(page, "u").click()
    await shows(page, made[5])
    await button(page, "4").click()
    await shows(page, made[6])

    await button(page, "s").click()
    await shows(page, made[7])

    await button(page, "e").click()
    await expect(part).to_contain_text("Edit the span")
    seen |= await buttons(page)
    for press, words in (
        ("right", "Person07 in"),
        ("left", "Person07"),
        ("shift-right", "Person07 "),
        ("shift-left", "Person07"),
    ):
        await button(page, press).click()
        await expect(page.locator("#preview q")).to_have_js_property("textContent", words)
    await button(page, "tab").click()
    await expect(part).to_contain_text("The left edge moves")
    await button(page, "n").click()
    await expect(part).to_contain_text("New mention")
    await button(page, "escape").click()
    await expect(page.locator("#preview")).to_have_count(0)
    await button(page, "n").click()
    await expect(part).to_contain_text("New mention")
    await button(page, "3").click()
    await expect(part).not_to_contain_text("New mention")
    await button(page, "e").click()
    await button(page, "right").click()
    await button(page, "enter").click()
    await shows(page, made[8])
    wanted[made[7]] = [("Post", "ORG"), ("Person07 in", "PER")]

    await button(page, "?").click()
    await expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    await page.get_by_role("button", name="Close").click()

    await button(page, "f").click()
    await page.get_by_role("dialog", name="Leave the post to somebody else").get_by_role("button", name="Flag").click()
    await shows(page, made[9])
    await button(page, "a").click()
    wanted[made[9]] = [("Person09", "PER")]

    await expect(button(page, "w")).to_be_visible()
    seen |= await buttons(page)
    await button(page, "w").click()
    await shows(page, made[6])

    keys = {name for column in ONE_BY_ONE for key in column.keys for name in key.names} - UP_AND_DOWN
    assert seen == {PRESSES.get(name, name): PRINTS.get(name, name) for name in keys}
    await sent(page)
    assert {decision.task.tweet.text: outcome(decision) for decision in decisions(desk_settings)} == wanted


async def test_keys_wait_for_no_text_field_and_buttons_do_the_same(
    desk: str, desk_settings: Settings, page: Page
) -> None:
    made = await fill(desk_settings, 3)
    await opened(page, desk)
    await page.keyboard.press("Control+a")
    await page.keyboard.press("?")
    await expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    await page.keyboard.press("a")
    await page.keyboard.press("Escape")
    await shows(page, made[0])
    await page.get_by_role("button", name="Reject").click()
    await page.keyboard.press("a")  # the button still has the focus
    await expect(page.locator("#post-text")).to_contain_text("Person02")
    await sent(page)
    found = sorted((texts([decision])[0], outcome(decision)) for decision in decisions(desk_settings))
    assert found == [(made[0], []), (made[1], [("Person01", "PER")])]
