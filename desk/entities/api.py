"""The REST API of names, below `/api/v1/entities`."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Request
from pydantic import BaseModel, Field

from core.events import EntityType
from desk.access.audit import note, note_once
from desk.access.people import Analyst
from desk.entities import reading, telling
from desk.entities.asked import Asked, Period
from desk.entities.values import NameCorrection, NameList, NewCorrection, Suggestion, TrendList, WholeName
from desk.search.api import ERRORS
from desk.search.values import Problem
from desk.services import Services

MISSING: dict[int | str, dict[str, Any]] = {404: {"model": Problem, "description": "There is no such correction."}}

router = APIRouter(prefix="/api/v1/entities", tags=["entities"], responses=ERRORS)


class AskedNames(BaseModel):
    """Which posts and mentions count."""

    since: date | None = Field(None, description="First day, in UTC. Days stand in place of `period`.")
    until: date | None = Field(None, description="Last day, in UTC.")
    type: EntityType | None = Field(None, description="Mentions of this type.", examples=["ORG"])
    source: str = Field("", max_length=512, description="Posts from here; `mastodon` also finds `mastodon:NAME`.")
    lang: str = Field("", max_length=512, description="Posts in this language, as they give it.")

    def asked(self, period: Period) -> Asked:
        """Returns what the pages ask for. Raises `UserError` as it does."""
        return Asked(period, self.since, self.until, self.type or "", self.source, self.lang)


class AskedList(AskedNames):
    """A list of names."""

    period: Period = Field("7d", description="`24h`, `7d`, `30d`, or `all`.", examples=["7d"])
    limit: int = Field(20, ge=1, le=reading.MOST, description="Names of the list.", examples=[5])


class AskedPage(AskedNames):
    """One name."""

    period: Period = Field("all", description="`24h`, `7d`, `30d`, or `all`.")
    name: str = Field(description="Any spelling of the name.", min_length=1, max_length=reading.LONGEST)


@router.get("", summary="List the most mentioned names")
async def most_mentioned(request: Request, person: Analyst, asked: Annotated[AskedList, Query()]) -> NameList:
    """Returns the names that most posts mention. Names that people have told to be one count as one."""
    services: Services = request.app.state.services
    found = await reading.mentioned(services, asked.asked(asked.period), reading.utc_now(), asked.limit)
    await note(request, "saw names", names=len(found.names))
    return found


@router.get("/trending", summary="List the names that rise")
async def trending(request: Request, person: Analyst, asked: Annotated[AskedList, Query()]) -> TrendList:
    """Returns the names whose share of all posts is larger than in the equally long period before.

    Of the names that are returned, at most 5% are expected to have risen by chance alone. The test takes posts as
    independent, so posts that copy each other make a trend surer than it is.
    """
    services: Services = request.app.state.services
    found = await reading.trends(services, asked.asked(asked.period), reading.utc_now(), asked.limit)
    await note(request, "saw names", names=len(found.names))
    return found


@router.get("/page", summary="Read all about a name")
async def page(request: Request, person: Analyst, asked: Annotated[AskedPage, Query()]) -> WholeName:
    """Returns types, spellings, timeline, companions and latest posts. A name that no post mentions has none."""
    services: Services = request.app.state.services
    found = await reading.whole(services, asked.name, asked.asked(asked.period), reading.utc_now())
    await note(request, "saw a name", posts=[post.id for post in found.latest])
    return found


@router.get("/suggestions", summary="Find names that begin with a text")
async def suggestions(
    request: Request, person: Analyst, q: Annotated[str, Query(max_length=256, description="The beginning.")]
) -> list[Suggestion]:
    """Returns up to eight names, that of most posts first."""
    found = await reading.suggestions(request.app.state.services, q)
    await note_once(request, "saw names", "suggestions", suggested=True)  # a page asks at each key
    return found


@router.get("/corrections", summary="List the corrections of names")
async def corrections(request: Request, person: Analyst) -> list[NameCorrection]:
    """Returns what people have said about names, also what they have taken back, the newest first."""
    services: Services = request.app.state.services
    return [NameCorrection.of_event(one) for one in telling.known(services)]


@router.post("/corrections", summary="Correct a name", status_code=201)
async def correct(request: Request, person: Analyst, new: NewCorrection) -> NameCorrection:
    """Says that two names are one, or that one spelling is another name. It holds at once, everywhere."""
    return NameCorrection.of_event(await telling.tell(request, person, new))


@router.delete("/corrections", summary="Take a correction back", responses=MISSING)
async def take_back(
    request: Request, person: Analyst, key: Annotated[str, Query(max_length=4000, description="As in the list.")]
) -> NameCorrection:
    """Takes a correction back. Doing so twice is no error."""
    found = await telling.take_back(request, person, key)
    if found is None:
        raise HTTPException(404, "there is no such correction")
    return NameCorrection.of_event(found)
