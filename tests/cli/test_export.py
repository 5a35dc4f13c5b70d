"""Exports obey terms, erasures and retention, and an import brings the same documents into another deployment."""

from __future__ import annotations

import asyncio
import errno
import io
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cli.main import main
from core.events import Author, Decision, Extraction, ImageResult, Media, Tweet, Verdict
from core.lifecycle import Lifecycle
from model.training import corpus
from sinks.index.document import Document, from_decision, from_extraction, marker
from sinks.index.index import Index
from sinks.queue.queue import ReviewQueue
from streams import topics
from streams.agents.decide import Decide
from streams.agents.deliver import FOR_EVER, Deliver
from streams.pipeline.decode import Decode
from streams.pipeline.item import Item, Origin
from streams.producer import Producer
from streams.retention import Retention
from streams.settings import Settings
from tests.sinks.values import decision, extraction, mention, task, tweet
from tests.streams.said import Said, applying
from tests.streams.test_retention import records

RECENT = datetime.now(UTC).replace(microsecond=0) - timedelta(days=2)
ODD = 'Paris "Hilton"\n\tin #Paris 🗼\u2028 by Ana &amp; Bo'


@dataclass(frozen=True)
class Result:
    code: int
    out: bytes
    err: str


Mner = Callable[..., Result]


@pytest.fixture
def mner(settings: Settings, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Mner:
    """Runs the command line with the test's settings. `deployment` is added to the prefix."""
    for name in ("kafka", "elasticsearch", "redis"):
        monkeypatch.setenv(f"MNER_{name.upper()}", str(getattr(settings, name)))
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words: str, deployment: str = "") -> Result:
        monkeypatch.setenv("MNER_PREFIX", settings.prefix + deployment)
        monkeypatch.setattr(sys, "argv", ["mner", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        sys.stdout.flush()
        captured = capfdbinary.readouterr()
        return Result(int(ended.value.code or 0), captured.out, captured.err.decode())

    return run


def post(post_id: str, text: str = ODD, edit: int = 2, **fields: Any) -> Tweet:
    details = {"author": Author(id="7", name="bo\u202e"), "lang": "en", "source": "file:mine", "received_at": RECENT}
    media = (Media(url="https://a.example/1.jpg"), Media(url="https://a.example/2.jpg"))
    return tweet(post_id, text, edit, media=media, reply_to="9", **details | fields)


def found(of: Tweet, *texts: str) -> Extraction:
    places = (mention(text, "LOC", within=of.text, probability=0.9 + 0.01 * place) for place, text in enumerate(texts))
    image = ImageResult(status="failed", reason="http_status: 404")
    return extraction(of, *places, image=image, context="a tower", typicality=0.25)


def settled(of: Tweet, *texts: str) -> Decision:
    mentions = (mention(text, "PER", within=of.text, source="human") for text in texts)
    about = task(of.id).model_copy(update={"tweet": of, "image": ImageResult(status="ok"), "context": "seen"})
    made = decision(about, 1_790_000_000_123, *mentions)
    return made.model_copy(update={"verdicts": tuple(Verdict(action="add", after=each) for each in made.mentions)})


def documents() -> list[Document]:
    readings = [
        found(post("b"), "Paris", "Ana"),
        found(post("a", "nothing here", source="file")),
        found(post("x", source="x"), "Ana"),
    ]
    decided = [settled(post("c"), "Ana"), settled(post("at:did:pl"), "Ana", "Bo")]
    rejected = settled(post("f"))
    return [
        *(from_extraction(each, each.mentions) for each in readings),
        *map(from_decision, [*decided, rejected]),
        marker("gone"),
    ]


async def write(settings: Settings, name: str, what: list[Document]) -> None:
    index = Index(str(settings.elasticsearch), name)
    await index.prepare()
    assert {outcome.kind for outcome in await index.write(what)} <= {"written"}
    await index.refresh()
    await index.close()


async def work(
    settings: Settings, decided: int = 3, standings: Said | None = None, retention: Retention = FOR_EVER
) -> None:
    """Does what a worker does with the topics of this deployment. `standings`: what platforms said about posts."""
    index = Index(str(settings.elasticsearch), settings.name("mentions"))
    await index.prepare()
    queue = ReviewQueue(str(settings.redis), settings.name("review:"))
    async with Producer(str(settings.kafka)) as producer:
        apply = applying(index, queue, standings)
        deliver = Deliver(index, queue, apply, None, None, retention=retention)
        decide = Decide(index, queue, apply, producer, settings.name(topics.DECISIONS), retention)
        for topic, kind in ((topics.EXTRACTIONS, Extraction), (topics.DECISIONS, Decision)):
            items: list[Item[Any]] = []
            for key, value in await asyncio.to_thread(records, settings, settings.name(topic)):
                items.append(Item(Origin(topic, 0, 0, key, value, 0.0)))
                stage: Decode[Item[Any]] = Decode(kind)
                await stage.process(items[-1])
            if kind is Extraction:
                await deliver.process(items)
            else:
                for item in items:
                    await decide.process(item)
            assert [item.dead for item in items if item.dead] == []
    counts = await queue.counts()
    assert (counts.open, counts.decided) == (0, decided)
    await index.refresh()
    await queue.close()
    await index.close()


def test_an_import_into_an_empty_deployment_is_exported_as_the_same_bytes(
    settings: Settings, mner: Mner, tmp_path: Path
) -> None:
    asyncio.run(write(settings, settings.name("mentions"), documents()))
    file, again = tmp_path / "all.jsonl", tmp_path / "again.jsonl"
    done = mner("export", "--out", str(file))
    assert done.code == 0, done.err
    assert done.err == "6 posts exported; 1 written without their text, by the terms of their sources\n"
    lines = [json.loads(line) for line in file.read_bytes().splitlines(keepends=False) if line]
    silent = next(line for line in lines if line["id"] == "x")
    start = ODD.rindex("Ana")
    assert silent == {
        "id": "x",
        "source": "x",
        "created_at": silent["created_at"],
        "mentions": [{"start": start, "end": start + 3, "type": "LOC"}],
    }
    assert b"gone" not in file.read_bytes()
    assert mner("export").out == file.read_bytes()

    other = settings.changed(prefix=settings.prefix + "b.")
    topics.create(str(settings.kafka), topics.plan(other))
    for _ in range(2):
        done = mner("import", str(file), deployment="b.")
        assert (done.code, done.err) == (0, "")
        assert done.out == b"2 extractions and 3 decisions imported; 1 lines without a text left out\n"
    asyncio.run(work(other))
    done = mner("import", str(file), deployment="b.")
    assert done.out.startswith(b"0 extractions and 0 decisions imported; 5 lines left out, of which the index has the")
    assert mner("export", "--out", str(again), deployment="b.").code == 0
    told = [line for line in file.read_bytes().splitlines(keepends=True) if not line.startswith(b'{"id":"x"')]
    assert again.read_bytes() == b"".join(told)


def test_an_import_of_words_and_tags_is_exported_as_the_same_bytes(
    settings: Settings, mner: Mner, tmp_path: Path
) -> None:
    asyncio.run(write(settings, settings.name("mentions"), documents()))
    file = tmp_path / "all.txt"
    done = mner("export", "--format", "conll", "--out", str(file))
    assert done.err == "5 posts exported; 1 left out, by the terms of their sources\n"
    assert b"# reviewer ana\n" in file.read_bytes()

    other = settings.changed(prefix=settings.prefix + "b.")
    topics.create(str(settings.kafka), topics.plan(other))
    told = [b"2 extractions and 3 decisions imported", b"0 extractions and 0 decisions imported; 5 lines left out"]
    for words in told:
        done = mner("import", str(file), deployment="b.")
        assert (done.code, done.err) == (0, "")
        assert done.out.startswith(words)
        asyncio.run(work(other))
    assert mner("export", "--format", "conll", deployment="b.").out == file.read_bytes()
    ids = [json.loads(line)["id"] for line in mner("export", "--decisions", deployment="b.").out.splitlines()]
    assert ids == ["at:did:pl", "c", "f"]


@pytest.mark.parametrize("layout", ["jsonl", "conll"])
def test_an_import_obeys_erasures_retention_and_terms(
    layout: str, settings: Settings, mner: Mner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    posts = [post(name) for name in ("kept", "gone", "decided")]
    posts += [post(name, received_at=RECENT - timedelta(days=60)) for name in ("old", "decided-old")]
    posts += [post(name, author=Author(id="9")) for name in ("of-nine", "decided-of-nine")]
    made = [settled(of, "Ana") if of.id.startswith("decided") else found(of, "Ana") for of in posts]
    kept = [from_decision(one) if isinstance(one, Decision) else from_extraction(one, one.mentions) for one in made]
    asyncio.run(write(settings, settings.name("mentions"), kept))
    file = tmp_path / "all"
    assert mner("export", "--format", layout, "--out", str(file)).code == 0

    other = settings.changed(prefix=settings.prefix + "b.")
    topics.create(str(settings.kafka), topics.plan(other))
    assert mner("import", str(file), deployment="b.").out.startswith(b"4 extractions and 3 decisions imported")
    standings = Said()
    asyncio.run(standings.record(Lifecycle(kind="erase", post="gone", at=RECENT)))
    asyncio.run(standings.record(Lifecycle(kind="erase", author="9", at=datetime.now(UTC))))
    asyncio.run(work(other, 1, standings, Retention(30)))
    shown = mner("export", deployment="b.").out.splitlines()
    assert [json.loads(line)["id"] for line in shown] == ["decided", "kept"]
    stricter = tmp_path / "sources.yaml"
    stricter.write_text('"file:mine": {may_train: false, may_show_text: false, delete_within_hours: 24}\n')
    monkeypatch.setenv("MNER_SOURCES", str(stricter))
    assert b"Hilton" in b"".join(shown)
    assert b"Hilton" not in mner("export", deployment="b.").out
    assert mner("export", "--format", "conll", deployment="b.").out == b""


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("Ana B-PER", "expected a word, a tab and a tag (got 'Ana B-PER')"),
        ("Ana\tB-", "expected a word, a tab and a tag"),
        ("Ana\tB-XYZ", "mentions.0.type: Input should be"),
        ("# reviewer bo\nAna\tO", "decided_at: "),
        ("# edit 70000\nAna\tO", "edit: Input should be less than or equal to 65535"),
    ],
)
def test_a_bad_post_of_words_and_tags_is_named_and_the_others_are_imported(
    settings: Settings, mner: Mner, tmp_path: Path, row: str, told: str
) -> None:
    file = tmp_path / "all.txt"
    file.write_text(f"# id 1\nAna\tB-PER\n\n# id 2\n{row}\n\n\n# id 3\nBo\tO\n\n")
    topics.create(str(settings.kafka), topics.plan(settings))
    done = mner("import", str(file))
    assert (done.code, done.err.count("\n")) == (1, 1)
    assert f"all.txt:4: {told}" in done.err
    assert (
        done.out.decode() == "2 extractions and 0 decisions imported; 1 bad lines left out (no post of an export 1)\n"
    )


GOOD = b"# id 1\nAna\tB-PER\n\n"


@pytest.mark.parametrize(
    ("content", "bad", "told"),
    [
        (GOOD + b"# id 2\nBo\tB-PER\n", "cut off 1", "4: the file was cut off in this post"),
        (GOOD + b"# id 2\nBo\tB-P", "cut off 1", "4: the file was cut off in this post"),
        (b"# id 2\nBo\tO\n" + b"x" * 3000 + b"\n" + GOOD, "cut off 1, too long 1", "1: the file was cut off in this"),
        (b"# id 2\n# source x\n" + GOOD, "cut off 1", "1: the file was cut off in this post"),  # two files in one
        (GOOD + b"# id 2\nin\tO\nZ\xfcrich\tB-LOC\n\n", "not UTF-8 1", "6: is no UTF-8 (got the byte 0xfc)"),
        (b"# id 2\n" + b"Bo\tO\n" * 500 + b"\n" + GOOD, "too long 1", "1: the post has 2507 bytes, which no export"),
    ],
    ids=["cut between lines", "cut in a line", "cut before a long line", "cut before a post", "Latin-1", "too long"],
)
def test_a_damaged_post_of_words_and_tags_is_left_out(
    settings: Settings,
    mner: Mner,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    content: bytes,
    bad: str,
    told: str,
) -> None:
    file = tmp_path / "all.txt"
    file.write_bytes(content)
    monkeypatch.setattr("cli.exported_file.MAX_DERIVED_BYTES", 2000)
    topics.create(str(settings.kafka), topics.plan(settings))
    done = mner("import", str(file))
    assert done.code == 1
    assert f"all.txt:{told}" in done.err
    assert done.out.decode().startswith("1 extractions and 0 decisions imported; ")
    assert f"bad lines left out ({bad})\n" in done.out.decode()
    sent = [json.loads(value or b"") for _, value in records(settings, settings.name(topics.EXTRACTIONS))]
    assert [event["tweet"]["id"] for event in sent] == ["1"]


def test_an_old_export_replaces_no_newer_record(settings: Settings, mner: Mner, tmp_path: Path) -> None:
    """Compaction leaves the last record of a post. So an older one must not come behind a newer one."""
    stands, taken_back, edited = settled(post("c"), "Ana"), settled(post("d"), "Ana"), found(post("b"), "Paris")
    old = [from_decision(stands), from_decision(taken_back), from_extraction(edited, edited.mentions)]
    asyncio.run(write(settings, settings.name("mentions"), old))
    file = tmp_path / "old.jsonl"
    assert mner("export", "--out", str(file)).code == 0

    later = taken_back.decided_at + timedelta(seconds=1)
    retracted = taken_back.model_copy(update={"kind": "retract", "decided_at": later, "mentions": ()})
    newer = found(post("b", edit=3), "Paris")
    new = [from_decision(retracted), from_extraction(newer, newer.mentions)]
    asyncio.run(write(settings, settings.name("mentions"), new))
    topics.create(str(settings.kafka), topics.plan(settings))
    newest = tmp_path / "newest.jsonl"
    assert mner("export", "--out", str(newest)).code == 0
    file.write_bytes(file.read_bytes() + newest.read_bytes())
    done = mner("import", str(file))
    left_out = b"6 lines left out, of which the index has the same or a newer version\n"
    assert (done.code, done.out) == (0, b"0 extractions and 0 decisions imported; " + left_out)
    for topic in (topics.EXTRACTIONS, topics.DECISIONS):
        assert records(settings, settings.name(topic)) == []

    other = settings.changed(prefix=settings.prefix + "b.")
    topics.create(str(settings.kafka), topics.plan(other))
    file.write_bytes(newest.read_bytes() + file.read_bytes())  # the newest lines come first
    assert mner("import", str(file), deployment="b.").out.startswith(b"2 extractions and 2 decisions imported; 5 lines")
    sent = [json.loads(value or b"")["tweet"]["edit"] for _, value in records(other, other.name(topics.EXTRACTIONS))]
    assert sorted(sent) == [2, 3]  # of d and b


def test_what_is_exported_follows_the_query(settings: Settings, mner: Mner, tmp_path: Path) -> None:
    asyncio.run(write(settings, settings.name("mentions"), documents()))

    def ids(*words: str) -> list[str]:
        return [json.loads(line)["id"] for line in mner("export", *words).out.decode().split("\n") if line]

    assert ids("nothing") == ["a"]
    assert ids("--decisions") == ["at:did:pl", "c", "f"]
    assert ids("Ana", "--type", "LOC") == ["b"], "the terms of x keep its words from being searched"
    assert ids("--type", "LOC") == ["b", "x"]
    assert ids("Ana", "--type", "PER", "--decisions") == ["at:did:pl", "c"]

    file = tmp_path / "train.txt"
    done = mner("export", "--format", "conll", "--out", str(file))
    assert done.err == "5 posts exported; 1 left out, by the terms of their sources\n"
    examples = {each.id: each for each in corpus.read(file, permission=_all())}
    assert set(examples) == {"a", "at:did:pl", "b", "c", "f"}
    named = [word for word, tag in zip(examples["c"].words, examples["c"].tags, strict=True) if tag == "B-PER"]
    assert (named, examples["c"].source) == (["Ana"], "file:mine")


def _all() -> Any:
    from core.terms import Sources, Terms
    from model.training.permission import Permission

    return Permission(Sources({"file": Terms(may_train=True, may_show_text=True, delete_within_hours=1)}))


def test_a_check_lists_what_was_edited_and_what_the_terms_forbid_by_now(
    settings: Settings, mner: Mner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asyncio.run(write(settings, settings.name("mentions"), documents()))
    file, words, clean = tmp_path / "all.jsonl", tmp_path / "all.txt", tmp_path / "clean"
    assert mner("export", "--out", str(file)).code == mner("export", "--format", "conll", "--out", str(words)).code == 0
    edited = found(post("b").model_copy(update={"edit": 3}), "Ana")
    redecided = settled(post("c"), "Bo").model_copy(update={"decided_at": RECENT})
    changed = [from_extraction(edited, edited.mentions), from_decision(redecided)]
    asyncio.run(write(settings, settings.name("mentions"), changed))
    stricter = tmp_path / "sources.yaml"
    rights = "may_train: false, delete_within_hours: 24, may_show_text"
    stricter.write_text(f'"file:mine": {{{rights}: true}}\nfile: {{{rights}: false}}\nx: {{{rights}: false}}\n')
    monkeypatch.setenv("MNER_SOURCES", str(stricter))
    for name in (file, words):
        done = mner("export", "--check", str(name), "--out", str(clean))
        assert done.out == b"a\tterms\nb\tedited\n", name
        assert (done.code, "2 may not (1 edited, 1 terms)" in done.err) == (1, True)
        assert mner("export", "--check", str(clean)).code == 0
    assert mner("export", "--out", str(file)).code == mner("export", "--check", str(file)).code == 0


def test_a_check_lists_what_is_gone_and_writes_a_clean_copy(
    settings: Settings, mner: Mner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = found(post("old", received_at=RECENT - timedelta(days=60)), "Ana")
    all_documents = [*documents(), from_extraction(old, old.mentions)]
    asyncio.run(write(settings, settings.name("mentions"), all_documents))
    file, words, clean = tmp_path / "all.jsonl", tmp_path / "all.txt", tmp_path / "clean"
    assert mner("export", "--out", str(file)).code == mner("export", "--format", "conll", "--out", str(words)).code == 0
    assert mner("export", "--check", str(file)).code == 0

    erased = marker("c")
    hidden = found(post("b"), "Ana").model_copy(update={"model_version": 1_900_000_000})
    hiding = from_extraction(hidden, hidden.mentions).with_hidden(True)
    asyncio.run(write(settings, settings.name("mentions"), [erased, hiding]))
    monkeypatch.setenv("MNER_INDEX_RETENTION_DAYS", "30")
    for name in (file, words):
        done = mner("export", "--check", str(name), "--out", str(clean))
        assert done.out == b"b\thidden\nc\terased\nold\texpired\n"
        assert done.code == 1
        assert "3 may not (1 erased, 1 expired, 1 hidden)" in done.err
        left = [part for part in (b'"id":"b"', b'"id":"c"', b"# id b\n", b"# id old\n") if part in clean.read_bytes()]
        assert left == []
        assert mner("export", "--check", str(clean)).code == 0
    exported = mner("export").out
    assert [json.loads(line)["id"] for line in exported.decode().split("\n") if line] == ["a", "at:did:pl", "f", "x"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"edit": -1}, "edit: Input should be greater than or equal to 0 (got -1)"),
        ({"text": "short"}, "event: mention 'Paris' is not the post's text"),
        ({"decided_by": "human"}, "reviewer: Input should be a valid string (got None)"),
        ({"odd": 1}, "odd: Extra inputs are not permitted (got 1)"),
        ({"id": "a b"}, "id: String should match pattern"),
        ({"created_at": "1066-01-01T00:00:00Z"}, "created_at: must lie between the years"),
        ({"media": [""]}, "url: String should have at least 1 character"),
        (None, "event: Invalid JSON"),
    ],
)
def test_a_bad_line_is_named_and_the_others_are_imported(
    settings: Settings, mner: Mner, tmp_path: Path, change: dict[str, Any] | None, told: str
) -> None:
    from core.terms import CAUTIOUS
    from sinks.exchange import line_of

    good = [line_of(document.body, CAUTIOUS) for document in documents()[:2]]
    bad = b'{"id": \xff' if change is None else json.dumps(json.loads(good[0]) | change).encode()
    file = tmp_path / "file.jsonl"
    file.write_bytes(b"".join([good[0], bad + b"\n", b"\n", good[1].rstrip()]))
    topics.create(str(settings.kafka), topics.plan(settings))
    done = mner("import", str(file))
    assert done.code == 1
    assert f"file.jsonl:2: {told}" in done.err
    assert done.err.rstrip().endswith("; correct the line, and import the file again")
    assert done.err.count("\n") == 1
    reason = "not JSON" if change is None else "no line of an export"
    assert done.out.decode() == f"2 extractions and 0 decisions imported; 1 bad lines left out ({reason} 1)\n"


def test_a_line_that_is_too_long_is_named_and_the_others_are_imported(
    settings: Settings, mner: Mner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from core.terms import CAUTIOUS
    from sinks.exchange import line_of

    good = [line_of(document.body, CAUTIOUS) for document in documents()[:2]]
    file = tmp_path / "file.jsonl"
    file.write_bytes(b"".join([good[0], b"{" + b"x" * 3000 + b"\n", good[1], b"y\n", b"z" * 3001]))
    monkeypatch.setattr("cli.exported_file.MAX_DERIVED_BYTES", 2000)
    topics.create(str(settings.kafka), topics.plan(settings))
    done = mner("import", str(file))
    assert done.code == 1
    told = [line.split(";")[0] for line in done.err.splitlines()]
    assert told[0] == f"mner: {file}:2: the line has 3001 bytes, which no export has"
    assert told[1].startswith(f"mner: {file}:4: event: Invalid JSON")
    assert told[2].startswith(f"mner: {file}:5: the line has 3001 bytes")
    assert done.out == b"2 extractions and 0 decisions imported; 3 bad lines left out (not JSON 1, too long 2)\n"
    sent = [value for _, value in records(settings, settings.name(topics.EXTRACTIONS))]
    assert len(sent) == 2


def test_what_was_read_before_a_file_breaks_is_imported(
    settings: Settings, mner: Mner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No disk can be made to fail here, so standard input does."""
    from core.terms import CAUTIOUS
    from sinks.exchange import line_of

    class Breaks(io.BytesIO):
        def read1(self, size: int | None = -1, /) -> bytes:
            if piece := super().read1(-1 if size is None else size):
                return piece
            raise OSError(errno.EIO, "Input/output error")

    lines = b"".join(line_of(document.body, CAUTIOUS) for document in documents()[:2])
    topics.create(str(settings.kafka), topics.plan(settings))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(Breaks(lines)))
    done = mner("import", "-")
    assert done.code == 2
    assert "-: cannot read on after line 2: Input/output error" in done.err
    assert done.out == b"2 extractions and 0 decisions imported\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(Breaks(b"# id 1\nAna\tB-PER\n\n# id 2\nBo\tO\n")))
    done = mner("import", "-")
    assert done.code == 2
    assert "-:4: the file was cut off in this post" in done.err
    assert done.out == b"1 extractions and 0 decisions imported; 1 bad lines left out (cut off 1)\n"


def test_retention_by_hand_counts_first(settings: Settings, mner: Mner, monkeypatch: pytest.MonkeyPatch) -> None:
    topics.create(str(settings.kafka), topics.plan(settings))
    asyncio.run(write(settings, settings.name("mentions"), documents()))
    done = mner("retention", "--dry-run")
    assert (done.code, "set it to a number of days" in done.err) == (2, True)
    monkeypatch.setenv("MNER_INDEX_RETENTION_DAYS", "1")
    assert mner("retention", "--dry-run").out == b"6 posts older than 1 days would be deleted\n"
    assert mner("retention").out == b"6 posts older than 1 days deleted\n"
    assert mner("export").err.startswith("0 posts exported")
