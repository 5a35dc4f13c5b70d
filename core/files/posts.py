"""Reads posts as JSON from a file in any usual form, and refuses a file that holds none before anything is read on.

`open_posts` looks at the first bytes. It undoes compressions, finds the encoding and the layout, and looks at the first
posts. It keeps at most a few posts in memory, however long the file is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, repeat
from typing import IO, Literal

from core.errors import UserError
from core.files.archive import inflated
from core.files.formats import ARCHIVE, CONLL, EVENTS, Format, blocks, format_of, problem_of
from core.files.formats import NAMES as FORMAT_NAMES
from core.files.json_lines import json_lines, lines, sequence
from core.files.kinds import NAMES, encoding_of, in_utf8, other_format
from core.files.split import BLANK, MARK, NOT_JSON, Oversized, Record, Values, value_of
from core.files.stream import FileBroke, Malformed, Stream, pieces_of

FIRST = 20
"""How many posts are looked at. If none of them looks like a post, the file is refused."""

MOST_BLANK = 10_000
"""Most blank lines before and among the first posts."""

LINE_END = re.compile(rb"[\r\n]")
EXPORT = re.compile(rb"window\.YTD\.|\w[\w.]* = [\[{]")
TABLE = re.compile(rb"[^,;\t]*[,;\t]")

Layout = Literal["lines", "array", "objects", "sequence"]
LAYOUTS: dict[Layout, str] = {
    "lines": "JSON Lines in {}; each line is {}",
    "array": "one JSON array in {}; each item is {}",
    "objects": "JSON objects in {}, one after another; each is {}",
    "sequence": "a JSON text sequence (RFC 7464) in {}; each value is {}",
}


class NoPosts(UserError):
    """The file is text, but none of its first lines or items looks like a post."""


class Posts:
    """The posts of a file, in order, each as UTF-8 JSON. Blank lines come as they are, so that lines can be counted."""

    def __init__(
        self,
        records: Iterable[Record],
        says: str,
        unit: Literal["line", "post"] = "line",
        remarks: Sequence[str] = (),
        format: Format = "events",
        section: str = "",
    ) -> None:
        """`says`: what the file is and how it is read. `unit`: what a record's number counts.

        `remarks`: what was passed over, each a sentence. They are complete when all records are read. `format`: what
        the first records are. `section`: that of an X archive, such as `tweets`.
        """
        self._records = records
        self.format, self.section = format, section
        self.says = says
        self.unit: Literal["line", "post"] = unit
        self.remarks = remarks
        self.damaged = 0  # records so far that are not UTF-8
        self.first_damaged = 0  # the number of the first one, counted from 1

    def __iter__(self) -> Iterator[Record]:
        for number, record in enumerate(self._records, start=1):
            if isinstance(record, bytes) and not _is_utf8(record):
                self.damaged += 1
                self.first_damaged = self.first_damaged or number
            yield record


class Readable:
    """Iterates over posts up to the place where they cannot be read on. Then `problem` says why."""

    def __init__(self, posts: Iterable[Record]) -> None:
        self._posts = posts
        self.count = 0
        self.problem: str | None = None

    def __iter__(self) -> Iterator[Record]:
        try:
            for self.count, post in enumerate(self._posts, start=1):  # noqa: B020
                yield post
        except (OSError, FileBroke) as error:
            self.problem = reason_of(error)


def reason_of(error: OSError | FileBroke) -> str:
    """Returns why a file cannot be read on."""
    return str(getattr(error, "strerror", None) or error)


def open_lines(source: IO[bytes], most: int) -> Posts:
    """Returns the lines of a file as they are, whatever it holds."""
    return Posts(lines(pieces_of(source), b"\n", most), "read as it is; each line is an event")


def open_posts(source: IO[bytes], most: int, formats: frozenset[Format] = EVENTS) -> Posts:
    """Returns the posts of a file. `most`: largest size of a post, in bytes; longer ones come as `Oversized`.

    `formats`: what the caller can read. A record of another format is no post.

    Iterating raises `FileBroke` or `OSError` where the file cannot be read on. Raises `UserError` for a file that holds
    no posts. The message goes on from the file's name.
    """
    remarks: list[str] = []
    stream, compressions = inflated(source, remarks)
    encoding, mark = encoding_of(stream)
    stream.skip(len(mark))
    if encoding != "utf-8":
        stream = Stream(in_utf8(stream, encoding))
    packed = "".join(f", compressed with {name}" for name in compressions)
    if name := other_format(stream):
        raise UserError(f"is {name}{packed}; give a file of posts as JSON")
    start = _first_line(stream, most)
    if not start and stream.more():
        raise NoPosts(f"holds no posts: it begins with more than {most} blanks")
    if not start:
        return _nothing(stream, packed, remarks)
    coding = NAMES[encoding] + (" with a byte order mark" if mark else "") + packed
    if "conll" in formats and (formats == {"conll"} or CONLL.match(start)):
        says = f"a corpus in {coding}; each block of lines is {FORMAT_NAMES['conll']}"
        return Posts(blocks(lines(stream, b"\n", most)), says, "line", remarks, "conll")
    section = _skip_head(stream) if "x-archive" in formats and start.startswith(b"window.") else ""
    start = start if not section else b"["
    _refuse_by_look(start, formats)
    layout = _layout(stream, start, most)
    unit: Literal["line", "post"] = "line" if layout == "lines" else "post"
    records, first = _checked(_split(stream, layout, most), layout, unit, formats)
    form: Format = "x-archive" if section else first
    return Posts(records, LAYOUTS[layout].format(coding, FORMAT_NAMES[form]), unit, remarks, form, section)


def _skip_head(stream: Stream) -> str:
    """Skips what stands before the list in a file of an X archive. Returns its section, or nothing for other files."""
    found = ARCHIVE.match(stream.head(512).lstrip(MARK))
    if found is None:
        return ""
    stream.skip(stream.head(512).index(b"["))
    return found[1].decode()


def _nothing(stream: Stream, packed: str, remarks: Sequence[str]) -> Posts:
    try:
        blank = b"".join(stream)
    except FileBroke as error:
        raise UserError(f"cannot be read: {error}") from None
    return Posts((), f"{'blank' if blank else 'empty'}{packed}; it has 0 posts", remarks=remarks)


def _first_line(stream: Stream, most: int) -> bytes:
    """Returns the first line that is not blank, without waiting for the next one."""
    text = bytearray()
    for piece in stream.ahead(most):
        before = len(text)
        text += piece if text else piece.lstrip(BLANK)
        if ended := LINE_END.search(text, before):
            return bytes(text[: ended.start()].rstrip(BLANK))
    return bytes(text)


def _refuse_by_look(start: bytes, formats: frozenset[Format]) -> None:
    """Raises `UserError` for text that is not JSON and that people often take for it."""
    if re.match(rb"(?i)<(!doctype )?html", start):
        raise UserError("is a web page (HTML), perhaps the error page of a download; give a file of posts as JSON")
    if start.startswith(b"<"):
        raise UserError("is XML or HTML; give a file of posts as JSON")
    if EXPORT.match(start) and "x-archive" in formats:
        raise UserError("is JavaScript, but no section of an X archive; of an archive, give tweets.js")
    if EXPORT.match(start):
        raise UserError(
            "is JavaScript, as in an X archive; only a feed reads archives. "
            "Write each post as JSON on a line of its own"
        )
    if start.startswith((b"#", b"//", b"/*")):
        raise UserError("begins with a comment; JSON has none, so remove the comments")
    if start.endswith(b",") and isinstance(value_of(start[:-1]), dict):
        raise UserError("has a comma after each post; remove the commas, or put all posts between [ and ]")
    if start[:1] not in b"{[\x1e" and TABLE.match(start) and value_of(start) is NOT_JSON:
        raise UserError("looks like a table (CSV or TSV); give a file of posts as JSON, one on each line")


def _layout(stream: Stream, start: bytes, most: int) -> Layout:
    if start.startswith(b"["):
        return "array"
    if start.startswith(b"\x1e"):
        return "sequence"
    if not start.startswith(b"{") or isinstance(value_of(start), dict):
        return "lines"
    if _begins_with_object(stream, start, most):
        return "objects"
    return "lines"


def _begins_with_object(stream: Stream, start: bytes, most: int) -> bool:
    """Returns whether the first object ends on a later line, or is followed by another on its line.

    Returns False for a line that is broken.
    """
    try:
        first = next(iter(Values(stream.ahead(most), most, array=False)))
    except FileBroke:
        return False
    if isinstance(first, Oversized) or not isinstance(value_of(first), dict):
        return False
    return LINE_END.search(first) is not None or start[len(first) :].lstrip().startswith(b"{")


def _split(stream: Stream, layout: Layout, most: int) -> Iterator[Record]:
    if layout == "lines":
        return json_lines(stream, _line_end(stream, most), most)
    if layout == "sequence":
        return sequence(stream, most)
    return iter(Values(stream, most, array=layout == "array"))


def _line_end(stream: Stream, most: int) -> bytes:
    r"""Returns what ends a line: `\n` also for `\r\n`, or `\r` alone, as old programs write it.

    A post may hold a `\r`. So it ends lines only if no `\n` stands in as many bytes as a post may have.
    """
    blank = len(stream.held) - len(stream.held.lstrip(BLANK))
    found = LINE_END.search(stream.held, blank)
    if found is None or found[0] == b"\n":
        return b"\n"
    return b"\n" if any(b"\n" in piece for piece in stream.ahead(most)) else b"\r"


def _checked(
    records: Iterator[Record], layout: Layout, unit: str, formats: frozenset[Format]
) -> tuple[Iterator[Record], Format]:
    """Returns the same records, and the format of the first post. Raises `UserError` when none looks like a post.

    Lines are looked at until the first that looks like a post, since the next line of a pipe may come late.
    """
    blank, ahead = 0, list[Record]()
    problems: list[str] = []
    good = 0
    form: Format | None = None
    error: Exception | None = None
    try:
        for record in records:
            if isinstance(record, bytes) and not record.strip():
                blank, ahead = (blank, [*ahead, record]) if ahead else (blank + 1, ahead)
                if max(blank, len(ahead)) > MOST_BLANK:
                    break
                continue
            ahead.append(record)
            found = format_of(record)
            if problem := None if found in formats else problem_of(record, formats):
                problems.append(f"{unit} {blank + len(ahead)} {problem}")
            else:
                good += 1
                form = form or (found if found in formats else None)
            if good + len(problems) == FIRST or (good and layout != "array"):
                break
    except Malformed as malformed:
        raise UserError(f"is not valid JSON: {malformed}") from None
    except (FileBroke, OSError) as broke:
        error = broke
    if blank > MOST_BLANK:
        raise NoPosts(f"holds no posts: its first {MOST_BLANK} lines are blank")
    if problems and not good:
        looked = f"of its first {len(problems)} {unit}s, none is a post; " if len(problems) > 1 else ""
        raise NoPosts(f"holds no posts: {looked}{problems[0]}")
    if isinstance(error, FileBroke) and not good:
        raise UserError(f"cannot be read: {error}")
    rest = records if error is None else _broken(error)
    return chain(repeat(b"", blank), ahead, rest), form or min(formats & EVENTS or formats)


def _broken(error: Exception) -> Iterator[Record]:
    raise error
    yield b""


def _is_utf8(record: bytes) -> bool:
    if record.isascii():
        return True
    try:
        record.decode()
    except UnicodeDecodeError:
        return False
    return True
