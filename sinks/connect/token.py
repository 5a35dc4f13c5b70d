"""Tokens for OAUTHBEARER (RFC 7628) that a command prints, such as the command line of an identity provider."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import math
import os
import re
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aiokafka.abc import AbstractTokenProvider as AioTokenProvider
from aiokafka.errors import KafkaConnectionError as AioConnectionError
from kafka.errors import KafkaConnectionError
from kafka.net.sasl.oauth import AbstractTokenProvider

from core.errors import UserError, naming
from core.secret import environment, forget, remember

RUN_S = 10.0
"""Longest time, in seconds, that the command may take."""

EARLY_S = 30.0
"""Time, in seconds, before its end at which a token is replaced. Never more than a fifth of its life."""

UNKNOWN_S = 60.0
"""Time, in seconds, for which a token is used that does not tell its end."""

MOST_BYTES = 100_000


@dataclass(frozen=True)
class Token:
    """A token, with the times that it tells of itself, in Unix seconds."""

    value: str
    ends: float | None = None
    begins: float | None = None

    def __repr__(self) -> str:
        return f"Token(ends={self.ends}, begins={self.begins})"


class TokenCommand:
    """Runs the command when a token is needed, and keeps the token until shortly before its end.

    The command prints the token alone, or a JSON object as the token endpoint of OAuth 2.0 answers (RFC 6749, 5.1):
    `access_token`, and `expires_in` in seconds. The end of a JWT is also read from the token itself.
    """

    def __init__(self, command: str, setting: str, clock: Callable[[], float] = time.time) -> None:
        """`setting`: the name of the setting that holds the command. Errors begin with it.

        Raises `UserError` when the quotes of the command do not match.
        """
        self._setting = setting
        try:
            self._command = shlex.split(command)
        except ValueError:
            raise UserError(f"{setting}: it cannot be split into words: is a quote missing?") from None
        if not self._command:
            raise UserError(f"{setting}: it is empty")
        self._clock = clock
        self._lock = threading.Lock()
        self._token: Token | None = None
        self._until = self._ends = 0.0

    def token(self) -> Token:
        """Returns a token that is still valid. Blocks while the command runs.

        Raises `UserError` when the command fails, takes too long, or prints no valid token, unless the last token is
        still valid. The error never holds what the command printed, since that may be a secret.
        """
        with self._lock, naming(self._setting):
            now, held = self._clock(), self._token
            if held is None or now >= self._until:
                try:
                    self._replace(now)
                except UserError:
                    if held is None or now >= self._ends:
                        raise
                    return held  # it is still valid; the next call tries again
            assert self._token is not None
            return self._token

    def _replace(self, now: float) -> None:
        token = read_token(self._run(), now)
        ends = now + UNKNOWN_S if token.ends is None else token.ends
        if ends <= now:
            forget(token.value)
            raise UserError(f"the token ended {now - ends:.0f} s ago: is the clock of this machine right?")
        if self._token is not None and self._token.value != token.value:
            forget(self._token.value)
        self._token, self._ends = token, ends
        self._until = ends - min(EARLY_S, (ends - now) / 5)

    def _run(self) -> str:
        """Returns what the command prints, at most `MOST_BYTES` of it. Ends the command when it prints more."""
        program = self._command[0]
        try:
            process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment(),
                start_new_session=True,  # so that all that it started can be ended
            )
        except OSError as error:
            raise UserError(f"{program} cannot be run: {error.strerror}") from None
        late = threading.Event()

        def end() -> None:
            late.set()
            _kill(process)

        timer = threading.Timer(RUN_S, end)
        timer.start()
        try:
            assert process.stdout is not None
            with process.stdout:
                printed = process.stdout.read(MOST_BYTES + 1)
            if len(printed) > MOST_BYTES:
                _kill(process)
            code = process.wait()
        finally:
            timer.cancel()
        if late.is_set():
            raise UserError(f"{program} printed no token within {RUN_S:g} s")
        if len(printed) > MOST_BYTES:
            raise UserError(f"{program} printed more than {MOST_BYTES:,} bytes; it must print a token alone")
        if code:
            raise UserError(f"{program} failed with code {code}; run it by hand to see why")
        return printed.decode(errors="replace").strip()


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def read_token(printed: str, now: float) -> Token:
    """Returns the token in what the command printed. Raises `UserError` when there is none."""
    value, ends = printed, None
    if printed.startswith("{"):
        try:
            answer = json.loads(printed)
        except (ValueError, RecursionError):
            raise UserError("it printed broken JSON") from None
        value = next((answer[name] for name in ("access_token", "token", "id_token") if answer.get(name)), "")
        left = answer.get("expires_in")
        seconds = _number(
            float(left) if isinstance(left, str) and re.fullmatch(r"[0-9]{1,15}(\.[0-9]{1,15})?", left) else left
        )
        ends = None if seconds is None else now + seconds
    if not isinstance(value, str) or not value or any(not "!" <= char <= "~" for char in value):
        raise UserError("it printed no token: it must print a token alone, or JSON with `access_token`")
    claims = _claims(value)
    told = [end for end in (ends, _number(claims.get("exp"))) if end is not None]
    return Token(remember(value), min(told, default=None), _number(claims.get("nbf")) or _number(claims.get("iat")))


def _claims(token: str) -> dict[str, Any]:
    """Returns what a JWT says of itself (RFC 7519), nothing if it is no JWT. The signature is the broker's concern."""
    parts = token.split(".")
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, IndexError, RecursionError):
        return {}
    return claims if isinstance(claims, dict) else {}


def _number(value: object) -> float | None:
    """Returns a number of seconds, None for anything else, such as NaN or a number too large for a float."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


class Provider(AbstractTokenProvider):  # type: ignore[misc]  # kafka-python tells no types
    """Gives kafka-python its tokens."""

    def __init__(self, command: TokenCommand) -> None:
        super().__init__()
        self._command = command

    def token(self) -> str:
        try:
            return self._command.token().value
        except UserError as error:
            raise KafkaConnectionError(str(error)) from None


class AioProvider(AioTokenProvider):  # type: ignore[misc]  # aiokafka tells no types
    """Gives aiokafka its tokens. An error counts as a broken connection, so that aiokafka tries again."""

    def __init__(self, command: TokenCommand) -> None:
        self._command = command

    async def token(self) -> str:
        try:
            return (await asyncio.to_thread(self._command.token)).value
        except UserError as error:
            raise AioConnectionError(str(error)) from None
