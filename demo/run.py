"""Runs the whole system once on real servers: starts it, feeds the examples, watches them arrive, checks the sums."""

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
from demo.verdict import find_problems
from local import stack
from local.server import free_ports, is_free
from sinks.index.index import Index
from sinks.queue.queue import ReviewQueue
from streams import topics
from streams.addresses import masked
from streams.feed import feed
from streams.servers import Addresses, is_set
from streams.servers import addresses as servers_of
from streams.settings import Settings
from streams.worker_process import CommandProcess, WorkerProcess

#: Events fed per second: slow enough to watch.
RATE = 20.0

#: Seconds that the examples may take to arrive in the sinks.
ARRIVAL_S = 120.0

#: Seconds between two looks at the sinks. After `QUIET_LOOKS` looks without a change, everything has arrived.
LOOK_S, QUIET_LOOKS = 0.5, 3

#: Tasks to list; the examples make fewer.
TASK_LIMIT = 1000

#: File of a kept home with the address of the web application.
DESK_ADDRESS = "desk.address"

#: Marks a home that `--keep` created.
MARKER = "kept-demo"

#: What `--keep` leaves in its home; the worker fills `cache`, `mner feed` fills `feeds`, and `mner desk` fills `desk`.
#: The marker goes last, so that `clear` can run again.
HOME_ENTRIES = (
    *stack.NAMES,
    *("cache", "desk", "feeds", "logs", "up.lock"),
    *(kept.file_of(Path(), name).name for name in kept.NAMES),
    DESK_ADDRESS,
    MARKER,
)


async def demo(settings: Settings, console: Console, *, keep: bool) -> Report:
    """Runs the demo. With `keep`, servers, worker and desk keep running afterwards, in `settings.home`.

    Raises `UserError` before anything starts if the example posts are missing.
    """
    faults = example_faults()
    with _home(settings, keep=keep) as home, Display(console) as display:
        servers = _servers(settings, home, display, keep=keep)
        async with servers as where, image_server() as images:
            port = images.rpartition(":")[2]
            own = any(is_set(settings, name) for name in stack.NAMES)
            settings = settings.changed(
                prefix=settings.prefix or (f"demo{int(time.time())}." if own else ""),
                home=home,
                **where,
                image={"allow": (*settings.image.allow, f"127.0.0.1:{port}")},
            )
            addresses = servers_of(settings)
            await asyncio.to_thread(topics.create, addresses.kafka, topics.plan(settings))
            display.report("worker", "loading the model")
            worker = WorkerProcess(
                settings,
                home / "logs" / "worker.log",
                detached=keep,
                pid_file=kept.file_of(home, kept.WORKER) if keep else None,
            )
            worker.start()
            try:
                await asyncio.to_thread(worker.ready)
                display.report("worker", "ready")
                report = await _watch(settings, addresses, example_events(images), faults, display, worker)
                if keep:
                    await _keep_desk(settings, home, display)
            except BaseException:
                keep = False
                raise
            finally:
                if not keep:
                    await asyncio.to_thread(worker.stop)
    return report


async def _keep_desk(settings: Settings, home: Path, display: Display) -> None:
    """Starts the web application on its usual port, or on a free one if that is taken."""
    port = settings.desk.listen.rpartition(":")[2]
    listen = settings.desk.listen if is_free(int(port)) else f"127.0.0.1:{free_ports(1)[0]}"
    ready, pid_file = "desk at ", kept.file_of(home, kept.DESK)
    desk = CommandProcess(
        settings.changed(desk={"listen": listen}),
        home / "logs" / "desk.log",
        [kept.DESK],
        ready,
        detached=True,
        pid_file=pid_file,
    )
    display.report("desk", "starting")
    desk.start()
    await asyncio.to_thread(desk.ready)
    address = desk.output().split(ready)[-1].split()[0]
    (home / DESK_ADDRESS).write_text(address)
    display.report("desk", address)


async def _watch(
    settings: Settings,
    addresses: Addresses,
    events: Sequence[bytes],
    faults: Sequence[Fault],
    display: Display,
    worker: WorkerProcess,
) -> Report:
    tally = Tally()
    index = Index(addresses.elasticsearch, settings.name("mentions"))
    queue = ReviewQueue(addresses.redis, settings.name("review:"))
    names = (settings.name(topics.EXTRACTIONS), settings.name(topics.DEAD))
    try:
        with TopicReader(addresses.kafka, *names, tally):
            display.show_tally(tally)
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
            deadline = time.monotonic() + ARRIVAL_S
            quiet = 0
            while quiet < QUIET_LOOKS and time.monotonic() < deadline:
                await asyncio.sleep(LOOK_S)
                if worker.code is not None:
                    raise UserError(f"the worker ended with code {worker.code}. The end of its log:\n{worker.tail()}")
                before = (tally.extracted, tally.dead, tally.indexed, tally.queued)
                await _look(index, queue, tally)
                processed = feeding.done() and tally.extracted + tally.dead >= tally.fed
                indexed = tally.indexed >= tally.extracted
                unchanged = before == (tally.extracted, tally.dead, tally.indexed, tally.queued)
                quiet = quiet + 1 if processed and indexed and unchanged else 0
            await feeding
        return await _report(index, queue, tally, faults, settings.spot_check_share)
    finally:
        await index.close()
        await queue.close()


async def _look(index: Index, queue: ReviewQueue, tally: Tally) -> None:
    try:
        await index.refresh()
        tally.indexed = await index.count()
        tally.queued = (await queue.counts()).open
    except Retry:
        return  # look again next time


async def _report(
    index: Index, queue: ReviewQueue, tally: Tally, faults: Sequence[Fault], spot_check_share: float
) -> Report:
    tasks = [entry.task for entry in await queue.list(limit=TASK_LIMIT)]
    indexed = [post_id for post_id in tally.extractions if await index.get(post_id) is not None]
    problems = find_problems(tally, faults, indexed, [task.tweet.id for task in tasks], spot_check_share)
    results = await index.search("NASA", limit=3)
    entities = await index.entities(limit=12)
    return Report(tally, tasks, entities, "NASA", results, faults, problems)


@contextmanager
def _home(settings: Settings, *, keep: bool) -> Iterator[Path]:
    """Yields a temporary folder. With `keep`, yields the home of the settings, where commands find the servers."""
    if keep:
        home = settings.home.resolve()
        if stack.running(home) or any(kept.running(home, name) for name in kept.NAMES):
            raise UserError("servers already run here; stop them with `mner demo --stop` or `mner local down`")
        clear(home)
        home.mkdir(parents=True, exist_ok=True)
        (home / MARKER).touch()
        yield home
        return
    with tempfile.TemporaryDirectory(prefix="mner-demo-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def clear(home: Path) -> None:
    """Removes an earlier demo: its posts would change the sums. Raises `UserError` if `home` has files but no demo."""
    if home.exists() and not (home / MARKER).exists() and any(home.iterdir()):
        raise UserError(f"{home} is not empty and holds no earlier demo: set MNER_HOME to a new folder for the demo")
    for entry in (home / name for name in HOME_ENTRIES):
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink(missing_ok=True)


@asynccontextmanager
async def _servers(settings: Settings, home: Path, display: Display, *, keep: bool) -> AsyncIterator[dict[str, str]]:
    """Yields the addresses of the servers that the settings do not name, after starting them."""
    wanted = [name for name in stack.NAMES if not is_set(settings, name)]
    for name in set(stack.NAMES) - set(wanted):
        display.report(name, f"yours, at {masked(getattr(settings, name) or 'Elastic Cloud')}")
    if keep:
        started = await asyncio.to_thread(stack.up, home, display.report)
        yield {name: started[name] for name in wanted}
        return
    servers = stack.Stack(home, wanted, display.report)
    await asyncio.to_thread(servers.__enter__)
    try:
        yield servers.addresses
    finally:
        await asyncio.to_thread(servers.__exit__, None, None, None)


def show_addresses(settings: Settings, console: Console) -> None:
    """Prints, after `--keep`, the addresses, commands to try, and how to stop the demo."""
    console.print("The servers' addresses, for programs that do not run in this folder:")
    for name, address in (stack.running(settings.home) or {}).items():
        console.print(f"  export MNER_{name.upper()}={address}", highlight=False)
    console.print("Servers and worker keep running. Try `mner review`, `mner queue list` or `mner search NASA` here.")
    console.print(f"In a browser: {(settings.home / DESK_ADDRESS).read_text()}", style="bold", highlight=False)
    console.print("Use `.venv/bin/mner` if the environment is not active. `mner demo --stop` stops everything.")


def stop(home: Path) -> list[str]:
    """Stops what `demo --keep` left running and removes its data. Returns the names of the stopped processes.

    Servers that `mner local up` started are left alone.
    """
    if not (home / MARKER).exists():
        return []
    stopped = [name for name in kept.NAMES if kept.stop(home, name)] + stack.down(home)
    clear(home)  # a marker left here would make later servers look like a demo
    return stopped
