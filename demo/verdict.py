"""Checks that the numbers add up and that the system found every planted fault. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from demo.examples import Fault
from demo.tally import Tally
from streams.routing import route


def reason_given(fault: Fault, tally: Tally) -> str | None:
    """Returns the reason that the system gave for this fault. None if it gave none that matches."""
    if fault.outcome == "image":
        extraction = tally.extractions.get(fault.id)
        reasons = [extraction.image.reason or ""] if extraction else []
    else:
        reasons = [letter.reason for letter in tally.letters if fault.id in ((letter.key or "") + (letter.value or ""))]
    return next((reason for reason in reasons if reason.startswith(fault.reason)), None)


def find_problems(
    tally: Tally,
    faults: Sequence[Fault],
    indexed: Collection[str],
    queued: Collection[str],
    spot_check_share: float = 0.0,
) -> list[str]:
    """Returns one sentence for each check that fails.

    `indexed` and `queued` are the ids of the posts in the index and in the review queue. `spot_check_share`: the
    share of confident mentions that people are asked about.
    """
    problems = []
    if tally.fed != tally.extracted + tally.dead:
        problems.append(f"fed {tally.fed} is not extracted {tally.extracted} + dead {tally.dead}")
    lost = set(tally.extractions) - set(indexed) - set(queued)
    if lost:
        problems.append(f"extracted but in no sink: {', '.join(sorted(lost))}")
    asked = {
        post_id
        for post_id, extraction in tally.extractions.items()
        if route(extraction, spot_check_share=spot_check_share).task is not None
    }
    if asked != set(queued):
        problems.append(f"the queue and the posts with questions differ by {', '.join(sorted(asked ^ set(queued)))}")
    problems.extend(
        f"no reason given for the fault in line {fault.line}: {fault.what}"
        for fault in faults
        if reason_given(fault, tally) is None
    )
    expected = sum(fault.outcome == "dead" for fault in faults)
    if tally.dead != expected:
        problems.append(f"there are {tally.dead} dead letters, but {expected} were expected")
    return problems
