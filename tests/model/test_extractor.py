"""The shipped checkpoint through the public interface."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from core.errors import UserError
from core.events import Extraction, Media, Tweet
from model.checkpoint import Temperatures, describe
from model.context import visual_context
from model.extractor import Extracted, Extractor, batches
from model.mentions import Prediction, candidate_mentions, mentions
from model.predictor import Predictor
from model.tokens import Encoded
from model.worker import ModelProcess
from streams.settings import CHECKPOINT

TEXTS = [
    "Steph Curry and LeBron James meet in Paris",
    "no name in here at all",
    "#NBA finals: Golden State Warriors vs Cleveland ❤️ http://t.co/abc",
    "AT&amp;T opens a store in New York",
    "💯",
]

LOW = 0.02
"""Spans as probable as this are no rarity in any text."""


def tweet(text: str, alt: str | None = None) -> Tweet:
    media = (Media(url="http://pictures.test/1.jpg", alt=alt),) if alt else ()
    return Tweet(id="1", text=text, media=media)


def test_plain_names_are_found_with_type_and_place(extractor: Extractor) -> None:
    found = extractor.extract([tweet(TEXTS[0])])[0]
    assert [(mention.text, mention.type) for mention in found] == [
        ("Steph Curry", "PER"),
        ("LeBron James", "PER"),
        ("Paris", "LOC"),
    ]


@given(text=st.text(min_size=1, max_size=40).filter(str.strip))
@hypothesis_settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_text_gives_mentions_that_stand_in_it(extractor: Extractor, text: str) -> None:
    post = tweet(f"Paris {text} New York")
    found = tuple(extractor.extract([post])[0])
    Extraction(tweet=post, mentions=found, model="m", model_version=0, threshold=0.5)  # checks every span


def test_a_tweet_without_context_has_the_text_view_alone(extractor: Extractor) -> None:
    for mention in extractor.extract([tweet(TEXTS[0])])[0]:
        assert set(mention.views) == {"text"}
        assert mention.views["text"].share == 1.0
        assert mention.views["text"].probability == pytest.approx(mention.probability, abs=1e-5)
        assert mention.views["text"].epistemic == pytest.approx(mention.epistemic, abs=1e-5)


def test_a_checkpoint_can_be_read_by_some_of_its_views(extractor: Extractor) -> None:
    given = tweet(TEXTS[0], "two men playing basketball")
    both = extractor.extract([given])[0]
    for view in ("text", "text+context"):
        alone = Extractor.load(str(CHECKPOINT), device="cpu", views=[view]).extract([given])[0]
        assert {name for mention in alone for name in mention.views} == {view}
        for one, other in zip(alone, both, strict=True):
            assert one.probability == pytest.approx(other.views[view].probability, abs=1e-5)


def test_with_context_two_views_share_the_evidence(extractor: Extractor) -> None:
    for mention in extractor.extract([tweet(TEXTS[0], "two men playing basketball")])[0]:
        assert set(mention.views) == {"text", "text+context"}
        assert sum(view.share for view in mention.views.values()) == pytest.approx(1.0, abs=2e-6)


def test_company_and_padding_change_no_prediction(extractor: Extractor) -> None:
    contexts = ["a basketball player", None, None, "a shop", None]
    together = extractor.extract([tweet(text) for text in [*TEXTS, "word " * 200]], [*contexts, None])
    alone = [extractor.extract([tweet(text)], [context])[0] for text, context in zip(TEXTS, contexts, strict=True)]
    for first, second in zip(together[: len(TEXTS)], alone, strict=True):
        assert [(one.start, one.end, one.type) for one in first] == [(one.start, one.end, one.type) for one in second]
        for one, two in zip(first, second, strict=True):
            assert one.probability == pytest.approx(two.probability, abs=2e-5)
            assert one.epistemic == pytest.approx(two.epistemic, abs=2e-5)


def test_company_changes_no_temperature(extractor: Extractor) -> None:
    """A tweet with a context among tweets without: each fused belief has the temperature of its own kind, and each
    view's own belief that of a single one."""
    old = extractor.predictor
    info = old.info.model_copy(update={"temperature": Temperatures(single=1.0, joined=9.0)})
    both = Extractor(extractor.tokenizer, Predictor(old.network, info, old.device))
    text = "Steph Curry was born in Akron"
    alone, seen, other = both.extract([tweet(text), tweet(text, "a man plays basketball"), tweet(text)])
    assert [one.probability for one in other] == pytest.approx([one.probability for one in alone], abs=1e-4)
    assert [one.views["text"].probability for one in seen] == pytest.approx(
        [one.probability for one in alone], abs=1e-4
    )
    assert all(one.probability < 0.8 < max(view.probability for view in one.views.values()) for one in seen)


def test_the_same_batch_twice_gives_the_same_bytes(extractor: Extractor) -> None:
    tweets = [tweet(text) for text in TEXTS]
    assert extractor.extract(tweets) == extractor.extract(tweets)


def test_threads_may_share_an_extractor(extractor: Extractor) -> None:
    expected = [extractor.extract([tweet(text)])[0] for text in TEXTS]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda text: extractor.extract([tweet(text)])[0], TEXTS * 4))
    assert found == expected * 4


def test_nothing_in_nothing_out(extractor: Extractor) -> None:
    assert extractor.extract([]) == []
    assert extractor.predictor.predict([]) == []
    nothing = Encoded((), (), None, (), ())
    assert extractor.predictor.predict([nothing, nothing]) == [Prediction()] * 2


def test_what_was_not_chosen_is_given_from_a_threshold_of_ones_own(extractor: Extractor) -> None:
    asking = Extractor.load(CHECKPOINT, device="cpu", candidate_threshold=LOW)
    tweets = [tweet(text) for text in TEXTS]
    found = asking.extract_all(tweets)
    assert [one.mentions for one in found] == extractor.extract(tweets)
    assert any(one.candidates for one in found)
    for post, (chosen, candidates, *_) in zip(tweets, found, strict=True):
        Extraction(
            tweet=post, mentions=chosen, candidates=candidates, model="m", model_version=0, threshold=0.5
        )  # checks every span
        probabilities = [mention.probability for mention in candidates]
        assert probabilities == sorted(probabilities, reverse=True)
        assert all(probability >= LOW for probability in probabilities)
        assert not {(m.start, m.end, m.type) for m in candidates} & {(m.start, m.end, m.type) for m in chosen}
    none = Extractor.load(CHECKPOINT, device="cpu", candidate_threshold=1.0).extract_all(tweets)
    assert not any(one.candidates for one in none)


def test_a_threshold_of_possible_mentions_that_is_no_probability_is_told(copy: Path) -> None:
    for wrong in (0.0, 1.5, float("nan")):
        with pytest.raises(UserError, match="wanted a probability above 0, at most 1"):
            Extractor.load(CHECKPOINT, device="cpu", candidate_threshold=wrong)
    config = json.loads((copy / "config.json").read_text()) | {"candidate_threshold": 0.0}
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=r"config.json is broken: candidate_threshold: Input should be greater than 0"):
        describe(copy)


async def test_the_process_predicts_what_the_extractor_does() -> None:
    extractor = Extractor.load(CHECKPOINT, device="cpu", candidate_threshold=LOW)
    encoded = [extractor.tokenizer.encode(text, None) for text in TEXTS]
    worker = ModelProcess("model.predictor:load", CHECKPOINT, "cpu", 0, 60.0, LOW)
    try:
        predictions = await worker.infer(encoded)
    finally:
        await worker.close()
    found = [
        Extracted(list(mentions(text, prediction)), list(candidate_mentions(text, prediction)), prediction.typicality)
        for text, prediction in zip(TEXTS, predictions, strict=True)
    ]
    assert found == extractor.extract_all([tweet(text) for text in TEXTS])


def test_batches_keep_the_budget_and_lose_nothing() -> None:
    encoded = [Encoded((1,) * length, (0,) * length, None, (), ()) for length in (50, 3, 8, 8, 300, 1)]
    found = list(batches(encoded, 100))
    assert sorted(index for batch in found for index in batch) == list(range(6))
    assert all(len(batch) == 1 or max(encoded[index].cost for index in batch) * len(batch) <= 100 for batch in found)


@pytest.mark.parametrize(
    ("alts", "expected"),
    [
        pytest.param([], None, id="no media"),
        pytest.param([None, " \n "], None, id="nobody wrote anything"),
        pytest.param(["a dog\n runs", None, "a cat"], "a dog runs . a cat", id="joined"),
        pytest.param(["x" * 4000], "x" * 256, id="bounded"),
    ],
)
def test_visual_context(alts: list[str | None], expected: str | None) -> None:
    media = tuple(Media(url="http://pictures.test/1.jpg", alt=alt) for alt in alts)
    assert visual_context(Tweet(id="1", text="x", media=media)) == expected


def test_describing_a_checkpoint_and_encoding_for_it_imports_no_torch() -> None:
    code = (
        "import sys, pathlib, model.checkpoint, model.tokens, model.mentions, model.context, model.worker;"
        f"p = pathlib.Path({str(CHECKPOINT)!r});"
        "model.checkpoint.describe(p); model.tokens.TweetTokenizer.load(p).encode('Paris', None);"
        "sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_shipped_checkpoint_describes_itself() -> None:
    info = describe(CHECKPOINT)
    assert info.design.views[:2] == ("text", "text+context")
    assert 0 < info.threshold < 1
    assert info.model_version > 1_700_000_000
    size = sum(path.stat().st_size for path in CHECKPOINT.iterdir())
    assert size <= 50_000_000


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(CHECKPOINT, tmp_path / "checkpoint"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        pytest.param("config.json", None, "config.json is missing", id="no configuration"),
        pytest.param("config.json", b"{", "config.json is broken: event: Invalid JSON", id="configuration cut off"),
        pytest.param("config.json", b'{"name": "x"}', "model_version: Field required", id="fields missing"),
        pytest.param("model.safetensors", None, "model.safetensors is missing", id="no weights"),
        pytest.param("model.safetensors", b"\x00" * 99, "model.safetensors is broken", id="broken weights"),
        pytest.param("tokenizer.json", None, "tokenizer.json is missing", id="no tokenizer"),
        pytest.param("tokenizer.json", b"[]", "broken tokenizer", id="broken tokenizer"),
    ],
)
def test_a_broken_checkpoint_is_told_in_one_line(copy: Path, name: str, content: bytes | None, message: str) -> None:
    (copy / name).unlink()
    if content is not None:
        (copy / name).write_bytes(content)
    with pytest.raises(UserError, match=message) as error:
        Extractor.load(copy, device="cpu")
    assert "\n" not in str(error.value)


def test_a_missing_folder_is_told_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no model checkpoint in .*mner train"):
        describe(tmp_path / "nowhere")
