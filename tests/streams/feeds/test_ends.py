"""A feed that is stopped, killed, or left alone by Kafka: the cursor never runs ahead of what Kafka has."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from local.stack import Stack
from streams import topics
from streams.feeds.cursor import CursorFile
from streams.feeds.orders import Options, Target
from streams.feeds.runner import SAVE_S, Runner
from streams.settings import Settings
from tests.conftest import ROOT, settings_for
from tests.streams.account import books, until_caught_up
from tests.streams.conftest import Start
from tests.streams.feeds.contract import (
    Found,
    Platform,
    Running,
    Watcher,
    assert_exact,
    assert_not_ahead,
    assert_true_to,
    check,
    command,
    quick,
    watched,
)
from tests.streams.feeds.platforms import all_platforms
from tests.streams.feeds.platforms.bluesky import Served

BUSY_S = 90.0
"""Longest wait, in seconds, for a process. Its start needs two seconds of a CPU, which a busy machine gives slowly."""

each_platform = pytest.mark.parametrize("platform", all_platforms(), ids=lambda platform: platform.name)


def _kill_once(served: Platform, settings: Settings, watcher: Watcher, enough: Callable[[Found], bool]) -> None:
    """Runs the feed, and kills it with signal 9 at this moment, before it has sent everything."""
    with command(served, settings) as child:
        watcher.until(
            lambda found: child.poll() is not None or enough(found), lambda found: f"{len(found.posts)} posts", BUSY_S
        )
        assert child.poll() is None, child.communicate()
        child.kill()
        child.wait()
    assert watcher.all().missing(served), "it had already sent everything, so nothing is shown"


def _stop_once(served: Platform, settings: Settings, watcher: Watcher, saved: CursorFile) -> None:
    """Runs the feed, and stops it with SIGTERM when it has gone on, before it has sent everything."""
    before = saved.load().cursor
    with command(served, settings) as child:
        watcher.until(
            lambda _: child.poll() is not None or saved.load().cursor != before,
            lambda found: f"{len(found.posts)} posts",
            BUSY_S,
        )
        child.send_signal(signal.SIGTERM)
        child.communicate(timeout=30)
    found = watcher.all()
    assert found.missing(served), "it had already sent everything, so nothing is shown"
    assert_exact(served, saved.load().cursor, found)


@each_platform
def test_kill_9_loses_nothing_and_sigterm_saves_the_cursor(platform: type[Platform], settings: Settings) -> None:
    settings = settings.changed(partitions=2)
    served = platform(3, faults=False, pace_s=0.03)
    with watched(settings) as watcher, served.serving():
        saved = CursorFile(settings.home, served.source(settings.home).identity)
        _kill_once(served, settings, watcher, lambda found: len(found.posts) >= 5)
        first = saved.load().cursor
        assert_not_ahead(served, first, watcher.all())
        assert first is not None or served.name in {"rss", "file"}  # which begin with all that is there
        _kill_once(served, settings, watcher, lambda _: saved.load().cursor != first)
        assert_not_ahead(served, saved.load().cursor, watcher.all())
        _stop_once(served, settings, watcher, saved)
        with command(served, settings) as child:
            watcher.until(
                lambda found: child.poll() is not None or (served.has_ended and not found.missing(served)),
                lambda found: found.missing(served)[:5],
                BUSY_S,
            )
            if served.name != "file":  # which ends by itself
                child.send_signal(signal.SIGTERM)
            out, err = child.communicate(timeout=30)
        assert child.returncode == 0, err
        assert " received: " in out
        found = watcher.all()
        assert_true_to(served, found)
        assert_exact(served, saved.load().cursor, found)


@pytest.mark.parametrize("name", ["bluesky", "mastodon"])
def test_each_run_with_a_limit_sends_new_posts(name: str, settings: Settings) -> None:
    settings = settings.changed(partitions=2)
    (platform,) = [found for found in all_platforms() if found.name == name]
    served = platform(6, faults=False)
    with watched(settings) as watcher, served.serving():
        known = 0
        for _ in range(3):
            source = served.source(settings.home)
            cursors = CursorFile(settings.home, source.identity)
            Runner(source, Target.of(settings, str(settings.kafka)), cursors, Options(limit=5)).run()
            found = watcher.look(1000)
            assert len(found.posts) > known
            known = len(found.posts)


@pytest.fixture
def own(own_servers: Stack, tmp_path: Path) -> Settings:
    """Settings on servers that the test may stop."""
    return settings_for(own_servers.addresses, tmp_path).changed(
        partitions=2, model_factory="tests.streams.stub_model:load", threshold=0.5
    )


@each_platform
def test_the_cursor_stands_still_while_kafka_acknowledges_nothing(
    platform: type[Platform], own: Settings, own_servers: Stack
) -> None:
    served = platform(4, faults=False, pace_s=0.005)
    pid = own_servers.kafka.pid
    assert pid is not None
    with watched(own) as watcher, served.serving():
        running = Running(quick(served.source(own.home)), own)
        try:
            watcher.until(lambda found: len(found.posts) >= 10, lambda found: f"{len(found.posts)} posts")
            os.kill(pid, signal.SIGSTOP)
            try:
                time.sleep(SAVE_S + 0.3)  # what was acknowledged before may still be saved
                received, frozen = running.runner.account.received, running.cursors.load().cursor
                time.sleep(SAVE_S + 0.5)
                assert running.runner.account.received > received, "nothing arrived, so nothing is shown"
                assert running.cursors.load().cursor == frozen
            finally:
                os.kill(pid, signal.SIGCONT)
            watcher.until(
                lambda found: running.has_failed or (served.has_ended and not found.missing(served)),
                lambda found: found.missing(served)[:5],
            )
        finally:
            running.stop()
        assert_true_to(served, watcher.look(500))


@each_platform
def test_kill_9_while_kafka_acknowledges_nothing_leaves_no_cursor_ahead(
    platform: type[Platform], own: Settings, own_servers: Stack
) -> None:
    """Kafka takes a few requests that it has not answered. What came after them dies with the feed."""
    served = platform(8, faults=False, pace_s=0.005)
    pid = own_servers.kafka.pid
    assert pid is not None
    with watched(own) as watcher, served.serving():
        saved = CursorFile(own.home, served.source(own.home).identity)
        with command(served, own) as child:
            watcher.until(
                lambda found: child.poll() is not None or len(found.posts) >= 10,
                lambda found: f"{len(found.posts)} posts",
                BUSY_S,
            )
            os.kill(pid, signal.SIGSTOP)
            try:
                time.sleep(2 * SAVE_S + 0.5)  # so that a cursor of what was only sent would be saved
                assert child.poll() is None, child.communicate()
                child.kill()
                child.wait()
            finally:
                os.kill(pid, signal.SIGCONT)
        assert_not_ahead(served, saved.load().cursor, watcher.all())
        with command(served, own) as child:
            watcher.until(
                lambda found: child.poll() is not None or (served.has_ended and not found.missing(served)),
                lambda found: found.missing(served)[:5],
                BUSY_S,
            )
        assert_true_to(served, watcher.all())


async def test_the_sinks_have_every_post_once_after_all_faults(own: Settings, start: Start) -> None:
    served = Served(5)
    await asyncio.to_thread(check, served, own)
    start(own, only=("extract", "deliver"))
    await until_caught_up(own)
    found = await books(own)
    assert set(found.documents) == {name for name, _ in served.posts}
    assert all(count == 1 for count in found.tasks.values())
    assert all(letter.stage == "feed" for letter in found.dead)


def test_standard_input_that_stays_open_does_not_keep_the_feed_from_ending(settings: Settings) -> None:
    environment = os.environ | {"MNER_KAFKA": str(settings.kafka), "MNER_PREFIX": settings.prefix}
    environment["MNER_HOME"] = str(settings.home)
    with watched(settings.changed(partitions=2)) as watcher:
        child = subprocess.Popen(
            [sys.executable, "-m", "cli.main", "feed", "-"],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        assert child.stdin is not None
        assert child.stderr is not None
        child.stdin.write(b'{"id": "1", "text": "x"}\n{"id": "2", "text": "x"}\n')
        child.stdin.flush()
        watcher.until(lambda found: len(found.posts) == 2, lambda found: found.posts)
        child.send_signal(signal.SIGINT)
        said = child.stderr.read().decode()
        assert child.wait(30) == 130, said
        child.stdin.close()
        child.stderr.close()
    assert "Kafka has 2 records; " in said
    assert said.count("\n") == 1


def test_the_readmes_first_live_feed_works_without_a_network(settings: Settings) -> None:
    assert "mner feed bluesky --server ws://127.0.0.1:6008 --limit 20" in (ROOT / "README.md").read_text()
    environment = os.environ | {"MNER_KAFKA": str(settings.kafka), "MNER_PREFIX": settings.prefix}
    environment["MNER_HOME"] = str(settings.home)
    topics.create(str(settings.kafka), topics.plan(settings))
    server = subprocess.Popen(
        [sys.executable, "-m", "examples.jetstream", "--port", "0", "--rate", "100"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        _, *words = server.stdout.readline().split()
        done = subprocess.run(
            [sys.executable, "-m", "cli.main", *words],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    finally:
        server.kill()
        server.communicate()
    assert done.returncode == 0, done.stderr
    assert " received: 20 sent" in done.stdout
