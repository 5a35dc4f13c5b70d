"""What a server's answer means: what to do about it, and a sentence that says what is true."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from core.errors import Refused, Reject, Retry, Stop
from core.secret import scrub
from core.text import plain, without_secrets


class Reaction(StrEnum):
    """What to do about an answer."""

    DONE = "done"
    """The server has done it."""
    STALE = "stale"
    """The server already holds something newer, so nothing is left to do."""
    RETRY = "retry"
    """The trouble passes, or a person ends it at the server. Wait and send the same again."""
    SHRINK = "retry smaller"
    """Like `RETRY`. A smaller request may pass sooner, so the next requests are smaller."""
    SPLIT = "split"
    """Something on the way refuses the request because of its size or one of its items. Send two halves. An item that
    is refused alone is rejected."""
    REJECT = "reject"
    """This one item can never be stored."""
    STOP = "stop"
    """No request can succeed until a person changes the settings or the program."""


class Slow(Retry):
    """A fault that passes, and that a smaller request may not meet."""

    def __init__(self, reason: str, after_s: float = 0.0, *, broke: bool = False) -> None:
        """`broke`: whether the connection broke, without an answer."""
        super().__init__(reason, after_s)
        self.broke = broke


MAX_SENTENCE = 1500
"""Longest sentence, in characters. A page of a proxy, or the reason of an error, may be longer."""


@dataclass(frozen=True)
class Answer:
    """A classed answer. `sentence` names the server and says what is true, for a person to read.

    It is one line without passwords, whatever the server sent.
    """

    reaction: Reaction
    sentence: str
    broke: bool = False  # whether the connection broke, without an answer
    general: bool = False  # whether the server may refuse every item for this reason

    def __post_init__(self) -> None:
        object.__setattr__(self, "sentence", plain(scrub(without_secrets(self.sentence)), MAX_SENTENCE))

    def error(self, after_s: float = 0.0) -> Exception:
        """Returns the error that makes the pipeline do this. A request that cannot be split any further is rejected."""
        if self.reaction is Reaction.SHRINK:
            return Slow(self.sentence, after_s, broke=self.broke)
        if self.reaction is Reaction.RETRY:
            return Retry(self.sentence, after_s)
        if self.reaction in {Reaction.SPLIT, Reaction.REJECT}:
            return Refused(self.sentence) if self.general else Reject(self.sentence)
        return Stop(self.sentence)
