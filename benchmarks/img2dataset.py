"""img2dataset, in an environment of its own: its libraries are not ours. What it is told, and what it says it did."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

from benchmarks.environment import environment
from benchmarks.image_child import URLS, Outcome
from core.errors import UserError

PINNED = Path(__file__).with_suffix(".txt")
PYTHON = ">=3.11,<3.13"
"""It imports `imghdr`, which Python 3.13 no longer has."""

PROCESSES = 2
THREADS = (16, 32, 64, 128)
"""Downloads at once in each of its processes: the benchmark tries these and takes what suits it best."""


class Unavailable(Exception):
    """It cannot be installed here; the text says why."""


def installed() -> Path:
    """Its command. Installs it once, 650 MB, with progress on standard error. Raises `Unavailable`."""
    program = "bin/img2dataset"
    try:
        return environment("img2dataset", PYTHON, [(PINNED, ())], program) / program
    except UserError as error:
        raise Unavailable(str(error)) from None


@dataclass(frozen=True)
class Img2dataset:
    """One way to run it. `side`: pixels to which it shrinks, and so encodes anew; None: it decodes and keeps the file.

    What it need not do for this comparison is off: EXIF, hashes, output. It asks once for each image, on a connection
    of its own, and each process has one thread for decoding, whatever the number of its downloads.
    """

    name: str
    settings: str
    program: Path
    threads: int
    side: int | None = None

    def command(self, folder: Path) -> list[str]:
        options = {
            "url_list": folder / URLS,
            "output_folder": folder / "out",
            "output_format": "dummy",
            "processes_count": PROCESSES,
            "number_sample_per_shard": self._shard(folder),
            "thread_count": self.threads,
            "extract_exif": False,
            "compute_hash": None,
            "skip_reencode": True,
            "resize_mode": "keep_ratio_largest" if self.side else "no",
            "resize_only_if_bigger": True,
            "image_size": self.side or 640,
            "enable_wandb": False,
        }
        return [str(self.program), *(f"--{name}={value}" for name, value in options.items())]

    def _shard(self, folder: Path) -> int:
        """One for each process: between two it would wait until the first is empty."""
        return math.ceil(len((folder / URLS).read_text().split()) / PROCESSES)

    def outcome(self, folder: Path) -> Outcome:
        """By its own statistics: `successes` are those it decoded, `end_time` stands behind the last of them."""
        shards = [json.loads(path.read_text()) for path in (folder / "out").glob("*_stats.json")]
        return Outcome(
            decoded=sum(shard["successes"] for shard in shards),
            ended_at=max((shard["end_time"] for shard in shards), default=0.0),
            failed=[reason for shard in shards for reason in shard["status_dict"] if reason != "success"],
        )
