"""Builds the web application."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from fastapi import FastAPI
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from core.ending import end
from desk import failures, photos
from desk.access import gate
from desk.access import routes as access_routes
from desk.access.access import Access
from desk.adjudication import api as adjudication_api
from desk.adjudication import routes as adjudication
from desk.agreement import routes as agreement
from desk.agreement.watch import AgreementWatch
from desk.entities import api as entities_api
from desk.entities import routes as entities
from desk.headers import SecurityHeaders
from desk.overview import routes as overview
from desk.overview.kafka_watch import KafkaWatch
from desk.pages import STATIC, release
from desk.review import api as review_api
from desk.review import routes as review
from desk.review import words
from desk.saved import api as saved_api
from desk.saved import routes as saved
from desk.saved.service import following
from desk.search import api as search_api
from desk.search import reference
from desk.search import routes as search
from desk.services import open_services
from streams import servers, topics
from streams.settings import Settings

FOR_EVER = "public, max-age=31536000, immutable"


def create(settings: Settings, clock: Callable[[], float] = time.time) -> FastAPI:
    """Returns the application. It opens its connections when the server starts it.

    `clock` returns Unix seconds. Sessions, tokens and limits go by it.

    Raises `UserError` as `desk.access.access.Access` does, and at that start as `desk.services.open_services` does.
    """
    access = Access(settings, clock)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(access.close)
            forgetting = asyncio.create_task(access.audit.forget_on())
            stack.push_async_callback(end, [forgetting])
            app.state.services = await stack.enter_async_context(open_services(settings))
            watch = KafkaWatch(servers.kafka(settings), settings)
            app.state.kafka_watch = await stack.enter_async_context(watch)
            votes = AgreementWatch(servers.kafka(settings), settings.name(topics.DECISIONS))
            app.state.agreement = await stack.enter_async_context(votes)
            may_send = partial(access.may_still, role="analyst")
            app.state.following = await stack.enter_async_context(following(app.state.services, may_send))
            yield

    app = FastAPI(title="mner desk", docs_url=None, redoc_url=None, openapi_url="/api/openapi.json", lifespan=lifespan)
    app.state.access = access
    failures.install(app)
    reviewing = (review, review_api, words, adjudication, adjudication_api, agreement)
    searching = (search, search_api, entities, entities_api, saved, saved_api, reference)
    for area in (access_routes, overview, *reviewing, *searching, photos):
        app.include_router(area.router)
    app.mount("/static", _Static(directory=STATIC), "static")
    gate.install(app, access)
    app.add_middleware(GZipMiddleware, minimum_size=1000)
    app.add_middleware(SecurityHeaders)
    return app


class _Static(StaticFiles):
    """Static files. Below an address that changes with them (`desk.pages.static`), they may be kept for ever."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        prefix = f"{release()}/"
        response = await super().get_response(path.removeprefix(prefix), scope)
        if path.startswith(prefix) and response.status_code in {200, 304}:
            response.headers["Cache-Control"] = FOR_EVER
        return response
