"""The page `/`."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse

from desk.access.people import Somebody
from desk.overview.figures import gather, utc_now
from desk.pages import render

router = APIRouter()


@router.get("/", response_class=HTMLResponse, include_in_schema=False)
async def overview(request: Request, person: Somebody) -> HTMLResponse:
    """How stream, queue and promise are doing."""
    now = utc_now()
    state = request.app.state
    figures = await gather(state.services, state.kafka_watch, state.agreement, now)
    return render(request, "overview.html", figures=figures, now=now)
