"""`mner retention` deletes posts that are older than MNER_INDEX_RETENTION_DAYS, as a worker does every hour."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from core.errors import UserError
from streams.settings import Settings, load

if TYPE_CHECKING:
    from streams.retention import Swept


def command(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what would be deleted.")] = False,
) -> None:
    """Delete posts that were received longer ago than MNER_INDEX_RETENTION_DAYS.

    Removes them from the index, the queue and the topic of decisions. A worker with the agent `erase` does the same
    every hour. Posts without a date stay, and are counted.
    """
    config = load()
    if config.index_retention_days is None:
        raise UserError("MNER_INDEX_RETENTION_DAYS is not set, so posts stay for ever; set it to a number of days")
    swept = asyncio.run(_sweep(config, dry_run=dry_run))
    done = "would be deleted" if dry_run else "deleted"
    typer.echo(f"{swept.posts} posts older than {config.index_retention_days:g} days {done}")
    if swept.tasks:
        typer.echo(f"{swept.tasks} tasks that nobody may see {done}")
    if swept.undated:
        typer.echo(f"{swept.undated} posts have no date, and stay")


async def _sweep(config: Settings, *, dry_run: bool) -> Swept:
    from sinks.index.index import Index
    from sinks.queue.queue import ReviewQueue
    from streams.producer import Producer
    from streams.retention import Retention, Sweeper
    from streams.servers import addresses
    from streams.terms import load_sources
    from streams.topics import DECISIONS

    servers, sources = addresses(config), load_sources(config)
    index = Index(servers.elasticsearch, config.name("mentions"))
    queue = ReviewQueue(servers.redis, config.name("review:"))
    retention = Retention(config.index_retention_days)
    try:
        async with Producer(servers.kafka) as producer:
            sweeper = Sweeper(index, queue, producer, config.name(DECISIONS), retention, sources)
            return await sweeper.sweep(dry_run=dry_run)
    finally:
        await queue.close()
        await index.close()
