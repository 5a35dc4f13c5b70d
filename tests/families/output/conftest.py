"""A deployment that holds something for each command to show, in letters of many alphabets."""

from __future__ import annotations

import asyncio
import io
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from kafka import KafkaProducer

from cli.main import main
from core.events import DeadLetter
from sinks.index.document import from_extraction
from sinks.index.index import Index
from sinks.queue.queue import ReviewQueue
from streams import topics
from streams.settings import Settings
from tests.conftest import Given, settings_for
from tests.sinks.values import extraction, mention, task, tweet

LONG = "ein langes Wort 🗼 Łódź Αθήνα 東京 " * 20
"""Text that fits no terminal of 80 cells."""


@dataclass(frozen=True)
class Shown:
    """What a command printed, as bytes, and its exit code."""

    code: int
    out: bytes


Show = Callable[..., Shown]


@pytest.fixture(scope="module")
def deployment(servers: Given, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings of a deployment that holds something. No command here changes what another one shows."""
    settings = settings_for(servers.addresses, tmp_path_factory.mktemp("home"))
    topics.create(str(settings.kafka), topics.plan(settings))
    letter = DeadLetter(topic="tweets", partition=0, offset=1, stage="decode", error="Reject", reason=LONG, value=LONG)
    producer = KafkaProducer(bootstrap_servers=settings.kafka)
    producer.send(settings.name(topics.DEAD), letter.model_dump_json().encode()).get(timeout=10)
    producer.close()
    asyncio.run(fill(settings))
    return settings


@pytest.fixture
def filled(deployment: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Settings:
    """The same settings stand in the environment, and a file of posts in the current folder."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("MNER_")]:
        monkeypatch.delenv(name)
    for name in ("kafka", "elasticsearch", "redis", "prefix", "home"):
        monkeypatch.setenv(f"MNER_{name.upper()}", str(getattr(deployment, name)))
    Path("posts.jsonl").write_text('{"id": "1", "text": "Łódź 🗼"}\n')
    return deployment


async def fill(settings: Settings) -> None:
    queue = ReviewQueue(str(settings.redis), settings.name("review:"))
    await queue.add([task("1", 0.5, text=f"Paris {LONG}")])
    await queue.close()
    index = Index(str(settings.elasticsearch), settings.name("mentions"))
    await index.prepare()
    text = f"Athen {LONG}"
    found = mention("Athen", within=text)
    await index.write([from_extraction(extraction(tweet("1", text), found), [found])])
    await index.refresh()
    await index.close()


@pytest.fixture
def show(filled: Settings, monkeypatch: pytest.MonkeyPatch) -> Show:
    """Runs a command in this process, with standard output as a pipe of the given encoding."""

    def run(*words: str, encoding: str = "utf-8") -> Shown:
        raw = io.BytesIO()
        pipe = io.TextIOWrapper(raw, encoding)
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", pipe)
            patch.setattr(sys, "argv", ["mner", *words])
            patch.setenv("COLUMNS", "60")
            with pytest.raises(SystemExit) as ended:
                main()
            pipe.flush()
        return Shown(int(ended.value.code or 0), raw.getvalue())

    return run
