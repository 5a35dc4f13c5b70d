"""Every answer of Elasticsearch, and of proxies in front of it, classed once.

`TABLE` is read from the top, and the first row that matches counts. The last row of each scope matches everything, so
every answer has a class. `docs/servers.md` shows the table.

An answer for a request that Elasticsearch did not write itself never stops the worker, and never rejects a document
unless it is about its size: what a proxy or firewall says may pass.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from sinks.answers.answer import Answer, Reaction

Scope = Literal["item", "request", "connection"]
DOCS = "https://www.elastic.co/docs/"
REFERENCE = DOCS + "reference/elasticsearch/"
TROUBLE = DOCS + "troubleshoot/elasticsearch/"

BULK = DOCS + "api/doc/elasticsearch/operation/operation-bulk"
CREATE = DOCS + "api/doc/elasticsearch/operation/operation-indices-create"
CLOSE = DOCS + "api/doc/elasticsearch/operation/operation-indices-close"
ALIASES = DOCS + "manage-data/data-store/aliases"
INGEST = DOCS + "manage-data/ingest/transform-enrich/error-handling"
BLOCKS = REFERENCE + "index-settings/index-block"
MAPPING = REFERENCE + "index-settings/mapping-limit"
READ_ONLY = DOCS + "reference/autoops-insights/cluster_read_only_block"
NO_MASTER = REFERENCE + "configuration-reference/discovery-cluster-formation-settings"
NETWORK = REFERENCE + "configuration-reference/networking-settings"
VERSIONS = REFERENCE + "rest-apis/compatibility"
CLIENT = REFERENCE + "clients/python/connecting"
WATERMARK = TROUBLE + "fix-watermark-errors"
BUSY = TROUBLE + "rejected-requests"
MEMORY = TROUBLE + "circuit-breaker-errors"
SHARDS = TROUBLE + "troubleshooting-shards-capacity-issues"
SECURITY = TROUBLE + "security/security-trb-roles"
HTTP = "https://www.rfc-editor.org/rfc/rfc9110#section-15"
NGINX = "https://nginx.org/en/docs/http/ngx_http_core_module.html#client_max_body_size"
OPENSSL = "https://docs.openssl.org/3.5/man3/SSL_get_error/"

TOO_LONG_S = 30.0
"""Longest wait, in seconds, that a server may ask for with `Retry-After`."""

MAX_REASON = 4000
"""Longest reason, in characters, in which a row looks for its words. It may quote a whole document."""


@dataclass(frozen=True)
class Row:
    """One class of answers.

    - scope: `item` is the answer for one document of a bulk or multi-get request, `request` the answer for a whole
      request, `connection` a request without an answer that can be read.
    - status: the HTTP statuses; empty matches all.
    - types: types of Elasticsearch's errors, or kinds of `connection` faults; empty matches all.
    - reason: a regular expression that the error's reason must contain.
    - says: what is true. `{server}` stands for the server, and `{name}` for the index.
    - ours: whether Elasticsearch itself must have sent it (True) or something before it (False). None matches both.
    - general: whether the reason for a rejection may lie in the index, so that it may refuse every document.
    """

    scope: Scope
    status: tuple[int, ...]
    types: tuple[str, ...]
    reaction: Reaction
    says: str
    source: str
    reason: str = ""
    ours: bool | None = None
    general: bool = False

    def matches(self, scope: Scope, status: int, kind: str, reason: str, ours: bool) -> bool:
        return (
            self.scope == scope
            and (not self.status or status in self.status)
            and (not self.types or kind in self.types)
            and re.search(self.reason, reason) is not None
            and self.ours in {None, ours}
        )


def _statuses(first: int, last: int) -> tuple[int, ...]:
    return tuple(range(first, last + 1))


_R = Reaction
BLOCK = ("cluster_block_exception",)
DENIED = ("security_exception",)
ARGUMENT = ("illegal_argument_exception",)
UNMAPPED = ("document_parsing_exception", "mapper_parsing_exception", "strict_dynamic_mapping_exception")
MASTERLESS = ("cluster_block_exception", "master_not_discovered_exception", "not_master_exception")
MEDIA_TYPE = ("media_type_header_exception", "content_type_header_exception")
PIPELINE = ("fail_processor_exception", "ingest_processor_exception")
BREAKER = ("circuit_breaking_exception",)
ELSEWHERE = "{server} sends us elsewhere; is its address right?"
OTHER_VERSION = "{server} does not serve this request; is it an Elasticsearch of the client's major version?"

ITEM = (
    Row("item", _statuses(200, 299), (), _R.DONE, "{server} has the document", BULK),
    Row(
        "item",
        (409,),
        ("version_conflict_engine_exception",),
        _R.STALE,
        "{server} has this version of the document, or a newer one",
        BULK,
    ),
    Row("item", (), DENIED, _R.STOP, "{server} does not let our user write to {name}", SECURITY),
    Row("item", (429,), BLOCK, _R.RETRY, "{server} blocks writes to {name}, since its disk is full", WATERMARK),
    Row("item", (), BLOCK, _R.RETRY, "{server} blocks writes to {name} for now", BLOCKS),
    Row("item", (), ("index_closed_exception",), _R.RETRY, "{server} has closed the index {name}", CLOSE),
    Row("item", (), ("index_not_found_exception",), _R.RETRY, "{server} has no index {name} now", BULK),
    Row(
        *("item", (400,), ARGUMENT, _R.RETRY, "{name} has no write index", ALIASES),
        reason="no write index|multiple indices|more than one ind",
    ),
    Row(
        *("item", (400,), ARGUMENT, _R.RETRY, "{server} lacks the ingest pipeline of {name}", INGEST),
        reason=r"pipeline with id \[.*\] does not exist",
    ),
    Row(
        *("item", (400,), ARGUMENT, _R.RETRY, "a shard of {name} is full; it needs a new write index", SHARDS),
        reason="(?i)number of documents in (the )?(shard|index)",
    ),
    Row("item", (), PIPELINE, _R.REJECT, "an ingest pipeline of {server} refuses the document", INGEST, general=True),
    Row("item", (400,), ("invalid_index_name_exception",), _R.STOP, "{name} cannot be the name of an index", CREATE),
    Row(
        *("item", (400,), UNMAPPED, _R.REJECT, "the document exceeds a limit of {server}", MAPPING),
        reason="(?i)exceeded the allowed limit",
    ),
    Row("item", (400,), UNMAPPED, _R.REJECT, "{server} cannot map the document", BULK, general=True),
    Row(
        *("item", (400,), ARGUMENT, _R.REJECT, "the document exceeds a limit of {server}", MAPPING),
        reason="(?i)limit|immense|too l",
    ),
    Row("item", (400, 422), (), _R.REJECT, "{server} refuses the document", BULK, general=True),
    Row("item", (413,), (), _R.REJECT, "the document is too large for {server}", NETWORK),
    Row("item", (429,), BREAKER, _R.RETRY, "{server} is short of memory", MEMORY),
    Row("item", (429,), (), _R.RETRY, "{server} is busy", BUSY),
    Row("item", (503,), (), _R.RETRY, "a shard of {name} is not available", BULK),
    Row("item", (), (), _R.RETRY, "{server} did not take the document", BULK),
)

REQUEST = (
    Row("request", (401,), (), _R.STOP, "{server} refuses our credentials", SECURITY, ours=True),
    Row("request", (401, 407), (), _R.RETRY, "a proxy before {server} asks for a login", HTTP, ours=False),
    Row("request", (), DENIED, _R.STOP, "{server} does not give our user the rights", SECURITY),
    Row("request", (503,), MASTERLESS, _R.RETRY, "{server} has no master, or is still starting", NO_MASTER),
    Row("request", (429,), BLOCK, _R.RETRY, "{server} blocks writes, since its disk is full", WATERMARK),
    Row("request", (), BLOCK, _R.RETRY, "{server} is read-only, or blocked, for now", READ_ONLY),
    Row("request", (), ("index_closed_exception",), _R.RETRY, "{server} has closed the index {name}", CLOSE),
    Row(
        *("request", (404,), ("index_not_found_exception", "aliases_not_found_exception"), _R.STOP),
        *("{server} has no index {name}; a worker creates it when it starts", ALIASES),
    ),
    Row(
        *("request", (400,), ("invalid_index_name_exception", "invalid_alias_name_exception"), _R.STOP),
        *("{name} cannot be the name of an index; check the prefix", CREATE),
    ),
    Row(
        *("request", (400,), ("invalid_index_template_exception",), _R.STOP),
        *("{name} cannot be the name of an index template; check the prefix", CREATE),
    ),
    Row("request", (400,), MEDIA_TYPE, _R.STOP, "{server} has another major version than our client", VERSIONS),
    Row(
        *("request", (400,), ("validation_exception", *ARGUMENT), _R.RETRY),
        *("{server} has no room for another shard", SHARDS),
        reason="maximum.*shards",
    ),
    Row("request", (400,), (), _R.SPLIT, "{server} refuses the request", BULK, ours=True),
    Row("request", (403,), (), _R.RETRY, "a proxy before {server} forbids the request", HTTP, ours=False),
    Row("request", (403,), (), _R.STOP, "{server} forbids the request", HTTP),
    Row("request", (404,), (), _R.RETRY, "a proxy before {server} finds nothing at its path", HTTP, ours=False),
    Row("request", (405, 406, 415), (), _R.STOP, OTHER_VERSION, VERSIONS, ours=True),
    Row("request", (408,), (), _R.SHRINK, "the request took too long for {server} or a proxy before it", HTTP),
    Row("request", (409,), (), _R.RETRY, "another change is under way at {server}", HTTP),
    Row("request", (413,), (), _R.SPLIT, "the request is too large for {server} or a proxy before it", NGINX),
    Row("request", (425,), (), _R.RETRY, "a proxy before {server} is not ready", HTTP),
    Row("request", (429,), BREAKER, _R.SHRINK, "{server} is short of memory", MEMORY),
    Row("request", (429,), (), _R.SHRINK, "{server} or a proxy before it is busy", BUSY),
    Row("request", _statuses(300, 399), (), _R.RETRY, ELSEWHERE, HTTP),
    Row("request", _statuses(400, 499), (), _R.RETRY, "a proxy before {server} refuses the request", HTTP, ours=False),
    Row("request", _statuses(400, 499), (), _R.STOP, "{server} refuses the request", HTTP),
    Row("request", (501, 505), (), _R.STOP, "{server} does not serve such requests", HTTP, ours=True),
    Row("request", (502,), (), _R.SHRINK, "a proxy before {server} got no valid answer from it", HTTP),
    Row("request", (504,), (), _R.SHRINK, "a proxy before {server} got no answer from it in time", HTTP),
    Row("request", (503,), (), _R.RETRY, "{server} is not available now", HTTP),
    Row("request", _statuses(500, 999), (), _R.RETRY, "{server} or a proxy before it failed", HTTP),
    Row(
        "request", (), (), _R.RETRY, "the answer of {server} does not have the form of Elasticsearch's answers", CLIENT
    ),
)

CONNECTION = (
    Row("connection", (), ("expired",), _R.STOP, "the certificate of {server} has expired by our clock", OPENSSL),
    Row("connection", (), ("early",), _R.STOP, "the certificate of {server} is not valid yet by our clock", OPENSSL),
    Row("connection", (), ("name",), _R.STOP, "the certificate of {server} is for another host name", OPENSSL),
    Row("connection", (), ("certificate",), _R.STOP, "we do not trust the certificate of {server}", OPENSSL),
    Row("connection", (), ("alert",), _R.STOP, "{server} refuses our TLS", OPENSSL),
    Row("connection", (), ("plain",), _R.STOP, "{server} does not speak TLS at this port", OPENSSL),
    Row("connection", (), ("encrypted",), _R.STOP, "{server} speaks TLS at this port, and we do not", OPENSSL),
    Row("connection", (), ("tls",), _R.RETRY, "the TLS connection to {server} broke", OPENSSL),
    Row("connection", (), ("redirect",), _R.STOP, ELSEWHERE, HTTP),
    Row("connection", (), ("moved",), _R.RETRY, ELSEWHERE, HTTP),
    Row("connection", (), ("unreachable",), _R.RETRY, "{server} is unreachable", CLIENT),
    Row("connection", (), ("timeout",), _R.SHRINK, "{server} did not answer in time", CLIENT),
    Row("connection", (), ("dropped",), _R.SHRINK, "{server} broke the connection", CLIENT),
    Row("connection", (), ("product",), _R.STOP, "what answers as {server} is another program", CLIENT),
    Row(
        "connection",
        (),
        (),
        _R.RETRY,
        "the answer of {server} does not have the form of Elasticsearch's answers",
        CLIENT,
    ),
)

TABLE = (*ITEM, *REQUEST, *CONNECTION)


def row_for(scope: Scope, status: int, kind: str = "", reason: str = "", *, ours: bool = True) -> Row:
    """Returns the row of an answer. Every answer has one."""
    return next(row for row in TABLE if row.matches(scope, status, kind, reason, ours))


def item_answer(item: object, server: str, name: str) -> Answer:
    """Classes the answer for one document. An answer without a status counts as unknown."""
    fields: Mapping[str, Any] = item if isinstance(item, Mapping) else {}
    error = fields.get("error")
    status = fields.get("status", 0)
    status = status if isinstance(status, int) else 0
    kind, reason = error_of(error)
    row = row_for("item", status, kind, reason)
    detail = f"{status} {kind}: {reason}" if status else f"{kind}: {reason}"
    return _answer(row, server, name, detail)


def request_answer(status: int, body: object, server: str, name: str, *, ours: bool) -> Answer:
    """Classes the answer for a whole request. `ours`: whether it has Elasticsearch's header.

    A proxy may add the header to its own pages, or remove it from Elasticsearch's answers, so the form counts too.
    """
    error = body.get("error") if isinstance(body, Mapping) else None
    kind, reason = error_of(error)
    formed = isinstance(error, Mapping) and isinstance(error.get("type"), str) and "reason" in error
    row = row_for("request", status, kind, reason, ours=formed or (ours and (not body or isinstance(body, Mapping))))
    told = f"{kind}: {reason}" if kind else _plain(error if isinstance(error, str) else body)
    return _answer(row, server, name, f"{status} {told}".rstrip())


def connection_answer(kind: str, detail: str, server: str, name: str) -> Answer:
    """Classes a request that got no answer, or none that can be read."""
    row = row_for("connection", 0, kind)
    return replace(_answer(row, server, name, detail), broke=kind == "dropped")


def error_of(error: object) -> tuple[str, str]:
    """Returns the type of Elasticsearch's error, and its reason with that of its cause. Both reasons are cut."""
    if not isinstance(error, Mapping):
        return "", error[:MAX_REASON] if isinstance(error, str) else "no reason given"
    cause = error.get("caused_by")
    parts = (error, cause if isinstance(cause, Mapping) else {})
    reasons = [str(part["reason"])[:MAX_REASON] for part in parts if part.get("reason")]
    return str(error.get("type", "")), "; ".join(reasons) or "no reason given"


def cause_of(body: object) -> str:
    """Returns the type and reason of an error's first cause, which say more than `all shards failed`."""
    error = body.get("error") if isinstance(body, Mapping) else None
    roots = error.get("root_cause") if isinstance(error, Mapping) else None
    return ": ".join(error_of(roots[0] if isinstance(roots, list) and roots else error))


def _answer(row: Row, server: str, name: str, detail: str) -> Answer:
    says = row.says.format(server=server, name=repr(name))
    return Answer(row.reaction, f"{says}: {detail}" if detail else says, general=row.general)


def _plain(body: object) -> str:
    """Returns the beginning of a page without its tags, or nothing for an empty body."""
    text = body if isinstance(body, str) else "" if body is None else str(body)
    text = re.sub(r"(?is)<(script|style)\b.*?</\1>|<[^>]*>", " ", text[:2_000])
    return " ".join(text.split())[:200]
