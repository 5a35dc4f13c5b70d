"""The reasons why an image was refused. The post goes on without it, with the reason in its `ImageResult`."""

from __future__ import annotations

from typing import Literal

Kind = Literal[
    "bad_url",  # no URL that a browser would open, or a misleading spelling of an address
    "scheme",  # neither http nor https
    "credentials",  # the URL contains a user name or a password
    "port",  # the settings do not allow the port
    "unresolvable",  # the name has no address
    "private_address",  # an address of the host is not public; no connection was made
    "unreachable",  # no answer from the address
    "tls",  # bad certificate or failed handshake
    "timeout",  # not fetched in time
    "too_slow",  # not decoded in time
    "connection_lost",  # the server closed the connection early
    "bad_response",  # not HTTP, or headers beyond the limits
    "too_many_redirects",
    "not_found",  # HTTP 404 or 410
    "http_status",  # any other status that is not that of an image
    "encoded",  # compressed in a way that cannot be undone
    "too_big",  # more bytes announced or sent than allowed
    "not_an_image",  # the content has none of the supported formats
    "broken",  # damaged so that no pixel can be read
    "bomb",  # more pixels than allowed
    "host_down",  # the host failed many times in a row, so it gets no requests for a while
    "busy",  # no slot or decoder was free in time, because this host or the worker had too many images
    "decoder_died",  # the file crashed the process that decoded it
    "internal",  # a fault of this worker; the detail names the exception
]
"""The first word of a reason. It is stable and machine-readable."""

MAX_REASON = 300
"""Longest reason, in characters."""


class ImageError(Exception):
    """An image was refused. `reason` is `kind: detail`, one printable line of at most `MAX_REASON` characters.

    The detail is cleaned, because it may quote a stranger, for example a host name. `after_s` is the
    number of seconds to wait before another request can succeed.
    """

    def __init__(self, kind: Kind, detail: str, *, after_s: float = 0.0) -> None:
        super().__init__(kind, detail)
        self.kind = kind
        self.after_s = after_s
        line = "".join(letter if letter.isprintable() else "?" for letter in f"{kind}: {detail}")
        self.reason = line if len(line) <= MAX_REASON else line[: MAX_REASON - 3] + "..."

    def __str__(self) -> str:
        return self.reason


class HostFault(ImageError):
    """A failure of the host, which its circuit breaker counts. `passes` says whether another request may succeed."""

    def __init__(self, kind: Kind, detail: str, *, passes: bool = False, after_s: float = 0.0) -> None:
        super().__init__(kind, detail, after_s=after_s)
        self.passes = passes
