"""A worker as a child process imports our modules, wherever it is started."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import UserError
from streams.settings import Settings
from streams.worker_process import WorkerProcess


def test_folders_named_like_ours_where_it_runs_are_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("streams", "model"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('the wrong one')")
    monkeypatch.chdir(tmp_path)
    worker = WorkerProcess(Settings(_env_file=None, home=tmp_path), tmp_path / "log")
    worker.start()
    with pytest.raises(UserError, match="MNER_KAFKA"):  # it got as far as looking for the servers
        worker.ready(60)
    worker.kill()  # closes its pipe
