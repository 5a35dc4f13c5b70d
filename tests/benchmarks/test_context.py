"""The comparison of contexts, without models: what it counts and what it shows."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from benchmarks.context import Found, Outcome, Shown, changed, contexts, page, totals
from model.vision.values import Tag, TextLine, VisualContext
from tests.streams.images.sample_images import encoded, half_and_half

WORDS = ("Ann", "is", "in", "<Rome>")
ANN, ROME, IN = Found(0, 1, "PER"), Found(3, 4, "LOC"), Found(2, 3, "ORG")
BOX = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
READ = VisualContext(tags=(Tag(label="church", score=0.9),), lines=(TextLine(text="ROMA", score=0.9, box=BOX),))


def shown(file: Path = Path("1.jpg"), split: str = "test") -> Shown:
    return Shown("set 1", split, file, WORDS, ("B-PER", "O", "O", "B-LOC"), "a street")


def outcome(*mentions: Found, sure: tuple[Found, ...] = (), context: str | None = None) -> Outcome:
    return Outcome(context, frozenset(mentions), frozenset(sure))


def test_each_kind_of_context_has_its_parts_alone() -> None:
    assert contexts(shown(), READ) == {
        "off": None,
        "tags": "church",
        "text in it": "ROMA",
        "tags, text in it": "church . ROMA",
        "caption": "a street",
        "all three": "a street . church . ROMA",
    }


def test_what_a_context_changed_is_named_and_judged() -> None:
    before, after = outcome(ANN, IN).mentions, outcome(ANN, ROME).mentions
    assert changed(shown(), before, after) == ["- in ORG (wrong)", "+ <Rome> LOC (right)"]
    assert changed(shown(), before, before) == []


def test_totals_are_of_exact_mentions_by_split() -> None:
    table = totals([shown(split="train"), shown()], {"off": [outcome(ANN, IN, sure=(IN,)), outcome(ANN, ROME)]})
    console = Console(width=120)
    with console.capture() as captured:
        console.print(table)
    rows = [line.split() for line in captured.get().splitlines()[1:]]
    by_split = {row[0]: row[-6:] for row in rows}  # found, right, gold, F1, sure, sure and right
    assert by_split["train"] == ["2", "1", "2", "50.0", "1", "0"]
    assert by_split["test"] == ["2", "2", "2", "100.0", "0", "0"]
    assert by_split["all"] == ["4", "3", "4", "75.0", "1", "0"]


def test_the_page_marks_right_wrong_missed_and_sure_and_injects_nothing(tmp_path: Path) -> None:
    file = tmp_path / "1.jpg"
    file.write_bytes(encoded(half_and_half(), "JPEG"))
    html = page([shown(file)], {"off": [outcome(ANN, IN, sure=(ANN,), context="<script>")]})
    assert '<b><span class="right">Ann PER</span></b>' in html
    assert '<span class="wrong">in ORG</span>' in html
    assert '<span class="missed">&lt;Rome&gt; LOC</span>' in html
    assert "<script>" not in html
