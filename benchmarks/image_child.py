"""A process that fetches and decodes the URLs of `urls.txt`: ours, or by hand. Started by `benchmarks.image_run`.

By hand, `aiohttp` and `Pillow` as one would write it in half an hour: no address is checked, no size, time, pixel or
host is limited, nothing is tried again or kept, and a file that kills the decoder kills it all.
"""

from __future__ import annotations

import asyncio
import io
import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from PIL import Image
from yarl import URL

from streams import settings as configuration
from streams.images.decode import MAX_SIDE
from streams.images.errors import ImageError
from streams.images.loader import ImageLoader
from streams.settings import Settings

OUTCOME = "outcome.json"
URLS = "urls.txt"
"""One a line."""


@dataclass
class Outcome:
    """`ended_at`: unix seconds, when the last image was decoded. `failed`: a reason each, the first few."""

    decoded: int = 0
    ended_at: float = 0.0
    failed: list[str] = field(default_factory=list)


Load = Callable[[str], Awaitable[None]]
"""Fetches and decodes. Raises `ImageError`, or what the libraries raise."""


async def load_all(urls: list[str], at_once: int, load: Load) -> Outcome:
    """So many at once as tweets are in flight in a worker."""
    outcome, waiting = Outcome(), iter(urls)

    async def work() -> None:
        for url in waiting:
            try:
                await load(url)
            except (ImageError, aiohttp.ClientError, OSError) as error:
                outcome.failed.append(str(error))
            else:
                outcome.decoded += 1

    async with asyncio.TaskGroup() as tasks:
        for _ in range(at_once):
            tasks.create_task(work())
    outcome.ended_at = time.time()
    return outcome


@asynccontextmanager
async def ours(settings: Settings) -> AsyncIterator[Load]:
    async with ImageLoader(settings.image, home=settings.home) as loader:

        async def load(url: str) -> None:
            await loader.load(url)

        yield load


@asynccontextmanager
async def ours_pixels(settings: Settings) -> AsyncIterator[Load]:
    async with ImageLoader(settings.image, home=settings.home) as loader:

        async def load(url: str) -> None:
            await loader.pixels(await loader.load(url))

        yield load


@asynccontextmanager
async def by_hand(settings: Settings) -> AsyncIterator[Load]:
    slots = asyncio.Semaphore(settings.image.workers)
    with ThreadPoolExecutor(2) as threads:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=settings.image.workers)) as session:

            async def load(url: str) -> None:
                async with slots:
                    async with session.get(url) as response:
                        response.raise_for_status()
                        body = await response.read()
                    await asyncio.get_running_loop().run_in_executor(threads, decode, body)

            yield load


def decode(body: bytes) -> bytes:
    """Small and RGB, as ours."""
    image = Image.open(io.BytesIO(body)).convert("RGB")
    image.thumbnail((MAX_SIDE, MAX_SIDE))
    return image.tobytes()


CONTENDERS: dict[str, Callable[[Settings], Any]] = {"ours": ours, "ours_pixels": ours_pixels, "by_hand": by_hand}


def settings_of(folder: Path, urls: list[str], cache_mb: int | None) -> Settings:
    """The defaults, but for what must differ: the hosts are on this machine, and the cache is this run's own."""
    hosts = tuple({f"{(parts := URL(url)).host}:{parts.port}" for url in urls})
    changed = {} if cache_mb is None else {"cache_mb": cache_mb}
    return configuration.load(_env_file=None, home=folder / "home", image={"allow": hosts, **changed})


async def run(name: str, folder: Path, cache_mb: int | None) -> None:
    urls = (folder / URLS).read_text(encoding="ascii").split()
    settings = settings_of(folder, urls, cache_mb)
    async with CONTENDERS[name](settings) as load:
        outcome = await load_all(urls, settings.in_flight, load)
    (folder / OUTCOME).write_text(json.dumps(asdict(outcome)), encoding="utf-8")


if __name__ == "__main__":
    _, given_name, given_folder, *given_cache = sys.argv
    asyncio.run(run(given_name, Path(given_folder), int(given_cache[0]) if given_cache else None))
