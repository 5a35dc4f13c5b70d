"""Which failures are retried, how often and when."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import chain, repeat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.images.errors import ImageError
from streams.images.fetch import Fetcher
from streams.images.hosts import DEFAULT_POLICY, FailurePolicy
from streams.images.retries import LONGEST_S, MAX_AFTER_S, retry_after_s
from streams.settings import ImageLimits
from tests.metrics_read import metric
from tests.streams.images.hostile import Answer, Clock, HostileServer, hostile_server, reply

NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
OK = reply(b"body")
BUSY = reply(b"", status="503 Busy")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        pytest.param("120", 120, id="seconds"),
        pytest.param("0", 0, id="at once"),
        pytest.param(" 7 ", 7, id="with spaces"),
        pytest.param("Sat, 21 Nov 2026 12:00:30 GMT", 30, id="date"),
        pytest.param("Saturday, 21-Nov-26 12:00:30 GMT", 30, id="date of RFC 850"),
        pytest.param("Sat Nov 21 12:00:30 2026", 30, id="date of asctime"),
        pytest.param("Sat, 21 Nov 2026 11:00:00 GMT", 0, id="date in the past"),
        pytest.param("Sat, 21 Nov 9999 11:00:00 GMT", MAX_AFTER_S, id="date far away"),
        pytest.param("9" * 20, MAX_AFTER_S, id="an age of the universe"),
        pytest.param("9" * 5000, None, id="digits without end"),
        pytest.param("-5", None, id="negative"),
        pytest.param("1.5", None, id="fraction"),
        pytest.param("１２", None, id="digits of another script"),
        pytest.param("soon", None, id="word"),
        pytest.param("", None, id="empty"),
        pytest.param("Sat, 99 Nov 2026 12:00:30 GMT", None, id="no such day"),
        pytest.param("Sat, 21 Nov 2026 12:00:30 +999999999", None, id="no such zone"),
    ],
)
def test_retry_after_is_a_number_of_seconds_or_a_date(value: str, seconds: float | None) -> None:
    assert retry_after_s(value, NOW) == seconds


@given(st.text())
def test_any_retry_after_can_be_parsed(value: str) -> None:
    seconds = retry_after_s(value, NOW)
    assert seconds is None or 0 <= seconds <= MAX_AFTER_S


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def fetcher(limits: Callable[..., ImageLimits], clock: Clock) -> Callable[..., Fetcher]:
    async def look_up(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    def make(failures: FailurePolicy = DEFAULT_POLICY, **overrides: object) -> Fetcher:
        return Fetcher(limits(**overrides), look_up, failures=failures, clock=clock, sleep=clock.sleep)

    return make


def in_turn(*answers: bytes) -> Answer:
    """Gives one answer per request, and repeats the last one."""
    left: Iterator[bytes] = chain(answers, repeat(answers[-1]))

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(next(left))
        await writer.drain()

    return answer


def aborted() -> Answer:
    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(reply(b"half", length=1000))
        await writer.drain()
        writer.transport.abort()

    return answer


@pytest.mark.parametrize(
    "failure",
    [
        pytest.param(reply(b"", status="500 Oops"), id="500"),
        pytest.param(reply(b"", status="502 Bad Gateway"), id="502"),
        pytest.param(BUSY, id="503"),
        pytest.param(reply(b"", "Retry-After: 1", status="503 Busy"), id="503 with seconds"),
        pytest.param(reply(b"", "Retry-After: 1", status="429 Slow down"), id="429 with seconds"),
        pytest.param(b"", id="hangs up"),
        pytest.param(reply(b"half", length=1000), id="breaks off in the body"),
    ],
)
async def test_a_passing_failure_is_retried(
    fetcher: Callable[..., Fetcher], server: HostileServer, failure: bytes
) -> None:
    server.answers["/a"] = in_turn(failure, failure, OK)
    before = metric("mner_image_retries_total")
    async with fetcher() as fetch:
        assert (await fetch.get(f"{server.url}/a")).body == b"body"
    assert len(server.requests) == 3
    assert metric("mner_image_retries_total") == before + 2


async def test_a_reset_connection_is_retried(fetcher: Callable[..., Fetcher], server: HostileServer) -> None:
    server.answers["/a"] = aborted()
    async with fetcher() as fetch:
        with pytest.raises(ImageError, match=r"^connection_lost: "):
            await fetch.get(f"{server.url}/a")
    assert len(server.requests) == 3


async def test_a_refused_connection_is_retried(fetcher: Callable[..., Fetcher], clock: Clock) -> None:
    async with hostile_server() as gone:
        pass
    async with fetcher(allow=(gone.address,)) as fetch:
        with pytest.raises(ImageError, match=r"^unreachable: "):
            await fetch.get(f"{gone.url}/a")
    assert len(clock.slept) == 2


@pytest.mark.parametrize(
    "failure",
    [
        pytest.param(reply(b"", status="404 Not Found"), id="404"),
        pytest.param(reply(b"", status="403 Forbidden"), id="403"),
        pytest.param(reply(b"", status="429 Slow down"), id="429 that does not say when"),
        pytest.param(reply(b"", "Retry-After: soon", status="429 Slow down"), id="429 that says nonsense"),
        pytest.param(reply(b"", "Retry-After: 1", status="418 Teapot"), id="another 4xx with Retry-After"),
        pytest.param(reply(b"", length=10**9), id="too big"),
        pytest.param(reply(b"x", "Content-Encoding: gzip"), id="encoded"),
        pytest.param(b"HTTP/9 hello\r\n\r\n", id="not HTTP"),
        pytest.param(reply(b"", "Location: http://10.0.0.7/", status="302 Found"), id="redirect to a private address"),
        pytest.param(reply(b"", "Location: /a", status="302 Found"), id="redirect loop"),
    ],
)
async def test_a_lasting_failure_is_not_retried(
    fetcher: Callable[..., Fetcher], server: HostileServer, clock: Clock, failure: bytes
) -> None:
    server.answers["/a"] = failure
    async with fetcher() as fetch:
        with pytest.raises(ImageError):
            await fetch.get(f"{server.url}/a")
    assert clock.slept == []


@pytest.mark.parametrize("tries", [1, 2, 5])
async def test_the_policy_limits_the_number_of_tries(
    fetcher: Callable[..., Fetcher], server: HostileServer, tries: int
) -> None:
    server.answers["/a"] = BUSY
    async with fetcher(FailurePolicy(tries=tries)) as fetch:
        with pytest.raises(ImageError, match=r"^http_status: HTTP 503$"):
            await fetch.get(f"{server.url}/a")
    assert len(server.requests) == tries


async def test_tries_are_counted_over_all_hops_of_an_image(
    fetcher: Callable[..., Fetcher], server: HostileServer
) -> None:
    server.answers["/1"] = in_turn(BUSY, reply(b"", "Location: /2", status="302 Found"))
    server.answers["/2"] = in_turn(BUSY, reply(b"", "Location: /3", status="302 Found"))
    server.answers["/3"] = BUSY
    async with fetcher(FailurePolicy(tries=3)) as fetch:
        with pytest.raises(ImageError, match="503"):
            await fetch.get(f"{server.url}/1")
    assert [request.split()[1] for request in server.requests] == ["/1", "/1", "/2", "/2", "/3"]


async def test_a_wait_is_the_retry_after_plus_jitter(
    fetcher: Callable[..., Fetcher], server: HostileServer, clock: Clock
) -> None:
    server.answers["/a"] = reply(b"", "Retry-After: 4", status="503 Busy")
    async with fetcher(FailurePolicy(tries=6, break_after=100)) as fetch:
        with pytest.raises(ImageError):
            await fetch.get(f"{server.url}/a")
    assert all(4 < slept <= 4 + LONGEST_S for slept in clock.slept)
    assert len(set(clock.slept)) == 5


@pytest.mark.parametrize("form", ["seconds", "date"])
@pytest.mark.parametrize("status", ["429 Slow down", "503 Busy"])
async def test_a_wait_beyond_the_deadline_is_an_error_at_once(
    fetcher: Callable[..., Fetcher], server: HostileServer, clock: Clock, status: str, form: str
) -> None:
    after = "120" if form == "seconds" else format_datetime(datetime.now(UTC) + timedelta(seconds=120.9), usegmt=True)
    server.answers["/a"] = reply(b"", f"Retry-After: {after}", status=status)
    async with fetcher() as fetch:
        with pytest.raises(ImageError, match=r"^http_status: HTTP \d+, may be asked again in 1[12]\d s$") as refused:
            await fetch.get(f"{server.url}/a", deadline=clock.now + 5)
    assert clock.slept == []
    assert refused.value.after_s == pytest.approx(120, abs=10)


async def test_no_slot_is_held_while_waiting(limits: Callable[..., ImageLimits], server: HostileServer) -> None:
    server.answers = {"/busy": BUSY, "/a": OK}
    waiting, passed = asyncio.Event(), asyncio.Event()

    async def sleep(seconds: float) -> None:
        waiting.set()
        await passed.wait()

    async def look_up(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    async with Fetcher(limits(workers=1, per_host=1), look_up, sleep=sleep) as fetch:
        busy = asyncio.create_task(fetch.get(f"{server.url}/busy"))
        await waiting.wait()
        async with asyncio.timeout(1):
            assert (await fetch.get(f"{server.url}/a")).body == b"body"
        passed.set()
        with pytest.raises(ImageError, match="503"):
            await busy


async def test_an_open_breaker_ends_the_retries(fetcher: Callable[..., Fetcher], server: HostileServer) -> None:
    server.answers["/a"] = BUSY
    async with fetcher(FailurePolicy(tries=5, break_after=1)) as fetch:
        with pytest.raises(ImageError, match=r"^http_status: HTTP 503$"):
            await fetch.get(f"{server.url}/a")
    assert len(server.requests) == 1
