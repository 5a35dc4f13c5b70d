"""Draws a post with its mentions in brackets and in colour, readable without colour too.

[Paris LOC] is confident, [Paris LOC?] a question, (Paris LOC?) a candidate, [Paris LOC✓] decided by a person,
[Paris ✗] rejected. The current mention is in reverse video. While its span is edited, an arrow is at the moving edge.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from rich.style import Style
from rich.text import Span as StyledSpan
from rich.text import Text

from core.events import ENTITY_TYPES, HasSpan, overlaps
from core.text import one_line, printable
from review.cells import wrap
from review.span import Span
from review.work import Item, Work

COLOURS: dict[str, str] = dict(zip(ENTITY_TYPES, ("yellow", "green", "cyan", "magenta"), strict=True))


class TypedSpan(HasSpan, Protocol):
    """A mention, as an event or as a search result."""

    @property
    def type(self) -> str: ...
    @property
    def source(self) -> str: ...


@dataclass(frozen=True)
class Mark:
    """A span of a post, with what is drawn before and after its words."""

    start: int
    end: int
    before: str
    after: str
    style: Style


def draw_marks(text: str, marks: Iterable[Mark], underlined: Iterable[tuple[int, int]] = ()) -> Text:
    """Returns the whole text of a post with its marks. Where marks overlap, only the first in the sequence is drawn.

    `underlined` are further [start, end) spans, such as the words that a search matched.
    """
    drawn: list[Mark] = []
    for mark in marks:
        if not any(overlaps(mark, other) for other in drawn):
            drawn.append(mark)
    raw, result, place = Text(printable(text)), Text(), 0
    for start, end in underlined:
        raw.stylize("underline", start, end)
    for mark in sorted(drawn, key=lambda mark: mark.start):
        words = raw[mark.start : mark.end]
        words.stylize(mark.style)
        result.append_text(raw[place : mark.start])
        result.append(mark.before, mark.style).append_text(words).append(mark.after, mark.style)
        place = mark.end
    return result.append_text(raw[place:])


def draw_mentions(text: str, mentions: Iterable[TypedSpan], underlined: Iterable[tuple[int, int]] = ()) -> Text:
    """Returns the text of a post with these mentions marked. `✓` marks those decided by a person."""
    marks = [_mark(mention, "✓" if mention.source == "human" else "") for mention in mentions]
    return draw_marks(text, marks, underlined)


def draw_entity(posts: int, entity_type: str, name: str) -> Text:
    """Returns a line of a list of names: the number of posts that mention it, its type, and the name."""
    return Text.assemble(f"{posts:>6}  ", (f"{entity_type:<4}", COLOURS[entity_type]), f"  {one_line(name)}")


def draw_work(work: Work, span: Span | None = None, *, adding: bool = False, show_current: bool = True) -> Text:
    """Returns the text of a task's post with its mentions marked.

    Of overlapping mentions, only one is drawn: the current one, else one in the final list, else one the model chose.
    `span` is the new span of the current mention or, with `adding`, the span of a new mention. `show_current` draws the
    current mention in reverse video.
    """
    items = [item for item in work.items if span is None or adding or item is not work.current]
    items.sort(key=lambda item: (item is not work.current, not item.stands, item.is_candidate))
    marks = [_edited(span)] if span else []
    marks += [_item(item, show_current and span is None and item is work.current) for item in items]
    return draw_marks(work.task.tweet.text, marks)


def window(text: Text, width: int, height: int) -> list[Text]:
    """Wraps the text to lines of at most `width` cells and keeps at most `height` of them, around the current mention.

    The left margin of two cells holds an arrow where lines are left out.
    """
    lines = wrap(text, width - 2)
    at = next((place for place, line in enumerate(lines) if any(_is_current(span) for span in line.spans)), 0)
    first = max(0, min(at - height // 2, len(lines) - height))
    margins = ["  "] * min(height, len(lines))
    if first > 0:
        margins[0] = "↑ "
    if first + height < len(lines):
        margins[-1] = "↓ "
    return [Text(margin).append_text(line) for margin, line in zip(margins, lines[first : first + height], strict=True)]


def _edited(span: Span) -> Mark:
    before, after = {"start": ("◀", "]"), "end": ("[", "▶"), "both": ("◀", "▶")}[span.edge]
    return Mark(span.start, span.end, before, after, _style("bold", is_current=True))


def _item(item: Item, is_current: bool) -> Mark:
    mention = item.mention
    if not (item.open or item.stands):
        return Mark(mention.start, mention.end, "[", " ✗]", _style("dim", is_current))
    if item.open and item.is_candidate:
        style = _style(COLOURS[mention.type], is_current)
        return Mark(mention.start, mention.end, "(", f" {mention.type}?)", style)
    return _mark(mention, "?" if item.open else "✓" if item.answered else "", is_current)


def _mark(mention: TypedSpan, sign: str, is_current: bool = False) -> Mark:
    style = _style(f"bold {COLOURS[mention.type]}", is_current)
    return Mark(mention.start, mention.end, "[", f" {mention.type}{sign}]", style)


def _style(name: str, is_current: bool) -> Style:
    return Style.parse(name) + Style(reverse=is_current or None, meta={"is_current": is_current})


def _is_current(span: StyledSpan) -> bool:
    return isinstance(span.style, Style) and bool(span.style.meta.get("is_current"))
