"""The topic of the thresholds on a real Kafka: one order for all, and routing that a replay repeats."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest

from core.errors import Retry, UserError
from core.events import Decision, Extraction, Mention, Verdict
from sinks.index.index import Index
from sinks.queue.queue import ReviewQueue
from streams import threshold_log, topics
from streams.agents.decide import Decide
from streams.agents.deliver import Deliver
from streams.pipeline.item import Item, Origin
from streams.producer import Producer
from streams.retention import Retention
from streams.routing import is_drawn, route
from streams.settings import Settings
from streams.threshold_log import DELAY_S, AnswerTable, Calibrated, Placed, ThresholdLog, ToldAnswer, answers
from tests.sinks.conftest import clock, index, queue
from tests.streams.said import applying

__all__ = ["clock", "index", "queue"]  # the fixtures

TEXT = "Ada met Bob"
START = 0.8
CALIBRATED = Calibrated("m", 1, START)
NUMBERS = count()


def mention(probability: float, start: int = 0, end: int = 3) -> Mention:
    return Mention(
        start=start, end=end, text=TEXT[start:end], type="PER", probability=probability, aleatoric=0.1, epistemic=0.1
    )


def extraction(post: str, *mentions: Mention, source: str = "unknown", version: int = 1) -> Extraction:
    return Extraction.model_validate(
        {
            "tweet": {"id": post, "text": TEXT, "source": source},
            "mentions": mentions,
            "model": "m",
            "model_version": version,
            "threshold": START,
        }
    )


def decision(of: Extraction, *, right: bool = True, limit: float | None = None, **changed: Any) -> Decision:
    """Returns a decision on all questions of an extraction, of which all mentions are drawn."""
    task = route(of, limit, spot_check_share=1.0).task
    assert task is not None
    verdicts = [
        Verdict(
            action="accept" if right else "reject",
            before=question.mention,
            after=question.mention if right else None,
            is_audit=question.is_audit,
        )
        for question in task.questions
    ]
    fields = {
        "id": f"d{next(NUMBERS)}",
        "task": task,
        "mentions": tuple(verdict.after for verdict in verdicts if verdict.after),
        "verdicts": tuple(verdicts),
        "reviewer": "ana",
        "decided_at": datetime(2026, 12, 1, tzinfo=UTC) + timedelta(seconds=next(NUMBERS)),
    }
    return Decision(**(fields | changed))


# which answers count


def test_answers_about_drawn_mentions_count_above_and_below_the_threshold() -> None:
    both = decision(extraction("1", mention(0.9), mention(0.3, 8, 11)))
    below, above = answers(both, 1.0)
    assert (above.probability, above.was_confident, above.is_right) == (0.9, True, True)
    assert (below.probability, below.was_confident, below.threshold) == (0.3, False, START)
    assert above.id != below.id
    assert (above.model, above.model_version) == ("m", 1)


def test_an_uncertain_mention_counts_only_if_it_is_drawn() -> None:
    told = [answers(decision(extraction(str(n), mention(0.3))), 0.02) for n in range(500)]
    drawn = [is_drawn(extraction(str(n)).tweet, mention(0.3), 0.02) for n in range(500)]
    assert [bool(each) for each in told] == drawn
    assert 0 < sum(drawn) < 50


@pytest.mark.parametrize(
    "changed", [{"kind": "retract"}, {"kind": "vote"}, {"copy_of": "2"}], ids=["taken back", "a vote", "a copy"]
)
def test_what_says_nothing_new_of_a_drawn_mention_does_not_count(changed: dict[str, Any]) -> None:
    assert answers(decision(extraction("1", mention(0.9)), **changed), 1.0) == []


def test_an_imported_decision_and_candidates_and_added_mentions_do_not_count() -> None:
    made = decision(extraction("1", mention(0.9)))
    imported = made.model_copy(update={"task": made.task.model_copy(update={"questions": ()})})
    assert answers(imported, 1.0) == []
    for changed in ({"is_candidate": True, "is_audit": False}, {"before": None, "action": "add", "is_audit": False}):
        verdict = made.verdicts[0].model_copy(update=changed)
        assert answers(made.model_copy(update={"verdicts": (verdict,)}), 1.0) == []


def test_a_record_holds_nothing_of_the_post() -> None:
    (told,) = answers(decision(extraction("post-of-ada", mention(0.9), source="bluesky")), 1.0)
    written = told.model_dump_json()
    assert "ada" not in written.lower().replace("metadata", "")
    assert "bluesky" in written


# thresholds, moment by moment


class Written(AnswerTable):
    """A table whose records do not come from Kafka, each with the second in which it was stored."""

    def __init__(self, told: Sequence[tuple[ToldAnswer, float]]) -> None:
        super().__init__("nowhere:1", "thresholds")
        self.store(told)

    def store(self, told: Sequence[tuple[ToldAnswer, float]]) -> None:
        records = [
            SimpleNamespace(key=one.id.encode(), value=one.model_dump_json().encode(), timestamp=int(second * 1000))
            for one, second in told
        ]
        values: dict[str, ToldAnswer] = {}
        self._apply({None: records}, values)
        self._values, self._version = values, self._version + 1


def told(number: int, *, right: bool, source: str | None = None, **changed: Any) -> ToldAnswer:
    fields = {"id": f"{number}", "at": number, "source": source, "probability": 0.99, "threshold": START}
    return ToldAnswer.model_validate(fields | {"is_right": right, "model": "m", "model_version": 1} | changed)


def test_an_answer_counts_a_moment_after_it_was_stored_and_not_before() -> None:
    log = ThresholdLog(Written([(told(1, right=False), 100.0)]), 0.9)
    of = extraction("1")
    assert log.threshold(of, 100.0 + DELAY_S - 0.01) == START
    assert log.threshold(of, 100.0 + DELAY_S) > START


def test_a_clock_that_goes_back_changes_no_order() -> None:
    log = ThresholdLog(Written([(told(1, right=False), 100.0), (told(2, right=False), 50.0)]), 0.9)
    before, after = log.threshold(extraction("1"), 100.0 + DELAY_S - 1), log.threshold(extraction("1"), 111.0)
    assert before == START
    twice = ThresholdLog(Written([(told(1, right=False), 1.0), (told(2, right=False), 1.0)]), 0.9)
    assert after == twice.threshold(extraction("1"), 111.0)


def test_what_was_routed_once_is_routed_alike_whatever_was_answered_since() -> None:
    chance = random.Random(7)
    all_told = [
        (told(n, right=chance.random() < 0.8, source=chance.choice(["unknown", "a", "b"])), float(n))
        for n in range(600)
    ]
    moments = [(float(n) + DELAY_S, chance.choice(["unknown", "a", "b", "c"])) for n in range(0, 600, 7)]
    growing = Written(all_told[:1])
    log, live = ThresholdLog(growing, 0.9), []
    for moment, source in moments:
        growing.store(all_told[: int(moment - DELAY_S) + 1])
        live.append(log.threshold(extraction("1", source=source), moment))
    replayed = ThresholdLog(Written(all_told), 0.9)
    assert [replayed.threshold(extraction("1", source=source), moment) for moment, source in moments] == live
    assert len(set(live)) > 10


def test_each_checkpoint_and_each_runtime_has_its_own_thresholds() -> None:
    log = ThresholdLog(Written([(told(1, right=False), 0.0), (told(2, right=True, model_version=2), 0.0)]), 0.9)
    assert log.threshold(extraction("1"), 100.0) > START
    assert log.threshold(extraction("1", version=2), 100.0) < START
    assert log.threshold(extraction("1", version=3), 100.0) == START
    other = extraction("1").model_copy(update={"threshold": 0.6})
    assert 0.6 < log.threshold(other, 100.0) < log.threshold(extraction("1"), 100.0)


def test_a_source_with_answers_enough_has_its_own() -> None:
    log = ThresholdLog(Written([(told(n, right=False, source="a"), 0.0) for n in range(30)]), 0.9)
    assert log.threshold(extraction("1", source="a"), 100.0) == 1.0, "hardly anything is right there"
    state = log.now(CALIBRATED)
    assert state is not None
    assert state.sources["a"].level is not None
    assert state.interval("a").high < 0.9


@pytest.mark.parametrize(("promised", "start"), [(None, 0.8), (0.9, 0.97), (0.9, 0.4), (0.995, 0.8)])
def test_a_threshold_that_the_rule_does_not_fit_stays(promised: float | None, start: float) -> None:
    log = ThresholdLog(Written([(told(1, right=False), 0.0)]), promised)
    of = extraction("1").model_copy(update={"threshold": start})
    assert log.threshold(of, 100.0) == start
    assert log.now(CALIBRATED._replace(threshold=start)) is None


def test_a_topic_that_was_made_anew_is_followed_from_its_beginning() -> None:
    table = Written([(told(n, right=False), float(n)) for n in range(9)])
    log = ThresholdLog(table, 0.9)
    assert log.threshold(extraction("1"), 100.0) > START
    table.store([(told(77, right=True), 0.0)])
    assert log.threshold(extraction("1"), 100.0) < START


# on a real broker

Open = Callable[..., Awaitable[ThresholdLog]]


@pytest.fixture
async def opened(settings: Settings) -> AsyncIterator[Open]:
    """Opens logs on this test's topic, as processes of their own would, and closes them."""
    await asyncio.to_thread(topics.create, str(settings.kafka), topics.plan(settings))
    async with AsyncExitStack() as stack:

        async def open_one() -> ThresholdLog:
            table = AnswerTable(str(settings.kafka), settings.name(topics.THRESHOLDS))
            stack.push_async_callback(table.close)
            await table.start()
            return ThresholdLog(table, 0.9, 1.0)

        yield open_one


async def seen(log: ThresholdLog, number: int) -> list[Placed]:
    """Returns the entries once there are this many."""
    async with asyncio.timeout(30):
        while len(log.table.entries) < number:
            await asyncio.sleep(0.02)
    return log.table.entries


async def test_processes_that_tell_at_once_agree_on_one_order(opened: Open) -> None:
    logs = [await opened() for _ in range(3)]
    made = [decision(extraction(str(n), mention(0.9)), right=n % 3 > 0) for n in range(30)]
    await asyncio.gather(*(logs[n % 3].tell(one) for n, one in enumerate(made)))
    orders = [await seen(log, 30) for log in (*logs, await opened())]
    assert all(order == orders[0] for order in orders)
    far = orders[0][-1].moment + 1
    assert len({log.threshold(extraction("1"), far) for log in logs}) == 1


async def test_a_decision_that_comes_again_is_told_once(opened: Open) -> None:
    log, made = await opened(), decision(extraction("1", mention(0.9)))
    for _ in range(3):
        await log.tell(made)
    await (await opened()).tell(made)
    changed_since = decision(extraction("1", mention(0.9)), right=False)
    await log.tell(changed_since)
    assert [placed.answer for placed in (await opened()).table.entries] == answers(made, 1.0)


async def test_a_worker_waits_while_it_may_lack_answers(
    opened: Open, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    unread = ThresholdLog(AnswerTable(str(settings.kafka), settings.name(topics.THRESHOLDS)), 0.9)
    with pytest.raises(Retry, match="was last read to its end"):
        unread.check()
    log = await opened()
    log.check()
    monkeypatch.setattr(threshold_log, "DELAY_S", 3 * threshold_log.CHECK_S)
    for _ in range(8):  # it looks for the end again and again
        await asyncio.sleep(threshold_log.CHECK_S / 2)
        log.check()


async def test_a_topic_of_two_partitions_is_refused(settings: Settings) -> None:
    plan = [topic for topic in topics.plan(settings) if topic.name == settings.name(topics.THRESHOLDS)]
    assert [topic.partitions for topic in plan] == [1]
    name = plan[0].name
    two = topics.Topic(name, 2, 1, "compact", -1, topics.EVENT_BYTES)
    await asyncio.to_thread(topics.create, str(settings.kafka), [two])
    table = AnswerTable(str(settings.kafka), name)
    try:
        with pytest.raises(UserError, match="must have one partition"):
            await table.start()
    finally:
        await table.close()


# through the agents


def item(of: Extraction, moment: float) -> Item[Extraction]:
    return Item(Origin("extractions", 0, 0, of.tweet.id.encode(), b"{}", moment), parsed=of)


async def test_answers_raise_the_threshold_and_a_replay_routes_as_before(
    opened: Open, settings: Settings, index: Index, queue: ReviewQueue
) -> None:
    log = await opened()
    async with Producer(str(settings.kafka)) as producer:
        decide = Decide(
            index, queue, applying(index, queue), producer, settings.name(topics.DECISIONS), Retention(None),
            thresholds=log,
        )  # fmt: skip
        early = [extraction(f"e{n}", mention(0.82)) for n in range(4)]
        for of in early:
            made = decision(of, right=False)
            await decide.process(Item(Origin("decisions", 0, 0, b"k", b"{}", 0.0), parsed=made))
    entries = await seen(log, 4)
    before, after = entries[0].moment - 1, entries[-1].moment + 1
    stream = [item(extraction("1", mention(0.82)), before), item(extraction("2", mention(0.82)), after)]
    await Deliver(index, queue, applying(index, queue), None, None, thresholds=log).process(stream)
    held = await index.held(["1", "2"])
    assert [len(held[post].body["mentions"]) for post in ("1", "2")] == [1, 0]
    (waiting,) = [entry.task for entry in await queue.list() if entry.task.tweet.id in {"1", "2"}]
    assert (waiting.tweet.id, waiting.threshold) == ("2", log.threshold(stream[1].event, after))

    empty = Index(str(settings.elasticsearch), settings.name("rebuilt"))
    await empty.prepare()
    try:
        await Deliver(empty, queue, applying(empty, queue), None, None, thresholds=await opened()).process(stream)
        assert await empty.held(["1", "2"]) == held
    finally:
        await empty.close()


async def test_the_threshold_of_the_settings_wins(opened: Open, index: Index, queue: ReviewQueue) -> None:
    log = await opened()
    for n in range(4):
        await log.tell(decision(extraction(f"e{n}", mention(0.82)), right=False))
    far = (await seen(log, 4))[-1].moment + 1
    fixed = Deliver(index, queue, applying(index, queue), 0.5, None, thresholds=log)
    await fixed.process([item(extraction("1", mention(0.6)), far)])
    assert len((await index.held(["1"]))["1"].body["mentions"]) == 1


async def test_at_a_threshold_of_one_people_get_what_is_certain_too(index: Index, queue: ReviewQueue) -> None:
    await Deliver(index, queue, applying(index, queue), 1.0, None).process([item(extraction("1", mention(1.0)), 0.0)])
    assert (await index.held(["1"]))["1"].body["mentions"] == []
    (entry,) = await queue.list()
    assert [question.mention.probability for question in entry.task.questions] == [1.0]
