"""The live display of a feed, on a terminal: posts per second, lag, reconnects, what is skipped, the saved cursor.

Below these counts stand the latest posts with their mentions, as workers read them.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table

from cli.feeds.entities import Entities
from core.text import one_line
from streams.feeds.account import Account

WINDOW_S = 5.0
"""Time, in seconds, over which posts per second are counted."""

REASONS = 8
LOOK_S = 0.1


class Display:
    """A context manager. Shows nothing without a terminal. At its end, it prints the entities that were found."""

    def __init__(self, console: Console, entities: Entities | None = None) -> None:
        self._console, self._entities = console, entities
        self._live = Live(console=console, refresh_per_second=4, transient=True)
        self._shows = console.is_terminal and not console.quiet
        self._looks: deque[tuple[float, int]] = deque()

    def __enter__(self) -> Display:
        if self._shows:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._shows:
            self._live.stop()
            if self._entities is not None:
                self._console.print(self._entities.summary(self._console.width))

    def show(self, account: Account) -> None:
        """Shows these counts."""
        if self._shows:
            now = time.monotonic()
            self._looks.append((now, account.posts))
            while len(self._looks) > 2 and now - self._looks[0][0] > WINDOW_S:
                self._looks.popleft()
            counts = render(account, self._rate(), time.time())
            self._live.update(counts if self._entities is None else self._with_entities(counts, self._entities))

    def linger(self, account: Account, is_over: Callable[[], bool]) -> None:
        """Shows the entities of the last posts as they come. Ends when all are there, none come, or `is_over`."""
        while self._shows and self._entities is not None and self._entities.is_due and not is_over():
            self.show(account)
            time.sleep(LOOK_S)

    def _with_entities(self, counts: RenderableType, entities: Entities) -> RenderableType:
        taken = len(self._console.render_lines(counts, pad=False)) + 1  # and the line of the cursor
        return Group(counts, entities.panel(self._console.width, self._console.height - taken))

    def _rate(self) -> float:
        (began, before), (ended, after) = self._looks[0], self._looks[-1]
        return (after - before) / (ended - began) if ended > began else 0.0


def render(account: Account, per_second: float, now: float) -> RenderableType:
    """Draws the counts. `now`: Unix seconds."""
    table = Table.grid(padding=(0, 2))
    table.add_row("[bold]source[/]", one_line(account.source))
    table.add_row("posts", f"{account.posts:,} sent, {per_second:,.1f}/s")
    table.add_row("received", f"{account.received:,}")
    table.add_row("lifecycle", f"{account.lifecycle:,}")
    table.add_row("lag", "–" if (lag_s := account.lag_s(now)) is None else f"{lag_s:,.1f} s")
    faults = ", ".join(f"{fault} {count}" for fault, count in sorted(account.reconnects.items()))
    table.add_row("reconnects", faults or "0")
    table.add_row("gaps", f"{account.gaps:,}")
    reasons = [f"{reason} {count:,}" for reason, count in list(account.skipped.items())[:REASONS]]
    table.add_row("skipped", ", ".join(reasons) or "0")
    table.add_row("dead letters", f"{account.letters:,}")
    saved = "not yet" if account.saved_at is None else f"{max(0.0, now - account.saved_at):,.0f} s ago"
    table.add_row("cursor saved", saved)
    return table
