"""The HTTP session below tweepy: another address if wanted, our token, and a time limit on every request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests
import requests.auth

from core.errors import UserError
from core.text import without_secrets
from streams.secrets import secret_of

if TYPE_CHECKING:
    from streams.settings import Settings

SERVER = "https://api.x.com"
TWEEPY_SERVER = "https://api.twitter.com"
"""tweepy knows no other address, and puts it before every path."""

CONNECT_S = 10.0
"""Longest time, in seconds, that a connection may take to open."""


class ApiSession(requests.Session):
    """Sends tweepy's requests to `server`.

    The token is added below tweepy, which writes its requests with their headers to its log.
    """

    def __init__(self, token: str, server: str = SERVER, read_s: float = 20.0) -> None:
        """`read_s`: longest silence, in seconds, of a server that was asked something."""
        super().__init__()
        self.auth = _Bearer(checked(token))
        self.headers["Accept-Encoding"] = "identity"  # a decoder could hold posts back
        self._server, self._timeout = server.rstrip("/"), (CONNECT_S, read_s)

    def request(self, method: Any, url: Any, *args: Any, **options: Any) -> requests.Response:
        """Sends a request to the server in place of tweepy's own one."""
        path = str(url).removeprefix(TWEEPY_SERVER)
        return super().request(method, self._server + path, *args, **(options | {"timeout": self._timeout}))


class _Bearer(requests.auth.AuthBase):
    def __init__(self, token: str) -> None:
        self._header = f"Bearer {token}"

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = self._header
        return request


def checked(token: str) -> str:
    """Returns the token without blanks around it. Raises `UserError` for one that fits no header. Never shows it."""
    token = token.strip()
    if not token or not token.isascii() or any(char.isspace() or not char.isprintable() for char in token):
        raise UserError("MNER_X_TOKEN holds no bearer token: it has blanks or letters that no token has; copy it again")
    return token


def token_of(settings: Settings) -> str:
    """Returns the token of these settings. Raises `UserError` if there is none, or if its file cannot be read."""
    token = secret_of(settings, "x_token")
    if token is None:
        raise UserError(
            "no token for X: set MNER_X_TOKEN to the bearer token of your app at developer.x.com, "
            "or MNER_X_TOKEN_FILE to a file that holds it"
        )
    return checked(token)


def address(server: str) -> str:
    """Returns the address of a server. Raises `UserError` if it is none of HTTP."""
    try:
        parts = urlsplit(server)
        is_address = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        is_address = False
    if not is_address or "?" in server or "#" in server:
        raise UserError(f"--server {without_secrets(server)!r} is no address; write https://HOST or http://HOST:PORT")
    return server.rstrip("/")
