"""Keeps secrets out of logs, errors and reports.

`remember` takes each secret of the settings. `scrub` then hides the secret in any text, also in base64 with its user
(RFC 7617), percent-encoded in a URL, or escaped in JSON and in Python's `repr`.
"""

from __future__ import annotations

import json
import logging
import os
from base64 import b64encode
from pathlib import Path
from urllib.parse import quote

SHORTEST = 4
"""Shorter secrets are not scrubbed, since they would blot out ordinary words."""

HIDDEN = "***"

_known: set[str] = set()


def remember(secret: str, user: str = "") -> str:
    """Makes `scrub` hide this secret from now on. Returns the secret. `user`: who logs in with it."""
    _known.update(form for form in _forms(secret, user) if len(form) >= SHORTEST)
    return secret


def forget(secret: str) -> None:
    """Takes `remember` back, for a token that has ended."""
    _known.difference_update(_forms(secret, ""))


def _forms(secret: str, user: str) -> set[str]:
    sent = secret.encode()
    forms = {secret, secret.strip(), quote(secret, safe=""), b64encode(sent).decode()}
    forms |= {
        repr(secret)[1:-1],
        repr(sent)[2:-1],
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
    }
    return forms | ({b64encode(f"{user}:{secret}".encode()).decode()} if user else set())


def scrub(text: str) -> str:
    """Returns the text with stars in place of every secret that `remember` knows."""
    for secret in sorted(_known, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return text


def read_file(path: Path) -> str:
    """Returns the secret that a file holds, without the line break at its end. Raises `ValueError` with the reason."""
    try:
        secret = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ValueError(f"cannot read the file: {error.strerror}; give its path, such as /run/secrets/name") from None
    except UnicodeDecodeError:
        raise ValueError("the file is not in UTF-8") from None
    secret = secret.removesuffix("\n").removesuffix("\r")
    if not secret:
        raise ValueError("the file is empty")
    return secret


def shown(path: str | Path) -> str:
    """Returns the path of a secret's file for people: stars if the path may be the secret itself, set by mistake."""
    return str(path) if str(path).startswith(("/", "./", "../")) else HIDDEN


def environment() -> dict[str, str]:
    """Returns the environment for another program, without our settings, which may hold secrets."""
    return {name: value for name, value in os.environ.items() if not name.lower().startswith("mner_")}


class Formatter(logging.Formatter):
    """Formats a log record without secrets, its traceback included."""

    def format(self, record: logging.LogRecord) -> str:
        return scrub(super().format(record))
