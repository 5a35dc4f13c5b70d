"""Sessions of people who signed in: a signed cookie, which ends with the password, with time and at logout."""

from __future__ import annotations

import secrets
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Any

from pydantic import Field

from desk.access.people import ROLES, Person, Role
from desk.access.private_file import Content, PrivateFile
from desk.access.users import Users
from streams.settings import Desk

SEEN_S = 60.0
"""Time, in seconds, between two notes in the cookie that its person is active."""

Session = MutableMapping[str, Any]
"""The content of the cookie. Its browser can read it, and cannot change it."""


class _Key(Content):
    key: str = ""


class _Ended(Content):
    ended: dict[str, float] = Field(default_factory=dict)
    """Id of a session that was ended by hand -> the Unix time at which it would have ended by itself."""


def cookie_key(path: Path) -> str:
    """Returns the key that signs the cookies. Makes it at the first call. Raises as `PrivateFile` does."""
    return PrivateFile(path, _Key).change(lambda old: old if old.key else _Key(key=secrets.token_urlsafe(32))).key


class Sessions:
    """Begins, checks and ends sessions."""

    def __init__(self, desk: Desk, users: Users, ended: Path, clock: Callable[[], float]) -> None:
        """`ended`: the file of ended sessions. `clock` returns Unix seconds."""
        self._users = users
        self._ended = PrivateFile(ended, _Ended)
        self._clock = clock
        self._longest_s, self._idle_s = desk.session_hours * 3600, desk.idle_minutes * 60
        self._issuer = desk.oidc_issuer

    def id(self, session: Session) -> str:
        """Returns the id of the session. Begins one without a person if there is none."""
        if "id" not in session:
            session["id"] = secrets.token_urlsafe(16)
        found: str = session["id"]
        return found

    def begin_with_password(self, session: Session, name: str, password_id: str) -> None:
        """Puts a new session in place of the one before login, whose cookie somebody else may know."""
        self._begin(session, name, password_id=password_id)

    def begin_with_oidc(self, session: Session, name: str, roles: frozenset[Role]) -> None:
        """Like `begin_with_password`. The roles stay until the session ends."""
        self._begin(session, name, issuer=self._issuer, roles=sorted(roles))

    def person(self, session: Session) -> Person | None:
        """Returns the person of a session that is still valid. Clears any other session that had a person.

        Raises `UserError` for a file that cannot be used.
        """
        if "name" not in session:
            return None
        now = self._clock()
        found = self._person(session)
        is_over = now > session["start"] + self._longest_s or now > session["seen"] + self._idle_s
        if found is None or is_over or session["id"] in self._ended.read().ended:
            session.clear()
            return None
        if now > session["seen"] + SEEN_S:
            session["seen"] = now
        return found

    def end(self, session: Session) -> None:
        """Ends the session, also for copies of its cookie."""
        now = self._clock()
        if "name" in session:
            end = {session["id"]: session["start"] + self._longest_s}
            self._ended.change(
                lambda old: _Ended(ended={id: until for id, until in (old.ended | end).items() if until > now})
            )
        session.clear()

    def _begin(self, session: Session, name: str, **more: Any) -> None:
        now = self._clock()
        session.clear()
        session.update(id=secrets.token_urlsafe(16), name=name, start=now, seen=now, **more)

    def _person(self, session: Session) -> Person | None:
        name: str = session["name"]
        if "password_id" in session:
            user = self._users.get(name)
            if user is None or user.password_id != session["password_id"]:
                return None
            return Person(name, frozenset(user.roles), "password")
        if self._issuer is None or session.get("issuer") != self._issuer:
            return None
        return Person(name, frozenset(role for role in ROLES if role in session["roles"]), "oidc")
