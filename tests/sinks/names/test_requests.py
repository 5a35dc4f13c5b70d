"""Lists, trends, companions and pages of names, on a real Elasticsearch."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from elasticsearch import AsyncElasticsearch

from core.corrections import SameName, SplitName
from core.errors import UserError
from core.events import EntityType, Mention
from core.terms import Sources, Terms
from sinks.index.document import Document, from_extraction, marker
from sinks.index.index import Index
from sinks.index.mapping import PROPERTIES, TEXT
from sinks.names.entities import most_mentioned, most_named
from sinks.names.names import Names, posts_naming
from sinks.names.page import page_of
from sinks.names.scope import EVERYTHING, Scope
from sinks.names.suggestions import beginning_with
from sinks.names.together import seen_together
from sinks.names.trends import trending
from sinks.searching.access import Access
from streams.settings import Settings
from tests.sinks.values import extraction, tweet

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def post(number: int, *names: str, types: Sequence[EntityType] = (), **fields: object) -> Document:
    """Returns a post that is a list of names. Without `types`, all are organisations."""
    text, mentions, start = " ".join(names), [], 0
    for name, kind in zip(names, types or ["ORG"] * len(names), strict=True):
        figures = {"probability": 0.9, "aleatoric": 0.1, "epistemic": 0.05}
        mentions.append(Mention(start=start, end=start + len(name), text=name, type=kind, **figures))
        start += len(name) + 1
    made = tweet(str(number), text or "nothing").model_copy(update={"created_at": NOON} | fields)
    return from_extraction(extraction(made, *mentions), mentions)


async def fill(index: Index, documents: Sequence[Document]) -> None:
    assert {outcome.kind for outcome in await index.write(documents)} == {"written"}
    await index.refresh()


def same(name: str, of: str) -> SameName:
    return SameName(name=name, of=of, by="ana", at=NOON)


def split(surface: str, name: str) -> SplitName:
    return SplitName(surface=surface, name=name, by="ana", at=NOON)


async def listed(index: Index, names: Names, scope: Scope = EVERYTHING, limit: int = 10) -> dict[str, int]:
    return {entity.name: entity.tweets for entity in await most_mentioned(index, scope, names, limit)}


async def found(index: Index, names: Names, name: str) -> set[str]:
    answer = await index.ask(lambda client: client.search(index=index.name, query=posts_naming(names, name), size=100))
    return {hit["_id"] for hit in answer["hits"]["hits"]}


async def test_names_that_are_one_count_each_post_once(index: Index) -> None:
    await fill(
        index,
        [
            post(1, "NASA", "National Aeronautics"),
            post(2, "#nasa", "NASA"),
            post(3, "National Aeronautics"),
            post(4, "Nasa HQ", types=["LOC"]),
            *(post(n, "ESA") for n in range(5, 9)),
        ],
    )
    names = Names.of([same("NASA", "National Aeronautics"), same("NASA HQ", "nasa")])
    assert await listed(index, Names.of([])) == {"esa": 4, "nasa": 2, "national aeronautics": 2, "nasa hq": 1}
    entities = await most_mentioned(index, names=names)
    assert [(e.name, e.type, e.tweets) for e in entities] == [
        ("esa", "ORG", 4),
        ("national aeronautics", "ORG", 3),
        ("national aeronautics", "LOC", 1),
    ]
    assert await found(index, names, "nasa hq") == {"1", "2", "3", "4"}
    page = await page_of(index, "#NASA", names=names)
    assert (page.name, page.names) == ("national aeronautics", ("national aeronautics", "nasa", "nasa hq"))
    assert page == await page_of(index, "national aeronautics", names=names)
    assert (page.posts, page.types) == (4, {"ORG": 3, "LOC": 1})
    assert page.surfaces == {"NASA": 2, "National Aeronautics": 2, "#nasa": 1, "Nasa HQ": 1}
    assert set(page.corrections) == {same("NASA", "National Aeronautics"), same("NASA HQ", "nasa")}


async def test_a_spelling_that_was_split_off_counts_under_its_own_name_everywhere(index: Index) -> None:
    await fill(
        index,
        [post(1, "US", "Bob"), post(2, "us", "US"), post(3, "us"), post(4, "U.S."), post(5, "United States", "Bob")],
    )
    names = Names.of([split("US", "United States"), split("U.S.", "United States")])
    assert await listed(index, names) == {"united states": 4, "us": 2, "bob": 2}
    assert await found(index, names, "United States") == {"1", "2", "4", "5"}
    assert await found(index, names, "us") == {"2", "3"}
    page = await page_of(index, "United States", names=names)
    assert page.surfaces == {"US": 2, "U.S.": 1, "United States": 1}
    assert (await page_of(index, "us", names=names)).surfaces == {"us": 2}
    own = Names.of([split("US", "US (country)")])
    assert await listed(index, own) == {"us": 3, "us (country)": 2, "bob": 2, "united states": 1}
    await fill(index, [post(n, "Oslo") for n in range(10, 400)])
    assert [(one.name, one.posts) for one in await seen_together(index, "bob", names=names)] == [("united states", 4)]


async def test_a_group_of_rare_names_is_found_among_frequent_ones(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sinks.names.tally.EXTRA", 0)
    documents = [post(10 * n + k, f"Name {n}") for n in range(1, 6) for k in range(4)]
    documents += [post(100 + k, f"Rare {k}") for k in range(9)]
    await fill(index, documents)
    names = Names.of([same(f"Rare {k}", "Rare 0") for k in range(1, 9)])
    assert await listed(index, names, limit=2) == {"rare 0": 9, "name 1": 4}


async def test_each_filter_of_a_scope_narrows_the_count(index: Index) -> None:
    await fill(
        index,
        [
            post(1, "Paris", "Oslo", types=["LOC", "ORG"], lang="en", source="bluesky"),
            post(2, "Paris", types=["PER"], lang="fr", source="bluesky:ana", created_at=NOON - HOUR),
            post(3, "Paris", types=["LOC"], lang="en", source="x", created_at=NOON + HOUR),
            post(4, "Paris", types=["LOC"], created_at=None),
        ],
    )
    none = Names.of([])
    for scope, wanted in [
        (Scope(type="LOC"), {"paris": 3}),
        (Scope(source="bluesky"), {"paris": 1, "oslo": 1}),
        (Scope(source="blue"), {}),
        (Scope(lang="fr"), {"paris": 1}),
        (Scope(since=NOON), {"paris": 1, "oslo": 1}),
        (Scope(until=NOON), {"paris": 1}),
        (Scope(since=NOON, until=NOON + 2 * HOUR, type="ORG"), {"oslo": 1}),
        (Scope(words="oslo"), {"oslo": 1}),
    ]:
        entities = await most_mentioned(index, scope)
        assert {e.name: e.tweets for e in entities if e.type != "PER" or len(entities) == 1} or entities == []
        totals: dict[str, int] = {}
        for entity in entities:
            totals[entity.name] = totals.get(entity.name, 0) + entity.tweets
        expected = {"paris": 2, "oslo": 1} if scope.source == "bluesky" else wanted
        expected = {"paris": 2, "oslo": 1} if scope.since == NOON and scope.until is None else expected
        assert totals == expected, scope
    assert (await page_of(index, "paris", Scope(lang="en"), none)).posts == 2


async def test_erased_hidden_and_withheld_posts_count_nowhere(index: Index) -> None:
    await fill(index, [post(1, "Ana", "Bob"), post(2, "Ana"), post(3, "Ana", source="closed"), post(4, "Ana", "Bob")])
    await index.rewrite([post(2, "Ana").with_hidden(True), marker("4")])
    await index.refresh()
    closed = Terms(may_train=False, may_show_text=False, delete_within_hours=24)
    scope = Scope(access=Access(Sources({"closed": closed})))
    assert await listed(index, Names.of([]), scope) == {"ana": 1, "bob": 1}
    page = await page_of(index, "ana", scope)
    assert (page.posts, page.latest, page.surfaces) == (1, ("1",), {"Ana": 1})
    assert "closed" not in page.sources
    assert await seen_together(index, "ana", scope) == [], "one post with both, and no other: no association"


async def test_a_page_tells_where_and_when_a_name_is_mentioned(index: Index) -> None:
    times = [0, 1, 1, 30, 50]
    await fill(
        index,
        [
            post(n, "Paris", types=["LOC" if n else "PER"], created_at=NOON + hours * HOUR, lang="fr", source="x")
            for n, hours in enumerate(times)
        ]
        + [post(9, "Oslo"), post(10, "#PARIS", "Paris", types=["LOC", "LOC"], created_at=None, lang=None, source="y")],
    )
    page = await page_of(index, "paris", latest=3)
    assert (page.posts, page.types) == (6, {"LOC": 5, "PER": 1})
    assert page.surfaces == {"Paris": 6, "#PARIS": 1}
    assert (page.sources, page.languages) == ({"x": 5, "y": 1}, {"fr": 5})
    assert page.latest == ("4", "3", "1")
    assert page.timeline.interval == "1h"
    assert [count for _, count in page.timeline.bars if count] == [1, 2, 1, 1]
    assert len(page.timeline.bars) == 51
    assert page.timeline.bars[0][0] == NOON
    narrow = await page_of(index, "paris", Scope(type="PER"))
    assert (narrow.posts, narrow.latest, narrow.types) == (1, ("0",), {"PER": 1})
    nowhere = await page_of(index, "nobody")
    assert (nowhere.name, nowhere.posts, nowhere.timeline.bars, nowhere.latest) == ("nobody", 0, (), ())


async def test_a_trend_is_measured_against_the_volume_of_the_period_before(index: Index) -> None:
    documents = [post(n, "Steady" if n % 2 else "Other", created_at=NOON - HOUR) for n in range(100)]
    documents += [post(200 + n, "Steady" if n % 2 else "Other") for n in range(200)]
    documents += [post(500 + n, "NASA" if n % 2 else "N.A.S.A. agency", "Nasa") for n in range(30)]
    documents += [post(600, "NASA", created_at=NOON - HOUR), post(700, "NASA", created_at=NOON - 3 * HOUR)]
    await fill(index, documents)
    names = Names.of([same("N.A.S.A. agency", "NASA")])
    outcome = await trending(index, NOON - HOUR / 2, NOON + HOUR / 2, names=names)
    assert (outcome.posts, outcome.before) == (230, 101)
    (nasa,) = outcome.trends
    assert (nasa.name, nasa.described.type, nasa.posts, nasa.before) == ("nasa", "ORG", 30, 1)
    assert nasa.described.written == "Nasa"
    assert nasa.ratio == pytest.approx(30 / 230 * 101)
    assert nasa.ratio is not None
    assert nasa.high is not None
    assert 1 < nasa.low < nasa.ratio < nasa.high
    new = await trending(index, NOON - HOUR / 4, NOON + HOUR / 4)
    assert new.trends == (), "no post before: nothing to compare with"
    with pytest.raises(UserError, match="the period is empty"):
        await trending(index, NOON, NOON)


async def test_companions_are_names_that_belong_together_and_not_the_frequent_ones(index: Index) -> None:
    documents = [post(n, "Twitter") for n in range(300)]
    documents += [post(400 + n, "Curie", "Twitter") for n in range(8)]
    documents += [post(500 + n, "Curie", "Radium", "Twitter") for n in range(4)]
    documents += [post(600 + n, "Curie", "#radium") for n in range(2)]
    documents += [post(700 + n, "Oslo") for n in range(100)]
    await fill(index, documents)
    (radium,) = await seen_together(index, "Marie Curie", names=Names.of([same("Marie Curie", "Curie")]))
    assert (radium.name, radium.described.type, radium.together, radium.posts) == ("radium", "ORG", 6, 6)
    assert radium.association > 20
    assert await seen_together(index, "nobody") == []


async def test_documents_of_an_older_mapping_tell_their_spellings_from_a_sample(settings: Settings) -> None:
    name = settings.name("mentions")
    fields = PROPERTIES["mentions"]["properties"] | {"text": TEXT}
    mapping = PROPERTIES | {"mentions": PROPERTIES["mentions"] | {"properties": fields}}
    async with AsyncElasticsearch(str(settings.elasticsearch)) as client:
        await client.indices.create(
            index=f"{name}-1",
            aliases={name: {"is_write_index": True}},
            mappings={"dynamic": False, "properties": mapping},
        )
    index = Index(str(settings.elasticsearch), name)
    await fill(index, [post(1, "NASA", "nasa", "NASA"), post(2, "#NASA", "Oslo")])
    await index.prepare()  # adds the field to the mapping
    await fill(index, [post(3, "NASA")])
    page = await page_of(index, "nasa")
    assert page.surfaces == {"NASA": 2, "#NASA": 1, "nasa": 1}
    assert (page.posts, page.unsurfaced, page.sampled) == (3, 2, 2)
    await index.close()


async def test_names_are_counted_alike_in_the_field_of_posts_and_by_their_mentions(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(
        index,
        [
            post(1, "NASA", "Nasa", "Oslo"),
            post(2, "Space agency", "NASA", types=["ORG", "MISC"]),
            post(3, "US", "us"),
            post(4, "United States", created_at=NOON - 48 * HOUR),
        ],
    )
    names = Names.of([same("Space agency", "NASA"), split("US", "United States")])
    wanted = {"nasa": 2, "united states": 2, "oslo": 1, "us": 1}
    for limit in (10, 2):
        found = await most_named(index, names=names, limit=limit)
        assert {one.name: one.posts for one in found} == dict(list(wanted.items())[:limit])
    (first, *_) = found
    assert (first.described.written, first.described.types) == ("NASA", {"ORG": 2, "MISC": 1})
    flat = await most_named(index, names=names)

    async def not_flat(*_: object) -> None:
        return None

    monkeypatch.setattr("sinks.names.tally._flat", not_flat)
    assert await most_named(index, names=names) == flat
    assert {one.name for one in await most_named(index, Scope(type="MISC"), names)} == {"nasa"}


async def test_suggestions_begin_with_what_was_typed(index: Index) -> None:
    await fill(index, [post(1, "NASA"), post(2, "NASA", "Nato"), post(3, "a.b*c"), post(4, "axbyc")])
    assert await beginning_with(index, "#NA") == [("nasa", 2), ("nato", 1)]
    assert await beginning_with(index, "a.b*") == [("a.b*c", 1)]
    assert await beginning_with(index, " ") == []
