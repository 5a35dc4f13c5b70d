"""Addresses, codings and heads in any form: nothing is rewritten, nothing gets past a check."""

from __future__ import annotations

import asyncio
import gzip
import json
import random
import warnings
import zlib
from collections.abc import Callable
from typing import TypeVar

import brotli
import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from streams.images.address import UrlPolicy, is_public, parse_address
from streams.images.coding import MAX_MEMBERS, decoded, named_codings
from streams.images.decode import Decoded, decode
from streams.images.errors import ImageError
from streams.images.fetch import Fetcher
from streams.images.outgoing import location_text
from streams.settings import ImageLimits
from tests.families.images.answers import PNG, answer, raw_deflate
from tests.families.images.make_files import CORPUS, FILES
from tests.families.images.record import RECORD
from tests.streams.images.hostile import Answer, hostile_server

POLICY = UrlPolicy.of(ImageLimits())
VALID = "abcXYZ019-._~!$&'()*+,;=:@/%"
"""Characters that may stand in the path of a URL (RFC 3986, 3.3)."""


Result = TypeVar("Result")


def outcome(call: Callable[[], Result]) -> Result | str:
    """Returns the result, or the kind of the refusal."""
    try:
        return call()
    except ImageError as error:
        return error.kind


@given(st.text(VALID, max_size=40), st.text(VALID + "?", max_size=40))
def test_a_valid_address_goes_out_byte_for_byte(path: str, query: str) -> None:
    if any(segment.lower().replace("%2e", ".") in {".", ".."} for segment in path.split("/")):
        return  # every reader resolves these
    url = POLICY.check_url(f"http://example.org/{path}?{query}")
    assert url.raw_path_qs == f"/{path}?{query}"


@given(st.text(max_size=60))
def test_any_address_goes_out_as_one_word(text: str) -> None:
    try:
        url = POLICY.check_url(f"http://example.org/{text}")
    except ImageError:
        return
    assert url.raw_host == "example.org"
    assert url.raw_path_qs.isascii()
    assert url.raw_path_qs.isprintable()
    assert " " not in url.raw_path_qs
    assert "#" not in url.raw_path_qs


@given(st.text("htp:/\\@.?#[]%0127.ax \t\n。①localhostexample", max_size=40))
def test_no_spelling_leads_to_another_host_than_the_one_that_was_checked(text: str) -> None:
    try:
        url = POLICY.check_url(f"http://{text}")
    except ImageError:
        return
    host = url.raw_host or ""
    address = parse_address(host)
    assert address is None or (is_public(address) and str(address) == host)
    assert url.user is None
    assert url.port == 80


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        pytest.param("http://8.8.8.8\\.127.0.0.1/a.jpg", "bad_url", id="backslash in the host"),
        pytest.param("http:\\\\127.0.0.1\\a.jpg", "bad_url", id="backslashes for slashes"),
        pytest.param("http:/127.0.0.1/a.jpg", "bad_url", id="one slash"),
        pytest.param("http:127.0.0.1/a.jpg", "bad_url", id="no slash"),
        pytest.param("http:///127.0.0.1/a.jpg", "bad_url", id="three slashes"),
        pytest.param("http://%31%32%37.0.0.1/a.jpg", "bad_url", id="encoded digits"),
        pytest.param("http://example.org%2F@127.0.0.1/a.jpg", "credentials", id="encoded slash before an at"),
        pytest.param("http://example.org/\\@127.0.0.1/a.jpg", None, id="backslash and at in the path"),
        pytest.param("http://example.org?@127.0.0.1/a.jpg", None, id="at in the query"),
        pytest.param("http://example.org#@127.0.0.1/a.jpg", None, id="at in the fragment"),
        pytest.param("ht\ntp://127.0.0.1/a.jpg", "private_address", id="line end in the scheme"),
        pytest.param("http://0x7f.1/a%2fb.jpg", "private_address", id="hex"),
        pytest.param("http://１２７.0.0.1/a%2fb.jpg", "private_address", id="full-width"),
        pytest.param("http://example.org:8o/a.jpg", "bad_url", id="no number for a port"),
        pytest.param("http://example.org:６３７９/a.jpg", "port", id="port in other digits"),
        pytest.param("", "scheme", id="nothing"),
        pytest.param("http://exam\udc80ple.org/", "bad_url", id="a byte that is no text"),
    ],
)
def test_an_odd_address_is_read_in_one_way_or_refused(text: str, kind: str | None) -> None:
    if kind is None:
        assert POLICY.check_url(text).raw_host == "example.org"
        return
    with pytest.raises(ImageError) as refused:
        POLICY.check_url(text)
    assert refused.value.kind == kind


@pytest.mark.parametrize(
    ("location", "kind"),
    [
        pytest.param("\\\\127.0.0.1\\a", None, id="backslashes that browsers read as a host"),
        pytest.param("/\\127.0.0.1/a", None, id="slash and backslash that browsers read as a host"),
        pytest.param("///127.0.0.1/a", None, id="three slashes that browsers read as a host"),
        pytest.param("http:\\\\127.0.0.1", None, id="scheme and backslashes"),
        pytest.param("http:127.0.0.1", None, id="scheme and no slash"),
        pytest.param("//127.0.0.1/a", "private_address", id="another host, scheme kept"),
        pytest.param("https://127.0.0.1/a", "private_address", id="another scheme"),
    ],
)
def test_a_redirect_that_two_readers_read_differently_is_refused(location: str, kind: str | None) -> None:
    base = POLICY.check_url("http://example.org/a/b?c")
    read = outcome(lambda: POLICY.check_url(location, base))
    if isinstance(read, URL):
        assert kind is None
        assert read.raw_host == "example.org"
    else:
        assert read == (kind or "bad_url")


def test_a_location_keeps_its_bytes() -> None:
    header = "/m\udcfcnchen/ü%2f".encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")
    assert location_text(header) == "/m%FCnchen/ü%2f"


CODERS = {"gzip": gzip.compress, "deflate": zlib.compress, "br": brotli.compress, "zstd": zstd.compress}


@given(st.binary(max_size=300), st.lists(st.sampled_from(sorted(CODERS)), max_size=3))
def test_what_was_coded_is_decoded(body: bytes, names: list[str]) -> None:
    coded = b"x" + body
    for name in names:
        coded = CODERS[name](coded)
    assert decoded(coded, names, 10_000) == b"x" + body


@given(st.binary(max_size=300), st.lists(st.sampled_from([*CODERS, "x-gzip", "odd"]), max_size=4))
def test_any_bytes_are_decoded_or_refused_within_the_limit(body: bytes, names: list[str]) -> None:
    read = outcome(lambda: decoded(body, names, 1000))
    if isinstance(read, bytes):
        assert len(read) <= max(1000, len(body))
    else:
        assert read in {"encoded", "too_big"}


@pytest.mark.parametrize("name", CODERS)
@pytest.mark.parametrize("size", [999, 1000, 1001])
def test_the_limit_is_exact(name: str, size: int) -> None:
    coded = CODERS[name](bytes(size))
    if size > 1000:
        with pytest.raises(ImageError, match=r"^too_big: "):
            decoded(coded, [name], 1000)
    else:
        assert decoded(coded, [name], 1000) == bytes(size)


def test_the_members_of_a_gzip_file_are_counted() -> None:
    assert decoded(gzip.compress(b"x") * (2 * MAX_MEMBERS), ["gzip"], 10**6) == b"x" * MAX_MEMBERS


def test_a_bare_deflate_stream_is_inflated() -> None:
    assert decoded(raw_deflate(b"hello" * 99), ["deflate"], 1000) == b"hello" * 99


def test_names_are_read_from_all_headers() -> None:
    assert named_codings(["GZIP , br", "", " aws-chunked,"]) == ["gzip", "br", "aws-chunked"]


async def no_look_up(host: str, port: int) -> list[str]:
    raise AssertionError(host)


@pytest.mark.parametrize("head", ["crlf", "lf"])
@pytest.mark.parametrize("interim", [b"", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"], ids=["", "103"])
async def test_surplus_bytes_are_ignored_wherever_the_network_cuts(head: str, interim: bytes) -> None:
    """Sends a response and surplus bytes in two pieces, cut at each place of the head."""
    whole = answer(PNG) if head == "crlf" else answer(PNG).replace(b"\r\n", b"\n", 3)
    whole = interim + whole + b"surplus" * 9

    def in_two(cut: int) -> Answer:
        async def send(writer: asyncio.StreamWriter) -> None:
            writer.write(whole[:cut])
            await writer.drain()
            await asyncio.sleep(0)
            writer.write(whole[cut:])
            await writer.drain()

        return send

    async with hostile_server() as server, Fetcher(ImageLimits(allow=(server.address,)), no_look_up) as fetcher:
        for cut in range(1, len(whole) - len(PNG), 3):
            server.answers["/a"] = in_two(cut)
            assert (await fetcher.get(f"{server.url}/a")).body == PNG


@pytest.mark.parametrize("name", sorted(path.name for path in CORPUS.iterdir()))
def test_a_file_with_flipped_bits_gives_an_image_or_a_reason(name: str) -> None:
    chance = random.Random(name)
    whole = (CORPUS / name).read_bytes()
    for _ in range(30):
        body = bytearray(whole)
        for _ in range(min(len(body), 3)):
            body[chance.randrange(len(body))] ^= 1 << chance.randrange(8)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # as in the decoding process
            image = outcome(lambda: decode(bytes(body[: chance.randrange(len(body) + 1)]), 1_000_000))  # noqa: B023
        if isinstance(image, Decoded):
            assert image.small is not None
            assert image.small.mode == "RGB"
        else:
            assert image in {"broken", "not_an_image", "bomb"}


def test_every_file_of_the_corpus_is_small_and_was_shown_to_the_browser() -> None:
    kept = {path.name: path.stat().st_size for path in CORPUS.iterdir()}
    assert set(kept) == set(FILES) == set(json.loads(RECORD.read_text())["files"])
    assert sum(kept.values()) < 400_000
