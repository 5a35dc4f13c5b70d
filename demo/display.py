"""The demo's live display: the servers as they start, then the numbers. Without a terminal, prints plain lines."""

from __future__ import annotations

import threading
import time
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from demo.tally import Tally

#: Seconds between two lines of numbers, without a terminal.
LINE_EVERY_S = 2.0
SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"


class Display:
    """A context manager. `report` may be called from any thread."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._states: dict[str, str] = {}
        self._started = time.monotonic()
        self._tally: Tally | None = None
        self._live = Live(console=console, get_renderable=self._render, refresh_per_second=8, transient=False)
        self._stop = threading.Event()
        self._liner = threading.Thread(target=self._lines, daemon=True)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        else:
            self._liner.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._console.is_terminal:
            self._live.stop()
        elif self._tally is not None:
            self._console.print(_line(self._tally))

    def report(self, name: str, message: str) -> None:
        """Shows what a server or the worker is doing."""
        self._states[name] = message
        if not self._console.is_terminal:
            self._console.print(f"[{time.monotonic() - self._started:5.1f} s] {name}: {message}", markup=False)

    def show_tally(self, tally: Tally) -> None:
        """Shows these numbers from now on."""
        self._tally = tally

    def _render(self) -> RenderableType:
        states = Table.grid(padding=(0, 2))
        for name, message in self._states.items():
            ready = message.startswith(("ready", "yours"))
            frame = SPINNER[int(time.monotonic() * 10) % len(SPINNER)]
            states.add_row(Text("✓", "green") if ready else Text(frame, "cyan"), Text(name, "bold"), Text(message))
        parts: list[RenderableType] = [states]
        if self._tally is not None:
            parts.append(_numbers(self._tally))
        return Panel(Group(*parts), title="mner demo", title_align="left", width=min(100, self._console.width))

    def _lines(self) -> None:
        while not self._stop.wait(LINE_EVERY_S):
            if self._tally is not None:
                self._console.print(_line(self._tally))


def _numbers(tally: Tally) -> Table:
    table = Table(box=None, expand=True, padding=(1, 1, 0, 1))
    values = {
        "fed": (str(tally.fed), "bold"),
        "extracted": (str(tally.extracted), "bold green"),
        "indexed": (str(tally.indexed), "bold green"),
        "queued": (str(tally.queued), "bold yellow"),
        "dead": (str(tally.dead), "bold red" if tally.dead else "bold"),
        "posts/s": (f"{tally.tweets_per_s:.1f}", "bold cyan"),
        "p50": (f"{tally.latency_ms(0.5):.0f} ms", "cyan"),
        "p99": (f"{tally.latency_ms(0.99):.0f} ms", "cyan"),
    }
    for name in values:
        table.add_column(name, justify="right")
    table.add_row(*(Text(value, style) for value, style in values.values()))
    return table


def _line(tally: Tally) -> str:
    return (
        f"fed {tally.fed}  extracted {tally.extracted}  indexed {tally.indexed}  queued {tally.queued}  "
        f"dead {tally.dead}  {tally.tweets_per_s:.1f} posts/s  latency p50 {tally.latency_ms(0.5):.0f} ms "
        f"p99 {tally.latency_ms(0.99):.0f} ms"
    )
