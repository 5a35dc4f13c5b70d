"""Reads the extractions that workers make while a live feed runs, for its display."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from core.errors import UserError
from core.events import Extraction

if TYPE_CHECKING:
    from cli.feeds.entities import Entities
    from sinks.connect.kafka import Brokers
    from streams.settings import Settings

READY_S = 3.0
"""Longest time, in seconds, that a feed waits for the reader to find the ends of the topic."""

STOP_S = 2.0
FETCH_BYTES = 8_000_000
"""Largest size of what is fetched at once, in bytes. A larger record comes alone."""


class Listener:
    """A context manager whose thread reads the topic `extractions` from its end, without a consumer group.

    It never raises, and never keeps the feed waiting. An error ends only the display of entities.
    """

    def __init__(self, settings: Settings, brokers: Brokers, entities: Entities) -> None:
        self._settings, self._brokers, self._entities = settings, brokers, entities
        self._ready, self._stop = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="feed-extractions", daemon=True)

    def __enter__(self) -> Listener:
        self._thread.start()
        self._ready.wait(READY_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(STOP_S)

    def _run(self) -> None:
        from kafka.errors import KafkaError

        from sinks.answers.kafka import answer
        from sinks.connect.probe import cause
        from streams.topics import EXTRACTIONS

        topic = self._settings.name(EXTRACTIONS)
        try:
            self._listen(topic)
        except UserError as error:
            self._entities.fail(str(error))
        except KafkaError as error:
            said = answer(cause(error, self._brokers), f"Kafka at {self._brokers}", f"topic {topic}").sentence
            self._entities.fail(said)
        except Exception as error:  # whatever it is, the feed goes on
            self._entities.fail(f"{type(error).__name__}: {error}")
        finally:
            self._ready.set()

    def _listen(self, topic: str) -> None:
        from kafka import KafkaConsumer, TopicPartition

        from sinks.connect.kafka import client_options
        from sinks.no_creation import creates_none
        from streams.terms import load_sources

        sources = load_sources(self._settings)
        consumer = KafkaConsumer(
            **client_options(self._brokers), group_id=None, enable_auto_commit=False, fetch_max_bytes=FETCH_BYTES
        )
        try:
            creates_none(consumer)
            numbers = consumer.partitions_for_topic(topic)
            if not numbers:
                raise UserError(f"topic {topic} is missing; create it with `mner topics create`")
            partitions = [TopicPartition(topic, number) for number in sorted(numbers)]
            consumer.assign(partitions)
            for partition, end in consumer.end_offsets(partitions).items():
                consumer.seek(partition, end)
            self._ready.set()
            while not self._stop.is_set():
                for records in consumer.poll(timeout_ms=100).values():
                    for record in records:
                        if (extraction := self._awaited(record)) is not None:
                            may_show = sources.of(extraction.tweet.source).may_show_text
                            self._entities.take(extraction, may_show=may_show)
        finally:
            consumer.close()

    def _awaited(self, record: Any) -> Extraction | None:
        """Returns the extraction of a post of this feed. Other records are not even read."""
        if record.key is None or record.value is None or not self._entities.awaits(record.key.decode(errors="replace")):
            return None
        try:
            return Extraction.model_validate_json(record.value)
        except ValueError:
            return None  # of another version of ours; a worker makes a dead letter of it
