"""Files that break off, whose checksums are wrong, or in which many posts are broken."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from core.files.posts import Readable, open_posts
from core.files.split import Oversized, Record
from core.files.stream import FileBroke
from tests.families.files.case import DATA, changed, summed
from tests.families.files.make_files import CASES, CORPUS
from tests.families.files.test_files import MOST, Pipe, numbered, read

DEEP = b'{"id": "1",\n"x": ' + b'{"y":\n' * 100_000 + b"1" + b"}" * 100_000 + b"}"
LONG_NUMBER = b'{"id": "1",\n"x":\n{"y": ' + b"9" * 5000 + b"}}"
SUMMED: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": summed,
}
SUMS = {"gzip": -8, "bzip2": -3, "xz": -25, "zstd": -1}


def records(source: Any, most: int = MOST) -> tuple[list[Record], str | None]:
    readable = Readable(open_posts(source, most))
    return [record for record in readable if isinstance(record, Oversized) or record.strip()], readable.problem


def broken_off(monkeypatch: pytest.MonkeyPatch, data: bytes, error: Exception) -> None:
    """Makes every file one that gives these bytes, and then breaks."""

    def pieces(_: object) -> Iterator[bytes]:
        yield data
        raise error

    monkeypatch.setattr("core.files.archive.pieces_of", pieces)


@pytest.mark.parametrize("size", [1, 7, 4096])
@pytest.mark.parametrize("name", [name for name in CASES if name.startswith("bad-sum")])
def test_a_wrong_checksum_is_told_however_slow_the_pipe(name: str, size: int) -> None:
    pipe: Any = Pipe((CORPUS / name).read_bytes(), size)
    found = read(pipe)
    assert "damaged" in found.get("ends", "") or "refused" in found


@pytest.mark.parametrize("name", SUMMED)
def test_what_is_held_at_a_wrong_checksum_is_not_read(name: str) -> None:
    posts = numbered(3000)
    data = changed(SUMMED[name](b"\n".join(posts) + b"\n"), SUMS[name])
    readable = Readable(open_posts(io.BytesIO(data), MOST))
    found = list(readable)
    assert found == posts[: len(found)]
    assert len(found) < len(posts)
    assert readable.problem is not None


def test_a_post_whose_id_was_altered_is_not_read() -> None:
    data = gzip.compress(DATA, compresslevel=0, mtime=0)
    assert read(io.BytesIO(data.replace(b'"id": "2"', b'"id": "9"'))) == {
        "refused": "cannot be read: the gzip data are damaged: Error -3 while decompressing data: incorrect data check"
    }


def test_what_stands_before_a_place_without_meaning_is_read() -> None:
    stored = gzip.compress(DATA, compresslevel=0, mtime=0)
    data = stored[:10] + b"\0" + stored[11:-8] + b"\x07"  # not the last block, and then one of no known kind
    found = read(io.BytesIO(data))
    assert len(found["posts"]) == 3
    assert found["ends"].endswith("invalid block type")


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), FileBroke("Input/output error")])
@pytest.mark.parametrize(
    ("data", "posts"),
    [
        pytest.param(
            b'{"id": "1"}\n{\n"id": "2",\n"text": "x"\n"te',
            [b'{"id": "1"}', b"{", b'"id": "2",', b'"text": "x"'],
            id="the lines of a post",
        ),
        pytest.param(
            b'{\n"id": "1"\n}\n{\n"id": "2\n}\n{\n"id": "3"\n}\n{\n"id',
            [b'{\n"id": "1"\n}', b'{\n"id": "2\n}', b'{\n"id": "3"\n}'],
            id="broken objects",
        ),
        pytest.param(
            b'{\n"id": "1"\n}\n{\n"id": "2\n{"id": "3"}\n{"id": "4"} {"id": "5"}\n{"id"',
            [b'{\n"id": "1"\n}', b'{\n"id": "2', b'{"id": "3"}', b'{"id": "4"}', b'{"id": "5"}'],
            id="objects behind a broken one",
        ),
    ],
)
def test_where_a_file_breaks_off_all_that_came_before_is_read(
    monkeypatch: pytest.MonkeyPatch, data: bytes, posts: list[bytes], error: Exception
) -> None:
    broken_off(monkeypatch, data, error)
    assert records(io.BytesIO()) == (posts, "Input/output error")


@pytest.mark.parametrize("post", [DEEP, LONG_NUMBER], ids=["deep", "a long number"])
@pytest.mark.parametrize("first", [b'{"id": "0"}', b'{\n"id": "0"\n}'], ids=["lines", "objects"])
def test_a_post_that_is_too_much_for_the_parser_is_not_cut(first: bytes, post: bytes) -> None:
    among_lines = b"{\n" + post[1:-1].replace(b"\n{", b"\n {") + b"\n}"
    whole = post if first.startswith(b"{\n") else among_lines
    assert records(io.BytesIO(b"\n".join([first, whole, first]))) == ([first, whole, first], None)


@pytest.mark.parametrize("size", [1, 3, 100, 65536])
@pytest.mark.parametrize(
    ("data", "found"),
    [
        pytest.param(b"A\n" + b"\r".join([b"B"] * 50) + b"\n", ["A", *["B"] * 50], id="CR"),
        pytest.param(b"A\n" + b"B\r" * 50, ["A", *["B"] * 50], id="CR at the end"),
        pytest.param(b"A\n" + b"x" * 300 + b"\rB\rB\nA\n", ["A", 300, "B", "B", "A"], id="a long line among CR"),
        pytest.param(b"A\n" + b"B\r" * 5 + b"x" * 300 + b"\r\nB", ["A", *["B"] * 5, 301, "B"], id="a long last one"),
        pytest.param(b"A\r\n" + b"x" * 300 + b"\r\nB\r\n", ["A", 301, "B"], id="CRLF"),
        pytest.param(b"A\r" * 30 + b"B\n" * 50 + b"A\r", [*["A"] * 30, *["B"] * 50, "A"], id="LF among CR"),
    ],
)
def test_a_run_of_the_other_line_end_is_not_one_long_line(data: bytes, found: list[str | int], size: int) -> None:
    texts = {"A": b'{"id": "1"}', "B": b'{"id": "22"}'}
    for name, text in texts.items():
        data = data.replace(name.encode(), text)
    pipe: Any = Pipe(data, size)
    seen = [record.size if isinstance(record, Oversized) else record.strip() for record in records(pipe, 100)[0]]
    assert seen == [texts.get(str(each), each) for each in found]


@pytest.mark.parametrize("broken", [b'{\n"id": "2\n', b"{\n", b'{"\n', b'{"id": "2", "x": {\n'])
def test_many_broken_objects_are_read_again_a_bounded_number_of_times(broken: bytes) -> None:
    good = b'{\n"id": "1"\n}'
    data = good + b"\n" + broken * (2_000_000 // len(broken)) + good + b"\n" + good
    found, _ = records(io.BytesIO(data), 100_000)
    assert found[-2:] == [good, good]
