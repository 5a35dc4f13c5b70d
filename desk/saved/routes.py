"""The pages `/saved` and `/live`, and the forms of the first."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request
from pydantic import ValidationError
from starlette.responses import HTMLResponse, RedirectResponse

from core.errors import UserError
from core.events import explain
from desk.access.people import Analyst, Person
from desk.pages import render
from desk.saved import actions
from desk.saved.service import of
from desk.saved.values import NewWebhook
from desk.search import view
from desk.search.posts import access_of
from sinks.searching.request import Search
from sinks.searching.state import SearchState

router = APIRouter(include_in_schema=False)

Text = Annotated[str, Form(max_length=20_000)]
BACK = 303


@router.get("/saved", response_class=HTMLResponse)
async def saved_page(request: Request, person: Analyst) -> HTMLResponse:
    """Lists the saved searches."""
    return await _page(request, person)


async def _page(
    request: Request, person: Person, new: NewWebhook | None = None, fresh: str = "", said: str = "", good: bool = True
) -> HTMLResponse:
    """Shows the list. `new`: a webhook of the search `fresh`, whose secret is shown this once."""
    rows = []
    for each in of(request).searches.all():
        saved = await actions.shown(request, person, each)
        try:
            chips, words = view.chips(each.state), each.state.words
        except UserError:
            chips, words = (), ""
        rows.append((saved, chips, words))
    rows.sort(key=lambda row: row[0].owner != person.name)
    return render(
        request, "saved.html", rows=rows, new=new, fresh=fresh, said=said, good=good, problem=of(request).poller.problem
    )


@router.post("/saved")
async def save(request: Request, person: Analyst, name: Text, query: Text = "") -> RedirectResponse:
    """Saves a search."""
    try:
        search = await actions.save(request, person, name, query)
    except ValidationError as error:
        raise UserError(f"name: {explain(error)}") from None
    return RedirectResponse(f"/saved#search-{search.id}", BACK)


@router.post("/saved/{search_id}/name")
async def rename(request: Request, person: Analyst, search_id: str, name: Text) -> RedirectResponse:
    """Renames a search."""
    try:
        await actions.rename(request, person, search_id, name)
    except ValidationError as error:
        raise UserError(f"name: {explain(error)}") from None
    return RedirectResponse(f"/saved#search-{search_id}", BACK)


@router.post("/saved/{search_id}/delete")
async def delete(request: Request, person: Analyst, search_id: str) -> RedirectResponse:
    """Deletes a search."""
    await actions.delete(request, person, search_id)
    return RedirectResponse("/saved", BACK)


@router.post("/saved/{search_id}/webhook")
async def set_webhook(request: Request, person: Analyst, search_id: str, url: Text) -> HTMLResponse:
    """Sets up a webhook, and shows its secret."""
    new = await actions.set_webhook(request, person, search_id, url)
    return await _page(request, person, new, search_id)


@router.post("/saved/{search_id}/webhook/test")
async def test_webhook(request: Request, person: Analyst, search_id: str) -> HTMLResponse:
    """Sends a test message, and shows the answer."""
    outcome = await actions.test_webhook(request, person, search_id)
    arrived = "The test message arrived" if outcome.delivered else "The test message did not arrive"
    return await _page(request, person, None, search_id, f"{arrived}: {outcome.said}", outcome.delivered)


@router.post("/saved/{search_id}/webhook/resume")
async def resume_webhook(request: Request, person: Analyst, search_id: str) -> RedirectResponse:
    """Lets a paused webhook go on."""
    await actions.resume_webhook(request, person, search_id)
    return RedirectResponse(f"/saved#search-{search_id}", BACK)


@router.post("/saved/{search_id}/webhook/remove")
async def remove_webhook(request: Request, person: Analyst, search_id: str) -> RedirectResponse:
    """Removes a webhook."""
    await actions.remove_webhook(request, person, search_id)
    return RedirectResponse(f"/saved#search-{search_id}", BACK)


@router.get("/live", response_class=HTMLResponse)
async def live_page(request: Request, person: Analyst) -> HTMLResponse:
    """Shows posts as they begin to match."""
    state = SearchState.from_query(request.url.query)
    Search(state, access_of(request.app.state.services))
    return render(request, "live.html", state=state, words=state.words, query=state.to_query(), chips=view.chips(state))
