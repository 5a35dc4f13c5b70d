"""`mner predict --jsonl` on posts of this family: each line of the input has its line of expected mentions."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from cli.main import main
from core.spelling import LINE_ENDS, decode_entities
from model.extractor import Extractor
from streams.settings import CHECKPOINT

FILES = Path(__file__).parent / "files"


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


POSTS = lines(FILES / "posts.jsonl")
EXPECTED = {line["id"]: line["mentions"] for line in lines(FILES / "posts.expected.jsonl")}


@pytest.fixture(scope="module")
def predicted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    out = tmp_path_factory.mktemp("predicted") / "out.jsonl"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["mner", "predict", "--jsonl", str(FILES / "posts.jsonl"), "--out", str(out)])
        with pytest.raises(SystemExit) as ended:
            main()
    assert not ended.value.code
    return {line["id"]: line for line in lines(out)}


@pytest.mark.parametrize("post", POSTS, ids=lambda post: post["id"])
def test_a_post_has_the_mentions_that_a_person_sees(post: dict[str, Any], predicted: dict[str, dict[str, Any]]) -> None:
    found = predicted[post["id"]]
    assert [[mention["text"], mention["type"]] for mention in found["mentions"]] == EXPECTED[post["id"]]
    for mention in [*found["mentions"], *found["candidates"]]:
        assert post["text"][mention["start"] : mention["end"]] == mention["text"]
        assert not LINE_ENDS & set(decode_entities(mention["text"])[0])


@pytest.mark.parametrize("dressed", ["bold", "wide", "circled", "small-caps"])
def test_letters_in_fancy_dress_are_as_typical_as_plain_ones(
    dressed: str, predicted: dict[str, dict[str, Any]]
) -> None:
    assert predicted[dressed]["typicality"] == predicted["plain"]["typicality"]
    for mention, plain in zip(predicted[dressed]["mentions"], predicted["plain"]["mentions"], strict=True):
        assert mention["probability"] == pytest.approx(plain["probability"], abs=1e-5)


@pytest.mark.parametrize("end", sorted(LINE_ENDS), ids=ascii)
def test_no_mention_and_no_candidate_crosses_the_end_of_a_line(end: str) -> None:
    extractor = Extractor.load(CHECKPOINT, device="cpu", candidate_threshold=1e-6)
    texts = [f"{a}{end}{b}" for a, b in [("New", "York"), ("Angela Merkel", "Barack Obama"), ("#Real", "#Madrid CF")]]
    for text in texts:
        encoded = extractor.tokenizer.encode(text, None)
        (prediction,) = extractor.predictor.predict([encoded])
        spans = [*prediction.spans, *prediction.candidates]
        assert spans
        assert not [text[span.start : span.end] for span in spans if end in text[span.start : span.end]]
