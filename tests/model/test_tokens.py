"""Words, subwords and offsets, for ordinary and hostile texts."""

from __future__ import annotations

import pickle
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.tokens import SHAPES, TweetTokenizer, shape
from model.words import split_words

ENTITIES = ["&amp;", "&lt;", "&#39;", "&#x1F600;", "&NotEqualTilde;", "&bogus;", "&#0;", "&#55296;", "&", ";"]
PIECES = ["#", "@", "##", "#NBA", "@name_1", "http://t.co/x", "https://", "www.", "-", "3-1", "10,000", "…"]
LETTERS = ["ßﬃ", "İ", "ﷺ", "東京", "นี่", "क्षि", "👨\u200d👩\u200d👧", "❤️", "👍🏽", "🇩🇪", "1️⃣"]
BARE = ["\ud800", "\u200b", "\u200d", "\u0301", "\u2066", "\ufeff", "\x00", " "]
NASTY = st.one_of(
    st.text(max_size=8),
    st.text(st.characters(categories=["Cs", "Cf", "Mn", "Me", "Mc", "Cc", "Zs", "Co", "Cn"]), max_size=4),
    st.sampled_from([*ENTITIES, *PIECES, *LETTERS, *BARE]),
)
TWEETS = st.lists(NASTY, max_size=12).map("".join)


def surfaces(text: str) -> list[str]:
    """Returns the labelled words as slices of the raw text."""
    return [text[word.start : word.end] for word in split_words(text) if word.labelled]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("Paris, now!", ["Paris", ",", "now", "!"], id="punctuation is split off"),
        pytest.param("#NBA @StephCurry", ["NBA", "StephCurry"], id="a sigil is read, not labelled"),
        pytest.param("# NBA 50 @ home", ["#", "NBA", "50", "@", "home"], id="a sigil alone is a word"),
        pytest.param("AT&amp;T rocks", ["AT", "&amp;", "T", "rocks"], id="an entity counts as its character"),
        pytest.param("a &bogus; b", ["a", "&", "bogus", ";", "b"], id="an unknown entity stays"),
        pytest.param(
            "a http://t.co/Z3n?x=1&amp;y=2 b", ["a", "http://t.co/Z3n?x=1&amp;y=2", "b"], id="a URL is one word"
        ),
        pytest.param(
            "game-winning 3-1 10,000 6:25",
            ["game-winning", "3-1", "10,000", "6:25"],
            id="hyphens and numbers stay whole",
        ),
        pytest.param("p.m. w/", ["p", ".", "m", ".", "w", "/"], id="abbreviations are split"),
        pytest.param("can't LeBron's", ["can", "'", "t", "LeBron", "'", "s"], id="apostrophes are split off"),
        pytest.param("Paris❤️London", ["Paris", "❤️", "London"], id="emoji between words"),
        pytest.param("👨‍👩‍👧 1️⃣", ["👨", "👩", "👧", "1️⃣"], id="joined emoji are split, a keycap is not"),
        pytest.param("Cafe\u0301 Malmö", ["Cafe\u0301", "Malmö"], id="a combining mark belongs to its letter"),
        pytest.param("\u200bParis\u200b\u2066London\u2069", ["Paris", "London"], id="zero-width space and bidi marks"),
        pytest.param(
            "Pa\u00adris \ud83d x", ["Pa\u00adris", "x"], id="a soft hyphen stays, a lone surrogate is a space"
        ),
        pytest.param("", [], id="nothing"),
    ],
)
def test_a_post_is_split_as_the_training_data_is(text: str, expected: list[str]) -> None:
    assert surfaces(text) == expected


@given(TWEETS)
def test_words_are_in_order_disjoint_and_not_empty(text: str) -> None:
    position = 0
    for word in split_words(text):
        assert position <= word.start < word.end <= len(text)
        assert text[word.start : word.end].strip()
        assert word.text
        position = word.end


@given(TWEETS, st.none() | TWEETS)
def test_every_span_of_an_encoded_text_is_a_labelled_word(
    tokenizer: TweetTokenizer, text: str, context: str | None
) -> None:
    encoded = tokenizer.encode(text, context)
    words = {(word.start, word.end) for word in split_words(text) if word.labelled}
    assert set(encoded.spans) <= words
    assert len(encoded.heads) == len(encoded.spans)
    assert list(encoded.heads) == sorted(set(encoded.heads))
    assert all(head < len(encoded.text) for head in encoded.heads)
    assert len(encoded.shapes) == len(encoded.text)
    assert encoded.windows == ()
    assert encoded.cost == len(encoded.text) + 2 + (len(encoded.context) + 1 if encoded.context else 0)
    assert pickle.loads(pickle.dumps(encoded)) == encoded


def test_a_very_long_text_is_read_whole_in_windows(tokenizer: TweetTokenizer) -> None:
    text = "Paris " * 4000
    encoded = tokenizer.encode(text, "a man " * 4000)
    assert len(encoded.text) == len(encoded.spans) == 4000
    assert encoded.read == 1
    assert max(end - start for start, end in encoded.windows) <= tokenizer.config.max_text
    assert len(encoded.context or ()) == tokenizer.config.max_context


def test_a_text_that_the_encoder_reads_at_once_has_no_windows(tokenizer: TweetTokenizer) -> None:
    most = tokenizer.config.max_text
    assert tokenizer.encode("Paris " * most, None).windows == ()
    assert len(tokenizer.encode("Paris " * (most + 1), None).windows) == 2


@pytest.mark.parametrize("between", [". ", "\n", "! ", "… ", "。"])
def test_a_window_begins_with_a_sentence(tokenizer: TweetTokenizer, between: str) -> None:
    sentence = "we walked along the river all day and nobody said a word about it"
    text = between.join([sentence] * 200)
    encoded = tokenizer.encode(text, None)
    of_head = dict(zip(encoded.heads, encoded.spans, strict=True))
    assert len(encoded.windows) > 5
    assert all(text[of_head[start][0] :].startswith(sentence) for start, _ in encoded.windows)


def test_read_tells_what_no_window_covers(tokenizer: TweetTokenizer) -> None:
    encoded = tokenizer.encode("Paris " * 1000, None)
    assert replace(encoded, windows=((0, 443), (400, 700))).read == 0.7
    assert replace(encoded, windows=((0, 443), (500, 1000))).read == pytest.approx(0.943)


@pytest.mark.parametrize("context", [None, "", "  \n"])
def test_a_blank_context_becomes_none(tokenizer: TweetTokenizer, context: str | None) -> None:
    assert tokenizer.encode("Paris", context).context is None


def test_an_entity_is_encoded_as_its_character(tokenizer: TweetTokenizer) -> None:
    assert tokenizer.encode("AT&amp;T", None).text == tokenizer.encode("AT&T", None).text


def test_corpus_words_are_encoded_like_the_raw_post(tokenizer: TweetTokenizer) -> None:
    words = ["RT", "@StephCurry", ":", "#NBA", "#"]
    of_words, of_text = tokenizer.encode_words(words, None), tokenizer.encode("RT @StephCurry: #NBA #", None)
    assert of_words.text == of_text.text
    assert of_words.heads == of_text.heads
    assert of_words.spans == tuple((index, index + 1) for index in range(len(words)))


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("paris", "lower"),
        ("Paris", "title"),
        ("NBA", "upper"),
        ("A", "title"),
        ("LeBron", "mixed"),
        ("2017", "digit"),
        (",", "other"),
    ],
)
def test_casing(word: str, expected: str) -> None:
    assert SHAPES[shape(word)] == expected
