"""Certificates are checked against the host name of the URL, by a real TLS server."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from streams.images.errors import ImageError
from streams.images.fetch import Fetcher
from streams.images.hosts import FailurePolicy
from streams.images.loader import ImageLoader
from streams.settings import ImageLimits
from tests.streams.images.hostile import HostileServer, forever, reply
from tests.streams.images.measured import attack

BOUND_S = 3.0
NAME = "images.example"


async def here(host: str, port: int) -> list[str]:
    return ["127.0.0.1"]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a test certificate authority (`ca.pem`), and `server.pem`, which it signed for NAME."""
    if shutil.which("openssl") is None:
        pytest.skip("makes certificates with the command openssl, which is not installed")
    folder = tmp_path_factory.mktemp("tls")
    new = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    of_authority = ["-addext", "keyUsage=critical,keyCertSign,cRLSign"]  # Python 3.13 requires it
    of_server = ["-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}"]
    signed = ["-CA", "ca.pem", "-CAkey", "ca.key", "-addext", "basicConstraints=critical,CA:FALSE"]
    for command in (
        [*new, "-subj", "/CN=authority of a test", *of_authority, "-keyout", "ca.key", "-out", "ca.pem"],
        [*new, *of_server, *signed, "-keyout", "server.key", "-out", "server.pem"],
    ):
        process = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)
        if process.returncode:
            pytest.skip(f"needs OpenSSL 3 to make certificates: {process.stderr.strip()[-200:]}")
    return folder


@asynccontextmanager
async def tls_server(authority: Path) -> AsyncIterator[tuple[HostileServer, list[str | None]]]:
    """Also yields the names that clients asked for (SNI, RFC 6066, 3)."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(authority / "server.pem", authority / "server.key")
    names: list[str | None] = []
    context.sni_callback = lambda _, name, __: names.append(name)
    hostile = HostileServer("127.0.0.1")
    async with await asyncio.start_server(hostile.handle, "127.0.0.1", 0, ssl=context) as listening:
        hostile.port = listening.sockets[0].getsockname()[1]
        hostile.answers["/a"] = reply(b"body")
        yield hostile, names


def fetcher(authority: Path, *allow: str, look_up: Callable[[str, int], Awaitable[list[str]]] = here) -> Fetcher:
    """A fetcher that trusts the test authority."""
    context = ssl.create_default_context(cafile=str(authority / "ca.pem"))
    return Fetcher(ImageLimits(allow=allow), look_up, failures=FailurePolicy(tries=1), tls=context)


async def test_a_trusted_certificate_is_accepted_at_the_checked_address(
    authority: Path,
) -> None:
    async with tls_server(authority) as (server, names):
        address = f"{NAME}:{server.port}"
        async with fetcher(authority, address) as fetch:
            assert (await fetch.get(f"https://{address}/a")).body == b"body"
        assert names == [NAME]
        assert f"Host: {address}\r\n" in server.requests[0]


@pytest.mark.parametrize("host", ["elsewhere.example", "127.0.0.1", f"{NAME}.attacker.example"])
async def test_a_certificate_for_another_name_is_refused(authority: Path, host: str) -> None:
    async with tls_server(authority) as (server, _):
        async with fetcher(authority, f"{host}:{server.port}") as fetch:
            with pytest.raises(ImageError, match=r"^tls: "):
                await fetch.get(f"https://{host}:{server.port}/a")
        assert server.requests == []


async def test_an_untrusted_certificate_is_refused(authority: Path) -> None:
    async with tls_server(authority) as (server, _):
        address = f"{NAME}:{server.port}"
        async with ImageLoader(ImageLimits(allow=(address,)), here) as loader:
            outcome = await attack("TLS: unknown authority", loader, f"https://{address}/a", BOUND_S)
        assert outcome.startswith("tls: ")
        assert server.requests == []


async def test_a_redirect_to_https_is_checked_too(authority: Path, server: HostileServer) -> None:
    async with tls_server(authority) as (secure, _):
        address = f"{NAME}:{secure.port}"
        server.answers["/a"] = reply(b"", f"Location: https://{address}/a", status="301 Moved")
        limits = ImageLimits(allow=(server.address, address))
        async with ImageLoader(limits, here, failures=FailurePolicy(tries=1)) as loader:
            assert (await attack("TLS: behind a redirect", loader, f"{server.url}/a", BOUND_S)).startswith("tls: ")


@pytest.mark.parametrize(
    ("name", "answer", "expected"),
    [
        ("plain HTTP", reply(b"hello"), ("tls: ", "connection_lost: ")),
        ("garbage", b"\x16\x03\x01\xff\xff" + b"\xff" * 5000, ("tls: ", "connection_lost: ")),
        ("an alert", b"\x15\x03\x03\x00\x02\x02\x28", ("tls: ", "connection_lost: ")),
        ("hangs up", b"", ("tls: ", "connection_lost: ", "unreachable: ")),
        ("a handshake without end", forever(b"", b"\x16\x03\x03\x40\x00" + b"\x02\x00\xff\xff" * 4096), ("tls: ",)),
        ("silence", forever(b"", b"", 0.01), ("timeout: ",)),
    ],
)
async def test_a_broken_handshake_is_refused_in_bounded_time(
    name: str, answer: object, expected: tuple[str, ...]
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4096)
        try:
            if isinstance(answer, bytes):
                writer.write(answer)
                await writer.drain()
            else:
                await answer(writer)  # type: ignore[operator]
        except ConnectionError:
            pass
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:  # `async with` waits for the handlers from Python 3.12 on, and one of them never ends
        address = f"{NAME}:{listening.sockets[0].getsockname()[1]}"
        limits = ImageLimits(allow=(address,), timeout_s=0.6)
        async with ImageLoader(limits, here, failures=FailurePolicy(tries=1)) as loader:
            outcome = await attack(f"TLS: {name}", loader, f"https://{address}/a", BOUND_S)
    finally:
        listening.close()
    assert outcome.startswith(expected)
