"""Tells and takes back corrections of names, for the page and for the API.

The audit log notes that somebody did. Which names it was stands in the correction, with the person and the time.
"""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import Request

from core.corrections import SameName, SplitName
from core.errors import Retry, UserError
from desk.access.audit import note
from desk.access.people import Person
from desk.entities.values import NewCorrection
from desk.services import Services


def known(services: Services) -> Sequence[SameName | SplitName]:
    """Returns all corrections, the newest first. Raises `Retry` while they are not known."""
    if services.corrections.problem:
        raise Retry(services.corrections.problem)
    return services.corrections.all()


async def tell(request: Request, person: Person, new: NewCorrection) -> SameName | SplitName:
    """Writes a correction. Raises `UserError` for one that says nothing, and `Retry`."""
    services: Services = request.app.state.services
    if new.kind == "same":
        if not new.of.strip():
            raise UserError("of: say which name it is the same as")
        await note(request, "joined names")
        return await services.corrections.join(new.name, new.of, person.name)
    if not new.surface.strip():
        raise UserError("surface: say which spelling is another name")
    await note(request, "split a name")
    return await services.corrections.split(new.surface, new.name, person.name)


async def take_back(request: Request, person: Person, key: str) -> SameName | SplitName | None:
    """Takes a correction back and returns it, or None if nobody said so. Raises `Retry`."""
    services: Services = request.app.state.services
    known(services)
    if services.corrections.get(key) is None:
        return None
    await note(request, "took a correction back")
    await services.corrections.withdraw(key, person.name)
    return services.corrections.get(key)
