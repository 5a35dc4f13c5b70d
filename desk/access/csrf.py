"""Refuses requests that another site makes a person's browser send (OWASP, "Cross-Site Request Forgery Prevention").

Such a request lacks the token of the session, and its browser names the other site. Both are checked.
"""

from __future__ import annotations

from itsdangerous import BadSignature, URLSafeTimedSerializer
from starlette.requests import Request
from starlette.types import Message, Receive

SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
"""Methods that change nothing (RFC 9110, section 9.2.1)."""

HEADER, FIELD = "X-CSRF-Token", "csrf"
STALE = "this page is older than your session; load it again"
"""Why a request is refused whose page came before its session. The answer also says it in `HEADER`, to scripts."""

FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")


class Csrf:
    """Makes tokens and checks them. A token holds the session's id and a signature, so nothing is stored.

    The signature also covers the time, so a page never holds the same token twice. This keeps it from being guessed
    through the length of compressed pages (BREACH). A token is valid for as long as its session.
    """

    def __init__(self, key: str, own: str | None) -> None:
        """`own`: the origin of `MNER_DESK_URL`. A request's own origin counts as well."""
        self._signer = URLSafeTimedSerializer(key, salt="csrf")
        self._own = own

    def token(self, session_id: str) -> str:
        """Returns a token for the pages of this session."""
        return str(self._signer.dumps(session_id))

    def fault(self, request: Request, session_id: str | None, token: str) -> str | None:
        """Returns why a request of an unsafe method is refused, or None if it comes from a page of the session."""
        origin, site = request.headers.get("Origin"), request.headers.get("Sec-Fetch-Site")
        if origin is None and site is None:
            return "the request says neither Origin nor Sec-Fetch-Site; programs send a token of `mner desk tokens add`"
        ours = {self._own, f"{request.url.scheme}://{request.headers.get('Host', '')}"}
        if (origin is not None and origin not in ours) or site not in {None, "same-origin"}:
            return "the request comes from another site"
        try:
            signed = self._signer.loads(token)
        except BadSignature:
            signed = None
        if session_id is None or signed != session_id:
            return STALE
        return None


async def token_of(request: Request) -> tuple[str, Receive]:
    """Returns the token in the header or the form of a request, and what the application receives in its place.

    The form is read only if the header is missing. The application gets it again.
    """
    if token := request.headers.get(HEADER):
        return token, request.receive
    if request.headers.get("Content-Type", "").partition(";")[0].strip().lower() not in FORMS:
        return "", request.receive
    body = await request.body()
    async with Request(request.scope, _again(body, request.receive)).form() as form:
        found = form.get(FIELD)
    return found if isinstance(found, str) else "", _again(body, request.receive)


def _again(body: bytes, receive: Receive) -> Receive:
    is_sent = False

    async def again() -> Message:
        nonlocal is_sent
        if is_sent:
            return await receive()
        is_sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again
