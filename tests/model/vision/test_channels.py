"""All channels clean and limit their words, and the configuration survives JSON."""

from __future__ import annotations

import json
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from core.text import plain
from model.vision.channels import ReaderConfig, rounded
from model.vision.values import MAX_LINES, MAX_REASON, MAX_TAGS, MAX_WORDS, VisualContext


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        pytest.param("  two \t words\n", "two words", id="white space becomes one blank"),
        pytest.param("a\x1b[31mb\x00c\x9bd", "a [31mb c d", id="control characters become blanks"),
        pytest.param("a\u2028b\u2029c\u0085d", "a b c d", id="every kind of line break becomes a blank"),
        pytest.param("in\u202ever\u2066ted\u200f", "inverted", id="bidirectional overrides go"),
        pytest.param("a\u200bb\ufeffc", "abc", id="invisible characters go"),
        pytest.param("a\ud800b\ue000c", "abc", id="surrogates and private characters go"),
        pytest.param("e\u0301t\u00e9", "\u00e9t\u00e9", id="composed"),
        pytest.param("勝利のために 👍", "勝利のために 👍", id="all scripts stay"),
        pytest.param("word " * 100, "word word word word", id="cut, without a blank at the end"),
    ],
)
def test_words_become_one_clean_line(text: str, wanted: str) -> None:
    assert plain(text, 20) == wanted


@given(st.text(alphabet=st.characters(), max_size=200), st.integers(1, 40))
def test_any_text_is_cut_and_loses_its_control_characters(text: str, most: int) -> None:
    line = plain(text, most)
    assert len(line) <= most
    assert line == line.strip()
    assert not {unicodedata.category(character) for character in line} & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    assert unicodedata.is_normalized("NFC", line)


@pytest.mark.parametrize(("value", "wanted"), [(1.00001, 1.0), (-0.2, 0.0), (0.123456, 0.1235)])
def test_scores_and_fractions_are_clamped_and_rounded(value: float, wanted: float) -> None:
    assert rounded(value) == wanted


def test_the_configuration_survives_json() -> None:
    config = ReaderConfig(channels=("caption", "ocr"), tags=None, caption="some/model")
    assert ReaderConfig.from_json(config.to_json()) == config


BOX = ((0, 0), (1, 0), (1, 1), (0, 1))


@pytest.mark.parametrize(
    "context",
    [
        pytest.param({"tags": [{"label": "x" * (MAX_WORDS + 1), "score": 1}]}, id="a long label"),
        pytest.param({"tags": [{"label": "x", "score": 1}] * (MAX_TAGS + 1)}, id="many tags"),
        pytest.param({"lines": [{"text": "x" * (MAX_WORDS + 1), "score": 1, "box": BOX}]}, id="a long line"),
        pytest.param({"lines": [{"text": "x", "score": 1, "box": BOX}] * (MAX_LINES + 1)}, id="many lines"),
        pytest.param({"caption": "x" * (MAX_WORDS + 1)}, id="a long caption"),
        pytest.param({"absent": {"smell": "x"}}, id="another channel"),
    ],
)
def test_a_context_beyond_the_limits_is_refused(context: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        VisualContext.model_validate_json(json.dumps(context))


def test_words_from_a_process_or_a_file_are_cleaned() -> None:
    cached = {"caption": "a\u202e\x1b[31mb", "absent": {"ocr": "\x9b" + "x" * 1_000_000}}
    context = VisualContext.model_validate_json(json.dumps(cached))
    assert (context.caption, context.absent) == ("a [31mb", {"ocr": "x" * (MAX_REASON)})
