"""Does what is read of a picture help? The tweets of `MNER_DATA/images`, extracted with and without it, side by side.

    MNER_DATA=... python -m benchmarks.context [--html PAGE]

The same words and the same shipped model each time; only the context differs. Beside what is read of the pixels stands
a caption of a large model (BLIP-2, from `MNER_DATA/captions_blip2.jsonl`), which nothing offline can make. The shipped
model was trained on the train splits, so those tweets say little, and are counted apart.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from seqeval.metrics.sequence_labeling import get_entities

from benchmarks.command import main
from cli.look.inspector import ImageInspector
from core.errors import UserError
from core.events import Tweet
from model.context import context_text
from model.extractor import Extractor
from model.training.corpus import TYPES, Example, read_captions
from model.training.evaluate import predict
from model.vision.values import VisualContext
from streams.settings import Settings, load

SPLITS = ("train", "valid", "test")


@dataclass(frozen=True)
class Shown:
    """A tweet with its picture. `name`: data set and id; `file`: of its image."""

    name: str
    split: str
    file: Path
    words: tuple[str, ...]
    tags: tuple[str, ...]
    caption: str | None

    @property
    def gold(self) -> frozenset[Found]:
        return frozenset(Found(first, last + 1, kind) for kind, first, last in get_entities(list(self.tags)))

    def text(self, found: Found) -> str:
        return f"{' '.join(self.words[found.first : found.last])} {found.type}"


@dataclass(frozen=True, order=True)
class Found:
    """A mention: words [first, last) and a type."""

    first: int
    last: int
    type: str


@dataclass(frozen=True)
class Outcome:
    """What one kind of context came to on one tweet. `sure`: the mentions that are indexed without a person."""

    context: str | None
    mentions: frozenset[Found]
    sure: frozenset[Found]


Outcomes = dict[str, list[Outcome]]
"""By the kind of context, in the order of the tweets."""


def tweets(data: Path) -> list[Shown]:
    """Raises `UserError` where the data are not."""
    manifest = data / "images" / "manifest.jsonl"
    try:
        rows: list[dict[str, Any]] = [json.loads(line) for line in manifest.read_text(encoding="utf-8").splitlines()]
    except OSError as error:
        raise UserError(f"{manifest}: {error.strerror}: set MNER_DATA to the folder of data sets") from None
    captions = {name: read_captions(data / "captions_blip2.jsonl", name) for name in {row["set"] for row in rows}}
    return [
        Shown(
            name=f"{row['set']} {row['id']}",
            split=row["split"],
            file=manifest.parent / row["file"],
            words=tuple(row["words"]),
            tags=tuple(tag if tag == "O" else f"{tag[:2]}{TYPES[tag[2:]]}" for tag in row["tags"]),
            caption=captions[row["set"]].get(row["id"]),
        )
        for row in sorted(rows, key=lambda row: (SPLITS.index(row["split"]), row["set"], row["id"]))
    ]


async def read_of(shown: Sequence[Shown], settings: Settings) -> list[VisualContext]:
    """What the channels read of each picture. Raises `UserError` when one of them cannot be had."""
    async with ImageInspector(settings) as inspector:
        looked = await asyncio.gather(*(inspector.inspect(str(one.file)) for one in shown))
    for one in looked:
        if one.image is None:
            raise UserError(f"{one.source}: {one.reason}")
        for name in ("tags", "ocr"):
            if name in one.visual.absent:
                raise UserError(f"{one.source}: the channel {name} is {one.visual.absent[name]}")
    return [one.visual for one in looked]


def contexts(one: Shown, read: VisualContext) -> dict[str, str | None]:
    """What stands beside the text, by kind."""
    tweet = Tweet(id="1", text=" ".join(one.words))
    tags, text, caption = ({"tags": read.tags}, {"lines": read.lines}, {"caption": one.caption})
    kinds: dict[str, dict[str, Any]] = {
        "off": {},
        "tags": tags,
        "text in it": text,
        "tags, text in it": tags | text,
        "caption": caption,
        "all three": tags | text | caption,
    }
    return {kind: context_text(tweet, VisualContext(**parts)) for kind, parts in kinds.items()}


def extract(extractor: Extractor, shown: Sequence[Shown], read: Sequence[VisualContext]) -> Outcomes:
    given = [contexts(one, visual) for one, visual in zip(shown, read, strict=True)]
    return {kind: list(_outcomes(extractor, shown, [one[kind] for one in given])) for kind in given[0]}


def _outcomes(extractor: Extractor, shown: Sequence[Shown], given: Sequence[str | None]) -> Iterator[Outcome]:
    examples = [Example(one.name, one.words, one.tags, context) for one, context in zip(shown, given, strict=True)]
    predictions = predict(extractor.predictor, extractor.tokenizer, examples, captions=True)
    for context, prediction in zip(given, predictions, strict=True):
        found = {Found(span.start, span.end, span.type): span.probability for span in prediction.spans}
        sure = (mention for mention, probability in found.items() if probability >= extractor.info.threshold)
        yield Outcome(context, frozenset(found), frozenset(sure))


def totals(shown: Sequence[Shown], outcomes: Outcomes) -> Table:
    """By split: right of found mentions, gold ones, F1 (exact span and type), and what is sure."""
    table = Table("split", "context", "found", "right", "gold", "F1", "sure", "sure and right", box=None)
    for split in [*SPLITS, "all"]:
        rows = [row for row, one in enumerate(shown) if split in (one.split, "all")]
        gold = sum(len(shown[row].gold) for row in rows)
        for kind, each in outcomes.items():
            found = sum(len(each[row].mentions) for row in rows)
            right = sum(len(each[row].mentions & shown[row].gold) for row in rows)
            sure = sum(len(each[row].sure) for row in rows)
            sure_right = sum(len(each[row].sure & shown[row].gold) for row in rows)
            f1 = f"{200 * right / (found + gold):.1f}" if found + gold else "-"
            first = f"{split} ({len(rows)} tweets)" if kind == "off" else ""
            table.add_row(first, kind, str(found), str(right), str(gold), f1, str(sure), str(sure_right))
    return table


def differences(shown: Sequence[Shown], outcomes: Outcomes) -> Table:
    """Each tweet of which a context changes a mention: what came (+) and went (-), right or wrong by the gold tags."""
    table = Table("tweet", "split", "context", "change", "context read", show_lines=True)
    for row, one in enumerate(shown):
        for kind, each in outcomes.items():
            if changes := changed(one, outcomes["off"][row].mentions, each[row].mentions):
                table.add_row(one.name, one.split, kind, "\n".join(changes), each[row].context or "")
    return table


def changed(one: Shown, before: frozenset[Found], after: frozenset[Found]) -> list[str]:
    signs = [(mention, "+") for mention in after - before] + [(mention, "-") for mention in before - after]
    return [
        f"{sign} {one.text(mention)} ({'right' if mention in one.gold else 'wrong'})" for mention, sign in sorted(signs)
    ]


STYLE = """body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem }
article { display: grid; grid-template-columns: 18rem 1fr; gap: 1.5rem; padding: 1.2rem 0; border-top: 1px solid #ccc }
img { max-width: 100%; max-height: 20rem } td { padding: .2rem .8rem .2rem 0; vertical-align: top }
.right { color: #1a7f37 } .wrong { color: #c62828 } .missed { color: #777; text-decoration: line-through }
.context, small { color: #666; font-size: 85%; overflow-wrap: anywhere } b { font-weight: 600 }"""


def page(shown: Sequence[Shown], outcomes: Outcomes) -> str:
    """One HTML page without anything from elsewhere: every picture, its tweet, and what each context came to."""
    articles = (_article(one, {kind: each[row] for kind, each in outcomes.items()}) for row, one in enumerate(shown))
    legend = (
        'Found and <span class="right">right</span>, found and <span class="wrong">wrong</span>, '
        '<span class="missed">missed</span>; <b>bold</b>: sure enough to be indexed without a person.'
    )
    return (
        f"<!doctype html><meta charset=utf-8><title>Context on and off</title><style>{STYLE}</style>"
        f"<h1>What is read of a picture, on and off</h1><p>{legend}</p>{''.join(articles)}"
    )


def _article(one: Shown, each: dict[str, Outcome]) -> str:
    picture = base64.b64encode(one.file.read_bytes()).decode()
    rows = "".join(
        f'<tr><td>{escape(kind)}<td>{_marked(one, outcome)}<div class="context">{escape(outcome.context or "")}</div>'
        for kind, outcome in each.items()
    )
    return (
        f'<article><div><img src="data:image/jpeg;base64,{picture}" alt=""><br><small>{one.name}, {one.split}</small>'
        f"</div><div><p>{escape(' '.join(one.words))}</p><table>{rows}</table></div></article>"
    )


def _marked(one: Shown, outcome: Outcome) -> str:
    marks = []
    for mention in sorted(outcome.mentions | one.gold):
        kind = "missed" if mention not in outcome.mentions else "right" if mention in one.gold else "wrong"
        text = f'<span class="{kind}">{escape(one.text(mention))}</span>'
        marks.append(f"<b>{text}</b>" if mention in outcome.sure else text)
    return " &middot; ".join(marks) or "<small>nothing</small>"


def command(
    html: Annotated[Path | None, typer.Option(help="write a page with every picture and what came of it")] = None,
) -> None:
    """Extraction with and without what is read of the pictures of 24 real tweets."""
    console = Console(width=None if sys.stdout.isatty() else 160)
    shown = tweets(Path(os.environ.get("MNER_DATA", ".")))
    settings = load(image={"cache_mb": 0}, vision={"cache": 0, "channels": ("tags", "ocr"), "tags": None})
    with Console(stderr=True).status(f"reading {len(shown)} pictures"):
        read = asyncio.run(read_of(shown, settings))
        extractor = Extractor.load(settings.model, device=settings.device, threads=settings.model_threads)
        outcomes = extract(extractor, shown, read)
    console.print(differences(shown, outcomes))
    console.print(totals(shown, outcomes))
    if html is not None:
        html.write_text(page(shown, outcomes), encoding="utf-8")


if __name__ == "__main__":
    main(command)
