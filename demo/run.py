"""The whole system, once, on real servers: start, feed the examples, watch, check the sums, show what came out."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from rich.console import Console

from core.errors import Retry, UserError
from demo import kept
from demo.display import Display
from demo.examples import Fault, example_events, example_faults, image_server
from demo.report import Report
from demo.tally import Tally, TopicReader
from demo.verdict import wrong
from local import stack
from sinks.index import Index
from sinks.queue import ReviewQueue
from streams import topics
from streams.feed import feed
from streams.servers import Addresses
from streams.settings import Settings
from streams.worker_process import WorkerProcess

RATE = 20.0
"""Events fed a second: slow enough to watch."""

SETTLED_S = 120.0
"""Seconds that the examples may take to arrive in the sinks."""

HELD = 1000
"""More documents and tasks than the examples make."""

MARKER = "kept-demo"
MADE = (*stack.NAMES, "logs", "up.lock", kept.FILE, MARKER)
"""What `--keep` leaves in its home; the marker, which says so, is the last to be removed."""


async def demo(settings: Settings, console: Console, *, keep: bool) -> Report:
    """Run it. With `keep`, servers and worker go on running afterwards, in `settings.home`."""
    with _home(settings, keep=keep) as home, Display(console) as display:
        servers = _servers(settings, home, display, keep=keep)
        async with servers as addresses, image_server() as images:
            port = images.rpartition(":")[2]
            own = (settings.kafka, settings.elasticsearch, settings.redis) != (None, None, None)
            settings = settings.model_copy(
                update={
                    "prefix": settings.prefix or (f"demo{int(time.time())}." if own else ""),
                    "home": home,
                    "kafka": addresses.kafka,
                    "elasticsearch": addresses.elasticsearch,
                    "redis": addresses.redis,
                    "image_allow": (*settings.image_allow, f"127.0.0.1:{port}"),
                }
            )
            await asyncio.to_thread(topics.create, addresses.kafka, settings)
            display.says("worker", "loading the model")
            worker = WorkerProcess(
                settings,
                home / "logs" / "worker.log",
                detached=keep,
                pid_file=home / kept.FILE if keep else None,
            )
            worker.start()
            try:
                await asyncio.to_thread(worker.ready)
                display.says("worker", "ready")
                report = await _watch(settings, addresses, example_events(images), display, worker)
            except BaseException:
                keep = False
                raise
            finally:
                if not keep:
                    await asyncio.to_thread(worker.stop)
    return report


async def _watch(
    settings: Settings, addresses: Addresses, events: Sequence[bytes], display: Display, worker: WorkerProcess
) -> Report:
    tally = Tally()
    index = Index(addresses.elasticsearch, settings.name("mentions"))
    queue = ReviewQueue(addresses.redis, settings.name("review:"))
    names = (settings.name(topics.EXTRACTIONS), settings.name(topics.DEAD))
    try:
        with TopicReader(addresses.kafka, *names, tally):
            display.follows(tally)
            feeding = asyncio.create_task(
                asyncio.to_thread(
                    feed,
                    events,
                    addresses.kafka,
                    settings.name(topics.TWEETS),
                    rate=RATE,
                    on_fed=lambda fed: setattr(tally, "fed", fed),
                )
            )
            deadline = time.monotonic() + SETTLED_S
            quiet = 0
            while quiet < 3 and time.monotonic() < deadline:  # three looks at which nothing changed any more
                await asyncio.sleep(0.5)
                if worker.code is not None:
                    raise UserError(f"the worker ended with code {worker.code}; its log ends:\n{worker.tail()}")
                before = (tally.extracted, tally.dead, tally.indexed, tally.queued)
                await _look(index, queue, tally)
                arrived = feeding.done() and tally.extracted + tally.dead >= tally.fed
                held = tally.indexed >= tally.extracted
                same = before == (tally.extracted, tally.dead, tally.indexed, tally.queued)
                quiet = quiet + 1 if arrived and held and same else 0
            await feeding
        return await _report(settings, index, queue, tally, example_faults())
    finally:
        await index.close()
        await queue.close()


async def _look(index: Index, queue: ReviewQueue, tally: Tally) -> None:
    try:
        await index.refresh()
        tally.indexed = await index.count()
        tally.queued = (await queue.counts()).open
    except Retry:
        return  # the worker waits it out, and so do we


async def _report(
    settings: Settings, index: Index, queue: ReviewQueue, tally: Tally, faults: Sequence[Fault]
) -> Report:
    tasks = [entry.task for entry in await queue.list(limit=HELD)]
    indexed = [tweet for tweet in tally.extractions if await index.get(tweet) is not None]
    problems = wrong(tally, faults, indexed, [task.tweet.id for task in tasks])
    found = await index.search("NASA", limit=3)
    entities = await index.entities(limit=12)
    return Report(tally, tasks, entities, "NASA", found, faults, problems, settings)


@contextmanager
def _home(settings: Settings, *, keep: bool) -> Iterator[Path]:
    """A folder of its own, gone afterwards; with `keep`, the one that later commands look into."""
    if keep:
        home = settings.home.resolve()
        if stack.running(home) or kept.running(home):
            raise UserError("servers already run here: stop them with `mner demo --stop`, or `mner local down`")
        _clear(home)
        home.mkdir(parents=True, exist_ok=True)
        (home / MARKER).touch()
        yield home
        return
    with tempfile.TemporaryDirectory(prefix="mner-demo-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def _clear(home: Path) -> None:
    """Remove an earlier demo, whose tweets would spoil this one's sums. Raises `UserError` where it was no demo."""
    if home.exists() and not (home / MARKER).exists() and any(home.iterdir()):
        raise UserError(f"{home} is not empty and not an earlier demo's: set MNER_HOME to a new folder for the demo")
    for made in (home / name for name in MADE):
        if made.is_dir() and not made.is_symlink():
            shutil.rmtree(made)
        else:
            made.unlink(missing_ok=True)


@asynccontextmanager
async def _servers(settings: Settings, home: Path, display: Display, *, keep: bool) -> AsyncIterator[Addresses]:
    own = {name: getattr(settings, name) for name in stack.NAMES}
    wanted = [name for name in stack.NAMES if not own[name]]
    for name in set(stack.NAMES) - set(wanted):
        display.says(name, f"yours, at {own[name]}")
    if keep:
        started = await asyncio.to_thread(stack.up, home, display.says)
        yield Addresses(**{name: own[name] or started[name] for name in stack.NAMES})
        return
    servers = stack.Stack(home, wanted, display.says)
    await asyncio.to_thread(servers.__enter__)
    try:
        yield Addresses(**{name: own[name] or servers.addresses[name] for name in stack.NAMES})
    finally:
        await asyncio.to_thread(servers.__exit__, None, None, None)


def tell_where(settings: Settings, console: Console) -> None:
    """After `--keep`: the addresses, what to try, and how to end it."""
    for name, address in (stack.running(settings.home) or {}).items():
        console.print(f"  export MNER_{name.upper()}={address}", highlight=False)
    console.print("Still running. Try `mner review`, `mner queue list`, `mner search NASA` from this folder,")
    console.print("(`.venv/bin/mner`, unless the environment is active); `mner demo --stop` ends it.")


def stop(home: Path) -> list[str]:
    """End what `demo --keep` left running and remove its data; the names of what was stopped."""
    stopped = ["worker"] * kept.stop(home) + stack.down(home)
    if (home / MARKER).exists():  # or later servers of one's own would lie beside the mark of a demo
        _clear(home)
    return stopped
