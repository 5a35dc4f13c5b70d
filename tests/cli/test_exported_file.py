"""What no export has is named with file and line, or read with care."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.exported_file import of_words, records
from core.errors import UserError
from core.events import Decision, Extraction
from model.conll import lines
from sinks.index.document import Document, from_decision, from_extraction


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


def words_of(block: str) -> list[str]:
    return [row.split("\t")[0] for row in block.splitlines() if "\t" in row]


def test_only_a_word_that_a_mention_cuts_may_have_other_words_after_an_import() -> None:
    def again(block: str) -> str:
        post = of_words(block.splitlines()[:-1])
        return lines(post.id, post.source, post.edit, post.text, [each.model_dump() for each in post.mentions])

    whole = lines("1", "file", 0, "A US-led team, AT&amp;T #Paris\n(3-1) U.S. 𝐏", [])
    assert again(whole) == whole
    cut = lines("1", "file", 0, "US-led", [{"start": 0, "end": 2, "type": "LOC"}])
    assert (words_of(cut), words_of(again(cut))) == (["US", "-led"], ["US", "-", "led"])
    assert again(again(cut)) == again(cut)


def test_any_other_reading_replaces_a_post_of_the_model_and_no_decision() -> None:
    def document(*comments: str) -> Document:
        event = of_words(["# id 1", "# edit 2", *comments, "Ana\tB-PER"]).event
        return from_decision(event) if isinstance(event, Decision) else from_extraction(event, event.mentions)

    of_model = document()
    decided = document("# reviewer bo", "# decided_at 2026-11-30T08:00:00+00:00")
    later = document("# reviewer bo", "# decided_at 2026-11-30T08:00:01+00:00")
    read = of_words(["# id 1", "# edit 2", "Ana\tB-PER"]).event
    assert isinstance(read, Extraction)
    other = from_extraction(read.model_copy(update={"model": "mner", "model_version": 1}), read.mentions)
    assert of_model.version < other.version < decided.version < later.version
