"""Faults of a server's TLS: what is wrong, and how a person mends it."""

from __future__ import annotations

import ssl
from collections.abc import Iterator

from core.text import one_line
from streams.feeds.source import Disconnected, FeedRefused

EXPIRED, NOT_YET_VALID = 10, 9
OTHER_NAME, OTHER_IP = 62, 64
"""`verify_code` of OpenSSL, see its X509_STORE_CTX_get_error."""
NO_TLS = frozenset({"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"})
"""`reason` of OpenSSL for a server that answers without TLS."""


class TlsFault(Disconnected):
    """There is no secure connection. A person must mend it, unless it worked before: then it may be mended soon."""

    def __init__(self, said: str, remedy: str) -> None:
        super().__init__("network", said)
        self.remedy = remedy

    def refusal(self) -> FeedRefused:
        """Returns the error for a feed that never connected."""
        return FeedRefused(f"{self}; {self.remedy}")


def tls_fault(
    error: BaseException, host: str, authorities: str = "SSL_CERT_FILE", plain: str = "http"
) -> TlsFault | None:
    """Returns what is wrong with the TLS of `host`, or None for an error that may pass by itself.

    `authorities`: the variable that names the file of authorities to the client at hand. `plain`: the scheme of an
    address without TLS.
    """
    for cause in _causes(error):
        # Errors of aiohttp are of these classes too, and lack their attributes.
        if isinstance(cause, ssl.SSLCertVerificationError) and (wrong := getattr(cause, "verify_message", None)):
            said = f"{host} has no valid certificate: {one_line(wrong).rstrip('.')}"
            return TlsFault(said, _remedy(cause.verify_code, authorities))
        if isinstance(cause, ssl.SSLError) and getattr(cause, "reason", None) in NO_TLS:
            return TlsFault(f"{host} answers without TLS", f"correct the port, or write {plain}:// if it is meant to")
    return None


def _remedy(code: int, authorities: str) -> str:
    if code in {EXPIRED, NOT_YET_VALID}:
        return "check the clock of this machine; if it is right, the server needs a new certificate"
    if code in {OTHER_NAME, OTHER_IP}:
        return "write the name that its certificate is for"
    return f"if you trust this server, name the file of its authority in {authorities}"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yields the error and all that led to it. Clients put it into arguments, or into attributes of their own."""
    waiting, seen = [error], set[int]()
    while waiting:
        cause = waiting.pop()
        if id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        others = (cause.__cause__, cause.__context__, getattr(cause, "reason", None), *cause.args)
        waiting += [other for other in others if isinstance(other, BaseException)]
