"""`mner doctor` checks what a worker needs."""

from __future__ import annotations

from typing import Annotated

import typer

SIGNS = {"ok": ("✓", "v", "green"), "warning": ("!", "!", "yellow"), "broken": ("✗", "x", "red")}
"""Level -> its sign, the sign in ASCII, and its colour."""


def command(
    deep: Annotated[
        bool, typer.Option("--deep", help="Also load the model and look for a GPU, which takes about half a minute.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object for scripts.")] = False,
) -> None:
    """Check Python, settings, disk, checkpoint, jars, Kafka, Elasticsearch and Redis, and say how to fix problems.

    Each finding is one line: ✓ fine, ! a warning, ✗ broken. The command changes nothing, and takes at most 15
    seconds without --deep. The exit code is that of the gravest finding: 0 fine, 1 a warning, 2 broken.
    """
    import logging
    from dataclasses import asdict

    from rich.console import Console
    from rich.text import Text

    from cli.as_json import print_json
    from cli.doctor.checks import examine
    from cli.doctor.finding import LEVELS, gravest
    from core.text import one_line

    for verbose in ("elastic_transport", "elasticsearch"):
        logging.getLogger(verbose).setLevel(logging.CRITICAL)
    findings = examine(deep=deep)
    level = gravest(findings)
    code = LEVELS.index(level)
    if as_json:
        checks = [asdict(finding) for finding in findings]
        print_json({"ok": level != "broken", "level": level, "checks": checks})
        raise typer.Exit(code)
    console = Console(highlight=False, soft_wrap=True)
    width = max(len(finding.name) for finding in findings)

    def shown(text: str) -> str:  # a server may have written it
        return one_line(" ".join(text.split()))

    for finding in findings:
        sign, plain_sign, colour = SIGNS[finding.level]
        sign, arrow = (plain_sign, "->") if console.options.ascii_only else (sign, "→")
        line = Text.assemble((sign, f"bold {colour}"), f" {finding.name:<{width}}  {shown(finding.detail)}")
        console.print(line.append(f"  {arrow} {shown(finding.remedy)}", style="bold") if finding.remedy else line)
    counts = {kind: sum(finding.level == kind for finding in findings) for kind in LEVELS}
    told = [f"{counts['broken']} broken"] * bool(counts["broken"])
    told += [f"{counts['warning']} warning{'s' * (counts['warning'] > 1)}"] * bool(counts["warning"])
    console.print(", ".join(told) or "A worker has everything that it needs.")
    raise typer.Exit(code)
