"""`python -m tests.fuzz --minutes 10 [--target NAME]`. The exit code is 1 if an input fails."""

from __future__ import annotations

import argparse

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from tests.fuzz.run import Outcome, run
from tests.fuzz.targets import TARGETS


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Runs every target with random inputs.")
    parser.add_argument("--minutes", type=float, default=10.0, help="time for all targets together")
    parser.add_argument("--target", action="append", choices=sorted(TARGETS), help="only this one; may be repeated")
    arguments = parser.parse_args()
    chosen = [TARGETS[name] for name in arguments.target or TARGETS]
    seconds = 60 * arguments.minutes / len(chosen)
    console, outcomes = Console(), dict[str, Outcome]()
    columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[cases]}"), TimeElapsedColumn()
    with Progress(*columns, console=console) as progress:
        for target in chosen:
            bar = progress.add_task(target.name, total=seconds, cases="")

            def show(outcome: Outcome, bar: object = bar) -> None:
                cases = f"{outcome.cases:,} cases, {len(outcome.failures)} failures"
                progress.update(bar, completed=min(seconds, outcome.seconds), cases=cases)  # type: ignore[arg-type]

            outcomes[target.name] = run(target, seconds, show)
    report(console, outcomes)
    raise SystemExit(any(outcome.failures for outcome in outcomes.values()))


def report(console: Console, outcomes: dict[str, Outcome]) -> None:
    table = Table("target", "cases", "per second", "failures")
    for name, outcome in outcomes.items():
        rate = outcome.cases / max(outcome.seconds, 1e-9)
        table.add_row(name, f"{outcome.cases:,}", f"{rate:,.0f}", str(len(outcome.failures)))
    console.print(table)
    for name, outcome in outcomes.items():
        for failure in outcome.failures.values():
            console.print(f"{name}: {failure.place}: {failure.error}", markup=False, highlight=False)
            console.print(f"  input: {failure.value}", markup=False, highlight=False)


if __name__ == "__main__":
    main()
