"""Conditional requests and freshness (RFC 9110, 13; RFC 9111, 4.2)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.images.conditional import Answer, Freshness, Validators, parse_freshness
from streams.images.errors import ImageError
from streams.images.fetch import Fetcher
from streams.images.hosts import FailurePolicy
from streams.settings import ImageLimits
from tests.streams.images.hostile import HostileServer, hostile_server, reply

DATE = "Sat, 21 Nov 2026 12:00:00 GMT"
UNCHANGED = reply(b"", "Cache-Control: max-age=60", status="304 Not Modified")


@pytest.fixture
async def fetcher(limits: Callable[..., ImageLimits]) -> AsyncIterator[Fetcher]:
    async def look_up(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    async with Fetcher(limits(), look_up, failures=FailurePolicy(tries=1)) as fetcher:
        yield fetcher


async def test_an_answer_has_validators_and_freshness(fetcher: Fetcher, server: HostileServer) -> None:
    server.answers["/a"] = reply(b"body", 'ETag: W/"v1"', f"Last-Modified: {DATE}", "Cache-Control: public, max-age=60")
    url = f"{server.url}/a"
    assert await fetcher.get(url) == Answer(b"body", Validators(url, 'W/"v1"', DATE), Freshness(60))
    assert "if-" not in server.requests[0].lower()


async def test_a_304_confirms_the_cached_image(fetcher: Fetcher, server: HostileServer) -> None:
    server.answers["/a"] = UNCHANGED
    known = Validators(f"{server.url}/a", '"v1"', DATE)
    assert await fetcher.get(known.url, known) == Answer(None, known, Freshness(60))
    assert 'If-None-Match: "v1"\r\n' in server.requests[0]
    assert f"If-Modified-Since: {DATE}\r\n" in server.requests[0]


async def test_validators_go_only_to_the_url_that_sent_them(fetcher: Fetcher, server: HostileServer) -> None:
    server.answers = {"/a": reply(b"", "Location: /b", status="302 Found"), "/b": UNCHANGED}
    known = Validators(f"{server.url}/b", '"v1"')
    assert (await fetcher.get(f"{server.url}/a", known)).body is None
    assert ["If-None-Match" in request for request in server.requests] == [False, True]


async def test_validators_never_go_to_another_host(limits: Callable[..., ImageLimits], server: HostileServer) -> None:
    async with hostile_server() as other:
        server.answers["/a"] = reply(b"", f"Location: {other.url}/a", status="302 Found")
        other.answers["/a"] = reply(b"new")

        async def look_up(host: str, port: int) -> list[str]:
            return ["127.0.0.1"]

        async with Fetcher(limits(allow=(server.address, other.address)), look_up) as fetcher:
            answer = await fetcher.get(f"{server.url}/a", Validators(f"{server.url}/a", '"secret"'))
    assert answer.body == b"new"
    assert answer.validators == Validators(f"{other.url}/a")
    assert "secret" not in other.requests[0]


@pytest.mark.parametrize(
    "known",
    [
        pytest.param(None, id="nothing known"),
        pytest.param(Validators("http://elsewhere.example/a", '"v1"'), id="known of another URL"),
        pytest.param(Validators("{url}", None, None), id="known without validators"),
    ],
)
async def test_a_304_to_an_unconditional_request_is_refused(
    fetcher: Fetcher, server: HostileServer, known: Validators | None
) -> None:
    server.answers["/a"] = UNCHANGED
    url = f"{server.url}/a"
    if known is not None:
        known = Validators(known.url.format(url=url), known.etag)
    with pytest.raises(ImageError, match=r"^bad_response: HTTP 304 "):
        await fetcher.get(url, known)


@pytest.mark.parametrize(
    "etag",
    [
        pytest.param('"' + "x" * 100_000 + '"', id="100 KB"),
        pytest.param('"a"\r\nX-Injected: yes', id="another header behind it"),
        pytest.param('"a\r\nX-Injected: yes"', id="another header in it"),
        pytest.param('"a"\n', id="a line end behind it"),
        pytest.param("bare", id="without quotes"),
        pytest.param('"a" "b"', id="two"),
        pytest.param('"ä"', id="beyond ASCII"),
        pytest.param('"a\x00b"', id="a zero byte"),
        pytest.param("*", id="any"),
        pytest.param("", id="empty"),
    ],
)
def test_a_malformed_etag_is_neither_kept_nor_sent(etag: str) -> None:
    assert Validators("http://a.example/", etag).headers() == {}


@pytest.mark.parametrize(
    "modified", ["yesterday", DATE + "\r\nX-Injected: yes", DATE + "\n", "١" * 29, "x" * 100_000, "", DATE.lower()]
)
def test_a_malformed_date_is_neither_kept_nor_sent(modified: str) -> None:
    assert Validators("http://a.example/", None, modified).headers() == {}


@given(st.text(), st.text())
def test_no_validator_injects_a_header(etag: str, modified: str) -> None:
    for value in Validators("http://a.example/", etag, modified).headers().values():
        assert value.isascii()
        assert value.isprintable()
        assert len(value) <= 210


@pytest.mark.parametrize("etag", ['""', '"v1"', 'W/"v1"', '"a,b;c=d"', '"' + "x" * 200 + '"'])
def test_a_valid_etag_is_sent_back_unchanged(etag: str) -> None:
    assert Validators("http://a.example/", etag).headers() == {"If-None-Match": etag}


@pytest.mark.parametrize(
    ("cache_control", "age", "freshness"),
    [
        pytest.param([], None, Freshness(), id="says nothing"),
        pytest.param(["max-age=60"], None, Freshness(60), id="max-age"),
        pytest.param(["Public , MAX-AGE = 60, immutable"], None, Freshness(60), id="capitals and spaces"),
        pytest.param(['max-age="60"'], None, Freshness(60), id="quoted"),
        pytest.param(["max-age=60", "max-age=30"], None, Freshness(30), id="the smaller one of two"),
        pytest.param(["max-age=60"], "50", Freshness(10), id="a proxy had it for 50 s"),
        pytest.param(["max-age=60"], "500", Freshness(0), id="stale on arrival"),
        pytest.param(["max-age=60"], "old", Freshness(60), id="an age that is nonsense"),
        pytest.param(["max-age=60, no-store"], None, Freshness(60, store=False), id="no-store"),
        pytest.param(["no-cache"], None, Freshness(0, stale=False), id="no-cache"),
        pytest.param(['no-cache="Set-Cookie"'], None, Freshness(0, stale=False), id="no-cache for a field"),
        pytest.param(["max-age=60, no-cache"], None, Freshness(0, stale=False), id="no-cache beside max-age"),
        pytest.param(["max-age=60", "Must-Revalidate"], None, Freshness(60, stale=False), id="must-revalidate"),
        pytest.param(["max-age=-1"], None, Freshness(), id="negative"),
        pytest.param(["max-age=1e9"], None, Freshness(), id="not an integer"),
        pytest.param(["max-age=" + "9" * 5000], None, Freshness(), id="digits without end"),
        pytest.param(["x=" + "y" * 100_000 + ", max-age=60"], None, Freshness(), id="beyond what is read"),
        pytest.param(["s-maxage=60, stale-while-revalidate=5"], None, Freshness(), id="for shared caches only"),
    ],
)
def test_cache_control_determines_the_freshness(
    cache_control: list[str], age: str | None, freshness: Freshness
) -> None:
    assert parse_freshness(cache_control, {} if age is None else {"Age": age}) == freshness


@given(st.lists(st.text()), st.text())
def test_any_cache_control_can_be_parsed(cache_control: list[str], age: str) -> None:
    seconds = parse_freshness(cache_control, {"Age": age}).fresh_s
    assert seconds is None or 0 <= seconds < 1e10
