"""`mner config` prints the settings."""

from __future__ import annotations

from typing import Annotated

import typer


def command(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object for scripts.")] = False,
) -> None:
    """Show every setting: its variable, its value and its meaning.

    Passwords inside URLs are masked.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from cli.as_json import print_json
    from core.text import one_line
    from streams import settings

    config = settings.load()
    values = {
        name: None if getattr(config, name) is None else settings.masked(getattr(config, name))
        for name in settings.Settings.model_fields
    }
    if as_json:
        print_json(values)
        return
    table = Table("setting", "value", "meaning")
    for name, field in settings.Settings.model_fields.items():
        value = "" if values[name] is None else str(values[name])
        style = "bold" if name in config.model_fields_set else ""
        table.add_row(f"MNER_{name.upper()}", Text(one_line(value)), field.description or "", style=style)
    console = Console()
    console.print(table)
    console.print("Bold settings come from the environment or from .env. The others are defaults.")
