"""The promise of a checkpoint is read from its folder, without torch."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from shutil import copytree

import pytest

from core.errors import UserError
from model.checkpoint import CheckpointInfo, Promised, describe, promised, write_config
from streams.settings import CHECKPOINT
from tests.conftest import ROOT


def changed(tmp_path: Path, **update: object) -> Path:
    folder = copytree(CHECKPOINT, tmp_path / "checkpoint")
    write_config(folder, CheckpointInfo.model_validate(describe(folder).model_copy(update=update)))
    return folder


def test_the_promise_is_that_of_the_configuration(tmp_path: Path) -> None:
    folder = changed(tmp_path, target_precision=0.93, threshold=0.8, delta=0.2, model_version=1_800_000_000)
    made = promised(folder)
    trained_at = datetime(2027, 1, 15, 8, 0, tzinfo=UTC)
    assert made == Promised(0.93, 0.8, 0.2, trained_at, 1_800_000_000)
    assert [made.holds_at(each) for each in (None, 0.8, 0.7)] == [True, True, False]


def test_a_checkpoint_without_validation_data_promises_nothing(tmp_path: Path) -> None:
    assert promised(changed(tmp_path, target_precision=0.0, threshold=1.0)) is None


def test_a_folder_without_a_checkpoint_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no model checkpoint"):
        promised(tmp_path)


def test_the_promise_needs_no_torch() -> None:
    code = (
        "import sys; from pathlib import Path; from model.checkpoint import promised;"
        f"assert promised(Path({str(CHECKPOINT)!r})); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
