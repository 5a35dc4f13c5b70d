"""The choice between torch and int8, and how a checkpoint and an extraction record it."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import UserError
from core.events import Extraction, Runtime, Tweet
from model import worker
from model.checkpoint import CheckpointInfo, Int8, Temperatures, describe, write_config
from model.design import RuntimeChoice
from model.extractor import Extractor
from model.runtime import choose, choose_here, has_vnni
from model.worker import ModelProcess
from streams.settings import CHECKPOINT

INTEL = "processor\t: 0\nflags\t\t: fpu avx2 avx512f avx512_vnni\nbugs\t\t: none\n"
CLIENT = "processor\t: 0\nflags\t\t: fpu avx2 avx_vnni\n"
OLDER = "processor\t: 0\nmodel name\t: a CPU with avx512_vnni in its name\nflags\t\t: fpu avx2 avx512f avx512_vnni_x\n"
INT8 = Int8(
    sha256="0" * 64,
    threshold=0.81,
    target_precision=0.9,
    temperature=Temperatures(single=1.7, joined=2.5),
    candidate_threshold=0.33,
    delta=0.1,
)


@pytest.fixture
def info() -> CheckpointInfo:
    return describe(CHECKPOINT).model_copy(update={"int8": INT8})


@pytest.mark.parametrize(("cpuinfo", "has"), [(INTEL, True), (CLIENT, True), (OLDER, False), ("", False)])
def test_vnni_is_read_from_the_flags(cpuinfo: str, has: bool) -> None:
    assert has_vnni(cpuinfo) == has


@pytest.mark.parametrize(
    ("choice", "stored", "on_cpu", "cpuinfo", "expected"),
    [
        pytest.param("auto", True, True, INTEL, "int8", id="VNNI"),
        pytest.param("auto", True, True, OLDER, "torch", id="no VNNI"),
        pytest.param("auto", False, True, INTEL, "torch", id="not quantised"),
        pytest.param("auto", True, False, INTEL, "torch", id="on a GPU"),
        pytest.param("int8", True, True, OLDER, "int8", id="asked for"),
        pytest.param("torch", True, True, INTEL, "torch", id="refused"),
    ],
)
def test_auto_takes_int8_on_a_cpu_with_vnni(
    choice: RuntimeChoice, stored: bool, on_cpu: bool, cpuinfo: str, expected: str
) -> None:
    assert choose(choice, stored=stored, on_cpu=on_cpu, cpuinfo=cpuinfo) == expected


def test_int8_that_cannot_run_says_what_to_do(info: CheckpointInfo) -> None:
    with pytest.raises(UserError, match="no int8 layers; quantise it, or choose torch"):
        choose_here("int8", describe(CHECKPOINT), "cpu")
    with pytest.raises(UserError, match="choose the device cpu, or the runtime torch"):
        choose_here("int8", info, "cuda")
    assert choose_here("auto", info, "cuda") == "torch"
    with pytest.raises(UserError, match="no int8 layers"):
        Extractor.load(CHECKPOINT, device="cpu", runtime="int8")


def test_int8_brings_its_own_thresholds_and_is_never_stored_as_those_of_torch(
    info: CheckpointInfo, tmp_path: Path
) -> None:
    running = info.running("int8")
    assert (running.runtime, running.threshold, running.candidate_threshold) == ("int8", 0.81, 0.33)
    assert running.temperature == INT8.temperature
    assert info.running("torch") is info
    write_config(tmp_path, info)
    assert CheckpointInfo.model_validate_json((tmp_path / "config.json").read_bytes()) == info
    assert '"runtime"' not in (tmp_path / "config.json").read_text(encoding="utf-8")


def test_a_runtime_goes_with_some_of_the_views(info: CheckpointInfo) -> None:
    running = info.running("int8")
    assert info.reading(["text"]).running("int8") == running.reading(["text"])
    assert (running.reading(["text"]).threshold, running.reading(["text"]).runtime) == (0.81, "int8")


def test_a_checkpoint_without_int8_is_written_as_before(tmp_path: Path) -> None:
    write_config(tmp_path, describe(CHECKPOINT))
    assert '"int8"' not in (tmp_path / "config.json").read_text(encoding="utf-8")


def test_an_extraction_names_its_runtime_unless_it_is_torch() -> None:
    made = Extraction(tweet=Tweet(id="1", text="x"), model="m", model_version=1, threshold=0.5)
    assert "runtime" not in made.model_dump_json()
    assert Extraction.model_validate_json(made.model_dump_json()).runtime == "torch"
    int8 = made.model_copy(update={"runtime": "int8"})
    assert Extraction.model_validate_json(int8.model_dump_json()) == int8


@pytest.mark.parametrize(
    ("runtime", "change", "refused"),
    [
        pytest.param("torch", {"int8": None}, False, id="torch, and int8 is gone"),
        pytest.param("torch", {"int8": INT8.model_copy(update={"threshold": 0.5})}, False, id="torch, another int8"),
        pytest.param("torch", {"threshold": 0.123}, True, id="torch, calibrated anew"),
        pytest.param("int8", {}, False, id="int8, unchanged"),
        pytest.param("int8", {"int8": None}, True, id="int8, which is gone"),
        pytest.param("int8", {"int8": INT8.model_copy(update={"sha256": "1" * 64})}, True, id="int8, other layers"),
        pytest.param("int8", {"threshold": 0.123}, False, id="int8, torch calibrated anew"),
    ],
)
def test_a_fresh_process_is_refused_when_its_own_runtime_has_changed(
    info: CheckpointInfo, monkeypatch: pytest.MonkeyPatch, runtime: Runtime, change: dict[str, object], refused: bool
) -> None:
    process = ModelProcess("module:load", CHECKPOINT, "cpu", 1, 1.0, info=info.running(runtime))
    monkeypatch.setattr(worker, "describe", lambda _: info.model_copy(update=change))
    assert (process._refusal() is not None) == refused


@pytest.mark.parametrize(("runtime", "expected"), [("torch", {}), ("int8", {"runtime": "int8"})])
def test_the_model_process_is_told_its_runtime(info: CheckpointInfo, runtime: str, expected: dict[str, str]) -> None:
    own = info.running("int8") if runtime == "int8" else info
    process = ModelProcess("module:load", CHECKPOINT, "cpu", 1, 1.0, info=own)
    assert process._config == (CHECKPOINT, expected)
