"""Serves the photos of posts: `/images/POST/NUMBER.jpg`, with `?small` for a thumbnail.

A reviewer sees photos of posts with a task, an analyst those of posts in the index. No photo is shown of a post that is
hidden or older than the retention, or whose source forbids it. So nobody can make the desk fetch an address of their
own choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import JSONResponse, Response

from core.reading import IDENTIFIER, MAX_MEDIA
from desk.access.audit import note_once
from desk.access.people import Person, Somebody
from desk.search.posts import access_of
from desk.services import Services
from streams.images.errors import ImageError
from streams.retention import Retention

router = APIRouter(include_in_schema=False)

KEEP = "private, no-cache"
"""A browser keeps a photo, but asks before it shows it again, since the post may be erased meanwhile."""


@router.get("/images/{post}/{number}.jpg")
async def photo(
    request: Request,
    person: Somebody,
    post: Annotated[str, Path(pattern=IDENTIFIER)],
    number: Annotated[int, Path(ge=0, lt=MAX_MEDIA)],
    small: Annotated[str | None, Query()] = None,
) -> Response:
    """Returns a photo as JPEG. Its number counts all media of the post, from 0. The JSON of HTTP 404 has the reason."""
    services: Services = request.app.state.services
    addresses = await _addresses(services, person, post)
    if number >= len(addresses):
        return _missing("the desk holds no such photo, or its source or your role does not let it be shown")
    try:
        known = request.headers.get("If-None-Match", "")
        found = await services.images.jpeg(addresses[number], thumbnail=small is not None, known=known)
    except ImageError as error:
        return _missing(error.reason)
    await note_once(request, "seen image", post, post=post)
    headers = {"Cache-Control": KEEP, "ETag": found.etag}
    if found.body is None:
        return Response(status_code=304, headers=headers)
    return Response(found.body, media_type="image/jpeg", headers=headers)


async def _addresses(services: Services, person: Person, post: str) -> Sequence[str]:
    """Returns the addresses of the post's media, as the queue or else the index holds them, if the person may."""
    holding = await services.queue.holds(post)
    if holding.hidden or holding.erased:
        return ()
    if person.may("reviewer") and (task := (await services.queue.tasks([post])).get(post)):
        if Retention(services.settings.index_retention_days).is_over(task.tweet):
            return ()
        source, found = task.tweet.source, [media.url for media in task.tweet.media]
    elif person.may("analyst"):
        document = await services.index.get(post)
        if document is None or not access_of(services).may_find(document):
            return ()
        source, found = document.body.get("feed", ""), document.body.get("media", [])
    else:
        return ()
    return found if services.sources.of(source).may_show_text else ()


def _missing(reason: str) -> Response:
    return JSONResponse({"error": reason}, 404)
