"""`mner feed` when it ends early: it says how many events the brokers have, and with which line to go on."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import typer
from kafka import KafkaConsumer, TopicPartition

from cli.feeds import file as command
from core.errors import UserError
from core.files.posts import Posts
from local.stack import Stack
from streams import topics
from streams.feed import feed
from streams.feeds import sending
from streams.feeds.file_place import Place
from streams.feeds.files import FileSource
from streams.feeds.orders import FeedEnded, Target
from streams.feeds.runner import Runner
from streams.settings import Settings
from tests.conftest import settings_for
from tests.families.servers.broker import brokering

TOLD = re.compile(r"(\d+) (?:events are in topic \S+|records?); go on with (?:`mner feed FILE --from-line|line) (\d+)")


@pytest.fixture
def own(own_servers: Stack, tmp_path: Path) -> Settings:
    """Settings on servers that the test may kill, with their topics."""
    settings = settings_for(own_servers.addresses, tmp_path)
    topics.create(str(settings.kafka), topics.plan(settings))
    return settings


def held(settings: Settings) -> list[bytes]:
    """Returns the values in the topic of posts, each once, sorted."""
    topic = settings.name(topics.TWEETS)
    with closing(KafkaConsumer(bootstrap_servers=settings.kafka)) as consumer:
        places = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)]
        consumer.assign(places)
        consumer.seek_to_beginning(*places)
        ends, found = consumer.end_offsets(places), set()
        while any(consumer.position(place) < ends[place] for place in places):
            found |= {record.value for records in consumer.poll(1000).values() for record in records}
    return sorted(found)


def lines(count: int) -> list[bytes]:
    return [b'{"id": "%d", "text": "Paris"}' % number for number in range(count)]


def told(text: str) -> tuple[int, int]:
    """Returns the number of events, and the line to go on with."""
    found = TOLD.search(text)
    assert found, text
    return int(found[1]), int(found[2])


def dying_after(count: int, all_lines: list[bytes], stack: Stack) -> Iterator[bytes]:
    for number, line in enumerate(all_lines):
        if number == count:
            time.sleep(1)  # so that the brokers have acknowledged some
            stack.kafka.kill()
        yield line


def test_a_broker_that_dies_is_told_with_the_line_to_go_on(
    own: Settings, own_servers: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "PATIENCE_S", 4.0)
    wanted = lines(3000)
    topic = own.name(topics.TWEETS)
    try:
        with pytest.raises(FeedEnded) as caught:
            feed(dying_after(1000, wanted, own_servers), str(own.kafka), topic)
    finally:
        own_servers.kafka.start()
        own_servers.kafka.ready()
    assert "unreachable" in str(caught.value) or "in time" in str(caught.value)
    count, line = told(str(caught.value))
    assert 0 < count <= 3000
    assert count >= line - 1
    monkeypatch.setattr(sending, "PATIENCE_S", 60.0)
    assert feed(wanted[line - 1 :], str(own.kafka), topic) == 3000 - (line - 1)
    assert held(own) == sorted(wanted)


def test_the_command_ends_with_one_line_and_code_1(
    own: Settings,
    own_servers: Stack,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sending, "PATIENCE_S", 4.0)
    for name in ("prefix", "kafka"):
        monkeypatch.setenv(f"MNER_{name.upper()}", str(getattr(own, name)))
    monkeypatch.setenv("MNER_HOME", str(tmp_path))
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(pipe)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    monkeypatch.setattr(topics, "missing", killing(own_servers, topics.missing))
    try:
        with pytest.raises(typer.Exit) as caught:
            command.command(pipe)
    finally:
        writer.kill()
        writer.wait()
        own_servers.kafka.start()
        own_servers.kafka.ready()
    assert caught.value.exit_code == 1
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    told(printed)


WRITER = """
import sys, time
with open(sys.argv[1], "wb", buffering=0) as pipe:
    for number in range(100000):
        pipe.write(b'{"id": "%d", "text": "Paris"}\\n' % number)
        time.sleep(0.001)
"""


def killing(stack: Stack, missing: object) -> object:
    """Returns `topics.missing`, after which the broker dies within a second."""

    def call(*arguments: object) -> object:
        result = missing(*arguments)  # type: ignore[operator]
        threading.Timer(2.0, stack.kafka.kill).start()
        return result

    return call


def test_ctrl_c_says_how_many_are_sent_and_the_rest_can_follow(
    servers: object, settings: Settings, tmp_path: Path
) -> None:
    topics.create(str(settings.kafka), topics.plan(settings))
    wanted = lines(2000)
    file = tmp_path / "posts.jsonl"
    file.write_bytes(b"\n".join(wanted))
    environment = os.environ | {"MNER_KAFKA": str(settings.kafka), "MNER_PREFIX": settings.prefix}
    environment["MNER_HOME"] = str(tmp_path)
    feeder = [sys.executable, "-m", "cli.main", "feed", str(file)]
    child = subprocess.Popen([*feeder, "--rate", "200"], stderr=subprocess.PIPE, text=True, env=environment)
    deadline = time.monotonic() + 60
    while not held(settings) and time.monotonic() < deadline:
        time.sleep(0.1)
    child.send_signal(signal.SIGINT)
    _, printed = child.communicate(timeout=30)
    assert child.returncode == 130, printed
    assert printed.startswith("mner: stopped: ")
    count, line = told(printed)
    assert len(held(settings)) >= count == line - 1 > 0
    again = subprocess.run(
        [*feeder, "--from-line", str(line)], env=environment, capture_output=True, text=True, check=True
    )
    assert f"fed {2000 - count} events" in again.stdout
    assert held(settings) == sorted(wanted)


def test_a_file_that_breaks_off_is_told_with_the_line(servers: object, settings: Settings) -> None:
    topics.create(str(settings.kafka), topics.plan(settings))

    def broken() -> Iterator[bytes]:
        yield from lines(50)
        raise OSError(5, "Input/output error")

    source = FileSource(Posts(broken(), "lines"), "file:broken")
    runner = Runner(source, Target.of(settings, str(settings.kafka)), None)
    with pytest.raises(OSError, match="Input/output error"):
        runner.run()
    assert runner.acknowledged == 50
    assert runner.cursor is not None
    assert Place.read(runner.cursor).number == 50


@pytest.mark.parametrize(
    ("codes", "says", "line"),
    [
        pytest.param([29], "does not let our user use", 1, id="no rights"),
        pytest.param([0, 29], "does not let our user use", 2, id="no rights later"),
        pytest.param([32], "with this time", 1, id="a wrong time"),
        pytest.param([17], "cannot be the name of a topic", 1, id="a wrong name"),
        pytest.param([-1], "did not say why", 1, id="a broker that fails"),
        pytest.param([2], "damaged", 1, id="a damaged record"),
        pytest.param([44], "policy", 1, id="a policy"),
    ],
)
async def test_a_refusal_is_told_with_its_reason(
    codes: list[int], says: str, line: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "PATIENCE_S", 3.0)
    async with brokering("posts", *codes) as broker:

        def slowly() -> Iterator[bytes]:
            for text in lines(3):
                yield text
                time.sleep(0.3)  # so that each has a batch of its own

        with pytest.raises(FeedEnded, match=says) as caught:
            await asyncio.to_thread(feed, slowly(), f"127.0.0.1:{broker.port}", "posts")
    assert told(str(caught.value))[1] == line
    assert "unreachable" not in str(caught.value)


async def test_a_line_that_is_too_long_keeps_its_own_words() -> None:
    async with brokering("posts", 10) as broker:
        with pytest.raises(UserError, match=r"line 1 has 28 bytes, more than topic posts allows.*line 2"):
            await asyncio.to_thread(feed, lines(1), f"127.0.0.1:{broker.port}", "posts")
