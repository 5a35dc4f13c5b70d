"""Inputs as they come: posts with odd letters and damaged JSON, and answers of servers and of proxies before them."""

from __future__ import annotations

import json
import ssl
from typing import Any

import aiokafka.errors
from hypothesis import strategies as st
from redis import exceptions as redis_errors

from demo.examples import example_events
from tests.families.names.test_fuzz import PIECES
from tests.families.names.test_fuzz import TEXTS as NAMED

SECRET = "s3cr3t-pa55word"

EMOJI = ["👩\u200d👩\u200d👧\u200d👦", "🏳️\u200d🌈", "👍🏽", "🇩🇪", "1️⃣", "❤️", "👨🏿\u200d🚀", "🫱🏻\u200d🫲🏿"]
RIGHT_TO_LEFT = ["القاهرة", "\u202eabc\u202c", "ירושלים", "\u2067x\u2069", "دبي-Dubai", "\u200f!\u200f"]
COMBINING = ["e\u0301", "a\u0300\u0316\u0334", "\u0301", "नी", "ก็", "\u1100\u1161\u11a8", "Z\u0351\u036b\u0343\u036a"]
BREAKING = ["\r\n", "\u2028", "\x00", "\x1b[31m", "\ufeff", "\u00a0", "\t", "\x85", "\ufffe", "\U0010ffff"]
TEXTS = st.lists(
    st.one_of(NAMED, st.sampled_from([*EMOJI, *RIGHT_TO_LEFT, *COMBINING, *BREAKING, *PIECES]), st.text(max_size=20)),
    min_size=1,
    max_size=12,
).map("".join)
"""Texts of posts, without lone surrogates, which no JSON in UTF-8 can hold."""

STRANGE_TEXTS = st.one_of(TEXTS, st.text(st.characters(codec=None), max_size=30), st.binary(max_size=40).map(repr))
"""With lone surrogates."""

LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(10**30), 10**30),
    st.floats(),
    STRANGE_TEXTS,
    st.sampled_from(["2026-11-29T07:00:00Z", "1764400000", "null", "", "-0", "0001-01-01T00:00:00+14:00", "photo"]),
)
JSON: st.SearchStrategy[Any] = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def _post(event: bytes) -> Any:
    try:
        return json.loads(event)
    except ValueError:  # one of the examples of damaged posts
        return None


EXAMPLES = [post for event in example_events("http://127.0.0.1:1/") if isinstance(post := _post(event), dict)]
FIELDS = sorted({name for event in EXAMPLES for name in event} | {"edit", "reply_to", "quote_of", "lang", "media"})


@st.composite
def posts(draw: st.DrawFn) -> bytes:
    """Draws an example post with other values in some fields, and sometimes with damaged bytes."""
    post = dict(EXAMPLES[draw(st.integers(0, len(EXAMPLES) - 1))])
    if draw(st.booleans()):
        post["text"] = draw(STRANGE_TEXTS)
    for _ in range(draw(st.integers(0, 4))):
        name = draw(st.sampled_from(FIELDS))
        change = draw(st.sampled_from(["drop", "replace", "within", "rename"]))
        held = post.get(name)
        if change == "drop":
            post.pop(name, None)
        elif change == "within" and isinstance(held, dict | list) and held:
            place = draw(st.sampled_from(sorted(held) if isinstance(held, dict) else range(len(held))))
            post[name] = (held | {place: draw(JSON)}) if isinstance(held, dict) else [draw(JSON), *held]
        elif change == "rename":
            post[draw(st.text(max_size=6))] = post.pop(name, None)
        else:
            post[name] = draw(JSON)
    raw = json.dumps(post, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")
    return draw(damaged(raw)) if draw(st.integers(0, 3)) == 0 else raw


@st.composite
def damaged(draw: st.DrawFn, raw: bytes) -> bytes:
    """Draws the bytes with something cut out, put in, or repeated."""
    for _ in range(draw(st.integers(1, 3))):
        start, end = sorted(draw(st.lists(st.integers(0, len(raw)), min_size=2, max_size=2)))
        raw = raw[:start] + draw(st.one_of(st.binary(max_size=6), st.just(raw[start:end] * 2))) + raw[end:]
    return raw


MESSAGES = st.one_of(posts(), st.binary(max_size=60), JSON.map(lambda value: json.dumps(value).encode()))


# Answers

REASONS = st.one_of(
    STRANGE_TEXTS,
    st.sampled_from(
        [
            "maximum normal shards open",
            "no write index is defined for alias [mentions]",
            "pipeline with id [p] does not exist",
            "Limit of total fields [1000] has been exceeded",
            f"failed to reach http://elastic:{SECRET}@10.0.0.1:9200/_bulk",
            f"Authorization: Basic {SECRET}==",
            f"redis://:{SECRET}@r:6379/0 is odd",
            f"token=Bearer {SECRET}",
            f"ApiKey {SECRET}",
            "line\nline\r\n\x1b[2J",
            "[SSL: TLSV1_ALERT_INTERNAL_ERROR] tlsv1 alert internal error",
            "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: Hostname mismatch",
            "Connection closed by server.",
        ]
    ),
)
TYPES = st.one_of(
    st.sampled_from(
        [
            *("security_exception", "cluster_block_exception", "illegal_argument_exception", "validation_exception"),
            *("index_not_found_exception", "version_conflict_engine_exception", "circuit_breaking_exception"),
            *("document_parsing_exception", "invalid_index_name_exception", "media_type_header_exception"),
        ]
    ),
    STRANGE_TEXTS,
)
ERRORS = st.one_of(
    st.fixed_dictionaries({"type": TYPES, "reason": REASONS}, optional={"caused_by": JSON, "root_cause": JSON}), JSON
)
STATUSES = st.one_of(st.integers(100, 599), st.sampled_from([200, 400, 401, 403, 404, 409, 413, 429, 500, 502, 503]))
ITEMS = st.fixed_dictionaries({"status": st.one_of(STATUSES, JSON), "error": ERRORS}) | JSON
PAGES = st.one_of(
    st.fixed_dictionaries({"error": ERRORS, "status": STATUSES}),
    REASONS.map(lambda text: f"<html><body><h1>{text}</h1></body></html>"),
    REASONS,
    JSON,
)


def _kinds(module: object, base: type[Exception]) -> list[type[Exception]]:
    """Returns the errors of a client, without those that need other arguments than a text."""
    kinds = [kind for kind in vars(module).values() if isinstance(kind, type) and issubclass(kind, base)]
    return sorted((kind for kind in kinds if _takes_a_text(kind)), key=lambda kind: kind.__name__)


def _takes_a_text(kind: type[Exception]) -> bool:
    try:
        return bool(str(kind("text"))) and bool(repr(kind()))
    except Exception:
        return False


REDIS_ERRORS = st.builds(
    lambda kind, text: kind(text),
    st.sampled_from(_kinds(redis_errors, redis_errors.RedisError)),
    st.one_of(
        st.builds(
            lambda code, text: f"{code} {text}", st.sampled_from(["ERR", "READONLY", "OOM", "NEW", "x"]), REASONS
        ),
        REASONS,
        st.builds(lambda text: f"Error 1 connecting to r:1. {ssl.SSLError(1, text)}", REASONS),
    ),
)
KAFKA_ERRORS = st.builds(
    lambda kind, text: kind(text) if text is not None else kind(),
    st.sampled_from(_kinds(aiokafka.errors, aiokafka.errors.KafkaError)),
    st.none() | REASONS,
)
