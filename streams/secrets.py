"""Reads the secrets of the settings: from a variable, or from the file that `NAME_FILE` names."""

from __future__ import annotations

from operator import attrgetter
from pathlib import Path

from pydantic import SecretStr

from core import secret
from core.errors import UserError
from streams.settings import PREFIX, Settings


def secret_of(settings: Settings, name: str, user: str | None = None) -> str | None:
    """Returns a secret, or None if it is not set. Logs and errors hide the secret from now on.

    `name`: that of the field, such as `redis_password`, or `desk.oidc_secret` in a group. `user`: who logs in with it.

    Raises `UserError` for a file that cannot be used, and when the variable and the file are both set.
    """
    value: SecretStr | None = attrgetter(name)(settings)
    path: Path | None = attrgetter(f"{name}_file")(settings)
    variable = f"{PREFIX}{name.replace('.', '_').upper()}"
    if value is not None and path is not None:
        raise UserError(f"{variable} and {variable}_FILE are both set: keep one")
    if path is None:
        return None if value is None else secret.remember(value.get_secret_value(), user or "")
    try:
        return secret.remember(secret.read_file(path), user or "")
    except ValueError as error:
        raise UserError(f"{variable}_FILE={secret.shown(path)}: {error}") from None
