"""`mner config`: every setting, where it comes from, secrets masked."""

from __future__ import annotations

from typing import Annotated

import typer


def command(
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object instead of a table")] = False,
) -> None:
    """Show every setting with its value, its variable and what it means. Passwords inside URLs are masked."""
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
    table = Table("setting", "value", "means")
    for name, field in settings.Settings.model_fields.items():
        value = "" if values[name] is None else str(values[name])
        style = "bold" if name in config.model_fields_set else ""
        table.add_row(f"MNER_{name.upper()}", Text(one_line(value)), field.description or "", style=style)
    console = Console()
    console.print(table)
    console.print("Bold: set by the environment or .env; the others are defaults.")
