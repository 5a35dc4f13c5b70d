"""Hostile responses are refused with a reason or cost little, and do not affect the next image."""

from __future__ import annotations

import asyncio
import gzip
import random
import zlib
from collections.abc import Callable
from contextlib import suppress

import brotli
import pytest
from aiohttp.client_proto import ResponseHandler
from backports import zstd

from streams.images.errors import ImageError
from streams.images.fetch import Fetcher
from streams.images.hosts import FailurePolicy
from streams.images.loader import ImageLoader
from streams.images.wire import MAX_OVERHEAD, PIECE, BoundedHandler
from streams.settings import ImageLimits
from tests.streams.images.hostile import Answer, HostileServer, forever, reply
from tests.streams.images.hostile_files import inflating
from tests.streams.images.measured import attack
from tests.streams.images.sample_images import encoded, half_and_half, noise
from tests.waiting import LoopClock, turns, until

MAX_BYTES = 50_000
LIMITS = {"timeout_s": 60.0, "max_bytes": MAX_BYTES}
"""The limits on bytes end these attacks, on a slow machine too. `SLOW` has those that only the deadline ends."""
BOUND_S = 10.0
PNG = encoded(half_and_half(), "PNG")
PHOTO = encoded(noise(), "JPEG")
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
CHUNK = b"2000\r\n" + bytes(0x2000) + b"\r\n"
LENGTH = b"Content-Length: %d\r\n" % len(PNG)
CHUNKED_PNG = b"%x\r\n%s\r\n" % (len(PNG), PNG)
END = b"0\r\n\r\n"

EITHER = ("bad_response: ", "broken: ", "not_an_image: ", "connection_lost: ", "ok: PNG")
"""A reader may accept or refuse these, but must read one response per request."""


def status(line: str, *headers: str) -> bytes:
    return reply(b"", *headers, status=line)


def coded(name: str, body: bytes, *headers: str) -> bytes:
    return reply(body, f"Content-Encoding: {name}", *headers)


def zstd_of_a_large_window() -> bytes:
    """Returns a zstd frame that asks its reader for a window of 128 MB (RFC 8878, 3.1.1.1.2)."""
    squeezer = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: 27})
    return squeezer.compress(bytes(1_000)) + squeezer.flush()


ANSWERS: dict[str, tuple[Answer, str | tuple[str, ...]]] = {
    # endless
    "endless body": (forever(OK + b"\r\n", bytes(8192)), "too_big: more than"),
    "endless chunks": (forever(CHUNKED, CHUNK), "too_big: more than"),
    "endless body behind an honest length": (
        forever(OK + LENGTH + b"\r\n" + PNG, bytes(8192)),
        ("ok: PNG", "bad_response: "),
    ),
    "endless chunks of one byte": (forever(CHUNKED, b"1\r\nX\r\n" * 1000), "bad_response: "),
    "endless extension of a chunk": (forever(CHUNKED + b"1;a=", b"b" * 8192), "bad_response: "),
    "extensions longer than the chunks": (forever(CHUNKED, b"1;a=" + b"b" * 8000 + b"\r\nX\r\n"), "bad_response: "),
    "endless zeros before a chunk's size": (forever(CHUNKED, b"0" * 8192), "bad_response: "),
    "endless trailers": (forever(CHUNKED + CHUNKED_PNG + b"0\r\n", b"A: b\r\n" * 100), "bad_response: "),
    "endless trailer": (forever(CHUNKED + CHUNKED_PNG + b"0\r\nA: ", b"b" * 8192), "bad_response: "),
    "flood of headers": (forever(OK, b"A: b\r\n"), "bad_response: "),
    "endless header": (forever(OK + b"A: ", b"b" * 4096), "bad_response: "),
    "endless name of a header": (forever(OK, b"b" * 4096), "bad_response: "),
    "endless status line": (forever(b"HTTP/1.1 200 ", b"b" * 4096), "bad_response: "),
    "endless empty lines": (forever(b"", b"\r\n" * 4096), "bad_response: "),
    "100 Continue for ever": (forever(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100), "bad_response: "),
    "103 Early Hints for ever": (
        forever(b"", b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n" * 100),
        "bad_response: ",
    ),
    "10,000 cookies": (OK + b"Set-Cookie: a=b\r\n" * 10_000 + LENGTH + b"\r\n" + PNG, "bad_response: "),
    # wrong lengths
    "more than allowed is announced": (reply(b"", length=MAX_BYTES + 1), f"too_big: {MAX_BYTES + 1} bytes announced"),
    "one byte more than allowed": (reply(bytes(MAX_BYTES + 1)), "too_big: "),
    "length too long": (reply(PHOTO[:3000], "Connection: close", length=9000), "connection_lost: "),
    # bytes after the announced length are ignored
    "length too short": (reply(PHOTO, length=len(PHOTO) // 2), "ok: JPEG"),
    "two lengths": (reply(PNG, "Content-Length: 5"), "bad_response: "),
    "a list of lengths": (reply(PNG, length=5).replace(b": 5", b": 5, 5"), "bad_response: "),
    "negative length": (OK + b"Content-Length: -5\r\n\r\n", "bad_response: "),
    "length with a plus": (OK + b"Content-Length: +5\r\n\r\nhello", "bad_response: "),
    "length in hex": (OK + b"Content-Length: 0x5\r\n\r\nhello", "bad_response: "),
    "length of 2^64": (OK + b"Content-Length: 18446744073709551616\r\n\r\n", "bad_response: "),
    "length of 100 digits": (OK + b"Content-Length: " + b"9" * 100 + b"\r\n\r\n", "bad_response: "),
    "chunk of 2^64 bytes": (CHUNKED + b"10000000000000000\r\n", ("bad_response: ", "connection_lost: ")),
    "negative chunk": (CHUNKED + b"-1\r\nX\r\n", ("bad_response: ", "connection_lost: ")),
    "chunks that break off": (CHUNKED + CHUNKED_PNG, "connection_lost: "),
    # ambiguous framing
    "length and chunks": (OK + LENGTH + CHUNKED[len(OK) :] + CHUNKED_PNG + END, ("bad_response: ", "ok: PNG")),
    "chunked twice": (OK + b"Transfer-Encoding: chunked, chunked\r\n\r\n" + CHUNKED_PNG + END, EITHER),
    "chunked under another name": (OK + b"Transfer-Encoding: xchunked\r\n\r\n" + CHUNKED_PNG + END, EITHER),
    "gzip as a transfer encoding": (OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + CHUNKED_PNG + END, EITHER),
    "space before a colon": (OK + b"Content-Length : 5\r\n\r\nhello", EITHER),
    "header folded over lines": (OK + b"A: b\r\n c\r\n" + LENGTH + b"\r\n" + PNG, EITHER),
    "lines that end without CR": ((OK + LENGTH + b"\r\n").replace(b"\r\n", b"\n") + PNG, EITHER),
    "zero byte in a header": (OK + b"A: \0\r\n" + LENGTH + b"\r\n" + PNG, "bad_response: "),
    "header in no encoding": (OK + b"A: \xff\xfe\r\n" + LENGTH + b"\r\n" + PNG, EITHER),
    "header without a colon": (OK + b"hello\r\n" + LENGTH + b"\r\n" + PNG, "bad_response: "),
    "another response behind": (reply(PNG) + reply(b"<p>the next image?"), "ok: PNG"),
    "garbage behind": (reply(PNG) + b"\x16\x03\x01garbage" * 100, "ok: PNG"),
    # not the requested content
    "SSH": (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "bad_response: "),
    "HTTP/0.9": (b"<html>", ("bad_response: ", "connection_lost: ")),
    "HTTP/2": (b"HTTP/2 200\r\n\r\n", "bad_response: "),
    "HTTP/9.9": (b"HTTP/9.9 200 OK\r\n\r\n", "bad_response: "),
    "RTSP": (b"RTSP/1.0 200 OK\r\n\r\n", ("bad_response: ", "not_an_image: ")),
    "TLS on a plain port": (b"\x15\x03\x01\x00\x02\x02\x46", ("bad_response: ", "connection_lost: ")),
    "status of a thousand": (b"HTTP/1.1 1000 OK\r\n\r\n", "bad_response: "),
    "status in letters": (b"HTTP/1.1 abc OK\r\n\r\n", "bad_response: "),
    "hangs up": (b"", "connection_lost: "),
    "hangs up in the head": (OK, ("connection_lost: ", "not_an_image: ", "bad_response: ")),
    "101, another protocol": (
        forever(b"HTTP/1.1 101 Go\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n", bytes(8192)),
        "http_status: HTTP 101",
    ),
    "101 to HTTP/2": (status("101 Go", "Upgrade: h2c", "Connection: upgrade"), "http_status: HTTP 101"),
    "204": (status("204 No Content"), "http_status: HTTP 204"),
    "206, a part": (reply(PNG, "Content-Range: bytes 9-99/100", status="206 Partial"), "http_status: HTTP 206"),
    "302 to nowhere": (status("302 Found"), "http_status: HTTP 302"),
    "304 though nothing is kept": (status("304 Not Modified"), "bad_response: HTTP 304"),
    "401 that asks for a password": (status("401 No", "WWW-Authenticate: Basic realm=a"), "http_status: HTTP 401"),
    "403 with an image": (reply(PNG, status="403 Forbidden"), "http_status: HTTP 403"),
    "404": (reply(b"gone", status="404 Not Found"), "not_found: HTTP 404"),
    "407 that asks for a proxy": (status("407 No", "Proxy-Authenticate: NTLM"), "http_status: HTTP 407"),
    "410": (reply(b"gone", status="410 Gone"), "not_found: HTTP 410"),
    "503": (status("503 Unavailable"), "http_status: HTTP 503"),
    "503 until the end of time": (status("503 Wait", "Retry-After: 99999999999999999999"), "http_status: HTTP 503, "),
    # compressed
    "gzip bomb": (coded("gzip", gzip.compress(bytes(30_000_000))), "too_big: inflates to more than"),
    "gzip bomb in many members": (coded("gzip", gzip.compress(bytes(60)) * 1_000), "too_big: inflates to more than"),
    "gzip of thousands of empty members": (coded("gzip", gzip.compress(b"") * 2_000), "encoded: "),
    "gzip bomb behind an image": (coded("gzip", gzip.compress(PNG + bytes(30_000_000))), "too_big: inflates to more"),
    "gzip bomb in gzip": (
        coded("gzip, gzip", gzip.compress(gzip.compress(bytes(300_000_000)))),
        "too_big: inflates to more than",
    ),
    "gzip a thousand times": (coded(", ".join(["gzip"] * 1000), gzip.compress(PNG)), "encoded: 1000 codings"),
    "gzip four times": (coded("gzip,gzip", gzip.compress(PNG), "Content-Encoding: br, gzip"), "encoded: 4 codings"),
    "deflate bomb": (coded("deflate", inflating(20)), "too_big: inflates to more than"),
    "brotli bomb": (coded("br", brotli.compress(bytes(30_000_000))), "too_big: inflates to more than"),
    "zstd bomb": (coded("zstd", zstd.compress(bytes(30_000_000))), "too_big: inflates to more than"),
    "zstd that needs 128 MB": (coded("zstd", zstd_of_a_large_window()), "encoded: labelled zstd"),
    "half a stream of each": (coded("gzip, br, zstd", b"\x28\xb5\x2f\xfd\x04"), "encoded: "),
    "brotli": (coded("br", b"\x1b"), "encoded: "),
    "zstd": (coded("zstd", b"\x28\xb5\x2f\xfd"), "encoded: "),
    "gzip that is not": (coded("gzip", b"<html>" * 99), "encoded: labelled gzip"),
    "an encoding of their own": (coded("x-rot13", b"<html>"), "not_an_image: "),
    "gzip, unannounced": (reply(gzip.compress(PNG), "Content-Type: image/png"), "not_an_image: "),
    "deflate, unannounced": (reply(zlib.compress(PNG)), "not_an_image: "),
}
"""Name of the attack -> the response, and the start of the expected outcome."""

SLOW: dict[str, Answer] = {
    "slow drip of a body": forever(OK + b"\r\n", b"\xff", 0.01),
    "slow drip of chunks": forever(CHUNKED, b"1\r\nX\r\n", 0.01),
    "slow drip of headers": forever(OK, b"A: b\r\n", 0.01),
    "slow drip of interim responses": forever(b"", b"HTTP/1.1 100 Continue\r\n\r\n", 0.01),
    "silence": forever(b"", b"", 0.01),
    "silence after the head": forever(OK + LENGTH + b"\r\n", b"", 0.01),
}
"""Name of the attack -> the response, which never ends and stays small."""


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("name", ANSWERS)
async def test_a_hostile_answer_is_refused_or_bounded(corpus: tuple[ImageLoader, HostileServer], name: str) -> None:
    loader, server = corpus
    server.answers["/a"], expected = ANSWERS[name]
    assert (await attack(name, loader, f"{server.url}/a", BOUND_S)).startswith(expected)
    assert (await loader.load(f"{server.url}/honest")).format == "PNG"


@pytest.mark.parametrize("name", SLOW)
async def test_a_slow_answer_ends_at_the_deadline(
    limits: Callable[..., ImageLimits], server: HostileServer, loop_clock: LoopClock, name: str
) -> None:
    server.answers["/a"] = SLOW[name]
    async with ImageLoader(limits(**LIMITS), failures=FailurePolicy(tries=1)) as loader:
        outcome = asyncio.create_task(attack(name, loader, f"{server.url}/a", BOUND_S))
        await until(lambda: server.requests)
        await turns()
        assert not outcome.done()
        loop_clock.pass_s(LIMITS["timeout_s"])
        assert (await outcome).startswith("timeout: ")


async def no_look_up(host: str, port: int) -> list[str]:
    raise AssertionError(host)


@pytest.mark.parametrize("late", [False, True], ids=["at once", "later"])
async def test_bytes_after_a_response_never_become_the_next_images_answer(late: bool) -> None:
    """Otherwise the author of a split response could choose the next image of an honest host."""
    poison = reply(b"the attacker's image")
    connections = 0
    received, poisoned = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Keeps the connection open until the client closes it."""
        nonlocal connections
        connections += 1
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(reply(PNG, "Connection: keep-alive"))
                if late:
                    await writer.drain()
                    await received.wait()
                writer.write(poison)
                poisoned.set()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listening:
        address = f"127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        async with Fetcher(ImageLimits(allow=(address,)), no_look_up) as fetcher:
            for number in range(4):
                received.clear()
                poisoned.clear()
                assert (await fetcher.get(f"http://{address}/{number}")).body == PNG
                received.set()
                await poisoned.wait()
                await turns()
    assert connections == 4


@pytest.mark.parametrize(
    "size", [pytest.param(100, id="chunks of 100 bytes"), pytest.param(10**6, id="chunks of a megabyte")]
)
async def test_the_limit_on_overhead_stops_no_honest_server(
    limits: Callable[..., ImageLimits], server: HostileServer, size: int
) -> None:
    photo = random.randbytes(20 * MAX_OVERHEAD)
    pieces = (photo[start : start + size] for start in range(0, len(photo), size))
    server.answers["/a"] = CHUNKED + b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + END
    async with Fetcher(limits(), no_look_up) as fetcher:
        assert (await fetcher.get(f"{server.url}/a")).body == photo


async def test_no_cookie_is_kept_and_no_header_of_a_url_is_injected(server: HostileServer) -> None:
    """Uses a host name, because aiohttp keeps no cookies for addresses."""

    async def look_up(host: str, port: int) -> list[str]:
        return [server.host]

    server.answers |= dict.fromkeys(
        ["/a", "/a%0d%0aX-Injected:%201", "/aX-Injected:%201"], reply(PNG, "Set-Cookie: a=1")
    )
    address = f"images.example:{server.port}"
    async with Fetcher(ImageLimits(allow=(address,)), look_up) as fetcher:
        for path in ("/a", "/a\r\nX-Injected: 1", "/a%0d%0aX-Injected: 1"):
            await fetcher.get(f"http://{address}{path}")
    assert len(server.requests) == 3
    assert not any(line.startswith(("X-Injected", "Cookie")) for head in server.requests for line in head.splitlines())


async def test_thousands_of_interim_responses_are_not_parsed_in_one_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """asyncio passes on up to 256 KB. Parsing all of it in one go would block the event loop, and every other image."""
    pieces: list[int] = []
    parse = ResponseHandler.data_received

    def counted(self: ResponseHandler, data: bytes) -> None:
        pieces.append(len(data))
        parse(self, data)

    monkeypatch.setattr(ResponseHandler, "data_received", counted)
    handler = BoundedHandler(asyncio.get_running_loop())
    handler.connection_made(asyncio.Transport())
    handler.set_response_params()
    with suppress(NotImplementedError):  # by the transport that does nothing, when the connection is aborted
        handler.data_received((b"HTTP/1.1 100 Continue\r\n\r\n" * 20_000)[: 256 * 1024])
    assert isinstance(handler.exception(), ImageError)
    assert max(pieces) <= PIECE
    assert MAX_OVERHEAD < sum(pieces) <= MAX_OVERHEAD + PIECE


async def test_proxies_of_the_environment_are_not_used(
    loader: ImageLoader, server: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, server.url)
    for url in ("http://10.0.0.7/a.jpg", "http://nowhere.invalid/a.jpg"):
        with pytest.raises(ImageError):
            await loader.load(url)
    assert server.requests == []


@pytest.mark.asyncio(loop_scope="module")
async def test_the_content_decides_the_format_not_the_header(
    corpus: tuple[ImageLoader, HostileServer],
) -> None:
    loader, server = corpus
    server.answers["/a.txt"] = reply(PNG, "Content-Type: text/html")
    assert (await loader.load(f"{server.url}/a.txt")).format == "PNG"
