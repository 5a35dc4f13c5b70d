"""`mner feed mastodon` sends the public posts of a Mastodon server to Kafka."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cli.feeds.options import Filter, Fresh, JsonOut, Limit, Quiet, Rate, Since

if TYPE_CHECKING:
    from streams.feeds.source import Source
    from streams.settings import Settings


def command(
    server: Annotated[str | None, typer.Option(help="Address of the server. By default, mastodon.social.")] = None,
    hashtag: Annotated[str | None, typer.Option(help="Only posts with this hashtag.")] = None,
    local: Annotated[bool, typer.Option("--local", help="Only posts of the server's own users.")] = False,
    rate: Rate = None,
    limit: Limit = None,
    since: Since = None,
    filters: Filter = None,
    fresh: Fresh = False,
    quiet: Quiet = False,
    json_out: JsonOut = None,
) -> None:
    """Send the public posts of a Mastodon server to the topic `tweets`.

    Most servers ask for the access token of an application, in MNER_MASTODON_TOKEN. Starts where the last run ended:
    the server's timeline has the posts since then.
    """
    from cli.feeds.running import live

    def make(settings: Settings) -> Source:
        from streams.feeds.mastodon import SERVER, Mastodon
        from streams.secrets import secret_of

        token = secret_of(settings, "mastodon_token")
        return Mastodon(server or SERVER, token and token.strip(), hashtag, local)

    live(make, rate=rate, limit=limit, since=since, filters=filters, fresh=fresh, json_out=json_out, quiet=quiet)
