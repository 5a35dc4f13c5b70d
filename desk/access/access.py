"""Everything that decides who may use the desk, made from the settings."""

from __future__ import annotations

import getpass
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import UserError
from core.threads import Threads
from desk.access import hosts
from desk.access.audit import AuditLog
from desk.access.csrf import Csrf
from desk.access.devices import Devices
from desk.access.limits import Attempts
from desk.access.people import Person, Role
from desk.access.sessions import Session, Sessions, cookie_key
from desk.access.tokens import Tokens
from desk.access.users import Users
from streams import servers
from streams.secrets import secret_of
from streams.settings import Settings

if TYPE_CHECKING:
    from desk.access.oidc import Oidc


class Access:
    """The parts of access control. One for a whole desk."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        """`clock` returns Unix seconds.

        Raises `UserError` when anybody could use the desk, when settings do not fit together, and for files that
        cannot be used.
        """
        desk, folder = settings.desk, folder_of(settings)
        self.desk = desk
        self.owner = Person(owner_name(), frozenset({"admin"}))
        #: For whatever reads or writes the desk's own files. Another process may hold their locks.
        self.files = Threads("files", 4)
        self.users = users_of(settings)
        self.tokens = tokens_of(settings, clock)
        self.audit = audit_of(settings, clock)
        self.oidc = _oidc(settings)
        self.hosts = hosts.names(desk)
        self._is_closed = self._must_be_closed()
        self.key = cookie_key(folder / "key.json")
        self.csrf = Csrf(self.key, desk.url)
        self.devices = Devices(self.key, has_https=self.has_https)
        #: Whether an address tells people apart. Behind a proxy that is not named, all have its address.
        self.has_addresses = not hosts.has_unnamed_proxy(desk)
        self.sessions = Sessions(desk, self.users, folder / "ended.json", clock)
        self.attempts = Attempts(lambda: servers.redis(settings), settings.name("desk:"), clock)

    @property
    def is_open(self) -> bool:
        """Whether the desk needs no login. Once there are users, it needs one until it is restarted."""
        self._is_closed = self._is_closed or self.users.path.exists()
        return not self._is_closed

    @property
    def has_passwords(self) -> bool:
        """Whether people can sign in with a password. Raises `UserError` for a file that cannot be used."""
        return bool(self.users.all())

    @property
    def has_https(self) -> bool:
        """Whether people reach the desk over TLS, by its settings."""
        return self.desk.url is not None and self.desk.url.startswith("https:")

    def who(self, session: Session) -> tuple[bool, Person | None]:
        """Returns whether nobody needs to sign in, and the person of the session. Blocks. Raises as it does."""
        return (True, self.owner) if self.is_open else (False, self.sessions.person(session))

    def may_still(self, name: str, role: Role) -> bool:
        """Whether somebody who is not here may do what `role` may do: a user, a token, or a person of the provider.

        Of the provider's people, only they themselves can prove their roles, so they count as long as there is one.
        Blocks. Raises `UserError` for a file that cannot be used.
        """
        if self.is_open:
            return True
        roles: set[Role] = set()
        if user := self.users.get(name):
            roles |= set(user.roles)
        elif token := self.tokens.all().get(name):
            roles |= set(token.roles)
        else:
            return self.oidc is not None
        return bool(roles & {role, "admin"})

    async def close(self) -> None:
        await self.attempts.close()

    def _must_be_closed(self) -> bool:
        host, _ = hosts.listener(self.desk)
        has_file = self.desk.users is not None or self.users.path.exists()
        is_reached = not hosts.is_loopback(host) or hosts.is_behind_proxy(self.desk)
        is_closed = is_reached or has_file or self.oidc is not None
        if is_closed and self.oidc is None and not self.has_passwords:
            raise UserError(
                f"nobody could sign in to the desk at {self.desk.listen}, since {self.users.path} has no users: "
                "add one with `mner desk users add NAME --role admin`, or set MNER_DESK_OIDC_ISSUER"
            )
        return is_closed


def folder_of(settings: Settings) -> Path:
    """Returns the folder of the desk's own files."""
    return settings.home / "desk"


def users_of(settings: Settings) -> Users:
    return Users(settings.desk.users or folder_of(settings) / "users.json")


def tokens_of(settings: Settings, clock: Callable[[], float] = time.time) -> Tokens:
    return Tokens(folder_of(settings) / "tokens.json", clock)


def audit_of(settings: Settings, clock: Callable[[], float] = time.time) -> AuditLog:
    return AuditLog(folder_of(settings) / "audit.jsonl", clock, settings.desk.audit_days)


def owner_name() -> str:
    """Returns the login name of who runs this process, or the user's number if it has no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user-{os.getuid()}"


def _oidc(settings: Settings) -> Oidc | None:
    desk = settings.desk
    secret = secret_of(settings, "desk.oidc_secret")
    if desk.oidc_issuer is None:
        if desk.oidc_client or secret:
            raise UserError("MNER_DESK_OIDC_CLIENT or its secret is set, but no MNER_DESK_OIDC_ISSUER")
        return None
    if desk.oidc_client is None:
        raise UserError("MNER_DESK_OIDC_ISSUER is set: set MNER_DESK_OIDC_CLIENT as well")
    from desk.access.oidc import Oidc

    return Oidc(desk.oidc_issuer, desk.oidc_client, secret, desk.oidc_name, desk.oidc_roles)
