"""Makes the pairs in `corpus/`: files as people and programs save posts, and what is said about each.

`python -m tests.families.files.make_files` writes them. `NAME` is the input. `NAME.expected` holds what the file is
said to be, with the posts in it, or why it is refused. The expectations are written here by hand.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import zipfile
from dataclasses import dataclass
from pathlib import Path

from backports import zstd

CORPUS = Path(__file__).resolve().parent / "corpus"

ONE = '{"id": "1", "text": "Oslo"}'
TWO = '{"id": "2", "text": "a\u2028b é 🎶"}'
THREE = '{"id": "3", "text": "x, [y] {z} \\"q\\" \\\\"}'
ESCAPES = r'{"id": "4", "text": "\"]}, {[ \\\" \\"}'
ALL = (ONE, TWO, THREE)
LINES = "\n".join(ALL) + "\n"
ARRAY = f"[\n  {ONE},\n  {TWO},\n  {THREE}\n]\n"
DATA = LINES.encode()


@dataclass(frozen=True)
class Case:
    """A file. `posts` are its records without blank ones. `ends`: why it cannot be read to its end."""

    data: bytes
    says: str = ""
    posts: tuple[str, ...] = ()
    ends: str = ""
    refused: str = ""
    damaged: int = 0  # number of the first record that is not UTF-8, or 0
    seekable: bool = False  # whether it can be read only from a file, and not from a pipe

    @property
    def expected(self) -> dict[str, object]:
        return {name: value for name, value in vars(self).items() if name not in {"data"} and value}


def lines(name: str = "UTF-8") -> str:
    return f"JSON Lines in {name}; each line is a post"


def array(name: str = "UTF-8") -> str:
    return f"one JSON array in {name}; each item is a post"


def objects(name: str = "UTF-8") -> str:
    return f"JSON objects in {name}, one after another; each is a post"


def zipped(*members: tuple[str, bytes]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(zipfile.ZipInfo(name), data)
    return target.getvalue()


def packed(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


MARK = " with a byte order mark"
PRETTY = tuple(json.dumps(json.loads(post), indent=2, ensure_ascii=False) for post in ALL)
TAR = b"tweets.json".ljust(257, b"\0") + b"ustar\0" + b"\0" * 300
JSON_ONLY = "; give a file of posts as JSON"
TABLE = "looks like a table (CSV or TSV); give a file of posts as JSON, one on each line"
COMMAS = "has a comma after each post; remove the commas, or put all posts between [ and ]"
COMMENT = "begins with a comment; JSON has none, so remove the comments"
ARCHIVES = "archives are not read yet. Write each "
NONE = "holds no posts: of its first {}, none is a post; "
INVALID = "is not valid JSON: "
PAGE = (
    "holds no posts: {} 1 is a page of X's API; pages are not read yet. Write each entry of `data` on a line of its own"
)
LATIN = b'{"id": "1", "text": "caf\xe9"}\n'

CASES: dict[str, Case] = {
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
    "no-end.jsonl": Case("\n".join(ALL).encode(), lines(), ALL),
    "blank-lines.jsonl": Case(f"\n \n{ONE}\n\n\r\n{TWO}\n\n{THREE}\n\n".encode(), lines(), ALL),
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
    # compressions
    "plain.gz": Case(packed(DATA), lines("UTF-8, compressed with gzip"), ALL),
    "members.gz": Case(
        packed(f"{ONE}\n{TWO[:9]}".encode()) + packed(f"{TWO[9:]}\n{THREE}".encode()),
        lines("UTF-8, compressed with gzip"),
        ALL,
    ),
    "padded.gz": Case(packed(DATA) + b"\0" * 600, lines("UTF-8, compressed with gzip"), ALL),
    "trailing.gz": Case(
        packed(DATA) + b"trash",
        lines("UTF-8, compressed with gzip"),
        ALL,
        ends="the gzip data are damaged: Error -3 while decompressing data: incorrect header check",
    ),
    "twice.gz": Case(packed(packed(DATA)), lines("UTF-8, compressed with gzip, compressed with gzip"), ALL),
    "array-utf-16.gz": Case(
        packed(b"\xff\xfe" + ARRAY.encode("utf-16-le")),
        array("UTF-16 (little-endian) with a byte order mark, compressed with gzip"),
        ALL,
    ),
    "empty.gz": Case(packed(b""), "empty, compressed with gzip; it has 0 posts"),
    "plain.bz2": Case(bz2.compress(DATA), lines("UTF-8, compressed with bzip2"), ALL),
    "plain.xz": Case(lzma.compress(DATA), lines("UTF-8, compressed with xz"), ALL),
    "plain.zst": Case(zstd.compress(DATA), lines("UTF-8, compressed with zstd"), ALL),
    "frames.zst": Case(
        zstd.compress(f"{ONE}\n".encode()) + zstd.compress(f"{TWO}\n{THREE}".encode()),
        lines("UTF-8, compressed with zstd"),
        ALL,
    ),
    "one-file.zip": Case(
        zipped(("posts.jsonl", DATA), ("__MACOSX/._posts.jsonl", b"x")),
        lines("UTF-8, compressed with zip"),
        ALL,
        seekable=True,
    ),
    "two-files.zip": Case(
        zipped(("a.jsonl", DATA), ("b.jsonl", DATA)),
        refused="is a zip archive of 2 files; unzip it, and give one of them",
        seekable=True,
    ),
    "table.xlsx": Case(
        zipped(("[Content_Types].xml", b"<x/>"), ("xl/workbook.xml", b"<x/>")),
        refused="is a document of an office program; export its posts as JSON Lines",
        seekable=True,
    ),
    "damaged.xz": Case(
        b"\xfd7zXZ\0" + b"\xff" * 40,
        refused="cannot be read: the xz data are damaged: Corrupt input data",
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
    "two.array": Case(
        f"[{ONE}]\n[{TWO}]\n".encode(), refused=INVALID + "something follows the end of the array, after post 1"
    ),
    "trailing-commas.jsonl": Case(",\n".join(ALL).encode(), refused=COMMAS),
    "scalars.array": Case(
        b'["a", 1, null]',
        refused=NONE.format("3 posts") + "post 1 is JSON, but not an object with `id` and `text`",
    ),
    "words.txt": Case(b"hello\n" * 30, refused=NONE.format("20 lines") + "line 1 is not JSON"),
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
