"""The person behind a request, and what a role may do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from fastapi import Depends, HTTPException, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

Role = Literal["reviewer", "analyst", "admin"]
"""A reviewer decides tasks. An analyst searches and exports. An admin may do both, and sees the audit log."""

ROLES: tuple[Role, ...] = get_args(Role)
Way = Literal["owner", "password", "oidc", "token"]
"""How a person came in. The owner started the desk, and needs no login."""

_described = HTTPBearer(auto_error=False, description="A token of `mner desk tokens add`.")
"""Names the tokens in the OpenAPI description. `desk.access.gate` checks them."""


@dataclass(frozen=True)
class Person:
    """Somebody who uses the desk. `name` stands in decisions and in the audit log."""

    name: str
    roles: frozenset[Role]
    way: Way = "owner"

    def may(self, role: Role) -> bool:
        """Whether the person may do what `role` may do."""
        return role in self.roles or "admin" in self.roles


def person(request: Request, _: Annotated[HTTPAuthorizationCredentials | None, Depends(_described)] = None) -> Person:
    """Returns the person who sent the request. Raises HTTP 401 where there is none."""
    found: Person | None = getattr(request.state, "person", None)
    if found is None:
        raise HTTPException(401, "please sign in", {"WWW-Authenticate": "Bearer"})
    return found


Somebody = Annotated[Person, Depends(person)]
"""Any person who is signed in."""


def needs(*roles: Role) -> Callable[[Person], Person]:
    """Returns a dependency that lets a person pass who has one of these roles. Others get HTTP 403."""

    def check(found: Somebody) -> Person:
        if not any(found.may(role) for role in roles):
            raise HTTPException(403, f"this page is for the role {' or '.join(roles)}; ask an admin for it")
        return found

    return check


Reviewer = Annotated[Person, Depends(needs("reviewer"))]
Analyst = Annotated[Person, Depends(needs("analyst"))]
Admin = Annotated[Person, Depends(needs("admin"))]
