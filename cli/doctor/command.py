"""`mner doctor` checks what a worker needs."""

from __future__ import annotations

from typing import Annotated

import typer

SIGNS = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "broken": ("✗", "red")}


def command(
    deep: Annotated[
        bool, typer.Option("--deep", help="Also load the model and look for a GPU, which takes about half a minute.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object for scripts.")] = False,
) -> None:
    """Check Python, settings, disk, checkpoint, jars, Kafka, Elasticsearch and Redis, and say how to fix problems.

    Each check prints one line: ✓ fine, ! a warning, ✗ broken. The command changes nothing.
    The exit code is 1 if something is broken.
    """
    import logging
    from dataclasses import asdict

    from rich.console import Console
    from rich.text import Text

    from cli.as_json import print_json
    from cli.doctor.checks import examine

    for verbose in ("elastic_transport", "elasticsearch"):
        logging.getLogger(verbose).setLevel(logging.CRITICAL)
    findings = examine(deep=deep)
    broken = sum(finding.level == "broken" for finding in findings)
    if as_json:
        print_json({"ok": not broken, "checks": [asdict(finding) for finding in findings]})
        raise typer.Exit(1 if broken else 0)
    console = Console(highlight=False, soft_wrap=True)
    width = max(len(finding.name) for finding in findings)
    for finding in findings:
        sign, colour = SIGNS[finding.level]
        line = Text.assemble((sign, f"bold {colour}"), f" {finding.name:<{width}}  {' '.join(finding.detail.split())}")
        console.print(line.append(f"  → {finding.remedy}", style="bold") if finding.remedy else line)
    console.print(f"{broken} broken" if broken else "A worker has everything that it needs.")
    raise typer.Exit(1 if broken else 0)
