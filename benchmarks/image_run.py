"""One run: a contender started fresh on URLs that nobody asked for yet, watched from the server, its work checked."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from benchmarks.image_child import OUTCOME, URLS, Outcome
from benchmarks.image_server import ImageServer
from benchmarks.photographs import Kind
from benchmarks.run import ROOT, Wrong
from core.errors import UserError

POLL_S = 0.25
STILL_S = 180.0
"""A contender that asks for nothing for so long is taken for broken. img2dataset imports for half a minute and more."""

STEADY = (0.2, 0.9)
"""CPU time is counted between these shares of all requests, so that no start and no end is in it."""

TICKS_S = 1 / os.sysconf("SC_CLK_TCK")

ENVIRONMENT = {"NO_ALBUMENTATIONS_UPDATE": "1"}
"""img2dataset's library would ask the internet for a newer version of itself."""


class Contender(Protocol):
    """A program that fetches and decodes what stands in `urls.txt` of a folder. `settings`: for people."""

    @property
    def name(self) -> str: ...

    @property
    def settings(self) -> str: ...

    def command(self, folder: Path) -> list[str]: ...

    def outcome(self, folder: Path) -> Outcome: ...


@dataclass(frozen=True)
class Child:
    """`benchmarks.image_child`. `cache_mb`: None for the default."""

    name: str
    what: str
    settings: str
    cache_mb: int | None = None

    def command(self, folder: Path) -> list[str]:
        cache = [] if self.cache_mb is None else [str(self.cache_mb)]
        return [sys.executable, "-m", "benchmarks.image_child", self.what, str(folder), *cache]

    def outcome(self, folder: Path) -> Outcome:
        return Outcome(**json.loads((folder / OUTCOME).read_text(encoding="utf-8")))


@dataclass(frozen=True)
class Run:
    """`images_per_s`: from the first request at the server to the last image decoded. CPU in milliseconds an image,
    of the contender with all its processes, and of the server."""

    images_per_s: float
    cpu_ms: float
    server_ms: float


@dataclass(frozen=True)
class Sample:
    """CPU in seconds since the start."""

    requests: int
    cpu_s: float
    server_s: float


def measure(
    contender: Contender, server: ImageServer, count: int, kind: Kind, tell: Callable[[int], None] = lambda _: None
) -> Run:
    """`tell` is called with the requests so far. Raises `Wrong` when not every image was fetched once and decoded."""
    with tempfile.TemporaryDirectory(prefix="mner-images-") as name:
        folder = Path(name)
        (folder / URLS).write_text("\n".join(server.urls(count, kind)), encoding="ascii")
        server.reset()
        samples = _watch(contender, folder, server, tell)
        outcome = contender.outcome(folder)
    served = server.served()
    if (outcome.decoded, served.requests, served.unknown) != (count, count, 0):
        raise Wrong(
            f"{contender.name}: {outcome.decoded} images decoded, {served.requests} asked for, wanted {count} each; "
            f"{served.unknown} requests not understood; failures: {outcome.failed[:3]}"
        )
    first, last = _steady(samples, count)
    images = max(1, last.requests - first.requests)
    return Run(
        images_per_s=count / (outcome.ended_at - served.first_at),
        cpu_ms=1000 * (last.cpu_s - first.cpu_s) / images,
        server_ms=1000 * (last.server_s - first.server_s) / images,
    )


def _watch(contender: Contender, folder: Path, server: ImageServer, tell: Callable[[int], None]) -> list[Sample]:
    """Until it has ended. Raises `UserError` when it fails or stands still."""
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            contender.command(folder),
            stdout=output,
            stderr=output,
            cwd=ROOT,
            env=os.environ | ENVIRONMENT,
            start_new_session=True,
        )
    samples = [Sample(0, 0.0, server.served().cpu_s)]
    moved = time.monotonic()
    try:
        while process.poll() is None:
            served = server.served()
            if served.requests > samples[-1].requests:
                moved = time.monotonic()
            elif time.monotonic() - moved > STILL_S:
                break
            samples.append(Sample(served.requests, _cpu_s(process.pid), served.cpu_s))
            tell(served.requests)
            time.sleep(POLL_S)
    finally:
        with suppress(ProcessLookupError):  # what it started too; all have ended where all went well
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if process.returncode != 0:
        tail = log.read_text(errors="replace")[-2000:]
        raise UserError(f"{contender.name} ended with code {process.returncode}; its log ends:\n{tail}")
    return samples


def _steady(samples: list[Sample], count: int) -> tuple[Sample, Sample]:
    inside = [one for one in samples if STEADY[0] * count <= one.requests <= STEADY[1] * count]
    return (inside[0], inside[-1]) if len(inside) > 1 else (samples[0], samples[-1])


def _cpu_s(root: int) -> float:
    """Of a process, its descendants, and those of them that ended (proc(5): utime, stime, cutime, cstime)."""
    children, ticks = defaultdict(list), {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # ended in between
        process = int(path.parent.name)
        children[int(fields[1])].append(process)
        ticks[process] = sum(map(int, fields[11:15]))
    total, queue = 0, [root]
    while queue:
        process = queue.pop()
        total += ticks.get(process, 0)
        queue += children[process]
    return total * TICKS_S
