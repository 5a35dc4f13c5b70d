"""Which failures stop a worker: those of its own stages and of its stores, and never what an event holds."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle
from typing import Any

import pytest

from core.errors import BatchFailed, ProcessDied, Refused, Reject
from core.events import Decision, Extraction, Tweet
from core.lifecycle import Lifecycle
from sinks.answers.elasticsearch import item_answer
from sinks.answers.kafka import answer as kafka_answer
from sinks.answers.redis import answer as redis_answer
from sinks.index.index import Outcome
from streams.pipeline import alert, limits
from streams.pipeline.decode import Decode
from streams.pipeline.item import Item, Origin
from streams.pipeline.stage import Stage
from tests.metrics_read import metric
from tests.streams.pipeline.test_pipeline import running

RUN = 10
COUNT = 5 * RUN


class Raise(Stage[Item[Any]]):
    """Raises the next error for each item, or passes it when there is none. Decodes nothing."""

    name = "raise"

    def __init__(self, errors: Iterator[Exception | None]) -> None:
        self._errors = errors

    async def process(self, item: Item[Any]) -> None:
        if (error := next(self._errors)) is not None:
            raise error


def refused_by_elasticsearch(status: int, kind: str, reason: str) -> Callable[[], Exception]:
    """Returns what a stage makes of the answer of Elasticsearch for one document."""
    answer = item_answer({"status": status, "error": {"type": kind, "reason": reason}}, "Elasticsearch", "mentions")
    return lambda: Outcome("rejected", answer.sentence, answer.general).error(answer.sentence)


def refused_by_kafka(name: str) -> Callable[[], Exception]:
    from aiokafka import errors

    return lambda: kafka_answer(getattr(errors, name)(), "Kafka", "topic extractions").error()


def refused_by_redis(message: str) -> Callable[[], Exception]:
    from redis.exceptions import ResponseError

    return lambda: redis_answer(ResponseError(message), "Redis", known=True).error()


DATA = [
    pytest.param(lambda: Reject("event: Invalid JSON"), id="what does not decode"),
    pytest.param(lambda: Reject("the record has 9 bytes, more than the topic allows"), id="too large for the topic"),
    pytest.param(refused_by_elasticsearch(413, "", "too large"), id="too large for Elasticsearch"),
    pytest.param(
        refused_by_elasticsearch(400, "illegal_argument_exception", "Document contains at least one immense term"),
        id="a word too long for Elasticsearch",
    ),
    pytest.param(
        refused_by_elasticsearch(
            400,
            "document_parsing_exception",
            "The number of nested documents has exceeded the allowed limit of [10000].",
        ),
        id="too many mentions for Elasticsearch",
    ),
    pytest.param(refused_by_redis("Protocol error: invalid bulk length"), id="too large for Redis"),
]
OURS = [
    pytest.param(lambda: RuntimeError("a bug"), id="a bug"),
    pytest.param(lambda: KeyError("x"), id="a bug without a message"),
    pytest.param(lambda: BatchFailed("the model raised"), id="the model raises"),
    pytest.param(lambda: ProcessDied("SIGKILL"), id="the model's process dies"),
    pytest.param(lambda: Refused("no"), id="a store refuses for a general reason"),
    pytest.param(
        refused_by_elasticsearch(400, "document_parsing_exception", "failed to parse field [edit] of type [date]"),
        id="another mapping",
    ),
    pytest.param(
        refused_by_elasticsearch(400, "strict_dynamic_mapping_exception", "mapping set to strict"),
        id="a strict mapping",
    ),
    pytest.param(refused_by_elasticsearch(400, "fail_processor_exception", "no"), id="an ingest pipeline"),
    pytest.param(refused_by_elasticsearch(422, "", "no"), id="an unknown refusal"),
    pytest.param(refused_by_kafka("InvalidTimestamp"), id="a topic that wants other times"),
]


async def outcome(errors: Sequence[Callable[[], Exception | None]], count: int = COUNT) -> tuple[str, int]:
    """Runs events that fail in turn in these ways. Returns why the pipeline halted, and the number of dead letters."""
    async with running([Raise(failures(errors))], run=RUN, in_flight=1000) as run:
        await run.submit(count)
        await run.pipeline.drain(10)
        halted = str(run.pipeline.halted.exception()) if run.pipeline.halted.done() else ""
        return halted, len(run.letters.sent)


def fine() -> None:
    return None


def bug() -> Exception:
    return RuntimeError("a bug")


def no_json() -> Exception:
    return Reject("event: Invalid JSON")


def failures(kinds: Sequence[Callable[[], Exception | None]]) -> Iterator[Exception | None]:
    """Yields a failure of each kind in turn, without end."""
    for make in cycle(kinds):
        yield make()


@pytest.mark.parametrize("error", DATA)
async def test_what_an_event_holds_never_stops_the_worker(error: Callable[[], Exception]) -> None:
    assert await outcome([error]) == ("", COUNT)
    assert await outcome([error], 2000) == ("", 2000), "also not by the share"


@pytest.mark.parametrize("error", OURS)
async def test_failures_of_our_own_stop_the_worker(error: Callable[[], Exception]) -> None:
    halted, dead = await outcome([error])
    assert halted.startswith(f"{RUN} events in a row failed (MNER_DEAD_LETTER_RUN), the last: ")
    assert dead == RUN - 1


async def test_bad_events_between_failures_hide_none_of_them() -> None:
    assert (await outcome([no_json, bug]))[0].startswith(f"{RUN} events in a row failed")
    assert (await outcome([no_json, no_json, no_json, bug, no_json], 500))[0].startswith(
        f"{RUN} events in a row failed"
    )
    assert (await outcome([no_json, bug, fine]))[0] == ""


async def test_bad_events_do_not_thin_out_the_share() -> None:
    # two of three events that can be decoded fail, and half of all events
    async with running([Raise(failures([bug, bug, fine, no_json]))], share=0.5, in_flight=5000) as run:
        await run.submit(2000)
        await run.pipeline.drain(10)
        assert "of the last 500 events failed (MNER_DEAD_LETTER_SHARE)" in str(run.pipeline.halted.exception())


async def test_a_record_without_a_value_hides_no_failure() -> None:
    class Mixed(Stage[Item[Any]]):
        name = "mixed"

        async def process(self, item: Item[Any]) -> None:
            if item.origin.offset % 2:
                raise RuntimeError("a bug")
            item.void = True

    async with running([Mixed()], run=RUN) as run:
        await run.submit(60)
        await run.pipeline.drain(10)
        assert "events in a row failed" in str(run.pipeline.halted.exception())


@pytest.mark.parametrize("kind", [Tweet, Extraction, Decision, Lifecycle])
@pytest.mark.parametrize(
    "value",
    [
        pytest.param(None, id="no value"),
        pytest.param(b"", id="empty"),
        pytest.param(b"{not json", id="no JSON"),
        pytest.param(b"[]", id="no object"),
        pytest.param(b"{}", id="no field"),
        pytest.param(b"\xff\xfe{\0}\0", id="UTF-16"),
        pytest.param(b"[" * 100_000, id="deeply nested"),
        pytest.param(b'{"id": "a b", "text": "x"}', id="a wrong id"),
    ],
)
async def test_whatever_an_agent_cannot_decode_is_the_events_own_fault(kind: Any, value: bytes | None) -> None:
    item: Item[Any] = Item(Origin("tweets", 0, 0, b"k", value, 0.0))
    with pytest.raises(Reject) as caught:
        await Decode[Item[Any]](kind).process(item)
    item.fail("decode", caught.value)
    assert item.bad


@pytest.mark.parametrize("workers", ["alone", "neighbours"])
async def test_in_a_batch_each_failure_keeps_its_kind(workers: str) -> None:
    for error, bad in ((Reject("too large"), True), (Refused("mapping"), False), (RuntimeError("bug"), False)):
        item: Item[Any] = Item(Origin("tweets", 0, 0, b"k", b"v", 0.0))
        item.fail("deliver", error, "IndexRejected" if workers == "neighbours" else None)
        assert item.bad == bad
        item.fail("deliver", Reject("later"))
        assert item.bad == bad, "only the first failure counts"


# the alert


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def events(clock: Clock, caplog: pytest.LogCaptureFixture) -> alert.BadEvents:
    caplog.set_level(logging.WARNING, logger="streams.pipeline.alert")
    return alert.BadEvents("alerted", clock)


def bad(events: alert.BadEvents, count: int, reason: str = "event: Invalid JSON: at line {n} column 1") -> None:
    for number in range(count):
        item: Item[Any] = Item(Origin("t.tweets", 0, number, b"k", b"v", 0.0))
        item.fail("decode", Reject(reason.format(n=number)))
        assert item.dead is not None
        events.add(item.dead)


def test_a_run_of_bad_events_is_one_line_that_names_topic_reason_and_remedy(
    events: alert.BadEvents, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    before = metric("mner_bad_events_total", agent="alerted")
    bad(events, alert.RUN - 1)
    assert caplog.messages == []
    bad(events, 1000)
    (line,) = caplog.messages
    assert line.startswith("alerted: the last 20 events of topic t.tweets became dead letters")
    assert "(20 times): event: Invalid JSON: at line 0 column 1." in line
    assert "`mner dead-letters list`" in line
    assert metric("mner_bad_events_total", agent="alerted") == before + alert.RUN - 1 + 1000
    assert metric("mner_bad_events_run", agent="alerted") == alert.RUN - 1 + 1000
    clock.now += alert.PAUSE_S
    bad(events, 500, "text: Field required")
    assert len(caplog.messages) == 2
    assert "the last 1020 events" in caplog.messages[1]
    events.passed()
    assert metric("mner_bad_events_run", agent="alerted") == 0


def test_many_short_runs_are_still_few_lines(
    events: alert.BadEvents, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(100):
        bad(events, alert.RUN)
        events.passed()
    assert len(caplog.messages) == 1


def test_when_more_than_half_are_bad_it_is_said_although_none_follow_each_other(
    events: alert.BadEvents, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(limits.WINDOW):
        bad(events, 2, "id: wrong (got 'x')")
        events.passed()
    (line,) = caplog.messages
    assert line.startswith("alerted: more than half of the last 500 events of topic t.tweets became dead letters")


def test_the_most_frequent_reason_is_told_though_each_has_other_values(
    events: alert.BadEvents, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(10):
        bad(events, 1, f"id: wrong (got '{number}')")
    bad(events, 9, "text: Field required")
    bad(events, 1, "x\x1b[31m: odd")
    (line,) = caplog.messages
    assert "(10 times): id: wrong (got '0')" in line


def test_no_reason_reaches_the_log_with_control_characters_or_at_full_length(
    events: alert.BadEvents, caplog: pytest.LogCaptureFixture
) -> None:
    bad(events, alert.RUN, "\x1b[31m\n" + "long " * 300)
    (line,) = caplog.messages
    assert "\x1b" not in line
    assert "\n" not in line
    assert len(line) < 700
