"""The index template: what of a document can be searched, and how. Only what the core of Elasticsearch has."""

from __future__ import annotations

from typing import Any

KEYWORD = {"type": "keyword", "ignore_above": 512}
TEXT = {"type": "text"}
NUMBER = {"type": "float"}
STORED = {"type": "keyword", "index": False, "doc_values": False}

PROPERTIES: dict[str, Any] = {
    "id": KEYWORD,
    "text": TEXT,
    "created_at": {"type": "date"},
    "author": {"properties": {"id": KEYWORD, "name": KEYWORD}},
    "lang": KEYWORD,
    "feed": KEYWORD,
    "edit": {"type": "integer"},
    "reply_to": KEYWORD,
    "quote_of": KEYWORD,
    "media": STORED,
    "image": {"properties": {"status": KEYWORD, "reason": KEYWORD}},
    "context": TEXT,
    "mentions": {
        "type": "nested",  # each mention is matched by itself: "Paris" with type PER, not one field from each
        "properties": {
            "start": {"type": "integer"},
            "end": {"type": "integer"},
            "text": TEXT,
            "name": KEYWORD,
            "type": KEYWORD,
            "probability": NUMBER,
            "aleatoric": NUMBER,
            "epistemic": NUMBER,
            "source": KEYWORD,
        },
    },
    "model": KEYWORD,
    "model_version": {"type": "long"},
    "source": KEYWORD,
    "reviewer": KEYWORD,
    "decided_at": {"type": "date"},
    "erased": {"type": "boolean"},
}

TEMPLATE: dict[str, Any] = {
    "settings": {"number_of_shards": 1, "auto_expand_replicas": "0-1", "refresh_interval": "1s"},
    # unknown fields are kept in the source, never mapped: a field added by a later release cannot break this one
    "mappings": {"dynamic": False, "properties": PROPERTIES},
}
