"""Reading the dead-letter topic of a real Kafka."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

import pytest
from kafka import KafkaProducer

from core.errors import Retry
from core.events import DeadLetter
from sinks.dead_letters import LONGEST_REASON, Fault, count, read, stable
from streams import topics
from streams.settings import Settings


def dead(number: int) -> DeadLetter:
    return DeadLetter(
        topic="tweets", partition=0, offset=number, stage="decode", error="Reject", reason="no text", value="{}"
    )


@pytest.fixture
def write(settings: Settings) -> Callable[[bytes, int], None]:
    """Writes one value to a partition of the dead-letter topic. The broker stamps it."""
    topics.create(str(settings.kafka), topics.plan(settings))
    topic = settings.name(topics.DEAD)

    def one(value: bytes, partition: int) -> None:
        producer = KafkaProducer(bootstrap_servers=settings.kafka)
        producer.send(topic, value, partition=partition % settings.partitions).get(timeout=10)
        producer.close()

    return one


def test_letters_come_oldest_first_across_partitions_and_can_be_limited_to_the_newest(
    settings: Settings, write: Callable[[bytes, int], None]
) -> None:
    written = (3, 0, 2, 1)
    started = time.time()
    for number in written:
        write(dead(number).model_dump_json().encode(), number)
    brokers, topic = str(settings.kafka), settings.name(topics.DEAD)
    everything = read(brokers, topic)
    assert [letter.letter for letter in everything] == [dead(number) for number in written]
    assert all(started - 1 < letter.at.timestamp() < time.time() + 1 for letter in everything)
    assert [letter.letter.offset for letter in read(brokers, topic, newest=2)] == [2, 1]
    assert read(brokers, topic, newest=0) == []


def test_letters_are_counted_by_what_went_wrong(settings: Settings, write: Callable[[bytes, int], None]) -> None:
    late = [dead(9).model_copy(update={"stage": "infer", "reason": f"process {n} died"}) for n in range(3)]
    for number, letter in enumerate([*late[:2], dead(1), dead(2), late[2]]):
        write(letter.model_dump_json().encode(), number % 2)
    write(b"\xff", 1)
    brokers, topic = str(settings.kafka), settings.name(topics.DEAD)
    decode, infer = Fault("decode", "no text"), Fault("infer", "process N died")
    odd = Fault("dead letters", "this is not a dead letter: event: Invalid JSON: expected value at line N column N")
    whole = count(brokers, topic, newest=9)
    assert (whole.counts, whole.is_whole) == ({infer: 3, decode: 2, odd: 1}, True)
    assert list(whole.counts) == [infer, decode, odd]
    assert count(brokers, topic, newest=1).counts == {infer: 1, odd: 1}
    cut = count(brokers, topic, newest=9, limit_s=0)
    assert (sum(cut.counts.values()), cut.is_whole) == (1, False)
    assert count(brokers, settings.name("nothing.here"), newest=9).counts == {}


def test_reasons_beyond_the_limit_count_together(
    settings: Settings, write: Callable[[bytes, int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sinks.dead_letters.MOST_REASONS", 2)
    for place, word in enumerate(["one", "two", "three", "one", "four"]):
        write(dead(place).model_copy(update={"reason": word}).model_dump_json().encode(), 0)
    found = count(str(settings.kafka), settings.name(topics.DEAD), newest=9)
    assert ({fault.reason: count for fault, count in found.counts.items()}, found.others) == ({"one": 2, "two": 1}, 2)


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("text: Field required", "text: Field required"),
        ("id: String should match pattern '^[a-z]+$' (got 'A (b)')", "id: String should match pattern …"),
        ("media.3.url: is no URL (got 'x'); edit: too large (got 77)", "media.N.url: is no URL; edit: too large"),
        ("another post has the id 112233445566778899", "another post has the id N"),
        ('another post has the id 3kabc7xyz2p and text "Hi"', "another post has the id … and text …"),
        (
            "the process died after 12.5 s at https://es.example:9200/x?y, twice",
            "the process died after N s at …, twice",
        ),
        ("document at://did:plc:abc/app.bsky.feed.post/3k is too large", "document … is too large"),
        ("don't stop, it isn't 'this'", "don't stop, it isn't …"),
        ("", "no reason"),
        ("(got " * 300, None),
        ("a-" * 600, None),
        ("1." * 600, None),
        ("x" * 5000, None),
    ],
)
def test_a_reason_is_told_without_what_differs_from_letter_to_letter(reason: str, told: str | None) -> None:
    found = stable(reason)
    assert found == told or (told is None and len(found) <= LONGEST_REASON)


def test_a_record_of_another_kind_is_shown_as_it_is(settings: Settings, write: Callable[[bytes, int], None]) -> None:
    write(b"\xff not json", 0)
    (letter,) = read(str(settings.kafka), settings.name(topics.DEAD))
    assert "not a dead letter" in letter.letter.reason
    assert letter.letter.value == "\ufffd not json"


def test_a_missing_topic_has_no_letters(settings: Settings) -> None:
    assert read(str(settings.kafka), settings.name("nothing.here")) == []


def test_unreachable_brokers_raise_retry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sinks.dead_letters.IDLE_S", 0.5)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(Retry, match="is unreachable"):
            read(f"127.0.0.1:{taken.getsockname()[1]}", "tweets.dead")
