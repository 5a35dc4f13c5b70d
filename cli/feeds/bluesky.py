"""`mner feed bluesky` sends Bluesky's public posts to Kafka."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cli.feeds.options import Filter, Fresh, JsonOut, Limit, Quiet, Rate, Since

if TYPE_CHECKING:
    from streams.feeds.source import Source


def command(
    server: Annotated[
        str | None,
        typer.Option(help="Address of a Jetstream server, as ws:// or wss://. By default, a public one of Bluesky."),
    ] = None,
    rate: Rate = None,
    limit: Limit = None,
    since: Since = None,
    filters: Filter = None,
    fresh: Fresh = False,
    quiet: Quiet = False,
    json_out: JsonOut = None,
) -> None:
    """Send Bluesky's public posts to the topic `tweets`. Needs no account and no key.

    Starts where the last run ended. Deletions, and changes of accounts, go to the topic `tombstones`.
    """
    from cli.feeds.running import live

    def make(_: object) -> Source:
        from streams.feeds.bluesky import SERVER, Bluesky

        return Bluesky(server or SERVER)

    live(make, rate=rate, limit=limit, since=since, filters=filters, fresh=fresh, json_out=json_out, quiet=quiet)
