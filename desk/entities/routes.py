"""The pages `/entities`, `/entities/name` and `/entities/corrections`."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Annotated, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Request
from pydantic import ValidationError
from starlette.responses import HTMLResponse, RedirectResponse, Response

from core.errors import UserError
from core.events import explain
from desk.access.audit import note
from desk.access.people import Analyst
from desk.entities import reading, telling, view
from desk.entities.asked import PERIODS, TITLES, Asked, Period, asked_of
from desk.entities.values import NameCorrection, NewCorrection, TrendList, WholeName
from desk.pages import render
from desk.services import Services
from sinks.searching.state import SearchState

router = APIRouter(prefix="/entities", include_in_schema=False)

SHOWN = 20
"""Names of a list."""

TOLD = {
    "same": "Saved. The two names are one now, in lists, pages and search filters.",
    "split": "Saved. The spelling counts under its own name now.",
    "back": "Taken back. Lists, pages and search filters are as they were.",
}
"""What a page says after a change."""


@router.get("", response_class=HTMLResponse)
async def lists(request: Request, person: Analyst) -> HTMLResponse:
    """Shows the most mentioned names, and those that rise."""
    services: Services = request.app.state.services
    asked, now = asked_of(request.query_params), reading.utc_now()
    mentioned, choices, trends = await asyncio.gather(
        reading.mentioned(services, asked, now, SHOWN), reading.choices(services), _trends(services, asked, now)
    )
    await note(request, "saw names", names=len(mentioned.names) + (len(trends.names) if trends else 0))
    top = view.scale(trends.names) if trends else 2.0
    return render(
        request,
        "entities.html",
        asked=asked,
        periods=_periods(asked),
        choices=choices,
        mentioned=mentioned,
        trends=trends,
        pictures=[view.ratio(trend, top) for trend in trends.names] if trends else [],
        top=top,
        sure=view.SURE,
        times=view.times,
        problem=services.corrections.problem,
    )


async def _trends(services: Services, asked: Asked, now: datetime) -> TrendList | None:
    """Returns the names that rise, or None if there is no period to compare with."""
    return await reading.trends(services, asked, now, SHOWN) if asked.compared(now) else None


@router.get("/name", response_class=HTMLResponse)
async def name_page(request: Request, person: Analyst, name: str = "", told: str = "") -> HTMLResponse:
    """Shows all about one name."""
    return await _name_page(request, name, TOLD.get(told, ""))


@router.get("/corrections", response_class=HTMLResponse)
async def corrections(request: Request, person: Analyst, told: str = "") -> HTMLResponse:
    """Shows what people have said about names, the newest first."""
    services: Services = request.app.state.services
    return render(
        request,
        "entities-corrections.html",
        corrections=[NameCorrection.of_event(one) for one in services.corrections.all()],
        told=TOLD.get(told, ""),
        problem=services.corrections.problem,
    )


@router.post("/corrections")
async def correct(
    request: Request,
    person: Analyst,
    kind: Annotated[Literal["same", "split", "back"], Form()],
    page: Annotated[str, Form(max_length=reading.LONGEST)] = "",
    name: Annotated[str, Form()] = "",
    surface: Annotated[str, Form()] = "",
    keep: Annotated[Literal["page", "other"], Form()] = "page",
    key: Annotated[str, Form()] = "",
) -> Response:
    """Tells a correction, or takes one back, and leads back to the page. `page`: its name; none for that of all."""
    try:
        if kind == "back":
            await telling.take_back(request, person, key)
        else:
            await telling.tell(request, person, _new(kind, page, name.strip(), surface, keep))
    except UserError as error:
        if not page:
            raise
        return await _name_page(request, page, problem=str(error), status=400)
    path, pairs = ("/entities/name", {"name": page}) if page else ("/entities/corrections", {})
    return RedirectResponse(f"{path}?{urlencode(pairs | {'told': kind})}", 303)


def _new(kind: Literal["same", "split"], page: str, name: str, surface: str, keep: str) -> NewCorrection:
    """Returns the correction that a form tells. Raises `UserError`."""
    one, of = (name, page) if keep == "page" else (page, name)
    fields = {"name": one, "of": of} if kind == "same" else {"name": name, "surface": surface}
    try:
        return NewCorrection.model_validate({"kind": kind} | fields)
    except ValidationError as error:
        raise UserError(explain(error)) from None


async def _name_page(
    request: Request, name: str, told: str = "", *, problem: str = "", status: int = 200
) -> HTMLResponse:
    services: Services = request.app.state.services
    asked = asked_of(request.query_params if request.method == "GET" else {}, "all")
    found = await reading.whole(services, name, asked, reading.utc_now())
    await note(request, "saw a name", posts=[post.id for post in found.latest])
    return render(
        request,
        "entities-name.html",
        status,
        asked=asked,
        periods=[(title, asked.with_period(period).page(found.name), chosen) for title, period, chosen in _each(asked)],
        found=found,
        timeline=view.timeline(found.timeline),
        search=_search(found, asked),
        told=told,
        problem=problem,
        unread=services.corrections.problem,
    )


def _search(found: WholeName, asked: Asked) -> str:
    """Returns the address of the search for the posts of a name."""
    state = SearchState(
        names=(found.name,),
        types=(asked.type,) if asked.type else (),
        languages=(asked.lang,) if asked.lang else (),
        since=asked.since,
        until=asked.until,
    )
    return f"/search?{state.to_query()}"


def _each(asked: Asked) -> list[tuple[str, Period, bool]]:
    return [(TITLES[period], period, period == asked.period and not asked.has_days) for period in PERIODS]


def _periods(asked: Asked) -> list[tuple[str, str, bool]]:
    """Returns title, address and whether it is the present one, of each period of the lists."""
    return [(title, asked.with_period(period).lists(), chosen) for title, period, chosen in _each(asked)]
