"""The whole system on real servers, with the shipped model: examples, real posts with their images, a person."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import httpx
import pexpect
import pytest
from redis.asyncio import Redis

from demo.examples import image_server
from local.stack import NAMES
from streams import topics
from streams.settings import Settings
from streams.worker_process import environment
from tests.conftest import ROOT, Given, settings_for
from tests.local import processes
from tests.review.reviewer import Reviewer
from tests.streams.account import books, fed, replayed, tweets, until_caught_up
from tests.streams.conftest import Start
from tests.streams.stub_model import MAYBE

REAL_TWEETS = 24
MNER = [sys.executable, "-m", "cli.main"]
HEARING = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job of a script ignores it
from cli.main import main
main()
"""
"""Does what `MNER` does, and hears Ctrl-C."""


def environment_of(folder: Path) -> dict[str, str]:
    """Returns the variables of a demo that keeps all of its files in this folder."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MNER_")}
    return clean | {"TMPDIR": str(folder), "MNER_HOME": str(folder / "home"), "COLUMNS": "200"}


@pytest.mark.servers
def test_the_demo_adds_up_names_its_desk_and_leaves_nothing_behind(tmp_path: Path) -> None:
    numbers_file = tmp_path / "numbers.json"

    def demo(*arguments: str) -> str:
        done = subprocess.run(
            [*MNER, "demo", *arguments],
            cwd=ROOT,
            env=environment_of(tmp_path),
            capture_output=True,
            text=True,
            check=False,
            timeout=280,
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    try:
        printed = demo("--keep", "--json", str(numbers_file))
        numbers = json.loads(numbers_file.read_text())
        assert numbers["problems"] == []
        assert numbers["fed"] == numbers["extracted"] + numbers["dead"] == 60
        assert numbers["indexed"] == numbers["extracted"]
        assert all(fault["named"] for fault in numbers["faults"])
        assert len(numbers["faults"]) >= 8
        named, how_to_stop = printed.splitlines()[-2:]
        assert named.startswith("In a browser: http://127.0.0.1:")
        assert "`mner demo --stop`" in how_to_stop
        address = named.removeprefix("In a browser: ").strip()
        with httpx.Client(base_url=address, timeout=60, follow_redirects=True) as desk:
            assert "<h1>Overview</h1>" in desk.get("/").raise_for_status().text
            assert desk.get("/api/v1/search", params={"q": "nasa"}).raise_for_status().json()["total"] > 0
        assert processes.of(tmp_path)
    finally:
        stopped = demo("--stop")
    assert "desk" in stopped
    assert processes.of(tmp_path) == []
    with pytest.raises(httpx.ConnectError):
        httpx.get(address)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("mner")] == []
    assert not [path for path in (tmp_path / "home").glob("**/*") if path.is_file()]


@pytest.mark.servers
def test_a_demo_that_is_interrupted_leaves_nothing_behind(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HEARING, "demo"]
    running = subprocess.Popen(
        command, cwd=ROOT, env=environment_of(tmp_path), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    try:
        until = time.monotonic() + 120
        while len(processes.of(tmp_path)) < 2 * len(NAMES):  # each server and its guard
            assert time.monotonic() < until
            assert running.poll() is None
            time.sleep(0.1)
        running.send_signal(signal.SIGINT)
        _, told = running.communicate(timeout=120)
    finally:
        running.kill()
    assert running.returncode == 130, told[-3000:]
    assert "Traceback" not in told
    assert processes.of(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


async def test_real_posts_with_their_images(servers: Given, tmp_path: Path, data_sets: Path, start: Start) -> None:
    folder = data_sets / "images"
    rows = [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]
    assert len(rows) == REAL_TWEETS
    async with image_server(folder) as base_url:
        settings = settings_for(servers.addresses, tmp_path).changed(
            image={"allow": (base_url.removeprefix("http://"),)},
            vision={"timeout_s": 240.0, "wait_s": 240.0, "batch": REAL_TWEETS},
        )
        topics.create(str(settings.kafka), topics.plan(settings))
        events = [
            json.dumps(
                {"id": row["id"], "text": " ".join(row["words"]), "media": [{"url": f"{base_url}/{row['file']}"}]}
            ).encode()
            for row in rows
        ]
        start(settings)
        await asyncio.to_thread(fed, settings, events)
        await until_caught_up(settings)
    found = await books(settings)
    assert set(found.documents) == {row["id"] for row in rows}
    assert found.dead == []
    assert Counter(document["_source"]["image"]["status"] for document in found.documents.values()) == {"ok": 24}
    contexts = [document["_source"].get("context", "") for document in found.documents.values()]
    assert any("CHRIS PAUL BE LIKE" in context for context in contexts), "the text in an image was not read"
    assert set(found.tasks) <= set(found.documents)
    mentioned = sum(len(document["_source"]["mentions"]) for document in found.documents.values())
    assert mentioned + len(found.tasks) >= REAL_TWEETS / 2, "the shipped model finds hardly anything"


async def test_a_person_settles_three_tasks_and_a_replay_leaves_them_so(stubbed: Settings, start: Start) -> None:
    worker = start(stubbed)
    await asyncio.to_thread(fed, stubbed, tweets(range(21)))
    await until_caught_up(stubbed)
    waiting = set((await books(stubbed)).tasks)
    assert len(waiting) == 9
    await asyncio.to_thread(settle, stubbed, ["a", "r", "2"])
    await until_caught_up(stubbed, "decide")
    settled = await books(stubbed)
    human = {tweet: hit["_source"] for tweet, hit in settled.documents.items() if hit["_source"]["source"] == "human"}
    assert len(human) == 3
    assert set(human) == waiting - set(settled.tasks)
    assert sorted([m["type"] for m in document["mentions"]] for document in human.values()) == [[], ["LOC"], ["PER"]]
    assert all(mention["source"] == "human" for document in human.values() for mention in document["mentions"])
    assert {document["reviewer"] for document in human.values()} == {"ana"}
    await asyncio.to_thread(worker.stop)
    await replayed(stubbed, start, "extract", "deliver", "decide")
    again = await books(stubbed)
    assert again.documents == settled.documents
    assert again.tasks == settled.tasks


async def test_what_the_model_passed_over_is_asked_about_and_a_person_puts_it_in(
    stubbed: Settings, start: Start
) -> None:
    start(stubbed)
    events = [json.dumps({"id": name, "text": f"{MAYBE} Akron tonight"}).encode() for name in ("1", "2")]
    await asyncio.to_thread(fed, stubbed, events)
    await until_caught_up(stubbed)
    asked = await books(stubbed)
    assert asked.tasks == {"1": 1, "2": 1}, "the first word is sure, the second a question"
    indexed = [[mention["text"] for mention in hit["_source"]["mentions"]] for hit in asked.documents.values()]
    assert indexed == [[MAYBE]] * 2
    await asyncio.to_thread(settle, stubbed, ["a"])
    await until_caught_up(stubbed, "decide")
    settled = await books(stubbed)
    (done,) = settled.documents.keys() - settled.tasks.keys()
    mentions = settled.documents[done]["_source"]["mentions"]
    assert [(mention["text"], mention["type"], mention["source"]) for mention in mentions] == [
        (MAYBE, "PER", "human"),
        ("Akron", "LOC", "human"),
    ]


async def test_a_lost_redis_is_made_again_from_the_topics(stubbed: Settings, start: Start) -> None:
    worker = start(stubbed)
    await asyncio.to_thread(fed, stubbed, tweets(range(21)))
    await until_caught_up(stubbed)
    await asyncio.to_thread(settle, stubbed, ["a", "r"])
    await until_caught_up(stubbed, "decide")
    before = (await books(stubbed)).tasks
    assert sum(before.values()) == 7
    await asyncio.to_thread(worker.stop)
    assert stubbed.redis is not None
    async with Redis.from_url(stubbed.redis) as redis:
        await redis.delete(*await redis.keys(f"{stubbed.name('review:')}*"))
    await replayed(stubbed, start, "deliver", "decide")
    assert (await books(stubbed)).tasks == before


def settle(settings: Settings, keys: list[str]) -> None:
    """Presses one key per task in `mner review`, each when the task is on the screen, then quits."""
    environ = {**os.environ, **environment(settings), "NO_COLOR": "1", "TERM": "xterm-256color"}
    child = pexpect.spawn(
        MNER[0],
        [*MNER[1:], "review", "--reviewer", "ana"],
        env=environ,
        encoding="utf-8",
        dimensions=(24, 80),
        cwd=ROOT,
        echo=False,
    )
    ana = Reviewer(child)
    try:
        for settled, key in enumerate(keys):
            ana.sees(f"1 in review · {settled} settled")
            ana.presses(key)
        ana.sees(f"1 in review · {len(keys)} settled")
        ana.presses("q")
        assert ana.leaves() == 0
    finally:
        child.close(force=True)
