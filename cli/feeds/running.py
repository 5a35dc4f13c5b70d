"""Runs a feed from the command line: topics, cursor, signals, metrics, display, and the account at the end."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from cli.output import output_file
from core.errors import UserError
from core.text import printable

if TYPE_CHECKING:
    from streams.feeds.orders import Options
    from streams.feeds.runner import Runner
    from streams.feeds.source import Source
    from streams.settings import Settings

BROKEN_OFF = 1
STOPPED = 130
"""Exit codes when Kafka or the source failed on the way, and after Ctrl-C."""


def live(
    make: Callable[[Settings], Source],
    *,
    rate: float | None,
    limit: int | None,
    since: str | None,
    filters: Sequence[str] | None,
    fresh: bool,
    json_out: Path | None,
    quiet: bool = False,
) -> None:
    """Feeds a platform until it is stopped, or until `limit` posts are sent. Prints the counts in one line.

    `make` builds the source from the settings. `quiet` turns the live display off.
    """
    from cli.feeds.options import moment
    from streams.feeds.filters import Filters
    from streams.feeds.orders import FeedEnded, Options
    from streams.settings import load

    options = Options(rate, limit, moment(since), fresh, Filters.parse(filters or ()))
    config = load()
    source = make(config)
    failure = None
    runner: Runner | None = None
    try:
        with prepared(config, source, options, quiet=quiet) as runner:
            runner.run()
    except FeedEnded as ended:
        replaced = [name for name, value in (("--fresh", fresh), ("--since", since)) if value]
        failure = f"{ended}; {_remedy(runner, replaced)}"
    finally:
        if runner is not None and (runner.account.received or runner.signalled):
            report(runner, json_out)
    if failure is not None:
        typer.echo(f"mner: {printable(failure)}", err=True)
        raise typer.Exit(BROKEN_OFF)
    if runner is not None and runner.signalled == signal.SIGINT:
        raise typer.Exit(STOPPED)


def _remedy(runner: Runner | None, replaced: Sequence[str]) -> str:
    """Returns how to go on after Kafka has failed. `replaced`: the options that would replace the saved position."""
    if runner is None or runner.cursor is None:
        return "start the feed again"
    without = f" without {' and '.join(replaced)}" if replaced else ""
    return f"start the feed again{without} to go on from the saved position"


@contextmanager
def prepared(
    config: Settings,
    source: Source,
    options: Options,
    *,
    is_live: bool = True,
    keeps_cursor: bool = True,
    quiet: bool = False,
) -> Iterator[Runner]:
    """Checks the topics, holds the cursor, shows the display, catches the signals, and serves the metrics if live.

    A live feed on a terminal also shows the entities that workers find, and waits for those of its last posts.

    Raises `UserError` for missing topics, or if another process has this feed.
    """
    from cli.feeds.display import Display
    from cli.feeds.entities import Entities
    from cli.feeds.extractions import Listener
    from cli.output import make_console
    from streams import metrics, servers, topics
    from streams.feeds.cursor import CursorFile, Destination
    from streams.feeds.file_place import REMEDY
    from streams.feeds.orders import Target
    from streams.feeds.runner import Runner

    brokers = servers.kafka(config)
    target = Target.of(config, brokers)
    missing = set(topics.missing(brokers, topics.plan(config))) & set(target.limits)
    if missing:
        raise UserError(f"topic {min(missing)} is missing; create it with `mner topics create`")
    destination = Destination(config.prefix, topics.cluster_id(brokers))
    remedy = "--fresh starts with what is published now" if is_live else REMEDY
    cursors = CursorFile(config.home, source.identity, destination, remedy) if keeps_cursor else None
    with ExitStack() as stack:
        if cursors is not None:
            stack.enter_context(cursors.held())
        stack.enter_context(metrics.served(config.metrics if is_live else None))
        console = make_console(quiet=quiet)
        entities = Entities(config.threshold) if is_live and console.is_terminal and not quiet else None
        if entities is not None:
            stack.enter_context(Listener(config, brokers, entities))
        display = stack.enter_context(Display(console, entities))
        runner = Runner(source, target, cursors, options, display.show, _tell)
        if entities is not None:
            runner.on_post = entities.sent
        stack.enter_context(runner.stopped_by_signals())
        yield runner
        display.linger(runner.account, lambda: runner.signalled is not None)


def _tell(trouble: str) -> None:
    typer.echo(f"mner: {printable(trouble)}", err=True)


def report(runner: Runner, json_out: Path | None) -> None:
    """Prints the counts, and writes them to a file if it is given."""
    typer.echo(printable(runner.account.line()))
    write_counts(runner, json_out)


def write_counts(runner: Runner, json_out: Path | None) -> None:
    """Writes the counts to a file if it is given."""
    if json_out is not None:
        with output_file(json_out, "--json") as file:
            file.write(json.dumps(runner.account.as_json(), indent=2).encode() + b"\n")
