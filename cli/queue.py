"""`mner queue`: what waits for a person, the most uncertain first, and why."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import TYPE_CHECKING, Annotated

import typer

from cli.as_json import print_json
from streams.settings import load

if TYPE_CHECKING:
    from rich.text import Text

    from sinks.queue import Counts, Entry

app = typer.Typer(no_args_is_help=True, help="The review queue: list it, most uncertain first, or count it.")


@app.command("list")
def list_(
    limit: Annotated[int, typer.Option(min=1, help="Tasks to show at most.")] = 20,
    json: Annotated[bool, typer.Option("--json", help="A JSON array, for scripts.")] = False,
) -> None:
    """Tweets with uncertain mentions, and why the model doubts. Leased ones are shown with their reviewer."""
    entries, counts = asyncio.run(_read(limit))
    if json:
        # until: unix seconds, none while nobody has the task
        print_json([{**e.task.model_dump(mode="json"), "reviewer": e.reviewer, "until": e.until} for e in entries])
        return
    from rich.console import Console

    console = Console(highlight=False)
    for entry in entries:
        console.print(shown(entry), end="\n\n")
    rest = max(0, counts.open + counts.leased - len(entries))
    console.print(f"{len(entries)} shown, {rest} more; {counts.decided} settled", style="dim")


@app.command("counts")
def counts_(json: Annotated[bool, typer.Option("--json", help="A JSON object, for scripts.")] = False) -> None:
    """How many tasks wait, are being worked on, and are settled."""
    _, counts = asyncio.run(_read(0))
    if json:
        print_json(dataclasses.asdict(counts))
    else:
        print(f"open {counts.open}\nleased {counts.leased}\ndecided {counts.decided}")


def shown(entry: Entry) -> Text:
    """A task for people: how uncertain, the tweet with its mentions marked, and why each question is asked."""
    from rich.text import Text

    from core.text import one_line
    from review.marks import draw_work
    from review.work import begin

    task = entry.task
    text = Text.assemble((f"{task.uncertainty:.2f}", "bold"), (f"  tweet {task.tweet.id}", "dim"))
    if entry.reviewer:
        text.append(f"  with {one_line(entry.reviewer)}", style="dim")
    text.append("\n").append_text(draw_work(begin(task), show_current=False))
    for question in task.questions:
        reasons = "; ".join(one_line(reason.sentence) for reason in question.reasons)
        kind = "possibly missed: " if question.is_candidate else ""
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
