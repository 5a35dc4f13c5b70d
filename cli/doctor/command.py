"""`mner doctor`: is everything there that a worker needs, and if not, what to do."""

from __future__ import annotations

from typing import Annotated

import typer

SIGNS = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "broken": ("✗", "red")}


def command(
    deep: Annotated[
        bool, typer.Option("--deep", help="Also load the model and look for a GPU: half a minute or so.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for scripts.")] = False,
) -> None:
    """Check Python, settings, disk, checkpoint, jars, Kafka, Elasticsearch and Redis; say how to mend what is not well.

    One line a check: ✓ well, ! worth knowing, ✗ broken. Changes nothing. Exit code 1 when something is broken.
    """
    import json
    import logging
    from dataclasses import asdict

    from rich.console import Console
    from rich.text import Text

    from cli.doctor.checks import examine

    for chatty in ("elastic_transport", "elasticsearch"):
        logging.getLogger(chatty).setLevel(logging.CRITICAL)
    findings = examine(deep=deep)
    broken = sum(finding.level == "broken" for finding in findings)
    if as_json:
        typer.echo(json.dumps({"ok": not broken, "checks": [asdict(finding) for finding in findings]}, indent=2))
        raise typer.Exit(1 if broken else 0)
    console = Console(highlight=False, soft_wrap=True)
    width = max(len(finding.name) for finding in findings)
    for finding in findings:
        sign, colour = SIGNS[finding.level]
        line = Text.assemble((sign, f"bold {colour}"), f" {finding.name:<{width}}  {' '.join(finding.said.split())}")
        console.print(line.append(f"  → {finding.mend}", style="bold") if finding.mend else line)
    console.print(f"{broken} broken" if broken else "All that a worker needs is there.")
    raise typer.Exit(1 if broken else 0)
