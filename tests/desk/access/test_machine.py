"""Which desks may share a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import UserError
from desk.access import machine
from desk.access.machine import one_machine


def test_desks_of_one_machine_share_a_folder(tmp_path: Path) -> None:
    with one_machine(tmp_path / "desk"), one_machine(tmp_path / "desk"):
        assert (tmp_path / "desk" / machine.FILE).stat().st_mode & 0o777 == 0o600


def test_a_desk_of_another_machine_is_refused_until_the_first_one_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with one_machine(tmp_path):
        with monkeypatch.context() as elsewhere:
            elsewhere.setattr(machine, "machine", lambda: "another")
            with (
                pytest.raises(UserError, match=r"another machine uses .* set MNER_HOME"),
                one_machine(tmp_path),
            ):
                pass
        with one_machine(tmp_path):
            pass
    monkeypatch.setattr(machine, "machine", lambda: "another")
    with one_machine(tmp_path):
        assert (tmp_path / machine.FILE).read_text() == "another"
