"""The index template: which fields of a document can be searched, and how. Uses only the core of Elasticsearch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

KEYWORD = {"type": "keyword", "ignore_above": 512}
TEXT = {"type": "text"}
NUMBER = {"type": "float"}
PLACE = {"type": "integer", "index": False, "doc_values": False}
STORED = {"type": "keyword", "index": False, "doc_values": False}

PROPERTIES: dict[str, Any] = {
    "id": KEYWORD,
    "text": TEXT,
    "folded": TEXT,  # the text as `core.spelling.fold` spells it, where the spelling differs
    "created_at": {"type": "date"},
    "received_at": {"type": "date"},
    "author": {"properties": {"id": KEYWORD, "name": KEYWORD}},
    "lang": KEYWORD,
    "feed": KEYWORD,
    "edit": {"type": "integer"},
    "reply_to": KEYWORD,
    "quote_of": KEYWORD,
    "media": STORED,
    "alt": STORED,  # alt text of each of `media`
    "described": TEXT,  # the alt texts, as `core.spelling.fold` spells them
    "image": {"properties": {"status": KEYWORD, "reason": KEYWORD}},
    "context": TEXT,
    "mentions": {
        "type": "nested",  # so that name and type must match in the same mention
        "properties": {
            "start": {"type": "integer"},
            "end": {"type": "integer"},
            "text": TEXT | {"fields": {"surface": KEYWORD}},  # the text as it was written, for counts
            "name": KEYWORD | {"fields": {"words": TEXT}},
            "type": KEYWORD,
            "probability": NUMBER,
            "aleatoric": NUMBER,
            "epistemic": NUMBER,
            "source": KEYWORD,
        },
    },
    "mention_count": {"type": "integer"},
    "mention_names": KEYWORD,  # those of `mentions`, in the post itself, where they are counted many times faster
    "mention_types": KEYWORD,
    # not nested, since no search asks about two of their fields
    "accounts": {"properties": {"start": PLACE, "end": PLACE, "name": KEYWORD}},
    "model": KEYWORD,
    "model_version": {"type": "long"},
    "typicality": NUMBER,
    "source": KEYWORD,
    "reviewer": KEYWORD,
    "decided_at": {"type": "date"},
    "verdicts": {
        "type": "nested",  # so that several fields must match in the same verdict
        "properties": {
            "action": KEYWORD,
            "type_before": KEYWORD,
            "type_after": KEYWORD,
            "probability": NUMBER,
            "is_asked": {"type": "boolean"},
            "is_candidate": {"type": "boolean"},
            "is_audit": {"type": "boolean"},
        },
    },
    "bulk_id": KEYWORD,
    "erased": {"type": "boolean"},
    "hidden": {"type": "boolean"},
}

TEMPLATE: dict[str, Any] = {
    "settings": {"number_of_shards": 1, "auto_expand_replicas": "0-1", "refresh_interval": "1s"},
    # unknown fields stay in the source and are never mapped, so a field of a later version cannot break this one
    "mappings": {"dynamic": False, "properties": PROPERTIES},
}


def missing_fields(mapped: Mapping[str, Any], planned: Mapping[str, Any] = PROPERTIES) -> dict[str, Any]:
    """Returns the part of `planned` that an index's mapping lacks. Fields that are mapped differently are left out.

    An index made by an earlier version lacks the fields added since.
    """
    missing: dict[str, Any] = {}
    for name, field in planned.items():
        if name not in mapped:
            missing[name] = field
        elif _same_type(mapped[name], field):
            inner = missing_fields(mapped[name].get("properties", {}), field.get("properties", {}))
            missing |= {name: field | {"properties": inner}} if inner else {}
            missing |= {name: field} if field.get("fields", {}).keys() - mapped[name].get("fields", {}).keys() else {}
    return missing


def changed_fields(mapped: Mapping[str, Any], planned: Mapping[str, Any] = PROPERTIES, path: str = "") -> list[str]:
    """Returns the paths of fields that are mapped with another type. Such an index cannot be corrected in place."""
    changed = []
    for name, field in planned.items():
        if name in mapped and not _same_type(mapped[name], field):
            changed.append(path + name)
        elif name in mapped:
            inner = mapped[name].get("properties", {}), field.get("properties", {})
            changed += changed_fields(*inner, f"{path}{name}.")
    return changed


def _same_type(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    return bool(a.get("type", "object") == b.get("type", "object"))
