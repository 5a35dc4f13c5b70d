"""Reads the side fields of a post: all but its `id` and `text`. A fault in one makes no dead letter of the post.

A value that a field does not take as it is, is read as widely as people write it. What still cannot be kept is cut or
left out, with a reason. All functions are pure, and none raises for any JSON value.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, Literal, get_args

from core.json_text import SURROGATE
from core.moments import read_moment

MAX_ID = 128
MAX_NAME = 512
MAX_URL = 4096
MAX_TYPE = 32
MAX_ALT = 4096
MAX_LANG = 16
MAX_SOURCE = 64
"""Longest values, in characters."""
MAX_MEDIA = 16
MAX_EDIT = 2**16 - 1
EXACT = 2**53
"""From here on, a float may stand for several whole numbers."""

IDENTIFIER = rf"^[A-Za-z0-9_.:@-]{{1,{MAX_ID}}}$"

SideField = Literal[
    "created_at",
    "author",
    "author.id",
    "author.name",
    "lang",
    "media",
    "media.url",
    "media.type",
    "media.alt",
    "source",
    "edit",
    "reply_to",
    "quote_of",
]

#: Why something is missing or changed. docs/events.md says what each means for the field.
Fault = Literal[
    "wrong_type",
    "unreadable",
    "out_of_range",
    "too_long",
    "too_many",
    "bad_characters",
    "missing",
    "markup",
    "no_zone",
]
SIDE_FIELDS, FAULTS = frozenset(get_args(SideField)), frozenset(get_args(Fault))
Note = Callable[[SideField, Fault], None]

URL_NAMES = ("url", "media_url_https", "media_url", "src", "href", "uri")
"""Names of a media entry's address, the first one that has a usable value counts."""

PHOTO_TYPES = frozenset(
    {"photo", "photos", "photograph", "image", "images", "img", "picture", "pictures", "pic", "graphimage"}
    | {"jpg", "jpeg", "png", "webp", "gif", "bmp", "avif", "app.bsky.embed.images"}
)
"""Names that platforms and libraries give a photo. `animated_gif` and `gifv` are videos."""

LANG_BEGINNING = re.compile(rf"[A-Za-z0-9_-]{{1,{MAX_LANG}}}(?=[_-])")
TAG = re.compile(r"<[^<>]*>")


def is_photo(media_type: str) -> bool:
    """Returns whether a media entry of this type is a photo. Media types such as image/jpeg are photos too."""
    name = media_type.strip().casefold()
    return name in PHOTO_TYPES or name.startswith("image/")


def read_side_fields(fields: Mapping[str, Any], refused: Collection[str]) -> dict[str, Any]:
    """Returns the post's fields with the refused ones read again, and `left_out`: field -> what was wrong with it.

    A field that cannot be read is absent from the result. The first fault of each field counts.
    """
    left_out: dict[SideField, Fault] = {}

    def note(field: SideField, fault: Fault) -> None:
        left_out.setdefault(field, fault)

    result = {name: value for name, value in fields.items() if name not in refused or name not in READERS}
    for name, read in READERS.items():
        if name in refused and (value := read(fields[name], note)) is not None:
            result[name] = value
    if fields.get("text") is None and result.get("media"):
        result["text"] = ""  # a post of media alone
    return result | {"left_out": left_out}


def known_faults(left_out: object) -> dict[Any, Any]:
    """Returns the entries of a `left_out` whose field and fault this version has. A later version may have more."""
    if not isinstance(left_out, Mapping):
        return {}
    return {
        field: fault
        for field, fault in left_out.items()
        if field in SIDE_FIELDS and isinstance(fault, str) and fault in FAULTS
    }


def _single(value: Any) -> Any:
    """Returns the value of a list of one, and None for what means absence. pandas writes NaN for it."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    return None if _is_absent(value) or (isinstance(value, str) and not value.strip()) else value


def _is_absent(value: Any) -> bool:
    return value in (None, "", [], {}) or (isinstance(value, float) and math.isnan(value))


def _text(value: Any, most: int, field: SideField, note: Note) -> str | None:
    """Reads a text for people: cut to `most` characters, with U+FFFD in place of what UTF-8 cannot express."""
    if _is_absent(value):
        return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        note(field, "wrong_type")
        return None
    text = _digits(value) if isinstance(value, int) else value
    if SURROGATE.search(text):
        note(field, "bad_characters")
        text = SURROGATE.sub("\ufffd", text)
    if len(text) > most:
        note(field, "too_long")
    return text[:most]


def _digits(number: int) -> str:
    """Returns the number's digits. One with thousands of them becomes a shorter one, which is too long for ids too."""
    return str(number if abs(number) < 10**MAX_ID else 10**MAX_ID)


def _whole(value: Any) -> Any:
    """Returns a float as the whole number that it stands for, if there is one. pandas writes ids as 7.0."""
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < EXACT else value


def _name(value: Any, field: SideField, note: Note) -> str | None:
    """Reads an id, of an author. An id that is too long is another id when it is cut, so it is left out."""
    text = _whole(value)
    text = _digits(text) if isinstance(text, int) and not isinstance(text, bool) else text
    if _is_absent(text):
        return None
    if not isinstance(text, str):
        note(field, "wrong_type")
    elif SURROGATE.search(text):
        note(field, "bad_characters")
    elif len(text) > MAX_ID:
        note(field, "too_long")
    else:
        return text
    return None


def _author(value: Any, note: Note) -> dict[str, Any] | None:
    """Reads an author. A text is a name, digits are an id."""
    value = _whole(_single(value))
    if value is None:
        return None
    if isinstance(value, dict):
        return {
            "id": _name(value.get("id"), "author.id", note),
            "name": _text(value.get("name"), MAX_NAME, "author.name", note),
        }
    if isinstance(value, bool) or not isinstance(value, str | int):
        note("author", "wrong_type")
        return None
    if isinstance(value, int) or (value.isascii() and value.isdigit()):
        return {"id": _name(value, "author.id", note)}
    return {"name": _text(value, MAX_NAME, "author.name", note)}


def _media(value: Any, note: Note) -> list[dict[str, Any]] | None:
    """Reads the media: a list of entries or addresses, or a single one."""
    kept: list[dict[str, Any]] = []
    for entry in value if isinstance(value, list) else [value]:
        if _single(entry) is None:
            continue
        if len(kept) == MAX_MEDIA:
            note("media", "too_many")
            break
        if isinstance(entry, str | dict):
            kept += _entry({"url": entry} if isinstance(entry, str) else entry, note)
        else:
            note("media", "wrong_type")
    return kept or None


def _entry(entry: dict[str, Any], note: Note) -> list[dict[str, Any]]:
    """Returns the entry, or nothing if it has no usable address."""
    faults = {name: _fault_of_url(entry.get(name)) for name in URL_NAMES}
    usable = next((name for name, fault in faults.items() if fault is None), None)
    if usable is None:
        note("media.url", next((fault for fault in faults.values() if fault and fault != "missing"), "missing"))
        return []
    read = {
        "url": entry[usable],
        "type": _text(_single(entry.get("type")), MAX_TYPE, "media.type", note),
        "alt": _text(entry.get("alt"), MAX_ALT, "media.alt", note),
    }
    return [{name: value for name, value in read.items() if value is not None}]


def _fault_of_url(url: Any) -> Fault | None:
    if url is None or (isinstance(url, str) and not url.strip()):
        return "missing"
    if not isinstance(url, str):
        return "wrong_type"
    if SURROGATE.search(url):
        return "bad_characters"
    return "too_long" if len(url) > MAX_URL else None


def _created_at(value: Any, note: Note) -> Any:
    value = _single(value)
    if value is None:
        return None
    moment, fault = read_moment(value)
    if fault is not None:
        note("created_at", fault)
    return moment


def _lang(value: Any, note: Note) -> str | None:
    """Reads a language code. One that is too long is cut at a hyphen.

    A word that is too long is no code, and left out.
    """
    value = _single(value)
    if value is None:
        return None
    if not isinstance(value, str):
        note("lang", "wrong_type")
        return None
    if SURROGATE.search(value):
        note("lang", "bad_characters")
        return None
    code = value.strip()
    if len(code) <= MAX_LANG:
        return code
    note("lang", "too_long")
    beginning = LANG_BEGINNING.match(code)
    return beginning[0] if beginning else None


def _source(value: Any, note: Note) -> str | None:
    """Reads the feed's name. Of a link in HTML, as Twitter's first API has it, the words are kept."""
    value = _single(value)
    if isinstance(value, str) and TAG.search(value):
        note("source", "markup")
        value = _single(html.unescape(TAG.sub("", value)).strip())
    return _text(value, MAX_SOURCE, "source", note)


def _edit(value: Any, note: Note) -> int | None:
    """Reads the number of a version. One that cannot be read counts as absent: the post then is the first version."""
    value = _single(value)
    if value is None:
        return None
    if isinstance(value, str):
        text = value.strip()
        if not re.fullmatch(r"[+-]?[0-9]+(?:\.0+)?", text):
            note("edit", "unreadable")
            return None
        digits = text.partition(".")[0]
        value = int(digits) if len(digits) < MAX_ID else -1
    if isinstance(value, bool) or not isinstance(value, int | float):
        note("edit", "wrong_type")
    elif not 0 <= value <= MAX_EDIT:
        note("edit", "out_of_range")
    elif value != int(value):
        note("edit", "unreadable")
    else:
        return int(value)
    return None


def _post_id(field: SideField) -> Callable[[Any, Note], str | None]:
    def read(value: Any, note: Note) -> str | None:
        value = _single(value)
        text = _name(value.strip() if isinstance(value, str) else value, field, note)
        if text is not None and not re.fullmatch(IDENTIFIER, text):
            note(field, "bad_characters")
            return None
        return text

    return read


READERS: dict[str, Callable[[Any, Note], Any]] = {
    "created_at": _created_at,
    "author": _author,
    "lang": _lang,
    "media": _media,
    "source": _source,
    "edit": _edit,
    "reply_to": _post_id("reply_to"),
    "quote_of": _post_id("quote_of"),
}
"""Field -> its reader. A reader returns None for a field that is absent, or that must be left out."""
