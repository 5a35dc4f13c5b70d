"""Kills, outages and poison in the middle of a stream: every post is accounted for exactly once in the sinks."""

from __future__ import annotations

import asyncio
import base64
import operator
import os
import re
import signal
import time
from functools import partial
from pathlib import Path

import pytest

from core.errors import Reject
from core.events import Tweet
from local.server import Server
from local.stack import Stack
from streams import topics
from streams.pipeline.decode import Decode
from streams.pipeline.item import Item, Origin
from streams.settings import Settings
from streams.worker_process import WorkerProcess
from tests.streams.account import (
    assert_exactly_once,
    books,
    counted,
    fed,
    tweets,
    until,
    until_caught_up,
)
from tests.streams.conftest import Start
from tests.streams.faulty_worker import POISON

COUNT = 2000
OUTAGE_S = 20.0


async def test_the_models_process_is_killed_twice(stubbed: Settings, start: Start) -> None:
    worker = start(stubbed)
    await asyncio.to_thread(fed, stubbed, tweets(range(COUNT)))
    for share in (0.2, 0.6):
        await until(stubbed, partial(operator.lt, share * COUNT))
        os.kill(model_pid(worker.pid), signal.SIGKILL)
    await until_caught_up(stubbed)
    assert_exactly_once(await books(stubbed), range(COUNT))
    assert worker.code is None


async def test_the_whole_worker_is_killed_and_another_goes_on(stubbed: Settings, start: Start) -> None:
    worker = start(stubbed)
    model = model_pid(worker.pid)
    await asyncio.to_thread(fed, stubbed, tweets(range(COUNT)))
    await until(stubbed, lambda count: count > 0.3 * COUNT)
    worker.kill()
    assert await counted(stubbed) < COUNT, "it was too late: nothing was left to do"
    await gone(model)
    start(stubbed)
    await until_caught_up(stubbed)
    assert_exactly_once(await books(stubbed), range(COUNT))


@pytest.mark.parametrize("name", ["elasticsearch", "redis", "kafka"])
async def test_a_server_is_down_for_twenty_seconds(
    own_servers: Stack, stubbed: Settings, start: Start, name: str
) -> None:
    server: Server = getattr(own_servers, name)
    worker = start(stubbed)
    await asyncio.to_thread(fed, stubbed, tweets(range(COUNT)))
    await until(stubbed, lambda count: count > 0.2 * COUNT)
    server.stop() if name == "redis" else server.kill()
    await asyncio.sleep(OUTAGE_S)
    assert worker.code is None
    await asyncio.to_thread(server.start)
    await asyncio.to_thread(server.ready)
    await until_caught_up(stubbed)
    assert_exactly_once(await books(stubbed), range(COUNT))


async def test_a_post_that_kills_or_fails_the_model_dies_alone(stubbed: Settings, start: Start) -> None:
    worker = start(stubbed.changed(model_timeout_s=2.0))
    poison = [
        b'{"id": "k", "text": "killer tweet"}',
        b'{"id": "r", "text": "raiser tweet"}',
        b'{"id": "s", "text": "sleeper tweet"}',
    ]
    healthy = tweets(range(100))
    await asyncio.to_thread(fed, stubbed, healthy[:50] + poison + healthy[50:])
    await until_caught_up(stubbed)
    found = await books(stubbed)
    reasons = {letter.key: letter.reason for letter in found.dead}
    assert set(found.documents) == {f"t{number}" for number in range(100)}
    assert "the model's process died: SIGKILL" in reasons["k"]
    assert "the stub was told to raise" in reasons["r"]
    assert "did not answer within 2 s" in reasons["s"]
    assert len(found.dead) == 3
    assert worker.code is None


async def test_an_exception_in_any_stage_loses_that_post_nowhere(stubbed: Settings, start: Start) -> None:
    """One worker with a bug in each stage, each for another post."""
    worker = start(stubbed, module="tests.streams.faulty_worker")
    await asyncio.to_thread(fed, stubbed, tweets(range(200)))
    await until_caught_up(stubbed)
    found = await books(stubbed)
    assert list(POISON) == ["decode", "fetch", "tokenise", "infer", "produce", "deliver"]
    dead = {stage: (key.decode(), "RuntimeError") for stage, key in POISON.items()}
    assert {letter.stage: (letter.key, letter.error) for letter in found.dead} == dead
    assert len(found.dead) == len(POISON)
    assert set(found.documents) == {f"t{number}" for number in range(200)} - {key.decode() for key in POISON.values()}
    assert worker.code is None


async def test_what_does_not_decode_is_dead_with_its_bytes_and_its_reason(stubbed: Settings, start: Start) -> None:
    start(stubbed)
    bad = [b"{not json", b'{"id": "x"}', b'{"id": "y", "text": "\xff\xfe"}']
    await asyncio.to_thread(fed, stubbed, [*tweets(range(20)), *bad])
    await until_caught_up(stubbed)
    found = await books(stubbed)
    assert len(found.documents) == 20
    letters = sorted(found.dead, key=lambda letter: (letter.encoding, letter.value or ""))
    assert [letter.encoding for letter in letters] == ["base64", "utf-8", "utf-8"]
    assert [letter.value for letter in letters[1:]] == ['{"id": "x"}', "{not json"]
    assert "text: Field required" in letters[1].reason


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(b'{"id": "1", "text": [' + b"0," * 450_000 + b"0]}", id="a million wrong values"),
        pytest.param(b"\xff" * 1_000_000, id="no text at all"),
        pytest.param(b'"' * 1_000_000, id="twice as long in JSON"),
        pytest.param(b"[" * 1_000_000, id="deeply nested"),
        pytest.param(b"\x01" * 1_000_000, id="six times as long in JSON"),
    ],
)
def test_a_dead_letter_can_always_be_sent(value: bytes) -> None:
    item: Item[Tweet] = Item(Origin("tweets", 0, 0, b"k" * 1_000_000, value, 0.0))
    with pytest.raises(Reject) as caught:
        asyncio.run(Decode[Item[Tweet]](Tweet).process(item))
    item.fail("decode", caught.value)
    assert item.dead is not None
    assert len(item.dead.model_dump_json()) < 1.4 * 1_000_000
    kept = item.dead.value or ""
    assert (base64.b64decode(kept) if item.dead.encoding == "base64" else kept.encode()) == value


def test_of_an_event_larger_than_any_dead_letter_the_beginning_is_kept_and_the_rest_counted() -> None:
    item: Item[Tweet] = Item(Origin("tweets", 0, 0, None, b"x" * 9_000_000, 0.0))
    item.fail("decode", "too much")
    assert item.dead is not None
    assert len(item.dead.model_dump_json()) < topics.MAX_MESSAGE_BYTES
    assert item.dead.omitted == 4_000_000


async def test_the_largest_events_that_a_topic_takes_die_and_their_neighbours_go_on(
    stubbed: Settings, start: Start
) -> None:
    worker = start(stubbed)
    large = [b"\xff" * 1_000_000, b'"' * 1_000_000, b'{"id": "1", "text": [' + b"0," * 450_000 + b"0]}"]
    await asyncio.to_thread(fed, stubbed, [*tweets(range(20)), *large, *tweets(range(20, 40))])
    await until_caught_up(stubbed)
    found = await books(stubbed)
    assert len(found.documents) == 40
    assert len(found.dead) == 3
    assert worker.code is None


async def test_a_worker_that_waits_for_elasticsearch_stops_when_asked(stubbed: Settings, tmp_path: Path) -> None:
    away = stubbed.model_copy(update={"elasticsearch": "http://127.0.0.1:1"})
    worker = WorkerProcess(away, tmp_path / "worker.log")
    worker.start()
    deadline = time.monotonic() + 60
    while "preparing the index" not in worker.output() and time.monotonic() < deadline:
        await asyncio.sleep(0.1)
    assert worker.stop(timeout_s=10) == 0
    assert "stopped before it was ready" in worker.output()


async def test_a_deployment_that_fails_every_post_stops_instead_of_dead_lettering_all(
    stubbed: Settings, start: Start
) -> None:
    worker = start(stubbed.changed(dead_letter={"run": 20}))
    posts = [b'{"id": "r%d", "text": "raiser post"}' % number for number in range(500)]
    await asyncio.to_thread(fed, stubbed, posts)
    await until_ended(worker)
    assert worker.code == 1
    # two batches run side by side, and either may be told first
    assert re.search(r"\b2\d events in a row failed", worker.output())
    assert len((await books(stubbed)).dead) < 40


@pytest.mark.parametrize(
    ("how", "code", "says"),
    [
        pytest.param("hangs", 3, "in flight and none done for", id="a stage hangs"),
        pytest.param("blocks", 3, "the event loop has been blocked for", id="a stage blocks the event loop"),
        pytest.param("locks", 1, "Timeout", id="a stage holds Python's global lock"),
    ],
)
async def test_a_worker_that_is_stuck_ends_itself_and_another_goes_on(
    stubbed: Settings, start: Start, monkeypatch: pytest.MonkeyPatch, how: str, code: int, says: str
) -> None:
    monkeypatch.setenv("FAULTY_STAGE", "tokenise")
    monkeypatch.setenv("FAULTY_HOW", how)
    stuck = start(stubbed.changed(stall_s=2.0), module="tests.streams.faulty_worker")
    await asyncio.to_thread(fed, stubbed, tweets(range(100)))
    await until_ended(stuck)
    assert stuck.code == code
    assert says in stuck.output()
    assert stuck.output().count("most recent call first") > 1, "the stacks of all threads"
    start(stubbed)
    await until_caught_up(stubbed)
    assert_exactly_once(await books(stubbed), range(100))


async def test_a_stop_under_load_finishes_what_is_in_flight(stubbed: Settings, start: Start) -> None:
    worker = start(stubbed)
    await asyncio.to_thread(fed, stubbed, tweets(range(COUNT)))
    await until(stubbed, lambda count: count > 0.2 * COUNT)
    before = time.monotonic()
    assert await asyncio.to_thread(worker.stop) == 0
    assert time.monotonic() - before < stubbed.drain_s
    assert "left in flight" not in worker.output()
    start(stubbed)
    await until_caught_up(stubbed)
    assert_exactly_once(await books(stubbed), range(COUNT))


async def until_ended(worker: WorkerProcess, timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while worker.code is None and time.monotonic() < deadline:
        await asyncio.sleep(0.1)


def model_pid(worker: int) -> int:
    """Returns the process of the model of this worker, from the process table."""
    with os.popen(f"ps -o pid=,args= --ppid {worker}") as table:
        (pid,) = (int(line.split()[0]) for line in table if re.search(r"model\.worker_main", line))
    return pid


async def gone(pid: int, timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"process {pid} outlived its worker")
