"""Users with passwords, in a file."""

from __future__ import annotations

import re
import secrets
import unicodedata
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from argon2 import PasswordHasher, extract_parameters
from argon2.exceptions import InvalidHashError, VerificationError
from pydantic import BaseModel, ConfigDict, Field, field_validator

from core.errors import UserError
from desk.access.people import Role
from desk.access.private_file import Content, PrivateFile

SHORTEST = 15
"""Shortest password, in characters: NIST SP 800-63B-4, section 3.1.1.2, for a password without a second factor."""

LONGEST = 256
"""Longest password, in characters. The standard asks for 64 or more."""

FEWEST = 5
"""Number of different characters that a password needs."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")


class User(BaseModel):
    """A user. `password_id` changes with the password, so that sessions of the old password end."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    roles: tuple[Role, ...] = Field(min_length=1)
    hash: str
    password_id: str
    changed: datetime

    @field_validator("hash")
    @classmethod
    def _is_argon2(cls, value: str) -> str:
        try:
            extract_parameters(value)
        except InvalidHashError:
            raise ValueError("is not a hash of argon2") from None
        return value


class _Content(Content):
    users: dict[str, User] = Field(default_factory=dict)


class Users:
    """The users of a file. A change of the file counts at once, whoever makes it."""

    def __init__(self, path: Path, hasher: PasswordHasher | None = None) -> None:
        """`hasher`: by default with the parameters of RFC 9106, section 4, for little memory."""
        self.path = path
        self._file = PrivateFile(path, _Content)
        self._hasher = hasher or PasswordHasher()

    def all(self) -> dict[str, User]:
        """Returns the users by name. Raises `UserError` for a file that cannot be used."""
        return self._file.read().users

    def get(self, name: str) -> User | None:
        """Returns the user of this name. Raises as `all` does."""
        return self.all().get(name)

    def add(self, name: str, password: str, roles: tuple[Role, ...]) -> None:
        """Adds a user. Raises `UserError` for a name in use, and for a name or password that is not allowed."""
        check_name(name)
        new = self._user(name, password, roles)

        def change(content: _Content) -> _Content:
            if name.casefold() in map(str.casefold, content.users):
                raise UserError(f"there is a user {name!r} already; `mner desk users passwd` changes the password")
            return _Content(users=content.users | {name: new})

        self._file.change(change)

    def set_password(self, name: str, password: str) -> None:
        """Changes a password. Raises `UserError` as `add` does, and for an unknown user."""

        def change(content: _Content) -> _Content:
            new = self._user(name, password, _known(content, name).roles)
            return _Content(users=content.users | {name: new})

        self._file.change(change)

    def set_roles(self, name: str, roles: tuple[Role, ...]) -> None:
        """Changes what a user may do, from the next request on. Raises `UserError` for an unknown user."""

        def change(content: _Content) -> _Content:
            new = _known(content, name).model_copy(update={"roles": tuple(sorted(set(roles)))})
            return _Content(users=content.users | {name: new})

        self._file.change(change)

    def remove(self, name: str) -> None:
        """Removes a user. Raises `UserError` for an unknown one."""

        def change(content: _Content) -> _Content:
            _known(content, name)
            return _Content(users={other: user for other, user in content.users.items() if other != name})

        self._file.change(change)

    def verify(self, name: str, password: str) -> User | None:
        """Returns the user if the password is right. Takes as long for a name that is not known.

        A hash with other parameters than ours is replaced. Blocks for about 50 ms, and needs 64 MiB of memory.
        """
        user, stranger = self.get(name), self._stranger
        normal = _normal(password[: LONGEST + 1])
        try:
            self._hasher.verify(user.hash if user else stranger, normal)
        except (VerificationError, InvalidHashError):
            return None
        if user and self._hasher.check_needs_rehash(user.hash):
            self._rehash(name, user, normal)
        return user

    def _rehash(self, name: str, old: User, normal: str) -> None:
        new = old.model_copy(update={"hash": self._hasher.hash(normal)})

        def change(content: _Content) -> _Content:
            return _Content(users=content.users | ({name: new} if content.users.get(name) == old else {}))

        self._file.change(change)

    @cached_property
    def _stranger(self) -> str:
        """A hash that no password has."""
        return self._hasher.hash(secrets.token_urlsafe(32))

    def _user(self, name: str, password: str, roles: tuple[Role, ...]) -> User:
        normal = _normal(password)
        check_password(name, normal)
        return User(
            roles=tuple(sorted(set(roles))),
            hash=self._hasher.hash(normal),
            password_id=secrets.token_hex(8),
            changed=datetime.now(UTC).replace(microsecond=0),
        )


def check_name(name: str) -> None:
    """Raises `UserError` for a name that no user or token may have."""
    if not NAME.fullmatch(name):
        raise UserError(f"{name!r} is no name for it: use up to 64 of A-Z a-z 0-9 . _ @ -, a letter or digit first")


def check_password(name: str, password: str) -> None:
    """Raises `UserError` for a password that is easy to guess."""
    if len(password) < SHORTEST:
        raise UserError(f"the password has {len(password)} characters: use {SHORTEST} or more, such as four words")
    if len(password) > LONGEST:
        raise UserError(f"the password is longer than {LONGEST} characters")
    if len(set(password)) < FEWEST or not password.casefold().replace(name.casefold(), "").strip():
        raise UserError("the password is easy to guess: use several words that have nothing to do with you")


def _normal(password: str) -> str:
    """Returns the password in one form of Unicode, since keyboards differ in how they write a letter."""
    return unicodedata.normalize("NFKC", password)


def _known(content: _Content, name: str) -> User:
    if name not in content.users:
        raise UserError(f"there is no user {name!r}; `mner desk users list` shows the names")
    return content.users[name]
