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

    from sinks.queue.values import Counts, Entry

app = typer.Typer(no_args_is_help=True, help="List or count the tasks of the review queue.")


@app.command("list")
def list_(
    limit: Annotated[int, typer.Option(min=1, help="Largest number of tasks to show.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON array for scripts.")] = False,
) -> None:
    """List the tasks in the order of the queue, with the reason for each question. Uncertain and old ones come first.

    A leased task is shown with its reviewer.
    """
    entries, counts, _ = asyncio.run(_read(limit))
    if as_json:
        # `until` is in Unix seconds, and null while the task has no reviewer
        print_json(
            [
                {**e.task.model_dump(mode="json"), "reviewer": e.reviewer, "until": e.until, "copies": e.copies}
                for e in entries
            ]
        )
        return
    console = make_console(highlight=False)
    for entry in entries:
        console.print(rendered(entry), end="\n\n")
    hidden = max(0, counts.open + counts.leased + counts.disputed + counts.flagged - len(entries))
    waiting = f"; {counts.copies} copies wait for one of them" if counts.copies else ""
    console.print(f"{len(entries)} shown, {hidden} more; {counts.decided} settled{waiting}", style="dim")


@app.command("counts")
def counts_(
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object for scripts.")] = False,
) -> None:
    """Count the open, leased and decided tasks, the copies that wait, and the disputed and the flagged tasks.

    A disputed task is one on which the votes differ. A flagged one was left to somebody else. `oldest` is when the
    post of the oldest undecided task was received, in UTC.
    """
    from datetime import UTC, datetime

    _, counts, since = asyncio.run(_read(0))
    oldest = None if since is None else datetime.fromtimestamp(since, UTC).isoformat(timespec="seconds")
    found = dataclasses.asdict(counts) | {"oldest": oldest}
    del found["skipped"]  # of a session, and here is none
    if as_json:
        print_json(found)
    else:
        print("\n".join(f"{name} {'-' if number is None else number}" for name, number in found.items()))


def rendered(entry: Entry) -> Text:
    """Returns a task for the terminal: its uncertainty, the post with its mentions marked, and each question."""
    from rich.text import Text

    from core.text import one_line
    from review.drawing import and_copies
    from review.marks import draw_work
    from review.work import begin

    task = entry.task
    text = Text.assemble((f"{task.uncertainty:.2f}", "bold"), (f"  post {task.tweet.id}", "dim"))
    if entry.copies:
        text.append(f"  {and_copies(entry.copies)}", style="dim")
    if entry.reviewer:
        text.append(f"  with {one_line(entry.reviewer)}", style="dim")
    text.append("\n").append_text(draw_work(begin(task), show_current=False))
    for question in task.questions:
        reasons = "; ".join(one_line(reason.sentence) for reason in question.reasons)
        kind = "candidate " if question.is_candidate else ""
        text.append(f"\n  {kind}“{one_line(question.mention.text)}”: {reasons}", style="dim")
    return text


async def _read(limit: int) -> tuple[list[Entry], Counts, float | None]:
    from sinks.queue.queue import ReviewQueue
    from streams import servers

    settings = load()
    queue = ReviewQueue(servers.redis(settings), settings.name("review:"))
    try:
        return (await queue.list(limit) if limit else []), await queue.counts(), await queue.waiting_since()
    finally:
        await queue.close()
