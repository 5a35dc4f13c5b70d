"""The checks of the consumer groups: what is committed, whether it moves, and who reads."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from cli.doctor.finding import Finding
from streams.groups import Look, looks
from streams.settings import Settings

LOOK_S = 6.0
"""Time, in seconds, for which a lag may stand still before it is told. Most batches and images take less."""

AGAIN_S = 0.5
"""Seconds between two looks."""

LISTED = 6
"""Number of partitions that a finding names."""

SHARING = {"PreparingRebalance", "CompletingRebalance"}


def groups(client: Any, config: Settings, partitions: Mapping[str, int]) -> list[Finding]:
    """Checks each agent's consumer group (`partitions`: topic -> their number).

    If a group has both members and lag, it is looked at again for at most `LOOK_S` seconds, until the lag has moved.
    """
    from streams.agents.reads import READS

    topics = {config.name(agent.group): config.name(topic) for agent, topic in READS.items()}
    topics = {group: topic for group, topic in topics.items() if topic in partitions}
    nothing = Finding("groups", "warning", "no worker has read anything yet", "start one with `mner worker`")
    if not topics:
        return []
    started = time.monotonic()
    first = last = looks(client, topics, partitions)
    if all(look.state in {"Dead", ""} and not look.error and not look.committed for look in first.values()):
        return [nothing]
    waiting = {group: _unfinished(look) for group, look in first.items()}
    while (sharing := _sharing(last)) or any(waiting.values()):
        if time.monotonic() - started >= LOOK_S:
            break
        time.sleep(AGAIN_S)
        last = looks(client, topics, partitions)
        waiting = {group: _still(numbers, first[group], last[group]) for group, numbers in waiting.items()}
    looked_s = time.monotonic() - started
    return [
        finding
        for group, look in last.items()
        for finding in judge(group, look, waiting[group], looked_s, config, sharing=group in sharing)
    ]


def _unfinished(look: Look) -> set[int]:
    """Returns the partitions that a worker should be reading now."""
    return {number for number, lag in look.lags.items() if lag} if look.members else set()


def _still(numbers: set[int], first: Look, now: Look) -> set[int]:
    """Returns those partitions whose committed offset has not moved, and that still have lag."""
    lags = now.lags
    return {
        number
        for number in numbers
        if lags.get(number) and now.committed.get(number, -1) == first.committed.get(number, -1)
    }


def _sharing(looks: Mapping[str, Look]) -> set[str]:
    return {group for group, look in looks.items() if look.state in SHARING}


def judge(
    group: str, look: Look, still: set[int], looked_s: float, config: Settings, *, sharing: bool
) -> list[Finding]:
    """Returns the findings about a group.

    `still`: partitions whose lag has not moved for `looked_s` seconds. This is never broken: one slow post holds its
    partition back, whatever waits behind it. `sharing`: whether the group was rebalancing all the time.
    """
    if look.error:
        remedy = "allow it with `kafka-acls --add --operation Read --group ...`" if "[Error 30]" in look.error else ""
        return [Finding(group, "broken", f"Kafka refuses: {look.error}", remedy or "see the broker's log")]
    findings = _outside(group, look)
    lags, readers = look.lags, _count(len(look.members), "worker")
    lag = sum(lags.values())
    if not look.members and any("beyond the end" in one.detail for one in findings):
        return findings
    if not look.members:
        detail = f"lag {lag} on {look.topic}, no worker reads it"
        return [*findings, Finding(group, "warning", detail, "start one with `mner worker`")]
    if sharing:
        detail = f"the group of {look.topic} was rebalancing for {looked_s:.0f} s, with {readers}, and read nothing"
        remedy = "look again in a minute; if it lasts, see the logs of the workers, which keep joining and leaving"
        return [*findings, Finding(group, "warning", detail, remedy)]
    findings += _deaf(group, look, lags)
    if still:
        held = sum(lags[number] for number in still)
        listed = _listed(
            f"partition {n} at {look.committed.get(n, 'nothing')} of {look.ends[n]}" for n in sorted(still)
        )
        detail = f"lag {held} on {look.topic} has not moved in {looked_s:.0f} s, with {readers}: {listed}"
        image_s, model_s = config.vision.timeout_s, config.model_timeout_s
        remedy = (
            f"a post may wait {image_s:g} s for its image (MNER_VISION_TIMEOUT_S), and {model_s:g} s for the model "
            f"(MNER_MODEL_TIMEOUT_S); if the lag still stands after {image_s + model_s:g} s, see the log of the worker "
            "(is a server away?), and start it again"
        )
        findings.append(Finding(group, "warning", detail, remedy))
    return findings or [Finding(group, "ok", f"lag {lag} on {look.topic}, {readers}")]


def _outside(group: str, look: Look) -> list[Finding]:
    """Tells of committed offsets that lie outside the log."""
    findings = []
    beyond = [n for n, offset in sorted(look.committed.items()) if n in look.ends and offset > look.ends[n]]
    if beyond:
        listed = _listed(f"partition {n} at {look.committed[n]} of {look.ends[n]}" for n in beyond)
        remedy = "Kafka lost records; a worker notices within 30 s, and reads again what it has perhaps not read"
        remedy = remedy if look.members else f"{remedy}: `mner worker`"
        findings.append(Finding(group, "broken", f"committed beyond the end of {look.topic}: {listed}", remedy))
    below = [n for n, offset in sorted(look.committed.items()) if n in look.begins and offset < look.begins[n]]
    if below:
        count = sum(look.begins[n] - look.committed[n] for n in below)
        listed = _listed(f"partition {n} at {look.committed[n]}, begins at {look.begins[n]}" for n in below)
        detail = f"Kafka deleted {count} unread records of {look.topic}: {listed}"
        remedy = "feed them again; raise MNER_RETENTION_HOURS and run `mner topics create`, or start more workers"
        findings.append(Finding(group, "broken", detail, remedy))
    return findings


def _deaf(group: str, look: Look, lags: Mapping[int, int]) -> list[Finding]:
    """Tells of partitions that no member reads, and of members that read none although there are enough."""
    held = frozenset[int]().union(*look.members)
    if free := sorted(set(look.ends) - held):
        waiting = sum(lags.get(number, 0) for number in free)
        detail = f"no worker reads {_listed(f'partition {n}' for n in free)} of {look.topic}, lag {waiting} there"
        remedy = "look again in a minute (new partitions take that long); if it stays, start the workers again"
        return [Finding(group, "broken" if waiting else "warning", detail, remedy)]
    idle = sum(not member for member in look.members)
    if idle and max(map(len, look.members)) > 1:
        detail = f"{_count(idle, 'worker')} of {len(look.members)} read no partition of {look.topic}"
        return [Finding(group, "warning", detail, "look again in a minute; if it stays, start that worker again")]
    return []


def _listed(parts: Any) -> str:
    listed = list(parts)
    more = f" and {len(listed) - LISTED} more" if len(listed) > LISTED else ""
    return f"{', '.join(listed[:LISTED])}{more}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
