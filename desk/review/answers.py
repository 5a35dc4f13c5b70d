"""Applies what a person decided in a browser to a task. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from core.events import ReviewTask
from desk.review.values import Answer, NewSpan
from review.work import InvalidAction, Item, Work, begin

Change = Callable[[Work], Work]


def answered(task: ReviewTask, answers: Sequence[Answer], added: Sequence[NewSpan]) -> Work:
    """Returns the finished work on the task. `Answer.item` counts the items of `review.work.begin`.

    The answers are a final state, in any order. So a mention may move to where another one was before. Raises
    `InvalidAction` when an answer makes no sense, or a question has none.
    """
    work = begin(task)
    items = work.items
    at = [answer.item for answer in answers]
    if len(set(at)) < len(at) or any(place >= len(items) for place in at):
        raise InvalidAction("an answer names an item twice, or one that the task does not have; reload the page")
    for answer in answers:  # makes room: what is gone or moves, leaves its place first
        if items[answer.item].before is not None and _leaves(items[answer.item], answer.after):
            work = replace(work, cursor=answer.item).reject()
    changes: list[Change] = [partial(_keep, answer.item, answer.after) for answer in answers if answer.after]
    removed = [answer.item for answer in answers if answer.after is None and items[answer.item].before is None]
    changes += [partial(_remove, place) for place in sorted(removed, reverse=True)]  # the lower places stay
    changes += [partial(_add, new) for new in added]
    for change in changes:
        work = change(work)
    if not work.done:
        raise InvalidAction("some questions have no answer yet")
    return work


def _leaves(item: Item, after: NewSpan | None) -> bool:
    return after is None or (after.start, after.end) != (item.mention.start, item.mention.end)


def _remove(place: int, work: Work) -> Work:
    return replace(work, cursor=place).reject()


def _keep(place: int, after: NewSpan, work: Work) -> Work:
    return replace(work, cursor=place).respan(after.start, after.end, after.type)


def _add(new: NewSpan, work: Work) -> Work:
    return work.add(new.start, new.end, new.type)
