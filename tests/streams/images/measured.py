"""Measures an attack: its time, and the peak memory of this process and of the decoder (from /proc, see proc(5)).

`python -m tests.streams.images.measured` prints the decoder's memory for honest images of 40 million pixels.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from PIL import Image

from streams.images.decoder import Decoders
from streams.images.errors import ImageError
from streams.images.loader import ImageLoader
from tests.streams.images.sample_images import FILES, encoded

MAX_OWN_MB = 96
"""Largest growth of this process, in MB, for one image. It includes the attacking server, and a body of 10 MB."""

MAX_DECODER_MB = 512
"""Largest memory of a decoding process, in MB, with Python and its libraries: 1.3 times the measured peak, 397 MB."""

SAMPLE_S = 0.01
"""Seconds between two looks at the decoding processes, whose peaks are lost when they end."""


@dataclass(frozen=True)
class Cost:
    """The cost of one attack, in MB of 10^6 bytes.

    `own_mb` is the growth of this process. `decoder_mb` is the peak memory of the decoder, even if it was killed.
    Without a decoder it is 0.
    """

    case: str
    outcome: str
    seconds: float
    own_mb: float
    decoder_mb: float


COSTS: list[Cost] = []
"""All attacks of this run, printed at its end."""


async def attack(case: str, loader: ImageLoader, url: str, max_seconds: float) -> str:
    """Returns the outcome, `kind: detail` or `ok: ...`. Asserts that the cost was bounded."""
    pids: tuple[int | str, ...] = ("self", *decoder_pids(loader))
    for pid in pids:
        _reset_peak(pid)
    before, started = _status_mb("VmRSS"), monotonic()
    peaks = [0.0]
    watch = asyncio.ensure_future(_watch(loader, peaks))
    try:
        image = await loader.load(url)
    except ImageError as error:
        outcome = error.reason
    else:
        outcome = f"ok: {image.format} {image.width} x {image.height}"
    finally:
        watch.cancel()
    seconds, own = monotonic() - started, max(0.0, _status_mb("VmHWM") - before)
    decoder = max(peaks + _peaks(loader))
    COSTS.append(Cost(case, outcome, seconds, own, decoder))
    assert seconds < max_seconds
    assert own < MAX_OWN_MB
    assert decoder < MAX_DECODER_MB
    return outcome


async def _watch(loader: ImageLoader, peaks: list[float]) -> None:
    while True:
        peaks += _peaks(loader)
        await asyncio.sleep(SAMPLE_S)


def _peaks(loader: ImageLoader) -> list[float]:
    return [_status_mb("VmHWM", pid) for pid in decoder_pids(loader)]


def decoder_pids(loader: ImageLoader) -> tuple[int, ...]:
    return loader.decoders.pids


def _reset_peak(pid: int | str) -> None:
    with suppress(OSError):
        Path(f"/proc/{pid}/clear_refs").write_text("5")


def _status_mb(what: str, pid: int | str = "self") -> float:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(what + ":"):
                return int(line.split()[1]) * 1024 / 1e6
    return 0.0


def large_images() -> Iterator[tuple[str, bytes]]:
    """Images of 40 million pixels, the largest number allowed."""
    size = (8000, 5000)
    colour = Image.linear_gradient("L").resize(size).convert("RGB")
    yield "JPEG", encoded(colour, "JPEG")
    yield "progressive JPEG", encoded(colour, "JPEG", progressive=True)
    yield "GIF", encoded(colour.convert("L"), "GIF")
    yield "palette PNG", encoded(colour.convert("P"), "PNG")
    yield "PNG of 16-bit grey", encoded(Image.new("I;16", size, 999), "PNG")
    yield "RGB PNG", encoded(colour, "PNG")
    yield "PNG with alpha", encoded(colour.convert("RGBA"), "PNG")
    yield "WEBP", encoded(colour, "WEBP", method=0)


async def print_large_images() -> None:
    """Prints how far each image lifts the peak of the decoder's address space, which the memory limit counts.

    Each image gets its own process, which has decoded a small image before.
    """
    for name, body in large_images():
        async with Decoders(1, max_pixels=40_000_000, memory_mb=2048, timeout_s=60.0) as pool:
            await pool.decode(FILES["JPEG"], "")
            (pid,) = pool.pids
            held = _status_mb("VmSize", pid)
            await pool.decode(body, "")
            print(
                f"{name:<20} {_status_mb('VmPeak', pid) - held:4.0f} MB beyond {held:.0f}, file {len(body) / 1e6:.1f}"
            )


def table() -> list[str]:
    """Returns a heading, then one line per attack."""
    head = f"{'seconds':>8} {'own +MB':>8} {'decoder MB':>10}  {'attack':<58} outcome"
    return [head] + [
        f"{cost.seconds:8.2f} {cost.own_mb:8.1f} {cost.decoder_mb:10.0f}  {cost.case:<58.58} {cost.outcome[:70]}"
        for cost in COSTS
    ]


if __name__ == "__main__":
    asyncio.run(print_large_images())
