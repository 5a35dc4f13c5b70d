"""Search in a real browser: words, filters, days, addresses, the back button, pages, keys, a phone, and exports."""

from __future__ import annotations

import asyncio
import csv
import os
import sys
from pathlib import Path
from urllib.parse import unquote_plus

import httpx
from playwright.async_api import BrowserContext, Page, expect

from streams.settings import Settings
from tests.desk.search.conftest import Named, post, write

POSTS = 10_500
HOSTILE = (
    "<script>document.title='hurt'</script>",
    "<img src=x onerror=\"document.title='hurt'\">",
    "\"'><svg/onload=document.title='hurt'>",
    "javascript:document.title='hurt'",
    "{{constructor.constructor('document.title=1')()}}",
    "</span></p></article><h1>hurt",
    "\u202e<b>\u2066",
)


def asked(page: Page) -> str:
    """Returns the query of the page's address."""
    return unquote_plus(page.url.partition("?")[2])


async def test_a_search_is_an_address_and_the_back_button_works(
    desk: str, desk_settings: Settings, page: Page, context: BrowserContext
) -> None:
    paris: Named = ("Paris", "LOC")
    nasa: Named = ("NASA", "ORG")
    await write(
        desk_settings,
        *(post(f"p{number:02}", f"NASA in Paris, {number}", nasa, paris, days=number / 20) for number in range(50)),
        *(post(f"n{number}", f"NASA at home, {number}", nasa, days=5, lang="de") for number in range(5)),
    )
    await page.goto(f"{desk}/search")
    await page.keyboard.press("/")
    await page.keyboard.type("nasa")
    await page.keyboard.press("Enter")
    total = page.get_by_role("status").filter(has_text="posts for")
    await expect(total).to_contain_text("55 posts for nasa")
    assert asked(page) == "q=nasa"
    filters = page.get_by_role("navigation", name="Filters")
    await filters.get_by_role("link", name="paris 50").click()
    await expect(total).to_contain_text("50")
    assert asked(page) == "q=nasa&name=paris"
    await page.locator("#until").fill("2026-11-22")
    await page.get_by_role("button", name="Show these days").click()
    await expect(total).to_contain_text("30")
    await page.locator(".timeline svg a").nth(15).click()  # an hour of the next day
    await expect(page.get_by_role("link", name="Remove the filter Day 22 Nov 2026")).to_be_visible()
    assert asked(page) == "q=nasa&name=paris&since=2026-11-22&until=2026-11-22"
    await expect(total).to_contain_text("20")
    permalink = page.url
    again = await context.new_page()
    await again.goto(permalink)
    assert await again.locator(".hit").all_inner_texts() == await page.locator(".hit").all_inner_texts()
    await again.close()
    await page.go_back()
    await expect(total).to_contain_text("30")
    await page.get_by_role("link", name="Next").click()
    await expect(page.get_by_role("navigation", name="Pages of results")).to_contain_text("21–30 of 30")
    await page.go_back()
    await expect(page.get_by_role("navigation", name="Pages of results")).to_contain_text("1–20 of 30")
    await page.get_by_role("link", name="Remove all").click()
    await page.get_by_role("link", name="Oldest").click()
    assert asked(page) == "q=nasa&sort=oldest"
    await page.wait_for_load_state()  # until then no key is heard
    for key in "jjjk":
        await page.keyboard.press(key)
    await expect(page.locator(".hit").nth(1)).to_be_focused()
    await page.keyboard.press("o")
    await expect(page.get_by_role("heading", name="Post p01")).to_be_visible()
    await expect(page.get_by_role("row", name="NASA ORG 90% 0.1 0.05 the model")).to_be_visible()
    await page.go_back()
    await page.locator("#q").fill("nasa -paris")
    await page.get_by_role("button", name="Search").click()
    await expect(total).to_contain_text("5 posts")


async def test_on_a_phone_nothing_is_lost_and_hostile_posts_are_text(
    desk: str, desk_settings: Settings, page: Page
) -> None:
    long = "A" * 300
    hostile = [
        post(
            f"h{number}",
            f"{text} Paris {long}",
            ("Paris", "LOC"),
            author={"id": "h", "name": text},
            lang=text[:16],
            source=text[:64],
            media=[{"url": text, "alt": text}],
        )
        for number, text in enumerate(HOSTILE)
    ]
    await write(desk_settings, *hostile)
    await page.set_viewport_size({"width": 390, "height": 844})
    for path in (
        "/search",
        "/search?q=paris&lang=de",
        "/api",
        *(f"/posts/h{number}" for number in range(len(HOSTILE))),
    ):
        await page.goto(desk + path)
        wide = await page.evaluate("document.documentElement.scrollWidth")
        assert wide <= 390, f"{path} is {wide} pixels wide"
        assert "hurt" not in await page.title()
    await page.goto(f"{desk}/search?q=paris")
    assert await page.locator(".hit .post").all_inner_texts()
    for text in HOSTILE[:3]:
        await expect(page.locator(".hit .post", has_text=text)).to_be_visible()
    filters = page.get_by_role("navigation", name="Filters")
    await expect(filters).to_be_hidden()
    await page.locator("#filters > summary").click()
    await filters.get_by_role("link", name="LOC 7").click()
    await expect(page.get_by_role("link", name="Remove the filter Type LOC")).to_be_visible()


async def test_an_export_from_the_page_has_all_posts(
    desk: str, desk_settings: Settings, page: Page, tmp_path: Path
) -> None:
    odd = 'NASA, "here"\nand =1+1'
    await write(desk_settings, *(post(f"{number:05}", odd, ("NASA", "ORG")) for number in range(POSTS)))
    await write(desk_settings, post("other", "nobody"), post("two", odd, ("NASA", "ORG"), ("here", "LOC"), source="x"))
    total, files = POSTS + 1, dict[str, Path]()  # by its text nobody finds the post that is withheld
    await page.goto(f"{desk}/search?type=ORG")
    for name, layout in (("CSV, for a spreadsheet", "csv"), ("JSONL, for programs", "jsonl")):
        await page.get_by_text("Export", exact=True).click()
        async with page.expect_download() as saved:
            await page.get_by_role("link", name=name).click()
        files[layout] = tmp_path / (await saved.value).suggested_filename
        await (await saved.value).save_as(files[layout])
        await expect(page.get_by_text("10 501 posts exported".replace(" ", "\u202f", 1)).last).to_be_visible()
        await expect(page.locator("#exporting")).to_be_hidden()
        await page.reload()
    with files["csv"].open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len({row["id"] for row in rows}) == total
    assert len(rows) == total + 1
    assert {row["text"] for row in rows} == {odd, ""}
    command = [sys.executable, "-m", "cli.main", "export", "--type", "ORG"]
    names = ("kafka", "elasticsearch", "redis", "prefix", "home")
    values = {f"MNER_{name.upper()}": str(getattr(desk_settings, name)) for name in names}
    running = await asyncio.create_subprocess_exec(
        *command, env=os.environ | values, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    exported, told = await running.communicate()
    assert running.returncode == 0, told
    assert files["jsonl"].read_bytes() == exported
    assert exported.count(b"\n") == total
    async with httpx.AsyncClient() as client:
        assert (await client.get(f"{desk}/search/export.jsonl?type=ORG", timeout=60)).content == exported


async def test_an_export_can_be_cancelled_and_says_why_it_failed(
    desk: str, desk_settings: Settings, page: Page
) -> None:
    await write(desk_settings, post("1", "Paris"))
    await page.goto(f"{desk}/search")
    waiting = asyncio.Event()

    async def stay(route: object) -> None:
        waiting.set()

    await page.route("**/api/v1/export*", stay)
    await page.get_by_text("Export", exact=True).click()
    await page.get_by_role("link", name="JSONL").click()
    await waiting.wait()
    await expect(page.get_by_text("0 of 1 posts")).to_be_visible()
    await page.get_by_role("button", name="Cancel").click()
    await expect(page.get_by_text("The export was cancelled")).to_be_visible()
    await page.unroute("**/api/v1/export*")
    await page.route("**/api/v1/export*", lambda route: route.fulfill(status=429, json={"error": "wait for one"}))
    await page.get_by_text("Export", exact=True).click()
    await page.get_by_role("link", name="JSONL").click()
    await expect(page.get_by_text("wait for one")).to_be_visible()
    await expect(page.locator("#exporting")).to_be_hidden()
