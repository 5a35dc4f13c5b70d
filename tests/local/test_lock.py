"""Locks between processes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from core.errors import UserError
from local.lock import is_held, pid_file


def test_a_pid_file_that_another_process_holds_is_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / "run" / "worker.pid"
    with pid_file(file):
        assert is_held(file)
        assert file.read_text() == str(os.getpid())
        with pytest.raises(UserError, match=f"^{file} belongs to a process that still runs"), pid_file(file):
            raise AssertionError("two held the lock")
        assert file.read_text() == str(os.getpid())
    assert not is_held(file)
    with pid_file(file):
        assert is_held(file)
