"""The page `/review/words` and its API: decides all tasks that ask about the same name at once, and undoes this as one.

No process keeps anything. A line names the task as the person saw it, and a bulk is found in the topic by its name.
"""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Query, Request
from starlette.responses import HTMLResponse

from core.events import BULK_ID, Decision, EntityType, Mention, ReviewTask
from core.spelling import normalise
from core.text import one_line
from desk.access.audit import note, note_once
from desk.access.people import Person, Reviewer
from desk.pages import render
from desk.review.api import CHANGED, PROBLEMS, REFUSED
from desk.review.bulk_topic import REPEAT_S, decisions_of, made_ms
from desk.review.key_sheets import BY_NAME
from desk.review.ways import ways
from desk.review.word_lines import seen, tell_line
from desk.review.word_values import (
    MOST_LINES,
    BulkTold,
    GroupsTold,
    GroupTold,
    LeftTold,
    Line,
    LinesTold,
    ResultTold,
    Settling,
)
from desk.services import Services
from review.bulk import Answer, Bulk, BulkResult, Left, new_bulk_id
from review.work import InvalidAction
from sinks.queue.values import is_vote_of
from streams import servers, topics

FARTHEST = 10**9
UNDO_S = 24 * 3600
"""Time, in seconds, for which a bulk can be undone."""
AHEAD_S = 5
"""How much, in seconds, the clock of another process of the desk may be ahead."""

router = APIRouter()
API = "/api/v1/review/names"

MAX_NAME = 1_000
"""Longest name, in characters, whose tasks can be listed. It stands in an address."""

Name = Annotated[str, Query(min_length=1, max_length=MAX_NAME, description="The name, in any spelling.")]
BulkId = Annotated[str, Path(pattern=BULK_ID, description="Name of the bulk.")]


@router.get("/review/words", response_class=HTMLResponse, include_in_schema=False)
async def page(request: Request, person: Reviewer) -> HTMLResponse:
    """Its script gets the names and lines."""
    services = _services(request)
    return render(
        request,
        "words.html",
        ways=await ways(services.queue),
        reviewers=services.settings.reviewers,
        most=MOST_LINES,
        undo_s=UNDO_S,
        keys=BY_NAME,
    )


@router.get(API, summary="List names", tags=["review"], responses=PROBLEMS)
async def groups(
    request: Request,
    person: Reviewer,
    q: Annotated[str, Query(max_length=200, description="A part of the name.")] = "",
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    offset: Annotated[int, Query(ge=0, le=FARTHEST)] = 0,
) -> GroupsTold:
    """Returns the names that tasks ask about, each with its type, those of most tasks first.

    Posts whose text may not be shown do not count, nor do posts on which the person has voted. A name of such posts
    alone is left out.
    """
    services, part = _services(request), normalise(q) if q.strip() else ""
    page = await services.queue.names.page(limit, offset, part, person.name)
    told = []
    for group in page.groups:
        shown = (tasks for source, tasks in group.sources.items() if services.sources.of(source).may_show_text)
        if tasks := sum(shown):
            told.append(GroupTold(name=group.name, type=group.type, tasks=tasks))
    await note_once(request, "saw names", "tasks", names=len(told))  # the page asks again after each answer
    return GroupsTold(groups=told, next=page.next)


@router.get(f"{API}/lines", summary="List the tasks of a name", tags=["review"], responses=PROBLEMS)
async def lines(
    request: Request,
    person: Reviewer,
    name: Name,
    type: EntityType,
    limit: Annotated[int, Query(ge=1, le=200)] = 100,
    offset: Annotated[int, Query(ge=0, le=FARTHEST)] = 0,
) -> LinesTold:
    """Returns the tasks that ask about a name with a type, in the order of the queue, without leasing them.

    Posts whose text may not be shown are left out, and so are posts on which the person has voted.
    """
    services, name = _services(request), normalise(name)
    entries, following = await services.queue.group(name, type, limit, offset)
    voted = await services.queue.votes.given(person.name, [entry.task.tweet.id for entry in entries])
    told = [
        line
        for entry in entries
        if services.sources.of(entry.task.tweet.source).may_show_text
        and entry.task.tweet.id not in voted
        and (line := tell_line(entry, name, type))
    ]
    await note(request, "seen", posts=[line.post for line in told])
    return LinesTold(name=name, type=type, lines=told, next=following)


@router.post(f"{API}/bulks", summary="Name a bulk", status_code=201, tags=["review"], responses=PROBLEMS)
async def new(request: Request, person: Reviewer) -> BulkTold:
    """Returns the name of a new bulk. It decides nothing."""
    return BulkTold(id=new_bulk_id())


@router.put(
    f"{API}/bulks/{{bulk}}", summary="Decide many tasks", tags=["review"], responses=PROBLEMS | CHANGED | REFUSED
)
async def settle(request: Request, person: Reviewer, bulk: BulkId, sent: Settling) -> ResultTold:
    """Gives the questions about a name one answer, in each task as the person saw it.

    The same request again, within ten minutes, finishes what the first one began, and decides nothing twice.
    """
    services = _services(request)
    if not -AHEAD_S <= time.time() - made_ms(bulk) / 1000 <= REPEAT_S:
        raise HTTPException(409, "this bulk is too old to be decided now; look at the lines again")
    if sent.looked_at < len(sent.lines):
        raise HTTPException(400, f"looked_at is {sent.looked_at}, but {len(sent.lines)} tasks are to be decided")
    try:
        answer = Answer(sent.action, sent.to)
    except InvalidAction as error:
        raise HTTPException(400, str(error)) from None
    if sent.to == sent.type:
        raise HTTPException(400, f"they are {sent.type} already; accept them")
    tasks, gone = await _as_seen(services, person, bulk, sent.lines)
    made = await _bulk(services, person).settle(
        tasks, sent.name, sent.type, answer, looked_at=sent.looked_at, bulk_id=bulk
    )
    told = _told(made, sent.name, sent.type, gone)
    await note(request, "decided_bulk", bulk=bulk, posts=told.posts, looked_at=sent.looked_at)
    return told


@router.post(f"{API}/bulks/{{bulk}}/retraction", summary="Undo a bulk", tags=["review"], responses=PROBLEMS | CHANGED)
async def undo(request: Request, person: Reviewer, bulk: BulkId) -> ResultTold:
    """Takes all decisions of a bulk of the same person back, as one, within a day.

    Leaves posts that were deleted, and tasks that somebody has decided since.
    """
    services = _services(request)
    if not -AHEAD_S <= time.time() - made_ms(bulk) / 1000 <= UNDO_S:
        raise HTTPException(409, "this bulk is more than a day old; open its posts one by one")
    decided = await _decided(services, person, bulk)
    if not decided:
        raise HTTPException(409, "nothing is left to undo: you have no decisions of this bulk, or took them back")
    left, gone = await _still_held(services, decided)
    undone = await _bulk(services, person).undo(BulkResult(bulk, tuple(left)))
    asked = _question(decided[0])
    told = _told(undone, asked.text, asked.type, gone)
    await note(request, "retracted_bulk", bulk=bulk, posts=told.posts)
    return told


async def _as_seen(
    services: Services, person: Person, bulk: str, lines: list[Line]
) -> tuple[list[ReviewTask], list[Left]]:
    """Returns the tasks as the person saw them, and those that are no longer so.

    A repeated request finds the tasks that it has decided in the topic.
    """
    wanted = {line.post: line.seen for line in lines}
    found = await services.queue.tasks(list(wanted))
    tasks = {post: task for post, task in found.items() if seen(task) == wanted[post]}
    if len(tasks) < len(wanted):
        earlier = (decision.task for decision in await _decided(services, person, bulk))
        known = [task for task in earlier if seen(task) == wanted.get(task.tweet.id)]
        tasks = {task.tweet.id: task for task in known} | tasks
    why = "it was decided, edited or deleted since you saw it"
    gone = [Left(post, "changed", why) for post in wanted if post not in tasks]
    return [tasks[post] for post in wanted if post in tasks], gone


async def _still_held(services: Services, decided: list[Decision]) -> tuple[list[Decision], list[Left]]:
    """Returns the decisions on posts that the queue still knows. An undo must bring no deleted post back."""
    holdings = await services.queue.holdings([decision.task.tweet.id for decision in decided])
    kept, gone = [], []
    for decision, holding in zip(decided, holdings, strict=True):
        tweet = decision.task.tweet
        may_show = services.sources.of(tweet.source).may_show_text
        if may_show and not holding.erased and (holding.task or holding.decided):
            kept.append(decision)
        else:
            gone.append(Left(tweet.id, "changed", "the post was deleted since, or may no longer be shown"))
    return kept, gone


async def _decided(services: Services, person: Person, bulk: str) -> list[Decision]:
    settings = services.settings
    topic = settings.name(topics.DECISIONS)
    return await services.readings.run(decisions_of, servers.kafka(settings), topic, bulk, person.name)


def _bulk(services: Services, person: Person) -> Bulk:
    return Bulk(services.queue, services.decisions, person.name, reviewers=services.settings.reviewers)


def _question(decision: Decision) -> Mention:
    """Returns the mention that a decision of a bulk was about. What it closes in passing has no mention after it."""
    earlier = decision.task.answers
    own = next((vote for vote in decision.votes if is_vote_of(vote, decision)), None)
    verdicts = own.verdicts if own else decision.verdicts
    given = [verdict for verdict in verdicts if verdict.before is not None and verdict not in earlier]
    kept = [verdict for verdict in given if verdict.after is not None]
    before = (kept or given)[0].before
    assert before is not None
    return before


def _told(result: BulkResult, name: str, entity_type: EntityType, gone: list[Left]) -> ResultTold:
    return ResultTold(
        id=result.bulk_id,
        name=normalise(name),
        type=entity_type,
        posts=[decision.task.tweet.id for decision in result.decisions],
        left=[
            LeftTold(post=one.tweet_id, why=one.why, sentence=one_line(one.sentence)) for one in (*gone, *result.left)
        ],
    )


def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services
