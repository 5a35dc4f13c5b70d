"""Side fields as people write them: what is kept, and what is noted. Only `id` and `text` can refuse a post."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from core.events import Author, Media, Tweet, explain
from core.lifecycle import Lifecycle
from tests.families.sidefields.stored import stored

A = {"url": "http://a.test/1.jpg"}
PHOTO = Media(url="http://a.test/1.jpg")

#: Name -> the post's side fields, what the post has then, and what it notes.
CASES: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, str]]] = {
    # author
    "author: a number as id": ({"author": {"id": 7}}, {"author": Author(id="7")}, {}),
    "author: a large number as id": ({"author": {"id": 2**63}}, {"author": Author(id=str(2**63))}, {}),
    "author: a name": ({"author": "Ada"}, {"author": Author(name="Ada")}, {}),
    "author: a number": ({"author": 7}, {"author": Author(id="7")}, {}),
    "author: digits": ({"author": "7"}, {"author": Author(id="7")}, {}),
    "author: a list of one": ({"author": [{"name": "Ada"}]}, {"author": Author(name="Ada")}, {}),
    "author: a float as id (pandas)": ({"author": {"id": 7.0}}, {"author": Author(id="7")}, {}),
    "author: a float (pandas)": ({"author": 7.0}, {"author": Author(id="7")}, {}),
    "author: a large float as id": ({"author": {"id": 1e16}}, {"author": Author()}, {"author.id": "wrong_type"}),
    "author: a fraction": ({"author": 7.5}, {"author": None}, {"author": "wrong_type"}),
    "author: only a user name": ({"author": {"username": "ada"}}, {"author": Author()}, {}),
    "author: a list of two": ({"author": ["Ada", "Bo"]}, {"author": None}, {"author": "wrong_type"}),
    "author: true": ({"author": True}, {"author": None}, {"author": "wrong_type"}),
    "author: empty": ({"author": ""}, {"author": None}, {}),
    "author: an empty list": ({"author": []}, {"author": None}, {}),
    "author: null inside": ({"author": {"id": None, "name": 5}}, {"author": Author(name="5")}, {}),
    "author: a long id": ({"author": {"id": "x" * 129}}, {"author": Author()}, {"author.id": "too_long"}),
    "author: a fraction as id": ({"author": {"id": 1.5}}, {"author": Author()}, {"author.id": "wrong_type"}),
    "author: an object as id": ({"author": {"id": {"$oid": "5"}}}, {"author": Author()}, {"author.id": "wrong_type"}),
    "author: half a pair in the id": (
        {"author": {"id": "\ud83d"}},
        {"author": Author()},
        {"author.id": "bad_characters"},
    ),
    "author: a long name": (
        {"author": {"name": "x" * 600}},
        {"author": Author(name="x" * 512)},
        {"author.name": "too_long"},
    ),
    "author: half a pair in the name": (
        {"author": {"name": "Ada \ud83d"}},
        {"author": Author(name="Ada \ufffd")},
        {"author.name": "bad_characters"},
    ),
    "author: a list as name": ({"author": {"name": ["Ada"]}}, {"author": Author()}, {"author.name": "wrong_type"}),
    "author: NUL in the name": ({"author": {"id": 1, "name": "A\0"}}, {"author": Author(id="1", name="A\0")}, {}),
    # media
    "media: null": ({"media": None}, {"media": ()}, {}),
    "media: empty": ({"media": ""}, {"media": ()}, {}),
    "media: an empty object": ({"media": {}}, {"media": ()}, {}),
    "media: false": ({"media": False}, {"media": ()}, {"media": "wrong_type"}),
    "media: one entry": ({"media": A}, {"media": (PHOTO,)}, {}),
    "media: one address": ({"media": A["url"]}, {"media": (PHOTO,)}, {}),
    "media: addresses": ({"media": [A["url"], A["url"]]}, {"media": (PHOTO, PHOTO)}, {}),
    "media: null among entries": ({"media": [None, A, {}, ""]}, {"media": (PHOTO,)}, {}),
    "media: a number among entries": ({"media": [7, A]}, {"media": (PHOTO,)}, {"media": "wrong_type"}),
    "media: too many": ({"media": [A] * 20}, {"media": (PHOTO,) * 16}, {"media": "too_many"}),
    "media: Twitter's name": ({"media": [{"media_url_https": A["url"]}]}, {"media": (PHOTO,)}, {}),
    "media: HTML's names": ({"media": [{"src": A["url"]}, {"href": A["url"]}]}, {"media": (PHOTO, PHOTO)}, {}),
    "media: null as url": ({"media": [{"url": None, "src": A["url"]}]}, {"media": (PHOTO,)}, {}),
    "media: no url": ({"media": [{"media_key": "3_1"}, A]}, {"media": (PHOTO,)}, {"media.url": "missing"}),
    "media: a blank url": ({"media": [{"url": ""}]}, {"media": ()}, {"media.url": "missing"}),
    "media: a number as url": ({"media": [{"url": 7}]}, {"media": ()}, {"media.url": "wrong_type"}),
    "media: a data URL": ({"media": [{"url": "data:," + "x" * 5000}]}, {"media": ()}, {"media.url": "too_long"}),
    "media: half a pair in the url": (
        {"media": ["http://a.test/\udc00"]},
        {"media": ()},
        {"media.url": "bad_characters"},
    ),
    "media: null as type": ({"media": [{**A, "type": None}]}, {"media": (PHOTO,)}, {}),
    "media: an object as type": (
        {"media": [{**A, "type": {"a": 1}}]},
        {"media": (PHOTO,)},
        {"media.type": "wrong_type"},
    ),
    "media: a long type": (
        {"media": [{**A, "type": "image/" + "x" * 90}]},
        {"media": (Media(**A, type="image/" + "x" * 26),)},
        {"media.type": "too_long"},
    ),
    "media: a long alt": (
        {"media": [{**A, "alt": "x" * 5000}]},
        {"media": (Media(**A, alt="x" * 4096),)},
        {"media.alt": "too_long"},
    ),
    "media: half a pair in the alt": (
        {"media": [{**A, "alt": "a\ud83db"}]},
        {"media": (Media(**A, alt="a\ufffdb"),)},
        {"media.alt": "bad_characters"},
    ),
    "media: a list as alt": ({"media": [{**A, "alt": ["a"]}]}, {"media": (PHOTO,)}, {"media.alt": "wrong_type"}),
    "media: nested lists": ({"media": [[[A]]]}, {"media": ()}, {"media": "wrong_type"}),
    # lang
    "lang: with a region": ({"lang": "en-US", "media": None}, {"lang": "en-US"}, {}),
    "lang: a list of one": ({"lang": ["de"]}, {"lang": "de"}, {}),
    "lang: a list of two": ({"lang": ["de", "en"]}, {"lang": None}, {"lang": "wrong_type"}),
    "lang: a number": ({"lang": 49}, {"lang": None}, {"lang": "wrong_type"}),
    "lang: a long code": ({"lang": "zh-cmn-Hans-CN-x-priv"}, {"lang": "zh-cmn-Hans-CN-x"}, {"lang": "too_long"}),
    "lang: a long name": ({"lang": "English (United States)"}, {"lang": None}, {"lang": "too_long"}),
    "lang: half a pair": ({"lang": "\ud83d"}, {"lang": None}, {"lang": "bad_characters"}),
    # source
    "source: null": ({"source": None}, {"source": "unknown"}, {}),
    "source: a number": ({"source": 3}, {"source": "3"}, {}),
    "source: too long": ({"source": "x" * 70}, {"source": "x" * 64}, {"source": "too_long"}),
    "source: Twitter's link": (
        {"source": '<a href="http://twitter.com/download/iphone" rel="nofollow">Twitter for iPhone &amp; more</a>'},
        {"source": "Twitter for iPhone & more"},
        {"source": "markup"},
    ),
    "source: a link without words": (
        {"source": '<a href="' + "x" * 70 + '"></a>'},
        {"source": "unknown"},
        {"source": "markup"},
    ),
    "source: an object": ({"source": {"name": "web"}}, {"source": "unknown"}, {"source": "wrong_type"}),
    # edit
    "edit: null": ({"edit": None}, {"edit": 0}, {}),
    "edit: empty": ({"edit": ""}, {"edit": 0}, {}),
    "edit: a text": ({"edit": "3"}, {"edit": 3}, {}),
    "edit: a list of one": ({"edit": ["3"]}, {"edit": 3}, {}),
    "edit: negative": ({"edit": -1}, {"edit": 0}, {"edit": "out_of_range"}),
    "edit: too large": ({"edit": 65_536}, {"edit": 0}, {"edit": "out_of_range"}),
    "edit: a Unix time": ({"edit": "1539202764"}, {"edit": 0}, {"edit": "out_of_range"}),
    "edit: a date": ({"edit": "2018-10-10"}, {"edit": 0}, {"edit": "unreadable"}),
    "edit: a fraction": ({"edit": 1.5}, {"edit": 0}, {"edit": "unreadable"}),
    "edit: infinite": ({"edit": float("inf")}, {"edit": 0}, {"edit": "out_of_range"}),
    "edit: NaN": ({"edit": float("nan")}, {"edit": 0}, {}),
    "author: NaN": ({"author": {"id": float("nan"), "name": float("nan")}}, {"author": Author()}, {}),
    "media: NaN": ({"media": float("nan")}, {"media": ()}, {}),
    "edit: an object": ({"edit": {"n": 1}}, {"edit": 0}, {"edit": "wrong_type"}),
    "edit: many digits": ({"edit": 10**200}, {"edit": 0}, {"edit": "out_of_range"}),
    # other posts
    "reply_to: a number": ({"reply_to": 123}, {"reply_to": "123"}, {}),
    "reply_to: empty": ({"reply_to": ""}, {"reply_to": None}, {}),
    "reply_to: blanks around": ({"reply_to": " 123\n"}, {"reply_to": "123"}, {}),
    "reply_to: an address": ({"reply_to": "https://a.test/1"}, {"reply_to": None}, {"reply_to": "bad_characters"}),
    "reply_to: too long": ({"reply_to": "1" * 129}, {"reply_to": None}, {"reply_to": "too_long"}),
    "reply_to: a float (pandas)": ({"reply_to": 123.0}, {"reply_to": "123"}, {}),
    "reply_to: the largest exact float": ({"reply_to": 2.0**53 - 1}, {"reply_to": "9007199254740991"}, {}),
    "reply_to: an inexact float": ({"reply_to": 2.0**53}, {"reply_to": None}, {"reply_to": "wrong_type"}),
    "quote_of: a float (pandas)": ({"quote_of": -7.0}, {"quote_of": "-7"}, {}),
    "quote_of: a real fraction": ({"quote_of": 7.5}, {"quote_of": None}, {"quote_of": "wrong_type"}),
    "quote_of: a fraction": ({"quote_of": 1e18}, {"quote_of": None}, {"quote_of": "wrong_type"}),
    "quote_of: an object": ({"quote_of": {"id": "1"}}, {"quote_of": None}, {"quote_of": "wrong_type"}),
    # a stranger's field with the name of ours
    "left_out of a stranger": ({"left_out": {"text": "gone"}}, {}, {}),
}

#: Name -> the JSON of a post whose unknown or side fields pydantic's parser refuses, and what it notes.
RAW: dict[str, tuple[str | bytes, dict[str, str]]] = {
    "half a pair in an unknown field": ('{"id": "1", "text": "x", "z": "\\ud83d"}', {}),
    "half a pair in a name of a field": ('{"id": "1", "text": "x", "\\ud83d": 1}', {}),
    "deep nesting in an unknown field": ('{"id": "1", "text": "x", "z": ' + "[" * 50_000 + "]" * 50_000 + "}", {}),
    "deep nesting in media": (
        '{"id": "1", "text": "x", "media": ' + '{"a": [' * 9_000 + "]}" * 9_000 + "}",
        {"media.url": "missing"},
    ),
    "deep nesting in an author": (
        '{"id": "1", "text": "x", "author": {"id": 1, "name": ' + "[" * 900 + '"]"' + "]" * 900 + "}}",
        {"author.name": "wrong_type"},
    ),
    "a number of 9,000 digits": (
        '{"id": "1", "text": "x", "author": {"id": ' + "9" * 9_000 + "}}",
        {"author.id": "too_long"},
    ),
    "9,000 digits as a date": (
        '{"id": "1", "text": "x", "created_at": ' + "9" * 9_000 + "}",
        {"created_at": "unreadable"},
    ),
    "9,000 digits as an edit": ('{"id": "1", "text": "x", "edit": ' + "9" * 9_000 + "}", {"edit": "out_of_range"}),
    "a byte that is not UTF-8": (
        b'{"id": "1", "text": "x", "author": {"name": "Andr\xe9"}}',
        {"author.name": "bad_characters"},
    ),
    "a mark of the byte order": (b'\xef\xbb\xbf{"id": "1", "text": "x"}', {}),
    "a field twice": ('{"id": "1", "text": "x", "media": [7], "media": null}', {}),
    "NaN": ('{"id": "1", "text": "x", "edit": NaN, "reply_to": -Infinity}', {"reply_to": "wrong_type"}),
}

#: Name -> the JSON of a post that must be refused, and the beginning of the reason.
REFUSED: dict[str, tuple[str | bytes, str]] = {
    "no id": ('{"text": "x", "media": null}', "id: Field required"),
    "id: null": ('{"id": null, "text": "x"}', "id: Input should be a valid string (got None)"),
    "id: a fraction": (
        '{"id": 1.5, "text": "x"}',
        "id: must be a string or a whole number; write the id in quotation marks",
    ),
    "id: an exponent": ('{"id": 1e18, "text": "x"}', "id: must be a string or a whole number"),
    "id: true": ('{"id": true, "text": "x"}', "id: must be a string or a whole number"),
    "id: a list": ('{"id": ["1"], "text": "x"}', "id: Input should be a valid string"),
    "id: a slash": ('{"id": "a/b", "text": "x"}', "id: String should match pattern"),
    "id: empty": ('{"id": "", "text": "x"}', "id: String should match pattern"),
    "id: too long": (json.dumps({"id": "1" * 129, "text": "x"}), "id: String should match pattern"),
    "id: a number too long": ('{"id": ' + "1" * 129 + ', "text": "x"}', "id: Input should be a valid string"),
    "id: 9,000 digits": ('{"id": ' + "1" * 9_000 + ', "text": "x"}', "id: String should match pattern"),
    "no text": ('{"id": "1", "edit": -1}', "text: Field required"),
    "text: null": ('{"id": "1", "text": null, "media": []}', "text: Input should be a valid string (got None)"),
    "text: a number": (
        '{"id": "1", "text": 7, "media": ["http://a.test/1.jpg"]}',
        "text: Input should be a valid string",
    ),
    "text: a list": ('{"id": "1", "text": ["x"]}', "text: Input should be a valid string"),
    "text: too long": (json.dumps({"id": "1", "text": "x" * 25_001}), "text: String should have at most 25000"),
    "text: half a pair": (
        '{"id": "1", "text": "\\ud83d"}',
        "text: has half a surrogate pair, or bytes that are not UTF-8; send",
    ),
    "text: Latin-1": (
        b'{"id": "1", "text": "Andr\xe9"}',
        "text: has half a surrogate pair, or bytes that are not UTF-8; send",
    ),
    "an array": ("[]", "event: Input should be an object"),
    "broken JSON": ('{"id": "1", "text": "x", "media": [}', "event: Invalid JSON"),
    "an end too early": ('{"id": "1", "text": "x', "event: Invalid JSON"),
    "an end too early in deep nesting": ('{"id": "1", "text": "x", "z": ' + "[" * 500, "event: Invalid JSON"),
    "nothing but bytes": (b"\xff" * 1000, "event: Invalid JSON"),
}

TYPES = {
    True: [
        "photo",
        "image",
        "Image",
        "picture",
        "image/jpeg",
        "IMAGE/PNG",
        " photo ",
        "img",
        "gif",
        "png",
        "app.bsky.embed.images",
    ],
    False: ["video", "animated_gif", "gifv", "video/mp4", "audio", "link", "unknown", "", "3"],
}


@pytest.mark.parametrize("name", CASES)
def test_a_side_field_never_costs_the_post(name: str) -> None:
    given, kept, noted = CASES[name]
    tweet = Tweet.model_validate_json(json.dumps({"id": "1", "text": "x", **given}))
    assert {field: getattr(tweet, field) for field in kept} == kept
    assert tweet.left_out == noted
    assert stored(tweet) == tweet, "what is written can be read again"


@pytest.mark.parametrize("name", RAW)
def test_json_that_one_parser_refuses_is_read_by_another(name: str) -> None:
    raw, noted = RAW[name]
    tweet = Tweet.model_validate_json(raw)
    assert (tweet.id, tweet.text, tweet.left_out) == ("1", "x", noted)


@pytest.mark.parametrize("name", REFUSED)
def test_only_id_and_text_refuse_a_post_and_the_reason_names_nothing_else(name: str) -> None:
    raw, begins = REFUSED[name]
    with pytest.raises(ValidationError) as refused:
        Tweet.model_validate_json(raw)
    assert explain(refused.value).startswith(begins)
    assert len(refused.value.errors()) == 1


@pytest.mark.parametrize("number", [7, 0, -1001234, 1539202764000000001, 2**64, 10**127])
def test_an_id_that_is_a_whole_number_is_read_as_its_digits(number: int) -> None:
    event = json.dumps({"id": number, "text": "x"})
    assert Tweet.model_validate_json(event).id == str(number)
    assert Lifecycle.model_validate_json(json.dumps({"id": number})).post == str(number)


@pytest.mark.parametrize("note", [7, "x" * 1000, ["spam"], None])
def test_a_note_never_keeps_a_deleted_post(note: Any) -> None:
    assert Lifecycle.model_validate_json(json.dumps({"id": "1", "reason": note})).post == "1"


@pytest.mark.parametrize(
    ("is_photo", "media_type"), [(known, name) for known, names in TYPES.items() for name in names]
)
def test_names_of_the_same_type_of_media(is_photo: bool, media_type: str) -> None:
    media = Tweet.model_validate_json(json.dumps({"id": "1", "text": "x", "media": [{**A, "type": media_type}]})).media[
        0
    ]
    assert (media.is_photo, media.type) == (is_photo, media_type)


def test_many_faults_are_noted_once_for_each_field() -> None:
    entry = {**A, "alt": "x" * 5000}
    given = {"media": [entry, {"url": 7}, {"src": None}, *[entry] * 20], "edit": -1, "lang": 5, "created_at": "?"}
    tweet = Tweet.model_validate_json(json.dumps({"id": "1", "text": "x", **given}))
    assert tweet.left_out == {
        "created_at": "unreadable",
        "lang": "wrong_type",
        "media": "too_many",
        "media.alt": "too_long",
        "media.url": "wrong_type",
        "edit": "out_of_range",
    }
