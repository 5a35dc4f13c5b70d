"""A task on the table: its mentions, what a person says of each, and the way back. Pure; every change is a new `Work`.

The verdict on a mention follows from what it was and what it is now: nothing left is `reject`, another span `respan`,
another type `retype`, the same `accept`, something new `add`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from core.events import Action, EntityType, Mention, Reason, ReviewTask, Verdict, overlaps


class NotPossible(Exception):
    """An action that makes no sense here; the message tells the reviewer why."""


@dataclass(frozen=True)
class Item:
    """One mention on the table. `before` as the model had it (none: added by the person).

    `asked`: the model is unsure, so the task waits for an answer. A confident mention stands unless it is changed.
    `is_candidate`: the model did not choose it. `crowded_out`: an answer that stands overlaps it, so that nobody is asked.
    """

    before: Mention | None
    after: Mention | None
    asked: bool = False
    answered: bool = False
    reasons: tuple[Reason, ...] = ()
    is_candidate: bool = False
    crowded_out: bool = False

    @property
    def mention(self) -> Mention:
        """What to show: as it is now, or as it was before it was rejected."""
        shown = self.after or self.before
        assert shown is not None  # an added mention that is rejected leaves the table
        return shown

    @property
    def open(self) -> bool:
        return self.asked and not self.answered and not self.crowded_out

    @property
    def stands(self) -> bool:
        """Whether this mention is in the final list as things are."""
        return self.after is not None and (self.answered or not self.asked)

    @property
    def verdict(self) -> Verdict | None:
        if not self.answered:
            return None
        return Verdict(action=self._action, before=self.before, after=self.after, is_candidate=self.is_candidate)

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
    """A task, its items in reading order, the one in hand (`cursor`), and the work before the last answer."""

    task: ReviewTask
    items: tuple[Item, ...]
    cursor: int
    previous: Work | None = None

    @property
    def current(self) -> Item:
        return self.items[self.cursor]

    @property
    def done(self) -> bool:
        """Every question has its answer."""
        return not any(item.open for item in self.items)

    @property
    def mentions(self) -> tuple[Mention, ...]:
        """The final list, every one by the word of a person."""
        standing = [by_human(item.mention) for item in self.items if item.stands]
        return tuple(sorted(standing, key=lambda mention: mention.start))

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        return tuple(item.verdict for item in self.items if item.verdict is not None)

    def accept(self) -> Work:
        """The model is right, or what was changed before is right as it is now."""
        return self._answer(self.current.mention)

    def reject(self) -> Work:
        """This is no entity. A mention that the person added is gone."""
        if self.current.before is None:
            kept = _with_room(self.items[: self.cursor] + self.items[self.cursor + 1 :])
            return replace(self, items=kept, cursor=_next_open(kept, self.cursor - 1), previous=self)
        return self._answer(None)

    def retype(self, entity_type: EntityType) -> Work:
        return self._answer(_changed(self.current.mention, type=entity_type))

    def respan(self, start: int, end: int, entity_type: EntityType | None = None) -> Work:
        """Other code points of the tweet, [start, end), and perhaps another type."""
        mention = self.current.mention
        return self._answer(self._mention(start, end, entity_type or mention.type, mention))

    def add(self, start: int, end: int, entity_type: EntityType) -> Work:
        """A mention that the model missed."""
        mention = self._mention(start, end, entity_type, None)
        self._check_room(mention, besides=None)
        ordered = sorted((*self.items, Item(None, mention, answered=True)), key=_reading_order)
        items, cursor = _with_room(ordered), ordered.index(self.current)
        if self.current.open and not items[cursor].open:
            cursor = _next_open(items, cursor)
        return replace(self, items=items, cursor=cursor, previous=self)

    def move(self, step: int) -> Work:
        """Take another mention in hand: the next (1) or the one before (-1), round and round."""
        return replace(self, cursor=(self.cursor + step) % len(self.items))

    def undo(self) -> Work:
        """The work before the last answer."""
        if self.previous is None:
            raise NotPossible("there is nothing to undo in this task")
        return self.previous

    def _answer(self, after: Mention | None) -> Work:
        if after is not None:
            self._check_room(after, besides=self.current)
        item = replace(self.current, after=after and by_human(after), answered=True)
        items = _with_room((*self.items[: self.cursor], item, *self.items[self.cursor + 1 :]))
        return replace(self, items=items, cursor=_next_open(items, self.cursor), previous=self)

    def _mention(self, start: int, end: int, entity_type: EntityType, like: Mention | None) -> Mention:
        text = self.task.tweet.text
        if not 0 <= start < end <= len(text) or not text[start:end].strip():
            raise NotPossible("a mention needs at least one visible character")
        if like is not None:
            return _changed(like, start=start, end=end, text=text[start:end], type=entity_type)
        added = Mention(
            start=start, end=end, text=text[start:end], type=entity_type, probability=1.0, aleatoric=0.0, epistemic=0.0
        )
        return by_human(added)

    def _check_room(self, mention: Mention, besides: Item | None) -> None:
        for item in self.items:
            other = item.mention
            if item is not besides and item.stands and overlaps(mention, other):
                raise NotPossible(f"it would overlap {other.text!r}: reject or move that one first")


def begin(task: ReviewTask) -> Work:
    """A task as it comes from the queue, the first question in hand."""
    asked = [
        Item(q.mention, q.mention, asked=True, reasons=q.reasons, is_candidate=q.is_candidate) for q in task.questions
    ]
    items = tuple(sorted([*asked, *(Item(m, m) for m in task.confident)], key=_reading_order))
    return Work(task, items, _next_open(items, -1))


def by_human(mention: Mention) -> Mention:
    """The same span and type by the word of a person: certain. The model's own figures stay in the verdict."""
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


def _with_room(items: Sequence[Item]) -> tuple[Item, ...]:
    """Of mentions that overlap one can be: what a person lets stand closes the questions in its way, while it does."""
    standing = [item.mention for item in items if item.answered and item.stands]
    return tuple(
        replace(item, crowded_out=not item.answered and any(overlaps(item.mention, one) for one in standing))
        if item.asked
        else item
        for item in items
    )


def _changed(mention: Mention, **fields: object) -> Mention:
    return mention.model_copy(update=fields)


def _next_open(items: tuple[Item, ...], place: int) -> int:
    """The next question without an answer, from `place` on and round; where there is none, stay."""
    order = [*range(place + 1, len(items)), *range(max(place, 0) + 1)]
    return next((at for at in order if at < len(items) and items[at].open), min(max(place, 0), len(items) - 1))


def _reading_order(item: Item) -> tuple[int, int]:
    return item.mention.start, item.mention.end
