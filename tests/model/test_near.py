"""What counts as a copy of a post, and where a span of one copy is in another."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.events import ImageResult, Mention, Question, Reason, ReviewTask, Tweet
from model.near import FORMS, near_key, wording

POST = "Webb sees the Andromeda galaxy"


def task(text: str, asked: str = "Andromeda", image: ImageResult | None = None) -> ReviewTask:
    start = text.index(asked)
    mention = Mention(
        start=start, end=start + len(asked), text=asked, type="LOC", probability=0.5, aleatoric=0.1, epistemic=0.1
    )
    reason = Reason(kind="low_probability", sentence="unsure")
    return ReviewTask(
        id="x",
        tweet=Tweet(id="1", text=text),
        questions=(Question(mention=mention, reasons=(reason,)),),
        image=image or ImageResult(),
        model="m",
        model_version=1,
        threshold=0.9,
        uncertainty=0.5,
    )


@pytest.mark.parametrize(
    "copy",
    [
        f"RT @NASA: {POST} https://t.co/x1",
        f"RT @nasa@mastodon.social {POST}",
        f"{POST}\n\nhttps://a.b/c?d=e via @space",
        f"@ada @bob  {POST} (via @space)",
        f"via @space: {POST} @ada @bob",
        "WEBB sees  the\nAndromeda galaxy",
        "Ｗebb sees https://t.co/Y the Andromeda\u200b galaxy",
    ],
)
def test_a_copy_has_the_same_key_and_the_span_is_found_in_it(copy: str) -> None:
    assert near_key(task(copy)) == near_key(task(POST))
    place = wording(POST).shared(14, 23)
    assert place is not None
    found = wording(copy).raw(*place)
    assert found is not None
    assert copy[slice(*found)] == "Andromeda"


@pytest.mark.parametrize(
    "other",
    [
        "Webb sees the Andromeda galaxies",
        "Webb sees the @Andromeda galaxy",
        "Hubble sees the Andromeda galaxy",
        f"{POST}…",
    ],
)
def test_another_wording_has_another_key(other: str) -> None:
    assert near_key(task(other)) != near_key(task(POST))


def test_a_short_text_has_no_key() -> None:
    assert near_key(task("Goal for Arsenal!!!!!!!!", "Arsenal")) is None
    assert near_key(task("RT @somebody_or_other: Goal for Arsenal https://t.co/x", "Arsenal")) is None


def test_a_question_about_a_handle_compares_the_whole_text() -> None:
    about = task(f"RT @NASA: {POST} https://t.co/1", "NASA")
    key = near_key(about)
    assert key is not None
    assert key[1] == "whole"
    assert key == near_key(task(f"RT @NASA: {POST}", "NASA"))
    assert key != near_key(task(f"RT @ESA: {POST}", "ESA"))
    assert key != near_key(task(POST))


def test_a_question_that_no_copy_has_gives_no_key() -> None:
    assert near_key(task(f"{POST} https://t.co/Paris", "Paris")) is None


def test_the_image_counts() -> None:
    def with_image(**fields: object) -> object:
        return near_key(task(POST, image=ImageResult.model_validate(fields)))

    same = [with_image(status="ok", url=url, phash="ab" * 32) for url in ("http://a/1", "http://b/2")]
    assert same[0] == same[1]
    others = [
        with_image(),
        same[0],
        with_image(status="ok", url="http://a/1", phash="cd" * 32),
        with_image(status="ok", url="http://a/1"),
        with_image(status="failed", url="http://a/1", reason="http_status: 404"),
        with_image(status="failed", url="http://a/2", reason="http_status: 404"),
    ]
    assert len(set(others)) == len(others)


WORDS = "Webb sees Sao São fish ﬁsh AT&amp;T AT&T 𝐏aris 東京 🗼 🇩🇪 한국 @ada RT via n't न्द्र ㄱ & http://x.y/z,Hamburg"
PIECES = st.sampled_from([*WORDS.split(), "Sa\u0303o", "a\u200b", "\u200b", "https://t.co/x"])
BLANKS = st.sampled_from([" ", "", "\n", "  ", "\u3000", "\u00a0"])
TEXTS = st.lists(st.tuples(PIECES, BLANKS), max_size=9).map(lambda parts: "".join(map("".join, parts)))


def spans(data: st.DataObject, text: str) -> list[tuple[int, int]]:
    ends = st.integers(0, len(text))
    return [(a, b) for a, b in data.draw(st.lists(st.tuples(ends, ends), max_size=12)) if a < b]


@given(TEXTS | st.text(max_size=30), st.data())
def test_a_span_is_mapped_exactly_or_not_at_all(text: str, data: st.DataObject) -> None:
    for form in FORMS:
        words = wording(text, form)
        assert len(words.words) == len(words.places)
        for start, end in spans(data, text):
            if (place := words.shared(start, end)) is not None:
                assert words.raw(*place) == (start, end)
        for first, last in spans(data, words.words):
            if (raw := words.raw(first, last)) is not None:
                assert words.shared(*raw) == (first, last)


@given(st.lists(PIECES, min_size=1, max_size=8), st.data())
def test_the_same_span_of_two_copies_has_the_same_letters(parts: list[str], data: st.DataObject) -> None:
    first = " ".join(parts)
    second = data.draw(st.sampled_from(["RT @x: {}", "{} https://t.co/zz", "{}\u200b via @y", "@q {}"])).format(
        data.draw(st.sampled_from(["  ", "\n", "\u3000"])).join(parts)
    )
    one, two = wording(first), wording(second)
    if one.words != two.words:
        return
    for start, end in spans(data, first):
        place = one.shared(start, end)
        if found := place and two.raw(*place):
            assert wording(second[slice(*found)], "whole").words == wording(first[start:end], "whole").words
