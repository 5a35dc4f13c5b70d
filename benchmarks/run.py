"""Runs one contender as a fresh process on its own topics, measures it at the broker, and checks its work."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from benchmarks.broker import Log, Record, fresh_topics, uncommitted
from core.errors import UserError
from core.events import Extraction, Tweet
from sinks.connect.kafka import Brokers
from streams import servers, topics
from streams.feed import feed
from streams.settings import Settings
from streams.worker_process import WorkerProcess

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples" / "tweets.jsonl"
POLL_S = 0.2
STILL_S = 120.0
"""A contender that produces nothing for this long counts as broken."""

WARM_TWEETS = 300
"""Posts that are fed and extracted before latency is measured."""


class Wrong(Exception):
    """A contender did wrong work, so its figures mean nothing."""


@dataclass(frozen=True)
class Contender:
    """A program to measure. `WorkerProcess` starts it."""

    name: str
    module: str
    only: tuple[str, ...] = ()


OURS = Contender("mner worker", "cli.main", ("extract",))
HANDWRITTEN = Contender("hand-written", "benchmarks.handwritten")
CONTENDERS = (OURS, HANDWRITTEN)


@dataclass(frozen=True)
class Filled:
    """The result of processing a full topic, as fast as the contender can."""

    tweets_per_s: float
    """From the first extraction in the broker's log to the last."""
    total_s: float
    """From the start of the process to the last extraction, loading the model included."""
    extractions: dict[str, Extraction]
    """Extractions by post id."""


@dataclass(frozen=True)
class Steady:
    """The result of posts that were fed at an even rate."""

    latencies_ms: list[int]
    """From the feed's timestamp of a post to its extraction in the broker's log."""
    extractions: dict[str, Extraction]


def filled(contender: Contender, settings: Settings, count: int, on_progress: Callable[[int], None]) -> Filled:
    """Measures throughput. Calls `on_progress(extractions so far)`.

    Raises `Wrong` if the contender did wrong work, and `UserError` if it stopped.
    """
    with fresh_topics(_brokers(settings), settings), _extractions(settings) as log:
        _feed(settings, tweets(count))
        started = time.time()
        with _running(contender, settings) as worker:
            _until(log, count, worker, on_progress)
        records = log.records()
        extractions = _checked(contender, settings, records, count)
    first, last = min(record.at_ms for record in records), max(record.at_ms for record in records)
    after_first = sum(record.at_ms > first for record in records)
    return Filled(1000 * after_first / max(1, last - first), last / 1000 - started, extractions)


def steady(
    contender: Contender, settings: Settings, rate: float, seconds: float, on_progress: Callable[[int], None]
) -> Steady:
    """Measures latency while posts are fed at `rate` a second for `seconds`.

    The other arguments and the errors are those of `filled`.
    """
    count = WARM_TWEETS + round(rate * seconds)
    events = tweets(count)
    brokers, name = _brokers(settings), settings.name(topics.TWEETS)
    with fresh_topics(brokers, settings), _extractions(settings) as log:
        with _running(contender, settings) as worker:
            worker.ready()
            feed(itertools.islice(events, WARM_TWEETS), brokers, name)
            _until(log, WARM_TWEETS, worker, on_progress)
            feed(events, brokers, name, rate=rate, on_fed=lambda fed: on_progress(WARM_TWEETS + fed))
            _until(log, count, worker, on_progress)
        records = log.records()
        extractions = _checked(contender, settings, records, count)
        with Log(brokers, name, settings.partitions) as fed:
            fed_ms = {record.key: record.at_ms for record in fed.records()}
    warm = set(_ids(WARM_TWEETS))
    return Steady([record.at_ms - fed_ms[record.key] for record in records if record.key not in warm], extractions)


def tweets(count: int) -> Iterator[bytes]:
    """Yields `count` events, each with its own id and without media. Their texts repeat those of the examples."""
    texts = _texts()
    for number, name in enumerate(_ids(count)):
        yield json.dumps({"id": name, "text": texts[number % len(texts)], "lang": "en", "source": "benchmark"}).encode()


def _ids(count: int) -> Iterator[str]:
    return (f"b{number}" for number in range(count))


def _texts() -> list[str]:
    texts = []
    for line in EXAMPLES.read_bytes().splitlines():
        try:
            texts.append(Tweet.model_validate_json(line).text)
        except ValidationError:
            continue  # some examples are broken on purpose
    return texts


def _feed(settings: Settings, events: Iterator[bytes]) -> None:
    feed(events, _brokers(settings), settings.name(topics.TWEETS))


@contextmanager
def _running(contender: Contender, settings: Settings) -> Iterator[WorkerProcess]:
    log = settings.home / "logs" / f"{settings.prefix}log"
    worker = WorkerProcess(settings, log, module=contender.module, only=contender.only, python_path=ROOT)
    worker.start()
    try:
        yield worker
        code = worker.stop()
    finally:
        if worker.code is None:
            worker.kill()
    if code != 0:
        raise Wrong(f"{contender.name} ended with code {code}; its log ends:\n{worker.tail()}")


def _extractions(settings: Settings) -> Log:
    return Log(_brokers(settings), settings.name(topics.EXTRACTIONS), settings.partitions)


def _until(log: Log, count: int, worker: WorkerProcess, on_progress: Callable[[int], None]) -> None:
    so_far, moved = 0, time.monotonic()
    while (now := log.count()) < count:
        if worker.code is not None or time.monotonic() - moved > STILL_S:
            state = "produces nothing more" if worker.code is None else f"ended with code {worker.code}"
            raise UserError(f"the contender {state} after {now} of {count} posts; its log ends:\n{worker.tail()}")
        if now > so_far:
            so_far, moved = now, time.monotonic()
            on_progress(now)
        time.sleep(POLL_S)
    on_progress(count)


def _checked(contender: Contender, settings: Settings, records: list[Record], count: int) -> dict[str, Extraction]:
    """Returns the extractions by post id. Raises `Wrong` unless there is one per post and all offsets are committed."""
    extractions = {record.key: Extraction.model_validate_json(record.value) for record in records}
    if set(extractions) != set(_ids(count)) or len(records) != count:
        got = f"{len(records)} extractions of {len(extractions)} posts"
        raise Wrong(f"{contender.name}: {got}; expected {count} of {count}")
    if left := uncommitted(_brokers(settings), settings):
        raise Wrong(f"{contender.name}: {left} of {count} posts were not committed")
    return extractions


def _brokers(settings: Settings) -> Brokers:
    return servers.kafka(settings)
