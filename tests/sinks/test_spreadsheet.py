"""Exports hold what the terms let them hold, and no spreadsheet takes a cell for a formula."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.events import Author, Media
from core.terms import UNLISTED, Sources, Terms
from model.accounts import accounts_in
from sinks.exchange import Exported, line_of
from sinks.index.document import from_extraction
from sinks.spreadsheet import as_csv, as_jsonl, safe
from tests.sinks.values import extraction, mention, tweet

WITHHELD = Sources({"x": Terms(may_train=False, may_show_text=False, delete_within_hours=24)})


def body(text: str, *names: str, **fields: Any) -> dict[str, Any]:
    made = extraction(tweet("1", text, **fields), *(mention(name, within=text) for name in names))
    return from_extraction(made, made.mentions).body


async def each(bodies: Sequence[Mapping[str, Any]]) -> AsyncIterator[Mapping[str, Any]]:
    for one in bodies:
        yield one


async def read(bodies: Sequence[Mapping[str, Any]], sources: Sources = UNLISTED) -> list[dict[str, str]]:
    content = b"".join([part async for part in as_csv(each(bodies), sources)])
    assert content.startswith(b"\xef\xbb\xbfid,source,")
    assert content.endswith(b"\r\n")
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))


async def test_a_line_is_a_mention_and_a_post_without_one_has_a_line() -> None:
    media = (Media(url="https://a.example/1"), Media(url="https://a.example/2"))
    text = 'Paris, "Rome"\nand 🗼'
    lines = await read([body(text, "Paris", "Rome", media=media, author=Author(id="7", name="ana")), body("nothing")])
    assert [(line["id"], line["mention"], line["name"], line["start"]) for line in lines] == [
        ("1", "Paris", "paris", "0"),
        ("1", "Rome", "rome", "8"),
        ("1", "", "", ""),
    ]
    assert lines[0]["text"] == text
    assert (lines[0]["author_id"], lines[0]["author_name"], lines[0]["decided_by"]) == ("7", "ana", "model")
    assert lines[0]["media"] == "https://a.example/1 https://a.example/2"
    assert float(lines[0]["probability"]) == 0.9


async def test_accounts_are_in_both_layouts() -> None:
    made = extraction(tweet("1", text := "@NASA and @esa"), accounts=accounts_in(text))
    document = from_extraction(made, ()).body
    assert [line["accounts"] for line in await read([document, body("none")])] == ["nasa esa", ""]
    (line,) = [part async for part in as_jsonl(each([document]), UNLISTED)]
    assert Exported.model_validate_json(line).event == made.model_copy(update={"threshold": 1.0})
    silent = from_extraction(made.model_copy(update={"tweet": tweet("1", text, source="x")}), ()).body
    assert "nasa" not in b"".join([part async for part in as_jsonl(each([silent]), WITHHELD)]).decode().lower()
    assert [line["accounts"] for line in await read([silent], WITHHELD)] == [""]


async def test_many_posts_come_in_parts() -> None:
    parts = [part async for part in as_csv(each([body("Paris")] * 1_000), UNLISTED)]
    assert len(parts) > 2
    assert len(await read([body("Paris")] * 1_000)) == 1_000


async def test_a_withheld_post_has_no_text_in_either_layout() -> None:
    author = Author(id="7", name="ana")
    silent = body("Paris", "Paris", source="x", author=author, lang="fr", media=(Media(url="https://a.example/1"),))
    (line,) = await read([silent], WITHHELD)
    shown = {name: value for name, value in line.items() if value}
    moment = silent["created_at"]
    assert shown == {"id": "1", "source": "x", "created_at": moment, "type": "LOC", "start": "0", "end": "5"}
    lines = [part async for part in as_jsonl(each([silent]), WITHHELD)]
    assert lines == [line_of(silent, WITHHELD.of("x"))]
    assert b"Paris" not in lines[0]


FORMULAS = [
    ("=1+1", "'=1+1"),
    ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"),
    ("-2+3", "'-2+3"),
    ("@SUM(1)", "'@SUM(1)"),
    ("\t=1", "'\t'=1"),
    ("\r=1", "'\r'=1"),
    ("\n=1", "'\n'=1"),
    ("＝1+1", "'＝1+1"),
    ("＋1", "'＋1"),
    ("－1", "'－1"),
    ("＠x", "'＠x"),
    ('"=1"', '\'"=1"'),
    (" =1", "' =1"),
    ("a;=1", "a;'=1"),
    ("a\n=1", "a\n'=1"),
    ("a\t@x", "a\t'@x"),
    ("hi ;-)", "hi ;-)"),
    ("a=b", "a=b"),
    ("5 - 3", "5 - 3"),
    ("“quoted”", "“quoted”"),
    ("", ""),
]


@pytest.mark.parametrize(("text", "expected"), FORMULAS)
def test_no_cell_is_a_formula(text: str, expected: str) -> None:
    assert safe(text) == expected


@given(st.text(st.sampled_from("=+-@＝＋－＠\t\r\n;,\"' a)")))
async def test_any_text_comes_back_without_its_apostrophes_and_begins_with_no_sign(text: str) -> None:
    if not text:
        return
    (line,) = await read([body(text)])
    assert line["text"].replace("'", "") == text.replace("'", "")
    assert line["text"].lstrip(' "')[:1] not in tuple("=+-@＝＋－＠\t\r\n")
