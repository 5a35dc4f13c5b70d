"""`mner forget` erases a post, or all posts of an author, by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from streams.forgetting import Receipt

LATE = 1
"""Exit code when the workers have not applied the event in time."""


def command(
    post: Annotated[str | None, typer.Option(help="Id of the post to erase.")] = None,
    author: Annotated[str | None, typer.Option(help="Id of the author whose posts to erase, up to now.")] = None,
    wait_s: Annotated[
        float, typer.Option("--wait", min=0, help="Longest time, in seconds, to wait for a worker.")
    ] = 60.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object for scripts.")] = False,
) -> None:
    """Erase a post, or all posts of an author, and print a receipt.

    Sends the event and waits until a worker has applied it. An erased post cannot be restored.
    """
    import asyncio
    import sys

    from cli.as_json import print_json
    from cli.output import make_console
    from streams import forgetting, settings

    event = forgetting.erasing(post, author)
    console = make_console(stderr=True, highlight=False)
    if sys.stderr.isatty() and not as_json:
        with console.status("waiting until a worker has erased it"):
            receipt = asyncio.run(forgetting.forget(settings.load(), event, wait_s))
    else:
        receipt = asyncio.run(forgetting.forget(settings.load(), event, wait_s))
    if as_json:
        print_json(receipt.to_json())
    else:
        typer.echo("\n".join(_lines(receipt)))
    if not receipt.done:
        raise typer.Exit(LATE)


def _lines(receipt: Receipt) -> list[str]:
    found, left = receipt.found, receipt.left
    rows = {
        "subject": receipt.subject,
        "sent": receipt.sent_at,
        "done": receipt.done_at or "not yet: does a worker run with the agent erase? it applies it later",
        "index": f"documents: {found.documents} found, {left.documents} left",
        "queue": f"tasks: {found.tasks} found, {left.tasks} left; "
        f"decisions: {found.decisions} found, {left.decisions} left",
        **receipt.remains,
    }
    return [f"{where:<12} {what}" for where, what in rows.items()]
