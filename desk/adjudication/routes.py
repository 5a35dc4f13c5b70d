"""The page `/review/disputed`. Its script sends what a person decides to `desk.adjudication.api`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import HTMLResponse

from core.reading import IDENTIFIER
from desk.access import audit
from desk.adjudication.api import ThePersons
from desk.pages import render
from desk.review.ways import ways

router = APIRouter(include_in_schema=False)

PostId = Annotated[str | None, Query(pattern=IDENTIFIER)]


@router.get("/review/disputed", response_class=HTMLResponse)
async def page(
    request: Request, own: ThePersons, post: PostId = None, names: bool = False, back: PostId = None
) -> HTMLResponse:
    """`post`: the task to show, by default the first one. `back`: a post that was just put back."""
    cases = await own.cases()
    refusals = {case.post: own.refusal(case.dispute) for case in cases}
    ordered = sorted(cases, key=lambda case: bool(refusals[case.post]))  # what the person may decide comes first
    shown = next((case for case in ordered if case.post == post), ordered[0] if ordered and post is None else None)
    place = ordered.index(shown) if shown else -1
    if cases:  # the list shows the beginning of each
        await audit.note(request, "seen", posts=[case.post for case in ordered])
    following = ordered[(place + 1) % len(ordered)].post if len(ordered) > 1 and shown else None
    return render(
        request,
        "disputed.html",
        ways=await ways(own.desk.queue),
        cases=ordered,
        refusals=refusals,
        shown=shown,
        is_gone=post is not None and shown is None,
        following=following,
        names=names,
        back=back,
        last=await own.last(),
    )
