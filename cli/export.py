"""`mner export` writes what a query finds, or what people decided, to a file. It also checks older exports."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any, Literal

import typer

from cli.output import output_file
from cli.search import access_of, open_index
from core.errors import UserError
from core.events import EntityType
from streams.settings import Settings, load

if TYPE_CHECKING:
    from cli.exported_file import ExportedPost
    from core.terms import Sources
    from sinks.index.document import Document
    from sinks.index.index import Index

PAGE = 500
"""Posts that are read at once."""

GONE = 1
"""Exit code of `--check` when a post of the file must not be kept as it is."""


def command(
    query: Annotated[
        str, typer.Argument(metavar="[WORDS]", help="As in `mner search`. Without it, all posts.", show_default=False)
    ] = "",
    entity_type: Annotated[
        EntityType | None, typer.Option("--type", help="Only posts that mention such an entity, as in `mner search`.")
    ] = None,
    decisions: Annotated[bool, typer.Option("--decisions", help="Only posts that a person has decided.")] = False,
    layout: Annotated[
        Literal["jsonl", "conll"],
        typer.Option("--format", help="jsonl: a JSON object for each post. conll: words and BIO tags, for training."),
    ] = "jsonl",
    out: Annotated[Path | None, typer.Option(help="File to write. Default: standard output.")] = None,
    check: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="List the posts of an earlier export that are gone, hidden or edited by now, or whose text the terms "
            "forbid. --out writes the others.",
        ),
    ] = None,
) -> None:
    """Write posts of the index with their mentions, in the order of their ids.

    Leaves out erased, hidden and expired posts. If the text of a post may not be shown, jsonl has neither text nor
    names, and conll leaves the post out. A file appears only when it is complete.
    """
    if check is not None:
        if query or entity_type or decisions:
            raise UserError("--check FILE looks at all posts of the file; leave out WORDS, --type and --decisions")
        raise typer.Exit(asyncio.run(_check(load(), check, out)))
    asyncio.run(_export(load(), query, entity_type, decisions=decisions, layout=layout, out=out))


async def _export(
    config: Settings, words: str, entity_type: EntityType | None, *, decisions: bool, layout: str, out: Path | None
) -> None:
    from sinks.exchange import line_of
    from sinks.index.search import query

    access = access_of(config)
    sources, asked = access.sources, query(words, entity_type, access)
    if decisions:
        asked = {"bool": {"must": asked, "filter": {"term": {"source": "human"}}}}
    tally: Counter[str] = Counter()
    async with open_index(config) as index:
        with _sink(out) as sink, _progress("exporting") as show:
            async for body in _alive(config, index, asked, tally):
                terms = sources.of(body["feed"])
                line = _conll(body) if layout == "conll" and terms.may_show_text else b""
                line = line_of(body, terms) if layout == "jsonl" else line
                sink.write(line)
                tally["without text"] += not terms.may_show_text
                tally["without words"] += terms.may_show_text and not line
                tally["written"] += bool(line)
                show(tally["written"])
    dropped = "written without their text" if layout == "jsonl" else "left out"
    told = [f"{tally['written']} posts exported"]
    told += [f"{tally['without text']} {dropped}, by the terms of their sources"] * bool(tally["without text"])
    told += [f"{tally['without words']} left out, since they have no words"] * bool(tally["without words"])
    told += [f"{tally['gone']} left out, since they are gone or hidden by now"] * bool(tally["gone"])
    typer.echo("; ".join(told), err=True)


async def _alive(
    config: Settings, index: Index, asked: dict[str, Any], tally: Counter[str]
) -> AsyncIterator[dict[str, Any]]:
    """Yields the documents that the query finds, as they are when they are read. Counts those that are gone."""
    async for ids in index.pages(asked, PAGE):
        held = await index.held(ids)
        for post_id in ids:
            document = held.get(post_id)
            if document is None or _reason(document, config):
                tally["gone"] += 1
            else:
                yield document.body


def _reason(document: Document, config: Settings) -> str:
    """Returns why a document must not be exported, or an empty text."""
    from sinks.index.expiry import is_old
    from streams.retention import Retention

    cutoff = Retention(config.index_retention_days).cutoff
    if document.erased:
        return "erased"
    if document.hidden:
        return "hidden"
    return "expired" if cutoff is not None and is_old(document.body, cutoff) else ""


def _conll(body: dict[str, Any]) -> bytes:
    from model.conll import lines

    others: dict[str, str] = {
        name: str(body[name]) for name in ("created_at", "received_at", "reviewer", "decided_at") if name in body
    }
    if author := (body.get("author") or {}).get("id"):
        others["author"] = author
    return lines(body["id"], body["feed"], body["edit"], body["text"], body.get("mentions", ()), others).encode()


def _outdated(record: ExportedPost, document: Document | None, sources: Sources, config: Settings) -> str:
    """Returns why a post must not stay in the file as it is, or an empty text."""
    from sinks.index.document import Document, edit_of

    if document is None:
        return _reason(Document(record.id, 0, record.dates), config) or "missing"
    if reason := _reason(document, config):
        return reason
    if record.edit is None:  # neither can concern a line without text
        return ""
    if not sources.of(record.source).may_show_text:
        return "terms"
    return "edited" if record.edit < edit_of(document.version) else ""


async def _check(config: Settings, file: Path, out: Path | None) -> int:
    """Lists the posts that must leave an export, and writes the others to `out`. Returns the exit code."""
    from cli.exported_file import records
    from core.text import one_line
    from streams.terms import load_sources

    sources = load_sources(config)
    tally: Counter[str] = Counter()
    async with open_index(config) as index:
        with _sink(out) if out else _nothing() as sink, _progress("checking") as show:
            for batch in records(file, PAGE):
                held = await index.held([record.id for record in batch])
                for record in batch:
                    reason = _outdated(record, held.get(record.id), sources, config)
                    tally[reason or "kept"] += 1
                    if reason:
                        typer.echo(f"{one_line(record.id)}\t{reason}")
                    elif sink:
                        sink.write(record.content)
                show(tally.total())
    gone = tally.total() - tally["kept"]
    counts = ", ".join(f"{count} {reason}" for reason, count in sorted(tally.items()) if reason != "kept")
    typer.echo(f"{tally['kept']} posts may be kept; {gone} may not" + (f" ({counts})" if gone else ""), err=True)
    if gone:
        told = f"{out} holds the others; delete {file}" if out else "--out CLEAN writes the others"
        typer.echo(told, err=True)
    return GONE if gone else 0


@contextmanager
def _nothing() -> Iterator[None]:
    yield None


@contextmanager
def _sink(out: Path | None) -> Iterator[IO[bytes]]:
    if out is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    else:
        with output_file(out, "--out") as file:
            yield file


@contextmanager
def _progress(what: str) -> Iterator[Callable[[int], None]]:
    """Shows a count on standard error while the block runs, if that is a terminal."""
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

    columns = SpinnerColumn(), TextColumn(what), MofNCompleteColumn()
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done: progress.update(task, completed=done)
