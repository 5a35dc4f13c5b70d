"""The application as a whole: headers, errors, static files."""

from __future__ import annotations

import httpx
import pytest
from playwright.async_api import Page


@pytest.mark.parametrize("path", ["/", "/nowhere", "/static/desk.css", "/api/openapi.json", "/api/nowhere"])
def test_every_answer_has_the_security_headers(desk: str, path: str) -> None:
    headers = httpx.get(desk + path).headers
    policy = dict(directive.split(" ", 1) for directive in headers["Content-Security-Policy"].split("; "))
    assert policy == {
        "default-src": "'none'",  # so also object-src, frame-src, worker-src, font-src, media-src and manifest-src
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self'",
        "connect-src": "'self'",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
        "base-uri": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert {"camera=()", "geolocation=()", "microphone=()"} <= set(headers["Permissions-Policy"].split(", "))
    assert "immutable" not in headers["Cache-Control"]


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
