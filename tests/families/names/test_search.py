"""Spellings that a person holds for the same find each other, and every query has an answer or one clear line."""

from __future__ import annotations

import asyncio
import itertools
import sys

import pytest
from elasticsearch import AsyncElasticsearch

from cli.main import main
from core.errors import UserError
from core.events import Mention
from sinks.index.document import Document, from_extraction
from sinks.index.index import Index
from sinks.index.mapping import PROPERTIES
from sinks.searching.language import MAX_WORDS
from streams.settings import Settings
from tests.families.names.spellings import SAME
from tests.sinks.conftest import index as index  # noqa: PLC0414
from tests.sinks.values import MODEL_VERSION, extraction, mention, tweet

QUERIES = {
    "nothing": "",
    "blanks": " \t\n\u00a0\u200b",
    "an unbalanced quotation mark": '"Hamburg',
    "quotation marks alone": '"""""',
    "a typographic quotation mark": "“Hamburg",
    "unbalanced brackets": "((Hamburg [",
    "operators": "+Hamburg -Berlin | Paris ~2 (a b)",
    "a dash between words": "Hamburg - Berlin",
    "operators alone": '+ - | ~ * ( ) "',
    "a wildcard": "*",
    "wildcards": "H*b?rg **",
    "a prefix": "Ham*",
    "fuzzy": "Hamburg~9999999999",
    "a slop": '"Hamburg Berlin"~99999999999',
    "a field": "mentions.name:hamburg _id:*",
    "a regular expression": "/Ham(burg)+[a-z]{1,9999999}/",
    "backslashes": "\\\\\\ Hamburg\\",
    "Lucene": "Hamburg AND NOT (Berlin OR [a TO b]) ^2 &&  || !",
    "NUL": "Ham\0burg",
    "control characters": "\x01\x1b[31mHamburg\x7f",
    "lone surrogates": "Ham\ud800burg \udcff",
    "private use": "\ue000Hamburg\ue001",
    "noncharacters": "\uffff\U0010ffff",
    "JSON": '{"query": {"match_all": {}}}',
    "a script": "<script>alert(1)</script> ${jndi:ldap://x} {{7*7}}",
    "emoji": "🗼 👨‍👩‍👧 🇩🇪",
    "a word of 10,000 letters": "x" * 10_000,
    "10,000 asterisks": "*" * 10_000,
    "10,000 brackets": "(" * 10_000,
    "10,000 quotation marks": '"' * 10_000,
    "10,000 dashes": "-" * 10_000,
    "10,000 marks": "a" + "\u0301" * 10_000,
    "5,000 ideographs": "東" * 5_000,
    "100 ideographs": "東" * 100,
    "the most words": " ".join(f"w{number}" for number in range(MAX_WORDS - 20)),
    "the most prefixes": " ".join(f"w{number}*" for number in range(MAX_WORDS - 20)),
    "words joined by signs": ".,-/&".join(f"w{number}" for number in range(1_000)),
    "10,000 characters of words": "Hamburg is nice " * 625,
    "entities": "&amp;" * 2_000,
}


def named(text: str) -> Mention:
    return Mention(start=0, end=len(text), text=text, type="ORG", probability=0.9, aleatoric=0.1, epistemic=0.1)


@pytest.mark.parametrize("spellings", SAME.values(), ids=SAME)
async def test_every_spelling_finds_every_other_as_a_mention_and_in_the_text(
    index: Index, spellings: list[str]
) -> None:
    mentioned = [extraction(tweet(f"m{n}", text), named(text)) for n, text in enumerate(spellings)]
    written = [extraction(tweet(f"t{n}", f"see: {text} again")) for n, text in enumerate(spellings)]
    other = extraction(tweet("other", "Nothing to see"), mention("Nothing", within="Nothing to see"))
    documents = [from_extraction(each, each.mentions) for each in [*mentioned, *written, other]]
    assert {outcome.kind for outcome in await index.write(documents)} == {"written"}
    await index.refresh()
    for query in spellings:
        hits = {hit.id: hit for hit in (await index.search(query, limit=100)).hits}
        missing = [text for n, text in enumerate(spellings) if f"m{n}" not in hits]
        unseen = [text for n, text in enumerate(spellings) if f"t{n}" not in hits and not _is_abbreviated(text)]
        assert (missing, unseen, "other" in hits) == ([], [], False), query
        assert all(found.matched for n in range(len(spellings)) for found in hits[f"m{n}"].mentions)
    (entity,) = [entity for entity in await index.entities() if entity.name != "nothing"]
    assert entity.tweets == len(spellings)


def _is_abbreviated(text: str) -> bool:
    """Whether the spellings differ in the dots of initials, which only names are free of."""
    return text in SAME["initials"]


async def test_what_matched_is_shown_in_the_raw_text(index: Index) -> None:
    text = "Wow: AT&amp;T, 𝐀𝐓&𝐓 and O’Connor\u200b met Beyonce\u0301 \U0001f5fc in ﬁne Ham\u00adburg"
    await index.write([from_extraction(extraction(tweet("1", text)), [])])
    await index.refresh()
    found = {}
    for query in ("AT&T", "o'connor", "beyoncé", "fine", "hamburg", "met"):
        (hit,) = (await index.search(query)).hits
        found[query] = [hit.text[start:end] for start, end in hit.matches]
    assert found == {
        "AT&T": ["AT&amp;T", "𝐀𝐓&𝐓"],
        "o'connor": ["O’Connor"],
        "beyoncé": ["Beyonce\u0301"],
        "fine": ["ﬁne"],
        "hamburg": ["Ham\u00adburg"],
        "met": ["met"],
    }


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
async def test_every_query_gets_results_or_one_clear_line(index: Index, query: str) -> None:
    text = "Hamburg and Berlin"
    made = extraction(tweet("1", text), mention("Hamburg", within=text))
    await index.write([from_extraction(made, made.mentions)])
    await index.refresh()
    for entity_type, entities in itertools.product((None, "LOC"), (False, True)):
        try:
            await (index.entities(query, entity_type) if entities else index.search(query, entity_type))
        except UserError as error:
            line = str(error)
            assert "query" in line
            assert "\n" not in line
            assert len(line) < 120
            assert "exception" not in line


async def test_a_dash_between_words_excludes_nothing(index: Index) -> None:
    await index.write([from_extraction(extraction(tweet("1", "from Hamburg to Berlin")), [])])
    await index.refresh()
    for query in ("Hamburg - Berlin", "Hamburg – Berlin", "Berlin, Hamburg", "berl*", '"hamburg to berlin"'):
        assert (await index.search(query)).total == 1, query
    assert (await index.search('"berlin hamburg"')).total == 0


@pytest.mark.parametrize("limit", [0, -1, 10_001, 2**31, 10**30])
async def test_a_limit_that_the_server_refuses_is_told_in_one_line(index: Index, limit: int) -> None:
    for answer in (index.search("x", limit=limit), index.entities("x", limit=limit)):
        with pytest.raises(UserError, match="results"):
            await answer
    assert (await index.search("x", limit=10_000)).total == 0


@pytest.mark.parametrize("query", ["w " * 10_000, "\udcff\udcfe", '"' * 100, "x" * 100_000])
def test_the_command_shows_no_server_error(
    query: str, settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def prepare() -> None:
        index = Index(str(settings.elasticsearch), settings.name("mentions"))
        await index.prepare()
        await index.close()

    asyncio.run(prepare())
    for name in ("kafka", "elasticsearch", "redis", "prefix"):
        monkeypatch.setenv(f"MNER_{name.upper()}", str(getattr(settings, name)))
    monkeypatch.setattr(sys, "argv", ["mner", "search", query])
    with pytest.raises(SystemExit):
        main()
    err = capsys.readouterr().err
    assert err.count("\n") <= 1
    assert not err or err.startswith("mner: the query is too long")


def as_version_0_2(document: Document, name: str) -> Document:
    """The document as version 0.2 wrote it."""
    body = {field: value for field, value in document.body.items() if field != "folded"}
    return Document(
        document.id, document.version, body | {"mentions": [{**each, "name": name} for each in body["mentions"]]}
    )


async def test_an_index_of_version_0_2_is_searched_and_a_replay_into_a_new_one_folds_it(settings: Settings) -> None:
    name = settings.name("mentions")
    mapping = {field: kind for field, kind in PROPERTIES.items() if field != "folded"}
    nested = mapping["mentions"]
    old_name = {"name": {"type": "keyword", "ignore_above": 512}}
    mapping |= {"mentions": {**nested, "properties": nested["properties"] | old_name}}
    text = "O’Connor is here"
    made = extraction(tweet("1", text), mention("O’Connor", "PER", within=text))
    new = from_extraction(made, made.mentions)
    async with AsyncElasticsearch(str(settings.elasticsearch)) as client:
        body = {"dynamic": False, "properties": mapping}
        await client.indices.create(index=f"{name}-1", aliases={name: {"is_write_index": True}}, mappings=body)
        index = Index(str(settings.elasticsearch), name)
        await index.write([as_version_0_2(new, "o’connor")])
        await index.refresh()
        assert (await index.search("O’Connor")).total == 1  # before a worker adds the new fields
        assert (await index.search("is here")).total == 1
        await index.prepare()
        (held,) = (await client.indices.get_mapping(index=name)).values()
        assert held["mappings"]["properties"] == PROPERTIES
        assert (await index.search("O’Connor")).total == 1
        assert [entity.name for entity in await index.entities()] == ["o'connor"]
        assert [outcome.kind for outcome in await index.write([new])] == ["stale"]
        assert await index.held(["1"]) == {"1": new}, "a replay must not take the document for another reading"
        newer = from_extraction(made.model_copy(update={"model_version": MODEL_VERSION + 1}), made.mentions)
        await index.write([newer])
        await client.indices.delete(index=f"{name}-1")  # a rebuild: the index is made anew and the topic read again
        await index.prepare()
        assert [outcome.kind for outcome in await index.write([new])] == ["written"]
        await index.refresh()
        for query in ("O'Connor", "O’Connor", "o`connor"):
            assert (await index.search(query)).total == 1
        await index.close()


TWICE = [
    pytest.param([["o’connor"]], {"o'connor": 1}, id="one old spelling"),
    pytest.param([["o’connor", "o'connor"]], {"o'connor": 1}, id="two spellings in one post"),
    pytest.param([["o’connor", "o'connor", "o`connor"]], {"o'connor": 1}, id="three spellings in one post"),
    pytest.param([["o’connor"], ["o'connor"]], {"o'connor": 2}, id="two spellings in two posts"),
    pytest.param([["o’connor", "o'connor"], ["o'connor"]], {"o'connor": 2}, id="two spellings in one post of two"),
    pytest.param([["u.s.", "us"], ["u.s."], ["paris"]], {"us": 2, "paris": 1}, id="initials"),
    pytest.param([["beyoncé", "beyonce"], ["straße", "strasse"]], {"beyonce": 1, "strasse": 1}, id="two names"),
    pytest.param([["#paris", "paris", "london"]] * 3, {"paris": 3, "london": 3}, id="three posts alike"),
]


@pytest.mark.parametrize(("posts", "expected"), TWICE)
async def test_a_post_with_two_old_spellings_of_a_name_is_counted_once(
    index: Index, posts: list[list[str]], expected: dict[str, int]
) -> None:
    documents = []
    for number, names in enumerate(posts):
        text = " ".join(names)
        made = extraction(tweet(str(number), text), *(mention(name, within=text) for name in sorted(names)))
        document = from_extraction(made, made.mentions)
        old = [each | {"name": each["text"]} for each in document.body["mentions"]]
        documents.append(Document(document.id, document.version, document.body | {"mentions": old}))
    await index.write(documents)
    await index.refresh()
    assert {entity.name: entity.tweets for entity in await index.entities()} == expected
    assert {entity.name: entity.tweets for entity in await index.entities(entity_type="LOC")} == expected
    assert [entity.tweets for entity in await index.entities(limit=1)] == [max(expected.values())]


def test_a_text_that_is_spelled_as_it_is_searched_is_stored_once() -> None:
    for text, folded in {
        "Paris Hilton in #Paris 🗼, it's nice": None,
        "Paris\r\nHilton": None,
        "O’Connor in Paris": "o'connor in paris",
        "AT&amp;T": "at&t",
    }.items():
        assert from_extraction(extraction(tweet("1", text)), []).body.get("folded") == folded
