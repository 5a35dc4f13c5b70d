"""The screen of `mner review` as lines of `rich` text, exactly as wide and high as the terminal. Pure."""

from __future__ import annotations

import math

from rich.text import Text

from core.events import ENTITY_TYPES, EntityType, Mention, Opinion
from core.text import one_line
from review.cells import cut, most_cells, wrap
from review.marks import COLOURS, draw_work, window
from review.view import View
from review.work import Item, Work

#: The keys that choose an entity type.
TYPE_KEYS: dict[str, EntityType] = {str(number): name for number, name in enumerate(ENTITY_TYPES, start=1)}
TYPE_HELP = "  ".join(f"{key} {entity_type}" for key, entity_type in TYPE_KEYS.items())
TYPE_RANGE = f"1-{len(TYPE_KEYS)}"

TONES = {"plain": "", "good": "green", "bad": "bold red"}
BAR = 8
COLUMN = BAR + 8
#: Most cells for the reviewer's name and what stands before it, so that the counts stay in view.
NAME_CELLS = 40
#: Largest number of lines for one reason, so that the post stays in view.
REASON_LINES = 3

KEYS = {
    "task": (
        f"a accept   r reject   {TYPE_HELP}   e edit span",
        "n new mention   tab next   s skip   u undo   ? help   q quit",
    ),
    "span": (
        "←/→ by word   </> by character   tab end, start, both",
        f"enter keep   {TYPE_HELP}   esc cancel",
    ),
    "help": ("any key goes back",),
    "empty": ("w wait for tasks   s show skipped again   u undo the last   q quit",),
    "waiting": ("any key stops waiting   q quit",),
}

HELP = f"""\
 The model is unsure of the mentions with a question mark. When you have
 answered every question of a post, the post is settled.

 a         accept the mention as it is
 r         reject it: it is no entity
 {" ".join(TYPE_KEYS):<9} accept it with the type {", ".join(ENTITY_TYPES)}
 e         edit its span: ←/→ by word, </> by character, tab: end, start, both
 n         add a mention that the model missed; do so before the last answer
 tab ↓ ↑   go to another mention, also to one that the model is sure of
 s         skip: the post goes back to the queue for other reviewers
 u         undo the last answer, or take back the last settled post
 q         quit: the post goes back to the queue

 [Paris LOC] confident   [Paris LOC?] question   (Paris LOC?) candidate
 [Paris LOC✓] answered   [Paris ✗] rejected, or overlaps one that you accepted
 probability   that span and type are right
 aleatoric     noise in the words or the image; more training would not help
 epistemic     lack of knowledge: the model has seen few posts like this
 share         a view's part of the evidence"""


def draw(view: View, width: int, height: int) -> list[Text]:
    """Returns exactly `height` lines of at most `width` cells, in any terminal."""
    head = [_header(view, width), _rule("", width)]
    feet = [*_message(view, width), *(_keys(line) for line in KEYS[view.mode])]
    room = max(0, height - len(head) - len(feet))
    body = _body(view, width, room)[:room]
    lines = [*head, *body, *(Text() for _ in range(room - len(body))), *feet][:height]
    return [cut(line, width) for line in lines]


def _body(view: View, width: int, room: int) -> list[Text]:
    if view.mode == "help":
        return [Text(line) for line in HELP.splitlines()]
    if view.work is None:
        return _no_task(view)
    work = view.work
    question = _question(view, work, width)
    author, *image = _about(work)
    post_room = max(1, room - len(question) - 1 - len(image))
    post = window(draw_work(work, view.span, adding=view.adding), width, post_room)
    gap = [Text()] if len(post) + 2 <= post_room else []
    return [author, *gap, *post, *gap, *image, *question]


def _header(view: View, width: int) -> Text:
    counts = view.counts
    left = cut(Text(f" mner review  {one_line(view.reviewer)}", style="bold"), NAME_CELLS)
    right = f"{counts.open} waiting · {counts.leased} in review · {counts.decided} settled "
    gap = max(1, width - most_cells(left.plain) - len(right))
    return Text.assemble(left, " " * gap, (right, "dim"))


def _message(view: View, width: int) -> list[Text]:
    message = Text(one_line(view.message), style=TONES[view.tone])
    return [Text(" ").append_text(line) for line in wrap(message, width - 1)]


def and_copies(copies: int) -> str:
    """Says for how many copies of a post the decision counts too. Empty if there are none."""
    return f"and {copies} cop{'y' if copies == 1 else 'ies'}" if copies else ""


def _about(work: Work) -> list[Text]:
    """Returns a line on author and date, and the lines on the image: its status and its context."""
    tweet, image = work.task.tweet, work.task.image
    name = tweet.author and (tweet.author.name or tweet.author.id)
    parts = [
        f"@{one_line(name).lstrip(chr(64))}" if name else "",
        f"{tweet.created_at:%Y-%m-%d %H:%M}" if tweet.created_at else "",
        one_line(tweet.lang or ""),
        f"post {tweet.id}",
        f"edit {tweet.edit}" if tweet.edit else "",
        and_copies(work.copies),
    ]
    lines = [Text(" " + " · ".join(part for part in parts if part), style="dim")]
    size = f"{image.width}×{image.height} {image.format or ''}".strip() if image.width and image.height else ""
    details = one_line(" · ".join(part for part in (image.reason, size, image.url) if part))
    status = ("image", "bold red") if image.status == "failed" else ("image", "dim")
    lines.append(Text.assemble(" ", status, f"    {image.status}" + (f" · {details}" if details else "")))
    if work.task.context:
        lines.append(Text.assemble(" ", ("context", "dim"), f"  {one_line(work.task.context)}"))
    return lines


def _question(view: View, work: Work, width: int) -> list[Text]:
    """Returns the current mention, the figures of the model and its views, and the reasons for asking."""
    if view.span is not None:
        return [_rule("new mention" if view.adding else "edit span", width), *_editing(view, width)]
    item = work.current
    asked = [other for other in work.items if other.asked]
    position = f"question {asked.index(item) + 1} of {len(asked)}" if item.asked else "confident"
    position += " · candidate: not chosen by the model" * item.is_candidate
    lines = [_rule(position, width), _title(item, width)]
    if item.before is not None:
        lines += _figures(item.before)
    for reason in item.reasons:
        wrapped = wrap(Text(one_line(reason.sentence)), width - 4)
        if len(wrapped) > REASON_LINES:
            last = wrapped[REASON_LINES - 1].append(" " * width)  # longer than a line, so that it is cut
            wrapped = [*wrapped[: REASON_LINES - 1], cut(last, width - 3)]
        lines += [Text(" • " if place == 0 else "   ").append_text(line) for place, line in enumerate(wrapped)]
    return lines


def _title(item: Item, width: int) -> Text:
    return _quoted(item.mention.text, Text.assemble("  ", _type(item), "  ", _verdict(item)), width)


def _editing(view: View, width: int) -> list[Text]:
    span = view.span
    assert span is not None
    edges = {"start": "the left edge moves", "end": "the right edge moves", "both": "the span moves from word to word"}
    keep = f"press {TYPE_RANGE} for its type" if view.adding else f"enter keeps it, {TYPE_RANGE} also sets the type"
    return [
        _quoted(span.covered, Text(f"   characters {span.start}–{span.end}"), width),
        Text(f" {edges[span.edge]}; {keep}", style="dim"),
    ]


def _quoted(words: str, ending: Text, width: int) -> Text:
    """Returns a line with words of the post and an ending. Where it is too long, the words are cut."""
    room = max(8, width - most_cells(ending.plain) - 3)
    quoted = Text.assemble(" “", cut(Text(one_line(words)), room), "”")
    quoted.stylize("bold")
    return quoted.append_text(ending)


def _figures(mention: Mention) -> list[Text]:
    """Returns a header, a row of bars and numbers for all views together, and one row for each view.

    The bar of a variance shows its square root, so that a variance a hundred times smaller is still visible.
    """
    rows: list[tuple[str, Mention | Opinion]] = [("together", mention), *sorted(mention.views.items())]
    most = max(max(row.aleatoric, row.epistemic) for _, row in rows) or 1.0
    names = max(len(one_line(name)) for name, _ in rows) + 2
    head = "".join(f"{title:<{COLUMN}}" for title in ("probability", "aleatoric", "epistemic"))
    lines = [Text(" " * (names + 1) + head + ("share" if mention.views else ""), style="dim")]
    for name, row in rows:
        line = Text(f" {one_line(name):<{names}}", style="" if row is mention else "dim")
        line.append_text(_bar(row.probability, f"{row.probability:.0%}"))
        line.append_text(_bar(math.sqrt(row.aleatoric / most), f"{row.aleatoric:.2g}"))
        line.append_text(_bar(math.sqrt(row.epistemic / most), f"{row.epistemic:.2g}"))
        lines.append(line.append(f"{row.share:.0%}") if isinstance(row, Opinion) else line)
    return lines


def _bar(part: float, number: str) -> Text:
    full = round(part * BAR)
    return Text.assemble(("━" * full, "bold"), ("┈" * (BAR - full), "dim"), f" {number:<{COLUMN - BAR - 1}}")


def _type(item: Item) -> Text:
    return Text(f"{item.mention.type}{'?' if item.open else ''}", style=f"bold {COLOURS[item.mention.type]}")


def _verdict(item: Item) -> Text:
    if item.superseded:
        return Text("overlaps a mention that you accepted", style="dim")
    if item.verdict is None:
        return Text()
    before = item.before
    verdicts = {
        "accept": "accepted",
        "reject": "rejected",
        "add": "added by you",
        "retype": f"was {before and before.type}",
        "respan": f"was “{before and one_line(before.text)}” {before and before.type}",
    }
    return Text(verdicts[item.verdict.action], style="dim")


def _no_task(view: View) -> list[Text]:
    lines = ["", f"  No {'other ' if view.skipped else ''}task waits for you."]
    if view.skipped:
        lines.append(f"  You skipped {view.skipped} in this session.")
    if view.counts.leased:
        lines.append(f"  Other reviewers work on {view.counts.leased}.")
    if view.mode == "waiting":
        lines.append("  Watching the queue …")
    return [Text(line) for line in lines]


def _keys(line: str) -> Text:
    """Highlights the key, which is the first word of each entry."""
    text = Text(" " + line, style="dim")
    text.highlight_regex(r"(?:^ |  )(\S+)(?= )", "not dim bold")
    return text


def _rule(title: str, width: int) -> Text:
    before = f"── {title} " if title else ""
    return Text(before + "─" * max(0, width - len(before)), style="dim")
