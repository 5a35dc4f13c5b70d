"""Reads everything that the stores hold, byte by byte, so that a test can look for what must be gone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from elasticsearch import AsyncElasticsearch
from redis.asyncio import Redis

from streams import topics
from streams.settings import Settings
from tests.streams.test_retention import records

Places = dict[str, bytes]
"""Place -> the bytes there. A place is a key, a document, a record or a file."""


async def in_redis(settings: Settings) -> Places:
    """Returns every key with the prefix, of every type."""
    async with Redis.from_url(str(settings.redis)) as redis:
        read: dict[bytes, Any] = {
            b"hash": redis.hgetall,
            b"set": redis.smembers,
            b"string": redis.get,
            b"zset": lambda key: redis.zrange(key, 0, -1, withscores=True),
            b"list": lambda key: redis.lrange(key, 0, -1),
            b"stream": redis.xrange,
        }
        keys = [key async for key in redis.scan_iter(f"{settings.prefix}*", count=1000)]
        kinds: dict[bytes, Any] = {key: await redis.type(key) for key in keys}
        held = {key: await read[kind](key) for key, kind in kinds.items()}
    return {f"redis {key.decode()}": key + repr(value).encode() for key, value in held.items()}


async def in_elasticsearch(settings: Settings) -> Places:
    """Returns every document of every index with the prefix, hidden ones too."""
    found: Places = {}
    async with AsyncElasticsearch(str(settings.elasticsearch)) as client:
        await client.indices.refresh(index=f"{settings.prefix}*", expand_wildcards="all")
        answer = await client.search(index=f"{settings.prefix}*", expand_wildcards="all", size=10_000)
    for hit in answer["hits"]["hits"]:
        found[f"index {hit['_index'].removeprefix(settings.prefix)} {hit['_id']}"] = json.dumps(hit).encode()
    return found


def in_kafka(settings: Settings) -> Places:
    """Returns the records of every topic: of compacted ones, the last of each key, as after compaction."""
    found: Places = {}
    for topic in topics.plan(settings):
        name = topic.name.removeprefix(settings.prefix)
        for number, (key, value) in enumerate(records(settings, topic.name)):
            place = f"topic {name} {key!r}" if "compact" in topic.cleanup else f"topic {name} record {number}"
            found.pop(place, None)
            if value is not None:
                found[place] = repr(key).encode() + value
    return found


def in_files(folder: Path) -> Places:
    """Returns the bytes of every file, with free pages and logs of databases."""
    return {f"file {path.relative_to(folder)}": path.read_bytes() for path in folder.rglob("*") if path.is_file()}
