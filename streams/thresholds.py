"""The thresholds that follow the stream, so that the promised precision is kept while it drifts. Pure.

A spot check asks people about a random share of the mentions. Each answer moves one level, which is a threshold on the
logit scale: level += step * (wrong - aim), where `wrong` is 1 or 0 and `aim` is the share that may be wrong. This is
online risk control: adaptive conformal inference (Gibbs & Candès, arXiv 2106.00170, eq. 2) with the threshold itself in
place of a quantile (Feldman et al., arXiv 2205.09095).

**The guarantee** needs no assumption about the stream. A level counts the answers about mentions at or above it. At the
ceiling nothing is confident, so nothing confident can be wrong. The levels before and after W consecutive answers
differ by at most ceiling + step * (1 - aim) - floor. So the share of wrong ones among them is at most

    aim + (ceiling - floor + step * (1 - aim)) / (step * W)        (`Control.most_wrong`; Gibbs & Candès, prop. 4.1)

Each right answer about a withheld mention (see `_is_withheld`) adds aim / W: it can lower the level without a confident
answer. To raise a level by hand does not break the guarantee.

**Sources.** A source with few answers follows the shared level. It gets its own level, which starts at the threshold
then in force, after `few` answers, or as soon as they show that its precision is below the promise. The shared level is
never below the mean of the sources' own levels: it may have had no answers for long. In this mean a source that fell
silent weighs as much as any other.

**Late answers.** An answer counts if its mention was confident when it was routed: it is one of those that the promise
is about. It also counts if the mention would be confident now. At the ceiling, late wrong answers cannot raise the
level further, and the guarantee does not cover those.
"""

from __future__ import annotations

import math
from hashlib import sha256
from typing import Self

from pydantic import Field, model_validator

from core.events import Score, Value, is_confident
from streams.confidence import Interval, Recent

REMEMBERED = 1000
"""Number of answers that are recognised when they come twice. An older one counts again, so a replay must begin with
the state before its first answer."""

MOST_SOURCES = 1000
"""Number of sources that are told apart. Further ones have the shared level."""

LEAST_AIM = 1e-6
"""Smallest share that may be wrong. With none, no right answer would lower a threshold."""

DIGITS = 6
"""Decimals of a threshold. Rounding makes it the same on every machine."""


class Control(Value):
    """How the thresholds move. The numbers were chosen on validation data (docs/research/thresholds.md)."""

    promised: float = Field(default=0.9, gt=0, lt=1)  # precision of confident mentions
    margin: float = Field(default=0.01, ge=0)  # the rule aims this much above the promise
    step: float = Field(default=0.4, gt=0, allow_inf_nan=False)  # on the logit scale
    floor: float = Field(default=0.5, gt=0, lt=1)  # lowest threshold
    #: From here on everything goes to people. Some mentions must reach it, or the way back takes long.
    ceiling: float = Field(default=0.95, gt=0, lt=1)
    few: int = Field(default=100, ge=1)  # answers before a source gets its own level
    quiet: int = Field(default=50, ge=1)  # drawn mentions without a confident one, after which withheld ones count
    delta: float = Field(default=0.1, gt=0, lt=1)  # probability that an interval fails
    block: int = Field(default=500, ge=2)  # answers of an interval

    @property
    def aim(self) -> float:
        """Share of confident mentions that may be wrong."""
        return 1 - self.promised - self.margin

    def most_wrong(self, answers: int) -> float:
        """Returns the largest share of wrong ones among this many consecutive counted answers, if none is withheld.

        `answers`: at least 1.
        """
        reach = logit(self.ceiling) - logit(self.floor) + self.step * (1 - self.aim)
        return min(1.0, self.aim + reach / (self.step * answers))

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if self.aim < LEAST_AIM:
            raise ValueError(f"promised {self.promised} and margin {self.margin} leave nothing that may be wrong")
        if self.floor >= self.ceiling:
            raise ValueError(f"floor {self.floor} must lie below ceiling {self.ceiling}")
        return self


class Answer(Value):
    """A person's answer about a mention that the draw of the spot checks picked.

    The same draw picks mentions below the threshold, which people are asked about anyway. Their answers belong here
    too. Answers about other mentions do not: they are no random sample.
    """

    id: str = Field(min_length=1)  # of the question; equal for an answer that comes again
    source: str | None = None
    probability: Score  # of the mention
    threshold: Score  # in force when the mention was routed
    is_right: bool

    @property
    def was_confident(self) -> bool:
        return is_confident(self.probability, self.threshold)


class Level(Value):
    """A threshold on the logit scale."""

    value: float = Field(allow_inf_nan=False)
    quiet: int = Field(default=0, ge=0)  # drawn mentions since the last one that was confident
    withheld: int = Field(default=0, ge=0)  # right answers about withheld mentions, ever


class Source(Value):
    """What is known of one source."""

    answers: int = Field(default=0, ge=0)  # about mentions that were confident when they were routed
    precision: Recent = Recent()
    level: Level | None = None  # None: it follows the shared level


class Thresholds(Value):
    """The whole state. `after` is its one transition: the same answers in the same order give the same state."""

    control: Control
    start: Score  # the checkpoint's threshold
    shared: Level
    precision: Recent = Recent()  # of all sources together
    sources: dict[str, Source] = Field(default_factory=dict)
    remembered: tuple[str, ...] = ()  # digests of the last answers, the latest last

    @classmethod
    def begin(cls, start: float, control: Control | None = None) -> Self:
        """Returns the state before any answer. Raises `ValueError` if `start` is not between floor and ceiling."""
        control = control or Control()
        if not control.floor <= start < control.ceiling:
            raise ValueError(f"start {start} must lie between {control.floor} and {control.ceiling}")
        return cls(control=control, start=start, shared=Level(value=logit(start)))

    def threshold(self, source: str | None = None) -> float:
        """Returns the threshold in force for a source; 1 when everything goes to people, also what is certain.

        A source without its own level has the shared one, and so has None.
        """
        return _probability(self._in_force(source).value, self.control)

    def interval(self, source: str | None = None) -> Interval:
        """Returns the possible precisions of the recent confident mentions of a source, or of all for None.

        They are all precisions, 0 to 1, for a source that was never seen.
        """
        if source is None:
            return self.precision.interval(self.control.delta)
        return self.sources.get(source, Source()).precision.interval(self.control.delta)

    def after(self, answer: Answer) -> Thresholds:
        """Returns the state after one answer. One that is remembered changes nothing, even if it differs now."""
        digest = sha256(answer.id.encode()).hexdigest()[:16]
        if digest in self.remembered:
            return self
        changes: dict[str, object] = {"remembered": (*self.remembered, digest)[-REMEMBERED:]}
        name = self._told_apart(answer.source)
        in_force = self._in_force(name)
        waiting = {"quiet": in_force.quiet + 1}
        moved = _moved(in_force, answer, self)
        source = None if name is None else self.sources.get(name, Source())
        if source is None or source.level is None:
            changes["shared"] = moved or self.shared.model_copy(update=waiting)
        if answer.was_confident:
            changes["precision"] = self.precision.after(answer.is_right, self.control.delta, self.control.block)
        if name is not None and source is not None:
            level = moved or in_force.model_copy(update=waiting)
            changes["sources"] = {**self.sources, name: _source_after(source, answer, level, self.control)}
        return self.model_copy(update=changes)

    def is_apart(self, source: str | None) -> bool:
        """Whether a source has a level of its own."""
        return source in self.sources and self.sources[source].level is not None

    def _told_apart(self, source: str | None) -> str | None:
        """Returns the source, or None if there are too many others."""
        return source if source in self.sources or len(self.sources) < MOST_SOURCES else None

    def _in_force(self, source: str | None) -> Level:
        state = self.sources.get(source) if source is not None else None
        if state is not None and state.level is not None:
            return state.level
        own = [each.level.value for _, each in sorted(self.sources.items()) if each.level is not None]
        mean = math.fsum(own) / len(own) if own else -math.inf
        return self.shared.model_copy(update={"value": max(self.shared.value, mean)})


def _source_after(source: Source, answer: Answer, level: Level, control: Control) -> Source:
    """Returns the source after an answer that moved the level in force for it to `level`."""
    if answer.was_confident:
        precision = source.precision.after(answer.is_right, control.delta, control.block)
        source = source.model_copy(update={"answers": source.answers + 1, "precision": precision})
    is_worse = source.precision.interval(control.delta).high < control.promised
    if source.level is not None or source.answers >= control.few or is_worse:
        return source.model_copy(update={"level": level})
    return source


def _moved(level: Level, answer: Answer, state: Thresholds) -> Level | None:
    """Returns the level after an answer about a mention of its sources; None if the answer does not count."""
    control = state.control
    highest = logit(control.ceiling) + control.step * (1 - control.aim)  # one wrong answer above the ceiling
    moved = level.value + control.step * ((not answer.is_right) - control.aim)
    value = min(highest, max(logit(control.floor), moved))
    if answer.was_confident or is_confident(answer.probability, _probability(level.value, control)):
        return level.model_copy(update={"value": value, "quiet": 0})
    quiet = level.quiet + 1
    if not _is_withheld(level, answer, quiet, state):
        return None
    return Level(value=value, quiet=quiet, withheld=level.withheld + answer.is_right)


def _is_withheld(level: Level, answer: Answer, quiet: int, state: Thresholds) -> bool:
    """Whether an answer moves the level although its mention goes to people.

    Without this there were no way back from the ceiling, where nothing is confident. There, mentions at or above the
    ceiling show how precise they would be. If hardly any mention has been confident for long, those at or above the
    checkpoint's threshold show it.
    """
    if level.value >= logit(state.control.ceiling) and answer.probability >= state.control.ceiling:
        return True
    return quiet >= state.control.quiet and answer.probability >= state.start


def _probability(value: float, control: Control) -> float:
    """Returns the threshold of a level; 1 from the ceiling on."""
    return 1.0 if value >= logit(control.ceiling) else round(1 / (1 + math.exp(-value)), DIGITS)


def logit(probability: float) -> float:
    """Returns log(p / (1 - p)) of a probability between 0 and 1, both exclusive."""
    return math.log(probability / (1 - probability))
