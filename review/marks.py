"""A tweet's text with its mentions marked, readable without colour as well.

A mention stands in brackets with its type; `?` behind it waits for an answer, `✓` is by the person, `✗` is rejected or
gave way to an answer.
One that the model possibly missed stands in round ones while it waits.
The one in hand is reversed; while its span is edited, an arrow stands at the edge that moves.
"""

from __future__ import annotations

from rich.console import Console
from rich.style import Style
from rich.text import Span as StyledSpan
from rich.text import Text

from core.text import printable
from review.span import Span
from review.work import Item, Work

COLOURS = {"PER": "yellow", "LOC": "green", "ORG": "cyan", "MISC": "magenta"}


def marked(work: Work, span: Span | None = None, *, adding: bool = False, in_hand: bool = True) -> Text:
    """The whole text. Of mentions that overlap, the one in hand is marked, then those that stand, then the chosen.

    `span` is what is being edited, or added; `in_hand`: whether the one in hand is set apart.
    """
    items = [item for item in work.items if span is None or adding or item is not work.current]
    items.sort(key=lambda item: (item is not work.current, not item.stands, item.is_candidate))
    marks = [(span.start, span.end, _edited(span))] if span else []
    for item in items:
        start, end = item.mention.start, item.mention.end
        if all(end <= other[0] or other[1] <= start for other in marks):
            held = in_hand and span is None and item is work.current
            marks.append((start, end, _mention(printable(work.task.tweet.text[start:end]), item, held)))
    raw, text, place = printable(work.task.tweet.text), Text(), 0
    for start, end, mark in sorted(marks, key=lambda mark: mark[0]):
        text.append(raw[place:start])
        text.append_text(mark)
        place = end
    return text.append(raw[place:])


def window(text: Text, width: int, height: int) -> list[Text]:
    """The text in lines of at most `width` cells; of more lines than `height`, those around the mention in hand.

    Two cells on the left are a margin, with an arrow where lines are left out.
    """
    lines = list(text.wrap(Console(width=width), width - 2))
    at = next((place for place, line in enumerate(lines) if any(_in_hand(span) for span in line.spans)), 0)
    first = max(0, min(at - height // 2, len(lines) - height))
    margins = ["  "] * min(height, len(lines))
    if first > 0:
        margins[0] = "↑ "
    if first + height < len(lines):
        margins[-1] = "↓ "
    return [Text(margin).append_text(line) for margin, line in zip(margins, lines[first : first + height], strict=True)]


def _edited(span: Span) -> Text:
    before, after = {"start": ("◀", "]"), "end": ("[", "▶"), "both": ("◀", "▶")}[span.edge]
    return _text(before + printable(span.covered) + after, "bold", in_hand=True)


def _mention(words: str, item: Item, in_hand: bool) -> Text:
    if not (item.open or item.stands):
        return _text(f"[{words} ✗]", "dim", in_hand)
    if item.open and item.is_candidate:
        return _text(f"({words} {item.mention.type}?)", COLOURS[item.mention.type], in_hand)
    sign = "?" if item.open else "✓" if item.answered else ""
    return _text(f"[{words} {item.mention.type}{sign}]", f"bold {COLOURS[item.mention.type]}", in_hand)


def _text(words: str, style: str, in_hand: bool) -> Text:
    return Text(words, style=Style.parse(style) + Style(reverse=in_hand or None, meta={"in_hand": in_hand}))


def _in_hand(span: StyledSpan) -> bool:
    return isinstance(span.style, Style) and bool(span.style.meta.get("in_hand"))
