"""What `mner look` draws: a card for each image that was looked at."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from urllib.parse import unquote, urlsplit

from PIL import Image

from cli.look.draw import paint
from cli.look.sheet import MUTED, SMALL, Bar, Block, Card, Heading, Numbered, Paragraph, Shown, sheet
from cli.look.sight import Looked
from model.context import TAG_SCORE
from model.vision.values import Tag

MOST_LINES, MOST_LINES_ALONE = 8, 60
MOST_TAGS = 5


def contact_sheet(looked: Sequence[Looked]) -> Image.Image:
    """One image large, with its text written at its place; several in a grid of cards."""
    alone = len(looked) == 1
    cards = [card(one, MOST_LINES_ALONE if alone else MOST_LINES, words=alone) for one in looked]
    refused = sum(one.picture is None for one in looked)
    told = f"{len(looked)} images" + (f", {refused} refused" if refused else "")
    return sheet(cards, "" if alone else told)


def card(looked: Looked, most: int, *, words: bool) -> Card:
    title = name(looked.source)
    if looked.picture is None or looked.pixels is None:
        kind, _, detail = (looked.reason or "refused").partition(": ")
        return Card(title, looked.source, (kind, detail))
    pixels, picture, visual = looked.pixels, looked.picture, looked.visual
    shown = Shown((pixels.width, pixels.height), partial(paint, pixels.image(), visual, numbers=most, words=words))
    detail = f"{picture.format} · {picture.width} x {picture.height} · sha256 {picture.sha256[:12]} · "
    return Card(title, f"{detail}phash {picture.phash[:12]}", shown, _blocks(looked, most))


def _blocks(looked: Looked, most: int) -> tuple[Block, ...]:
    visual = looked.visual
    blocks: list[Block] = [Heading("Tags"), *map(_bar, visual.tags[:MOST_TAGS])]
    if not visual.tags:
        blocks.append(_small(visual.absent.get("tags", "none")))
    blocks.append(Heading("Text"))
    blocks += (Numbered(number, line.text, line.score) for number, line in enumerate(visual.lines[:most], start=1))
    if len(visual.lines) > most:
        blocks.append(_small(f"and {len(visual.lines) - most} more"))
    elif not visual.lines:
        blocks.append(_small(visual.absent.get("ocr", "none")))
    blocks.append(Heading("Caption"))
    blocks.append(Paragraph(visual.caption) if visual.caption else _small(visual.absent.get("caption", "none")))
    blocks.append(Heading("The model reads"))
    blocks.append(Paragraph(looked.context, lines=4) if looked.context else _small("nothing"))
    return tuple(blocks)


def _bar(tag: Tag) -> Bar:
    return Bar(tag.label, tag.score, faint=tag.score < TAG_SCORE)


def _small(text: str) -> Paragraph:
    return Paragraph(text, MUTED, 3, SMALL)


def name(source: str) -> str:
    """The last part of a path or an address."""
    try:
        path = urlsplit(source).path if "://" in source else source
    except ValueError:
        return source
    return unquote(path.rstrip("/").rpartition("/")[2]) or source
