"""Disputed and flagged tasks as JSON, for the page and for programs with a token."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request
from pydantic import BaseModel
from starlette.responses import Response

from core.reading import IDENTIFIER
from desk.access import audit
from desk.access.people import Reviewer
from desk.adjudication.service import LEASE_S, Adjudication, Changed
from desk.adjudication.values import Cases, FlagSent, FlagState, Settlement, tell
from desk.services import Services
from review.settling import Desk, NotYours
from review.work import InvalidAction


class Problem(BaseModel):
    """Why a request was refused."""

    error: str


PROBLEMS: dict[int | str, dict[str, Any]] = {
    401: {"model": Problem, "description": "Nobody is signed in."},
    403: {"model": Problem, "description": "The person may not review, or not decide this task."},
    422: {"model": Problem, "description": "The request does not have the form below."},
    503: {"model": Problem, "description": "The queue or the topic is away. Send the same again."},
}
CHANGED: dict[int | str, dict[str, Any]] = {
    400: {"model": Problem, "description": "The version cannot be taken."},
    409: {"model": Problem, "description": "The task has changed, or somebody else works on it."},
}

router = APIRouter(prefix="/api/v1/review", tags=["review"], responses=PROBLEMS)


def adjudication(request: Request, person: Reviewer) -> Adjudication:
    """Returns what decides for the person of a request."""
    services: Services = request.app.state.services
    desk = Desk(services.queue, services.decisions, services.settings.reviewers, LEASE_S)
    return Adjudication(desk, person, services.sources)


ThePersons = Annotated[Adjudication, Depends(adjudication)]
PostId = Annotated[str, Path(pattern=IDENTIFIER, description="Id of the post.")]


@contextmanager
def refusing() -> Iterator[None]:
    """Turns what a person may not do into HTTP errors."""
    try:
        yield
    except NotYours as error:
        raise HTTPException(403, str(error)) from None
    except InvalidAction as error:
        raise HTTPException(400, str(error)) from None
    except Changed as error:
        raise HTTPException(409, str(error)) from None


@router.get("/disputed", summary="List disputed and flagged tasks")
async def list_(
    request: Request,
    own: ThePersons,
    names: Annotated[bool, Query(description="Whether to name those who voted.")] = False,
) -> Cases:
    """Returns tasks on which the votes differ, and tasks that a reviewer left to somebody else: 100 of each."""
    cases = await own.cases()
    await audit.note(request, "seen", posts=[case.post for case in cases])
    return Cases(cases=[tell(case, own.refusal(case.dispute), names=names) for case in cases])


@router.post("/disputed/{post}/settlement", summary="Settle a dispute", status_code=204, responses=CHANGED)
async def settle(post: PostId, sent: Settlement, own: ThePersons, request: Request) -> Response:
    """Settles a task with one of the versions. Returns when Kafka has confirmed the decision."""
    with refusing():
        await own.settle(post, sent.task, sent.version, sent.id)
    await audit.note(request, "dispute settled", post=post)
    return Response(status_code=204)


@router.post("/disputed/{post}/reopening", summary="Take a settlement back", status_code=204, responses=CHANGED)
async def reopen(post: PostId, own: ThePersons, request: Request) -> Response:
    """Takes back the person's own settlement of a dispute. The votes of others stay."""
    with refusing():
        await own.reopen(post)
    await audit.note(request, "dispute opened again", post=post)
    return Response(status_code=204)


@router.put("/disputed/{post}/flag", summary="Put a flagged task back", status_code=204, responses=CHANGED)
async def set_flag(post: PostId, sent: FlagState, own: ThePersons, request: Request) -> Response:
    """Puts a flagged task back among the others, or takes that back."""
    with refusing():
        await own.set_flag(post, sent.is_up)
    await audit.note(request, "flag put up" if sent.is_up else "flag put down", post=post)
    return Response(status_code=204)


@router.post("/tasks/{post}/flag", summary="Flag a task", status_code=204, responses=CHANGED)
async def flag(post: PostId, sent: FlagSent, own: ThePersons, request: Request) -> Response:
    """Leaves a task that the person has leased to somebody else, with a note. A retry is safe."""
    with refusing():
        await own.flag(post, sent.token, sent.note)
    await audit.note(request, "flagged", post=post)
    return Response(status_code=204)
