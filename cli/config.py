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
    from rich.table import Table
    from rich.text import Text

    from cli.as_json import print_json
    from cli.output import make_console
    from core.text import one_line
    from streams import settings
    from streams.addresses import masked

    config = settings.load()
    unmasked = {variable.key: variable.value(config) for variable in settings.VARIABLES}
    values = {key: None if value is None else masked(value) for key, value in unmasked.items()}
    if as_json:
        print_json(values)
        return
    table = Table("setting", "value", "meaning")
    for variable in settings.VARIABLES:
        style = "bold" if variable.is_set(config) else ""
        table.add_row(variable.name, Text(one_line(values[variable.key] or "")), variable.description, style=style)
    console = make_console()
    console.print(table)
    console.print("Bold settings come from the environment or from .env. The others are defaults.")
