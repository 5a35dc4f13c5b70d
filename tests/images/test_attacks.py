"""What a stranger's URL and a stranger's server can do to us: each is refused or bounded, with its reason."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable
from time import monotonic

import pytest

from local.examples import METADATA, png_bomb
from streams.events import Media
from streams.images.errors import ImageError
from streams.images.loader import ImageLoader
from streams.settings import Settings
from tests.images.hostile import Answer, HostileServer, reply
from tests.images.pictures import encoded, half_and_half, noise

PNG = encoded(half_and_half(), "PNG")
MAX_BYTES = 50_000


async def reason(loader: ImageLoader, url: str) -> str:
    with pytest.raises(ImageError) as refused:
        await loader.load(url)
    return refused.value.reason


@pytest.mark.parametrize(
    "host",
    [
        pytest.param("127.0.0.1", id="loopback"),
        pytest.param("2130706433", id="decimal"),
        pytest.param("017700000001", id="octal"),
        pytest.param("0x7f000001", id="hex"),
        pytest.param("0177.0.0.1", id="octal part"),
        pytest.param("0x7f.0.0.1", id="hex part"),
        pytest.param("127.1", id="short"),
        pytest.param("0", id="zero"),
        pytest.param("127.0.0.1.", id="loopback with a dot behind"),
        pytest.param("%31%32%37.0.0.1", id="percent-encoded"),
        pytest.param("１２７.0.0.1", id="full-width digits"),
        pytest.param("localhost", id="localhost"),
        pytest.param("LOCALHOST", id="localhost in capitals"),
        pytest.param("[::1]", id="IPv6 loopback"),
        pytest.param("[::]", id="IPv6 unspecified"),
        pytest.param("[0:0:0:0:0:ffff:127.0.0.1]", id="IPv4-mapped"),
        pytest.param("[::ffff:7f00:1]", id="IPv4-mapped in hex"),
        pytest.param("[::127.0.0.1]", id="IPv4-compatible"),
        pytest.param("[64:ff9b::127.0.0.1]", id="NAT64"),
        pytest.param("[2002:7f00:1::]", id="6to4"),
        pytest.param("[fe80::1]", id="IPv6 link-local"),
        pytest.param("[fd00:ec2::254]", id="IPv6 cloud metadata"),
        pytest.param("169.254.169.254", id="cloud metadata"),
        pytest.param("10.0.0.7", id="private"),
        pytest.param("192.168.0.1", id="home router"),
    ],
)
async def test_no_way_to_write_a_private_address_is_dialled(loader: ImageLoader, dialled: list[str], host: str) -> None:
    assert (await reason(loader, f"http://{host}/a.jpg")).split(":")[0] in {"private_address", "bad_url"}
    assert dialled == []


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
        pytest.param([], "unresolvable", id="no address at all"),
    ],
)
async def test_a_name_is_refused_if_any_address_of_it_is_private(
    settings: Callable[..., Settings], dialled: list[str], addresses: list[str], kind: str
) -> None:
    async def look_up(host: str, port: int) -> list[str]:
        return addresses

    async with ImageLoader(settings(), look_up) as loader:
        assert (await reason(loader, "http://pictures.example/a.jpg")).startswith(f"{kind}: ")
    assert dialled == []


@pytest.mark.parametrize("host", ["nowhere.invalid", "a" * 70 + ".example", "a b"])
async def test_a_name_without_an_address_is_unresolvable(loader: ImageLoader, host: str) -> None:
    assert (await reason(loader, f"http://{host}/a.jpg")).startswith("unresolvable: ")


async def test_a_name_is_looked_up_once_and_the_address_that_was_checked_is_dialled(
    server: HostileServer, dialled: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: 127.0.0.2 plays a public address at the first look-up, 127.0.0.1 waits behind all others."""
    monkeypatch.setattr("streams.images.address.is_public", lambda address: str(address) == "127.0.0.2")
    server.answers["/a.png"] = reply(PNG, "Connection: close")
    public = await asyncio.start_server(server.handle, "127.0.0.2", server.port)
    looked_up = []

    async def look_up(host: str, port: int) -> list[str]:
        looked_up.append(host)
        return ["127.0.0.2"] if len(looked_up) == 1 else ["127.0.0.1"]

    url = f"http://rebinding.example:{server.port}/a.png"
    async with public, ImageLoader(Settings(image_ports=(server.port,)), look_up) as loader:
        assert (await loader.load(url)).format == "PNG"
        assert (looked_up, dialled) == (["rebinding.example"], ["127.0.0.2"])
        assert f"Host: rebinding.example:{server.port}" in server.requests[0]
        assert (await reason(loader, url)).startswith("private_address: ")
        assert dialled == ["127.0.0.2"]


async def test_tls_asks_for_the_name_of_the_url_at_the_address_that_was_checked(server: HostileServer) -> None:
    hello = asyncio.get_running_loop().create_future()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hello.set_result(await reader.read(4096))
        writer.close()

    async def look_up(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    async with await asyncio.start_server(listen, "127.0.0.1", 0) as tls:
        address = f"pictures.example:{tls.sockets[0].getsockname()[1]}"
        async with ImageLoader(Settings(image_allow=(address,)), look_up) as loader:
            assert (await reason(loader, f"https://{address}/a.jpg")).split(":")[0] in {"tls", "unreachable"}
    assert b"pictures.example" in await hello


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        pytest.param(METADATA, "private_address: ", id="to cloud metadata"),
        pytest.param("http://localhost/", "private_address: ", id="to loopback by name"),
        pytest.param("//10.0.0.7/a.jpg", "private_address: ", id="to a private host, scheme kept"),
        pytest.param("file:///etc/passwd", "scheme: file", id="to a file"),
        pytest.param("http://me:secret@93.184.216.34/", "credentials: ", id="with credentials"),
        pytest.param("http://93.184.216.34:6379/", "port: 6379", id="to a port of another service"),
        pytest.param("http://[", "bad_url: ", id="to nonsense"),
        pytest.param("/moved", "too_many_redirects: ", id="to itself"),
        pytest.param("/1", "too_many_redirects: ", id="three in a row"),
    ],
)
async def test_every_hop_of_a_redirect_is_checked(
    loader: ImageLoader, server: HostileServer, dialled: list[str], location: str, expected: str
) -> None:
    server.answers = {
        "/moved": reply(b"", f"Location: {location}", status="302 Found"),
        "/1": reply(b"", "Location: /2", status="301 Moved Permanently"),
        "/2": reply(b"", "Location: /a.png", status="307 Temporary Redirect"),
        "/a.png": reply(PNG),
    }
    assert (await reason(loader, f"{server.url}/moved")).startswith(expected)
    assert set(dialled) == {"127.0.0.1"}


@pytest.mark.parametrize("status", ["301 A", "302 B", "303 C", "307 D", "308 E"])
async def test_two_redirects_are_followed(loader: ImageLoader, server: HostileServer, status: str) -> None:
    server.answers = {
        "/1": reply(b"", "Location: /2", status=status),
        "/2": reply(b"", f"Location: {server.url}/a.png", status=status),
        "/a.png": reply(PNG),
    }
    assert (await loader.load(f"{server.url}/1")).format == "PNG"


def forever(head: bytes, piece: bytes, pause_s: float = 0.0) -> Answer:
    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while True:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause_s)

    return answer


OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
CHUNK = b"2000\r\n" + bytes(0x2000) + b"\r\n"
PHOTO = encoded(noise(), "JPEG")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        pytest.param(forever(OK + b"\r\n", bytes(8192)), "too_big: more than", id="endless body"),
        pytest.param(forever(CHUNKED, CHUNK), "too_big: more than", id="endless chunks"),
        pytest.param(reply(b"", length=MAX_BYTES + 1), f"too_big: {MAX_BYTES + 1} bytes announced", id="announced"),
        pytest.param(reply(bytes(MAX_BYTES + 1)), "too_big: ", id="one byte more than allowed"),
        pytest.param(reply(PHOTO[:3000], "Connection: close", length=9000), "connection_lost: ", id="length too long"),
        # what follows the announced length is either the next, nonsensical response or too late to matter
        pytest.param(reply(PHOTO, length=3000), ("bad_response: ", "broken: "), id="length too short"),
        pytest.param(reply(PNG, "Content-Length: 5"), "bad_response: ", id="two lengths"),
        pytest.param(OK + b"Content-Length: -5\r\n\r\n", "bad_response: ", id="negative length"),
        pytest.param(forever(OK + b"\r\n", b"\xff", 0.01), "timeout: ", id="slow drip of a body"),
        pytest.param(forever(OK, b"A: b\r\n", 0.01), "timeout: ", id="slow drip of headers"),
        pytest.param(forever(b"", b"", 0.01), "timeout: ", id="silence"),
        pytest.param(forever(OK, b"A: b\r\n"), "bad_response: ", id="flood of headers"),
        pytest.param(forever(OK + b"A: ", b"b" * 4096), "bad_response: ", id="endless header"),
        pytest.param(b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "bad_response: ", id="not HTTP"),
        pytest.param(b"", "connection_lost: ", id="hangs up"),
        pytest.param(reply(b"gone", status="404 Not Found"), "not_found: HTTP 404", id="404"),
        pytest.param(reply(b"gone", status="410 Gone"), "not_found: HTTP 410", id="410"),
        pytest.param(reply(PNG, status="403 Forbidden"), "http_status: HTTP 403", id="403 with a picture"),
        pytest.param(reply(b"", status="503 Unavailable"), "http_status: HTTP 503", id="503"),
        pytest.param(reply(b"", status="302 Found"), "http_status: HTTP 302", id="redirect to nowhere"),
        pytest.param(reply(b"", status="204 No Content"), "http_status: HTTP 204", id="no content"),
        pytest.param(
            reply(gzip.compress(bytes(30_000_000)), "Content-Encoding: gzip"), "encoded: sent as gzip", id="gzip bomb"
        ),
        pytest.param(reply(gzip.compress(PNG), "Content-Type: image/png"), "not_an_image: ", id="gzip unannounced"),
        pytest.param(reply(b"<p>hi", "Content-Type: image/jpeg"), "not_an_image: ", id="HTML that says JPEG"),
        pytest.param(reply(b"<svg/>", "Content-Type: image/svg+xml"), "not_an_image: ", id="SVG"),
        pytest.param(reply(b""), "not_an_image: ", id="empty body"),
        pytest.param(reply(PHOTO[:3000]), "broken: ", id="truncated file"),
        pytest.param(reply(png_bomb(8000)), "bomb: ", id="PNG bomb"),
    ],
)
async def test_a_hostile_answer_is_refused_with_its_reason_in_bounded_time(
    settings: Callable[..., Settings], server: HostileServer, answer: Answer, expected: str | tuple[str, ...]
) -> None:
    server.answers["/a.jpg"] = answer
    started = monotonic()
    async with ImageLoader(settings(image_timeout_s=0.5, image_max_bytes=MAX_BYTES)) as loader:
        assert (await reason(loader, f"{server.url}/a.jpg")).startswith(expected)
    assert monotonic() - started < 2


async def test_nobody_at_the_address_is_unreachable(settings: Callable[..., Settings], server: HostileServer) -> None:
    async with await asyncio.start_server(server.handle, "127.0.0.1", 0) as other:
        address = f"127.0.0.1:{other.sockets[0].getsockname()[1]}"
    async with ImageLoader(settings(image_allow=(address,))) as loader:
        assert (await reason(loader, f"http://{address}/a.jpg")).startswith("unreachable: ")


async def test_a_slow_name_server_is_bounded_by_the_same_deadline(settings: Callable[..., Settings]) -> None:
    async def look_up(host: str, port: int) -> list[str]:
        await asyncio.sleep(60)
        return []

    async with ImageLoader(settings(image_timeout_s=0.1), look_up) as loader:
        assert await reason(loader, "http://pictures.example/") == "timeout: not done within 0.1 s"


async def test_a_fault_of_our_own_is_a_reason_too(settings: Callable[..., Settings]) -> None:
    async def look_up(host: str, port: int) -> list[str]:
        raise ZeroDivisionError("a bug")

    async with ImageLoader(settings(), look_up) as loader:
        assert await reason(loader, "http://pictures.example/") == "internal: ZeroDivisionError: a bug"


async def test_a_picture_is_known_by_its_content_whatever_the_header_says(
    loader: ImageLoader, server: HostileServer
) -> None:
    server.answers["/a.txt"] = reply(PNG, "Content-Type: text/html")
    assert (await loader.load(f"{server.url}/a.txt")).format == "PNG"


async def test_proxies_of_the_environment_are_not_asked(
    loader: ImageLoader, server: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", server.url)
    monkeypatch.setenv("HTTP_PROXY", server.url)
    assert (await reason(loader, "http://10.0.0.7/a.jpg")).startswith("private_address: ")
    assert (await reason(loader, "http://nowhere.invalid/a.jpg")).startswith("unresolvable: ")
    assert server.requests == []


async def test_cookies_are_not_kept(loader: ImageLoader, server: HostileServer) -> None:
    server.answers["/a.png"] = reply(PNG, "Set-Cookie: seen=1; Path=/")
    for _ in range(2):
        await loader.load(f"{server.url}/a.png")
    assert len(server.requests) == 2
    assert not any("cookie" in request.lower() for request in server.requests)


async def test_look_tells_of_a_failure_and_never_raises(loader: ImageLoader, server: HostileServer) -> None:
    server.answers["/a.jpg"] = reply(b"", status="404 Not Found")
    url = f"{server.url}/a.jpg"
    result, _ = await loader.look([Media(url=url)])
    assert (result.status, result.reason, result.url) == ("failed", "not_found: HTTP 404", url)
