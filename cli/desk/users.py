"""`mner desk users` keeps the users of the desk."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streams.settings import load

if TYPE_CHECKING:
    from desk.access.people import Role

app = typer.Typer(no_args_is_help=True, help="Add, change, remove or list the users of the desk.")


class RoleName(StrEnum):
    """What a user may do."""

    reviewer = "reviewer"
    analyst = "analyst"
    admin = "admin"


Name = Annotated[str, typer.Argument(metavar="NAME")]
Roles = Annotated[list[RoleName], typer.Option("--role", help="What NAME may do. Repeat it for several roles.")]
PasswordFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="File that holds the password. By default, it is asked for.")
]


@app.command()
def add(name: Name, role: Roles, password_file: PasswordFile = None) -> None:
    """Add a user. A running desk knows the user at once."""
    from desk.access.access import users_of
    from desk.access.users import check_name

    check_name(name)
    settings = load()
    users_of(settings).add(name, _password(password_file), roles(role))
    note("user added", name=name, roles=list(roles(role)))
    typer.echo(f"{name} may now sign in")


@app.command()
def passwd(name: Name, password_file: PasswordFile = None) -> None:
    """Change a password. The sessions of this user end at once."""
    from core.errors import UserError
    from desk.access.access import users_of

    users = users_of(load())
    if users.get(name) is None:
        raise UserError(f"there is no user {name!r}; `mner desk users list` shows the names")
    users.set_password(name, _password(password_file))
    note("password changed", name=name)
    typer.echo(f"{name} has a new password")


@app.command("roles")
def set_roles(name: Name, role: Roles) -> None:
    """Change what a user may do. It counts from the next request on, also in open sessions."""
    from desk.access.access import users_of

    users_of(load()).set_roles(name, roles(role))
    note("roles changed", name=name, roles=list(roles(role)))
    typer.echo(f"{name} is now {', '.join(roles(role))}")


@app.command()
def remove(name: Name) -> None:
    """Remove a user. The sessions of this user end at once."""
    from desk.access.access import users_of

    users_of(load()).remove(name)
    note("user removed", name=name)
    typer.echo(f"{name} is removed")


@app.command("list")
def list_() -> None:
    """List the users with their roles, and when their passwords were set."""
    from cli.output import make_console
    from desk.access.access import users_of

    console = make_console(highlight=False)
    for name, user in sorted(users_of(load()).all().items()):
        console.print(f"{name}  {', '.join(user.roles)}  password of {user.changed:%Y-%m-%d}", markup=False)


def roles(names: list[RoleName]) -> tuple[Role, ...]:
    """Returns the roles without repetition."""
    return tuple(dict.fromkeys(name.value for name in names))


def note(action: str, **what: str | list[str] | int | None) -> None:
    """Notes a change in the audit log of the desk, as done by who runs the command."""
    from desk.access.access import audit_of, owner_name

    audit_of(load()).write(owner_name(), "terminal", "", action, **what)


def _password(file: Path | None) -> str:
    from core import secret
    from core.errors import UserError

    if file is None:
        return str(typer.prompt("Password", hide_input=True, confirmation_prompt="Again"))
    try:
        return secret.read_file(file)
    except ValueError as error:
        raise UserError(f"--password-file {file}: {error}") from None
