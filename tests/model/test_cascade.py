"""A cascade: which posts go on, who answers, and what its file says. The checkpoints are stubs here."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import BatchFailed, ProcessDied, UserError
from core.events import Account
from model import predictor
from model.cascade import CascadePredictor, CascadeTokenizer, doubt, load
from model.cascade_file import CascadeInfo, Stage, check_together, read_cascade, stage_of, write_cascade
from model.checkpoint import CheckpointInfo, Int8, Temperatures, describe, describe_with_digest, write_config
from model.design import Design
from model.mentions import Prediction, Span
from model.tokens import Encoded, TweetTokenizer
from model.worker import CascadeProcess, ModelProcess, TaggerProcess
from streams.settings import CHECKPOINT
from tests.model.cascades import write_twice
from tests.model.stub_model import RAISE

LIMITS = [0.3, 0.6]


def span(probability: float) -> Span:
    return Span(0, 1, "PER", probability, 0.1, 0.2, {})


def post(*texts: int) -> Encoded:
    """A post with a subword for each checkpoint. It says how many hundredths of doubt that checkpoint has."""
    first, *later = (Encoded((text,), (0,), None, (0,), ((0, 1),)) for text in texts)
    return replace(first, later=tuple(later))


class Stub:
    """Predicts one mention with the doubt that a post's subword says. Notes what it read."""

    def __init__(self) -> None:
        self.read: list[int] = []

    def predict(self, batch: Sequence[Encoded]) -> list[Prediction]:
        assert batch, "no checkpoint is asked to read nothing"
        texts = [encoded.text[0] for encoded in batch]
        if RAISE in texts:
            raise ValueError("no")
        self.read += texts
        return [Prediction((span(1 - text / 100),), (span(text / 200),), typicality=0.5) for text in texts]


def cascade(stubs: Sequence[Stub], candidate_threshold: float = 0.05) -> CascadePredictor:
    return CascadePredictor(stubs, LIMITS[: len(stubs) - 1], candidate_threshold)


@pytest.mark.parametrize(
    ("prediction", "expected"),
    [
        pytest.param(Prediction(), 0.0, id="nothing found"),
        pytest.param(Prediction((span(0.75), span(0.5))), 0.5, id="the least sure mention"),
        pytest.param(Prediction((span(0.75),), (span(0.5), span(0.125))), 0.5, id="the likeliest candidate"),
        pytest.param(Prediction(read=False), 0.0, id="not read"),
    ],
)
def test_a_post_is_in_doubt_where_its_checkpoint_is_least_sure(prediction: Prediction, expected: float) -> None:
    assert doubt(prediction) == expected


def test_each_checkpoint_reads_what_the_one_before_doubts() -> None:
    stubs = [Stub(), Stub(), Stub()]
    found = cascade(stubs).predict([post(10, 11, 12), post(50, 21, 22), post(50, 71, 32), post(29, 41, 42)])
    assert [stub.read for stub in stubs] == [[10, 50, 50, 29], [21, 71], [32]]
    assert [each.stage for each in found] == [0, 1, 2, 0]
    assert [round(100 * doubt(each)) for each in found] == [10, 21, 32, 29], "in order, and whole"


def test_candidates_that_only_count_as_doubt_are_left_out() -> None:
    found = cascade([Stub(), Stub()], candidate_threshold=0.2).predict([post(20, 0), post(90, 50)])
    assert [len(each.candidates) for each in found] == [0, 1]


TEXTS = st.integers(min_value=7, max_value=99)  # lower ones are orders to the stub


@given(st.lists(st.tuples(TEXTS, TEXTS, TEXTS), min_size=1, max_size=20), st.integers())
def test_a_post_has_the_same_answer_alone_and_in_any_batch(texts: list[tuple[int, int, int]], seed: int) -> None:
    posts = [post(*each) for each in texts]
    alone = [cascade([Stub(), Stub(), Stub()]).predict([each])[0] for each in posts]
    order = random.Random(seed).sample(range(len(posts)), len(posts))
    together = cascade([Stub(), Stub(), Stub()]).predict([posts[place] for place in order])
    assert together == [alone[place] for place in order]


def test_an_empty_batch_is_read_as_by_one_checkpoint() -> None:
    class Empty(Stub):
        def predict(self, batch: Sequence[Encoded]) -> list[Prediction]:
            return [] if not batch else super().predict(batch)

    assert cascade([Empty(), Stub()]).predict([]) == []


# The file


def info(**changes: Any) -> CascadeInfo:
    stage = Stage(folder="a", name="a", model_version=1, sha256="0" * 64, limit=0.3)
    fields: dict[str, Any] = {
        "name": "mine",
        "model_version": 2,
        "threshold": 0.7,
        "target_precision": 0.9,
        "delta": 0.1,
        "candidate_threshold": 0.25,
        "stages": (stage, stage.model_copy(update={"limit": None})),
    }
    return CascadeInfo(**fields | changes)


def checkpoint(folder: Path, **changes: Any) -> CheckpointInfo:
    """Writes the folder of a checkpoint without weights."""
    folder.mkdir(parents=True)
    own = describe(CHECKPOINT).model_copy(update={"name": folder.name, **changes})
    write_config(folder, own)
    (folder / "model.safetensors").touch()
    (folder / "tokenizer.json").write_bytes((CHECKPOINT / "tokenizer.json").read_bytes())
    return own


def stage(folder: Path, own: CheckpointInfo, limit: float | None, file: Path) -> Stage:
    """A stage with the digest that the checkpoint has now."""
    return stage_of(folder, own, describe_with_digest(folder)[1], limit, file)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A cascade of the checkpoints `small` and `large`."""
    path = tmp_path / "runs" / "mine.json"
    small, large = checkpoint(tmp_path / "small"), checkpoint(tmp_path / "large", model_version=7)
    path.parent.mkdir()
    stages = stage(tmp_path / "small", small, 0.3, path), stage(tmp_path / "large", large, None, path)
    write_cascade(path, info(stages=stages))
    return path


def test_a_cascade_counts_as_one_checkpoint(file: Path) -> None:
    cascade = read_cascade(file, "cpu")
    assert [each.name for each in cascade.checkpoints] == ["small", "large"]
    assert cascade.limits == [0.3]
    whole = cascade.as_checkpoint
    assert (whole.name, whole.model_version, whole.threshold, whole.target_precision) == ("mine", 2, 0.7, 0.9)
    assert (whole.delta, whole.candidate_threshold) == (0.1, 0.25)


def test_the_file_moves_with_its_checkpoints(file: Path, tmp_path: Path) -> None:
    moved = tmp_path.parent / f"{tmp_path.name}-moved"
    tmp_path.rename(moved)
    assert len(read_cascade(moved / "runs" / "mine.json", "cpu").folders) == 2
    moved.rename(tmp_path)


def test_a_checkpoint_that_was_calibrated_anew_is_refused(file: Path, tmp_path: Path) -> None:
    own = describe(tmp_path / "large")
    write_config(tmp_path / "large", own.model_copy(update={"temperature": Temperatures.same(9.0)}))
    with pytest.raises(UserError, match=r"mine\.json: stages\.1: the checkpoint .*large has changed .* anew"):
        read_cascade(file, "cpu")


def test_a_checkpoint_that_is_gone_is_named(file: Path, tmp_path: Path) -> None:
    (tmp_path / "small" / "config.json").unlink()
    with pytest.raises(UserError, match=r"mine\.json: stages\.0: no model checkpoint in .*small"):
        read_cascade(file, "cpu")


def test_a_runtime_that_a_checkpoint_lacks_is_refused(file: Path) -> None:
    fields = json.loads(file.read_bytes())
    fields["stages"][0]["runtime"] = "int8"
    file.write_text(json.dumps(fields), encoding="utf-8")
    with pytest.raises(UserError, match=r"stages\.0: the runtime is int8, but the checkpoint has no int8 layers"):
        read_cascade(file, "cpu")


def test_each_checkpoint_has_the_values_of_its_runtime(tmp_path: Path) -> None:
    int8 = Int8(
        sha256="0" * 64,
        threshold=0.81,
        target_precision=0.9,
        temperature=Temperatures.same(1.7),
        candidate_threshold=0.33,
    )
    small = checkpoint(tmp_path / "small", int8=int8).running("int8")
    large = checkpoint(tmp_path / "large")
    path = tmp_path / "mine.json"
    stages = stage(tmp_path / "small", small, 0.3, path), stage(tmp_path / "large", large, None, path)
    write_cascade(path, info(stages=stages))
    found = read_cascade(path, "cpu").checkpoints
    assert [each.runtime for each in found] == ["int8", "torch"]
    assert found[0].temperature == int8.temperature


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        pytest.param([None], "stages: Tuple should have at least 2 items", id="one"),
        pytest.param([0.3, 0.3, 0.3, None], "stages: Tuple should have at most 3 items", id="four"),
        pytest.param([0.3, 0.3], "limit: give one to each stage but the last", id="the last has a limit"),
        pytest.param([None, None], "limit: give one to each stage but the last", id="the first has none"),
    ],
)
def test_a_broken_file_is_refused(file: Path, limits: list[float | None], message: str) -> None:
    fields = json.loads(file.read_bytes())
    fields["stages"] = [fields["stages"][0] | {"limit": limit} for limit in limits]
    file.write_text(json.dumps(fields), encoding="utf-8")
    with pytest.raises(UserError, match=message):
        read_cascade(file, "cpu")
    with pytest.raises(UserError, match="no cascade in"):
        read_cascade(file.with_name("nowhere.json"), "cpu")


def test_checkpoints_that_read_different_views_do_not_go_together() -> None:
    one = describe(CHECKPOINT)
    other = one.model_copy(update={"name": "other", "design": Design(views=("text",))})
    check_together([one, one.model_copy(update={"name": "other"})])
    with pytest.raises(UserError, match=r"minilm-evidential-3 reads text, text\+context; other reads text$"):
        check_together([one, other])
    with pytest.raises(UserError, match="cannot read images"):
        check_together([one.model_copy(update={"vision": "x"})])


def test_two_checkpoints_of_one_name_do_not_go_together(file: Path, tmp_path: Path) -> None:
    one = describe(CHECKPOINT)
    other = one.model_copy(update={"design": Design(views=("text",))})
    message = (
        r"name minilm-evidential-3: 2 checkpoints of the cascade have it, .*; change .name. in the config\.json of one"
    )
    with pytest.raises(UserError, match=message):
        check_together([one, other])
    large = describe(tmp_path / "large").model_copy(update={"name": "small"})
    write_config(tmp_path / "large", large)
    stages = read_stages(file)[0], stage(tmp_path / "large", large, None, file)
    write_cascade(file, info(stages=stages))
    with pytest.raises(UserError, match=r"mine\.json: name small: 2 checkpoints"):
        read_cascade(file, "cpu")


def read_stages(file: Path) -> tuple[Stage, ...]:
    return CascadeInfo.model_validate_json(file.read_bytes()).stages


def test_the_configuration_and_its_digest_are_of_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = checkpoint(tmp_path / "small")
    config, read = tmp_path / "small" / "config.json", Path.read_bytes
    before = config.read_bytes()

    def read_and_change(path: Path) -> bytes:
        result = read(path)
        path.write_text("{}", encoding="utf-8")
        return result

    monkeypatch.setattr(Path, "read_bytes", read_and_change)
    assert describe_with_digest(tmp_path / "small") == (own, hashlib.sha256(before).hexdigest())


# The process


@pytest.mark.parametrize(("wanted", "expected"), [(None, [0.25, 0.25]), (0.5, [0.3, 0.5]), (0.1, [0.1, 0.1])])
def test_a_checkpoint_finds_the_candidates_that_its_limit_needs(
    file: Path, wanted: float | None, expected: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def factory(name: str, folder: Path, **options: Any) -> Stub:
        asked.append(options["candidate_threshold"])
        return Stub()

    monkeypatch.setattr("model.cascade.call_factory", factory)
    load(file, device="cpu", threads=1, factory="a:b", candidate_threshold=wanted)
    assert asked == expected


def test_a_cascade_of_the_shipped_checkpoint_answers_as_that_checkpoint(tmp_path: Path) -> None:
    file = tmp_path / "twice.json"
    write_twice(file, candidate_threshold=0.35)
    options: dict[str, Any] = {"device": "cpu", "threads": 1}
    alone = predictor.load(CHECKPOINT, **options, candidate_threshold=0.35)
    twice = load(file, **options, factory="model.predictor:load")
    tokenizer = CascadeTokenizer.load(read_cascade(file, "cpu"))
    texts = ("Angela Merkel opens the Elbphilharmonie in Hamburg", "good morning", "Apple or apple at Wembley?", "😀")
    for text in texts:
        (one,), (other,) = alone.predict([tokenizer.encode(text, None)]), twice.predict([tokenizer.encode(text, None)])
        assert replace(other, stage=0) == one
    assert {each.stage for each in twice.predict([tokenizer.encode(text, None) for text in texts])} == {0, 1}


async def test_a_failure_of_a_later_checkpoint_fails_the_batch(file: Path) -> None:
    process = CascadeProcess("tests.model.stub_model:load_unsure", read_cascade(file, "cpu"), "cpu", 1, 30.0)
    try:
        assert [each.stage for each in await process.infer([post(100, 100)])] == [1]
        with pytest.raises(BatchFailed, match="cannot be predicted"):
            await process.infer([post(100, 100), post(100, RAISE)])
        assert len(await process.infer([post(100, 100)])) == 1, "the process goes on"
    finally:
        await process.close()


@pytest.mark.parametrize("cascaded", [True, False])
async def test_an_answer_of_a_checkpoint_that_is_not_there_is_a_fault_of_the_process(
    file: Path, tmp_path: Path, cascaded: bool
) -> None:
    factory = "tests.model.stub_model:load_beyond"
    process: TaggerProcess = ModelProcess(factory, tmp_path, "cpu", 1, 30.0)
    if cascaded:
        process = CascadeProcess(factory, read_cascade(file, "cpu"), "cpu", 1, 30.0)
    try:
        with pytest.raises(ProcessDied, match=r"sent an invalid reply and was killed: .*checkpoint 2"):
            await process.infer([post(50, 50)])
    finally:
        await process.close()


async def test_a_process_that_starts_with_another_calibration_is_refused(file: Path) -> None:
    process = CascadeProcess("tests.model.stub_model:load_unsure", read_cascade(file, "cpu"), "cpu", 1, 30.0)
    write_cascade(file, read_cascade(file, "cpu").info.model_copy(update={"threshold": 0.123}))
    try:
        with pytest.raises(UserError, match=r"the cascade .*mine\.json has changed since it was read"):
            await process.start()
    finally:
        await process.close()


# Posts


def test_a_post_is_encoded_for_each_checkpoint(file: Path) -> None:
    tokenizer = CascadeTokenizer.load(read_cascade(file, "cpu"))
    one = TweetTokenizer.load(CHECKPOINT)
    accounts = [Account(start=6, end=10, name="ann")]
    encoded = tokenizer.encode("Paris @ann", "a city", accounts)
    plain = one.encode("Paris @ann", "a city", accounts)
    assert encoded.stages == (replace(plain, later=(plain,)), plain)
