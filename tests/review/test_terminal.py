"""`mner review` in a real pseudo-terminal, on a real Redis and a real Kafka."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

import pexpect
import pytest
from kafka import KafkaConsumer, TopicPartition

from core.events import Decision, ReviewTask
from sinks.queue.queue import ReviewQueue
from sinks.queue.values import Counts
from streams import topics
from streams.settings import Settings
from tests.review.reviewer import Reviewer
from tests.review.tasks import NEW_YORK, ZIMMERMAN, mention, task

MNER = [sys.executable, "-m", "cli.main", "review", "--reviewer", "ana"]
ARROW_RIGHT = "\x1b[C"
PARIS = "Paris was lovely"
T = TypeVar("T")


@pytest.fixture
def environment(settings: Settings) -> dict[str, str]:
    """The environment of a process with the test's settings, without colour."""
    topics.create(str(settings.kafka), topics.plan(settings))
    names = {f"MNER_{n.upper()}": str(getattr(settings, n)) for n in ("kafka", "elasticsearch", "redis", "prefix")}
    return {**os.environ, **names, "NO_COLOR": "1", "TERM": "xterm-256color", "COLUMNS": "", "LINES": ""}


@pytest.fixture
def start(environment: dict[str, str]) -> Iterator[Callable[[], Reviewer]]:
    """Opens `mner review` in a terminal of 80 by 24. Closes it after the test."""
    opened: list[Reviewer] = []

    def open_terminal() -> Reviewer:
        child = pexpect.spawn(
            MNER[0], MNER[1:], env=environment, dimensions=(24, 80), encoding="utf-8", echo=False, timeout=30
        )
        opened.append(Reviewer(child))
        return opened[-1]

    yield open_terminal
    for reviewer in opened:
        reviewer.child.close(force=True)


@pytest.fixture
def on_queue(settings: Settings) -> Callable[[Callable[[ReviewQueue], Awaitable[T]]], T]:
    """Runs an action on the queue, besides the terminal."""

    def run(action: Callable[[ReviewQueue], Awaitable[T]]) -> T:
        async def inside() -> T:
            queue = ReviewQueue(str(settings.redis), settings.name("review:"))
            try:
                return await action(queue)
            finally:
                await queue.close()

        return asyncio.run(inside())

    return run


OnQueue = Callable[[Callable[[ReviewQueue], Awaitable[object]]], object]


def three() -> list[ReviewTask]:
    paris = mention("Paris", "LOC", text=PARIS)
    return [
        task("1", uncertainty=0.9),
        task("2", questions=(paris,), confident=(), text=PARIS, uncertainty=0.5),
        task("3", questions=(ZIMMERMAN,), confident=(NEW_YORK,), uncertainty=0.1),
    ]


def decisions(settings: Settings) -> list[tuple[Decision, dict[str, bytes], bytes]]:
    """Returns every decision in the topic with its headers and key, in the order of their stamps."""
    topic = settings.name(topics.DECISIONS)
    consumer = KafkaConsumer(bootstrap_servers=settings.kafka, enable_auto_commit=False)
    partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)]
    consumer.assign(partitions)
    consumer.seek_to_beginning()
    total = sum(consumer.end_offsets(partitions).values())
    read: list[tuple[Decision, dict[str, bytes], bytes]] = []
    while len(read) < total:
        for records in consumer.poll(timeout_ms=5000).values():
            read += [(Decision.model_validate_json(r.value), dict(r.headers), r.key) for r in records]
    consumer.close()
    return sorted(read, key=lambda each: each[0].decided_at)


def test_three_tasks_are_settled_with_one_key_per_answer(
    start: Callable[[], Reviewer], on_queue: OnQueue, settings: Settings
) -> None:
    on_queue(lambda queue: queue.add(three()))
    ana = start()
    ana.sees("question 1 of 2 ")
    ana.presses("a")
    ana.sees("[George Zimmerman PER✓]")
    ana.presses("e", "<", "\r")  # NewYor
    ana.sees("[Paris LOC?]")
    ana.presses("1")
    ana.sees("settled: Paris PER")
    ana.presses("r")
    ana.sees("No task waits for you.")
    ana.presses("q")
    assert ana.leaves() == 0

    (first, headers, key), (second, _, _), (third, _, _) = decisions(settings)
    assert (headers, key) == ({"schema": b"1"}, b"1")
    assert [(m.text, m.type) for m in first.mentions] == [
        ("jay", "PER"),
        ("George Zimmerman", "PER"),
        ("NewYor", "LOC"),
    ]
    assert [verdict.action for verdict in first.verdicts] == ["accept", "respan"]
    assert [(m.text, m.type) for m in second.mentions] == [("Paris", "PER")]
    assert [verdict.action for verdict in second.verdicts] == ["retype"]
    assert [(m.text, m.type) for m in third.mentions] == [("NewYork", "LOC")]
    assert [verdict.action for verdict in third.verdicts] == ["reject"]
    every = [*first.mentions, *second.mentions, *third.mentions]
    assert {mention.source for mention in every} == {"human"}
    assert {decision.reviewer for decision in (first, second, third)} == {"ana"}
    assert on_queue(lambda queue: queue.counts()) == Counts(open=0, leased=0, decided=3)


def test_undo_removes_an_answer_and_then_reopens_the_last_settled_task(
    start: Callable[[], Reviewer], on_queue: OnQueue, settings: Settings
) -> None:
    on_queue(lambda queue: queue.add(three()[:1]))
    ana = start()
    ana.sees("[George Zimmerman PER?]")
    ana.presses("r")
    ana.sees("[George Zimmerman ✗]")
    ana.presses("u")
    ana.sees("[George Zimmerman PER?]")
    ana.presses("a", "a")
    ana.sees("No task waits for you.")
    ana.presses("u")
    assert "0 waiting · 1 in review · 0 settled" in ana.sees("taken back")
    assert on_queue(lambda queue: queue.counts()) == Counts(open=0, leased=1, decided=0)
    ana.presses("r")
    ana.sees("settled: jay PER, George Zimmerman PER (u")
    ana.presses("q")
    assert ana.leaves() == 0
    made = [decision for decision, _, _ in decisions(settings)]
    assert [decision.kind for decision in made] == ["settle", "retract", "settle"]
    assert [m.text for m in made[2].mentions] == ["jay", "George Zimmerman"]
    assert on_queue(lambda queue: queue.counts()) == Counts(open=0, leased=0, decided=1)


def test_a_missed_mention_is_added_and_help_and_skip_lose_no_work(
    start: Callable[[], Reviewer], on_queue: OnQueue, settings: Settings
) -> None:
    on_queue(lambda queue: queue.add(three()[:2]))
    ana = start()
    ana.sees("[George Zimmerman PER?]")
    ana.presses("s")
    ana.sees("[Paris LOC?]")
    ana.presses("?")
    ana.sees("that the model missed")
    ana.presses("x", "n")
    ana.sees("press 1-4")
    ana.presses("\r")  # without a type: refused, and the span is still there
    ana.sees("press 1, 2, 3, 4 to choose a type")
    ana.presses(ARROW_RIGHT, "4")
    ana.sees("[lovely MISC✓]")
    ana.presses("a")
    ana.sees("You skipped 1 in this session.")
    ana.presses("s")
    ana.sees("[George Zimmerman PER?]")
    ana.presses("q")
    assert ana.leaves() == 0
    ((decision, _, _),) = decisions(settings)
    assert [(m.text, m.type) for m in decision.mentions] == [("Paris", "LOC"), ("lovely", "MISC")]
    assert on_queue(lambda queue: queue.counts()) == Counts(open=1, leased=0, decided=1)


def test_a_lost_lease_shows_a_message_and_publishes_nothing(
    start: Callable[[], Reviewer], on_queue: OnQueue, settings: Settings
) -> None:
    on_queue(lambda queue: queue.add(three()[1:]))
    ana = start()
    ana.sees("[Paris LOC?]")
    on_queue(lambda queue: queue.erase("2"))
    ana.presses("a")
    frame = ana.sees("post 2 is no longer yours")
    assert "George Zimmerman" in frame  # the next one is there already
    ana.presses("q")
    assert ana.leaves() == 0
    assert decisions(settings) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_a_signal_gives_the_task_back(start: Callable[[], Reviewer], on_queue: OnQueue, number: signal.Signals) -> None:
    on_queue(lambda queue: queue.add(three()[:1]))
    ana = start()
    ana.sees("[George Zimmerman PER?]")
    assert on_queue(lambda queue: queue.counts()) == Counts(open=0, leased=1, decided=0)
    ana.child.kill(number)
    assert ana.leaves() == 0
    assert on_queue(lambda queue: queue.counts()) == Counts(open=1, leased=0, decided=0)


def test_a_waiting_reviewer_gets_a_task_when_it_arrives(start: Callable[[], Reviewer], on_queue: OnQueue) -> None:
    ana = start()
    ana.sees("No task waits for you.")
    ana.presses("w")
    ana.sees("Watching the queue")
    on_queue(lambda queue: queue.add(three()[:1]))
    ana.sees("[George Zimmerman PER?]")


def test_keys_typed_before_a_task_is_on_the_screen_do_not_answer_it(
    start: Callable[[], Reviewer], on_queue: OnQueue
) -> None:
    on_queue(lambda queue: queue.add(three()))
    ana = start()
    ana.sees("question 1 of 2 ")
    ana.child.send("aaaaaa")  # a key that sticks: two of them answer this task
    ana.sees("[Paris LOC?]")
    ana.presses("?")
    ana.sees("that the model missed")  # all earlier keys have been handled
    assert on_queue(lambda queue: queue.counts()) == Counts(open=1, leased=1, decided=1)


def test_the_screen_is_redrawn_when_the_terminal_changes_size(start: Callable[[], Reviewer], on_queue: OnQueue) -> None:
    on_queue(lambda queue: queue.add(three()[:1]))
    ana = start()
    ana.sees("1 in review · 0 settled")
    ana.resizes(12, 40)
    assert "0 settled" not in ana.sees("[George Zimmerman PER?]")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({}, "needs a terminal", id="no terminal"),
        pytest.param({"MNER_REDIS": "not a url"}, "MNER_REDIS", id="bad setting"),
    ],
)
def test_an_error_of_the_user_is_one_line(environment: dict[str, str], changes: dict[str, str], message: str) -> None:
    command = [*MNER[:3], "queue", "counts"] if changes else MNER
    ended = subprocess.run(
        command, env=environment | changes, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    assert message in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_an_unreachable_redis_is_reported_before_the_screen_opens(environment: dict[str, str]) -> None:
    child = pexpect.spawn(MNER[0], MNER[1:], env=environment | {"MNER_REDIS": "redis://127.0.0.1:1"}, encoding="utf-8")
    child.expect(pexpect.EOF, timeout=30)
    child.close()
    assert child.exitstatus == 2
    assert child.before is not None
    assert child.before.startswith("mner: Redis at 127.0.0.1:1 is unreachable")
