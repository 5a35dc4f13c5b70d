"""The checks of the review queue in Redis: it is here, our commands may read it, and its tasks can be read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cli.doctor.finding import ANSWER_S, Finding
from core.errors import UserError
from streams.settings import Settings

if TYPE_CHECKING:
    from sinks.queue.values import Counts

SAMPLE = 1000
"""Number of tasks, in the order of the queue, that are read."""


def queue(client: Any, info: Mapping[str, Any], config: Settings, prefix: str) -> list[Finding]:
    """Checks the queue, whose keys begin with `prefix`. May raise the errors of the client, such as a refusal."""
    from sinks.queue.script import KEYS, SCRIPT
    from sinks.queue.values import Counts

    keys = [prefix + key for key in KEYS]
    counts = Counts(*client.eval(SCRIPT, len(keys), *keys, "counts", ""))
    listed = counts.open + counts.leased + counts.disputed + counts.flagged
    empty = not listed + counts.decided
    if empty and (elsewhere := _elsewhere(client, info, keys)):
        here = _database(client)
        detail = f"the queue is empty in database {here}, but database {', '.join(elsewhere)} holds one with our prefix"
        remedy = f"if it is ours, put /{elsewhere[0]} at the end of MNER_REDIS"
        return [Finding("queue", "warning", detail, remedy)]
    if empty and (known := _decided_in_index(config)):
        detail = f"people decided {known} posts of the index, but the queue in this database knows of none"
        remedy = "correct MNER_REDIS; or if the queue was lost, let `deliver` and `decide` read their topics again"
        return [Finding("queue", "warning", detail, remedy)]
    unreadable = _unreadable(client, prefix)
    if not unreadable:
        return [Finding("queue", "ok", _counted(counts))]
    tweet, reason = unreadable[0]
    read = min(SAMPLE, listed)
    detail = f"{len(unreadable)} of {read} tasks cannot be read, the first is that of post {tweet}: {reason}"
    remedy = (
        "if a newer version of mner wrote them, update this one; otherwise feed the post again with a higher `edit`, "
        "which replaces its task"
    )
    return [Finding("queue", "broken", detail, remedy)]


def _counted(counts: Counts) -> str:
    aside = f", {counts.disputed} disputed, {counts.flagged} flagged" if counts.disputed or counts.flagged else ""
    waiting = f", {counts.copies} copies wait for one of them" if counts.copies else ""
    return f"{counts.open} tasks open, {counts.leased} with a reviewer{aside}, {counts.decided} decided{waiting}"


def _decided_in_index(config: Settings) -> int:
    """Returns the number of posts in the index that a person has decided. 0 when the index does not answer."""
    from elastic_transport import TransportError
    from elasticsearch import ApiError, Elasticsearch

    from sinks.connect.elasticsearch import client_options
    from streams import servers

    try:
        options = client_options(servers.elasticsearch(config))
        with Elasticsearch(**options, request_timeout=ANSWER_S) as client:
            answer = client.count(index=config.name("mentions"), query={"term": {"source": "human"}})
            return int(answer["count"])
    except (ApiError, TransportError, ValueError, UserError):  # another check tells
        return 0


def _database(client: Any) -> int:
    return int(client.connection_pool.connection_kwargs.get("db") or 0)


def _elsewhere(client: Any, info: Mapping[str, Any], keys: Sequence[str]) -> list[str]:
    """Returns the other databases of this server that hold keys of a queue with our prefix."""
    from redis import Redis
    from redis.connection import ConnectionPool

    pool = client.connection_pool
    found = []
    for name in info:
        number = name.removeprefix("db")
        if name == number or not number.isdigit() or int(number) == _database(client):
            continue
        other = Redis(
            connection_pool=ConnectionPool(
                pool.connection_class, **pool.connection_kwargs | {"db": int(number)}, max_connections=1
            )
        )
        try:
            if other.exists(*keys):
                found.append(number)
        finally:
            other.connection_pool.disconnect()
    return found


def _unreadable(client: Any, prefix: str) -> list[tuple[str, str]]:
    """Returns the posts whose tasks cannot be read, with the reasons."""
    from pydantic import ValidationError

    from core.events import ReviewTask, explain

    tweets = client.zrange(f"{prefix}open", 0, SAMPLE - 1)
    payloads = client.hmget(f"{prefix}tasks", tweets) if tweets else []
    found = []
    for tweet, payload in zip(tweets, payloads, strict=True):
        try:
            ReviewTask.model_validate_json(payload or b"")
        except ValidationError as error:
            # a task that was settled between the two questions is gone from both
            if payload is None and client.zscore(f"{prefix}open", tweet) is None:
                continue
            reason = explain(error) if payload is not None else "its content is gone"
            found.append((tweet.decode(errors="replace"), reason))
    return found
