"""Signs messages as https://www.standardwebhooks.com says, version 1 with HMAC-SHA256."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets

from core.errors import UserError

PREFIX = "whsec_"
SECRET_BYTES = 32
"""The scheme asks for 24 to 64 bytes."""


def new_secret() -> str:
    """Returns a new secret: `whsec_` and base64."""
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def headers(secret: str, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Returns the headers of a message. `timestamp`: Unix seconds. Raises `UserError` for a secret of another form."""
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        raise UserError("the secret of the webhook is damaged; set the webhook up again") from None
    signed = f"{message_id}.{timestamp}.".encode() + body
    signature = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return {"webhook-id": message_id, "webhook-timestamp": str(timestamp), "webhook-signature": f"v1,{signature}"}


def message_id(search: str, post: str, version: int) -> str:
    """Returns the id of the message about a version of a post. It is the same for every try, and tells no post's id."""
    digest = hashlib.sha256(f"{search}\0{version}\0{post}".encode()).hexdigest()
    return f"msg_{digest[:40]}"
