"""Where the terms of a source do not let a text be shown, no search shows it, and no task about it comes back."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from cli.search import _entities, _rendered, _search
from core.terms import Sources, Terms
from sinks.exchange import has_no_text
from sinks.index.document import Document, from_extraction
from sinks.index.index import Index
from streams.agents.decide import Decide
from streams.pipeline.item import Item, Origin
from streams.retention import Retention
from streams.settings import Settings
from tests.sinks.values import decision, extraction, mention, task, tweet
from tests.streams.agents.test_lifecycle import in_memory
from tests.streams.said import applying


async def test_a_search_withholds_texts_that_may_not_be_shown(settings: Settings) -> None:
    index = Index(str(settings.elasticsearch), settings.name("mentions"))
    await index.prepare()
    posts = [tweet("1", source="x"), tweet("2", source="file")]
    await index.write([from_extraction(extraction(post), []) for post in posts])
    await index.refresh()
    await index.close()
    hits = {hit.id: hit for hit in (await _search(settings, "", None, 10)).hits}
    assert (hits["1"].text, hits["1"].mentions, hits["1"].withheld) == ("", (), True)
    assert (hits["2"].text, hits["2"].withheld) == (posts[1].text, False)
    out = StringIO()
    Console(file=out, width=200).print(_rendered(hits["1"]))
    assert "the terms of x do not let its text be shown" in out.getvalue()
    assert posts[0].text not in out.getvalue()


FEEDS = ("x", "x:a", "xy", "file", "file:mine", "file:own", "a:b", "a:b:c", "a", "unknown", "unknown:1", "never:seen")


@pytest.mark.parametrize(
    "listed",
    [
        {},
        {"x": False},
        {"x": False, "x:a": True},
        {"x": True, "x:a": False},
        {"a:b": False, "file": False, "file:own": True},
        {"unknown": False},
        {"unknown": False, "x": True, "a:b": True, "file:own": True},
        {"unknown": False, "x": True, "x:a": False, "a": True},
    ],
    ids=str,
)
async def test_the_names_counted_are_those_of_the_posts_that_a_search_shows(
    settings: Settings, tmp_path: Path, listed: dict[str, bool]
) -> None:
    terms = {
        name: {"may_train": False, "may_show_text": may, "delete_within_hours": 24} for name, may in listed.items()
    }
    file = tmp_path / "sources.yaml"
    file.write_text(
        json.dumps(terms or {"other": {"may_train": False, "may_show_text": True, "delete_within_hours": 1}})
    )
    settings = settings.changed(sources=file)
    index = Index(str(settings.elasticsearch), settings.name("mentions"))
    await index.prepare()
    made = [extraction(post, mention("Ana", "PER")) for post in (tweet(f, source=f) for f in FEEDS)]
    made.append(extraction(tweet("hidden", source="file"), mention("Ana", "PER")))
    documents = [from_extraction(each, each.mentions) for each in made]
    hidden = documents.pop().with_hidden(True)
    old = Document(
        "old", 7, {name: value for name, value in documents[0].body.items() if name != "feed"} | {"id": "old"}
    )
    await index.write([*documents, hidden, old])
    await index.refresh()
    await index.close()
    shown = [hit for hit in (await _search(settings, "", None, 100)).hits if hit.mentions]
    assert [entity.tweets for entity in await _entities(settings, "", None, 10)] == [len(shown)] * bool(shown)


@pytest.mark.parametrize("shown", [True, False])
async def test_a_task_comes_back_only_where_its_text_may_be_shown(shown: bool) -> None:
    stores = in_memory(None)
    apply = applying(stores.index, stores.queue, stores.subjects, stores)
    terms = Sources({"unknown": Terms(may_train=False, may_show_text=shown, delete_within_hours=24)})
    decide = Decide(stores.index, stores.queue, apply, stores, "d", Retention(None), sources=terms)  # type: ignore[arg-type]
    event = decision(task("1"), 1_800_000_000_000, kind="retract")
    await decide.process(Item(Origin("d", 0, 0, b"1", b"", 0.0), parsed=event))
    assert len(await stores.queue.list()) == shown


@pytest.mark.parametrize(
    ("line", "silent"),
    [
        ({"id": "1", "source": "x", "mentions": []}, True),
        ({"id": "1", "source": "x", "created_at": "2026-01-01T00:00:00Z", "mentions": []}, True),
        ({"id": "1", "source": "x", "mentions": [], "body": "of another program"}, False),
        ({"hello": "world"}, False),
        ({}, False),
    ],
)
def test_only_a_line_of_an_export_counts_as_one_without_a_text(line: dict[str, object], silent: bool) -> None:
    assert has_no_text(line) is silent
