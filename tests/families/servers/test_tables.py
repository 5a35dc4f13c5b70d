"""The tables of answers: every answer has a class, a source, and a row on the page."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import aiokafka.errors
import kafka.errors
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis import exceptions as redis_errors
from redis.sentinel import MasterNotFoundError

from core.errors import Reject, Retry, Stop
from sinks.answers import elasticsearch, page, redis, tls
from sinks.answers.answer import Answer, Reaction
from sinks.answers.kafka import TABLE, answer, row_for
from sinks.connect.redis import ANSWERED, REFUSALS

PAGE = Path(__file__).resolve().parents[3] / "docs" / "servers.md"
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)
REASONS = JSON | st.fixed_dictionaries({"type": JSON, "reason": JSON, "caused_by": JSON})


def test_the_page_shows_the_tables() -> None:
    assert PAGE.read_text() == page.page(), "run `python -m sinks.answers.page > docs/servers.md`"


@pytest.mark.parametrize("row", [*elasticsearch.TABLE, *redis.TABLE, *TABLE], ids=lambda row: row.says[:60])
def test_a_row_has_a_source_and_says_what_is_true(row: Any) -> None:
    assert row.source.startswith("https://")
    assert row.says
    assert "away" not in row.says
    assert ("credentials" in row.says or "password" in row.says) <= (row.reaction is Reaction.STOP)


def every(answered: Answer) -> None:
    assert isinstance(answered.error(), Retry | Reject | Stop)
    assert "at e:1" in answered.sentence or "at r:1" in answered.sentence or "mentions" in answered.sentence


@given(status=st.integers() | st.none() | st.text(max_size=3), error=REASONS)
@settings(max_examples=500, deadline=None)
def test_any_answer_for_a_document_has_a_class(status: Any, error: Any) -> None:
    answered = elasticsearch.item_answer({"status": status, "error": error}, "Elasticsearch at e:1", "mentions")
    every(answered)
    if answered.reaction is Reaction.DONE:
        assert isinstance(status, int)
        assert 200 <= status < 300


LONG = {
    "of a request": {"reason": "maximum" * 70_000},
    "of a document": {"reason": "pipeline with id [" * 27_000},
    "of its cause": {"reason": "x", "caused_by": {"reason": "maximum" * 70_000}},
    "a list": {"reason": ["maximum"] * 50_000},
    "a text alone": "maximum" * 70_000,
}


@pytest.mark.parametrize("name", LONG)
def test_a_long_reason_is_cut_before_rows_look_into_it(name: str) -> None:
    """One of 480,000 characters took fifteen seconds."""
    error = LONG[name]
    kind, reason = elasticsearch.error_of({"type": "x"} | error if isinstance(error, dict) else error)
    assert len(reason) <= 2 * elasticsearch.MAX_REASON + 2
    every(elasticsearch.item_answer({"status": 400, "error": error}, "Elasticsearch at e:1", "mentions"))
    every(elasticsearch.request_answer(400, {"error": error}, "Elasticsearch at e:1", "mentions", ours=True))
    assert kind in {"", "x"}


@given(status=st.integers(0, 999), error=REASONS, whole=st.booleans(), ours=st.booleans())
@settings(max_examples=500, deadline=None)
def test_any_answer_for_a_request_has_a_class(status: int, error: Any, whole: bool, ours: bool) -> None:
    body = {"error": error} if whole else error
    answered = elasticsearch.request_answer(status, body, "Elasticsearch at e:1", "mentions", ours=ours)
    every(answered)
    kind = error.get("type") if isinstance(error, dict) else None
    if status in {408, 429, 502, 503, 504} and kind != "security_exception":
        assert answered.reaction in {Reaction.RETRY, Reaction.SHRINK}
    json.dumps(answered.sentence)


@given(code=st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ_ ", max_size=12), text=st.text(max_size=80))
@settings(max_examples=500, deadline=None)
def test_any_error_of_redis_has_a_class(code: str, text: str) -> None:
    for kind in (redis_errors.ResponseError, redis_errors.ConnectionError, redis_errors.AuthenticationError):
        every(redis.answer(kind(f"{code} {text}"), "Redis at r:1"))


GONE = redis_errors.ConnectionError("Error 111 connecting to 127.0.0.1:1. Connection refused.")
SLOW = redis_errors.TimeoutError("Timeout reading from socket")
CLOSED = redis_errors.ConnectionError("Connection closed by server.")
CUT = redis_errors.ConnectionError("EOF occurred in violation of protocol (_ssl.c:1006)")
REFUSED = redis_errors.AuthenticationError("invalid username-password pair or user is disabled.")
OPEN = redis_errors.AuthenticationError("AUTH <password> called without any password configured for the default user.")
UNTRUSTED = redis_errors.ConnectionError("certificate verify failed: self-signed certificate (_ssl.c:1006)")


@pytest.mark.parametrize(
    ("errors", "answered", "code"),
    [
        pytest.param([GONE, REFUSED], 0, "sentinels", id="the first is away"),
        pytest.param([SLOW, REFUSED], 0, "sentinels", id="the first is slow"),
        pytest.param([CLOSED, REFUSED], 0, "sentinels", id="the first breaks the connection"),
        pytest.param([CUT, REFUSED], 0, "sentinels", id="the first breaks TLS"),
        pytest.param([SLOW, UNTRUSTED], 0, "certificate", id="another certificate"),
        pytest.param([OPEN], 0, "sentinels", id="no password"),
        pytest.param([REFUSED, OPEN], 0, "sentinels", id="all refuse"),
        pytest.param([SLOW, CLOSED, CUT], 0, "unreachable", id="all are away"),
        pytest.param([REFUSED], 1, "masterless", id="another one answers"),
        pytest.param([UNTRUSTED], 1, "masterless", id="another one answers, but not this certificate"),
        pytest.param([], 2, "masterless", id="all answer"),
    ],
)
def test_sentinels_stop_a_worker_only_if_no_other_one_answers(
    errors: list[Exception], answered: int, code: str
) -> None:
    error = MasterNotFoundError("No master found for 'mymaster' : many words")
    setattr(error, REFUSALS, errors)
    setattr(error, ANSWERED, answered)
    assert redis.code_of(error)[0] == code
    stops = code in {"sentinels", "certificate"}
    assert redis.answer(error, "Redis at r:1").reaction is (Reaction.STOP if stops else Reaction.RETRY)


UNVERIFIED = "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: {} (_ssl.c:1006)"
FAULTS = [
    pytest.param(UNVERIFIED.format("self-signed certificate"), "certificate", id="self-signed"),
    pytest.param(UNVERIFIED.format("certificate has expired"), "expired", id="expired"),
    pytest.param(UNVERIFIED.format("certificate is not yet valid"), "early", id="not yet valid"),
    pytest.param(UNVERIFIED.format("unable to get local issuer certificate"), "certificate", id="unknown issuer"),
    pytest.param(
        UNVERIFIED.format("Hostname mismatch, certificate is not valid for 'e.org'."), "name", id="another name"
    ),
    pytest.param(
        UNVERIFIED.format("IP address mismatch, certificate is not valid for '::1'."), "name", id="another IP"
    ),
    pytest.param("[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)", "plain", id="no TLS"),
    pytest.param("[SSL: UNEXPECTED_EOF_WHILE_READING] EOF occurred in violation of protocol", "tls", id="cut"),
    pytest.param("EOF occurred in violation of protocol (_ssl.c:1006)", "tls", id="cut in an older OpenSSL"),
    pytest.param("[SSL: UNSUPPORTED_PROTOCOL] unsupported protocol (_ssl.c:1006)", "alert", id="an old version"),
    pytest.param("[SSL: NO_SHARED_CIPHER] no shared cipher (_ssl.c:1006)", "alert", id="no cipher"),
    pytest.param("[SSL] unknown error (_ssl.c:1006)", "tls", id="no reason"),
    pytest.param("Error 111 connecting to ssl.tls-certificate.org:6379. Connection refused.", "", id="an odd name"),
]


@pytest.mark.parametrize(("text", "kind"), FAULTS)
def test_a_tls_fault_has_a_kind(text: str, kind: str) -> None:
    assert tls.fault(text) == kind


REACTIONS = [
    pytest.param("KafkaConnectionError", "retry", "unreachable", id="no connection"),
    pytest.param("KafkaTimeoutError", "retry", "in time", id="no answer"),
    pytest.param("NodeNotReadyError", "retry", "unreachable", id="not ready"),
    pytest.param("UnsupportedCodecError", "stop", "library for the compression", id="no codec"),
    pytest.param("OffsetOutOfRangeError", "retry", "no longer has the offset", id="offset out of range"),
    pytest.param("IllegalGenerationError", "retry", "rebalancing", id="an old generation"),
    pytest.param("UnknownMemberIdError", "retry", "rebalancing", id="an unknown member"),
    pytest.param("RebalanceInProgressError", "retry", "rebalancing", id="a rebalance"),
    pytest.param("CommitFailedError", "retry", "rebalancing", id="a commit after a rebalance"),
    pytest.param("GroupAuthorizationFailedError", "stop", "this group", id="a forbidden group"),
    pytest.param("NotControllerError", "retry", "unreachable", id="another controller"),
    pytest.param("InvalidTopicError", "stop", "cannot be the name", id="a wrong name"),
    pytest.param("IllegalSaslStateError", "stop", "log in", id="SASL"),
]
LIBRARIES = pytest.mark.parametrize("library", [aiokafka.errors, kafka.errors], ids=["aiokafka", "kafka-python"])


@LIBRARIES
@pytest.mark.parametrize(("name", "becomes", "says"), REACTIONS)
def test_an_error_means_the_same_from_both_clients(library: ModuleType, name: str, becomes: str, says: str) -> None:
    told = answer(getattr(library, name)(), "Kafka at b:1", "topic posts")
    assert told.reaction.value == becomes
    assert says in told.sentence
    assert name in told.sentence
    assert says == "unreachable" or "unreachable" not in told.sentence


SERVED = {*range(-1, 60), 78, 79, 87, 89} - {0, 11, 12, 28, 36, 46, 48, 50, 51, 52, 55}
"""Codes that a producer or a consumer of ours can meet. The others are of administration and of transactions."""


@LIBRARIES
def test_every_error_that_a_producer_or_consumer_meets_has_a_row_of_its_own(library: ModuleType) -> None:
    kinds = [kind for _, kind in inspect.getmembers(library, inspect.isclass) if hasattr(kind, "errno")]
    met = [kind for kind in kinds if isinstance(kind.errno, int) and kind.errno in SERVED]
    assert len(met) > 40
    assert not [kind.__name__ for kind in met if row_for(cast(BaseException, kind())) is TABLE[-1]]
