"""Makes the pairs in `corpus/`: files as people and programs save posts, and what is said about each.

`python -m tests.families.files.make_files` writes them. `NAME` is the input. `NAME.expected` holds what the file is
said to be, with the posts in it, or why it is refused. The expectations are written here by hand.
"""

from __future__ import annotations

import json

from tests.families.files.case import (
    ALL,
    ARCHIVES,
    ARRAY,
    BETWEEN,
    BOM,
    COMMAS,
    COMMENT,
    CORPUS,
    DATA,
    ESCAPES,
    FLAT,
    HALF,
    INVALID,
    JSON_ONLY,
    LATIN,
    LINES,
    MARK,
    NONE,
    ONE,
    OTHER_JSON,
    PAGE,
    PRETTY,
    QUOTE,
    TABLE,
    TAR,
    THREE,
    TWO,
    Case,
    array,
    lines,
    objects,
    packed,
)
from tests.families.files.compressed_files import COMPRESSED

__all__ = ["CASES", "CORPUS"]

CASES: dict[str, Case] = COMPRESSED | {
    # encodings
    "utf-8.jsonl": Case(DATA, lines(), ALL),
    "utf-8-mark.jsonl": Case(b"\xef\xbb\xbf" + DATA, lines("UTF-8" + MARK), ALL),
    "utf-16-le-mark.jsonl": Case(b"\xff\xfe" + LINES.encode("utf-16-le"), lines("UTF-16 (little-endian)" + MARK), ALL),
    "utf-16-be-mark.jsonl": Case(b"\xfe\xff" + LINES.encode("utf-16-be"), lines("UTF-16 (big-endian)" + MARK), ALL),
    "utf-16-le.jsonl": Case(LINES.encode("utf-16-le"), lines("UTF-16 (little-endian)"), ALL),
    "utf-16-be.jsonl": Case(LINES.encode("utf-16-be"), lines("UTF-16 (big-endian)"), ALL),
    "utf-32-le-mark.jsonl": Case(
        b"\xff\xfe\0\0" + LINES.encode("utf-32-le"), lines("UTF-32 (little-endian)" + MARK), ALL
    ),
    "utf-32-be.jsonl": Case(LINES.encode("utf-32-be"), lines("UTF-32 (big-endian)"), ALL),
    "utf-16-crlf.jsonl": Case(
        b"\xff\xfe" + "\r\n".join(ALL).encode("utf-16-le"), lines("UTF-16 (little-endian)" + MARK), ALL
    ),
    "utf-16.array": Case(b"\xff\xfe" + ARRAY.encode("utf-16-le"), array("UTF-16 (little-endian)" + MARK), ALL),
    "utf-16-odd.jsonl": Case(
        b"\xff\xfe" + LINES.encode("utf-16-le") + b"x",
        lines("UTF-16 (little-endian)" + MARK),
        ALL,
        ends="the text is no longer UTF-16 (little-endian): truncated data",
    ),
    "utf-16-surrogate.jsonl": Case(
        b"\xff\xfe" + ONE.encode("utf-16-le")[:-4] + b"\x00\xd8" + ('"}\n' + THREE).encode("utf-16-le"),
        lines("UTF-16 (little-endian)" + MARK),
        ('{"id": "1", "text": "Oslo\ud800"}', THREE),
        damaged=1,
    ),
    "latin-1.jsonl": Case(DATA + LATIN, lines(), (*ALL, '{"id": "1", "text": "caf\udce9"}'), damaged=4),
    # line ends
    "crlf.jsonl": Case("\r\n".join(ALL).encode() + b"\r\n", lines(), ALL),
    "cr.jsonl": Case("\r".join(ALL).encode() + b"\r", lines(), ALL),
    "cr-then-lf.jsonl": Case(f"{ONE}\r{TWO}\n{THREE}\n{ONE}\n".encode(), lines(), (*ALL, ONE)),
    "lf-then-cr.jsonl": Case(f"{ONE}\n{TWO}\r{THREE}\r{ONE}\r".encode(), lines(), (*ALL, ONE)),
    "broken-cr-inside.jsonl": Case(
        f'{{"id": "1", "text": "a\rb"}}\n{TWO}\n{THREE}'.encode(), lines(), ('{"id": "1", "text": "a\rb"}', TWO, THREE)
    ),
    "broken-cr.jsonl": Case(f'{{"id": "1", "te\r{TWO}\r{THREE}'.encode(), lines(), ('{"id": "1", "te', TWO, THREE)),
    "broken-cr-then-lf.jsonl": Case(
        f'{ONE}\r{{"id": "2", "te\r{TWO}\r{THREE}\n'.encode(), lines(), (ONE, '{"id": "2", "te', TWO, THREE)
    ),
    "broken-scalar-cr.jsonl": Case(f"null\r{ONE}\r{TWO}\n".encode(), lines(), ("null", ONE, TWO)),
    "cr-between-words.jsonl": Case(
        f'{TWO}\n{{"id": "1", "text": "x",\r"user":\r{{"id": "9"}}\r}}\n'.encode(),
        lines(),
        (TWO, '{"id": "1", "text": "x",\r"user":\r{"id": "9"}\r}'),
    ),
    "cr-cr-lf.jsonl": Case("\r\r\n".join(ALL).encode() + b"\r\r\n", lines(), ALL),
    "no-end.jsonl": Case("\n".join(ALL).encode(), lines(), ALL),
    "blank-lines.jsonl": Case(f"\n \n{ONE}\n\n\r\n{TWO}\n\n{THREE}\n\n".encode(), lines(), ALL),
    # byte order marks where files were joined
    "two-marks.jsonl": Case(f"{BOM}{BOM}{LINES}".encode(), lines("UTF-8" + MARK), ALL),
    "marks.jsonl": Case(BOM.join(("", *(f"{post}\n" for post in ALL))).encode(), lines("UTF-8" + MARK), ALL),
    "marks.array": Case(f"{BOM}{BOM}\n[{ONE}]{BOM}[{TWO},{BOM}{THREE}]{BOM}".encode(), array("UTF-8" + MARK), ALL),
    "marks.json": Case(f"{BOM}{BOM}".join(PRETTY).encode(), objects(), PRETTY),
    "marks.json-seq": Case(
        f"{BOM}{BOM}\x1e{ONE}\n\x1e{TWO}\n".encode(),
        "a JSON text sequence (RFC 7464) in UTF-8 with a byte order mark; each value is a post",
        ALL[:2],
    ),
    "marks-utf-16.jsonl": Case(
        f"{BOM}{ONE}\n{BOM}{TWO}\n".encode("utf-16-le"), lines("UTF-16 (little-endian)" + MARK), ALL[:2]
    ),
    # layouts
    "many-lines.array": Case(ARRAY.encode(), array(), ALL),
    "one-line.array": Case(f"[{','.join(ALL)}]".encode(), array(), ALL),
    "pretty.array": Case(
        json.dumps([json.loads(ONE)], indent=2).encode(), array(), ('{\n    "id": "1",\n    "text": "Oslo"\n  }',)
    ),
    "escapes.array": Case(f"[\n{ESCAPES},\n{ONE}]".encode(), array(), (ESCAPES, ONE)),
    "empty.array": Case(b"[ ]\n", array()),
    "pretty.json": Case("\n".join(PRETTY).encode(), objects(), PRETTY),
    "side-by-side.json": Case("".join(ALL).encode(), objects(), ALL),
    "spaced.json": Case(" ".join(ALL).encode(), objects(), ALL),
    "then-pretty.jsonl": Case("\n".join((ONE, *PRETTY, TWO)).encode(), lines(), (ONE, *PRETTY, TWO)),
    "then-pretty-crlf.jsonl": Case(
        f"{ONE}\n{PRETTY[2]}\n".replace("\n", "\r\n").encode(), lines(), (ONE, PRETTY[2].replace("\n", "\r\n"))
    ),
    "then-broken-pretty.jsonl": Case(
        f'{ONE}\n{{\n"id": "2\n}}\n{PRETTY[1]}\n{{\n{THREE}'.encode(),
        lines(),
        (ONE, "{", '"id": "2', "}", PRETTY[1], "{", THREE),
    ),
    "then-pretty-with-object-on-a-line.jsonl": Case(
        f'{ONE}\n{{\n"id": "2", "text": "x", "media": [\n  {{"id": "9"}}\n]\n}}\n{THREE}'.encode(),
        lines(),
        (ONE, '{\n"id": "2", "text": "x", "media": [\n  {"id": "9"}\n]\n}', THREE),
    ),
    "broken-then-glued.json": Case(
        f"{PRETTY[0]}\n{HALF}\n{ONE} {TWO}{THREE}\n{ONE}".encode(), objects(), (PRETTY[0], HALF, ONE, TWO, THREE, ONE)
    ),
    "broken-then-flat.json": Case(
        f"{PRETTY[0]}\n{QUOTE}\n{FLAT}\n{PRETTY[2]}".encode(), objects(), (PRETTY[0], QUOTE, FLAT, PRETTY[2])
    ),
    "broken-no-end.json": Case(
        "\n".join((PRETTY[0], HALF, PRETTY[2])).encode(), objects(), (PRETTY[0], HALF, PRETTY[2])
    ),
    "broken-no-quote.json": Case(
        "\n".join((PRETTY[0], QUOTE, *PRETTY[1:])).encode(), objects(), (PRETTY[0], QUOTE, *PRETTY[1:])
    ),
    "broken-many.json": Case(
        "\n".join((PRETTY[0], *[HALF] * 9, ONE)).encode(), objects(), (PRETTY[0], *[HALF] * 9, ONE)
    ),
    "broken-brace.json": Case(f"{PRETTY[0]}}}\n{PRETTY[1]}".encode(), objects(), (PRETTY[0], "}", PRETTY[1])),
    "broken-side-by-side.json": Case(f"{ONE}{TWO}}} {THREE}".encode(), objects(), (ONE, TWO, "} ", THREE)),
    "broken-early-end.json": Case(
        f'{PRETTY[0]}\n{{"id": "2"}}, "x": 1}}\n{ONE}'.encode(),
        objects(),
        (PRETTY[0], '{"id": "2"}', ', "x": 1}', ONE),
    ),
    "comma.json": Case(f"{PRETTY[0]},\n{PRETTY[1]}".encode(), objects(), PRETTY[:1], ends=BETWEEN),
    "cut.json": Case(
        f"{PRETTY[0]}\n{PRETTY[1][:-4]}".encode(), objects(), PRETTY[:1], ends="the file ends in the middle of post 2"
    ),
    "rfc7464.json-seq": Case(
        "".join(f"\x1e{post}\n" for post in ALL).encode(),
        "a JSON text sequence (RFC 7464) in UTF-8; each value is a post",
        ALL,
    ),
    "broken-item.array": Case(f'[{ONE}, {{"id": 2 "x" }}, {THREE}]'.encode(), array(), (ONE, '{"id": 2 "x" }', THREE)),
    "broken-line.jsonl": Case(f'{ONE}\n{{"id": "2", "te\n{THREE}'.encode(), lines(), (ONE, '{"id": "2", "te', THREE)),
    "broken-first-line.jsonl": Case(f"{{nope\n{ONE}\n".encode(), lines(), ("{nope", ONE)),
    "open.array": Case(ARRAY.encode()[:-12], array(), ALL[:2], ends="the file ends in the middle of post 3"),
    "unclosed.array": Case(
        f"[{ONE},{TWO}".encode(), array(), ALL[:2], ends="the file ends before its array does, after post 2"
    ),
    # nothing in it
    "empty.jsonl": Case(b"", "empty; it has 0 posts"),
    "blank.jsonl": Case(b"\n\r\n  \n", "blank; it has 0 posts"),
    # refused
    "table.csv": Case(b"id,text,lang\n1,Oslo,no\n", refused=TABLE),
    "quoted.csv": Case(b'"id";"text"\n"1";"Oslo"\n', refused=TABLE),
    "table.tsv": Case(b"1\tOslo\n2\tBergen\n", refused=TABLE),
    "utf-16.csv": Case("\ufeffid,text\n1,Oslo\n".encode("utf-16-le"), refused=TABLE),
    "error-page.html": Case(
        b"\n<!DOCTYPE html>\n<html><title>404</title>",
        refused="is a web page (HTML), perhaps the error page of a download" + JSON_ONLY,
    ),
    "feed.xml": Case(b'<?xml version="1.0"?><rss/>', refused="is XML or HTML" + JSON_ONLY),
    "image.png": Case(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", refused="is a PNG image" + JSON_ONLY),
    "image.jpeg": Case(b"\xff\xd8\xff\xe0\0\x10JFIF\0", refused="is a JPEG image" + JSON_ONLY),
    "paper.pdf": Case(b"%PDF-1.7\n%\xe2\xe3\n", refused="is a PDF document" + JSON_ONLY),
    "program.elf": Case(b"\x7fELF\x02\x01\x01" + b"\0" * 20, refused="is a program" + JSON_ONLY),
    "posts.sqlite": Case(b"SQLite format 3\0" + b"\x10\0" * 20, refused="is an SQLite database" + JSON_ONLY),
    "posts.parquet": Case(b"PAR1\x15\x04\x15\x10", refused="is a Parquet file" + JSON_ONLY),
    "posts.tar": Case(TAR, refused="is a tar archive" + JSON_ONLY),
    "posts.tar.gz": Case(packed(TAR), refused="is a tar archive, compressed with gzip" + JSON_ONLY),
    "sound.mp4": Case(b"\0\0\0\x18ftypmp42\0\0\0\0", refused="is a binary file" + JSON_ONLY),
    "noise.bin": Case(bytes(range(256)), refused="is a binary file" + JSON_ONLY),
    "comment.jsonl": Case(f"# posts of today\n{LINES}".encode(), refused=COMMENT),
    "comment.json": Case(f"// posts\n{ARRAY}".encode(), refused=COMMENT),
    "comment.array": Case(
        f"[/* first */ {ONE}]".encode(), refused=INVALID + "a comment stands after post 0; JSON has none, so remove it"
    ),
    "trailing-comma.array": Case(
        f"[{ONE}, {TWO},]".encode(),
        refused=INVALID + "a comma stands after post 2 without a post behind it; remove the comma",
    ),
    "two-commas.array": Case(
        f"[{ONE},,{TWO}]".encode(),
        refused=INVALID + "a comma stands after post 1 without a post behind it; remove the comma",
    ),
    "no-comma.array": Case(f"[{ONE} {TWO}]".encode(), refused=INVALID + "a comma is missing after post 1"),
    "two.array": Case(f"[{ONE}]\n[{TWO}]\n[][{THREE}]".encode(), array(), ALL),
    "two-words.array": Case(
        f"[{ONE}]\n{TWO}\n".encode(), refused=INVALID + "something follows the end of the array, after post 1"
    ),
    "trailing-commas.jsonl": Case(",\n".join(ALL).encode(), refused=COMMAS),
    "scalars.array": Case(
        b'["a", 1, null]',
        refused=NONE.format("3 posts") + "post 1 is JSON, but not an object with `id` and `text`",
    ),
    "words.txt": Case(b"hello\n" * 30, refused=NONE.format("20 lines") + "line 1 is not JSON"),
    "null.jsonl": Case(b"null\n", refused="holds no posts: line 1 " + OTHER_JSON),
    "null-table.jsonl": Case(b'null, "x", 3\n', refused=TABLE),
    "blanks.jsonl": Case(b"\n" * 10_001 + DATA, refused="holds no posts: its first 10000 lines are blank"),
    "other-objects.jsonl": Case(
        b'\n{"a": 1}\n{"b": 2}\n',
        refused=NONE.format("2 lines") + "line 2 is an object with neither `id` nor `text`",
    ),
    "x-page.json": Case(b'{"data": [{"id": "1", "text": "x"}], "meta": {}}', refused=PAGE.format("line")),
    "x-page-pretty.json": Case(json.dumps({"data": [{"id": "1"}]}, indent=1).encode(), refused=PAGE.format("post")),
    "tweets.js": Case(
        b'window.YTD.tweets.part0 = [\n  {\n    "tweet" : {',
        refused="is JavaScript, as in an X archive; " + ARCHIVES + "post as JSON on a line of its own",
    ),
    "x-archive.array": Case(
        b'[{"tweet": {"id": "1"}}]',
        refused="holds no posts: post 1 is an entry of an X archive; " + ARCHIVES + "`tweet` on a line of its own",
    ),
}


if __name__ == "__main__":
    CORPUS.mkdir(exist_ok=True)
    for old in CORPUS.iterdir():
        old.unlink()
    for name, case in CASES.items():
        (CORPUS / name).write_bytes(case.data)
        (CORPUS / f"{name}.expected").write_text(json.dumps(case.expected, indent=1) + "\n")
