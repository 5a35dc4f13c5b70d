"""`mner topics` creates and lists the Kafka topics."""

from __future__ import annotations

import typer

app = typer.Typer(no_args_is_help=True, help="Create and list the Kafka topics between the agents.")


@app.command()
def create() -> None:
    """Create the missing topics.

    The settings give their partitions and retention. Existing topics stay as they are.
    """
    from streams import servers, settings, topics

    config = settings.load()
    created = topics.create(servers.address(config, "kafka"), topics.plan(config))
    for name in created:
        typer.echo(f"created {name}")
    if not created:
        typer.echo("all topics exist already")


@app.command("list")
def list_topics() -> None:
    """List the topics of this deployment: partitions, cleanup policy, retention, and whether each exists."""
    from rich.console import Console
    from rich.table import Table

    from streams import servers, settings, topics

    config = settings.load()
    planned = topics.plan(config)
    absent = set(topics.missing(servers.address(config, "kafka"), planned))
    table = Table("topic", "partitions", "cleanup", "retention", "exists")
    for topic in planned:
        retention = "forever" if topic.retention_ms < 0 else f"{topic.retention_ms // topics.HOUR_MS} h"
        exists = "no: mner topics create" if topic.name in absent else "yes"
        table.add_row(topic.name, str(topic.partitions), topic.cleanup, retention, exists)
    Console().print(table)
