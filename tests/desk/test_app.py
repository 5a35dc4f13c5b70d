"""The application as a whole: headers, errors, static files."""

from __future__ import annotations

import httpx
import pytest
from playwright.async_api import Page

from desk.headers import HEADERS


@pytest.mark.parametrize("path", ["/", "/nowhere", "/static/desk.css", "/api/openapi.json", "/api/nowhere"])
def test_every_answer_has_the_security_headers(desk: str, path: str) -> None:
    answer = httpx.get(desk + path)
    assert {name: answer.headers[name] for name in HEADERS} == HEADERS
    assert ("immutable" in answer.headers["Cache-Control"]) is False


def test_an_unknown_page_says_so(desk: str) -> None:
    answer = httpx.get(f"{desk}/nowhere")
    assert answer.status_code == 404
    assert "there is no page /nowhere" in answer.text
    assert httpx.get(f"{desk}/api/nowhere").json() == {"error": "there is no page /api/nowhere"}


async def test_the_theme_can_be_changed_and_stays(desk: str, page: Page) -> None:
    await page.goto(desk)
    await page.get_by_role("button", name="Change between light and dark").click()
    assert await page.locator("html").get_attribute("data-theme") == "dark"
    await page.reload()
    assert await page.locator("html").get_attribute("data-theme") == "dark"
