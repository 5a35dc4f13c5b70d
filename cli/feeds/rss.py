"""`mner feed rss` sends the entries of RSS, Atom and JSON feeds to Kafka."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cli.feeds.options import Filter, Fresh, JsonOut, Limit, Quiet, Rate, Since

if TYPE_CHECKING:
    from streams.feeds.source import Source


def command(
    feeds: Annotated[list[str], typer.Argument(metavar="URL...", help="Addresses of the feeds.")],
    every: Annotated[float, typer.Option(help="Seconds between two polls of a feed.", min=1)] = 300.0,
    rate: Rate = None,
    limit: Limit = None,
    since: Since = None,
    filters: Filter = None,
    fresh: Fresh = False,
    quiet: Quiet = False,
    json_out: JsonOut = None,
) -> None:
    """Send the entries of RSS, Atom or JSON feeds to the topic `tweets`.

    The first run sends all entries of the feeds. Later runs with the same feeds send new and changed entries.
    """
    from cli.feeds.running import live

    def make(_: object) -> Source:
        from streams.feeds.rss import Rss

        return Rss(feeds, every)

    live(make, rate=rate, limit=limit, since=since, filters=filters, fresh=fresh, json_out=json_out, quiet=quiet)
