"""What the libraries and the repeated calls log is limited; what else the worker logs is not."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from core.errors import Retry
from streams.app import App
from streams.consumer.consumer import Consumer
from streams.consumer.thread import Thread
from streams.quiet import EVERY_S, LIBRARIES, MOST_KINDS, WARNINGS_ONLY, OneAMinute
from streams.retry import retry_forever


class Log:
    """A handler with the filter, its clock and its lines."""

    def __init__(self) -> None:
        self.now = 0.0
        self._stream = io.StringIO()
        self.handler = logging.StreamHandler(self._stream)
        self.handler.addFilter(OneAMinute(lambda: self.now))

    @property
    def lines(self) -> list[str]:
        return self._stream.getvalue().splitlines()

    def logger(self, name: str) -> logging.Logger:
        logger = logging.getLogger(name)
        logger.addHandler(self.handler)
        logger.setLevel(logging.WARNING)  # `mner` turns some libraries off, in this process too
        return logger


@pytest.fixture
def log() -> Iterator[Log]:
    made = Log()
    yield made
    for name in ("streams.retry", "aiokafka.client", "aiokafka.other", "kafka.conn", "streams.worker", "aiokafkaesque"):
        logging.getLogger(name).removeHandler(made.handler)
        logging.getLogger(name).setLevel(logging.NOTSET)


def test_the_first_is_logged_and_then_one_a_minute_with_the_number_left_out(log: Log) -> None:
    logger = log.logger("aiokafka.client")
    for second in range(600):
        log.now = second / 5
        logger.error("Unable to connect to node with id %s: %s", second, "refused")
    assert log.lines == [
        "Unable to connect to node with id 0: refused",
        "Unable to connect to node with id 300: refused (299 more like this since the last one)",
    ]
    log.now += EVERY_S
    logger.error("Unable to connect to node with id %s: %s", 1, "refused")
    assert log.lines[-1] == "Unable to connect to node with id 1: refused (299 more like this since the last one)"


@pytest.mark.parametrize(
    ("one", "other", "lines"),
    [
        pytest.param(("aiokafka.client", "lost 17"), ("aiokafka.client", "lost 18"), 1, id="other numbers"),
        pytest.param(("aiokafka.client", "at 0x7fa"), ("aiokafka.client", "at 0x1b"), 1, id="other addresses"),
        pytest.param(("aiokafka.client", "lost"), ("aiokafka.client", "found"), 2, id="other words"),
        pytest.param(("aiokafka.client", "lost"), ("aiokafka.other", "lost"), 2, id="another logger"),
        pytest.param(("aiokafka.client", "lost"), ("kafka.conn", "lost"), 2, id="another library"),
        pytest.param(("streams.worker", "lost"), ("streams.worker", "lost"), 2, id="the worker itself"),
        pytest.param(("streams.retry", "lost, try 3"), ("streams.retry", "lost, try 4"), 1, id="repeated calls"),
        pytest.param(("aiokafkaesque", "lost"), ("aiokafkaesque", "lost"), 2, id="a name that only begins so"),
    ],
)
def test_kinds(log: Log, one: tuple[str, str], other: tuple[str, str], lines: int) -> None:
    loggers = {name: log.logger(name) for name in {one[0], other[0]}}
    for name, words in (one, other):
        loggers[name].warning(words)
    assert len(log.lines) == lines


def test_repeated_calls_are_told_apart_by_their_arguments(log: Log) -> None:
    logger = log.logger("streams.retry")
    for what in ("index", "queue", "index"):
        logger.warning("%s: refused; try %d follows", what, 4)
    assert log.lines == ["index: refused; try 4 follows", "queue: refused; try 4 follows"]


def test_a_traceback_becomes_one_line(log: Log) -> None:
    try:
        raise OSError("away\nfor now")
    except OSError:
        log.logger("aiokafka.client").exception("the request\n failed")
        log.logger("streams.worker").exception("a fault of ours")
    assert log.lines[0] == "the request failed: OSError('away\\nfor now')"
    assert "Traceback (most recent call last):" in log.lines


def test_a_percent_sign_in_a_message_does_no_harm(log: Log) -> None:
    log.logger("aiokafka.client").warning("%s is full", "100%")
    assert log.lines == ["100% is full"]


class Unwritable:
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    ("message", "args"),
    [
        pytest.param("lost %d", ("a word",), id="a number is missing"),
        pytest.param("lost %s and %s", ("one",), id="too few arguments"),
        pytest.param("lost", ("one",), id="too many arguments"),
        pytest.param("lost %q", ("one",), id="no such format"),
        pytest.param("lost 100%", ("one",), id="a percent sign at the end"),
        pytest.param("lost %(name)s", ("one",), id="no mapping"),
        pytest.param("lost %(name)s", ({"other": 1},), id="a key is missing"),
        pytest.param("lost %s", (Unwritable(),), id="an argument without a text"),
        pytest.param(Unwritable(), (), id="a message without a text"),
        pytest.param("lost %c", (-1,), id="no such character"),
    ],
)
@pytest.mark.parametrize("name", ["aiokafka.client", "streams.worker"])
def test_a_message_that_cannot_be_written_stops_nobody(
    log: Log,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    message: object,
    args: tuple[object, ...],
) -> None:
    logger = log.logger(name)
    monkeypatch.setattr(logger, "propagate", False)  # the handlers of pytest raise
    logger.error(message, *args)
    logger.error("written")
    assert log.lines == ["written"]
    assert "--- Logging error ---" in capsys.readouterr().err


def test_the_kinds_in_memory_are_bounded(log: Log) -> None:
    logger, letters = log.logger("aiokafka.client"), "abcdefghijklmnopqrstuvwxyz"
    (limit,) = log.handler.filters
    assert isinstance(limit, OneAMinute)
    for one in letters:
        for two in letters:
            for three in letters[:3]:
                logger.warning(f"kind {one}{two}{three}")
    assert len(log.lines) == 26 * 26 * 3
    assert len(limit._kinds) <= MOST_KINDS


@pytest.mark.parametrize(
    ("warn_at", "tries"), [(1, [1, 2, 4, 8, 16, 32, 64, 128, 192]), (3, [3, 6, 12, 24, 48, 96, 160])]
)
async def test_a_wait_is_told_more_and_more_seldom(
    caplog: pytest.LogCaptureFixture, warn_at: int, tries: list[int]
) -> None:
    calls = 0

    async def call() -> None:
        nonlocal calls
        calls += 1
        if calls <= 200:
            raise Retry("away")

    async def sleep(_: float) -> None: ...

    await retry_forever(call, what="waiting", warn_at=warn_at, sleep=sleep)
    *told, last = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert [int(line.split("try ")[1].split()[0]) - 1 for line in told] == tries
    assert last == "waiting: succeeded after 200 repeats"


@pytest.mark.parametrize("kind", [App, Consumer, Thread])
def test_that_our_services_start_and_stop_is_no_line_of_the_log(kind: Any) -> None:
    library = kind.logger.name.split(".")[0]
    assert library in WARNINGS_ONLY
    assert library in LIBRARIES
