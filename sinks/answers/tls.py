"""What a failed TLS handshake means, by the text of OpenSSL's error.

An alert that names a certificate, a name or a version lasts until a person changes something. All others may pass: a
server that restarts, or a proxy without a server behind it, sends them too (RFC 8446, 6.2).
"""

from __future__ import annotations

import re

EXPIRED = re.compile(r"certificate has expired|certificate_expired", re.I)
EARLY = re.compile(r"certificate is not yet valid", re.I)
OTHER_NAME = re.compile(r"hostname mismatch|IP address mismatch|doesn't match|certificate is not valid for", re.I)
UNTRUSTED = re.compile(r"CERTIFICATE_VERIFY_FAILED|certificate verify failed", re.I)
PLAIN = re.compile(r"WRONG_VERSION_NUMBER|HTTP_REQUEST|RECORD_LAYER_FAILURE", re.I)
REFUSED = re.compile(
    r"ALERT_(?:\w*CERTIFICATE\w*|UNKNOWN_CA|ACCESS_DENIED|PROTOCOL_VERSION|INSUFFICIENT_SECURITY)"
    r"|UNRECOGNIZED_NAME|NO_SHARED_CIPHER|UNSUPPORTED_PROTOCOL|NO_PROTOCOLS",
    re.I,
)
BROKEN = re.compile(r"\[SSL\b|EOF occurred in violation")


def fault(text: str) -> str:
    """Returns the kind of a fault, as the tables name it, or "" if it has nothing to do with TLS."""
    kinds = {
        "alert": REFUSED,
        "expired": EXPIRED,
        "early": EARLY,
        "name": OTHER_NAME,
        "certificate": UNTRUSTED,
        "plain": PLAIN,
        "tls": BROKEN,
    }
    return next((kind for kind, told in kinds.items() if told.search(text)), "")
