"""Long posts: how a text is cut into windows, and that every mention of it is found, wherever it stands."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from statistics import fmean

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core.events import MAX_TEXT, Tweet
from model.batch import collate
from model.extractor import Extracted, Extractor
from model.tagger import READ_TOKENS
from model.windows import Window, deepest, windows

MOST = 40


@st.composite
def texts(draw: st.DrawFn) -> tuple[int, list[int], list[int]]:
    """A length, where words begin, and where sentences begin."""
    length = draw(st.integers(1, 1000))
    words = sorted(draw(st.sets(st.integers(0, length - 1))))
    sentences = sorted(draw(st.sets(st.sampled_from(words)))) if words else []
    return length, words, sentences


@given(texts())
def test_windows_cover_the_text_and_overlap(text: tuple[int, list[int], list[int]]) -> None:
    length, words, sentences = text
    found = windows(length, MOST, words, sentences)
    assert found[0][0] == 0
    assert found[-1][1] == length
    assert all(0 < end - start <= MOST for start, end in found)
    for (start, end), (following, end_of_following) in itertools.pairwise(found):
        assert start < following
        assert MOST // 4 <= end - following < MOST // 2
        assert end < end_of_following


@given(texts())
def test_the_work_is_linear_in_the_length(text: tuple[int, list[int], list[int]]) -> None:
    length, words, sentences = text
    assert sum(end - start for start, end in windows(length, MOST, words, sentences)) <= 4 * length + MOST


@given(texts(), st.data())
def test_a_word_is_read_with_text_on_both_sides(text: tuple[int, list[int], list[int]], data: st.DataObject) -> None:
    length, words, sentences = text
    found = windows(length, MOST, words, sentences)
    position = data.draw(st.integers(0, length - 1))
    (index,) = deepest(found, [position])
    start, end = found[index]
    assert start <= position < end
    assert min(position - start, end - position) >= min(MOST // 8, position, length - position)


@pytest.mark.parametrize(
    ("words", "sentences", "expected"),
    [
        pytest.param(range(100), [25], [(0, 40), (25, 65), (55, 95), (85, 100)], id="a sentence begins in the overlap"),
        pytest.param(range(100), [], [(0, 40), (30, 70), (60, 100)], id="only words"),
        pytest.param([0, 23, 38, 70], [], [(0, 38), (23, 63), (53, 93), (83, 100)], id="words to cut at"),
        pytest.param([], [], [(0, 40), (30, 70), (60, 100)], id="no word to cut at"),
    ],
)
def test_where_windows_are_cut(words: Sequence[int], sentences: Sequence[int], expected: list[Window]) -> None:
    assert list(windows(100, MOST, words, sentences)) == expected


def test_the_deepest_window() -> None:
    expected = {0: 0, 29: 0, 34: 0, 35: 1, 39: 1, 64: 1, 65: 2, 99: 2}
    assert deepest([(0, 40), (30, 70), (60, 100)], list(expected)) == list(expected.values())


# The shipped checkpoint

FILLER = "we walked along the river all day and nobody said a word about it. "
SENTENCE = "Barack Obama flew from Chicago to Paris with Michelle Obama. "
FOUND = [("Barack Obama", "PER"), ("Chicago", "LOC"), ("Paris", "LOC"), ("Michelle Obama", "PER")]


def read(extractor: Extractor, texts: Sequence[str], context: str | None = None) -> list[Extracted]:
    return extractor.extract_all([Tweet(id="1", text=text) for text in texts], [context] * len(texts))


def among(sentence: str, filler: str, count: int, places: Sequence[int]) -> list[str]:
    """Returns texts of `count` fillers with the sentence behind so many of them."""
    return [filler * before + sentence + filler * (count - before) for before in places]


def mentions(extracted: Extracted) -> list[tuple[str, str]]:
    return [(mention.text, mention.type) for mention in extracted.mentions]


def test_a_name_at_the_end_of_2500_characters_is_found(extractor: Extractor) -> None:
    (extracted,) = read(extractor, [(FILLER * 40)[:2480] + " Angela Merkel"])
    assert mentions(extracted) == [("Angela Merkel", "PER")]


@pytest.mark.parametrize(
    ("context", "end"),
    [
        pytest.param(None, ". ", id="sentences"),
        pytest.param("a woman speaks into a microphone", " ", id="words, with a context"),
    ],
)
def test_a_sentence_is_read_as_well_at_every_place_of_a_long_text(
    extractor: Extractor, context: str | None, end: str
) -> None:
    """As well as in a text that fills one window. Without full stops, windows begin with words."""
    sentence, filler = SENTENCE.replace(". ", end), FILLER.replace(". ", end)
    at_once = among(sentence, filler, 26, range(0, 27, 4))  # some 400 subwords
    # some 750 subwords; the first window ends behind the 29th filler or the 31st, and the second begins at the 22nd
    windowed = among(sentence, filler, 48, [0, 12, *range(22, 33), 40, 48])
    probabilities = {"at once": list[float](), "windowed": list[float]()}
    for kind, texts in (("at once", at_once), ("windowed", windowed)):
        for text, extracted in zip(texts, read(extractor, texts, context), strict=True):
            assert mentions(extracted) == FOUND, (kind, text.index(sentence))
            found = extracted.mentions[0]
            assert text[found.start : found.end] == "Barack Obama"
            assert set(found.views) == ({"text"} if context is None else {"text", "text+context"})
            probabilities[kind].append(found.probability)
    assert fmean(probabilities["windowed"]) > fmean(probabilities["at once"]) - 0.05


def test_the_longest_post_is_read_whole(extractor: Extractor) -> None:
    text = FILLER * (MAX_TEXT // len(FILLER) - 1) + SENTENCE
    assert len(text) > MAX_TEXT - 2 * len(FILLER)
    (extracted,) = read(extractor, [text])
    assert mentions(extracted) == FOUND


def test_a_long_post_changes_no_other_post_and_is_not_changed_by_one(extractor: Extractor) -> None:
    posts = [Tweet(id=str(row), text=text) for row, text in enumerate([SENTENCE, FILLER * 60 + SENTENCE, "Paris"])]
    contexts = [None, "a woman speaks", "a tower"]
    together = extractor.extract_all(posts, contexts)
    for post, context, extracted in zip(posts, contexts, together, strict=True):
        (alone,) = extractor.extract_all([post], [context])
        assert mentions(alone) == mentions(extracted)
        assert alone.typicality == pytest.approx(extracted.typicality, abs=1e-3)
        for one, other in zip(alone.mentions, extracted.mentions, strict=True):
            assert (one.start, one.end) == (other.start, other.end)
            assert one.probability == pytest.approx(other.probability, abs=2e-5)
            assert one.epistemic == pytest.approx(other.epistemic, abs=2e-5)


def test_the_encoder_reads_a_bounded_number_of_tokens_at_once(
    extractor: Extractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, config = extractor.predictor.network, extractor.tokenizer.config
    sizes: list[int] = []
    reading = network._read

    def watched(*parts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        sizes.append(parts[0].numel())
        return reading(*parts)

    encoded = [extractor.tokenizer.encode(text, "a river") for text in (FILLER * 100, SENTENCE, "Paris")]
    batch = collate(encoded, config, network.design)
    whole = network(batch).beliefs[0].gamma  # with gradients, in one reading
    monkeypatch.setattr(network, "_read", watched)
    with torch.inference_mode():
        in_parts = network(batch).beliefs[0].gamma
    assert torch.allclose(whole[batch.words], in_parts[batch.words], atol=1e-4)
    assert len(sizes) >= 5
    assert max(sizes) <= READ_TOKENS["cpu"]
