"""`mner feed x` sends X's filtered stream, or X's compliance events, to Kafka."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cli.feeds.options import Filter, Fresh, JsonOut, Limit, Quiet, Rate, Since
from core.errors import UserError
from core.text import printable

if TYPE_CHECKING:
    from streams.feeds.x.meter import Meter
    from streams.feeds.x.rules import Change, Rule
    from streams.feeds.x.source import XSource
    from streams.settings import Settings


def command(
    rules: Annotated[
        Path | None,
        typer.Option(
            help="YAML file of rules, a list of {value, tag}. The app gets these rules and loses all others. "
            "By default, its rules stay as they are."
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the rules and show what --rules would change. Feed nothing.")
    ] = False,
    budget: Annotated[
        int | None,
        typer.Option(help="Most posts to read per month (UTC). Then the feed ends.", min=1),
    ] = None,
    compliance: Annotated[
        Path | None,
        typer.Option(help="Send the compliance events of this file (JSON Lines) to `tombstones`. Feed no posts."),
    ] = None,
    ids: Annotated[
        Literal["tweets", "users"] | None,
        typer.Option(help="Whether the ids in the result of a batch compliance job are posts or users."),
    ] = None,
    server: Annotated[
        str | None, typer.Option(help="Address of a proxy or a test server, as https:// or http://. By default, X.")
    ] = None,
    search_after: Annotated[
        float | None,
        typer.Option(
            help="Seconds after a reconnect until the search for missed posts. By default 35, since X's search "
            "finds posts only after some seconds.",
            min=0,
        ),
    ] = None,
    rate: Rate = None,
    limit: Limit = None,
    since: Since = None,
    filters: Filter = None,
    fresh: Fresh = False,
    quiet: Quiet = False,
    json_out: JsonOut = None,
) -> None:
    """Send the posts of X's filtered stream to the topic `tweets`.

    Needs the bearer token of an app in MNER_X_TOKEN. Starts where the last run ended: X's recent search finds the posts
    since then. X charges for each post that it sends, also for those that --filter skips.
    """
    from cli.feeds.running import live

    if compliance is not None:
        from streams.feeds.x.compliance import ComplianceFile

        others = {
            "--dry-run": dry_run,
            "--rules": rules,
            "--budget": budget,
            "--limit": limit,
            "--rate": rate,
            "--since": since,
            "--filter": filters,
            "--server": server,
            "--search-after": search_after,
            "--fresh": fresh,
        }
        _refuse_others(name for name, value in others.items() if value not in (None, False))
        file = ComplianceFile(compliance, ids)
        live(lambda _: file, rate=None, limit=None, since=None, filters=None, fresh=True, json_out=json_out)
        return
    if ids is not None:
        raise UserError("--ids needs --compliance FILE, whose ids it explains; add it")
    if dry_run:
        _show_change(rules, server)
        return
    meters: list[Meter] = []

    def make(config: Settings) -> XSource:
        source, meter = _source(config, server, budget, search_after)
        meters.append(meter)
        if rules is not None:
            from streams.feeds.x.rules import read_rules

            wanted = read_rules(rules)
            source.before_first = lambda: _set_rules(source, wanted)
        return source

    try:
        live(make, rate=rate, limit=limit, since=since, filters=filters, fresh=fresh, json_out=json_out, quiet=quiet)
    finally:
        for meter in meters:
            typer.echo(meter.line())


def _refuse_others(given: Iterable[str]) -> None:
    """Raises `UserError` for options that say nothing about a file of compliance events."""
    for name in given:
        raise UserError(f"--compliance FILE sends all events of the file; leave {name} out")


def _source(
    config: Settings, server: str | None, budget: int | None = None, search_after: float | None = None
) -> tuple[XSource, Meter]:
    from streams.feeds.x.meter import Meter
    from streams.feeds.x.session import SERVER, address, token_of
    from streams.feeds.x.source import SEARCH_LAG_S, XSource

    meter = Meter(config.home / "feeds" / "x-reads.json", budget)
    source = XSource(
        token_of(config),
        meter,
        server=SERVER if server is None else address(server),
        search_lag_s=SEARCH_LAG_S if search_after is None else search_after,
    )
    return source, meter


def _show_change(rules: Path | None, server: str | None) -> None:
    from streams.feeds.source import Disconnected
    from streams.feeds.x import rules as x_rules
    from streams.feeds.x.api import Api
    from streams.settings import load

    if rules is None:
        raise UserError("--dry-run shows what --rules FILE would change; add --rules FILE")
    wanted = x_rules.read_rules(rules)
    source, _ = _source(load(), server)
    try:
        api = Api(source.session())
        change = x_rules.change(api.rules(), wanted)
        x_rules.check(api, change)
    except Disconnected as error:
        raise _no_answer(error) from None
    _show(change)


def _set_rules(source: XSource, wanted: list[Rule]) -> None:
    from streams.feeds.source import Disconnected
    from streams.feeds.x import rules as x_rules
    from streams.feeds.x.api import Api

    try:
        api = Api(source.session())
        change = x_rules.change(api.rules(), wanted)
        _show(change)
        x_rules.apply(api, change)
    except Disconnected as error:
        raise _no_answer(error) from None


def _show(change: Change) -> None:
    for line in change.lines():
        typer.echo(printable(f"rule {line}"))


def _no_answer(error: Exception) -> UserError:
    return UserError(f"X gives no usable answer about the rules ({error}); try again later")
