"""The addresses of all pages, for the tests that look at each."""

from __future__ import annotations

from datetime import UTC, datetime

from playwright.async_api import Page, expect

PAGES = (
    "/",
    "/review",
    "/review/words",
    "/review/disputed",
    "/review/agreement",
    "/search",
    "/search?q=NASA",
    "/posts/10003",
    "/saved",
    "/live?q=nasa",
    "/api",
    "/login",
    "/audit",
    "/entities?period=all",
    "/entities/name?name=lisbon",
    "/entities/corrections",
)
"""Addresses with examples of what they name. A test fails when a page of the application is missing here."""


def until() -> datetime:
    """Returns the end of the week of the example posts. They are old enough for any filter, and never in the future."""
    return datetime(2026, 11, 28, 12, tzinfo=UTC)


async def look(page: Page, address: str) -> int:
    """Opens a page, and waits until it shows all of its data. Returns the HTTP status."""
    response = await page.goto(address)
    assert response is not None
    if "/live" in address:  # it keeps a connection open
        await expect(page.locator("#live-says")).to_have_text("Live")
    else:
        await page.wait_for_load_state("networkidle")
    return response.status
