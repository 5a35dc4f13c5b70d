"""`mner topics`: make and list the topics."""

from __future__ import annotations

import typer

app = typer.Typer(no_args_is_help=True, help="Make and list the Kafka topics between the agents.")


@app.command()
def create() -> None:
    """Make the topics that are missing (partitions, retention and compaction from the settings). Safe to repeat."""
    from streams import servers, settings, topics

    config = settings.load()
    made = topics.create(servers.address(config, "kafka"), config)
    for name in made:
        typer.echo(f"made {name}")
    if not made:
        typer.echo("all topics exist already")


@app.command("list")
def list_topics() -> None:
    """Every topic of this deployment: partitions, how long it keeps what, and whether it exists."""
    from rich.console import Console
    from rich.table import Table

    from streams import servers, settings, topics

    config = settings.load()
    absent = set(topics.missing(servers.address(config, "kafka"), config))
    table = Table("topic", "partitions", "cleanup", "kept", "there")
    for topic in topics.plan(config):
        kept = "for ever" if topic.retention_ms < 0 else f"{topic.retention_ms // topics.HOUR_MS} h"
        there = "no: mner topics create" if topic.name in absent else "yes"
        table.add_row(topic.name, str(topic.partitions), topic.cleanup, kept, there)
    Console().print(table)
