"""The desk on real servers, in a thread of its own, and a real Chromium that looks at it."""

from __future__ import annotations

import os
import re
import shutil
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager

import httpx
import pytest
import uvicorn
from playwright.async_api import Browser, BrowserContext, Page, async_playwright, expect

from desk.app import create
from desk.serving import config
from streams import topics
from streams.settings import Settings

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
expect.set_options(timeout=30_000)  # milliseconds; a machine with other work is no fault of the page
NO_CHROMIUM = "no Chromium on the PATH: apt-get install chromium"

Serve = Callable[..., str]


@pytest.fixture
def desk_settings(settings: Settings) -> Iterator[Settings]:
    """Settings of one test, with its topics. These are few and go afterwards: the memory of the brokers is small."""
    made = settings.changed(partitions=1)
    assert made.kafka is not None
    planned = topics.plan(made)
    topics.create(made.kafka, planned)
    yield made
    with topics.administered(made.kafka) as client:
        client.delete_topics([topic.name for topic in planned])


@contextmanager
def served(settings: Settings) -> Iterator[str]:
    """Yields the address of a desk with these settings."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listen = f"127.0.0.1:{listener.getsockname()[1]}"
        changed = settings.changed(desk={"listen": listen})
        app = create(changed)
        server = uvicorn.Server(config(app, changed))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            while not server.started:
                assert thread.is_alive(), "the desk did not start; its log has the reason"
                time.sleep(0.01)
            yield f"http://{listen}"
        finally:
            server.should_exit = True
            thread.join(30)


def own_headers(address: str, path: str = "/nowhere") -> dict[str, str]:
    """Returns the headers with which a page of an open desk changes something. `path`: any page."""
    page = httpx.get(address + path, follow_redirects=True, timeout=60)
    (token,) = re.findall(r'<meta name="csrf" content="([^"]+)">', page.text)
    return {"Origin": address, "X-CSRF-Token": token}


@pytest.fixture
def desk(desk_settings: Settings) -> Iterator[str]:
    """The address of a desk of this test."""
    with served(desk_settings) as address:
        yield address


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """Chromium. Without one, the test is skipped, but never in CI."""
    if CHROMIUM is None:
        if os.environ.get("CI"):
            pytest.fail(NO_CHROMIUM)
        pytest.skip(NO_CHROMIUM)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        await browser.close()


@pytest.fixture
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    """A person's browser, without cookies."""
    context = await browser.new_context(viewport={"width": 1440, "height": 900})
    yield context
    await context.close()


@pytest.fixture
async def page(context: BrowserContext) -> AsyncIterator[Page]:
    """A tab. At the end, no script may have failed, and nothing may have broken the content security policy."""
    page, faults = await context.new_page(), list[str]()
    page.on("pageerror", lambda error: faults.append(f"error: {error}"))
    page.on("console", lambda message: faults.append(message.text) if message.type in {"error", "warning"} else None)
    yield page
    assert [fault for fault in faults if "Failed to load resource" not in fault] == []
