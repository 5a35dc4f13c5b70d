"""Browsers on which somebody has signed in before: a signed cookie that outlives the session.

Tries to sign in count apart for such a browser and its name. Whoever guesses passwords elsewhere makes others wait who
try the same name or come from the same address, but not the person on the browser that they always use (OWASP, "Slow
Down Online Guessing Attacks with Device Cookies").
"""

from __future__ import annotations

import secrets

from itsdangerous import BadSignature, URLSafeSerializer
from starlette.requests import Request
from starlette.responses import Response

KEEP_S = 180 * 86_400
"""Time, in seconds, that a browser counts as known after it signed in."""


class Devices:
    """Marks browsers, and knows them again. The mark opens nothing: the password is still needed."""

    def __init__(self, key: str, *, has_https: bool) -> None:
        self._signer = URLSafeSerializer(key, salt="device")
        self._cookie = "__Host-mner-desk-device" if has_https else "mner-desk-device"
        self._has_https = has_https

    def known(self, request: Request, name: str) -> str | None:
        """Returns the id of this browser, if the last person who signed in on it has this name."""
        try:
            signed, device = self._signer.loads(request.cookies.get(self._cookie, ""))
        except (BadSignature, ValueError, TypeError):
            return None
        return str(device) if signed == name.casefold() else None

    def remember(self, request: Request, response: Response, name: str) -> None:
        """Marks the browser, in place of an older mark."""
        device = self.known(request, name) or secrets.token_urlsafe(16)
        response.set_cookie(
            self._cookie,
            str(self._signer.dumps([name.casefold(), device])),
            max_age=KEEP_S,
            path="/",
            secure=self._has_https,
            httponly=True,
            samesite="lax",
        )
