"""`mner dead-letters` shows the events that could not be processed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cli.as_json import print_json
from cli.output import make_console
from streams.settings import load

if TYPE_CHECKING:
    from rich.text import Text

    from sinks.dead_letters import Letter

app = typer.Typer(no_args_is_help=True, help="Show the events that could not be processed, with the reasons.")


@app.callback()
def group() -> None:
    """Keeps `list` as a command: without a callback, Typer would merge the only command of a group into the group."""


@app.command("list")
def list_(
    limit: Annotated[int, typer.Option(min=1, help="Largest number of dead letters to show.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON array for scripts.")] = False,
) -> None:
    """Show the newest dead letters, the oldest of them first.

    Each comes with its reason, its place in Kafka and the beginning of the event.
    """
    from sinks.dead_letters import read
    from streams import servers, topics

    settings = load()
    letters = read(servers.kafka(settings), settings.name(topics.DEAD), newest=limit)
    if as_json:
        print_json([{"at": letter.at.isoformat(), **letter.letter.model_dump(mode="json")} for letter in letters])
        return
    console = make_console(highlight=False)
    for letter in letters:
        console.print(_rendered(letter, console.width), end="\n\n")
    console.print(f"{len(letters)} shown", style="dim")


def _rendered(letter: Letter, width: int) -> Text:
    from rich.text import Text

    from core.text import one_line

    dead = letter.letter
    text = Text.assemble(
        (f"{letter.at:%Y-%m-%d %H:%M:%S}", "dim"),
        (f"  {one_line(dead.stage)}", "bold"),
        f"  {one_line(dead.reason)}",
        (f"\n  {one_line(dead.topic)}[{dead.partition}] at {dead.offset}, key {one_line(dead.key or 'none')}", "dim"),
    )
    if dead.value is not None:
        value = Text(f"{'' if dead.encoding == 'utf-8' else dead.encoding + ' '}{one_line(dead.value)}")
        value.truncate(width - 2, overflow="ellipsis")
        text.append("\n  ").append_text(value)
    return text
