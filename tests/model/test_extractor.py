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
from core.events import Extraction, Media, Runtime, Tweet
from model.batch import batches
from model.checkpoint import CARD, Temperatures, describe
from model.context import visual_context
from model.extractor import Extracted, Extractor
from model.mentions import Prediction, candidate_mentions, mentions
from model.predictor import Predictor
from model.tokens import Encoded
from model.worker import ModelProcess
from streams.settings import CHECKPOINT

FAST = CHECKPOINT.with_name("checkpoint-fast")
SHIPPED = (CHECKPOINT, FAST, CHECKPOINT.with_name("checkpoint-large"))

TEXTS = [
    "Steph Curry and LeBron James meet in Paris",
    "no name in here at all",
    "#NBA finals: Golden State Warriors vs Cleveland ❤️ http://t.co/abc",
    "AT&amp;T opens a store in New York",
    "💯",
]

LOW = 0.02
"""Every text has spans with this probability."""


def tweet(text: str, alt: str | None = None) -> Tweet:
    media = (Media(url="http://images.test/1.jpg", alt=alt),) if alt else ()
    return Tweet(id="1", text=text, media=media)


def test_plain_names_are_found_with_type_and_span(extractor: Extractor) -> None:
    extracted = extractor.extract([tweet(TEXTS[0])])[0]
    assert [(mention.text, mention.type) for mention in extracted] == [
        ("Steph Curry", "PER"),
        ("LeBron James", "PER"),
        ("Paris", "LOC"),
    ]


@given(text=st.text(min_size=1, max_size=40).filter(str.strip))
@hypothesis_settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_mentions_of_any_text_are_slices_of_it(extractor: Extractor, text: str) -> None:
    post = tweet(f"Paris {text} New York")
    extracted = tuple(extractor.extract([post])[0])
    Extraction(tweet=post, mentions=extracted, model="m", model_version=0, threshold=0.5)  # checks every span


def test_a_post_without_context_has_only_the_text_view(extractor: Extractor) -> None:
    for mention in extractor.extract([tweet(TEXTS[0])])[0]:
        assert set(mention.views) == {"text"}
        assert mention.views["text"].share == 1.0
        assert mention.views["text"].probability == pytest.approx(mention.probability, abs=1e-5)
        assert mention.views["text"].epistemic == pytest.approx(mention.epistemic, abs=1e-5)


def test_a_checkpoint_can_be_restricted_to_some_of_its_views(extractor: Extractor) -> None:
    post = tweet(TEXTS[0], "two men playing basketball")
    fused = extractor.extract([post])[0]
    for view in ("text", "text+context"):
        alone = Extractor.load(str(CHECKPOINT), device="cpu", views=[view]).extract([post])[0]
        assert {name for mention in alone for name in mention.views} == {view}
        for single, both in zip(alone, fused, strict=True):
            assert single.probability == pytest.approx(both.views[view].probability, abs=1e-5)


def test_with_context_two_views_share_the_evidence(extractor: Extractor) -> None:
    for mention in extractor.extract([tweet(TEXTS[0], "two men playing basketball")])[0]:
        assert set(mention.views) == {"text", "text+context"}
        assert sum(view.share for view in mention.views.values()) == pytest.approx(1.0, abs=2e-6)


def test_padding_and_other_posts_change_no_prediction(extractor: Extractor) -> None:
    contexts = ["a basketball player", None, None, "a shop", None]
    together = extractor.extract([tweet(text) for text in [*TEXTS, "word " * 200]], [*contexts, None])
    alone = [extractor.extract([tweet(text)], [context])[0] for text, context in zip(TEXTS, contexts, strict=True)]
    for batched, single in zip(together[: len(TEXTS)], alone, strict=True):
        assert [(m.start, m.end, m.type) for m in batched] == [(m.start, m.end, m.type) for m in single]
        for first, second in zip(batched, single, strict=True):
            assert first.probability == pytest.approx(second.probability, abs=2e-5)
            assert first.epistemic == pytest.approx(second.epistemic, abs=2e-5)


def test_each_post_of_a_batch_has_the_temperature_of_its_kind(extractor: Extractor) -> None:
    """Only the fused belief of the post with a context has the temperature `joined`."""
    old = extractor.predictor
    info = old.info.model_copy(update={"temperature": Temperatures(single=1.0, joined=9.0)})
    both = Extractor(extractor.tokenizer, Predictor(old.network, info, old.device))
    text = "Steph Curry was born in Akron"
    first, fused, last = both.extract([tweet(text), tweet(text, "a man plays basketball"), tweet(text)])
    alone = [mention.probability for mention in first]
    assert [mention.probability for mention in last] == pytest.approx(alone, abs=1e-4)
    assert [mention.views["text"].probability for mention in fused] == pytest.approx(alone, abs=1e-4)
    assert all(m.probability < 0.8 < max(view.probability for view in m.views.values()) for m in fused)


def test_predictions_are_deterministic(extractor: Extractor) -> None:
    tweets = [tweet(text) for text in TEXTS]
    assert extractor.extract(tweets) == extractor.extract(tweets)


def test_threads_may_share_an_extractor(extractor: Extractor) -> None:
    expected = [extractor.extract([tweet(text)])[0] for text in TEXTS]
    with ThreadPoolExecutor(4) as pool:
        extracted = list(pool.map(lambda text: extractor.extract([tweet(text)])[0], TEXTS * 4))
    assert extracted == expected * 4


def test_empty_batches_and_empty_posts_give_empty_results(extractor: Extractor) -> None:
    assert extractor.extract([]) == []
    assert extractor.predictor.predict([]) == []
    nothing = Encoded((), (), None, (), ())
    assert extractor.predictor.predict([nothing, nothing]) == [Prediction()] * 2


def test_candidates_have_at_least_the_probability_of_the_given_threshold(extractor: Extractor) -> None:
    asking = Extractor.load(CHECKPOINT, device="cpu", candidate_threshold=LOW)
    tweets = [tweet(text) for text in TEXTS]
    results = asking.extract_all(tweets)
    assert [result.mentions for result in results] == extractor.extract(tweets)
    assert any(result.candidates for result in results)
    for post, (chosen, candidates, *_) in zip(tweets, results, strict=True):
        Extraction(  # checks every span
            tweet=post,
            mentions=tuple(chosen),
            candidates=tuple(candidates),
            model="m",
            model_version=0,
            threshold=0.5,
        )
        probabilities = [mention.probability for mention in candidates]
        assert probabilities == sorted(probabilities, reverse=True)
        assert all(probability >= LOW for probability in probabilities)
        assert not {(m.start, m.end, m.type) for m in candidates} & {(m.start, m.end, m.type) for m in chosen}
    none = Extractor.load(CHECKPOINT, device="cpu", candidate_threshold=1.0).extract_all(tweets)
    assert not any(result.candidates for result in none)


def test_a_candidate_threshold_that_is_not_a_probability_is_refused(copy: Path) -> None:
    for wrong in (0.0, 1.5, float("nan")):
        with pytest.raises(UserError, match="choose a probability above 0 and at most 1"):
            Extractor.load(CHECKPOINT, device="cpu", candidate_threshold=wrong)
    config = json.loads((copy / "config.json").read_text()) | {"candidate_threshold": 0.0}
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=r"config.json is broken: candidate_threshold: Input should be greater than 0"):
        describe(copy)


async def test_the_process_predicts_the_same_as_the_extractor() -> None:
    extractor = Extractor.load(CHECKPOINT, device="cpu", candidate_threshold=LOW)
    encoded = [extractor.tokenizer.encode(text, None) for text in TEXTS]
    worker = ModelProcess("model.predictor:load", CHECKPOINT, "cpu", 0, 60.0, LOW)
    try:
        predictions = await worker.infer(encoded)
    finally:
        await worker.close()
    results = [
        Extracted(list(mentions(text, prediction)), list(candidate_mentions(text, prediction)), prediction.typicality)
        for text, prediction in zip(TEXTS, predictions, strict=True)
    ]
    assert results == extractor.extract_all([tweet(text) for text in TEXTS])


def test_batches_stay_within_the_budget_and_hold_every_post() -> None:
    costs = [52, 5, 10, 10, 302, 3]
    parts = list(batches(costs, 100))
    assert sorted(index for part in parts for index in part) == list(range(6))
    assert all(len(part) == 1 or max(costs[index] for index in part) * len(part) <= 100 for part in parts)


@pytest.mark.parametrize(
    ("alts", "expected"),
    [
        pytest.param([], None, id="no media"),
        pytest.param([None, " \n "], None, id="nothing but blanks"),
        pytest.param(["a dog\n runs", None, "a cat"], "a dog runs . a cat", id="joined"),
        pytest.param(["x" * 4000], "x" * 256, id="bounded"),
    ],
)
def test_visual_context(alts: list[str | None], expected: str | None) -> None:
    media = tuple(Media(url="http://images.test/1.jpg", alt=alt) for alt in alts)
    assert visual_context(Tweet(id="1", text="x", media=media)) == expected


def test_describing_a_checkpoint_and_encoding_for_it_imports_no_torch() -> None:
    code = (
        "import sys, pathlib, model.checkpoint, model.tokens, model.mentions, model.context, model.worker;"
        f"p = pathlib.Path({str(CHECKPOINT)!r});"
        "model.checkpoint.describe(p); model.tokens.TweetTokenizer.load(p).encode('Paris', None);"
        "sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("folder", SHIPPED, ids=[folder.name for folder in SHIPPED])
def test_the_shipped_checkpoints_describe_themselves(folder: Path) -> None:
    info = describe(folder)
    assert info.design.views[:2] == ("text", "text+context")
    assert 0 < info.threshold < 1
    assert info.model_version > 1_700_000_000
    assert (folder / CARD).is_file()
    size = sum(path.stat().st_size for path in folder.iterdir())
    assert size <= 6_000_000


@pytest.mark.parametrize("runtime", ["torch", "int8"])
def test_the_fast_checkpoint_has_two_layers_and_finds_names(runtime: Runtime) -> None:
    extractor = Extractor.load(FAST, device="cpu", threads=1, runtime=runtime)
    assert extractor.info.encoder["num_hidden_layers"] == 2
    post = Tweet(id="1", text="Angela Merkel opens the Elbphilharmonie in Hamburg")
    (found,) = extractor.extract([post])
    assert [(each.text, each.type) for each in found if each.type in ("PER", "LOC")] == [
        ("Angela Merkel", "PER"),
        ("Hamburg", "LOC"),
    ]


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
def test_a_broken_checkpoint_raises_an_error_of_one_line(
    copy: Path, name: str, content: bytes | None, message: str
) -> None:
    (copy / name).unlink()
    if content is not None:
        (copy / name).write_bytes(content)
    with pytest.raises(UserError, match=message) as error:
        Extractor.load(copy, device="cpu")
    assert "\n" not in str(error.value)


def test_the_error_for_a_missing_folder_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no model checkpoint in .*train a checkpoint"):
        describe(tmp_path / "nowhere")
