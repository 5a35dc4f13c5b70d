"""Whatever a post holds: its words and its folded text map back to it, and its name stands still."""

from __future__ import annotations

import sys
import unicodedata

from hypothesis import example, given
from hypothesis import strategies as st

from core.letters import plain_letters
from core.spelling import LINE_ENDS, decode_entities, fold, normalise
from model.tokens import TweetTokenizer
from model.words import split_words
from tests.families.names.spellings import SAME
from tests.families.names.test_words import ADDRESSES, LETTERS, WHOLE
from tests.model.conftest import tokenizer as tokenizer  # noqa: PLC0414

PIECES = [
    *(spelling for spellings in SAME.values() for spelling in spellings),
    *ADDRESSES,
    *WHOLE,
    *LETTERS,
    *LINE_ENDS,
    *["&", "amp;", "＆", "；", "&semi;", "https://", "www.", "㏗ttp://x.y", "#", "@", "'", ".", "🇩", "\ufe0f", "ﷺ"],
]
OF_CATEGORY: dict[str, list[str]] = {}
for code in range(sys.maxunicode + 1):
    OF_CATEGORY.setdefault(unicodedata.category(chr(code)), []).append(chr(code))
for unused in ("Cs", "Cn", "Co"):
    del OF_CATEGORY[unused]
ODD = st.sampled_from(sorted(OF_CATEGORY)).flatmap(lambda kind: st.sampled_from(OF_CATEGORY[kind]))
"""A code point of a category that is drawn first, so that rare ones come up too."""
TEXTS = st.lists(st.one_of(st.text(max_size=6), ODD, st.sampled_from(PIECES)), max_size=8).map("".join)


@given(TEXTS)
@example("㏗ttp://x.y")
@example("🄐http://x.y")
def test_words_cut_the_raw_text_in_order_and_never_inside_of_a_line(text: str) -> None:
    end_before = line_before = 0
    for word in split_words(text):
        raw = text[word.start : word.end]
        assert end_before <= word.start < word.end <= len(text)
        assert word.text
        assert raw.strip()
        assert not LINE_ENDS & set(decode_entities(raw)[0])
        assert (word.line > line_before) == bool(LINE_ENDS & set(decode_entities(text[end_before : word.start])[0]))
        end_before, line_before = word.end, word.line


@given(TEXTS)
def test_encoded_words_know_where_a_line_ends_between_them(tokenizer: TweetTokenizer, text: str) -> None:
    encoded = tokenizer.encode(text, None)
    assert len(encoded.opens_line) == len(encoded.spans)
    for (_, end), (start, _), opens in zip(encoded.spans, encoded.spans[1:], encoded.opens_line[1:], strict=False):
        assert opens == bool(LINE_ENDS & set(decode_entities(text[end:start])[0]))


@given(TEXTS)
def test_a_folded_text_maps_back_to_the_raw_one(text: str) -> None:
    folded, starts = fold(text)
    assert len(starts) == len(folded) + 1
    assert starts == sorted(starts)
    assert starts[-1] == len(text)
    assert all(0 <= start <= len(text) for start in starts)
    folded.encode()


@given(TEXTS)
def test_the_name_of_a_name_is_itself(text: str) -> None:
    name = normalise(text)
    assert normalise(name) == name
    assert bool(name) == bool(text)


@given(st.text(max_size=60))
def test_decoding_letters_keeps_the_place_of_each_code_point(text: str) -> None:
    for decode in (decode_entities, plain_letters):
        result, starts = decode(text)
        assert len(starts) == len(result) + 1
        assert starts == sorted(starts)
        assert starts[-1] == len(text)


@given(st.text(alphabet="a\u0301\u0316\u0335\u1100\u1161\uac00", max_size=300))
def test_many_marks_on_one_letter_map_back_to_the_text(text: str) -> None:
    folded, starts = fold(text)
    assert len(starts) == len(folded) + 1
    assert starts == sorted(starts)
    assert starts[-1] == len(text)
