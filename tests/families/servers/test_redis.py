"""What each answer of Redis makes the queue do, and what the reason says.

The first table puts a real Redis into the state. The second has a local server speak the answers that a test cannot
bring a single Redis to.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from core.errors import Reject, Retry, Stop
from local.stack import Stack
from sinks.answers.answer import Slow
from sinks.blame import Blame
from sinks.queue.pipelines import PipelineSize, in_pipelines
from sinks.queue.queue import ReviewQueue
from tests.families.servers.alerts import CASES, alerting
from tests.families.servers.listening import listening
from tests.families.servers.reaction import reaction
from tests.sinks.values import task

Change = Callable[[Redis, str], Awaitable[str]]
"""Brings Redis into a state. Returns the URL to use."""


async def added(url: str, *texts: str, timeout_s: float = 60.0) -> str:
    """Adds tasks. Returns what became of it, and why. No answer but silence takes as long as `timeout_s`."""
    queue = ReviewQueue(url, "review:", timeout_s=timeout_s)
    tasks = [task(str(number), text=text) for number, text in enumerate(texts or ("Paris", "London"))]
    try:
        return await reaction(queue.add(tasks))
    finally:
        await queue.close()


@pytest.fixture
async def redis(own_redis: str) -> AsyncIterator[Redis]:
    """A Redis that the test may change. Everything is as before afterwards."""
    client = Redis.from_url(own_redis)
    await client.config_set("requirepass", "")
    before: Any = await client.config_get("*")
    yield client
    for name in ("maxmemory", "min-replicas-to-write", "maxclients", "proto-max-bulk-len", "replica-serve-stale-data"):
        await client.config_set(name, before[name])
    await client.config_set("requirepass", "")
    await client.replicaof("NO", "ONE")
    await client.acl_deluser("bob")
    await client.flushall()
    await client.aclose()


def setting(*pairs: tuple[str, str]) -> Change:
    async def change(redis: Redis, url: str) -> str:
        for name, value in pairs:
            await redis.config_set(name, value)
        return url

    return change


def with_login(login: str, *pairs: tuple[str, str]) -> Change:
    async def change(redis: Redis, url: str) -> str:
        await setting(*pairs)(redis, url)
        return url.replace("redis://", f"redis://{login}@")

    return change


async def replica(redis: Redis, url: str) -> str:
    await redis.replicaof("127.0.0.1", "1")
    return url


async def orphan(redis: Redis, url: str) -> str:
    await redis.config_set("replica-serve-stale-data", "no")
    return await replica(redis, url)


async def without_rights(redis: Redis, url: str) -> str:
    await redis.execute_command("ACL", "SETUSER", "bob", "on", ">secret", "~*", "+ping", "+client")  # type: ignore[no-untyped-call]
    return url.replace("redis://", "redis://bob:secret@")


async def database_99(redis: Redis, url: str) -> str:
    return url.removesuffix("/0") + "/99"


async def wrong_type(redis: Redis, url: str) -> str:
    await redis.set("review:open", "mine")
    return url


STATES = [
    pytest.param(setting(("maxmemory", "1")), "retry", "no memory", id="OOM"),
    pytest.param(setting(("min-replicas-to-write", "1")), "retry", "too few replicas", id="NOREPLICAS"),
    pytest.param(replica, "retry", "a replica, which takes no writes", id="READONLY"),
    pytest.param(orphan, "retry", "a replica without its master", id="MASTERDOWN"),
    pytest.param(setting(("requirepass", "x")), "stop", "asks for a password", id="NOAUTH"),
    pytest.param(with_login(":y", ("requirepass", "x")), "stop", "refuses our credentials", id="WRONGPASS"),
    pytest.param(with_login("nobody:y"), "stop", "refuses our credentials", id="WRONGPASS of a user"),
    pytest.param(without_rights, "stop", "does not give our user the rights", id="NOPERM"),
    pytest.param(database_99, "stop", "no such database", id="database 99"),
    pytest.param(wrong_type, "stop", "another program", id="WRONGTYPE"),
]


@pytest.mark.servers
@pytest.mark.parametrize(("change", "becomes", "says"), STATES)
async def test_a_state_of_redis(redis: Redis, own_redis: str, change: Change, becomes: str, says: str) -> None:
    kind, _, told = (await added(await change(redis, own_redis))).partition("|")
    assert kind == becomes, told
    assert says in told
    assert "away" not in told
    assert ("password" in told) == ("password" in says or "password" in told.partition(": ")[2])
    assert "secret" not in told


@pytest.mark.servers
async def test_a_redis_without_a_free_connection_is_tried_again(redis: Redis, own_redis: str) -> None:
    await redis.config_set("maxclients", "1")
    kind, _, told = (await added(own_redis)).partition("|")
    assert (kind, "no connection left" in told) == ("retry", True), told


@pytest.mark.servers
async def test_a_redis_that_runs_a_long_script_is_tried_again(redis: Redis, own_redis: str) -> None:
    await redis.config_set("lua-time-limit", "1")
    script: asyncio.Task[Any] = asyncio.create_task(Redis.from_url(own_redis).eval("while true do end", 0))  # type: ignore[arg-type]
    other = Redis.from_url(own_redis)
    for _ in range(500):
        try:
            await other.ping()
        except Exception:  # it is busy now
            break
    kind, _, told = (await added(own_redis)).partition("|")
    await other.script_kill()
    await asyncio.gather(script, return_exceptions=True)
    await other.aclose()
    assert (kind, "runs a long script" in told) == ("retry", True), told


@pytest.mark.servers
async def test_a_redis_that_pauses_is_tried_again(redis: Redis, own_redis: str) -> None:
    await redis.client_pause(60_000, all=False)  # a pause of all clients would hold up the end of the pause, too
    kind, _, told = (await added(own_redis, timeout_s=0.2)).partition("|")
    await redis.execute_command("CLIENT", "UNPAUSE")  # type: ignore[no-untyped-call]
    assert (kind, "did not answer in time" in told) == ("retry", True), told


@pytest.mark.servers
async def test_a_connection_that_is_cut_is_made_again(redis: Redis, own_redis: str) -> None:
    queue = ReviewQueue(own_redis, "review:")
    await queue.add([task("1")])
    await redis.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")  # type: ignore[no-untyped-call]
    try:
        await queue.add([task("2")])
    except Retry as fault:
        assert "broke the connection" in str(fault)  # noqa: PT017
    assert await queue.add([task("3")]) == 1
    await queue.close()


@pytest.mark.servers
async def test_a_task_that_redis_cannot_take_is_rejected(redis: Redis, own_redis: str) -> None:
    await redis.config_set("proto-max-bulk-len", "1mb")
    large = task("1")
    large = large.model_copy(update={"tweet": large.tweet.model_copy(update={"text": "x" * 1_500_000})})
    queue = ReviewQueue(own_redis, "review:")
    tasks = [*(task(str(number)) for number in range(10, 20)), large, task("20")]

    async def add_until_it_ends() -> None:
        for _ in range(20):
            with contextlib.suppress(Retry):
                await queue.add(tasks)

    with pytest.raises(Reject, match=r"the task.* is too large"):
        await add_until_it_ends()
    await queue.close()
    queue = ReviewQueue(own_redis, "review:")
    assert (await queue.counts()).open == 10, "the tasks before it are stored"
    assert await queue.add([task("20")]) == 1
    await queue.close()


@pytest.mark.servers
async def test_a_large_task_is_not_rejected_while_redis_is_stopped(tmp_path: Path) -> None:
    large = task("1")
    large = large.model_copy(update={"tweet": large.tweet.model_copy(update={"text": "x" * 200_000})})
    with Stack(tmp_path, ["redis"]) as stack:
        queue = ReviewQueue(stack.addresses["redis"], "review:")
        assert await queue.add([task("0")]) == 1
        await asyncio.to_thread(stack.redis.kill)
        for _ in range(10):
            with pytest.raises(Retry):
                await queue.add([large])
        await asyncio.to_thread(stack.redis.start)
        await asyncio.to_thread(stack.redis.ready)
        assert await queue.add([large]) == 1
        await queue.close()


async def test_pipelines_shrink_until_they_pass_and_grow_again() -> None:
    sizes: list[int] = []
    most = [3]

    async def send(calls: Sequence[Any]) -> int:
        sizes.append(len(calls))
        if len(calls) > most[0]:
            raise Slow("hangs up")
        return len(calls)

    async def answers() -> bool:
        return True

    size, blame, calls = PipelineSize(), Blame(answers), [("add", str(number)) for number in range(16)]
    for _ in range(10):
        try:
            assert await in_pipelines(send, calls, size, blame) == 16
            break
        except Slow:
            continue
    most[0] = 1000
    for _ in range(4):
        assert await in_pipelines(send, calls, size, blame) == 16
    sizes.clear()
    await in_pipelines(send, calls, size, blame)
    assert sizes == [16]


async def test_small_pipelines_between_do_not_undo_the_shrinking() -> None:
    """An agent may add a few tasks while a large batch must get small."""
    sizes: list[int] = []

    async def send(calls: Sequence[Any]) -> int:
        sizes.append(len(calls))
        if len(calls) > 3:
            raise Slow("hangs up")
        return len(calls)

    async def answers() -> bool:
        return True

    size, blame = PipelineSize(), Blame(answers)
    few, many = ([("add", str(number)) for number in range(count)] for count in (1, 190))
    for _ in range(20):
        await in_pipelines(send, few, size, blame)
        try:
            assert await in_pipelines(send, many, size, blame) == 190
            break
        except Slow:
            continue
    else:
        pytest.fail(f"never small enough: {sizes}")


# Answers that one Redis alone cannot be brought to


@asynccontextmanager
async def speaking(line: bytes, context: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """Runs a server that greets as Redis does and then answers each command with `line`. Empty: it hangs up."""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (head := await reader.readline()).startswith(b"*"):
                words = []
                for _ in range(int(head[1:])):
                    size = int((await reader.readline())[1:])
                    words.append((await reader.readexactly(size + 2))[:-2].upper())
                if b"AUTH" in words and b"pass" in line:
                    writer.write(line + b"\r\n")
                elif words[0] == b"HELLO":
                    writer.write(b"%1\r\n+proto\r\n:3\r\n")
                elif words[0] in {b"CLIENT", b"SELECT", b"AUTH"}:
                    writer.write(b"+OK\r\n")
                elif line:
                    writer.write(line + b"\r\n")
                else:
                    break
                await writer.drain()
            if head and not head.startswith(b"*"):  # as Redis answers to TLS
                writer.write(b"-ERR unknown command\r\n")
                await writer.drain()
        except (OSError, ValueError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async with listening(converse, context=context, limit=2**20) as port:
        yield f"127.0.0.1:{port}"


IN_SCRIPT_6 = "-ERR Error running script (call to f_1): @user_script:39: @user_script: 39: -{}"
ANSWERS = [
    pytest.param("-LOADING Redis is loading the dataset in memory", "retry", "loads its data", id="LOADING"),
    pytest.param("-BUSY Redis is busy running a script.", "retry", "long script", id="BUSY"),
    pytest.param("-MASTERDOWN Link with MASTER is down", "retry", "without its master", id="MASTERDOWN"),
    pytest.param("-READONLY You can't write against a read only replica.", "retry", "replica", id="READONLY"),
    pytest.param(
        "-READONLY You can't write against a read only replica. script: abc, on @user_script:39.",
        *("retry", "replica"),
        id="READONLY in a script",
    ),
    pytest.param(IN_SCRIPT_6.format("OOM command not allowed"), "retry", "no memory", id="OOM in a script of 6"),
    pytest.param(IN_SCRIPT_6.format("MISCONF Redis is"), "retry", "its disk", id="MISCONF in a script of 6"),
    pytest.param(IN_SCRIPT_6.format("WRONGTYPE Operation"), "stop", "another program", id="WRONGTYPE in a script"),
    pytest.param("-OOM command not allowed when used memory > 'maxmemory'.", "retry", "memory", id="OOM"),
    pytest.param("-MISCONF Redis is configured to save RDB snapshots", "retry", "its disk", id="MISCONF"),
    pytest.param("-CLUSTERDOWN The cluster is down", "retry", "cluster", id="CLUSTERDOWN"),
    pytest.param("-TRYAGAIN Multiple keys request during rehashing", "retry", "moves our keys", id="TRYAGAIN"),
    pytest.param("-ASK 3999 127.0.0.1:6381", "retry", "moves our keys", id="ASK"),
    pytest.param("-MOVED 3999 127.0.0.1:6381", "stop", "not the node", id="MOVED"),
    pytest.param("-CROSSSLOT Keys in request don't hash to the same slot", "stop", "cluster mode", id="CROSSSLOT"),
    pytest.param("-EXECABORT Transaction discarded", "retry", "gave up", id="EXECABORT"),
    pytest.param("-NOSCRIPT No matching script. Please use EVAL.", "retry", "lost our script", id="NOSCRIPT"),
    pytest.param("-NOREPLICAS Not enough good replicas to write.", "retry", "replicas", id="NOREPLICAS"),
    pytest.param("-NOAUTH Authentication required.", "stop", "asks for a password", id="NOAUTH"),
    pytest.param("-WRONGPASS invalid username-password pair", "stop", "our credentials", id="WRONGPASS"),
    pytest.param("-ERR invalid password", "stop", "our credentials", id="invalid password of 5"),
    pytest.param(
        "-ERR AUTH <password> called without any password configured for the default user.",
        *("stop", "has no password"),
        id="a password too many",
    ),
    pytest.param(
        "-ERR Client sent AUTH, but no password is set", "stop", "has no password", id="a password too many for 5"
    ),
    pytest.param("-NOPERM this user has no permissions", "stop", "the rights", id="NOPERM"),
    pytest.param("-DENIED Redis is running in protected mode", "stop", "protected mode", id="DENIED"),
    pytest.param("-ERR max number of clients reached", "retry", "no connection left", id="max clients"),
    pytest.param("-ERR unknown command 'EVALSHA'", "stop", "lacks a command", id="unknown command"),
    pytest.param("-ERR unknown command `EVALSHA`, with args", "stop", "lacks a command", id="unknown command of 6"),
    pytest.param("-ERR DB index is out of range", "stop", "no such database", id="DB index"),
    pytest.param("-ERR SELECT is not allowed in cluster mode", "stop", "database 0 only", id="SELECT in a cluster"),
    pytest.param("-ERR max request size exceeded. Limit: 1048576", "reject", "too large", id="a provider's limit"),
    pytest.param("-ERR Protocol error: unauthenticated multibulk length", "stop", "understand", id="protocol"),
    pytest.param("-ERR something new", "stop", "refuses a command", id="an unknown error"),
    pytest.param("-UNBLOCKED force unblock from blocking operation", "retry", "role", id="UNBLOCKED"),
    pytest.param("HTTP/1.1 400 Bad Request", "stop", "protocol of Redis", id="HTTP"),
    pytest.param("", "retry", "broke the connection", id="it hangs up"),
]


@pytest.mark.parametrize(("line", "becomes", "says"), ANSWERS)
async def test_an_answer_of_redis(line: str, becomes: str, says: str) -> None:
    async with speaking(line.encode()) as where:
        kind, _, told = (await added(f"redis://:secret@{where}/0")).partition("|")
    assert kind == becomes, told
    assert says in told
    assert "secret" not in told
    assert "pipeline caused" not in told


async def test_nobody_listens_or_nobody_knows_the_name() -> None:
    for url in ("redis://127.0.0.1:1/0", "redis://no-such-host.invalid:6379", "unix:///nope.sock"):
        kind, _, told = (await added(url)).partition("|")
        assert (kind, "is unreachable" in told) == ("retry", True), told


async def test_tls_that_fails_is_not_called_unreachable(self_signed: ssl.SSLContext) -> None:
    async with speaking(b"+OK", self_signed) as where:
        kind, _, told = (await added(f"rediss://{where}/0")).partition("|")
    assert (kind, "do not trust the certificate" in told) == ("stop", True), told
    async with speaking(b"+OK") as where:
        kind, _, told = (await added(f"rediss://{where}/0")).partition("|")
    assert (kind, "does not speak TLS" in told) == ("stop", True), told


@pytest.mark.parametrize(("number", "becomes", "says"), CASES)
async def test_a_tls_handshake_that_the_server_ends(number: int | None, becomes: str, says: str) -> None:
    async with alerting(number) as port:
        kind, _, told = (await added(f"rediss://127.0.0.1:{port}/0")).partition("|")
    assert kind == becomes, told
    assert says in told
    assert "do not trust" not in told


def test_an_address_that_is_none_is_named() -> Any:
    with pytest.raises(Stop, match="Redis at"):
        ReviewQueue("http://127.0.0.1:6379", "review:")
