"""The topic of the thresholds on a real Kafka: one order for all, and routing that a replay repeats."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, closing
from datetime import UTC, datetime, timedelta
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

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
from streams.threshold_log import DELAY_S, FRESH_S, AnswerTable, Calibrated, DrawnAnswer, Placed, ThresholdLog, answers
from tests.sinks.conftest import clock, index, queue
from tests.streams.said import applying

__all__ = ["clock", "index", "queue"]  # the fixtures

TEXT = "Ada met Bob"
START, PROMISED = 0.8, 0.9
CALIBRATED = Calibrated("m", 1, START, PROMISED)
NUMBERS = count()


def mention(probability: float, start: int = 0, end: int = 3) -> Mention:
    return Mention(
        start=start, end=end, text=TEXT[start:end], type="PER", probability=probability, aleatoric=0.1, epistemic=0.1
    )


def extraction(post: str, *mentions: Mention, source: str = "unknown", **changed: Any) -> Extraction:
    fields = {
        "tweet": {"id": post, "text": TEXT, "source": source},
        "mentions": mentions,
        "model": "m",
        "model_version": 1,
        "threshold": START,
        "promised": PROMISED,
    }
    return Extraction.model_validate(fields | changed)


def decision(of: Extraction, *, right: bool = True, share: float = 1.0, follows: bool = True, **to: Any) -> Decision:
    """Returns a decision on all questions of an extraction."""
    task = route(of, spot_check_share=share, follows=follows).task
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
    return Decision(**(fields | to))


# which answers count


def test_answers_about_drawn_mentions_count_above_and_below_the_threshold() -> None:
    below, above = answers(decision(extraction("1", mention(0.9), mention(0.3, 8, 11))))
    assert (above.probability, above.was_confident, above.is_right) == (0.9, True, True)
    assert (below.probability, below.was_confident, below.threshold) == (0.3, False, START)
    assert above.id != below.id
    assert (above.model, above.model_version, above.start) == ("m", 1, START)


def test_an_uncertain_mention_counts_only_if_it_is_drawn() -> None:
    told = [answers(decision(extraction(str(n), mention(0.3)), share=0.02)) for n in range(500)]
    drawn = [is_drawn(extraction(str(n)).tweet, mention(0.3), 0.02) for n in range(500)]
    assert [bool(each) for each in told] == drawn
    assert 0 < sum(drawn) < 50


def test_a_confident_mention_that_nobody_was_asked_about_does_not_count_even_if_it_is_changed() -> None:
    """A person sees it beside the questions, and changes it only if it is wrong. So it is no random sample."""
    made = decision(extraction("1", mention(0.9), mention(0.3, 8, 11)), share=0.0)
    assert answers(made) == []
    changed = Verdict(action="reject", before=mention(0.9))
    assert answers(made.model_copy(update={"verdicts": (*made.verdicts, changed)})) == []


def test_a_drawn_mention_that_an_accepted_one_overlaps_is_wrong() -> None:
    made = decision(extraction("1", mention(0.4), mention(0.3, 8, 11)))
    longer = Verdict(action="add", after=mention(1.0, 0, 7))
    settled = made.model_copy(update={"verdicts": (made.verdicts[1], longer)})
    assert [(one.probability, one.is_right) for one in answers(settled)] == [(0.4, False), (0.3, True)]
    still_open = settled.model_copy(update={"kind": "answer"})
    assert [(one.probability, one.is_right) for one in answers(still_open)] == [(0.3, True)]


@pytest.mark.parametrize(
    "changed", [{"kind": "retract"}, {"kind": "vote"}, {"copy_of": "2"}], ids=["taken back", "a vote", "a copy"]
)
def test_what_says_nothing_new_of_a_drawn_mention_does_not_count(changed: dict[str, Any]) -> None:
    assert answers(decision(extraction("1", mention(0.9)), **changed)) == []


def test_a_decision_on_a_fixed_threshold_and_an_imported_one_do_not_count() -> None:
    assert answers(decision(extraction("1", mention(0.9)), follows=False)) == []
    made = decision(extraction("1", mention(0.9)))
    assert answers(made.model_copy(update={"task": made.task.model_copy(update={"questions": ()})})) == []


def test_a_candidate_does_not_count() -> None:
    of = extraction("1", mention(0.9)).model_copy(update={"candidates": (mention(0.5, 8, 11),)})
    told = answers(decision(of))
    assert [one.probability for one in told] == [0.9]


def test_a_record_holds_neither_text_nor_id_of_the_post() -> None:
    (told,) = answers(decision(extraction("post-77", mention(0.9), source="bluesky")))
    written = told.model_dump_json()
    assert "77" not in written.replace(told.id, "")
    assert "Ada" not in written
    assert "bluesky" in written


# thresholds, moment by moment


class Written(AnswerTable):
    """A table whose records do not come from Kafka, each with the second in which it was stored."""

    def __init__(self, *stored: tuple[DrawnAnswer, float]) -> None:
        super().__init__("nowhere:1", "thresholds")
        self.store(stored)

    def store(self, stored: Sequence[tuple[DrawnAnswer, float]]) -> None:
        records = [
            SimpleNamespace(
                key=f"{next(NUMBERS)}".encode(), value=one.model_dump_json().encode(), timestamp=int(second * 1000)
            )
            for one, second in stored
        ]
        self._apply({None: records}, {})
        self._read_at = threshold_log._now()


def told(number: int, *, right: bool, source: str | None = None, **changed: Any) -> DrawnAnswer:
    fields = {"id": f"{number}", "source": source, "probability": 0.99, "threshold": START, "is_right": right}
    return DrawnAnswer.model_validate(fields | {"model": "m", "model_version": 1, "start": START} | changed)


async def routed(log: ThresholdLog, moment: float, of: Extraction | None = None) -> float:
    of = of or extraction("1")
    await log.follow([of])
    return log.threshold(of, moment)


async def test_an_answer_counts_a_moment_after_it_was_stored_and_not_before() -> None:
    log = ThresholdLog(Written((told(1, right=False), 100.0)))
    assert await routed(log, 100.0 + DELAY_S - 0.01) == START
    assert await routed(log, 100.0 + DELAY_S) > START


async def test_a_clock_that_goes_back_changes_no_order() -> None:
    log = ThresholdLog(Written((told(1, right=False), 100.0), (told(2, right=False), 50.0)))
    assert await routed(log, 100.0 + DELAY_S - 1) == START
    twice = ThresholdLog(Written((told(1, right=False), 1.0), (told(2, right=False), 1.0)))
    assert await routed(log, 100.0 + DELAY_S) == await routed(twice, 1.0 + DELAY_S)


async def test_what_was_routed_once_is_routed_alike_whatever_was_answered_since() -> None:
    chance = random.Random(7)
    rights, sources = [chance.random() < 0.8 for _ in range(600)], [chance.choice("ab?") for _ in range(600)]
    stored = [(told(n, right=rights[n], source=sources[n]), float(n)) for n in range(600)]
    moments = [(n, extraction("1", source=chance.choice("abc?"))) for n in range(0, 600, 7)]
    growing = Written()
    log, live, done = ThresholdLog(growing), [], 0
    for n, of in moments:
        growing.store(stored[done : n + 1])
        done = n + 1
        live.append(await routed(log, n + DELAY_S, of))
    replayed = ThresholdLog(Written(*stored))
    assert [await routed(replayed, n + DELAY_S, of) for n, of in moments] == live
    assert len(set(live)) > 10


async def test_of_two_records_of_one_answer_the_first_counts() -> None:
    first, again = (told(1, right=False), 10.0), (told(1, right=True), 20.0)
    once, twice = ThresholdLog(Written(first)), ThresholdLog(Written(first, again))
    assert await routed(twice, 100.0) == await routed(once, 100.0)
    assert len(twice.table.entries) == 1


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"model": "n"}, id="model"),
        pytest.param({"model_version": 2}, id="model version"),
        pytest.param({"start": 0.6}, id="runtime, which has its own threshold"),
    ],
)
async def test_each_checkpoint_and_each_runtime_has_its_own_thresholds(other: dict[str, Any]) -> None:
    log = ThresholdLog(Written((told(1, right=False), 0.0), (told(2, right=True, **other), 0.0)))
    of = extraction("1", **{"threshold" if name == "start" else name: value for name, value in other.items()})
    assert await routed(log, 100.0, of) < of.threshold
    assert await routed(log, 100.0) > START


async def test_a_source_with_answers_enough_has_its_own() -> None:
    log = ThresholdLog(Written(*[(told(n, right=False, source="a"), 0.0) for n in range(30)]))
    assert await routed(log, 100.0, extraction("1", source="a")) == 1.0, "hardly anything is right there"
    state = await log.now(CALIBRATED)
    assert state is not None
    assert state.is_apart("a")
    assert state.interval("a").high < 0.9


async def test_a_source_of_its_own_is_not_held_back_by_others() -> None:
    good, bad = ([(source, right)] * number for source, right, number in (("good", True, 150), ("bad", False, 30)))
    stored = [(told(n, right=right, source=source), 0.0) for n, (source, right) in enumerate([*good, *bad])]
    log = ThresholdLog(Written(*stored))
    own, other = [await routed(log, 100.0, extraction("1", source=source)) for source in ("good", "new")]
    assert own < START < other


@pytest.mark.parametrize(("promised", "start"), [(0.9, 0.97), (0.9, 0.4), (0.99, 0.8), (0.995, 0.8)])
async def test_a_threshold_that_the_rule_does_not_fit_stays(promised: float, start: float) -> None:
    log = ThresholdLog(Written((told(1, right=False, start=start), 0.0)))
    assert await routed(log, 100.0, extraction("1", threshold=start, promised=promised)) == start
    assert await log.now(CALIBRATED._replace(threshold=start, promised=promised)) is None


async def test_a_fixed_threshold_does_not_move_and_waits_for_no_topic() -> None:
    table = Written((told(1, right=False), 0.0))
    table._read_at = -1e9
    log, fixed = ThresholdLog(table), extraction("1", promised=None)
    assert await routed(log, 100.0, fixed) == START
    with pytest.raises(Retry):
        await routed(log, 100.0)


async def test_only_so_many_checkpoints_are_kept_in_memory() -> None:
    log = ThresholdLog(Written((told(1, right=False), 0.0)))
    found = [await routed(log, 100.0, extraction("1", threshold=0.6 + n / 1000)) for n in range(40)]
    assert len(log._histories) == threshold_log.MOST_CALIBRATED
    assert found[0] == await routed(log, 100.0, extraction("1", threshold=0.6)) == 0.6


async def test_a_batch_of_more_checkpoints_than_are_kept_is_routed_too() -> None:
    log = ThresholdLog(Written((told(1, right=False), 0.0)))
    many = [extraction("1", threshold=0.6 + n / 1000) for n in range(40)]
    await log.follow(many)
    assert [log.threshold(each, 100.0) for each in many] == [each.threshold for each in many]


async def test_a_topic_read_anew_takes_the_place_of_the_old_one_when_it_is_whole() -> None:
    table = Written(*[(told(n, right=False), 0.0) for n in range(5)])
    log = ThresholdLog(table)
    before = await routed(log, 100.0)
    table._into = threshold_log._Contents()
    table.store([(told(0, right=False), 0.0)])
    assert await routed(log, 100.0) == before
    table._contents = table._into
    assert START < await routed(log, 100.0) < before


async def test_records_of_a_later_rule_stop_the_routing_and_garbage_does_not() -> None:
    table = Written((told(1, right=False), 0.0))
    broken = [SimpleNamespace(key=b"x", value=value, timestamp=0) for value in (b"no json", b"[]", b"{}", None)]
    table._apply({None: broken}, {})
    log = ThresholdLog(table)
    assert await routed(log, 100.0) > START
    later = SimpleNamespace(key=b"y", value=b'{"rule": 2, "more": 1}', timestamp=0)
    table._apply({None: [later]}, {})
    for _ in range(2):
        with pytest.raises(Retry, match="rule 2, which a later version wrote"):
            await routed(log, 100.0)
        table._into = threshold_log._Contents()  # it begins to read the topic anew


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
            return ThresholdLog(table)

        yield open_one


async def seen(log: ThresholdLog, number: int) -> Sequence[Placed]:
    """Returns the entries once there are this many."""
    async with asyncio.timeout(30):
        while len(log.table.entries) < number:
            await asyncio.sleep(0.02)
    return log.table.entries


async def test_processes_that_tell_at_once_agree_on_one_order(opened: Open) -> None:
    logs = [await opened() for _ in range(3)]
    made = [decision(extraction(str(n), mention(0.9)), right=n % 3 > 0) for n in range(30)]
    await asyncio.gather(*(logs[n % 3].store(one) for n, one in enumerate(made)))
    orders = [await seen(log, 30) for log in (*logs, await opened())]
    assert all(order == orders[0] for order in orders)
    far = orders[0][-1].moment + 1
    assert len({await routed(log, far) for log in logs}) == 1


async def test_a_decision_that_comes_again_is_told_once(opened: Open) -> None:
    log, made = await opened(), decision(extraction("1", mention(0.9)))
    for _ in range(3):
        await log.store(made)
    await (await opened()).store(made)
    await log.store(decision(extraction("1", mention(0.9)), right=False))
    (placed,) = (await opened()).table.entries
    assert placed.answer.is_right, "the first answer counts"


async def test_no_key_comes_twice_so_compaction_removes_nothing(
    opened: Open, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, name = await opened(), settings.name(topics.THRESHOLDS)
    for n in range(8):
        made = decision(extraction(str(n), mention(0.9)), right=n % 4 > 0)
        await log.store(made)
    monkeypatch.setattr(log.table, "has", lambda _: False)  # as after a put that Kafka stored but did not confirm
    await log.store(made)
    fresh = await opened()
    assert list(fresh.table.entries) == list(log.table.entries)
    assert [placed.answer.is_right for placed in fresh.table.entries] == [False, True, True, True] * 2

    def keys() -> list[bytes]:
        with closing(KafkaConsumer(bootstrap_servers=str(settings.kafka), group_id=None)) as consumer:
            place = TopicPartition(name, 0)
            consumer.assign([place])
            consumer.seek_to_beginning(place)
            return [record.key for records in consumer.poll(10_000).values() for record in records]

    found = await asyncio.to_thread(keys)
    assert len(found) == len(set(found)) == 9


async def test_a_table_goes_on_looking_for_the_end(opened: Open, settings: Settings) -> None:
    unread = AnswerTable(str(settings.kafka), settings.name(topics.THRESHOLDS))
    with pytest.raises(Retry, match="is not read yet"):
        unread.check()
    log = await opened()
    log.table.check()
    log.table._looked_at = log.table._read_at = threshold_log._now() - FRESH_S - 0.1
    with pytest.raises(Retry, match=r"was last read to its end \d+ s ago"):
        log.table.check()
    async with asyncio.timeout(30):
        while threshold_log._now() - log.table._read_at > FRESH_S / 2:
            await asyncio.sleep(0.1)
    log.table.check()


async def test_a_topic_that_is_made_anew_is_followed_from_its_beginning(opened: Open, settings: Settings) -> None:
    log, name = await opened(), settings.name(topics.THRESHOLDS)
    for n in range(3):
        await log.store(decision(extraction(f"old{n}", mention(0.9)), right=False))
    moment = log.table.entries[-1].moment + 1000
    assert await routed(log, moment) > START

    def make_anew() -> None:
        with topics.administered(str(settings.kafka)) as client:
            client.delete_topics([name])
            while name in client.list_topics():
                pass
        topics.create(str(settings.kafka), topics.plan(settings))
        value = told(77, right=True).model_dump_json().encode()
        producer = KafkaProducer(bootstrap_servers=str(settings.kafka))
        producer.send(name, key=b"77", value=value).get(10)
        producer.close()

    await asyncio.to_thread(make_anew)
    async with asyncio.timeout(60):
        while [placed.answer.id for placed in log.table.entries] != ["77"]:
            await asyncio.sleep(0.05)
    assert await routed(log, moment) < START


async def test_a_topic_of_two_partitions_is_refused(settings: Settings) -> None:
    (planned,) = [topic for topic in topics.plan(settings) if topic.name == settings.name(topics.THRESHOLDS)]
    assert (planned.partitions, planned.cleanup, planned.retention_ms) == (1, "compact", -1)
    two = topics.Topic(planned.name, 2, 1, "compact", -1, topics.EVENT_BYTES)
    await asyncio.to_thread(topics.create, str(settings.kafka), [two])
    table = AnswerTable(str(settings.kafka), planned.name)
    try:
        with pytest.raises(UserError, match="must have one partition"):
            await table.start()
    finally:
        await table.close()


# through the agents


def item(of: Extraction, moment: float) -> Item[Extraction]:
    return Item(Origin("extractions", 0, 0, of.tweet.id.encode(), b"{}", moment), parsed=of)


def deliver(index: Index, queue: ReviewQueue, log: ThresholdLog, threshold: float | None = None) -> Deliver:
    return Deliver(index, queue, applying(index, queue), threshold, None, thresholds=log, spot_check_share=1.0)


async def test_answers_raise_the_threshold_and_a_replay_routes_as_before(
    opened: Open, settings: Settings, index: Index, queue: ReviewQueue
) -> None:
    log = await opened()
    early = [item(extraction(f"e{n}", mention(0.82)), 0.0) for n in range(4)]
    await deliver(index, queue, log).process(early)
    topic, forever = settings.name(topics.DECISIONS), Retention(None)
    async with Producer(str(settings.kafka)) as producer:
        decide = Decide(index, queue, applying(index, queue), producer, topic, forever, thresholds=log)
        for task in [entry.task for entry in await queue.list()]:
            (question,) = task.questions
            rejected = Verdict(action="reject", before=question.mention, is_audit=True)
            made = decision(early[0].event, task=task, mentions=(), verdicts=(rejected,))
            await decide.process(Item(Origin("decisions", 0, 0, b"k", b"{}", 0.0), parsed=made))
    entries = await seen(log, 4)
    before, after = entries[0].moment - 1, entries[-1].moment + 1
    stream = [item(extraction("1", mention(0.82)), before), item(extraction("2", mention(0.82)), after)]
    await deliver(index, queue, log).process(stream)
    held = await index.held(["1", "2"])
    assert [len(held[post].body["mentions"]) for post in ("1", "2")] == [1, 0]
    (waiting,) = [entry.task for entry in await queue.list() if entry.task.tweet.id == "2"]
    assert (waiting.threshold, waiting.checkpoint_threshold) == (log.threshold(stream[1].event, after), START)

    empty = Index(str(settings.elasticsearch), settings.name("rebuilt"))
    await empty.prepare()
    try:
        await deliver(empty, queue, await opened()).process(stream)
        assert await empty.held(["1", "2"]) == held
    finally:
        await empty.close()


async def test_the_threshold_of_the_settings_wins(opened: Open, index: Index, queue: ReviewQueue) -> None:
    log = await opened()
    for n in range(4):
        await log.store(decision(extraction(f"e{n}", mention(0.82)), right=False))
    far = (await seen(log, 4))[-1].moment + 1
    await deliver(index, queue, log, 0.5).process([item(extraction("1", mention(0.6)), far)])
    assert len((await index.held(["1"]))["1"].body["mentions"]) == 1
    (entry,) = await queue.list()
    assert entry.task.checkpoint_threshold is None, "answers about it move nothing"


async def test_at_a_threshold_of_one_people_get_what_is_certain_too(index: Index, queue: ReviewQueue) -> None:
    await Deliver(index, queue, applying(index, queue), 1.0, None).process([item(extraction("1", mention(1.0)), 0.0)])
    assert (await index.held(["1"]))["1"].body["mentions"] == []
    (entry,) = await queue.list()
    assert [question.mention.probability for question in entry.task.questions] == [1.0]
    assert "people are asked about every mention now" in entry.task.questions[0].reasons[-1].sentence
