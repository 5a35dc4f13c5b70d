"""API tokens, in a file.

The file holds SHA-256 of each token. A slow hash such as argon2 protects passwords, which can be guessed. A token is
256 random bits, which cannot, so a fast hash is as safe, and it may be checked at each request.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from core.errors import UserError
from desk.access.people import Person, Role
from desk.access.private_file import Content, PrivateFile
from desk.access.users import check_name

BEGIN = "mner_"
"""The beginning of each token, so that scanners for secrets find tokens in source code."""

PERSON = "token:"
"""The beginning of the name of the person that a token stands for. No user's name has a colon."""


class Token(BaseModel):
    """What is stored about a token. `expires` is None if it never does."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    roles: tuple[Role, ...] = Field(min_length=1)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    made: datetime
    expires: datetime | None = None


class _Content(Content):
    tokens: dict[str, Token] = Field(default_factory=dict)


class Tokens:
    """The tokens of a file. A change of the file counts at once, whoever makes it."""

    def __init__(self, path: Path, clock: Callable[[], float]) -> None:
        """`clock` returns Unix seconds."""
        self._file = PrivateFile(path, _Content)
        self._clock = clock

    def all(self) -> dict[str, Token]:
        """Returns the tokens by name. Raises `UserError` for a file that cannot be used."""
        return self._file.read().tokens

    def add(self, name: str, roles: tuple[Role, ...], days: int | None) -> str:
        """Returns a new token. It is stored nowhere. Raises `UserError` for a name in use, or not allowed."""
        check_name(name)
        secret = BEGIN + secrets.token_urlsafe(32)
        now = datetime.fromtimestamp(self._clock(), UTC).replace(microsecond=0)
        new = Token(
            roles=tuple(sorted(set(roles))),
            sha256=_digest(secret),
            made=now,
            expires=now + timedelta(days=days) if days else None,
        )

        def change(content: _Content) -> _Content:
            if name in content.tokens:
                raise UserError(f"there is a token {name!r} already; remove it first")
            return _Content(tokens=content.tokens | {name: new})

        self._file.change(change)
        return secret

    def remove(self, name: str) -> None:
        """Removes a token. Raises `UserError` for an unknown one."""

        def change(content: _Content) -> _Content:
            if name not in content.tokens:
                raise UserError(f"there is no token {name!r}; `mner desk tokens list` shows the names")
            return _Content(tokens={other: token for other, token in content.tokens.items() if other != name})

        self._file.change(change)

    def person(self, secret: str) -> Person | None:
        """Returns the person that the token stands for, or None if it is unknown or has expired.

        The search stops at the right hash, so its time tells something about hashes. It tells nothing about tokens.
        """
        digest = _digest(secret)
        for name, token in self.all().items():
            if token.sha256 == digest:
                is_valid = token.expires is None or self._clock() < token.expires.timestamp()
                return Person(PERSON + name, frozenset(token.roles), "token") if is_valid else None
        return None


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
