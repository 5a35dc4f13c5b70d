"""The checks of Redis: reachable, writable, durable, and the review queue in it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from cli.doctor.finding import ANSWER_S, Finding, clock
from cli.doctor.mends import mend
from sinks.answers.redis import FAULTS, row_for
from sinks.connect.probe import speaks_redis, speaks_tls, tls_fault
from sinks.connect.redis import RedisServer, Store, is_cluster, key_prefix, open_sync, server
from sinks.connect.tls import Tls
from streams.addresses import masked
from streams.settings import Settings

FULL = 0.9
"""Share of its memory limit from which Redis counts as nearly full."""

REMEDIES = {
    "NOAUTH": "set MNER_REDIS_PASSWORD, and MNER_REDIS_USER if it is not the default user",
    "WRONGPASS": "correct MNER_REDIS_USER and MNER_REDIS_PASSWORD, or the user and password in MNER_REDIS",
    "NOPERM": "give its user the rights of docs/secure-servers.md with ACL SETUSER; in a cluster, on each node",
    "DENIED": "set a password or `bind` in redis.conf, then put the password into MNER_REDIS_PASSWORD",
    "LOADING": "wait; a worker waits as well",
    "BUSY": "wait; if it lasts, end the script with SCRIPT KILL",
    "WRONGTYPE": "set MNER_PREFIX or another database, so that the keys are ours alone",
    "CROSSSLOT": "begin MNER_REDIS with redis+cluster://, which keeps the keys of the queue in one slot",
    "MOVED": "begin MNER_REDIS with redis+cluster://",
    "plain": "use redis:// in MNER_REDIS, or the port that speaks TLS",
    "encrypted": "use rediss:// in MNER_REDIS, or the port without TLS",
    "sentinels": "set or correct MNER_REDIS_SENTINEL_USER and MNER_REDIS_SENTINEL_PASSWORD",
    "stranger": "correct the port in MNER_REDIS",
}
"""Code of an answer, as in `sinks.answers.redis` -> what to do about it."""


def check(store: Store, config: Settings) -> Iterator[Finding]:
    """Checks the server, and then the queue of this deployment."""
    from redis.backoff import NoBackoff
    from redis.retry import Retry as ClientRetry

    from cli.doctor.queue import queue

    told = server(store)
    where = masked(told.url)
    try:
        once = ClientRetry(NoBackoff(), 0)
        with open_sync(
            told, config.name("review:"), socket_timeout=ANSWER_S, socket_connect_timeout=ANSWER_S, retry=once
        ) as client:
            info: Any = client.info()
            asked = time.time()
            seconds, micro = client.time()
            answered = time.time()
            yield from server_findings(info, where, in_cluster=is_cluster(told))
            yield from clock(f"Redis at {where}", seconds + micro / 1e6, asked, answered)
            try:
                yield from queue(client, info, config, key_prefix(told, config.name("review:")))
            except FAULTS as error:
                yield failure("queue", error, where)
    except FAULTS as error:
        kind = _hidden(told)
        if kind:
            remedy = mend(kind, "MNER_REDIS") or REMEDIES[kind]
            yield Finding("redis", "broken", row_for(kind, "").says.format(server=where), remedy)
            return
        yield failure("redis", error, where)
    except ValueError as error:
        yield Finding("redis", "broken", f"{where} cannot be used: {error}", "is MNER_REDIS correct?")


def _hidden(told: RedisServer) -> str:
    """Returns the kind of a fault of TLS that the client does not see, "" if there is none."""
    parts = urlsplit(told.url)
    if parts.scheme not in {"redis", "rediss"}:  # several servers have no port of their own
        return ""
    host, port = parts.hostname or "", parts.port or 6379
    if parts.scheme == "redis":
        return "encrypted" if speaks_tls(host, port) else ""
    if speaks_redis(host, port):
        return "plain"
    found = tls_fault(host, port, told.tls or Tls("MNER_REDIS"))
    return found if found == "alert" else ""


def failure(name: str, error: Any, where: str) -> Finding:
    """Returns the finding for an error of the client."""
    from sinks.answers.redis import answer, code_of

    told, code = answer(error, where).sentence, code_of(error)[0]
    if "no such database" in told or "database 0 only" in told:
        remedy = "correct the number at the end of MNER_REDIS, or raise `databases` in redis.conf"
    elif "no connection left" in told:
        remedy = "raise `maxclients` in redis.conf, or end other clients"
    else:
        remedy = mend(code, "MNER_REDIS") or REMEDIES.get(code, "is it running? is MNER_REDIS correct?")
    return Finding(name, "broken", told, remedy)


def server_findings(info: Mapping[str, Any], where: str, *, in_cluster: bool = False) -> list[Finding]:
    """Returns what `INFO` says about a server: one finding for each problem, or one that all is well.

    `in_cluster`: whether the address is that of a cluster.
    """
    server_at = f"{info['redis_version']} at {where}"
    findings = []

    def add(level: Any, detail: str, remedy: str) -> None:
        findings.append(Finding("redis", level, f"{server_at} {detail}", remedy))

    if info.get("role") == "slave":
        master = f"{info.get('master_host')}:{info.get('master_port')}"
        add("broken", f"is a replica of {master}, which takes no writes", "name the master in MNER_REDIS")
    policy, limit = info.get("maxmemory_policy", "noeviction"), info.get("maxmemory") or 0
    if limit and policy != "noeviction":
        remedy = "set maxmemory-policy to noeviction, also in redis.conf"
        add("broken", f"evicts tasks when its memory is full ({policy})", remedy)
    share = info["used_memory"] / limit if limit else 0.0
    if share >= FULL:
        remedy = "raise maxmemory, also in redis.conf; or let people decide more tasks"
        level = "broken" if share >= 1 else "warning"
        add(level, f"uses {share:.0%} of its memory limit; a full Redis takes no tasks", remedy)
    if "err" in {info.get("aof_last_write_status"), info.get("rdb_last_bgsave_status")}:
        add("broken", "could not write its data to its disk the last time", "free space on its disk; see its log")
    if not info.get("aof_enabled"):
        remedy = "set `appendonly yes`; a lost queue can be rebuilt from the topics while they keep their records"
        add("warning", "writes no append-only file: a crash loses tasks", remedy)
    if info.get("cluster_enabled") and not in_cluster:
        add("broken", "runs in cluster mode, and our keys are in different slots", REMEDIES["CROSSSLOT"])
    return findings or [Finding("redis", "ok", f"{server_at}, append-only file on, no eviction")]
