"""`mner feed` sends the posts of a platform, or of a file, to Kafka. Each platform has a module in this folder."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

import typer

from cli import feeds

FILE = "file"
"""The command that `mner feed FILE` stands for."""


class FeedGroup(typer.core.TyperGroup):
    """A group whose first argument may also be a file. `./NAME` is a file that is named like a platform."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Puts `file` before the arguments unless they begin with the name of a command."""
        if args and args[0] not in {*self.commands, *ctx.help_option_names}:
            args = [FILE, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=FeedGroup,
    no_args_is_help=True,
    help="Send the posts of a platform, or those of a file (mner feed FILE), to the topic `tweets`.",
)


def _fill() -> None:
    """Adds each module of this folder that has a function `command`."""
    for found in pkgutil.iter_modules(feeds.__path__):
        if found.name == "command":
            continue
        module = importlib.import_module(f"{feeds.__name__}.{found.name}")
        if hasattr(module, "command"):
            app.command(found.name, help=getattr(module, "HELP", None))(module.command)


_fill()
