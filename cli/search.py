"""`mner search` finds posts by their words and by their mentions."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from cli.as_json import print_json
from cli.output import make_console
from core.events import EntityType
from streams.settings import Settings, load

if TYPE_CHECKING:
    from rich.text import Text

    from sinks.index.index import Index
    from sinks.index.search import Results
    from sinks.names.entities import Entity
    from sinks.searching.access import Access
    from sinks.searching.hits import Hit


def command(
    query: Annotated[
        str,
        typer.Argument(
            help="Words of the text, or the name of an entity. Without it, all posts match.", show_default=False
        ),
    ] = "",
    entity_type: Annotated[
        EntityType | None, typer.Option("--type", help="Match mentions of this type only, as in `Paris --type PER`.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Largest number of results.")] = 10,
    entities: Annotated[
        bool, typer.Option("--entities", help="Show the names mentioned most often, in place of posts.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")] = False,
) -> None:
    """Search the index by words of the post or by mention.

    Without --type, both the text and the mentions match, and mentions weigh more. Erased and hidden posts never match.
    Where the terms of a source do not let the text be shown, a post is found without it, and --entities leaves it out.
    Spellings that a person holds for the same find each other, such as Beyonce and Beyoncé, or AT&amp;T and AT&T.
    """
    if entities:
        names = asyncio.run(_entities(load(), query, entity_type, limit))
        _show_entities(names, as_json=as_json)
    else:
        results = asyncio.run(_search(load(), query, entity_type, limit))
        _show_results(results, as_json=as_json)


def _show_results(results: Results, *, as_json: bool) -> None:
    if as_json:
        print_json(dataclasses.asdict(results))
        return
    console = make_console(highlight=False)
    for hit in results.hits:
        console.print(_rendered(hit), end="\n\n")
    console.print(f"{len(results.hits)} of {results.total}", style="dim")


def _show_entities(names: list[Entity], *, as_json: bool) -> None:
    if as_json:
        print_json([dataclasses.asdict(entity) for entity in names])
        return
    from review.marks import draw_entity

    console = make_console(highlight=False)
    for entity in names:
        console.print(draw_entity(entity.tweets, entity.type, entity.name))


def _rendered(hit: Hit) -> Text:
    """Returns the post with its mentions in brackets and colour. Matches are underlined.

    `✓` marks a mention that a person has decided.
    """
    from rich.text import Text

    from core.text import one_line
    from review.marks import draw_mentions

    by = f"by {one_line(hit.reviewer)}" if hit.source == "human" and hit.reviewer else f"by the {hit.source}"
    when = f"  {one_line(hit.created_at[:16]).replace('T', ' ')}" if hit.created_at else ""
    text = Text.assemble((f"post {one_line(hit.id)}", "bold"), (f"{when}  {by}\n", "dim"))
    if hit.withheld:
        return text.append(f"the terms of {one_line(hit.feed)} do not let its text be shown", "dim")
    return text.append_text(draw_mentions(hit.text, hit.mentions, hit.matches))


async def _search(settings: Settings, query: str, entity_type: EntityType | None, limit: int) -> Results:
    async with open_index(settings) as index:
        return await index.search(query, entity_type, limit, access_of(settings))


async def _entities(settings: Settings, query: str, entity_type: EntityType | None, limit: int) -> list[Entity]:
    async with open_index(settings) as index:
        return await index.entities(query, entity_type, limit, access_of(settings))


def access_of(settings: Settings) -> Access:
    """Returns which posts a search may find and show, by the retention and the terms of the sources."""
    from sinks.searching.access import Access
    from streams.retention import Retention
    from streams.terms import load_sources

    return Access(load_sources(settings), Retention(settings.index_retention_days).cutoff)


@asynccontextmanager
async def open_index(settings: Settings) -> AsyncIterator[Index]:
    """Yields the index that the settings name."""
    from sinks.index.index import Index
    from streams import servers

    index = Index(servers.elasticsearch(settings), settings.name("mentions"))
    try:
        yield index
    finally:
        await index.close()
