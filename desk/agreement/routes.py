"""The page `/review/agreement`."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse

from desk.access.people import Reviewer
from desk.pages import render
from desk.review.ways import ways

router = APIRouter(include_in_schema=False)


@router.get("/review/agreement", response_class=HTMLResponse)
async def page(request: Request, person: Reviewer) -> HTMLResponse:
    """How far reviewers agree beyond chance: all of them, each two of them, and week by week."""
    state = request.app.state
    return render(
        request,
        "agreement.html",
        ways=await ways(state.services.queue),
        state=await state.agreement.state(),
        reviewers=state.services.settings.reviewers,
    )
