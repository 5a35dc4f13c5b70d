"""Searches with filters, facets, timeline and pages, on a real Elasticsearch."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from elasticsearch import AsyncElasticsearch
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from core.errors import UserError
from core.events import Author, EntityType, Media
from core.terms import Sources, Terms
from model.accounts import accounts_in
from sinks.index.document import Document, from_decision, from_extraction, marker
from sinks.index.index import Index
from sinks.searching.access import EVERYTHING, Access
from sinks.searching.request import Found
from sinks.searching.search import documents, search, total
from sinks.searching.state import Facet, Order, SearchState
from streams.settings import Settings
from tests.families.names.test_fuzz import TEXTS
from tests.sinks.searching.test_language import SIGNS
from tests.sinks.values import decision, extraction, mention, task, tweet

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
WITHHELD = Terms(may_train=False, may_show_text=False, delete_within_hours=24)
SHOWN = Terms(may_train=False, may_show_text=True, delete_within_hours=24)
OBEDIENT = Access(Sources({"x": WITHHELD, "unknown": SHOWN}))


def post(
    post_id: str, text: str, *named: tuple[str, EntityType], moment: datetime | None = NOON, **fields: Any
) -> Document:
    details: dict[str, Any] = {
        "author": Author(id=f"id-{post_id}", name="ana"),
        "lang": "en",
        "source": "file",
    } | fields
    made = tweet(post_id, text, **details).model_copy(update={"created_at": moment})
    found = extraction(
        made, *(mention(name, kind, within=text) for name, kind in named), accounts=accounts_in(made.text)
    )
    return from_extraction(found, found.mentions)


async def fill(index: Index, made: Iterable[Document]) -> None:
    assert {outcome.kind for outcome in await index.write(list(made))} == {"written"}
    await index.refresh()


async def ids(index: Index, words: str = "", access: Access = EVERYTHING, **fields: Any) -> list[str]:
    state = SearchState(words=words, order="oldest", **fields)
    return sorted(hit.id for hit in (await search(index, state, access, 100)).hits)


def counts(found: Found, facet: Facet) -> dict[str, int]:
    return {each.value: each.posts for each in found.facets[facet]}


WORDS = [
    pytest.param("paris hilton", ["both", "phrase"], id="all words, anywhere"),
    pytest.param('"paris hilton"', ["phrase"], id="side by side"),
    pytest.param("“paris hilton”", ["phrase"], id="side by side, in typographic quotation marks"),
    pytest.param("paris -hilton", ["tag"], id="one word without another"),
    pytest.param('paris -"paris hilton"', ["both", "tag"], id="one word without a phrase"),
    pytest.param("#paris", ["both", "phrase", "tag"], id="the hashtag and the word"),
    pytest.param("Jean-Claude", ["dash"], id="a dash in a name"),
    pytest.param("AT-T", ["at"], id="short parts"),
    pytest.param("jean-cl*", ["dash"], id="the beginning of a name with a dash"),
    pytest.param("hilt*", ["both", "phrase"], id="the beginning of a word"),
    pytest.param("O'Brien", ["brien"], id="a straight apostrophe"),
    pytest.param("O’Brien", ["brien"], id="a typographic apostrophe"),
    pytest.param("us", ["initials"], id="a name without the dots of its initials"),
    pytest.param("東京", ["tokyo"], id="ideographs side by side"),
    pytest.param("Ｐａｒｉｓ hilton", ["both", "phrase"], id="full-width letters"),
    pytest.param("Zoe\u0308 - Zoë", ["zoe"], id="composed and decomposed letters, and a lone dash"),
    pytest.param("Q&amp;A", ["qa"], id="an HTML entity"),
    pytest.param("🗼", ["tokyo"], id="an emoji"),
    pytest.param("at:did:plc:abc:3l", ["at:did:plc:abc:3l"], id="an id"),
    pytest.param("lighthouse", ["alt"], id="a word of an alt text"),
    pytest.param("phare élevé", ["alt"], id="words of an alt text in another spelling"),
    pytest.param("!!!", [], id="signs alone"),
]
POSTS = [
    post("phrase", "Paris Hilton was here", ("Paris Hilton", "PER")),
    post("both", "a Hilton hotel in Paris"),
    post("tag", "in #Paris again"),
    post("dash", "Jean–Claude sings"),
    post("far", "Jean met Claude"),
    post("at", "the AT-T tool"),
    post("brien", "Mr O’Brien"),
    post("initials", "made in the U.S.", ("U.S.", "LOC")),
    post("tokyo", "東京 🗼"),
    post("reversed", "京東"),
    post("zoe", "Zoë"),
    post("qa", "a Q&amp;A"),
    post("at:did:plc:abc:3l", "nothing"),
    post("alt", "see", media=(Media(url="https://a.example/1.jpg", alt="Lighthouse, phare e\u0301levé"),)),
]


async def test_words_find_what_people_mean(index: Index) -> None:
    await fill(index, POSTS)
    for case in WORDS:
        words, expected = case.values
        assert await ids(index, str(words)) == expected, case.id


async def test_filters_narrow_and_each_facet_counts_without_its_own(index: Index) -> None:
    human = from_decision(decision(task("5", text="Paris"), 1_000, mention("Paris", within="Paris", source="human")))
    await fill(
        index,
        [
            post("1", "Paris and Ana", ("Paris", "LOC"), ("Ana", "PER")),
            post("2", "Paris Paris", ("Paris", "PER"), lang="de"),
            post("3", "Rome", ("Rome", "LOC"), source="x", author=Author(id="7")),
            post("4", "nothing", moment=NOON + timedelta(days=2)),
            human,
        ],
    )
    assert await ids(index, types=("LOC",)) == ["1", "3", "5"]
    assert await ids(index, types=("LOC", "PER")) == ["1", "2", "3", "5"]
    assert await ids(index, names=("Paris",), types=("PER",)) == ["2"], "the same mention has both"
    assert await ids(index, authors=("ana", "7")) == ["1", "2", "3", "4"]
    assert await ids(index, languages=("de",)) == ["2"]
    assert await ids(index, sources=("x", "unknown")) == ["3", "5"]
    assert await ids(index, decided_by=("human",)) == ["5"]
    assert await ids(index, since=date(2026, 11, 22), until=date(2026, 11, 22)) == ["4"]
    assert await ids(index, "rome", types=("LOC",), sources=("x",), authors=("7",)) == ["3"]

    found = await search(index, SearchState(types=("PER",)), EVERYTHING)
    assert found.total == 2
    assert counts(found, "type") == {"LOC": 3, "PER": 2}, "as without the filter"
    assert counts(found, "name") == {"ana": 1, "paris": 1}, "names of this type, posts counted once"
    assert counts(found, "lang") == {"de": 1, "en": 1}
    assert [each.value for each in found.facets["type"] if each.chosen] == ["PER"]
    both = await search(index, SearchState(types=("PER",), languages=("de",)), EVERYTHING)
    assert (both.total, counts(both, "lang"), counts(both, "type")) == (1, {"de": 1, "en": 1}, {"PER": 1})
    none = await search(index, SearchState(names=("nobody",), authors=("7",)), EVERYTHING)
    assert (none.total, counts(none, "name"), counts(none, "author")) == (0, {"nobody": 0, "rome": 1}, {"7": 0})
    assert await total(index, SearchState(types=("PER",)), EVERYTHING) == 2


async def test_accounts_are_found_and_counted_apart_from_names(index: Index) -> None:
    await fill(
        index,
        [
            post("1", "@NASA and @esa: @nasa in Paris", ("Paris", "LOC")),
            post("2", "NASA in Paris", ("NASA", "ORG"), ("Paris", "LOC")),
            post("3", "RT @Nasa@mastodon.social: x", lang="de"),
        ],
    )
    assert await ids(index, accounts=("@NASA",)) == ["1"]
    assert await ids(index, accounts=("esa", "nasa@mastodon.social")) == ["1", "3"]
    assert await ids(index, "nasa") == ["1", "2", "3"], "words are found in any case"
    found = await search(index, SearchState(accounts=("nasa",)), EVERYTHING)
    assert counts(found, "account") == {"nasa": 1, "esa": 1, "nasa@mastodon.social": 1}, "posts, not occurrences"
    assert (counts(found, "name"), found.total) == ({"paris": 1}, 1)
    (hit,) = found.hits
    assert [(hit.text[each.start : each.end], each.matched) for each in hit.accounts] == [
        ("@NASA", True),
        ("@esa", False),
        ("@nasa", True),
    ]
    assert [(each.name, each.tweets) for each in await index.entities()] == [("paris", 2), ("nasa", 1)]


async def test_posts_of_earlier_versions_are_counted_as_well(index: Index, settings: Settings) -> None:
    new = [post("1", "Paris Paris", ("Paris", "LOC")), post("2", "Ana", ("Ana", "PER"))]
    await fill(index, new)
    old = post("3", "Paris, Paris and Ana", ("Paris", "LOC"), ("Ana", "PER"))
    async with AsyncElasticsearch(str(settings.elasticsearch)) as client:
        body = {name: value for name, value in old.body.items() if name != "feed"}
        await client.index(index=index.name, id="3", document=body, version=old.version, version_type="external")
    await index.refresh()
    found = await search(index, SearchState("paris"), EVERYTHING)
    assert (counts(found, "name"), counts(found, "type")) == ({"ana": 1, "paris": 2}, {"LOC": 2, "PER": 1})
    chosen = await search(index, SearchState(names=("ana",)), EVERYTHING)
    assert (chosen.total, counts(chosen, "name")) == (2, {"ana": 2, "paris": 2})
    assert counts(chosen, "type") == {"PER": 2}
    assert counts(found, "source") == {"file": 1, "unknown": 1}
    assert await index.held(["3"]) == {"3": Document("3", old.version, body)}


async def test_hits_have_what_a_page_shows(index: Index) -> None:
    media = (Media(url="https://a.example/1.jpg", alt="a “tower”"), Media(url="https://a.example/2.jpg"))
    await fill(index, [post("1", "Paris and Ana in Paris", ("Ana", "PER"), media=media)])
    (hit,) = (await search(index, SearchState("paris ana", types=("PER",)), EVERYTHING)).hits
    assert [hit.text[start:end] for start, end in hit.matches] == ["Paris", "Ana", "Paris"]
    assert [(found.text, found.name, found.matched) for found in hit.mentions] == [("Ana", "ana", True)]
    assert hit.media == ("https://a.example/1.jpg", "https://a.example/2.jpg")
    assert (hit.alt, hit.author_id, hit.author_name, hit.lang) == (("a “tower”", ""), "id-1", "ana", "en")


async def test_the_timeline_chooses_its_interval_and_ignores_the_chosen_days(index: Index) -> None:
    moments = [NOON, NOON + timedelta(hours=30), NOON + timedelta(days=40), None]
    await fill(index, [post(str(place), "x", moment=moment) for place, moment in enumerate(moments)])
    found = await search(index, SearchState(since=date(2026, 11, 20), until=date(2026, 11, 21)), EVERYTHING)
    assert found.total == 2
    assert found.timeline
    assert found.within
    assert (found.timeline.interval, found.within.interval) == ("1d", "1h")
    assert [bar.start for bar in found.timeline.bars if bar.posts] == [
        datetime(2026, 11, 20, tzinfo=UTC),
        datetime(2026, 11, 21, tzinfo=UTC),
        datetime(2026, 12, 30, tzinfo=UTC),
    ]
    assert sum(bar.posts for bar in found.within.bars) == 2
    nothing = await search(index, SearchState("absent", since=date(2026, 1, 1)), EVERYTHING)
    assert (nothing.total, nothing.timeline, nothing.within) == (0, None, None)


async def test_erased_hidden_and_expired_posts_never_appear(index: Index) -> None:
    old = post("old", "paris", moment=NOON - timedelta(days=90))
    await fill(index, [post("1", "paris"), old, marker("erased"), post("hidden", "paris").with_hidden(True)])
    access = Access(cutoff=NOON - timedelta(days=30))
    for words in ("", "paris", "old", "hidden", "erased"):
        expected = ["1"] if words in ("", "paris") else []
        assert await ids(index, words, access) == expected
        assert [body["id"] async for body in documents(index, SearchState(words), access)] == expected
    found = await search(index, SearchState(), access)
    assert (counts(found, "lang"), found.total) == ({"en": 1}, 1)


async def test_withheld_posts_are_counted_but_neither_shown_nor_found_by_what_they_hold(index: Index) -> None:
    media = (Media(url="https://a.example/1.jpg", alt="a lighthouse"),)
    silent = post("x1", "Paris is nice @city", ("Paris", "LOC"), source="x:a", lang="fr", media=media)
    await fill(index, [silent, post("1", "Paris", ("Paris", "LOC"))])
    for words in ("paris", "nice", "par*", '"is nice"', "-rome", "-paris", "lighthouse"):
        assert "x1" not in await ids(index, words, OBEDIENT), words
    by_content: list[dict[str, Any]] = [
        {"names": ("paris",)},
        {"authors": ("id-x1", "ana")},
        {"accounts": ("city",)},
        {"languages": ("fr", "en")},
    ]
    for fields in by_content:
        assert await ids(index, "", OBEDIENT, **fields) == ["1"] * ("accounts" not in fields), fields
    by_place: list[dict[str, Any]] = [{"sources": ("x:a",)}, {"types": ("LOC",), "sources": ("x:a",)}, {"words": "x1"}]
    for fields in by_place:
        (hit,) = (await search(index, SearchState(**fields), OBEDIENT)).hits
        assert (hit.id, hit.feed, hit.withheld) == ("x1", "x:a", True)
        assert (hit.text, hit.mentions, hit.accounts, hit.media, hit.alt, hit.author_id, hit.author_name, hit.lang) == (
            *("", (), (), (), ()),
            *(None, None, None),
        )
    found = await search(index, SearchState(), OBEDIENT)
    assert (found.total, counts(found, "type"), counts(found, "source")) == (2, {"LOC": 2}, {"file": 1, "x:a": 1})
    assert counts(found, "account") == {}
    assert (counts(found, "name"), counts(found, "author"), counts(found, "lang")) == (
        {"paris": 1},
        {"ana": 1},
        {"en": 1},
    )


ORDERS: list[Order] = ["best", "newest", "oldest"]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("words", ["", "paris"])
async def test_pages_lead_through_all_hits_and_back_with_ties_and_without_dates(
    index: Index, order: Order, words: str
) -> None:
    moments = [NOON, NOON, NOON + timedelta(days=1), None, None, None]
    made = [post(f"{n:03}", "paris " * (1 + n % 3), moment=moments[n % len(moments)]) for n in range(47)]
    await fill(index, made)
    state = SearchState(words=words, order=order)
    pages, found = [], await search(index, state, EVERYTHING, 10)
    assert not found.previous
    while True:
        pages.append([hit.id for hit in found.hits])
        if not found.next:
            break
        found = await search(index, SearchState(words=words, order=order, page=found.next), EVERYTHING, 10)
        assert (found.total, bool(found.previous)) == (47, True)
    assert [len(page) for page in pages] == [10, 10, 10, 10, 7]
    assert sorted(hit_id for page in pages for hit_id in page) == [f"{n:03}" for n in range(47)]
    for page in reversed(pages[:-1]):
        found = await search(index, SearchState(words=words, order=order, page=found.previous), EVERYTHING, 10)
        assert [hit.id for hit in found.hits] == page
        assert found.next
    assert not found.previous
    if order != "best":
        undated = {f"{n:03}" for n in range(47) if moments[n % len(moments)] is None}
        assert set([hit_id for page in pages for hit_id in page][-len(undated) :]) == undated


async def test_a_page_may_lie_beyond_ten_thousand_and_an_export_has_all_hits(index: Index) -> None:
    await fill(index, [post(f"{n:05}", "paris", moment=NOON + timedelta(seconds=n)) for n in range(10_300)])
    state, seen = SearchState(order="oldest"), 0
    while True:
        found = await search(index, state, EVERYTHING, 200)
        assert found.hits[0].id == f"{seen:05}"
        seen += len(found.hits)
        if not found.next:
            break
        state = SearchState(order="oldest", page=found.next)
    assert (seen, found.total) == (10_300, 10_300)
    exported = [body["id"] async for body in documents(index, SearchState("paris"), EVERYTHING)]
    assert exported == [f"{n:05}" for n in range(10_300)]


@pytest.mark.parametrize(("since", "until"), [(date.min, None), (None, date.max), (date.min, date.max)])
async def test_any_day_is_a_bound(index: Index, since: date | None, until: date | None) -> None:
    await fill(index, [post("1", "x")])
    assert await ids(index, since=since, until=until) == ["1"]


LONG = st.sampled_from(
    ["x" * 60_000 + "*", "東" * 5_000 + "*", "a-" * 900 + "b*", "w* " * 250, "-w " * 250, '"' + "a " * 250]
)
ADDRESSES = st.builds(
    SearchState,
    words=st.one_of(TEXTS, SIGNS, st.text(max_size=30), LONG),
    types=st.sampled_from([(), ("PER",), ("PER", "LOC")]),
    names=st.lists(st.one_of(TEXTS, st.text(min_size=1)).filter(lambda text: len(text) < 500), max_size=2).map(tuple),
    authors=st.lists(st.text(min_size=1, max_size=20), max_size=2).map(tuple),
    languages=st.sampled_from([(), ("en",), ("\x00-",)]),
    sources=st.lists(st.text(min_size=1, max_size=20), max_size=2).map(tuple),
    since=st.none() | st.dates(max_value=date(2026, 1, 1)),
    until=st.none() | st.dates(min_value=date(2026, 1, 1)),
    order=st.sampled_from(ORDERS),
)


async def test_every_state_gets_results_or_one_clear_line(index: Index) -> None:
    await fill(index, POSTS)
    made: list[SearchState] = []

    @examples(max_examples=150, database=None, suppress_health_check=list(HealthCheck))
    @given(ADDRESSES)
    def draw(state: SearchState) -> None:
        made.append(state)

    draw()
    for state in made:
        for access in (EVERYTHING, OBEDIENT):
            line = ""
            try:
                found = await search(index, state, access)
                again = await search(index, SearchState.from_query(state.to_query()), access)
                assert found == again
                await index.search(state.words, "PER", access=access)
            except UserError as error:
                line = str(error)
            assert not line or "query is too long" in line, repr(state)
            assert "\n" not in line
