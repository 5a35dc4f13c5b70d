"""What a file is said to be, and which posts are read from it. `make_files.py` made the pairs in `corpus/`."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import random
import threading
import tracemalloc
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st

from core.errors import UserError
from core.files import stream
from core.files.posts import Readable, open_lines, open_posts
from core.files.split import Oversized
from tests.families.files.make_files import CASES, CORPUS

MOST = 1_048_588
MEGABYTE = 1_000_000


class Pipe(io.RawIOBase):
    """Bytes that come in pieces of a given size and cannot be read twice, as from a pipe."""

    def __init__(self, data: bytes, size: int) -> None:
        self._data = memoryview(data)
        self._size = size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def read1(self, size: int) -> bytes:
        piece, self._data = self._data[: min(size, self._size)], self._data[min(size, self._size) :]
        return bytes(piece)


def as_bytes(post: str) -> bytes:
    """Returns the bytes of an expected post. A byte that is not UTF-8 stands in it as Python's escape for it."""
    try:
        return post.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return post.encode("utf-8", "surrogatepass")


def read(source: IO[bytes]) -> dict[str, Any]:
    """Returns what is found in a file, as the expectations are written."""
    try:
        posts = open_posts(source, MOST)
    except UserError as error:
        return {"refused": str(error)}
    readable = Readable(posts)
    records = [record for record in readable if isinstance(record, bytes) and record.strip()]
    found = {"says": posts.says, "posts": [record.rstrip(b"\r") for record in records]}
    return found | {"ends": readable.problem or "", "damaged": posts.first_damaged, "remarks": list(posts.remarks)}


def expected(name: str) -> tuple[dict[str, Any], bool]:
    """Returns what is expected of a file, and whether it needs a file that can be read from any place."""
    wanted = json.loads((CORPUS / f"{name}.expected").read_text())
    seekable = wanted.pop("seekable", False)
    if "refused" not in wanted:
        wanted = {"says": "", "posts": [], "ends": "", "damaged": 0, "remarks": []} | wanted
        wanted["posts"] = [as_bytes(post) for post in wanted["posts"]]
    return wanted, seekable


@pytest.mark.parametrize("name", CASES)
def test_a_file_is_what_it_is_said_to_be(name: str) -> None:
    wanted, _ = expected(name)
    with (CORPUS / name).open("rb") as source:
        assert read(source) == wanted


@pytest.mark.parametrize("name", CASES)
def test_the_corpus_is_what_the_table_says(name: str) -> None:
    assert (CORPUS / name).read_bytes() == CASES[name].data or name.endswith((".zst", ".gz", ".bz2", ".xz", ".zip"))
    assert json.loads((CORPUS / f"{name}.expected").read_text()) == json.loads(json.dumps(CASES[name].expected))


@pytest.mark.parametrize("size", [1, 7, 4096])
@pytest.mark.parametrize("name", [name for name in CASES if not name.startswith("bad-sum")])
def test_a_slow_pipe_gives_the_same(name: str, size: int) -> None:
    wanted, seekable = expected(name)
    if seekable:
        wanted = {"refused": "is a zip archive that comes through a pipe; unzip it, or give the file itself"}
    pipe: Any = Pipe((CORPUS / name).read_bytes(), size)
    assert read(pipe) == wanted


@given(st.lists(st.dictionaries(st.text(), st.recursive(st.text(), st.lists, max_leaves=3)), max_size=8), st.data())
def test_any_posts_are_read_back_from_each_layout(values: list[dict[str, Any]], data: st.DataObject) -> None:
    posts = [json.dumps({"id": "1", **value}, ensure_ascii=data.draw(st.booleans())) for value in values]
    texts = {
        "lines": "\n".join(posts),
        "array": f"[{', '.join(posts)}]",
        "objects": " ".join(posts),
        "sequence": "".join(f"\x1e{post}\n" for post in posts),
    }
    text = data.draw(st.sampled_from(sorted(texts)))
    encoding = data.draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]))
    try:
        whole = texts[text].encode(encoding)
    except UnicodeEncodeError:
        return  # a lone surrogate; a case of the corpus
    pipe: Any = Pipe(whole, data.draw(st.integers(1, 50)))
    found = read(pipe)
    assert [record.decode() for record in found["posts"]] == posts
    assert found["ends"] == ""


def test_the_first_line_of_a_pipe_is_read_before_the_second_is_written() -> None:
    out, into = os.pipe()
    with os.fdopen(out, "rb") as source, os.fdopen(into, "wb", buffering=0) as sink:
        sink.write(b'{"id": "1", "text": "Oslo"}\n')
        stuck = threading.Timer(30, sink.close)  # ends the test if the reader waits for more
        stuck.start()
        posts = iter(open_posts(source, MOST))
        assert next(posts) == b'{"id": "1", "text": "Oslo"}'
        assert not sink.closed
        stuck.cancel()


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
def test_blank_lines_count_as_lines(end: str) -> None:
    text = end.join(["", " ", "{nope", "", '{"id": "5"}', "", "", '{"id": "8"}', ""])
    posts = enumerate(open_posts(io.BytesIO(text.encode()), MOST), start=1)
    numbers = [number for number, record in posts if isinstance(record, bytes) and record.strip()]
    assert numbers == [3, 5, 8]


def numbered(count: int) -> list[bytes]:
    return [b'{"id": "%d", "text": "%d"}' % (number, number**9) for number in range(count)]


@pytest.mark.parametrize(
    ("compress", "says"),
    [
        pytest.param(lambda data: gzip.compress(data, mtime=0), "gzip", id="gzip"),
        pytest.param(bz2.compress, "bzip2", id="bzip2"),
        pytest.param(lzma.compress, "xz", id="xz"),
        pytest.param(zstd.compress, "zstd", id="zstd"),
    ],
)
def test_of_a_compressed_file_that_is_cut_off_the_beginning_is_read(compress: Any, says: str) -> None:
    posts = numbered(40_000)
    whole = compress(b"\n".join(posts))
    source: Any = Pipe(whole[: len(whole) // 2], 1000)
    readable = Readable(open_posts(source, MOST))
    found = list(readable)
    assert found == posts[: len(found)]
    assert len(found) > 1000
    assert readable.problem == f"the {says} data end early; the file is incomplete"


def zeros(size: int) -> Iterator[bytes]:
    """Yields a gzip file of blanks, piece by piece."""
    deflater = zlib.compressobj(9, zlib.DEFLATED, 31)
    yield deflater.compress(b'{"id": "1", "text": "x"}\n{"id": "2", "text": "')
    for _ in range(size // MEGABYTE):
        yield deflater.compress(b" " * MEGABYTE)
    yield deflater.compress(b'"}\n{"id": "3", "text": "x"}\n') + deflater.flush()


def peak_of(source: Any) -> tuple[list[int], int]:
    """Returns the sizes of the posts, and the largest memory, in bytes, that reading them took."""
    tracemalloc.start()
    try:
        posts = open_posts(source, MOST)
        sizes = [record.size if isinstance(record, Oversized) else len(record) for record in posts]
        return sizes, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_bomb_takes_little_memory_and_the_line_after_it_is_read() -> None:
    bomb = b"".join(zeros(100 * MEGABYTE))
    assert len(bomb) < MEGABYTE
    sizes, peak = peak_of(io.BytesIO(bomb))
    assert sizes == [24, 100 * MEGABYTE + 23, 24]
    assert peak < 8 * MEGABYTE


@pytest.mark.parametrize("beginning", [b"[", b"", b"\x1e", b'{"a": "'], ids=["array", "objects", "sequence", "string"])
def test_a_long_file_is_never_in_memory_as_a_whole(beginning: bytes) -> None:
    separator = {b"[": b", ", b"\x1e": b"\n\x1e"}.get(beginning, b"\n\n" if beginning else b" ")
    posts = separator.join(post[:-2] + b" " * 600 + post[-2:] for post in numbered(20_000))
    if beginning == b'{"a": "':
        source: Any = io.BytesIO(b'{"id": "1"}\n' + beginning + posts)
        assert len(posts) > 10 * MEGABYTE
    else:
        source = io.BytesIO(beginning + posts + (b"]" if beginning == b"[" else b""))
    before = len(source.getvalue())
    sizes, peak = peak_of(source)
    assert len(sizes) >= 20_000
    assert before > 10 * MEGABYTE
    assert peak < 8 * MEGABYTE


def test_a_file_that_is_read_as_it_is_gives_its_lines_whatever_they_hold() -> None:
    data = (CORPUS / "utf-16-le-mark.jsonl").read_bytes()
    assert list(open_lines(io.BytesIO(data), MOST)) == data.split(b"\n")


def test_a_disk_that_fails_is_told_where_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def pieces(_: object) -> Iterator[bytes]:
        yield b'{"id": "1", "text": "x"}\n{"id": "2'
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("core.files.archive.pieces_of", pieces)
    readable = Readable(open_posts(io.BytesIO(), MOST))
    assert list(readable) == [b'{"id": "1", "text": "x"}']
    assert readable.problem == "Input/output error"


def test_a_piece_is_read_as_soon_as_it_is_there(tmp_path: Path) -> None:
    (tmp_path / "posts").write_bytes(b"x" * 100_000)
    with (tmp_path / "posts").open("rb") as source:
        assert [len(piece) for piece in stream.pieces_of(source)] == [65536, 34464]


def test_a_zip_archive_in_bzip2_takes_little_memory() -> None:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("a", b'{"id": "1"}\n{"id": "' + b" " * 50 * MEGABYTE + b'"}\n{"id": "3"}\n')
    assert len(target.getvalue()) < MEGABYTE
    sizes, peak = peak_of(io.BytesIO(target.getvalue()))
    assert sizes == [11, 50 * MEGABYTE + 10, 11]
    assert peak < 8 * MEGABYTE


@pytest.mark.parametrize("name", ["one-file.zip", "bzip2.zip", "stored.zip"])
def test_a_zip_archive_with_one_wrong_byte_is_read_or_told_in_a_sentence(name: str) -> None:
    whole = (CORPUS / name).read_bytes()
    for at in range(4, len(whole)):
        for value in (0, 255, whole[at] ^ 1):
            data = bytearray(whole)
            data[at] = value
            found = read(io.BytesIO(bytes(data)))
            assert found.get("refused") or found["ends"] or found["posts"], (at, value)


@pytest.mark.parametrize(
    ("compress", "says", "size"),
    [
        pytest.param(bz2.compress, "bzip2", 3_000_000, id="bzip2"),
        pytest.param(lzma.compress, "xz", 300_000, id="a short xz"),
        pytest.param(lzma.compress, "xz", 3_000_000, id="xz"),
        pytest.param(gzip.compress, "gzip", 300_000, id="a short gzip"),
        pytest.param(gzip.compress, "gzip", 3_000_000, id="gzip"),
    ],
)
def test_of_a_damaged_file_the_posts_before_the_place_are_read(compress: Any, says: str, size: int) -> None:
    posts = [b'{"id": "%d", "text": "%s"}' % (n, random.Random(n).randbytes(400).hex().encode()) for n in range(5000)]
    data = bytearray(compress(b"\n".join(posts)[:size]))
    at = len(data) - 40 if size < MEGABYTE else len(data) // 2
    data[at : at + 4] = b"\xff\xff\xff\xff"
    readable = Readable(open_posts(io.BytesIO(bytes(data)), MOST))
    found = list(readable)
    whole = size * at // len(data)
    lost = {"bzip2": 900_000, "xz": 70_000}.get(says, 4000)  # bzip2 gives whole blocks, xz pieces of 64 kB
    assert sum(len(post) for post in found if isinstance(post, bytes)) > whole - lost
    assert found[: (whole - lost) // 850] == posts[: max(0, (whole - lost) // 850)]
    assert readable.problem is not None
    assert readable.problem.startswith(f"the {says} data ")


@pytest.mark.parametrize("layout", ["objects", "lines"])
def test_a_long_first_post_is_looked_at_once_however_small_the_pieces(
    monkeypatch: pytest.MonkeyPatch, layout: str
) -> None:
    looked: list[int] = []

    def pieces(stream: Any, most: int) -> Iterator[bytes]:
        for piece in ahead(stream, most):
            looked.append(len(piece))
            yield piece

    ahead = stream.Stream.ahead
    monkeypatch.setattr(stream.Stream, "ahead", pieces)
    separator = "\n" if layout == "objects" else " "
    post = f'{{"id": "1",{separator}"text": "{"x" * 900_000}"}}'.encode()
    source: Any = Pipe(post + b"\n" + post, 512)
    assert list(open_posts(source, MOST)) == [post, post]
    assert sum(looked) < 4 * len(post)


@pytest.mark.parametrize("size", [2, MEGABYTE])
def test_blanks_before_the_first_post_are_bounded(size: int) -> None:
    source: Any = Pipe(b" " * 2 * MEGABYTE + b'{"id": "1"}\n', size)
    assert read(source) == {"refused": f"holds no posts: it begins with more than {MOST} blanks"}


def test_among_broken_objects_memory_is_bounded_and_each_good_one_is_found() -> None:
    good, broken = b'{\n"id": "1"\n}', b'{\n"id": "2\n'
    data = b"\n".join([good, *([broken, good, good] * 20_000)])
    sizes, peak = peak_of(io.BytesIO(data))
    assert sizes.count(len(good)) >= 40_000
    assert sum(sizes) >= len(data) - 2 * len(sizes)
    assert peak < 8 * MEGABYTE  # most of it is the list of the sizes
