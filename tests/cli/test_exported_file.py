"""What no export has is named with file and line, or read with care."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.exported_file import records
from core.errors import UserError


def of(path: Path, content: str) -> list[tuple[str, str, int | None]]:
    path.write_text(content, encoding="utf-8")
    return [(post.id, post.source, post.edit) for batch in records(path, 10) for post in batch]


@pytest.mark.parametrize("first", ["# id \u00a0", "# id ", "# id \u2003\u3000", "# source file", "Angela\tB-PER"])
def test_a_post_begins_with_its_id(tmp_path: Path, first: str) -> None:
    with pytest.raises(UserError, match=r"train\.txt:1: .* begins no post of an export"):
        of(tmp_path / "train.txt", f"{first}\n# edit 1\nAngela\tB-PER\n")


@pytest.mark.parametrize(
    ("edit", "read"), [("0", 0), ("65535", 65535), ("9" * 5000, 0), ("\u0664", 0), ("-1", 0), ("x", 0)]
)
def test_an_edit_that_no_post_has_counts_as_the_first_one(tmp_path: Path, edit: str, read: int) -> None:
    """The check then lists the post if the index has a later edit."""
    content = f"# id 1001\n# source file\n# edit {edit}\nAngela\tB-PER\n\n# id 1002\nHamburg\tB-LOC\n"
    assert of(tmp_path / "train.txt", content) == [("1001", "file", read), ("1002", "unknown", 0)]


def test_the_first_comment_of_a_name_holds(tmp_path: Path) -> None:
    assert of(tmp_path / "train.txt", "# id 1\n# id 2\n# edit 3\n# edit 4\nHamburg\tB-LOC\n") == [("1", "unknown", 3)]
