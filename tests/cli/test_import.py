"""An import sends no record behind a newer one, whatever Kafka refuses, and needs no index."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from elasticsearch import Elasticsearch

from core.events import Extraction
from core.terms import CAUTIOUS
from sinks.exchange import line_of
from sinks.index.document import from_extraction
from streams import topics
from streams.settings import Settings
from tests.cli.test_export import Mner, found, mner, post
from tests.streams.test_retention import records

__all__ = ["mner"]


def line(event: Extraction) -> bytes:
    return line_of(from_extraction(event, event.mentions).body, CAUTIOUS)


def sent(settings: Settings) -> list[tuple[str, int]]:
    """Returns post and edit of each extraction, in their order."""
    values = [json.loads(value or b"") for _, value in records(settings, settings.name(topics.EXTRACTIONS))]
    return [(value["tweet"]["id"], value["tweet"]["edit"]) for value in values]


def prepare(settings: Settings, **limits: Any) -> None:
    planned = [replace(topic, partitions=1, **limits) for topic in topics.plan(settings)]
    topics.create(str(settings.kafka), planned)


def test_an_import_writes_to_topics_only(settings: Settings, mner: Mner, tmp_path: Path) -> None:
    """A user who may only read the index can import, and a worker of another version makes the index as it needs."""
    prepare(settings)
    file = tmp_path / "all.jsonl"
    file.write_bytes(line(found(post("b"), "Paris")))
    done = mner("import", str(file))
    assert (done.code, done.err, sent(settings)) == (0, "", [("b", 2)])
    with Elasticsearch(str(settings.elasticsearch)) as client:
        assert not client.indices.exists(index=settings.name("mentions"))
        assert not client.indices.exists_index_template(name=settings.name("mentions"))


def test_a_line_that_kafka_refuses_does_not_count_as_sent(settings: Settings, mner: Mner, tmp_path: Path) -> None:
    prepare(settings, max_bytes=3000)
    file, long = tmp_path / "all.jsonl", "Paris " * 700
    file.write_bytes(line(found(post("b", long), "Paris")) + line(found(post("b"), "Paris")))
    done = mner("import", str(file))
    assert done.out == b"1 extractions and 0 decisions imported; 1 bad lines left out (refused by Kafka 1)\n"
    assert (done.code, sent(settings)) == (1, [("b", 2)])


def test_the_posts_that_were_sent_last_are_remembered(
    settings: Settings, mner: Mner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a limit, the memory for them does not grow with the file."""
    monkeypatch.setattr("cli.importing.REMEMBERED", 2)
    monkeypatch.setattr("cli.importing.BATCH", 1)
    prepare(settings)
    file = tmp_path / "all.jsonl"
    edits = [("a", 3), ("b", 3), ("a", 2), ("a", 3), ("a", 4), ("c", 3), ("a", 3), ("b", 2)]
    file.write_bytes(b"".join(line(found(post(name, edit=edit), "Paris")) for name, edit in edits))
    done = mner("import", str(file))
    assert done.out.startswith(b"5 extractions and 0 decisions imported; 3 lines left out")
    assert sent(settings) == [("a", 3), ("b", 3), ("a", 4), ("c", 3), ("b", 2)]
