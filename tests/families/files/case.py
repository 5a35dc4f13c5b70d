"""What a case of the corpus is, and the parts that its files are made of."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
import zlib
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
    remarks: tuple[str, ...] = ()  # what is said about parts that were passed over
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


def zipped(*members: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as archive:
        for name, data in members:
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return target.getvalue()


def changed(data: bytes, at: int) -> bytes:
    """Returns the same bytes but for one bit of the byte at `at`."""
    whole = bytearray(data)
    whole[at] ^= 1
    return bytes(whole)


def summed(data: bytes) -> bytes:
    """Returns a zstd frame with a checksum at its end."""
    return zstd.compress(data, options={zstd.CompressionParameter.checksum_flag: 1})


def wide(data: bytes) -> bytes:
    """Returns a zstd frame that asks for a window of 2 GiB, with one raw block."""
    return b"\x28\xb5\x2f\xfd\x00\xa8" + (len(data) << 3 | 1).to_bytes(3, "little") + data


def packed(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


ZIPPED = zipped(("posts.jsonl", DATA))
CHECKSUM = zlib.crc32(DATA).to_bytes(4, "little")
SKIPPABLE = b"\x5b\x2a\x4d\x18\x04\0\0\0size"
WIDE_XZ = bytes.fromhex(  # asks for 512 MiB
    "fd377a585a000004e6d6b44602002101220000008240acdc01001b7b226964223a202231222c202274657874223a20224f73"
    "6c6f227d0a00af02ab0621921d830001341c931aad8f1fb6f37d010000000004595a"
)
BOM = "\ufeff"
MARK = " with a byte order mark"
PRETTY = tuple(json.dumps(json.loads(post), indent=2, ensure_ascii=False) for post in ALL)
TAR = b"tweets.json".ljust(257, b"\0") + b"ustar\0" + b"\0" * 300
JSON_ONLY = "; give a file of posts as JSON"
TABLE = "looks like a table (CSV or TSV); give a file of posts as JSON, one on each line"
COMMAS = "has a comma after each post; remove the commas, or put all posts between [ and ]"
COMMENT = "begins with a comment; JSON has none, so remove the comments"
ARCHIVES = "only a feed reads archives. Write each "
OTHER_JSON = "is JSON, but not an object with `id` and `text`"
MEMORY = "need more memory than is allowed; decompress them first"
BETWEEN = "a comma stands after post 1; put all posts between [ and ]"
HALF = PRETTY[1][:-2]
QUOTE = PRETTY[1].replace('"\n}', "\n}")
FLAT = '{\n"id": "5",\n"text": "x",\n"media": [\n{\n"id": "9"\n},\n{\n"id": "10"\n}\n]\n}'
NONE = "holds no posts: of its first {}, none is a post; "
INVALID = "is not valid JSON: "
PAGE = (
    "holds no posts: {} 1 is a page of X's API; only a feed reads pages. Write each entry of `data` on a line of "
    "its own"
)
LATIN = b'{"id": "1", "text": "caf\xe9"}\n'
