"""Do the numbers add up, and was every planted fault named? Pure: a tally in, what is wrong out."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal, Protocol

from demo.tally import Tally
from model.mentions import candidates_to_ask


class Fault(Protocol):
    """A fault planted in the examples: where it must show, and how the reason given must begin."""

    @property
    def line(self) -> int: ...
    @property
    def id(self) -> str: ...
    @property
    def what(self) -> str: ...
    @property
    def outcome(self) -> Literal["dead", "image"]: ...
    @property
    def reason(self) -> str: ...


def named(fault: Fault, tally: Tally) -> str | None:
    """The reason that the system gave for this fault; none if it gave none that fits."""
    if fault.outcome == "image":
        extraction = tally.extractions.get(fault.id)
        reasons = [extraction.image.reason or ""] if extraction else []
    else:
        reasons = [letter.reason for letter in tally.letters if fault.id in ((letter.key or "") + (letter.value or ""))]
    return next((reason for reason in reasons if reason.startswith(fault.reason)), None)


def wrong(tally: Tally, faults: Sequence[Fault], indexed: Collection[str], queued: Collection[str]) -> list[str]:
    """Sentences, one for each thing that does not hold; empty when all does.

    `indexed` and `queued`: tweet ids that the index and the review queue hold.
    """
    problems = []
    if tally.fed != tally.extracted + tally.dead:
        problems.append(f"fed {tally.fed} is not extracted {tally.extracted} + dead {tally.dead}")
    lost = set(tally.extractions) - set(indexed) - set(queued)
    if lost:
        problems.append(f"extracted but in no sink: {', '.join(sorted(lost))}")
    doubtful = {
        tweet
        for tweet, extraction in tally.extractions.items()
        if any(not mention.is_confident(extraction.threshold) for mention in extraction.mentions)
        or candidates_to_ask(extraction.mentions, extraction.candidates)
    }
    if doubtful != set(queued):
        problems.append(f"the queue and the uncertain tweets differ by {', '.join(sorted(doubtful ^ set(queued)))}")
    problems.extend(
        f"planted fault not named: line {fault.line}, {fault.what}" for fault in faults if named(fault, tally) is None
    )
    expected = sum(fault.outcome == "dead" for fault in faults)
    if tally.dead != expected:
        problems.append(f"{tally.dead} dead letters, {expected} were planted")
    return problems
