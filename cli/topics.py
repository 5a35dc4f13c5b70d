"""`mner topics` creates and lists the Kafka topics."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.output import make_console

app = typer.Typer(no_args_is_help=True, help="Create and list the Kafka topics between the agents.")


@app.command()
def create(
    tighten: Annotated[
        bool,
        typer.Option("--tighten", help="Also shorten retention, lower the largest size, or compact sooner."),
    ] = False,
) -> None:
    """Create the missing topics, and give the existing ones the planned settings.

    The settings of `mner` give the retention and, for new topics, the number of partitions. Nothing else of an existing
    topic is changed. A change that makes Kafka delete or refuse more records needs --tighten. Each change is printed.
    """
    from streams import servers, settings, topics

    config = settings.load()
    brokers, planned = servers.kafka(config), topics.plan(config)
    created = topics.create(brokers, planned)
    changed, left = topics.mend(brokers, planned, tighten=tighten)
    for name in created:
        typer.echo(f"created {name}")
    for one in changed:
        typer.echo(f"changed {one.topic}: {one.setting} from {one.actual} to {one.planned}")
    for one in left:
        typer.echo(f"left {one.topic}: {one.setting} is {one.actual}, planned is {one.planned}; --tighten changes it")
    if not created and not changed and not left:
        typer.echo("all topics exist already, with the planned settings")


@app.command("list")
def list_topics() -> None:
    """List the topics of this deployment: partitions, cleanup policy, retention, and whether each exists."""
    from rich.table import Table

    from streams import servers, settings, topics

    config = settings.load()
    planned = topics.plan(config)
    absent = set(topics.missing(servers.kafka(config), planned))
    table = Table("topic", "partitions", "cleanup", "retention", "exists")
    for topic in planned:
        retention = "forever" if topic.retention_ms < 0 else f"{topic.retention_ms // topics.HOUR_MS} h"
        exists = "no: mner topics create" if topic.name in absent else "yes"
        table.add_row(topic.name, str(topic.partitions), topic.cleanup, retention, exists)
    make_console().print(table)
