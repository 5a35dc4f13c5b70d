"""`mner queue` shows the tasks that wait for a person."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import TYPE_CHECKING, Annotated

import typer

from cli.as_json import print_json
from cli.output import make_console
from streams.settings import load

if TYPE_CHECKING:
    from rich.text import Text

    from sinks.queue import Counts, Entry

app = typer.Typer(no_args_is_help=True, help="List or count the tasks of the review queue.")


@app.command("list")
def list_(
    limit: Annotated[int, typer.Option(min=1, help="Largest number of tasks to show.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON array for scripts.")] = False,
) -> None:
    """List the tasks, the most uncertain first, with the reason for each question.

    A leased task is shown with its reviewer.
    """
    entries, counts = asyncio.run(_read(limit))
    if as_json:
        # `until` is in Unix seconds, and null while the task has no reviewer
        print_json([{**e.task.model_dump(mode="json"), "reviewer": e.reviewer, "until": e.until} for e in entries])
        return
    console = make_console(highlight=False)
    for entry in entries:
        console.print(rendered(entry), end="\n\n")
    hidden = max(0, counts.open + counts.leased - len(entries))
    console.print(f"{len(entries)} shown, {hidden} more; {counts.decided} settled", style="dim")


@app.command("counts")
def counts_(
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object for scripts.")] = False,
) -> None:
    """Count the open tasks, the tasks leased to a reviewer, and the decided tasks."""
    _, counts = asyncio.run(_read(0))
    if as_json:
        print_json(dataclasses.asdict(counts))
    else:
        print(f"open {counts.open}\nleased {counts.leased}\ndecided {counts.decided}")


def rendered(entry: Entry) -> Text:
    """Returns a task for the terminal: its uncertainty, the post with its mentions marked, and each question."""
    from rich.text import Text

    from core.text import one_line
    from review.marks import draw_work
    from review.work import begin

    task = entry.task
    text = Text.assemble((f"{task.uncertainty:.2f}", "bold"), (f"  post {task.tweet.id}", "dim"))
    if entry.reviewer:
        text.append(f"  with {one_line(entry.reviewer)}", style="dim")
    text.append("\n").append_text(draw_work(begin(task), show_current=False))
    for question in task.questions:
        reasons = "; ".join(one_line(reason.sentence) for reason in question.reasons)
        kind = "candidate " if question.is_candidate else ""
        text.append(f"\n  {kind}“{one_line(question.mention.text)}”: {reasons}", style="dim")
    return text


async def _read(limit: int) -> tuple[list[Entry], Counts]:
    from sinks.queue import ReviewQueue
    from streams.servers import address

    settings = load()
    queue = ReviewQueue(address(settings, "redis"), settings.name("review:"))
    try:
        return (await queue.list(limit) if limit else []), await queue.counts()
    finally:
        await queue.close()
