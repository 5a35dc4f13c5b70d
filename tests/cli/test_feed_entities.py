"""A live feed on a terminal shows what workers find in its posts, and nothing of it can hurt the feed."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pexpect
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka import KafkaConsumer, KafkaProducer
from rich.console import Console, RenderableType

from cli.feeds import entities as module
from cli.feeds.entities import AWAITED, KEPT, PATIENCE_S, SLOW_S, Entities
from cli.feeds.extractions import Listener
from core.events import EntityType, Extraction, Mention, Tweet
from review.cells import most_cells
from streams import topics
from streams.settings import Settings
from tests.conftest import ROOT
from tests.review.reviewer import Reviewer
from tests.waiting import until

TEXT = "Angela Merkel opens the Elbphilharmonie in Hamburg"


def extraction(post: Tweet, *found: tuple[str, EntityType, float]) -> Extraction:
    """Returns what a worker makes of a post. `found`: words, type and probability of each mention."""
    mentions = tuple(
        Mention(
            start=(start := post.text.index(words)),
            end=start + len(words),
            text=words,
            type=kind,
            probability=probability,
            aleatoric=0.1,
            epistemic=0.1,
        )
        for words, kind, probability in found
    )
    return Extraction(tweet=post, mentions=mentions, model="m", model_version=1, threshold=0.7)


def post(name: str = "1", text: str = TEXT, edit: int = 0) -> Tweet:
    return Tweet(id=name, text=text, edit=edit)


def drawn(shown: RenderableType, width: int = 80) -> list[str]:
    """Returns the lines on a terminal."""
    console = Console(width=width, file=io.StringIO(), record=True, force_terminal=True)
    console.print(shown)
    return [line.rstrip() for line in console.export_text().splitlines()]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_panel_shows_posts_of_this_feed_once_and_their_last_version() -> None:
    entities = Entities()
    for each in (post(), post(edit=1), post("2", "nothing here"), post("3", "off to Hamburg")):
        entities.sent(each)
    stranger = extraction(post("9", "Paris"), ("Paris", "LOC", 0.9))
    entities.take(stranger)
    first = extraction(post(), ("Hamburg", "LOC", 0.9))
    entities.take(first)
    entities.take(first)  # a worker may repeat itself
    found = (("Angela Merkel", "PER", 0.9), ("Elbphilharmonie", "MISC", 0.4), ("Hamburg", "LOC", 0.8))
    entities.take(extraction(post(edit=1), *found))  # type: ignore[arg-type]
    entities.take(extraction(post("2", "nothing here")))
    lines = drawn(entities.panel(80, 10))
    assert lines[0].startswith("3 of 4 posts read, 2 with mentions ─")
    assert lines[1:] == ["• [Angela Merkel PER] opens the [Elbphilharmonie MISC?] in [Hamburg LOC]"]
    entities.take(extraction(post("3", "off to Hamburg"), ("Hamburg", "LOC", 0.9)))
    assert not entities.awaits("3")
    assert drawn(entities.summary(80)) == [
        "• [Angela Merkel PER] opens the [Elbphilharmonie MISC?] in [Hamburg LOC]",
        "• off to [Hamburg LOC]",
        "",
        "a mention with ? waits for a person: mner review",
        "",
        "posts  most mentioned",
        "     2  LOC   Hamburg",
        "     1  PER   Angela Merkel",
        "",
        "4 of 4 posts read, 3 with mentions",
    ]


def test_a_text_that_may_not_be_shown_is_only_counted() -> None:
    entities = Entities()
    entities.sent(post())
    entities.take(extraction(post(), ("Hamburg", "LOC", 0.9)), may_show=False)
    assert drawn(entities.summary(80)) == ["1 of 1 posts read, 0 with mentions, 1 may not be shown"]


def test_without_a_worker_one_line_says_how_to_start_one_and_the_feed_waits_a_bounded_time() -> None:
    clock = Clock()
    entities = Entities(clock=clock)
    clock.now = 50
    assert not entities.is_due
    assert len(drawn(entities.panel(80, 10))) == 1, "no post is sent yet, so no worker is missed"
    entities.sent(post())
    clock.now += SLOW_S - 1
    assert len(drawn(entities.panel(80, 10))) == 1
    clock.now += 1
    assert drawn(entities.panel(80, 10))[1] == "No worker answers yet. Start one in another terminal: mner worker"
    assert entities.is_due
    clock.now += PATIENCE_S
    assert not entities.is_due
    entities.take(extraction(post()))
    assert len(drawn(entities.panel(80, 10))) == 1


def test_memory_is_bounded_and_the_most_mentioned_names_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "NAMES", 10)
    entities = Entities()
    for number in range(60):
        each = post(str(number), f"Ana met name{number}x")
        entities.sent(each)
        entities.take(extraction(each, ("Ana", "PER", 0.9), (f"name{number}x", "ORG", 0.9)))
    lines = drawn(entities.summary(80))
    assert sum(line.startswith("• ") for line in lines) == KEPT
    assert "    60  PER   Ana" in lines
    assert len(entities._written) <= 10
    for number in range(AWAITED + 5):
        entities.sent(post(f"n{number}"))
    assert (entities.awaits("n4"), entities.awaits("n5")) == (False, True)


@given(st.text(max_size=400), st.integers(10, 90), st.integers(0, 12))
def test_the_panel_fits_the_terminal_and_no_control_character_reaches_it(text: str, width: int, height: int) -> None:
    entities = Entities()
    each = post(text=f"\x1b[31m{text} Hamburg {text}".replace("\x00", ""))
    entities.sent(each)
    entities.take(extraction(each, ("Hamburg", "LOC", 0.9)))
    entities.fail("a \x1b[2J long reason " * 9)
    lines = drawn(entities.panel(width, height), width)
    assert len(lines) <= max(1, height)
    assert all(most_cells(line) <= width for line in lines[1:])
    assert "\x1b" not in "".join(lines)


def test_of_a_long_post_the_lines_around_the_first_mention_are_shown() -> None:
    entities = Entities()
    each = post(text="so it goes " * 60 + "in Hamburg " + "and on " * 60)
    entities.sent(each)
    entities.take(extraction(each, ("Hamburg", "LOC", 0.9)))
    _, *lines = drawn(entities.panel(40, 9), 40)
    assert len(lines) == 3
    assert lines[0].startswith("• …")
    assert "[Hamburg LOC]" in lines[1]
    assert lines[2].endswith("…")


# on a real Kafka


@contextmanager
def worker(settings: Settings) -> Iterator[None]:
    """Reads posts, and finds in each its first word, as a worker would."""
    ending = threading.Event()
    options = {"bootstrap_servers": str(settings.kafka)}
    consumer = KafkaConsumer(settings.name(topics.TWEETS), **options, group_id=None, auto_offset_reset="earliest")
    producer = KafkaProducer(**options)

    def work() -> None:
        while not ending.is_set():
            for records in consumer.poll(timeout_ms=50).values():
                for record in records:
                    each = Tweet.model_validate_json(record.value)
                    value = extraction(each, (each.text.split()[0], "PER", 0.9)).model_dump_json().encode()
                    producer.send(settings.name(topics.EXTRACTIONS), value, record.key)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join()
        consumer.close()
        producer.close()


async def test_extractions_are_read_from_now_on_and_bad_records_are_passed_over(settings: Settings) -> None:
    topics.create(str(settings.kafka), topics.plan(settings))
    producer = KafkaProducer(bootstrap_servers=str(settings.kafka))
    found = extraction(post(), ("Hamburg", "LOC", 0.9)).model_dump_json().encode()

    def send(key: bytes | None, value: bytes | None) -> None:
        producer.send(settings.name(topics.EXTRACTIONS), value, key).get(10)

    try:
        send(b"1", found.replace(b"Hamburg", b"Bamberg"))
        entities = Entities()
        entities.sent(post())
        with Listener(settings, str(settings.kafka), entities):
            for key, value in ((b"1", b"{"), (b"1", None), (b"\xff", found), (b"1", b"[" * 10**5)):
                send(key, value)
            assert entities.awaits("1")
            send(b"1", found)
            await until(lambda: not entities.awaits("1"))
    finally:
        producer.close()
    assert any("[Hamburg LOC]" in line for line in drawn(entities.summary(80)))


def test_an_error_of_the_reader_is_one_line_of_the_panel(settings: Settings) -> None:
    entities = Entities()
    with Listener(settings, str(settings.kafka), entities):  # the topics do not exist
        pass
    assert drawn(entities.panel(200, 5), 200)[1] == (
        f"no entities are shown: topic {settings.name('extractions')} is missing; create it with `mner topics create`"
    )
    entities.sent(post())
    assert not entities.is_due


@pytest.fixture
def jetstream() -> Iterator[list[str]]:
    """What follows `mner` to read the example posts."""
    server = subprocess.Popen(
        [sys.executable, "-m", "examples.jetstream", "--port", "0", "--rate", "50"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        _, *words = server.stdout.readline().split()
        yield words
    finally:
        server.kill()
        server.communicate()


def test_a_feed_on_a_terminal_ends_with_the_entities_of_its_posts(settings: Settings, jetstream: list[str]) -> None:
    topics.create(str(settings.kafka), topics.plan(settings))
    environment = {**os.environ, "NO_COLOR": "1", "TERM": "xterm-256color", "COLUMNS": "", "LINES": ""}
    environment |= {f"MNER_{name.upper()}": str(getattr(settings, name)) for name in ("kafka", "prefix", "home")}

    def run(*options: str) -> Reviewer:
        child = pexpect.spawn(
            sys.executable,
            ["-m", "cli.main", *jetstream, *options],
            env=environment,
            dimensions=(60, 100),
            encoding="utf-8",
        )
        reader = Reviewer(child)
        reader.resizes(60, 100)
        reader.sees("received: 20 sent", 60)
        child.expect(pexpect.EOF)
        child.close()
        assert child.exitstatus == 0
        return reader

    with worker(settings):
        screen = run()
        (said,) = [row for row in screen.rows if row.endswith("20 with mentions")]
        assert said == "20 of 20 posts read, 20 with mentions"
        assert sum(row.startswith("• [") for row in screen.rows) >= 15  # an edit replaces the post's first version
        assert "posts  most mentioned" in screen.rows
        assert "skipped" not in [row.split(" ")[0] for row in screen.rows], "the counts of the live display are gone"
    assert next(row for row in run("--quiet", "--fresh").rows if row).startswith("bluesky: ")
