"""The limits of requests to one host, and its circuit breaker."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable
from typing import Any

import pytest
from yarl import URL

from streams.images.errors import HostFault, ImageError
from streams.images.fetch import Fetcher
from streams.images.hosts import JITTER, MAX_HOSTS, Breaker, FailurePolicy, Hosts, Slot
from streams.settings import ImageLimits
from tests.streams.images.hostile import Answer, Clock, HostileServer, hostile_server, reply, silence
from tests.waiting import LoopClock, turns, until

AFTER, BREAK_S = 3, 30.0
LIMIT_S = 1000.0
OK = reply(b"body")
DOWN = reply(b"", status="500 Oops")


def never() -> bool:
    return False


def fail(breaker: Breaker, url: str = "", error: BaseException | None = None) -> None:
    """Sends one request that ends in `error`, by default an unreachable host."""
    error = error or HostFault("unreachable", "refused")
    with pytest.raises(type(error)), breaker.watch(url, overdue=lambda: True):
        raise error


def is_down(breaker: Breaker) -> bool:
    try:
        with breaker.watch("/", never):
            return False
    except ImageError as error:
        return error.kind == "host_down"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker("a.example:80", AFTER, BREAK_S, clock)


def opened(breaker: Breaker) -> Breaker:
    for _ in range(AFTER):
        fail(breaker)
    return breaker


def test_a_failing_host_gets_no_requests_and_the_reason_says_for_how_long(breaker: Breaker, clock: Clock) -> None:
    opened(breaker)
    clock.now += 10
    with pytest.raises(
        ImageError, match=r"^host_down: a.example:80 failed 3 times in a row; no requests for 2\d s more"
    ) as down:
        breaker.check()
    assert BREAK_S - 10 <= down.value.after_s <= BREAK_S * (1 + JITTER) - 10


def test_an_answer_ends_a_row_of_failures(breaker: Breaker) -> None:
    for _ in range(AFTER):
        fail(breaker)
        with breaker.watch("/", never):
            pass
    assert not is_down(breaker)


def test_after_the_pause_one_request_probes_the_host_and_its_success_closes_the_breaker(
    breaker: Breaker, clock: Clock
) -> None:
    opened(breaker)
    clock.now += BREAK_S * (1 + JITTER)
    with breaker.watch("/probe", never):
        assert is_down(breaker)
        assert is_down(breaker)
    assert not is_down(breaker)


def test_a_failed_probe_restarts_the_pause(breaker: Breaker, clock: Clock) -> None:
    opened(breaker)
    clock.now += BREAK_S * (1 + JITTER)
    fail(breaker)
    assert is_down(breaker)
    clock.now += BREAK_S - 1
    assert is_down(breaker)


@pytest.mark.parametrize(
    "error", [asyncio.CancelledError(), ImageError("private_address", "10.0.0.7"), ImageError("unresolvable", "who?")]
)
def test_after_a_probe_that_never_reached_the_host_the_next_request_probes(
    breaker: Breaker, clock: Clock, error: BaseException
) -> None:
    opened(breaker)
    clock.now += BREAK_S * (1 + JITTER)
    with pytest.raises(type(error)), breaker.watch("/", never):
        raise error
    with breaker.watch("/", never):
        assert is_down(breaker)


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(HostFault("unreachable", "refused"), id="unreachable"),
        pytest.param(HostFault("tls", "self-signed"), id="tls"),
        pytest.param(HostFault("connection_lost", "reset"), id="lost"),
        pytest.param(HostFault("http_status", "HTTP 503"), id="5xx or 429"),
        pytest.param(TimeoutError(), id="timeout"),
        pytest.param(asyncio.CancelledError(), id="the caller's deadline"),
    ],
)
def test_failures_that_count_against_the_host(breaker: Breaker, error: BaseException) -> None:
    for number in range(AFTER):
        assert not is_down_quietly(breaker)
        fail(breaker, f"/{number}", error)
    assert is_down(breaker)


def is_down_quietly(breaker: Breaker) -> bool:
    """Sends a request that ends in `error`, without an answer that would end the row."""
    return not breaker.closed()


@pytest.mark.parametrize("kind", ["not_found", "http_status", "too_big", "encoded", "bad_response", "private_address"])
def test_failures_that_do_not_count_against_the_host(breaker: Breaker, kind: str) -> None:
    for number in range(AFTER):
        fail(breaker, f"/{number}", ImageError(kind, "..."))  # type: ignore[arg-type]
    assert not is_down(breaker)


def test_one_url_alone_cannot_open_the_breaker(breaker: Breaker) -> None:
    """Otherwise a broken URL in many posts would block an honest host."""
    for _ in range(AFTER * 10):
        fail(breaker, "/broken", HostFault("http_status", "HTTP 500"))
    assert not is_down_quietly(breaker)
    for number in range(AFTER - 1):
        fail(breaker, f"/{number}", HostFault("http_status", "HTTP 500"))
    assert is_down(breaker)


def test_the_number_of_hosts_is_limited_and_a_host_in_use_is_kept() -> None:
    hosts = Hosts(ImageLimits())
    used = hosts.of(URL("http://used.example/"))
    used.users += 1
    for number in range(MAX_HOSTS * 2):
        hosts.of(URL(f"http://{number}.example/"))
    assert len(hosts) == MAX_HOSTS
    assert hosts.of(URL("http://USED.example./")) is used


def look_up_here(host: str, port: int) -> object:
    async def here() -> list[str]:
        return ["127.0.0.1"]

    return here()


@pytest.fixture
def fetcher(limits: Callable[..., ImageLimits]) -> Callable[..., Fetcher]:
    def make(
        *also: HostileServer, clock: Clock | LoopClock | None = None, tries: int = 1, **overrides: object
    ) -> Fetcher:
        image_limits = limits(**overrides)
        failures = FailurePolicy(tries=tries, break_after=AFTER, break_s=BREAK_S)
        allow = (*image_limits.allow, *(server.address for server in also))
        options: dict[str, Any] = {"clock": clock} if clock else {}
        if isinstance(clock, Clock):
            options["sleep"] = clock.sleep
        image_limits = image_limits.model_copy(update={"allow": allow})
        return Fetcher(image_limits, look_up_here, failures=failures, **options)  # type: ignore[arg-type]

    return make


async def kind(coroutine: object) -> str:
    try:
        await coroutine  # type: ignore[misc]
    except ImageError as error:
        return error.kind
    return "ok"


async def test_an_open_breaker_lets_no_request_out_until_the_probe(
    fetcher: Callable[..., Fetcher], server: HostileServer, clock: Clock
) -> None:
    server.answers = {**{f"/{number}": DOWN for number in range(AFTER)}, "/a": OK}
    async with fetcher(clock=clock) as fetch:
        for number in range(AFTER):
            assert await kind(fetch.get(f"{server.url}/{number}")) == "http_status"
        assert await kind(fetch.get(f"{server.url}/a")) == "host_down"
        assert len(server.requests) == AFTER
        clock.now += BREAK_S * (1 + JITTER)
        kinds = await asyncio.gather(*(kind(fetch.get(f"{server.url}/a")) for _ in range(10)))
        assert sorted(kinds) == ["host_down"] * 9 + ["ok"]
        assert await kind(fetch.get(f"{server.url}/a")) == "ok"


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENOBUFS])
async def test_a_lack_of_sockets_does_not_count_against_the_host(
    fetcher: Callable[..., Fetcher], server: HostileServer, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    async def no_socket(*_: object, **__: object) -> object:
        raise OSError(number, os.strerror(number))

    async with fetcher() as fetch:
        with monkeypatch.context() as patched:
            patched.setattr("aiohappyeyeballs.start_connection", no_socket)
            for path in range(AFTER):
                assert await kind(fetch.get(f"{server.url}/{path}")) == "internal"
        server.answers["/a"] = OK
        assert await kind(fetch.get(f"{server.url}/a")) == "ok"


async def within(fetch: Fetcher, url: str, seconds: float = LIMIT_S) -> bytes | None:
    async with asyncio.timeout(seconds) as deadline:
        return (await fetch.get(url, deadline=deadline.when())).body


async def test_a_timeout_counts_against_the_host(
    fetcher: Callable[..., Fetcher], server: HostileServer, loop_clock: LoopClock
) -> None:
    server.answers = dict.fromkeys([f"/{number}" for number in range(AFTER)], silence)
    async with fetcher(clock=loop_clock) as fetch:
        for number in range(AFTER):
            fetching = asyncio.create_task(within(fetch, f"{server.url}/{number}"))
            await until(lambda number=number: len(server.requests) > number)  # type: ignore[misc]
            loop_clock.pass_s(LIMIT_S)
            with pytest.raises(TimeoutError):
                await fetching
        assert await kind(fetch.get(f"{server.url}/a")) == "host_down"


async def test_a_cancelled_caller_does_not_count_against_the_host(
    fetcher: Callable[..., Fetcher], server: HostileServer
) -> None:
    server.answers = {**{f"/{number}": silence for number in range(AFTER)}, "/a": OK}
    async with fetcher() as fetch:
        for number in range(AFTER):
            fetching = asyncio.create_task(within(fetch, f"{server.url}/{number}"))
            await until(lambda number=number: len(server.requests) > number)  # type: ignore[misc]
            fetching.cancel()
            with pytest.raises(asyncio.CancelledError):
                await fetching
        assert await kind(fetch.get(f"{server.url}/a")) == "ok"


async def test_a_late_redirect_cannot_blame_an_honest_host_for_the_timeout(
    fetcher: Callable[..., Fetcher], server: HostileServer, loop_clock: LoopClock
) -> None:
    """The attacker uses up the time, then redirects to a host that would have needed a little more."""
    async with hostile_server() as honest:

        def late(to: str) -> Answer:
            async def answer(writer: asyncio.StreamWriter) -> None:
                loop_clock.pass_s(0.75 * LIMIT_S)
                writer.write(reply(b"", f"Location: {to}", status="302 Found"))

            return answer

        server.answers = {f"/{number}": late(f"{honest.url}/{number}") for number in range(AFTER)}
        honest.answers = {**{f"/{number}": silence for number in range(AFTER)}, "/a": OK}
        async with fetcher(honest, clock=loop_clock) as fetch:
            for number in range(AFTER):
                fetching = asyncio.create_task(within(fetch, f"{server.url}/{number}"))
                await until(lambda number=number: len(honest.requests) > number)  # type: ignore[misc]
                loop_clock.pass_s(0.25 * LIMIT_S)
                with pytest.raises(TimeoutError):
                    await fetching
            assert await kind(fetch.get(f"{honest.url}/a")) == "ok"


async def test_each_hop_counts_only_its_own_answers(fetcher: Callable[..., Fetcher], server: HostileServer) -> None:
    async with hostile_server() as other:
        for number in range(AFTER):
            server.answers[f"/{number}"] = reply(b"", f"Location: {other.url}/{number}", status="302 Found")
            other.answers[f"/{number}"] = DOWN
        server.answers["/a"] = other.answers["/a"] = OK
        async with fetcher(other) as fetch:
            for number in range(AFTER):
                assert await kind(fetch.get(f"{server.url}/{number}")) == "http_status"
            assert await kind(fetch.get(f"{other.url}/a")) == "host_down"
            assert await kind(fetch.get(f"{server.url}/a")) == "ok"
            assert await kind(fetch.get(f"http://another.example:{server.port}/a")) == "port"


def held(go: asyncio.Event) -> Answer:
    """Answers once `go` is set."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        await go.wait()
        writer.write(OK)
        await writer.drain()

    return answer


async def test_a_slow_host_uses_only_its_share_and_delays_no_other(
    fetcher: Callable[..., Fetcher], server: HostileServer
) -> None:
    async with hostile_server() as quick:
        go = asyncio.Event()
        server.answers["/slow"] = held(go)
        quick.answers["/a"] = OK
        async with fetcher(quick, workers=4, per_host=2) as fetch:
            slow = [asyncio.create_task(fetch.get(f"{server.url}/slow")) for _ in range(6)]
            await until(lambda: len(server.requests) >= 2)
            for _ in range(5):
                await within(fetch, f"{quick.url}/a", 10)
            assert not any(task.done() for task in slow)
            assert len(server.requests) == 2
            go.set()
            await asyncio.gather(*slow)


async def test_requests_to_all_hosts_together_are_limited(
    fetcher: Callable[..., Fetcher], server: HostileServer
) -> None:
    async with hostile_server() as other:
        go = asyncio.Event()
        server.answers["/a"] = other.answers["/a"] = held(go)
        async with fetcher(other, workers=3, per_host=2) as fetch:
            urls = [f"{host.url}/a" for host in (server, other) for _ in range(6)]
            fetches = [asyncio.create_task(fetch.get(url)) for url in urls]
            await until(lambda: len(server.requests) + len(other.requests) >= 3)
            await turns()
            assert len(server.requests) + len(other.requests) == 3
            go.set()
            await asyncio.gather(*fetches)


async def test_redirects_between_full_hosts_do_not_deadlock(
    fetcher: Callable[..., Fetcher], server: HostileServer
) -> None:
    async with hostile_server() as other:
        for here, there in ((server, other), (other, server)):
            here.answers = {"/go": reply(b"", f"Location: {there.url}/a", status="302 Found"), "/a": OK}
        async with fetcher(other, workers=2, per_host=1) as fetch:
            asked = [within(fetch, f"{host.url}/go", 5) for host in (server, other) for _ in range(10)]
            assert await asyncio.gather(*asked) == [b"body"] * 20


async def is_full(fetch: Fetcher, url: str) -> bool:
    """Returns whether a caller would have to wait for a slot."""

    async def take() -> None:
        async with fetch.slot(url):
            pass

    taking = asyncio.create_task(take())
    await turns()
    taking.cancel()
    await asyncio.wait([taking])
    return taking.cancelled()


async def test_the_host_part_of_a_slot_can_be_released_early(
    fetcher: Callable[..., Fetcher], server: HostileServer
) -> None:
    async with hostile_server() as other:
        server.answers["/a"] = other.answers["/a"] = OK
        async with fetcher(other, workers=2, per_host=1) as fetch, fetch.slot(f"{server.url}/a") as slot:
            await fetch.get(f"{server.url}/a", slot=slot)
            assert await is_full(fetch, f"{server.url}/a")
            slot.leave_host()
            async with asyncio.timeout(1), fetch.slot(f"{server.url}/a"):
                assert await is_full(fetch, f"{other.url}/a")


async def test_the_wait_for_a_slot_is_limited() -> None:
    hosts = Hosts(ImageLimits(workers=2, per_host=1), FailurePolicy(wait_s=0.05))
    full = URL("http://a.example/")
    async with hosts.slot(full):
        with pytest.raises(ImageError, match=r"^busy: no slot was free within 0.05 s$"):
            async with hosts.slot(full):
                pass
        async with hosts.slot(URL("http://b.example/")):
            with pytest.raises(ImageError, match=r"^busy: "):
                async with hosts.slot(URL("http://c.example/")):
                    pass
    async with hosts.slot(full):
        assert hosts.of(full).users == 1


async def test_a_cancelled_wait_takes_no_slot() -> None:
    hosts = Hosts(ImageLimits(workers=1, per_host=1))
    url = URL("http://a.example/")

    async def wait() -> Slot:
        async with hosts.slot(url) as slot:
            return slot

    async with hosts.slot(url):
        tasks = [asyncio.create_task(wait()) for _ in range(3)]
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    async with asyncio.timeout(1):
        await wait()
    assert hosts.of(url).users == 0
