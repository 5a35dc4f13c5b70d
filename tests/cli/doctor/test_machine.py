"""The checks of `mner doctor` that need no server: the checkpoint and its runtime."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.doctor import checks, machine
from cli.doctor.finding import Finding
from model.checkpoint import Int8, Temperatures, describe, write_config
from streams.settings import CHECKPOINT, Settings
from tests.model.cascades import COPY, write_twice


@pytest.fixture
def config(tmp_path: Path) -> Settings:
    """Settings with a checkpoint that has an int8 runtime, on the CPU."""
    shutil.copytree(CHECKPOINT, tmp_path, dirs_exist_ok=True)
    int8 = Int8(
        sha256="0" * 64,
        threshold=0.81,
        target_precision=0.9,
        temperature=Temperatures.same(1.7),
        candidate_threshold=0.33,
    )
    write_config(tmp_path, describe(tmp_path).model_copy(update={"int8": int8}))
    return Settings(_env_file=None, model=tmp_path, device="cpu", runtime="int8")


def test_the_checkpoint_has_the_threshold_of_its_runtime(config: Settings) -> None:
    found = machine.checkpoint(config)
    assert found.level == "ok"
    assert found.detail.endswith(", runtime int8, threshold 0.81")
    found = machine.checkpoint(config.model_copy(update={"runtime": "torch"}))
    assert found.detail.endswith(f", threshold {describe(CHECKPOINT).threshold:.2f}")
    assert "runtime" not in found.detail


@pytest.mark.parametrize("check", [machine.checkpoint, machine.model])
def test_a_runtime_that_the_checkpoint_lacks_is_broken(check: Callable[[Settings], Finding], config: Settings) -> None:
    without = config.model_copy(update={"model": CHECKPOINT})
    (finding,) = checks.run_check("model", lambda: [check(without)])
    assert finding.level == "broken"
    assert finding.detail.startswith("MNER_RUNTIME: the runtime is int8, but the checkpoint has no int8 layers")


def test_a_cascade_is_named_with_its_checkpoints(tmp_path: Path) -> None:
    file = tmp_path / "twice.json"
    write_twice(file, threshold=0.66)
    config = Settings(_env_file=None, cascade=file, device="cpu", model_factory="tests.model.stub_model:load_unsure")
    found = machine.checkpoint(config)
    assert found.detail.startswith(
        f"twice, cascade of {describe(CHECKPOINT).name} (torch), {COPY} (torch), calibrated 20"
    )
    assert found.detail.endswith(", threshold 0.66")
    assert machine.model(config).level == "ok"
    file.unlink()
    (finding,) = checks.run_check("checkpoint", lambda: [machine.checkpoint(config)])
    assert (finding.level, finding.detail.partition(":")[0]) == ("broken", "MNER_CASCADE")
