"""What each answer of Elasticsearch, and of proxies before it, makes a write do, and what the reason says.

Every row is one answer of a local HTTP server. States that a real Elasticsearch can be brought into are in
`test_elasticsearch_real.py`.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from typing import Any

import pytest

from core.errors import Retry, Stop, UserError
from sinks.index.bulk import AFTER_SLOW, RequestSize
from sinks.index.document import Document
from sinks.index.index import Index, Outcome
from tests.families.servers.alerts import CASES, alerting
from tests.families.servers.http_server import Reply, Request, bulk_done, error, serving
from tests.families.servers.reaction import reaction

DOCUMENTS = [Document(str(number), 1, {"id": str(number)}) for number in range(8)]
HTML = b"<html><head><title>503</title></head><body><h1>We are moving house</h1></body></html>"


async def wrote(url: str, documents: list[Document] = DOCUMENTS) -> str:
    """Writes the documents. Returns what became of them: `retry`, `stop`, or the outcomes."""
    index = Index(url, "mentions", timeout_s=1)
    outcomes: list[Outcome] = []

    async def write() -> None:
        outcomes.extend(await index.write(documents))

    try:
        told = await reaction(write())
    finally:
        await index.close()
    return " ".join(sorted({outcome.kind for outcome in outcomes})) + "|" + outcomes[0].reason if outcomes else told


def item(status: int, kind: str, reason: str = "because") -> Any:
    return {"index": {"_id": "1", "status": status, "error": {"type": kind, "reason": reason}}}


ITEMS = [
    pytest.param(401, "security_exception", "because", "stop", "our user", id="item 401"),
    pytest.param(403, "security_exception", "because", "stop", "our user", id="item 403"),
    pytest.param(403, "cluster_block_exception", "because", "retry", "blocks writes", id="item read-only index"),
    pytest.param(429, "cluster_block_exception", "because", "retry", "disk is full", id="item flood stage"),
    pytest.param(503, "cluster_block_exception", "because", "retry", "blocks writes", id="item no master"),
    pytest.param(400, "index_closed_exception", "closed", "retry", "closed the index", id="item closed index"),
    pytest.param(404, "shard_not_found_exception", "because", "retry", "did not take", id="item moved shard"),
    pytest.param(
        *(400, "illegal_argument_exception", "no write index is defined for alias [mentions]", "retry"),
        "has no write index",
        id="item no write index",
    ),
    pytest.param(
        *(400, "illegal_argument_exception"),
        "Number of documents in shard [[m-1][0]] exceeds the limit of [2147483519] documents per shard",
        *("retry", "is full"),
        id="item full shard",
    ),
    pytest.param(
        *(400, "illegal_argument_exception", "pipeline with id [p] does not exist", "retry", "ingest pipeline"),
        id="item no pipeline",
    ),
    pytest.param(500, "fail_processor_exception", "because", "rejected", "pipeline", id="item pipeline refuses"),
    pytest.param(400, "document_parsing_exception", "because", "rejected", "cannot map", id="item parsing"),
    pytest.param(400, "mapper_parsing_exception", "because", "rejected", "cannot map", id="item parsing of 8"),
    pytest.param(400, "strict_dynamic_mapping_exception", "because", "rejected", "cannot map", id="item strict"),
    pytest.param(
        *(400, "illegal_argument_exception", "Limit of total fields [1000] has been exceeded", "rejected"),
        "exceeds a limit",
        id="item total fields",
    ),
    pytest.param(
        *(400, "illegal_argument_exception", "Document contains at least one immense term", "rejected"),
        "exceeds a limit",
        id="item immense term",
    ),
    pytest.param(400, "illegal_argument_exception", "because", "rejected", "refuses", id="item other argument"),
    pytest.param(400, "invalid_index_name_exception", "because", "stop", "cannot be the name", id="item name"),
    pytest.param(413, "content_too_long", "because", "rejected", "too large", id="item too large"),
    pytest.param(409, "version_conflict_engine_exception", "because", "stale", "", id="item conflict"),
    pytest.param(409, "some_exception", "because", "retry", "did not take", id="item other conflict"),
    pytest.param(429, "es_rejected_execution_exception", "because", "retry", "is busy", id="item queue full"),
    pytest.param(429, "circuit_breaking_exception", "because", "retry", "memory", id="item breaker"),
    pytest.param(408, "t", "because", "retry", "did not take", id="item 408"),
    pytest.param(500, "i_o_exception", "No space left", "retry", "did not take", id="item 500"),
    pytest.param(503, "unavailable_shards_exception", "because", "retry", "not available", id="item no shard"),
    pytest.param(504, "receive_timeout_transport_exception", "because", "retry", "did not", id="item 504"),
]


@pytest.mark.parametrize(("status", "kind", "reason", "becomes", "says"), ITEMS)
async def test_an_answer_for_one_document(status: int, kind: str, reason: str, becomes: str, says: str) -> None:
    body = json.dumps({"errors": True, "items": [item(status, kind, reason)]}).encode()
    async with serving(lambda _: Reply(body=body)) as url:
        kinds, _, told = (await wrote(url, DOCUMENTS[:1])).partition("|")
    assert kinds == becomes
    assert says in told
    assert kind in told or not says


def page(status: int, **fields: Any) -> Reply:
    return Reply(status, HTML, ours=False, kind="text/html", **fields)


def es(status: int, kind: str, reason: str = "because") -> Reply:
    return Reply(status, error(kind, reason))


GOOGLE = b'{"error": {"code": 403, "message": "denied", "status": "PERMISSION_DENIED"}}'
AWS = b'{"message": "The security token included in the request is invalid"}'
REQUESTS = [
    pytest.param(es(401, "security_exception"), "stop", "credentials", "read-only", id="401"),
    pytest.param(page(401), "retry", "a proxy", "credentials", id="401 of a proxy"),
    pytest.param(Reply(401, b"", kind=""), "stop", "credentials", "proxy", id="401 empty, with the header"),
    pytest.param(es(403, "security_exception"), "stop", "rights", "credentials", id="403 no rights"),
    pytest.param(
        Reply(403, error("security_exception"), ours=False), "stop", "rights", "proxy", id="403 no rights, header cut"
    ),
    pytest.param(es(403, "some_exception"), "stop", "forbids", "proxy", id="403 of another kind"),
    pytest.param(Reply(403, AWS, ours=False), "retry", "security token", "credentials", id="403 of a cloud"),
    pytest.param(Reply(403, GOOGLE, ours=False), "retry", "a proxy", "credentials", id="403 of another cloud"),
    pytest.param(page(403), "retry", "a proxy", "credentials", id="403 of a proxy"),
    pytest.param(Reply(403, HTML, kind="text/html"), "retry", "a proxy", "", id="403 page to which a proxy adds it"),
    pytest.param(Reply(403, b"", ours=False, kind=""), "retry", "a proxy", "None", id="403 empty"),
    pytest.param(es(403, "cluster_block_exception"), "retry", "read-only", "credentials", id="403 read-only cluster"),
    pytest.param(es(429, "cluster_block_exception"), "retry", "disk is full", "", id="429 flood stage"),
    pytest.param(es(503, "cluster_block_exception"), "retry", "no master", "read-only", id="503 no master block"),
    pytest.param(es(503, "master_not_discovered_exception"), "retry", "no master", "", id="503 no master"),
    pytest.param(es(400, "index_closed_exception"), "retry", "closed", "", id="400 closed index"),
    pytest.param(page(404), "retry", "path", "no index", id="404 of a proxy"),
    pytest.param(
        Reply(404, b"default backend - 404", ours=False, kind="text/plain"), "retry", "path", "", id="404 of an ingress"
    ),
    pytest.param(es(400, "media_type_header_exception"), "stop", "major version", "", id="400 other version"),
    pytest.param(page(400), "retry", "a proxy", "", id="400 of a proxy"),
    pytest.param(Reply(400, HTML, kind="text/html"), "retry", "a proxy", "", id="400 page to which a proxy adds it"),
    pytest.param(Reply(400, b'{"error":"bad request"}', ours=False), "retry", "a proxy", "", id="400 of a gateway"),
    pytest.param(
        Reply(405, b'{"error":"Incorrect HTTP method for uri","status":405}'), "stop", "Incorrect", "", id="405"
    ),
    pytest.param(es(406, "t"), "stop", "major version", "", id="406"),
    pytest.param(page(405), "retry", "a proxy", "major version", id="405 of a firewall"),
    pytest.param(page(406), "retry", "a proxy", "major version", id="406 of a firewall"),
    pytest.param(page(407), "retry", "asks for a login", "", id="407"),
    pytest.param(page(408), "retry", "took too long", "", id="408"),
    pytest.param(es(409, "t"), "retry", "another change", "", id="409"),
    pytest.param(page(410), "retry", "refuses the request", "", id="410"),
    pytest.param(page(411), "retry", "refuses the request", "", id="411"),
    pytest.param(page(415), "retry", "a proxy", "major version", id="415 of a firewall"),
    pytest.param(page(421), "retry", "refuses the request", "", id="421"),
    pytest.param(page(431), "retry", "refuses the request", "", id="431"),
    pytest.param(page(451), "retry", "refuses the request", "", id="451"),
    pytest.param(es(418, "t"), "stop", "refuses the request", "proxy", id="418"),
    pytest.param(page(425), "retry", "not ready", "", id="425"),
    pytest.param(es(429, "es_rejected_execution_exception"), "retry", "busy", "", id="429 queue full"),
    pytest.param(es(429, "circuit_breaking_exception"), "retry", "memory", "", id="429 breaker"),
    pytest.param(page(429), "retry", "busy", "", id="429 of a proxy"),
    pytest.param(es(500, "exception"), "retry", "failed", "", id="500"),
    pytest.param(page(500), "retry", "failed", "", id="500 of a proxy"),
    pytest.param(es(501, "t"), "stop", "does not serve", "", id="501"),
    pytest.param(page(501), "retry", "failed", "", id="501 of a proxy"),
    pytest.param(page(505), "retry", "failed", "", id="505 of a proxy"),
    pytest.param(page(502), "retry", "moving house", "<h1>", id="502 of a proxy"),
    pytest.param(Reply(502, b"", ours=False, kind=""), "retry", "502", "None", id="502 empty"),
    pytest.param(page(503), "retry", "moving house", "", id="503 of a proxy"),
    pytest.param(Reply(503, b"", ours=False), "retry", "not available", "", id="503 empty, called JSON"),
    pytest.param(Reply(503, HTML, ours=False), "retry", "503", "serialize", id="503 page, called JSON"),
    pytest.param(Reply(503, HTML, ours=False, kind="image/x"), "retry", "503", "serialize", id="503 of no known type"),
    pytest.param(
        Reply(502, "\xfcber".encode("latin-1"), ours=False, kind="text/html"), "retry", "502", "", id="502 in Latin-1"
    ),
    pytest.param(Reply(503, b'{"error":{"type":"x', ours=True), "retry", "503", "serialize", id="503 cut JSON"),
    pytest.param(page(504), "retry", "in time", "", id="504 of a proxy"),
    pytest.param(page(520), "retry", "failed", "", id="520 of Cloudflare"),
    pytest.param(page(511), "retry", "failed", "", id="511 captive portal"),
    pytest.param(
        page(302, headers={"Location": "https://a:secret@else.where/login?t=1"}),
        *("stop", "https://else.where/login", "secret"),
        id="302",
    ),
    pytest.param(page(307), "stop", "is its address right", "", id="307 to nowhere"),
    pytest.param(page(200), "stop", "is another program", "unreachable", id="200 page from the start"),
    pytest.param(Reply(200, b"{}", ours=False), "stop", "is another program", "", id="200 of another product"),
    pytest.param(Reply(200, HTML, ours=False, kind="image/x"), "stop", "is another program", "", id="200 odd type"),
    pytest.param(Reply(200, b""), "retry", "not have the form of Elasticsearch's", "", id="200 empty"),
    pytest.param(Reply(200, b"[]"), "retry", "not have the form of Elasticsearch's", "", id="200 a list"),
    pytest.param(Reply(200, b"null"), "retry", "not have the form of Elasticsearch's", "", id="200 null"),
    pytest.param(Reply(200, b'{"items": []}'), "retry", "0 of 8 documents", "", id="200 too few items"),
    pytest.param(Reply(200, b'{"items": [1,2,3,4,5,6,7,8]}'), "retry", "0 of 8 documents", "", id="200 odd items"),
    pytest.param(Reply(200, b'{"items": 7}'), "retry", "not have the form of Elasticsearch's", "", id="200 no items"),
    pytest.param(Reply(200, b'{"items": [{"index"', cut=5), "retry", "broke the connection", "", id="200 cut off"),
    pytest.param(None, "retry", "broke the connection", "unreachable", id="no answer"),
]


@pytest.mark.parametrize(("reply", "becomes", "says", "never"), REQUESTS)
async def test_an_answer_for_a_whole_request(reply: Reply | None, becomes: str, says: str, never: str) -> None:
    async with serving(lambda _: reply) as url:
        kinds, _, told = (await wrote(url)).partition("|")
    assert kinds == becomes
    assert says in told
    assert not never or never not in told
    assert "secret" not in told


ONCE_KNOWN = [
    pytest.param(page(200), id="a maintenance page"),
    pytest.param(Reply(200, HTML, ours=False), id="a page that is called JSON"),
    pytest.param(Reply(200, HTML, ours=False, kind="image/x"), id="a page of no known type"),
    pytest.param(Reply(200, b'{"took": 3, "items": [{"ind', ours=True), id="JSON without its end"),
    pytest.param(Reply(200, b'"ok"', ours=False), id="a word"),
]


@pytest.mark.parametrize("reply", ONCE_KNOWN)
async def test_a_page_in_place_of_a_known_elasticsearch_passes(reply: Reply) -> None:
    replies = [None, reply, None]
    async with serving(lambda request: replies.pop(0) or bulk_done(request)) as url:
        index = Index(url, "mentions")
        assert [outcome.kind for outcome in await index.write(DOCUMENTS)] == ["written"] * 8
        with pytest.raises(Retry, match="not have the form of Elasticsearch's"):
            await index.write(DOCUMENTS)
        assert [outcome.kind for outcome in await index.write(DOCUMENTS)] == ["written"] * 8
        await index.close()


PASSING = [300, 301, 302, 400, 401, 403, 404, 405, 406, 407, 410, 415, 418, 421, 431, 451, 501, 505, 511, 526]


@pytest.mark.parametrize("status", PASSING)
async def test_whatever_a_proxy_answers_for_a_known_elasticsearch_passes(status: int) -> None:
    replies = [None, page(status, headers={"Location": "https://status.example.org/"}), None]
    async with serving(lambda request: replies.pop(0) or bulk_done(request)) as url:
        index = Index(url, "mentions")
        assert [outcome.kind for outcome in await index.write(DOCUMENTS)] == ["written"] * 8
        with pytest.raises(Retry, match=f"{status}"):
            await index.write(DOCUMENTS)
        assert [outcome.kind for outcome in await index.write(DOCUMENTS)] == ["written"] * 8
        await index.close()


async def test_a_server_that_never_answers_is_tried_again() -> None:
    async def silent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(30)
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    index = Index(f"http://127.0.0.1:{port}", "mentions", timeout_s=0.2)
    with pytest.raises(Retry, match="did not answer in time"):
        await index.write(DOCUMENTS)
    await index.close()
    server.close()


async def test_a_name_that_does_not_resolve_is_tried_again() -> None:
    kinds, _, told = (await wrote("http://no-such-host.invalid:9200")).partition("|")
    assert kinds == "retry"
    assert "no-such-host.invalid:9200 is unreachable" in told


@pytest.mark.parametrize(
    ("makes", "becomes", "says"),
    [
        pytest.param("plain", "stop", "does not speak TLS", id="plain HTTP at this port"),
        pytest.param("closed", "retry", "unreachable", id="closed in the handshake"),
        pytest.param("untrusted", "stop", "certificate", id="a certificate that nobody signed"),
    ],
)
async def test_tls_that_fails(makes: str, becomes: str, says: str, self_signed: ssl.SSLContext) -> None:
    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if makes == "plain":
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        elif makes == "closed":
            await reader.read(10)
        writer.close()

    context = self_signed if makes == "untrusted" else None
    server = await asyncio.start_server(converse, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    kinds, _, told = (await wrote(f"https://127.0.0.1:{port}")).partition("|")
    server.close()
    assert kinds == becomes
    assert says in told


@pytest.mark.parametrize(("number", "becomes", "says"), CASES)
async def test_a_tls_handshake_that_the_server_ends(number: int | None, becomes: str, says: str) -> None:
    async with alerting(number) as port:
        kinds, _, told = (await wrote(f"https://127.0.0.1:{port}")).partition("|")
    assert kinds == becomes, told
    assert says in told
    assert "do not trust" not in told


async def test_retry_after_is_the_shortest_wait_but_bounded() -> None:
    for asked, waits in (("7", 7.0), ("86400", 30.0), ("Wed, 21 Oct 2026 07:28:00 GMT", 0.0)):
        async with serving(lambda _, asked=asked: page(503, headers={"Retry-After": asked})) as url:  # type: ignore[misc]
            index = Index(url, "mentions")
            with pytest.raises(Retry) as caught:
                await index.write(DOCUMENTS)
            await index.close()
        assert caught.value.after_s == waits


# Limits of what lies in between


def limited(most: int, refusal: Reply | None, sizes: list[int]) -> Any:
    """A proxy that lets requests of up to `most` bytes through."""

    def answer(request: Request) -> Reply | None:
        sizes.append(len(request.body))
        return bulk_done(request) if len(request.body) <= most else refusal

    return answer


@pytest.mark.parametrize(
    "refusal",
    [
        pytest.param(page(413), id="nginx"),
        pytest.param(Reply(413, b"", kind=""), id="http.max_content_length"),
        pytest.param(Reply(413, HTML, ours=False), id="called JSON"),
    ],
)
async def test_a_proxys_limit_is_met_by_smaller_requests(refusal: Reply) -> None:
    sizes: list[int] = []
    large = Document("large", 1, {"id": "x" * 5000})
    async with serving(limited(300, refusal, sizes)) as url:
        index = Index(url, "mentions")
        outcomes = await index.write([*DOCUMENTS[:3], large, *DOCUMENTS[3:]])
        assert [outcome.kind for outcome in outcomes] == ["written"] * 3 + ["rejected"] + ["written"] * 5
        assert "too large" in outcomes[3].reason
        sizes.clear()
        assert {outcome.kind for outcome in await index.write(DOCUMENTS)} == {"written"}
        assert max(sizes) <= 300, "the limit is remembered"
        await index.close()


@pytest.mark.parametrize(
    "refusal",
    [
        pytest.param(page(504), id="a proxy's time limit"),
        pytest.param(page(502), id="a proxy that cuts long requests"),
        pytest.param(page(408), id="the server's time limit"),
        pytest.param(es(429, "circuit_breaking_exception"), id="memory for smaller requests only"),
        pytest.param(None, id="a connection that breaks"),
    ],
)
async def test_requests_shrink_until_they_pass_and_grow_again(refusal: Reply | None) -> None:
    sizes: list[int] = []
    bounds = [300]

    def answer(request: Request) -> Reply | None:
        sizes.append(len(request.body))
        return bulk_done(request) if len(request.body) <= bounds[0] else refusal

    async with serving(answer) as url:
        index = Index(url, "mentions")
        for _ in range(10):
            try:
                outcomes = await index.write(DOCUMENTS)
                break
            except Retry:
                continue
        assert [outcome.kind for outcome in outcomes] == ["written"] * 8
        bounds[0], whole = 10**9, max(sizes)
        for _ in range(40):
            sizes.clear()
            await index.write(DOCUMENTS)
            if sizes == [whole]:
                break
        assert sizes == [whole], "one request takes all documents again"
        await index.close()


async def test_a_proxy_that_refuses_before_it_has_read_the_body() -> None:
    large = [Document(str(number), 1, {"id": "x" * 400_000}) for number in range(8)]
    async with serving(lambda _: page(413), early=True) as url:
        index = Index(url, "mentions")
        for _ in range(20):
            try:
                outcomes = await index.write(large)
                break
            except Retry:
                continue
        assert {outcome.kind for outcome in outcomes} == {"rejected"}
        await index.close()


@pytest.mark.usefixtures("at_once")
async def test_a_document_that_breaks_the_connection_is_rejected_alone() -> None:
    """A proxy that hangs up on what exceeds its limit."""
    large = Document("large", 1, {"id": "x" * 200_000})

    def answer(request: Request) -> Reply | None:
        return bulk_done(request) if len(request.body) < 100_000 else None

    async with serving(answer) as url:
        index = Index(url, "mentions")
        many = [Document(f"m{number}", 1, {"id": "m"}) for number in range(90)]
        outcomes = await until_written(index, [*many, large, *DOCUMENTS])
        assert [outcome.kind for outcome in outcomes] == ["written"] * 90 + ["rejected"] + ["written"] * 8
        assert "too large" in outcomes[90].reason
        await index.close()


@pytest.mark.usefixtures("at_once")
async def test_a_large_document_is_not_blamed_for_a_server_that_is_busy() -> None:
    large = [Document("large", 1, {"id": "x" * 200_000})]
    replies = [es(429, "es_rejected_execution_exception"), page(504), page(503)]
    async with serving(lambda request: bulk_done(request) if len(request.body) < 1000 else replies[0]) as url:
        index = Index(url, "mentions")
        for reply in replies * 4:
            replies[0] = reply
            with pytest.raises(Retry):
                await index.write(large)
        await index.close()


async def until_written(index: Index, documents: list[Document]) -> list[Outcome]:
    """Writes again until it succeeds, as the pipeline does."""
    for _ in range(40):
        try:
            return await index.write(documents)
        except Retry:
            continue
    raise AssertionError("it never ends")


async def test_a_request_refused_for_one_document_is_halved_until_it_is_alone() -> None:
    def answer(request: Request) -> Reply:
        too_long = es(400, "action_request_validation_exception", "id is too long")
        return too_long if b'"_id": "5"' in request.body else bulk_done(request)

    async with serving(answer) as url:
        index = Index(url, "mentions")
        outcomes = await index.write(DOCUMENTS)
        assert [outcome.kind for outcome in outcomes] == ["written"] * 5 + ["rejected"] + ["written"] * 2
        assert "id is too long" in outcomes[5].reason
        await index.close()


# Reads


async def test_a_shard_that_does_not_answer_does_not_make_its_documents_unknown() -> None:
    docs = [{"_id": "1", "error": {"type": "no_shard_available_action_exception", "reason": "because"}}]
    async with serving(lambda _: Reply(body=json.dumps({"docs": docs}).encode())) as url:
        index = Index(url, "mentions")
        with pytest.raises(Retry, match="no_shard_available"):
            await index.held(["1"])
        await index.close()


async def test_a_post_of_a_missing_index_is_not_a_missing_post() -> None:
    async with serving(lambda _: es(404, "index_not_found_exception")) as url:
        index = Index(url, "mentions")
        with pytest.raises(Stop, match="no index 'mentions'"):
            await index.get("1")
        with pytest.raises(Stop, match="no index 'mentions'"):
            await index.count()
        await index.close()


@pytest.mark.parametrize("reply", [page(200), Reply(200, b"{}"), Reply(200, b"[]"), Reply(200, b"")])
async def test_a_read_of_another_page_is_tried_again_or_stops_with_the_reason(reply: Reply) -> None:
    async with serving(lambda _: reply) as url:
        index = Index(url, "mentions")
        for read in (index.count, lambda: index.search("x"), index.entities, lambda: index.held(["1"])):
            with pytest.raises((Retry, Stop), match=r"is another program|form of Elasticsearch"):
                await read()
        await index.close()


SEARCH = "search_phase_execution_exception"
QUERIES = [
    pytest.param(es(400, SEARCH, "maxClauseCount is set to 1024: too_many_clauses"), "use fewer words", id="clauses"),
    pytest.param(
        es(400, SEARCH, "Query contains too many nested clauses; maxClauseCount is set to 1024"),
        "use fewer words",
        id="nested clauses",
    ),
    pytest.param(es(500, "too_many_nested_clauses"), "use fewer words", id="nested clauses with status 500"),
    pytest.param(es(400, SEARCH, "No mapping found for [created_at]"), "No mapping found", id="no mapping"),
    pytest.param(es(400, SEARCH, "failed to create query: [nested] failed to find"), "failed to", id="no nested field"),
    pytest.param(es(400, "parsing_exception", "unknown query [foo]"), "unknown query", id="another version"),
    pytest.param(es(400, "illegal_argument_exception", "Fielddata is disabled"), "Fielddata", id="an old mapping"),
    pytest.param(es(400, "x", "line\n\x1b[31mred"), "line", id="control characters"),
    pytest.param(
        Reply(400, b'{"error": {"root_cause": [{"type": "t", "reason": "the root"}], "type": "s", "reason": "all"}}'),
        "t: the root",
        id="a root cause",
    ),
    pytest.param(Reply(400, b'{"error": {"root_cause": 7, "type": "s", "reason": "all"}}'), "s: all", id="odd root"),
]


@pytest.mark.parametrize(("reply", "says"), QUERIES)
async def test_a_query_that_elasticsearch_refuses_is_told_why(reply: Reply, says: str) -> None:
    async with serving(lambda _: reply) as url:
        index = Index(url, "mentions")
        for read in (lambda: index.search("x"), index.entities):
            with pytest.raises(UserError) as caught:
                await read()
            assert says in str(caught.value)
            assert ("fewer" in str(caught.value)) == ("fewer" in says)
            assert str(caught.value).isprintable()
        await index.close()


async def test_a_query_that_a_proxy_refuses_is_tried_again() -> None:
    async with serving(lambda _: page(400)) as url:
        index = Index(url, "mentions")
        with pytest.raises(Retry, match="a proxy"):
            await index.search("x")
        await index.close()


def test_small_requests_of_another_agent_do_not_undo_the_shrinking() -> None:
    size = RequestSize()
    size.slow(70_000)
    for _ in range(100):
        size.passed(60)
    assert size.limit == 35_000
    for _ in range(AFTER_SLOW):
        size.passed(30_000)
    assert size.limit == 70_000
