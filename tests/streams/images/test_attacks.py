"""Hostile URLs, names and redirects are refused or cost little, with a reason."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from core.events import Media
from demo.examples import METADATA
from streams.images.errors import ImageError
from streams.images.hosts import FailurePolicy
from streams.images.loader import ImageLoader
from streams.images.resolve import MAX_DIALLED
from streams.images.wire import Connector
from streams.settings import ImageLimits
from tests.streams.images.hostile import HostileServer, forever, reply
from tests.streams.images.measured import attack
from tests.streams.images.sample_images import encoded, half_and_half

PNG = encoded(half_and_half(), "PNG")
LIMITS = {"timeout_s": 5}
BOUND_S = 3.0

HOSTS = {
    "loopback": "127.0.0.1",
    "decimal": "2130706433",
    "decimal, beyond 32 bits": "4294967297",
    "octal": "017700000001",
    "hex": "0x7f000001",
    "octal part": "0177.0.0.1",
    "octal part with many zeros": "00000177.0.0.1",
    "hex part": "0x7f.0.0.1",
    "hex parts": "0x7f.0x0.0x0.0x1",
    "mixed parts": "0x7f.0.01",
    "short": "127.1",
    "shorter by one": "127.0.1",
    "zero": "0",
    "a leading zero": "127.0.0.01",
    "loopback with a dot behind": "127.0.0.1.",
    "loopback with two dots behind": "127.0.0.1..",
    "hex with a dot behind": "0x7f000001.",
    "percent-encoded digits": "%31%32%37.0.0.1",
    "percent-encoded zero byte": "127.0.0.1%00.example",
    "full-width digits": "１２７.0.0.1",
    "full-width dots": "127。0。0。1",
    "enclosed digits": "①②⑦.⓪.⓪.①",
    "mathematical digits": "𝟙𝟚𝟟.𝟘.𝟘.𝟙",
    "enclosed letters": "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ",
    "soft hyphen": "local\u00adhost",
    "zero-width space": "127.0.0.1\u200b",
    "tab": "127.0.0.1\t",
    "line end": "127.0.\r\n0.1",
    "space": "127.0.0.1 .example",
    "backslash": "8.8.8.8\\.127.0.0.1",
    "user that looks like the host": "8.8.8.8@127.0.0.1",
    "fragment that looks like the host": "127.0.0.1#@8.8.8.8",
    "port that looks like a password": "8.8.8.8:80@127.0.0.1",
    "localhost": "localhost",
    "localhost in capitals": "LOCALHOST",
    "localhost with a dot behind": "localhost.",
    "below localhost": "a.localhost",
    "IPv6 loopback": "[::1]",
    "IPv6 loopback, long": "[0000:0000:0000:0000:0000:0000:0000:0001]",
    "IPv6 unspecified": "[::]",
    "IPv4-mapped": "[0:0:0:0:0:ffff:127.0.0.1]",
    "IPv4-mapped in hex": "[::ffff:7f00:1]",
    "IPv4-mapped metadata": "[::ffff:a9fe:a9fe]",
    "IPv4-mapped with a zone": "[::ffff:127.0.0.1%25lo]",
    "IPv4-translated (SIIT)": "[::ffff:0:127.0.0.1]",
    "IPv4-compatible": "[::127.0.0.1]",
    "NAT64": "[64:ff9b::127.0.0.1]",
    "NAT64 for local use": "[64:ff9b:1::127.0.0.1]",
    "6to4": "[2002:7f00:1::]",
    "Teredo": "[2001:0:4136:e378:8000:63bf:80ff:fffe]",
    "ORCHID": "[2001:20::1]",
    "IPv6 link-local": "[fe80::1]",
    "IPv6 link-local with a zone": "[fe80::1%25eth0]",
    "IPv6 site-local": "[fec0::1]",
    "IPv6 multicast": "[ff02::1]",
    "IPv6 cloud metadata": "[fd00:ec2::254]",
    "cloud metadata": "169.254.169.254",
    "cloud metadata in decimal": "2852039166",
    "another cloud's metadata": "100.100.100.200",
    "a cloud's host agent": "168.63.129.16",
    "private": "10.0.0.7",
    "home router": "192.168.0.1",
    "broadcast": "255.255.255.255",
    "an address of the future": "[v1.fe80::a]",
    "10,000 labels": "a." * 10_000 + "example",
    "another port": "8.8.8.8:6379",
    "a port in other digits": "127.0.0.1:８０",
    "no host": "",
    "a space in the name": "a b",
}
"""Name of the attack -> the URL after `http://`."""


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("name", HOSTS)
async def test_no_spelling_of_a_private_address_is_connected_to(
    corpus: tuple[ImageLoader, HostileServer], dialled: list[str], name: str
) -> None:
    outcome = await attack(f"URL: {name}", corpus[0], f"http://{HOSTS[name]}/a.jpg", BOUND_S)
    assert outcome.split(":")[0] in {"private_address", "bad_url", "port", "credentials", "unresolvable"}
    assert dialled == []


async def reason(loader: ImageLoader, url: str) -> str:
    with pytest.raises(ImageError) as refused:
        await loader.load(url)
    return refused.value.reason


@pytest.mark.parametrize(
    ("addresses", "kind"),
    [
        pytest.param(["10.0.0.7"], "private_address", id="private"),
        pytest.param(["93.184.216.34", "10.0.0.7"], "private_address", id="public, then private"),
        pytest.param(["10.0.0.7", "93.184.216.34"], "private_address", id="private, then public"),
        pytest.param(["93.184.216.34", "::1"], "private_address", id="public by IPv4, loopback by IPv6"),
        pytest.param(["::ffff:10.0.0.7"], "private_address", id="mapped"),
        pytest.param(["64:ff9b::a00:7"], "private_address", id="NAT64"),
        pytest.param(["2002:a00:7::1"], "private_address", id="6to4"),
        pytest.param(["fe80::1%eth0"], "private_address", id="link-local with a zone"),
        pytest.param(["93.184.216.34"] * 63 + ["127.0.0.1"], "private_address", id="private behind 63 public ones"),
        pytest.param(["93.184.216.34"] * 4000, "unresolvable", id="thousands"),
        pytest.param([], "unresolvable", id="no address at all"),
    ],
)
async def test_a_name_is_refused_if_any_of_its_addresses_is_private(
    limits: Callable[..., ImageLimits], dialled: list[str], addresses: list[str], kind: str
) -> None:
    async def look_up(host: str, port: int) -> list[str]:
        return addresses

    async with ImageLoader(limits(), look_up) as loader:
        case = f"name that is {addresses[0] if addresses else 'nowhere'}, {len(addresses)} addresses in all"
        assert (await attack(case, loader, "http://images.example/a.jpg", BOUND_S)).startswith(f"{kind}: ")
    assert dialled == []


@pytest.mark.parametrize("host", ["nowhere.invalid", "a" * 70 + ".example"])
async def test_a_name_without_an_address_is_unresolvable(loader: ImageLoader, host: str) -> None:
    assert (await reason(loader, f"http://{host}/a.jpg")).startswith("unresolvable: ")


async def test_a_name_is_looked_up_once_and_the_checked_address_is_used(
    server: HostileServer, dialled: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: the first look-up gives 127.0.0.2, which plays a public address, all later ones 127.0.0.1."""
    monkeypatch.setattr("streams.images.address.is_public", lambda address: str(address) == "127.0.0.2")
    server.answers["/a.png"] = reply(PNG, "Connection: close")
    public = await asyncio.start_server(server.handle, "127.0.0.2", server.port)
    looked_up = []

    async def look_up(host: str, port: int) -> list[str]:
        looked_up.append(host)
        return ["127.0.0.2"] if len(looked_up) == 1 else ["127.0.0.1"]

    url = f"http://rebinding.example:{server.port}/a.png"
    async with public, ImageLoader(ImageLimits(ports=(server.port,)), look_up) as loader:
        assert (await loader.load(url)).format == "PNG"
        assert (looked_up, dialled) == (["rebinding.example"], ["127.0.0.2"])
        assert f"Host: rebinding.example:{server.port}" in server.requests[0]
        assert (await reason(loader, url)).startswith("private_address: ")
        assert dialled == ["127.0.0.2"]


async def test_aiohttp_connects_only_to_addresses_from_the_resolver(dialled: list[str]) -> None:
    """aiohttp takes some hosts for addresses by itself, which would bypass the check."""
    asked: list[str] = []

    class Recorder(AbstractResolver):
        async def resolve(self, host: str, *_: object) -> list[ResolveResult]:
            asked.append(host)
            raise ImageError("private_address", host)

        async def close(self) -> None:
            pass

    hosts = ["127.0.0.1", "::1", "v1.fe80::a", "127.0.0.1.", "2130706433", "localhost"]
    async with aiohttp.ClientSession(connector=Connector(resolver=Recorder())) as session:
        for host in hosts:
            with pytest.raises(ImageError):
                await session.get(f"http://[{host}]/" if ":" in host else f"http://{host}/")
    assert (asked, dialled) == (hosts, [])


async def test_only_a_few_addresses_of_a_name_are_tried(dialled: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a name could make the worker scan a network from inside."""
    monkeypatch.setattr("streams.images.address.is_public", lambda address: True)

    async def look_up(host: str, port: int) -> list[str]:
        return [f"127.0.{number >> 8}.{number & 255}" for number in range(2, 66)]

    async with ImageLoader(ImageLimits(ports=(9,)), look_up, failures=FailurePolicy(tries=1)) as loader:
        assert (await reason(loader, "http://many.example:9/a")).startswith("unreachable: ")
    assert len(set(dialled)) == MAX_DIALLED


PUBLIC = "http://93.184.216.34"

REDIRECTS: dict[str, tuple[str, str | tuple[str, ...]]] = {
    "to cloud metadata": (METADATA, "private_address: "),
    "to loopback by name": ("http://localhost/", "private_address: "),
    "to loopback by enclosed digits": ("http://①②⑦.⓪.⓪.①/", "private_address: "),
    "to loopback in decimal": ("http://2130706433/", "private_address: "),
    "to a private host, scheme kept": ("//10.0.0.7/a.jpg", "private_address: "),
    "to a file": ("file:///etc/passwd", "scheme: file"),
    "to gopher": ("gopher://127.0.0.1:6379/_FLUSHALL", "scheme: gopher"),
    "to ftp": ("ftp://93.184.216.34/a.jpg", "scheme: ftp"),
    "to data": ("data:image/png;base64,AAAA", "scheme: data"),
    "to a script": ("javascript:alert(1)", "scheme: javascript"),
    "to a socket": ("unix:///var/run/docker.sock", "scheme: unix"),
    "with credentials": ("http://me:secret@93.184.216.34/", "credentials: "),
    "to a port of another service": (PUBLIC + ":6379/", "port: 6379"),
    "to port 0": (PUBLIC + ":0/", ("port: ", "bad_url: ")),
    "to nonsense": ("http://[", "bad_url: "),
    "to bytes that are no text": ("http://\udcff\udcfe/", ("bad_url: ", "unresolvable: ")),
    "to no host": ("http:///elsewhere", "bad_url: the host can be read as elsewhere and as 127.0.0.1"),
    "to a header of ours": ("/a.png%0d%0aX-Injected:%201", "not_found: "),
    "to 8 kB of address": ("/" + "a" * 8150, "not_found: "),
    "to 9 kB of address": ("/" + "a" * 9000, "bad_response: "),
    "to itself": ("/moved", "too_many_redirects: "),
    "to itself, each time another query": ("/moved?1", "too_many_redirects: "),
    "three in a row": ("/1", "too_many_redirects: "),
    "to an endless body": ("/endless", "too_big: "),
}
"""Name of the attack -> Location, and the start of the expected outcome."""


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("name", REDIRECTS)
async def test_every_hop_of_a_redirect_is_checked(
    corpus: tuple[ImageLoader, HostileServer], dialled: list[str], name: str
) -> None:
    loader, server = corpus
    location, expected = REDIRECTS[name]
    moved = b"HTTP/1.1 302 Found\r\nLocation: " + location.encode(errors="surrogateescape") + b"\r\n\r\n"
    server.answers |= {
        "/moved": moved,
        "/moved?1": moved,
        "/1": reply(b"", "Location: /2", status="301 Moved Permanently"),
        "/2": reply(b"", "Location: /a.png", status="307 Temporary Redirect"),
        "/a.png": reply(PNG),
        "/endless": forever(b"HTTP/1.1 200 OK\r\n\r\n", bytes(8192)),
    }
    assert (await attack(f"redirect {name}", loader, f"{server.url}/moved", BOUND_S)).startswith(expected)
    assert set(dialled) == {"127.0.0.1"}
    assert not any(line.startswith("X-Injected") for head in server.requests for line in head.splitlines())


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("status", ["301 A", "302 B", "303 C", "307 D", "308 E"])
async def test_two_redirects_are_followed(corpus: tuple[ImageLoader, HostileServer], status: str) -> None:
    loader, server = corpus
    server.answers |= {
        "/1": reply(b"", "Location: /2", status=status),
        "/2": reply(b"", f"Location: {server.url}/a.png", status=status),
        "/a.png": reply(PNG),
    }
    assert (await loader.load(f"{server.url}/1")).format == "PNG"


async def test_a_closed_port_is_unreachable(limits: Callable[..., ImageLimits], server: HostileServer) -> None:
    async with await asyncio.start_server(server.handle, "127.0.0.1", 0) as other:
        address = f"127.0.0.1:{other.sockets[0].getsockname()[1]}"
    async with ImageLoader(limits(allow=(address,))) as loader:
        assert (await reason(loader, f"http://{address}/a.jpg")).startswith("unreachable: ")


async def test_a_slow_name_server_gets_half_of_the_time_and_is_not_the_hosts_fault(
    limits: Callable[..., ImageLimits],
) -> None:
    async def look_up(host: str, port: int) -> list[str]:
        await asyncio.Event().wait()
        return []

    async with ImageLoader(limits(timeout_s=0.1), look_up) as loader:
        assert (
            await reason(loader, "http://images.example/")
            == "unresolvable: no answer about images.example within 0.05 s"
        )


async def test_a_bug_becomes_a_reason_too(limits: Callable[..., ImageLimits]) -> None:
    async def look_up(host: str, port: int) -> list[str]:
        raise ZeroDivisionError("a bug")

    async with ImageLoader(limits(), look_up) as loader:
        assert await reason(loader, "http://images.example/") == "internal: ZeroDivisionError: a bug"


async def test_load_first_photo_returns_a_failure_and_never_raises(loader: ImageLoader, server: HostileServer) -> None:
    server.answers["/a.jpg"] = reply(b"", status="404 Not Found")
    url = f"{server.url}/a.jpg"
    result, _ = await loader.load_first_photo([Media(url=url)])
    assert (result.status, result.reason, result.url) == ("failed", "not_found: HTTP 404", url)
