"""What people decided is exported from a real Elasticsearch, and `mner train` learns from it, by the sources' terms."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from cli.export import command as export
from core.errors import UserError
from core.events import Mention
from model.checkpoint import describe
from model.training import material
from model.training.permission import Permission
from sinks.index.document import Document, from_decision, from_extraction
from sinks.index.index import Index
from streams.settings import Settings
from streams.terms import load_sources
from tests.model.toys import bert, examples, save
from tests.model.training.runs import train
from tests.sinks.values import decision, extraction, mention, task, tweet

FAST = {"optimisation.batch_tokens": 128, "optimisation.epochs": 1, "target_precision": 0.5}


def written(settings: Settings, *documents: Document) -> None:
    async def write() -> None:
        index = Index(str(settings.elasticsearch), settings.name("mentions"))
        await index.prepare()
        assert {outcome.kind for outcome in await index.write(documents)} == {"written"}
        await index.refresh()
        await index.close()

    asyncio.run(write())


def decided(name: str, text: str, source: str, *mentions: Mention) -> Document:
    post = tweet(name, text, source=source)
    return from_decision(decision(task(name).model_copy(update={"tweet": post}), 1_790_000_000_123, *mentions))


def person(text: str) -> Mention:
    word = text.split(maxsplit=1)[0]
    return mention(word, "PER", within=text, source="human")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data set whose test split has the text of one decision."""
    folder = tmp_path / "toy"
    folder.mkdir()
    for split, number in (("train", 16), ("valid", 6), ("test", 4)):
        rows = ["".join(f"{w}\t{t}\n" for w, t in zip(e.words, e.tags, strict=True)) for e in examples(number)]
        rows[0] = f"{split}\tO\n{rows[0]}"
        rows += ["Dora\tB-PER\nknows\tO\nOslo\tB-LOC\n"] if split == "test" else []
        (folder / f"{split}.txt").write_text("\n".join(rows), encoding="utf-8")
    return folder


@pytest.fixture
def exported(settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Returns the export of the decisions of three sources. One of these may train."""
    for name in ("kafka", "elasticsearch", "redis"):
        monkeypatch.setenv(f"MNER_{name.upper()}", str(getattr(settings, name)))
    monkeypatch.setenv("MNER_PREFIX", settings.prefix)
    copied = "Ana likes Rome https://a.example/2"
    texts = {"1": "Ana likes Rome", "2": "Bob likes Lima", "3": copied, "4": "Dora knows Oslo"}
    written(
        settings,
        *(decided(name, text, "file:mine", person(text)) for name, text in texts.items()),
        decided("5", "Carl saw Paris", "rss:https://a.example/feed", person("Carl saw Paris")),
        decided("6", "Emil saw Lima", "x", person("Emil saw Lima")),
        from_extraction(extraction(tweet("7", "nobody decided this", source="file")), ()),
    )
    file = tmp_path / "decisions.txt"
    export(decisions=True, layout="conll", out=file)
    return file


def test_decisions_are_trained_on_by_the_terms_of_their_sources(
    exported: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    out = tmp_path / "out"
    train(out, data, FAST | {"data.decisions": [exported], "encoder": save(tmp_path / "encoder", bert)})
    told = " ".join(capsys.readouterr().out.split())
    assert "2 that people decided" in told
    assert "1 posts are skipped, by the terms of their sources: 1 of 'rss:https://a.example/feed' may not train" in told
    assert describe(out).provenance["decisions"] == "2 tweets that people decided"


def test_a_decision_is_learned_once_and_never_if_its_text_is_held_out(exported: Path, data: Path) -> None:
    permission = Permission(load_sources(Settings()))
    read = material.read(data, None, permission=permission, decisions=[exported])
    assert [(each.words[:3], each.tags[:3]) for each in read.decided] == [
        (("Ana", "likes", "Rome"), ("B-PER", "O", "O")),
        (("Bob", "likes", "Lima"), ("B-PER", "O", "O")),
    ]
    assert set(map(id, read.decided)) <= set(map(id, read.training))
    before = material.read(data, None)
    assert read.held_out == before.held_out, "decisions are never measured or calibrated on"
    assert read.left_out == before.left_out + 1
    assert read.labelled == before.labelled


def test_an_export_of_which_nothing_may_train_is_refused(exported: Path, data: Path, tmp_path: Path) -> None:
    blocks = exported.read_text(encoding="utf-8").split("\n\n")
    only = tmp_path / "feed.txt"
    only.write_text("\n\n".join(each for each in blocks if "rss:" in each), encoding="utf-8")
    options: dict[str, Any] = {"data.decisions": [only], "encoder": save(tmp_path / "encoder", bert)}
    with pytest.raises(UserError, match=r"feed.txt: no post is left: 1 of 'rss:.* may not train"):
        train(tmp_path / "out", data, options)
