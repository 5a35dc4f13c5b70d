"""The pages `/search` and `/posts/ID`, and the downloads of all hits."""

from __future__ import annotations

from dataclasses import replace

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, Response

from core.errors import UserError
from desk.access.audit import audited, note
from desk.access.people import Analyst
from desk.pages import render
from desk.search import view
from desk.search.export import Layout, export, file_name
from desk.search.posts import access_of, find_post
from desk.search.values import SearchAnswer
from desk.services import Services
from sinks.searching.request import Search
from sinks.searching.search import search
from sinks.searching.state import SearchState

router = APIRouter(include_in_schema=False)


@router.get("/search", response_class=HTMLResponse)
async def search_page(request: Request, person: Analyst) -> HTMLResponse:
    """Shows hits, filters and the timeline of a search."""
    services: Services = request.app.state.services
    access = access_of(services)
    try:
        state = SearchState.from_query(request.url.query)
        asked = Search(state, access, view.SIZE)
        found = await search(services.index, state, access, view.SIZE)
    except UserError as error:
        words = request.query_params.get("q", "")
        return render(request, "search-problem.html", 400, words=words, fields=(), problem=str(error))
    await note(request, "searched", **audited(state), posts=[hit.id for hit in found.hits])
    whole, within = view.timelines(state, found)
    return render(
        request,
        "search.html",
        words=state.words,
        fields=view.hidden(state, "q"),
        state=state,
        query=state.to_query(),
        answer=SearchAnswer.of(found),
        position=view.position(state, found, _number(request.query_params.get("first", ""))),
        groups=view.groups(state, found),
        chips=view.chips(state),
        cleared=view.cleared(state),
        wordless=view.address(replace(state, words="", page="")),
        file_name=file_name(),
        orders=view.orders(asked),
        of_days=view.hidden(state, "since", "until"),
        timeline=whole,
        within=within,
    )


def _number(text: str) -> int:
    """Returns the number, or 1 for any other text."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else 1


@router.get("/search/export.{layout}")
async def download(request: Request, person: Analyst, layout: Layout) -> Response:
    """Sends all hits of a search as a file."""
    state = SearchState.from_query(request.url.query)
    return await export(request, person, state, layout)


@router.get("/posts/{post_id}", response_class=HTMLResponse)
async def post_page(request: Request, person: Analyst, post_id: str) -> HTMLResponse:
    """Shows all that the index holds of a post."""
    post = await find_post(request.app.state.services, post_id)
    await note(request, "seen", post=post.id)
    return render(request, "search-post.html", post=post)
