"""The REST API of saved searches and of the live tail, below `/api/v1`."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request
from pydantic import BaseModel, Field
from sse_starlette import EventSourceResponse

from desk.access import audit
from desk.access.people import Analyst
from desk.saved import actions
from desk.saved.service import of
from desk.saved.tail import LONGEST_ID, MOST_SHOWN, PING_S, SEND_TIMEOUT_S, Stream, follow
from desk.saved.values import Name, NewWebhook, Saved
from desk.search.api import ERRORS, MISSING, TOO_MANY, Asked
from desk.search.posts import access_of
from desk.search.values import Answer, Problem
from desk.services import Services
from sinks.searching.changes import Place
from sinks.searching.request import Search

FORBIDDEN: dict[int | str, dict[str, Any]] = {
    403: {"model": Problem, "description": "The search belongs to somebody else, or the token lacks the role analyst."}
}
CONFLICT: dict[int | str, dict[str, Any]] = {409: {"model": Problem, "description": "The webhook is not paused."}}
TESTED: dict[int | str, dict[str, Any]] = {429: {"model": Problem, "description": "Too many test messages."}}
STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Events `ready`, `post`, `gone`, `gap`, `away`, `fault` and `end`, each with JSON.",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
}

router = APIRouter(prefix="/api/v1", tags=["saved searches"], responses=ERRORS)


class NewSearch(BaseModel):
    """A search to save."""

    name: Name = Field(examples=["Rocket launches"])
    query: str = Field(max_length=20_000, description="Query string of a search page.", examples=["q=nasa&type=ORG"])


class Renamed(BaseModel):
    """The new name of a search."""

    name: Name


class WebhookAddress(BaseModel):
    """Where matching posts go."""

    url: str = Field(min_length=1, max_length=2048, examples=["https://hooks.example/mner"])


class Tested(Answer):
    """What the receiver answered."""

    delivered: bool
    said: str


@router.get("/saved", summary="List saved searches")
async def list_saved(request: Request, person: Analyst) -> list[Saved]:
    """Returns the saved searches of all people, by name. Webhooks are shown to their owners and to admins."""
    return [await actions.shown(request, person, each) for each in of(request).searches.all()]


@router.post("/saved", summary="Save a search", status_code=201)
async def add_saved(request: Request, person: Analyst, new: NewSearch) -> Saved:
    """Saves a search under a name."""
    return await actions.shown(request, person, await actions.save(request, person, new.name, new.query))


@router.get("/saved/{search_id}", summary="Read a saved search", responses=MISSING)
async def read_saved(request: Request, person: Analyst, search_id: str) -> Saved:
    """Returns a saved search, with the last deliveries of its webhook."""
    return await actions.shown(request, person, of(request).searches.get(search_id))


@router.patch("/saved/{search_id}", summary="Rename a saved search", responses=MISSING | FORBIDDEN)
async def rename_saved(request: Request, person: Analyst, search_id: str, renamed: Renamed) -> Saved:
    """Renames a search of yours."""
    return await actions.shown(request, person, await actions.rename(request, person, search_id, renamed.name))


@router.delete("/saved/{search_id}", summary="Delete a saved search", status_code=204, responses=MISSING | FORBIDDEN)
async def delete_saved(request: Request, person: Analyst, search_id: str) -> None:
    """Deletes a search of yours with its webhook."""
    await actions.delete(request, person, search_id)


@router.put("/saved/{search_id}/webhook", summary="Set up a webhook", responses=MISSING | FORBIDDEN)
async def set_webhook(request: Request, person: Analyst, search_id: str, address: WebhookAddress) -> NewWebhook:
    """Sends the posts that begin to match from now on to an https address. The answer alone has the secret."""
    return await actions.set_webhook(request, person, search_id, address.url)


@router.delete("/saved/{search_id}/webhook", summary="Remove a webhook", status_code=204, responses=MISSING | FORBIDDEN)
async def remove_webhook(request: Request, person: Analyst, search_id: str) -> None:
    """Removes the webhook. Its secret is forgotten."""
    await actions.remove_webhook(request, person, search_id)


@router.post("/saved/{search_id}/webhook/test", summary="Test a webhook", responses=MISSING | FORBIDDEN | TESTED)
async def test_webhook(request: Request, person: Analyst, search_id: str) -> Tested:
    """Sends one signed message of type `webhook.test`, and waits for the answer."""
    outcome = await actions.test_webhook(request, person, search_id)
    return Tested(delivered=outcome.delivered, said=outcome.said)


@router.post(
    "/saved/{search_id}/webhook/resume",
    summary="Resume a webhook",
    status_code=204,
    responses=MISSING | FORBIDDEN | CONFLICT,
)
async def resume_webhook(request: Request, person: Analyst, search_id: str) -> None:
    """Lets a paused webhook go on where it stopped, so that no post is missed."""
    await actions.resume_webhook(request, person, search_id)


class Followed(Asked):
    """What a live tail follows."""

    after: str = Field("", max_length=4096, description="Id of an event: begin after it. `Last-Event-ID` goes before.")
    shown: list[Annotated[str, Field(max_length=LONGEST_ID)]] = Field(
        [], max_length=MOST_SHOWN, description="Ids of posts on your screen. You learn when one of them is `gone`."
    )


@router.get("/tail", summary="Follow a search", response_class=EventSourceResponse, responses=STREAM | TOO_MANY)
async def tail(
    request: Request,
    person: Analyst,
    asked: Annotated[Followed, Query()],
    last_event_id: Annotated[str, Header(max_length=4096)] = "",
) -> EventSourceResponse:
    """Returns server-sent events: each post that begins to match, and the ids of posts that match no more.

    The stream ends within a minute. Connect again with the last id, and nothing is missed in between; browsers do so.
    """
    services: Services = request.app.state.services
    following = of(request)
    state = asked.state()
    search = Search(state, access_of(services))
    told = last_event_id or asked.after
    place = Place.read(told) if told else await following.poller.place()
    following.streams.check(person.name)
    if following.streams.begins(person.name, state.to_query()) or not told:
        await audit.note(request, "search followed", **audit.audited(state))

    async def seen(posts: list[str]) -> None:
        await audit.note(request, "seen live", posts=posts)

    stream = Stream(search, lambda: access_of(services), place, asked.shown, seen)
    return EventSourceResponse(
        follow(following.poller, following.streams, person.name, stream), ping=PING_S, send_timeout=SEND_TIMEOUT_S
    )
