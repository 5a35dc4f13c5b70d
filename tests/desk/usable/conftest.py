"""A browser that can be asked about a page, and desks with something to show, or with servers that are away."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page

from desk.access.access import users_of
from examples.desk_posts import posts
from streams.settings import Settings
from tests.desk.access.conftest import PASSWORD
from tests.desk.conftest import served
from tests.desk.filled import fill, read, save, set_apart
from tests.desk.pages import until
from tests.desk.usable.looking import USABLE, WIDE

NO_SERVERS = {"kafka": "127.0.0.1:9", "redis": "redis://127.0.0.1:9", "elasticsearch": "http://127.0.0.1:9"}


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
