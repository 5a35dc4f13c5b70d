"""Feeds a recorded hour at full speed and 60 times faster than it was: `python -m tests.streams.feeds.hour`.

The hour is synthetic: 50,000 Jetstream frames with likes, reposts, identity and account events among the posts, of
which 3% are not in English. Prints the counts by reason beside what was written, and the memory of the process.
"""

from __future__ import annotations

import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from local.stack import Stack
from streams import topics
from streams.feeds.account import DEAD, LIFECYCLE, SENT
from tests.conftest import ROOT, settings_for
from tests.streams.feeds import frames

MIX = {"post": 40, "like": 35, "repost": 12, "identity": 4, "account": 3, "update": 2, "delete": 3, "garbage": 1}
"""Kind of a frame -> its share, in percent."""
SHARE_OF_OTHERS = 0.03
OUTCOMES = {"post": SENT, "update": SENT, "delete": LIFECYCLE, "account": LIFECYCLE, "garbage": DEAD}
GROWTH_MB = 30.0
"""Largest difference, in MB, between the memory in the middle and at the end that counts as flat."""


@dataclass(frozen=True)
class Run:
    """What one run counted, its seconds, and its resident memory in MB, over time."""

    counts: dict[str, Any]
    seconds: float
    memory_mb: list[float]

    @property
    def outcomes(self) -> Counter[str]:
        counted = self.counts
        known = {SENT: counted["sent"], LIFECYCLE: counted["lifecycle"], DEAD: counted["dead"]}
        return Counter(known | counted["skipped"])

    @property
    def growth_mb(self) -> float:
        """The median of the last quarter less that of the second."""
        quarter = max(1, len(self.memory_mb) // 4)
        return statistics.median(self.memory_mb[-quarter:]) - statistics.median(self.memory_mb[quarter : 2 * quarter])


def write(file: Path, count: int, seed: int) -> Counter[str]:
    """Writes the hour. Returns the number of frames by outcome, if only posts in English are wanted."""
    chance = random.Random(seed)
    step_us = 3_600_000_000 // count
    made = frames.Frames(chance, int((time.time() - 7200) * 1e6), step_us)
    expected: Counter[str] = Counter()
    kinds = ["post", *chance.choices(list(MIX), list(MIX.values()), k=count - 1)]
    with file.open("wb") as out:
        for kind in kinds:
            if kind == "garbage":
                raw = frames.garbage(chance)
                out.write((raw if isinstance(raw, bytes) else raw.encode()).replace(b"\n", b" ") + b"\n")
                expected[DEAD] += 1
                continue
            lang = chance.choice(["de", "ja", "pt-BR"]) if chance.random() < SHARE_OF_OTHERS else "en"
            frame = made.of(kind, lang)
            out.write(json.dumps(frame.frame, ensure_ascii=False).encode() + b"\n")
            record = frame.frame.get("commit", {}).get("record", {})
            outcome = OUTCOMES.get(frame.kind, frame.kind)
            expected["language" if frame.kind == "post" and record["langs"] != ["en"] else outcome] += 1
    return expected


def fed(file: Path, environment: dict[str, str], home: Path, *options: str) -> Run:
    """Feeds the file, and watches the memory of the process."""
    out = home / "counts.json"
    command = [sys.executable, "-m", "cli.main", "feed", str(file), "--filter", "lang:en", "--json", str(out), *options]
    began = time.monotonic()
    memory = []
    with subprocess.Popen(command, env=environment, cwd=home, stdout=subprocess.DEVNULL) as child:
        while child.poll() is None:
            memory.append(resident_mb(child.pid))
            time.sleep(0.1)
    assert child.returncode == 0
    return Run(json.loads(out.read_text()), time.monotonic() - began, [held for held in memory if held])


def resident_mb(pid: int) -> float:
    """Returns the resident memory of a process, or 0 if it has ended."""
    try:
        found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0.0
    return int(found[1]) / 1000 if found else 0.0


def main(
    count: Annotated[int, typer.Option(help="Number of frames.")] = 50_000,
    seed: Annotated[int, typer.Option(help="Seed of the hour.")] = 1,
    speed: Annotated[float, typer.Option(help="How many times faster the second run is than the hour.")] = 60.0,
) -> None:
    """Print a table of both runs. The exit code is 1 if a count differs, or if the memory grows."""
    with tempfile.TemporaryDirectory() as folder, Stack(Path(folder) / "servers") as stack:
        home = Path(folder)
        settings = settings_for(stack.addresses, home)
        topics.create(str(settings.kafka), topics.plan(settings))
        environment = os.environ | {"MNER_KAFKA": str(settings.kafka), "MNER_PREFIX": settings.prefix}
        environment |= {"MNER_HOME": str(home), "PYTHONPATH": str(ROOT)}
        file = home / "hour.jsonl"
        expected = write(file, count, seed)
        runs = {
            "full speed": fed(file, environment, home),
            f"--speed {speed:g}": fed(file, environment, home, "--speed", f"{speed:g}"),
        }
    print(f"| outcome | written | {' | '.join(runs)} |")
    print(f"|---|---|{'---|' * len(runs)}")
    for outcome in sorted(expected, key=expected.__getitem__, reverse=True):
        cells = [str(run.outcomes[outcome]) for run in runs.values()]
        print(f"| {outcome} | {expected[outcome]} | {' | '.join(cells)} |")
    print(f"| all | {expected.total()} | {' | '.join(str(run.counts['received']) for run in runs.values())} |")
    print(f"| seconds | 3600 | {' | '.join(f'{run.seconds:.0f}' for run in runs.values())} |")
    print(f"| largest memory, MB | | {' | '.join(f'{max(run.memory_mb):.0f}' for run in runs.values())} |")
    print(f"| growth in the second half, MB | | {' | '.join(f'{run.growth_mb:.1f}' for run in runs.values())} |")
    right = all(run.outcomes == expected for run in runs.values())
    flat = all(run.growth_mb < GROWTH_MB for run in runs.values())
    print(f"counts {'add up' if right else 'DIFFER'}; memory {'flat' if flat else 'GROWS'}")
    sys.exit(not (right and flat))


if __name__ == "__main__":
    typer.run(main)
