"""Look-ups of names are limited, and a slow name server delays no other host."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from streams.images.cache_policy import PASSING_S, REFUSED_S, remembered_s
from streams.images.errors import ImageError
from streams.images.hosts import FailurePolicy
from streams.images.loader import ImageLoader
from streams.settings import ImageLimits
from tests.streams.images.hostile import HostileServer, reply
from tests.streams.images.sample_images import encoded, half_and_half
from tests.waiting import LoopClock, turns

PNG = encoded(half_and_half(), "PNG")


@dataclass
class NameServers:
    """Resolves every name to 127.0.0.1. Names for which `slow` is true fail, and only once `answers` is set."""

    slow: Callable[[str], bool] = lambda host: False
    answers: threading.Event = field(default_factory=threading.Event)
    held: list[str] = field(default_factory=list)

    def getaddrinfo(self, host: str, port: int, *_: object, **__: object) -> list[object]:
        if self.slow(host):
            self.held.append(host)
            self.answers.wait(20)
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[NameServers]:
    names = NameServers()
    monkeypatch.setattr(socket, "getaddrinfo", names.getaddrinfo)
    yield names
    names.answers.set()


@pytest.fixture
def limits(server: HostileServer) -> Callable[..., ImageLimits]:
    """A loader for which `honest.example` is the server."""

    def make(**overrides: object) -> ImageLimits:
        image_limits = {"allow": (f"honest.example:{server.port}",), "decoders": 1, **overrides}
        return ImageLimits(**image_limits)

    return make


async def outcome(loader: ImageLoader, url: str) -> str:
    try:
        return (await loader.load(url)).format
    except ImageError as error:
        return error.reason


async def test_a_slow_name_server_delays_no_other_domain(
    limits: Callable[..., ImageLimits], server: HostileServer, names: NameServers, loop_clock: LoopClock
) -> None:
    server.answers = {f"/{number}": reply(PNG) for number in range(12)}
    names.slow = lambda host: host.endswith(".evil.example")
    async with ImageLoader(limits(workers=8, timeout_s=1000), monotonic=loop_clock) as loader:
        await loader.decode(PNG, "")  # a starting decoder holds none of the slots
        evil = [asyncio.create_task(outcome(loader, f"http://n{number}.evil.example/a")) for number in range(8)]
        await turns()
        loop_clock.pass_s(501)
        reasons = await asyncio.gather(*evil)
        assert {reason.split(" about ")[0] for reason in reasons} == {"unresolvable: no answer"}
        urls = [f"http://honest.example:{server.port}/{number}" for number in range(12)]
        assert await asyncio.gather(*(outcome(loader, url) for url in urls)) == ["PNG"] * 12
        assert len(names.held) == 2  # a quarter of eight


async def test_a_cancelled_wait_for_a_thread_frees_its_place(
    limits: Callable[..., ImageLimits], server: HostileServer, names: NameServers, loop_clock: LoopClock
) -> None:
    server.answers["/a"] = reply(PNG)
    names.slow = lambda host: host == "honest.example" and not names.answers.is_set()
    async with ImageLoader(limits(workers=8, timeout_s=1000), monotonic=loop_clock) as loader:
        url = f"http://honest.example:{server.port}"
        for _ in range(2):
            waiting = [asyncio.create_task(outcome(loader, f"{url}/{number}")) for number in range(8)]
            await turns()
            loop_clock.pass_s(501)
            await asyncio.wait(waiting)
        assert len(names.held) == 2
        names.answers.set()
        async with asyncio.timeout(60):
            assert await outcome(loader, f"{url}/a") == "PNG"


async def test_a_slow_name_server_is_not_the_hosts_fault(
    limits: Callable[..., ImageLimits], server: HostileServer, loop_clock: LoopClock
) -> None:
    server.answers["/a"] = reply(PNG)
    answers = asyncio.Event()

    async def look_up(host: str, port: int) -> list[str]:
        await answers.wait()
        return ["127.0.0.1"]

    failures = FailurePolicy(break_after=2)
    async with ImageLoader(limits(timeout_s=1000), look_up, failures=failures, monotonic=loop_clock) as loader:
        url = f"http://honest.example:{server.port}"
        for number in range(4):
            waiting = asyncio.create_task(outcome(loader, f"{url}/{number}"))
            await turns()
            loop_clock.pass_s(501)
            assert (await waiting).startswith("unresolvable: no answer")
        answers.set()
        assert await outcome(loader, f"{url}/a") == "PNG"


async def test_the_program_ends_without_waiting_for_name_servers(
    limits: Callable[..., ImageLimits], names: NameServers
) -> None:
    names.slow = lambda host: True
    async with ImageLoader(limits(timeout_s=0.1)) as loader:
        await outcome(loader, "http://slow.example/a")
    threads = [thread for thread in threading.enumerate() if thread.name.startswith("image-name")]
    assert [thread.daemon for thread in threads] == [True]
    names.answers.set()
    threads[0].join(5)  # and an answer that comes when the loader is closed disturbs nobody


@pytest.mark.parametrize(
    ("number", "brief"),
    [
        pytest.param(socket.EAI_AGAIN, True, id="the name server fails"),
        pytest.param(socket.EAI_SYSTEM, True, id="this machine fails"),
        pytest.param(socket.EAI_NONAME, False, id="there is no such name"),
    ],
)
async def test_a_passing_failure_is_remembered_briefly(
    limits: Callable[..., ImageLimits], number: int, brief: bool
) -> None:
    async def look_up(host: str, port: int) -> list[str]:
        raise socket.gaierror(number, "says the C library")

    async with ImageLoader(limits(), look_up) as loader:
        with pytest.raises(ImageError, match=r"^unresolvable: .*images.example: .*says the C library") as refused:
            await loader.load("http://images.example/a")
    assert remembered_s(refused.value) == (PASSING_S if brief else REFUSED_S)


async def test_a_slow_look_up_is_remembered_briefly(limits: Callable[..., ImageLimits], names: NameServers) -> None:
    names.slow = lambda host: True
    async with ImageLoader(limits(timeout_s=0.1)) as loader:
        with pytest.raises(ImageError) as refused:
            await loader.load("http://slow.example/a")
    assert refused.value.reason == "unresolvable: no answer about slow.example within 0.05 s"
    assert remembered_s(refused.value) == PASSING_S
