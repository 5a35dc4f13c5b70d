"""The state of a task while a person answers its questions. Pure: every change returns a new `Work`.

The action of a verdict follows from the mention before and after: `accept` if nothing changed, `retype` or `respan`
if its type or span changed, `reject` if it is gone, `add` if it is new.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from core.events import Action, EntityType, Mention, Reason, ReviewTask, Verdict, overlaps
from review.segments import is_visible


class InvalidAction(Exception):
    """The action makes no sense here. The message tells the reviewer why."""


@dataclass(frozen=True)
class Item:
    """One mention of the task, and what a person decided about it."""

    before: Mention | None  # the model's mention; None if a person added it
    after: Mention | None  # the mention now; None if rejected
    #: Whether a person is asked about it. Otherwise the mention is confident, and kept unless a person changes it.
    asked: bool = False
    answered: bool = False
    reasons: tuple[Reason, ...] = ()
    is_candidate: bool = False  # not chosen by the model
    is_audit: bool = False  # confident, and drawn at random
    superseded: bool = False  # an accepted mention overlaps it, so it is no longer asked

    @property
    def mention(self) -> Mention:
        """The mention as it is now or, if it is rejected, as it was before."""
        shown = self.after or self.before
        assert shown is not None  # an added mention that is rejected is removed
        return shown

    @property
    def open(self) -> bool:
        return self.asked and not self.answered and not self.superseded

    @property
    def stands(self) -> bool:
        """Whether the mention is in the final list if nothing else changes."""
        return self.after is not None and (self.answered or not self.asked)

    @property
    def verdict(self) -> Verdict | None:
        if not self.answered:
            return None
        return Verdict(
            action=self._action,
            before=self.before,
            after=self.after,
            is_candidate=self.is_candidate,
            is_audit=self.is_audit,
        )

    @property
    def replaced(self) -> Verdict | None:
        """The verdict on a spot check when another mention stands in its place."""
        return Verdict(action="reject", before=self.before, is_audit=True) if self.is_audit else None

    @property
    def _action(self) -> Action:
        before, after = self.before, self.after
        if before is None:
            return "add"
        if after is None:
            return "reject"
        if (after.start, after.end) != (before.start, before.end):
            return "respan"
        return "accept" if after.type == before.type else "retype"


@dataclass(frozen=True)
class Work:
    """A task with its items in reading order. An answer that makes no sense raises `InvalidAction`."""

    task: ReviewTask
    items: tuple[Item, ...]
    cursor: int  # index of the current item
    previous: Work | None = None  # the work before the last answer
    copies: int = 0  # copies of the post for which the decision counts too

    @property
    def current(self) -> Item:
        return self.items[self.cursor]

    @property
    def done(self) -> bool:
        """Whether every question is answered."""
        return not any(item.open for item in self.items)

    @property
    def mentions(self) -> tuple[Mention, ...]:
        """The final list in reading order. Every mention has the source `human`."""
        standing = [by_human(item.mention) for item in self.items if item.stands]
        return tuple(sorted(standing, key=lambda mention: mention.start))

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """What the person said. A spot check that an accepted mention has closed was wrong: without a verdict, the
        precision that is measured would be too high."""
        return tuple(
            verdict
            for item in self.items
            if (verdict := item.replaced if self.done and item.superseded else item.verdict) is not None
        )

    def accept(self) -> Work:
        """Accepts the current mention as it is now."""
        return self._answer(self.current.mention)

    def reject(self) -> Work:
        """Rejects the current mention. One that the person added is removed."""
        if self.current.before is None:
            kept = _update_superseded(self.items[: self.cursor] + self.items[self.cursor + 1 :])
            return replace(self, items=kept, cursor=_next_open(kept, self.cursor - 1), previous=self)
        return self._answer(None)

    def retype(self, entity_type: EntityType) -> Work:
        return self._answer(_changed(self.current.mention, type=entity_type))

    def respan(self, start: int, end: int, entity_type: EntityType | None = None) -> Work:
        """Moves the current mention to the code points [start, end) and, if given, changes its type."""
        mention = self.current.mention
        return self._answer(self._mention(start, end, entity_type or mention.type, mention))

    def add(self, start: int, end: int, entity_type: EntityType) -> Work:
        """Adds a mention that the model missed."""
        mention = self._mention(start, end, entity_type, None)
        self._check_overlap(mention, ignored=None)
        ordered = sorted((*self.items, Item(None, mention, answered=True)), key=_reading_order)
        items, cursor = _update_superseded(ordered), ordered.index(self.current)
        if self.current.open and not items[cursor].open:
            cursor = _next_open(items, cursor)
        return replace(self, items=items, cursor=cursor, previous=self)

    def move(self, step: int) -> Work:
        """Makes the next (1) or the previous (-1) mention the current one. Wraps around at both ends."""
        return replace(self, cursor=(self.cursor + step) % len(self.items))

    def undo(self) -> Work:
        """Returns the work before the last answer."""
        if self.previous is None:
            raise InvalidAction("there is nothing to undo in this task")
        return self.previous

    def _answer(self, after: Mention | None) -> Work:
        if after is not None:
            self._check_overlap(after, ignored=self.current)
        item = replace(self.current, after=after and by_human(after), answered=True)
        items = _update_superseded((*self.items[: self.cursor], item, *self.items[self.cursor + 1 :]))
        return replace(self, items=items, cursor=_next_open(items, self.cursor), previous=self)

    def _mention(self, start: int, end: int, entity_type: EntityType, base: Mention | None) -> Mention:
        text = self.task.tweet.text
        if not 0 <= start < end <= len(text) or not is_visible(text[start:end]):
            raise InvalidAction("a mention needs at least one visible character")
        if base is not None:
            return _changed(base, start=start, end=end, text=text[start:end], type=entity_type)
        added = Mention(
            start=start, end=end, text=text[start:end], type=entity_type, probability=1.0, aleatoric=0.0, epistemic=0.0
        )
        return by_human(added)

    def _check_overlap(self, mention: Mention, ignored: Item | None) -> None:
        for item in self.items:
            other = item.mention
            if item is not ignored and item.stands and overlaps(mention, other):
                raise InvalidAction(f"it overlaps {other.text!r}: reject or move that mention first")


def begin(task: ReviewTask) -> Work:
    """Returns the work on a task from the queue, with the answers that it already has.

    The first open question is the current item.
    """
    asked = [
        Item(
            question.mention,
            question.mention,
            asked=True,
            reasons=question.reasons,
            is_candidate=question.is_candidate,
            is_audit=question.is_audit,
        )
        for question in task.questions
    ]
    items = [*asked, *(Item(mention, mention) for mention in task.confident)]
    for verdict in task.answers:
        known = next((place for place, item in enumerate(items) if _is_about(verdict, item)), None)
        if known is None:
            items.append(Item(verdict.before, verdict.after, answered=True, is_candidate=verdict.is_candidate))
        else:
            items[known] = replace(items[known], after=verdict.after, answered=True)
    ordered = _update_superseded(sorted(items, key=_reading_order))
    return Work(task, ordered, _next_open(ordered, -1))


def _is_about(verdict: Verdict, item: Item) -> bool:
    return verdict.before == item.before and verdict.is_candidate == item.is_candidate


def resume(work: Work, verdicts: Sequence[Verdict]) -> Work:
    """Returns the work with answers that were given before. Each verdict counts as one answer, so `undo` takes it back.

    An answer that makes no sense in this work is left out.
    """
    for verdict in verdicts:
        places = [place for place, item in enumerate(work.items) if item.before == verdict.before]
        try:
            if verdict.before is None and verdict.after is not None:
                work = work.add(verdict.after.start, verdict.after.end, verdict.after.type)
            elif places and verdict.after is None:
                work = replace(work, cursor=places[0]).reject()
            elif places and verdict.after is not None:
                after = verdict.after
                work = replace(work, cursor=places[0]).respan(after.start, after.end, after.type)
        except InvalidAction:
            continue
    return work


def by_human(mention: Mention) -> Mention:
    """Returns the mention as certain and of source `human`. The model's own figures stay in the verdict."""
    return Mention(
        start=mention.start,
        end=mention.end,
        text=mention.text,
        type=mention.type,
        probability=1.0,
        aleatoric=0.0,
        epistemic=0.0,
        source="human",
    )


def _update_superseded(items: Sequence[Item]) -> tuple[Item, ...]:
    """Closes every open question that an accepted mention overlaps, and reopens it when that mention is gone.

    Of overlapping mentions, at most one can be right.
    """
    accepted = [item.mention for item in items if item.answered and item.stands]
    return tuple(
        replace(item, superseded=not item.answered and any(overlaps(item.mention, other) for other in accepted))
        if item.asked
        else item
        for item in items
    )


def _changed(mention: Mention, **fields: object) -> Mention:
    return mention.model_copy(update=fields)


def _next_open(items: tuple[Item, ...], place: int) -> int:
    """Returns the index of the next open question after `place`, wrapping around, or `place` when none is open."""
    order = [*range(place + 1, len(items)), *range(max(place, 0) + 1)]
    return next((at for at in order if at < len(items) and items[at].open), min(max(place, 0), len(items) - 1))


def _reading_order(item: Item) -> tuple[int, int]:
    return item.mention.start, item.mention.end
