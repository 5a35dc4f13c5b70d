"""`mner desk tokens` keeps the API tokens of the desk."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.desk.users import Name, Roles, note, roles
from streams.settings import load

app = typer.Typer(no_args_is_help=True, help="Add, remove or list the API tokens of the desk.")


@app.command()
def add(
    name: Name,
    role: Roles,
    days: Annotated[int | None, typer.Option(min=1, max=36_500, help="Days until it expires. Default: never.")] = None,
) -> None:
    """Print a new token. It is shown once, and not stored."""
    from desk.access.access import tokens_of

    token = tokens_of(load()).add(name, roles(role), days)
    note("token added", name=name, roles=list(roles(role)), days=days)
    typer.echo(token)


@app.command()
def remove(name: Name) -> None:
    """Remove a token. It ends at once."""
    from desk.access.access import tokens_of

    tokens_of(load()).remove(name)
    note("token removed", name=name)
    typer.echo(f"{name} is removed")


@app.command("list")
def list_() -> None:
    """List the tokens with their roles and dates. The tokens themselves are not known any more."""
    from cli.output import make_console
    from desk.access.access import tokens_of

    console = make_console(highlight=False)
    for name, token in sorted(tokens_of(load()).all().items()):
        end = f"expires {token.expires:%Y-%m-%d}" if token.expires else "never expires"
        console.print(f"{name}  {', '.join(token.roles)}  made {token.made:%Y-%m-%d}  {end}", markup=False)
