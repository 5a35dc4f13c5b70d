"""What an attack cost: seconds, and the peak of memory here and in the process that decodes (Linux: /proc, proc(5))."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from streams.images.errors import ImageError
from streams.images.loader import ImageLoader

MAX_OWN_MB = 96
"""This process may grow by so much for one image, the attacking server in it included; one body may have 10 MB."""


@dataclass(frozen=True)
class Cost:
    """One attack. MB are 10^6 bytes; `own_mb` is growth, `decoder_mb` a total, 0 where the process is gone."""

    case: str
    outcome: str
    seconds: float
    own_mb: float
    decoder_mb: float


COSTS: list[Cost] = []
"""Of all attacks of this run, printed at its end."""


async def attack(case: str, loader: ImageLoader, url: str, max_seconds: float) -> str:
    """What came of it, `kind: detail` or `ok: ...`; asserts that the cost was bounded."""
    for pid in ("self", *decoder_pids(loader)):
        _reset_peak(pid)
    before, started = _status_mb("VmRSS"), monotonic()
    try:
        picture = await loader.load(url)
    except ImageError as error:
        outcome = error.reason
    else:
        outcome = f"ok: {picture.format} {picture.width} x {picture.height}"
    seconds, own = monotonic() - started, max(0.0, _status_mb("VmHWM") - before)
    decoder = max((_status_mb("VmHWM", pid) for pid in decoder_pids(loader)), default=0.0)
    COSTS.append(Cost(case, outcome, seconds, own, decoder))
    assert seconds < max_seconds
    assert own < MAX_OWN_MB
    assert decoder <= loader._settings.image_memory_mb
    return outcome


def decoder_pids(loader: ImageLoader) -> tuple[int, ...]:
    return loader._decoders.pids


def _reset_peak(pid: int | str) -> None:
    with suppress(OSError):
        Path(f"/proc/{pid}/clear_refs").write_text("5")


def _status_mb(what: str, pid: int | str = "self") -> float:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(what + ":"):
                return int(line.split()[1]) * 1024 / 1e6
    return 0.0


def table() -> list[str]:
    """One line an attack."""
    head = f"{'seconds':>8} {'own +MB':>8} {'decoder MB':>10}  {'attack':<58} outcome"
    return [head] + [
        f"{cost.seconds:8.2f} {cost.own_mb:8.1f} {cost.decoder_mb:10.0f}  {cost.case:<58.58} {cost.outcome[:70]}"
        for cost in COSTS
    ]
