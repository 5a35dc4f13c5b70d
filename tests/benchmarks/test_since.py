"""`benchmarks.since`: two versions read the same posts, and their answers are compared."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from benchmarks.since import ROOT, Answer, Difference, command, compared
from core.errors import UserError
from tests.model.corpora import write

PARIS: Answer = ([(0, 5, "LOC", 0.5)], [(9, 12, "ORG", 0.3)])


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (PARIS, Difference(0, 0.0)),
        (([(0, 5, "LOC", 0.25)], [(9, 12, "ORG", 0.3)]), Difference(0, 0.25)),
        (([(0, 5, "ORG", 0.5)], [(9, 12, "ORG", 0.3)]), Difference(1, 0.0)),
        (([(0, 5, "LOC", 0.5)], []), Difference(1, 0.0)),
    ],
    ids=["same", "another probability", "another type", "no candidate"],
)
def test_answers_are_compared(after: Answer, expected: Difference) -> None:
    assert compared([PARIS, ([], [])], [after, ([], [])]) == expected


def test_a_commit_is_compared_with_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    git = ["git", "-C", str(ROOT)]
    stash = subprocess.run([*git, "stash", "create"], capture_output=True, text=True, check=False)
    commit = stash.stdout.strip() or "HEAD"  # what is here, committed or not
    command(commit, data=write(tmp_path / "data"), posts=3, rounds=2)
    told = capsys.readouterr().out
    assert f"posts/s at {commit[:10]}" in told
    assert "0 of 3 posts have other mentions or candidates; probabilities differ by up to 0\n" in told


def test_an_unknown_commit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="0123abc: no commit of this repository"):
        command("0123abc", data=write(tmp_path / "data"))
