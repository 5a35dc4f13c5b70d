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
    from streams.addresses import masked

    config = settings.load()
    given = {variable.key: variable.value(config) for variable in settings.VARIABLES}
    values = {key: None if value is None else masked(value) for key, value in given.items()}
    if as_json:
        print_json(values)
        return
    table = Table("setting", "value", "means")
    for variable in settings.VARIABLES:
        style = "bold" if variable.is_set(config) else ""
        table.add_row(variable.name, Text(one_line(values[variable.key] or "")), variable.description, style=style)
    console = Console()
    console.print(table)
    console.print("Bold: set by the environment or .env; the others are defaults.")
