"""The REST API of search, below `/api/v1`. It takes the same parameters as the page and returns the same hits."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field
from starlette.responses import StreamingResponse

from core.events import EntityType
from desk.access.audit import audited, note
from desk.access.people import Analyst
from desk.search.export import Layout, export
from desk.search.posts import access_of, find_post
from desk.search.values import DecidedBy, Post, Problem, SearchAnswer
from desk.services import Services
from sinks.searching.request import MAX_PAGE
from sinks.searching.search import search
from sinks.searching.state import MAX_VALUES, Order, SearchState

ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"model": Problem, "description": "A parameter cannot be used; the answer says which, and what to do."},
    401: {"model": Problem, "description": "No token, or one that is not valid."},
    403: {"model": Problem, "description": "The token lacks the role analyst."},
    422: {"model": Problem, "description": "A parameter has the wrong form."},
    503: {"model": Problem, "description": "Elasticsearch is away. Try again after the seconds of `Retry-After`."},
}
TOO_MANY: dict[int | str, dict[str, Any]] = {429: {"model": Problem, "description": "Too many exports at once."}}
MISSING: dict[int | str, dict[str, Any]] = {404: {"model": Problem, "description": "There is no such post."}}
FILES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "One post a line (JSONL), or a row (CSV), in the order of the ids.",
        "headers": {"X-Total-Count": {"description": "Posts when the export began.", "schema": {"type": "integer"}}},
        "content": {
            "application/jsonl": {"schema": {"type": "string"}},
            "text/csv": {"schema": {"type": "string"}},
        },
    }
}

router = APIRouter(prefix="/api/v1", tags=["search"], responses=ERRORS)


class Asked(BaseModel):
    """What a search asks for. Of one filter, any value matches; all filters must match."""

    q: str = Field("", description="Words to find, as in the query box of the page.", examples=["cape canaveral"])
    type: list[EntityType] = Field(
        [], description="Posts with a mention of one of these types.", max_length=MAX_VALUES, examples=["ORG"]
    )
    name: list[str] = Field(
        [],
        description="Posts with a mention of one of these names. With `type`, one mention must have both.",
        max_length=MAX_VALUES,
    )
    account: list[str] = Field(
        [], description="Posts that name one of these accounts, with or without `@`.", max_length=MAX_VALUES
    )
    author: list[str] = Field([], description="Names or ids of authors.", max_length=MAX_VALUES)
    lang: list[str] = Field([], description="Languages, as the posts give them.", max_length=MAX_VALUES)
    source: list[str] = Field([], description="Where the posts are from.", max_length=MAX_VALUES)
    by: list[DecidedBy] = Field([], description="Who decided about the posts: the model, or a human.", max_length=2)
    since: date | None = Field(None, description="First day, in UTC, on which the posts were created.")
    until: date | None = Field(None, description="Last day, in UTC, on which the posts were created.")

    def state(self, order: Order = "best", page: str = "") -> SearchState:
        """Returns the search. Raises `UserError` as it does."""
        return SearchState(
            words=self.q,
            types=tuple(self.type),
            names=tuple(self.name),
            accounts=tuple(self.account),
            authors=tuple(self.author),
            languages=tuple(self.lang),
            sources=tuple(self.source),
            decided_by=tuple(self.by),
            since=self.since,
            until=self.until,
            order=order,
            page=page,
        )


class AskedPage(Asked):
    """A page of what a search asks for."""

    sort: Order = Field("best", description="`best`: by relevance, then newest first.", examples=["newest"])
    page: str = Field("", description="`next` or `previous` of an answer to the same search. Empty: the first page.")
    size: int = Field(20, ge=1, le=MAX_PAGE, description="Posts of a page.", examples=[5])


class AskedFile(Asked):
    """A file of all that a search asks for."""

    layout: Layout = Field("jsonl", description="`jsonl`, or `csv` for a spreadsheet.", examples=["jsonl"])


@router.get("/search", summary="Search posts")
async def search_posts(request: Request, person: Analyst, asked: Annotated[AskedPage, Query()]) -> SearchAnswer:
    """Returns a page of the posts that match, with the counts of each filter and a timeline.

    Send `next` of the answer as `page` for the page after it. Pages are equally fast, however deep they lie.
    """
    services: Services = request.app.state.services
    state = asked.state(asked.sort, asked.page)
    found = await search(services.index, state, access_of(services), asked.size)
    await note(request, "searched", **audited(state), posts=[hit.id for hit in found.hits])
    return SearchAnswer.of(found)


@router.get("/posts/{post_id}", summary="Read a post", responses=MISSING)
async def read_post(request: Request, person: Analyst, post_id: str) -> Post:
    """Returns all that the index holds of a post: its text, mentions with their uncertainty, model and decision."""
    post = await find_post(request.app.state.services, post_id)
    await note(request, "seen", post=post.id)
    return post


@router.get("/export", summary="Export all posts", response_class=StreamingResponse, responses=FILES | TOO_MANY)
async def export_posts(request: Request, person: Analyst, asked: Annotated[AskedFile, Query()]) -> StreamingResponse:
    """Returns all posts that match, in the order of their ids, while it reads them.

    JSONL has the lines of `mner export`, which `mner import` reads. In CSV, no cell can be a formula. Posts that are
    deleted meanwhile are left out. The answer is complete only if it ends without an error. The audit log notes it.
    """
    return await export(request, person, asked.state(), asked.layout)
