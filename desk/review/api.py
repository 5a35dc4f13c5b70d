"""The review as JSON, for the page and for programs with a token."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Path, Request
from starlette.responses import Response

from core.reading import IDENTIFIER
from desk.access.audit import note, note_once
from desk.access.people import Reviewer
from desk.review.ranks import Ranks
from desk.review.service import Changed, Gone, Reviews
from desk.review.values import (
    Ask,
    CountsTold,
    Done,
    Hand,
    OfSession,
    Past,
    Problem,
    Renewal,
    Renewed,
    Settling,
    Skip,
    TaskTold,
)
from desk.services import Services
from review.work import InvalidAction

PROBLEMS: dict[int | str, dict[str, Any]] = {
    401: {"model": Problem, "description": "Nobody is signed in."},
    403: {"model": Problem, "description": "The person may not review."},
    422: {"model": Problem, "description": "The request does not have the form below."},
    503: {"model": Problem, "description": "The queue or the topic is away. Send the same again."},
}
CHANGED: dict[int | str, dict[str, Any]] = {
    409: {"model": Problem, "description": "The task is not the client's, or it changed."},
    410: {"model": Problem, "description": "The post was deleted."},
}
REFUSED: dict[int | str, dict[str, Any]] = {400: {"model": Problem, "description": "An answer makes no sense."}}

router = APIRouter(prefix="/api/v1/review", tags=["review"], responses=PROBLEMS)


def reviews(request: Request) -> Reviews:
    """Returns the review of this process."""
    made: Reviews | None = getattr(request.app.state, "reviews", None)
    if made is None:
        services: Services = request.app.state.services
        made = request.app.state.reviews = Reviews(
            services.queue,
            services.decisions,
            services.sources,
            services.settings.reviewers,
            Ranks(services.index, services.queue),
        )
    return made


def refused(error: Changed) -> HTTPException:
    return HTTPException(410 if isinstance(error, Gone) else 409, str(error))


TheReviews = Annotated[Reviews, Depends(reviews)]
PostId = Annotated[str, Path(pattern=IDENTIFIER, description="Id of the post.")]


@router.post("/hand", summary="Lease the next tasks")
async def hand(request: Request, asked: Ask, person: Reviewer, reviews: TheReviews) -> Hand:
    """Renews the leases in `held`, then leases up to `want` more tasks, in the order of the queue.

    With `known`, leases of the session whose answer was lost come first among them.
    """
    found = await reviews.hand(person.name, asked.session, asked.want, asked.held, asked.known)
    if found.tasks:
        await note(request, "seen", posts=[task.post for task in found.tasks])
    return found


@router.post("/leases", summary="Renew leases")
async def renew(sent: Renewal, person: Reviewer, reviews: TheReviews) -> Renewed:
    """Renews leases. A lease that ended can be renewed as long as nobody else has taken the task."""
    return Renewed(lost=await reviews.renew(person.name, sent.leases, leaving=sent.leaving))


@router.post("/tasks/{post}/lease", summary="Lease the task of one post", responses=CHANGED)
async def take(request: Request, post: PostId, sent: OfSession, person: Reviewer, reviews: TheReviews) -> TaskTold:
    """Leases the task of this post, if it is free, and not for somebody else to decide."""
    try:
        task = await reviews.take(person.name, sent.session, post, is_admin=person.may("admin"))
    except Changed as error:
        raise refused(error) from None
    await note(request, "seen", post=post)
    return task


@router.post("/decisions", summary="Decide a task", responses=CHANGED | REFUSED)
async def settle(request: Request, sent: Settling, person: Reviewer, reviews: TheReviews) -> Done:
    """Stores a decision on a leased task. Returns when Kafka has confirmed it."""
    try:
        done = await reviews.settle(person.name, sent, is_admin=person.may("admin"))
    except InvalidAction as error:
        raise HTTPException(400, str(error)) from None
    except Changed as error:
        raise refused(error) from None
    await note(request, "decided", post=sent.post)
    return done


@router.get("/decisions", summary="List one's last decisions")
async def past(request: Request, person: Reviewer, reviews: TheReviews) -> Past:
    """Returns the person's last decisions, the latest first. Each can be opened again, also from another browser."""
    decisions = await reviews.past(person.name)
    if decisions:
        posts = [each.post for each in decisions]
        await note_once(request, "seen", " ".join(posts), posts=posts)  # each open tab asks again every minute
    return Past(decisions=decisions)


@router.post("/tasks/{post}/reopening", summary="Take a decision back", responses=CHANGED)
async def reopen(request: Request, post: PostId, sent: OfSession, person: Reviewer, reviews: TheReviews) -> TaskTold:
    """Takes back the person's last decision on this post, and leases its task again. A retry is safe."""
    try:
        task = await reviews.reopen(person.name, sent.session, post, is_admin=person.may("admin"))
    except Changed as error:
        raise refused(error) from None
    await note(request, "reopened", post=post)
    return task


@router.post("/skips", summary="Skip a task", status_code=204)
async def skip(request: Request, sent: Skip, person: Reviewer, reviews: TheReviews) -> Response:
    """Gives the task back undecided. Others may get it. The person does not get it on this day (UTC), in no tab, until
    they ask for what they skipped."""
    await reviews.skip(person.name, sent)
    await note(request, "skipped", post=sent.post)
    return Response(status_code=204)


@router.post("/unskips", summary="Ask for the skipped tasks again", status_code=204)
async def unskip(request: Request, sent: OfSession, person: Reviewer, reviews: TheReviews) -> Response:
    """Makes the person get the tasks that they skipped."""
    await reviews.unskip(person.name)
    await note(request, "asked for skipped tasks")
    return Response(status_code=204)


@router.get("/counts", summary="Size of the queue")
async def counts(person: Reviewer, reviews: TheReviews) -> CountsTold:
    """Returns how many tasks wait, are leased, and are decided."""
    return await reviews.counts(person.name)
