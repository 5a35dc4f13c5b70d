"""`mner queue`, `mner search` and `mner dead-letters` on real servers, with output for people and for scripts."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest
from kafka import KafkaProducer

from cli.main import main
from core.events import DeadLetter
from sinks.index.document import from_decision, from_extraction, marker
from sinks.index.index import Index
from sinks.queue.queue import ReviewQueue
from streams import topics
from streams.settings import Settings
from tests.sinks.values import decision, extraction, mention, missed, task, tweet


@dataclass(frozen=True)
class Result:
    """The exit code and the output of a command."""

    code: int
    out: str
    err: str


Mner = Callable[..., Result]


@pytest.fixture
def mner(settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Mner:
    """Runs the command line with the test's settings, 200 characters wide, without colour."""
    for name in ("kafka", "elasticsearch", "redis", "prefix"):
        monkeypatch.setenv(f"MNER_{name.upper()}", str(getattr(settings, name)))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("NO_COLOR", "1")

    def run(*words: str) -> Result:
        monkeypatch.setattr(sys, "argv", ["mner", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return Result(int(ended.value.code or 0), captured.out, captured.err)

    return run


@pytest.fixture
def filled_queue(settings: Settings) -> None:
    async def fill() -> None:
        queue = ReviewQueue(str(settings.redis), settings.name("review:"))
        await queue.add([task("1", 0.2), task("2", 0.9), task("3", 0.5)])
        await queue.take("3", "bob", 60)
        await queue.settle(task("4"), 1)
        await queue.close()

    asyncio.run(fill())


@pytest.fixture
def filled_index(settings: Settings) -> None:
    async def fill() -> None:
        index = Index(str(settings.elasticsearch), settings.name("mentions"))
        await index.prepare()
        paris, hilton = mention("#Paris"), mention("Paris Hilton", "PER")
        both = extraction(tweet("1"), paris, hilton)
        human = paris.model_copy(update={"source": "human"})
        erased = extraction(tweet("3", "Paris erased"))
        documents = [from_extraction(both, [paris, hilton]), from_decision(decision(task("2"), 1, human))]
        await index.write([*documents, from_extraction(erased, []), marker("3")])
        await index.refresh()
        await index.close()

    asyncio.run(fill())


@pytest.mark.usefixtures("filled_queue")
def test_the_queue_is_listed_most_uncertain_first_with_the_reasons(mner: Mner) -> None:
    listed = mner("queue", "list", "--limit", "2").out
    assert listed.index("post 2") < listed.index("post 3  with bob")
    assert "[Paris LOC?] Hilton was seen" in listed
    assert "“Paris”: seldom seen" in listed
    assert "2 shown, 1 more; 1 settled" in listed
    entries = json.loads(mner("queue", "list", "--json").out)
    assert [(e["tweet"]["id"], e["uncertainty"], e["reviewer"]) for e in entries] == [
        ("2", 0.9, None),
        ("3", 0.5, "bob"),
        ("1", 0.2, None),
    ]


def test_a_candidate_is_listed_as_one(mner: Mner, settings: Settings) -> None:
    async def fill() -> None:
        queue = ReviewQueue(str(settings.redis), settings.name("review:"))
        await queue.add([missed("1", 0.3)])
        await queue.close()

    asyncio.run(fill())
    listed = mner("queue", "list").out
    assert "by (Ana PER?)" in listed
    assert "candidate “Ana”: not chosen" in listed
    (entry,) = json.loads(mner("queue", "list", "--json").out)
    assert [question["is_candidate"] for question in entry["questions"]] == [True]


def test_no_control_character_of_a_post_is_printed(mner: Mner, settings: Settings) -> None:
    async def fill() -> None:
        queue = ReviewQueue(str(settings.redis), settings.name("review:"))
        await queue.add([task("1", text="Paris \x9b2J\x1b[2J\x7f\u202e")])
        await queue.close()

    asyncio.run(fill())
    for words in (["queue", "list"], ["queue", "list", "--json"]):
        shown = mner(*words).out
        assert not set("\x9b\x1b\x7f\u202e") & set(shown)
    assert json.loads(shown)[0]["tweet"]["text"] == "Paris \x9b2J\x1b[2J\x7f\u202e"


@pytest.mark.usefixtures("filled_queue")
def test_the_queue_is_counted(mner: Mner) -> None:
    text = mner("queue", "counts").out
    assert text.startswith("open 2\nleased 1\ndecided 1\ncopies 0\ndisputed 0\nflagged 0\noldest 20")
    found = json.loads(mner("queue", "counts", "--json").out)
    oldest = datetime.fromisoformat(found.pop("oldest"))
    assert oldest.utcoffset() == timedelta(0)
    assert found == {"open": 2, "leased": 1, "decided": 1, "copies": 0, "disputed": 0, "flagged": 0}


@pytest.mark.usefixtures("filled_index")
def test_a_search_marks_what_people_decided_and_never_shows_erased_posts(mner: Mner) -> None:
    shown = mner("search", "paris").out
    assert "[Paris Hilton PER] was seen in [#Paris LOC]" in shown
    assert "by ana" in shown
    assert "[#Paris LOC✓]" in shown
    assert "by the model" in shown
    assert "2 of 2" in shown
    assert "erased" not in shown
    results = json.loads(mner("search", "paris", "--type", "PER", "--json").out)
    assert results["total"] == 1
    assert [m["text"] for m in results["hits"][0]["mentions"] if m["matched"]] == ["Paris Hilton"]
    assert json.loads(mner("search", "--entities", "--json").out)[0] == {"name": "paris", "type": "LOC", "tweets": 2}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        pytest.param(["search", "paris"], "no index", id="nothing indexed yet"),
        pytest.param(["search", "paris", "--type", "CITY"], "'CITY' is not one of", id="no such type"),
        pytest.param(["queue", "list", "--limit", "0"], "limit", id="no such limit"),
    ],
)
def test_an_error_that_the_user_can_correct_has_no_traceback(mner: Mner, words: list[str], message: str) -> None:
    ended = mner(*words)
    assert ended.code == 2
    assert message in ended.err
    assert "Traceback" not in ended.err


def test_dead_letters_are_listed_with_the_reason_the_origin_and_the_original_event(
    mner: Mner, settings: Settings
) -> None:
    topics.create(str(settings.kafka), topics.plan(settings))
    dead = DeadLetter(
        topic="tweets",
        partition=2,
        offset=41,
        stage="decode",
        error="Reject",
        reason="text: missing",
        value='{"id": "\x1b[2J"}',
    )
    producer = KafkaProducer(bootstrap_servers=settings.kafka)
    producer.send(settings.name(topics.DEAD), dead.model_dump_json().encode()).get(timeout=10)
    producer.close()
    shown = mner("dead-letters", "list").out
    assert "decode  text: missing" in shown
    assert "tweets[2] at 41" in shown
    assert '{"id": "␛[2J"}' in shown
    (entry,) = json.loads(mner("dead-letters", "list", "--json").out)
    assert (entry["reason"], entry["offset"]) == ("text: missing", 41)
