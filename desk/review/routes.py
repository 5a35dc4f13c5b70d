"""The page `/review`. Its script gets everything else through `desk.review.api`."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse

from desk.access.people import Reviewer
from desk.pages import render
from desk.review.key_sheets import ONE_BY_ONE
from desk.review.ways import ways
from sinks.queue.values import MAX_NOTE

router = APIRouter(include_in_schema=False)


@router.get("/review", response_class=HTMLResponse)
async def page(request: Request, person: Reviewer) -> HTMLResponse:
    tabs = await ways(request.app.state.services.queue)
    return render(request, "review.html", ways=tabs, longest_note=MAX_NOTE, keys=ONE_BY_ONE)
