"""Why an image was refused. The tweet goes on from its text alone, with the reason in its `ImageResult`."""

from __future__ import annotations

from typing import Literal

Kind = Literal[
    "bad_url",  # not a URL that a browser would open, or an address written to mislead
    "scheme",  # neither http nor https
    "credentials",  # a user or password in the URL
    "port",  # a port that the settings do not allow
    "unresolvable",  # the name has no address
    "private_address",  # at least one address is not a public one: nothing was dialled
    "unreachable",  # nobody answers at the address
    "tls",  # the certificate or the handshake is bad
    "timeout",  # not fetched within the deadline
    "too_slow",  # not decoded within the limit
    "connection_lost",  # the server broke off
    "bad_response",  # not HTTP, or headers beyond the limits
    "too_many_redirects",
    "not_found",  # HTTP 404 or 410
    "http_status",  # any other status than 200
    "encoded",  # compressed although we asked for identity: could inflate without limit
    "too_big",  # more bytes than allowed, announced or sent
    "not_an_image",  # by its content none of the formats we read
    "broken",  # an image, but truncated or damaged
    "bomb",  # more pixels than allowed
    "host_down",  # the host failed many times in a row and is left alone for a while
    "busy",  # no slot was free in time: there were too many images, of this host or of all
    "decoder_died",  # the file took the process down that decoded it
    "internal",  # our own fault; the detail names the exception
]
"""The stable, machine-readable first word of a reason."""

MAX_REASON = 300


class ImageError(Exception):
    """An image that could not be had. `reason` is `kind: detail`, one printable line of bounded length.

    The detail may quote what a stranger sent (a host name, a status), hence the cleaning. `after_s`: seconds for which
    asking again is known to be useless, as the server or the host's circuit breaker says.
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
    """A failure that is the host's own, so its circuit breaker counts it. `passes`: asking again may help."""

    def __init__(self, kind: Kind, detail: str, *, passes: bool = False, after_s: float = 0.0) -> None:
        super().__init__(kind, detail, after_s=after_s)
        self.passes = passes
