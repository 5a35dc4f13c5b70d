"""The screen of `mner review` as lines of `rich` text, exactly as wide and high as the terminal. Pure."""

from __future__ import annotations

import math

from rich.console import Console
from rich.text import Text

from core.events import Mention, Opinion
from core.text import one_line
from review.marks import COLOURS, marked, window
from review.view import View
from review.work import Item, Work

TONES = {"plain": "", "good": "green", "bad": "bold red"}
BAR = 8
COLUMN = BAR + 8
DOUBT = 3
"""Lines of one doubt at most, so that the tweet is seen beside it."""

KEYS = {
    "task": (
        "a accept   r reject   1 PER  2 LOC  3 ORG  4 MISC   e edit span",
        "n new mention   tab next   s skip   u undo   ? help   q quit",
    ),
    "span": (
        "←/→ by word   </> by character   tab which edge",
        "enter keep   1 PER  2 LOC  3 ORG  4 MISC   esc cancel",
    ),
    "help": ("any key goes back",),
    "empty": ("w wait for tasks   s bring back the skipped   u undo the last   q quit",),
    "waiting": ("any key stops waiting   q quit",),
}

HELP = """\
 The model is sure of most mentions; these it is not, or it possibly missed
 them. Once every question of a tweet has its answer the tweet is settled.

 a         accept: the mention is right as it stands
 r         reject: it is no entity
 1 2 3 4   it is one, but of type PER, LOC, ORG, MISC
 e         edit the span: ←/→ by word, </> by character, tab for the other edge
 n         a new mention, which the model missed; before the last answer
 tab ↓ ↑   take another mention in hand, also one that the model is sure of
 s         skip: the tweet goes back to the queue, for others
 u         undo the last answer; on a fresh tweet, reopen the last settled one
 q         quit: the tweet in hand goes back to the queue

 [Paris LOC] sure   [Paris LOC?] asked   (Paris LOC?) possibly missed
 [Paris LOC✓] yours   [Paris ✗] rejected, or gives way while yours stands
 probability   that span and type are right
 aleatoric     noise in the words or the image: more training would not help
 epistemic     what the model does not know: it has seen little like it
 share         a view's part of the evidence"""


def draw(view: View, width: int, height: int) -> list[Text]:
    """Exactly `height` lines of at most `width` cells."""
    head = [_header(view, width), _rule("", width)]
    feet = [*_message(view, width), *(_keys(line) for line in KEYS[view.mode])]
    room = max(0, height - len(head) - len(feet))
    body = _body(view, width, room)[:room]
    lines = [*head, *body, *(Text() for _ in range(room - len(body))), *feet][:height]
    for line in lines:
        line.no_wrap = True
        line.truncate(width, overflow="ellipsis")
    return lines


def _body(view: View, width: int, room: int) -> list[Text]:
    if view.mode == "help":
        return [Text(line) for line in HELP.splitlines()]
    if view.work is None:
        return _nothing(view)
    work = view.work
    question = _question(view, work, width)
    author, *behind = _about(work)
    tweet_room = max(1, room - len(question) - 1 - len(behind))
    tweet = window(marked(work, view.span, adding=view.adding), width, tweet_room)
    spaced = [Text()] if len(tweet) + 2 <= tweet_room else []
    return [author, *spaced, *tweet, *spaced, *behind, *question]


def _header(view: View, width: int) -> Text:
    counts = view.counts
    left = f" mner review  {one_line(view.reviewer)}"
    right = f"{counts.open} waiting · {counts.leased} in hand · {counts.decided} settled "
    gap = max(1, width - len(left) - len(right))
    return Text.assemble((left, "bold"), " " * gap, (right, "dim"))


def _message(view: View, width: int) -> list[Text]:
    message = Text(one_line(view.message), style=TONES[view.tone])
    return [Text(" ").append_text(line) for line in message.wrap(Console(width=width), width - 1)] or [Text()]


def _about(work: Work) -> list[Text]:
    """Who and when; then, behind the tweet, what became of its image and what the image says."""
    tweet, image = work.task.tweet, work.task.image
    name = tweet.author and (tweet.author.name or tweet.author.id)
    parts = [
        f"@{one_line(name).lstrip(chr(64))}" if name else "",
        f"{tweet.created_at:%Y-%m-%d %H:%M}" if tweet.created_at else "",
        one_line(tweet.lang or ""),
        f"tweet {tweet.id}",
        f"edit {tweet.edit}" if tweet.edit else "",
    ]
    lines = [Text(" " + " · ".join(part for part in parts if part), style="dim")]
    size = f"{image.width}×{image.height} {image.format or ''}".strip() if image.width and image.height else ""
    told = one_line(" · ".join(part for part in (image.reason, size, image.url) if part))
    status = ("image", "bold red") if image.status == "failed" else ("image", "dim")
    lines.append(Text.assemble(" ", status, f"    {image.status}" + (f" · {told}" if told else "")))
    if work.task.context:
        lines.append(Text.assemble(" ", ("context", "dim"), f"  {one_line(work.task.context)}"))
    return lines


def _question(view: View, work: Work, width: int) -> list[Text]:
    """The mention in hand, the figures of the model and its views, and why it is asked."""
    if view.span is not None:
        return [_rule("new mention" if view.adding else "edit span", width), *_editing(view)]
    item = work.current
    asked = [other for other in work.items if other.asked]
    place = f"question {asked.index(item) + 1} of {len(asked)}" if item.asked else "the model is sure"
    place += " · possibly missed" * item.is_candidate
    title = Text.assemble(" ", (f"“{one_line(item.mention.text)}”", "bold"), "  ", _type(item), "  ", _verdict(item))
    lines = [_rule(place, width), title]
    if item.before is not None:
        lines += _figures(item.before)
    for doubt in item.reasons:
        wrapped = list(Text(one_line(doubt.sentence)).wrap(Console(width=width), width - 4))
        if len(wrapped) > DOUBT:
            wrapped = [*wrapped[: DOUBT - 1], wrapped[DOUBT - 1][: width - 5].append("…")]
        lines += [Text(" • " if place == 0 else "   ").append_text(line) for place, line in enumerate(wrapped)]
    return lines


def _editing(view: View) -> list[Text]:
    span = view.span
    assert span is not None
    edge = {"start": "the left edge moves", "end": "the right edge moves", "both": "it moves from word to word"}[
        span.edge
    ]
    kept = "press 1-4 to say what it is" if view.adding else "enter keeps it, 1-4 keeps it with that type"
    return [
        Text.assemble(" ", (f"“{one_line(span.covered)}”", "bold"), f"   characters {span.start}–{span.end}"),
        Text(f" {edge}; {kept}", style="dim"),
    ]


def _figures(mention: Mention) -> list[Text]:
    """A row for all views together and one for each: bars to see, numbers to read. Bars of variances are as long as
    their roots, so that one a hundred times the other still leaves that to be seen."""
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
    if item.crowded_out:
        return Text("gives way to your answer", style="dim")
    if item.verdict is None:
        return Text()
    was = item.before
    told = {
        "accept": "accepted",
        "reject": "rejected",
        "add": "added by you",
        "retype": f"was {was and was.type}",
        "respan": f"was “{was and one_line(was.text)}” {was and was.type}",
    }
    return Text(told[item.verdict.action], style="dim")


def _nothing(view: View) -> list[Text]:
    lines = ["", f"  Nothing {'else ' if view.skipped else ''}waits for you."]
    if view.skipped:
        lines.append(f"  You skipped {view.skipped} in this sitting.")
    if view.counts.leased:
        lines.append(f"  Others have {view.counts.leased} in hand.")
    if view.mode == "waiting":
        lines.append("  Watching the queue …")
    return [Text(line) for line in lines]


def _keys(line: str) -> Text:
    """The key is the first word of each entry, set apart from what it does."""
    text = Text(" " + line, style="dim")
    text.highlight_regex(r"(?:^ |  )(\S+)(?= )", "not dim bold")
    return text


def _rule(title: str, width: int) -> Text:
    before = f"── {title} " if title else ""
    return Text(before + "─" * max(0, width - len(before)), style="dim")
