"""What to do about TLS, passwords and rights: one line for each kind of fault, the same for every server."""

from __future__ import annotations

MENDS = {
    "expired": "renew the certificate of the server; if it has not ended, set the clock of this machine by NTP",
    "early": "set the clock of this machine by NTP; if it is right, the server has a certificate of the future",
    "name": "put a host name that the certificate holds into {variable}, or make a certificate for this name",
    "certificate": "put the file (PEM) of its authority into {variable}_CA",
    "alert": "the server asks for a certificate that it trusts: set {variable}_CERTIFICATE and {variable}_KEY",
    "tls": "try again; if it lasts, see the log of the server",
}
"""Kind of a fault of TLS, as `sinks.answers.tls` finds it -> what to do. `{variable}` is such as `MNER_KAFKA`."""


def mend(kind: str, variable: str) -> str:
    """Returns what to do about a fault of TLS, "" for other faults."""
    return MENDS.get(kind, "").format(variable=variable)
