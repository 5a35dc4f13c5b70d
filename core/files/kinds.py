"""What the first bytes of a file say: its encoding, or the name of a format that holds no posts as JSON."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator

from core.files.stream import FileBroke, Stream

LOOKED_AT = 512
"""Number of bytes that the signatures need. The last of them stands at byte 257."""

OTHER_FORMATS: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x89PNG\r\n", "a PNG image"),
    (0, b"\xff\xd8\xff", "a JPEG image"),
    (0, b"GIF8", "a GIF image"),
    (8, b"WEBP", "a WEBP image"),
    (0, b"%PDF-", "a PDF document"),
    (0, b"\x7fELF", "a program"),
    (0, b"MZ\x90\x00", "a program"),
    (0, b"SQLite format 3\x00", "an SQLite database"),
    (0, b"PAR1", "a Parquet file"),
    (0, b"ORC", "an ORC file"),
    (0, b"ARROW1", "an Arrow file"),
    (0, b"Obj\x01", "an Avro file"),
    (0, b"\x89HDF\r\n", "an HDF5 file"),
    (0, b"\xd0\xcf\x11\xe0", "a document of an office program"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (0, b"Rar!\x1a\x07", "a RAR archive"),
    (257, b"ustar", "a tar archive"),
    (0, b"\x04\x22\x4d\x18", "a file compressed with lz4"),
    (0, b"\xff\x06\x00\x00sNaPpY", "a file compressed with snappy"),
    (0, b"\x1f\x9d", "a file compressed with compress"),
    (0, b"LZIP", "a file compressed with lzip"),
    (0, b"version https://git-lfs.", "a pointer of Git LFS, without the file itself"),
)
"""Offset and bytes of a signature, and what the file is."""

MARKS: tuple[tuple[bytes, str], ...] = (
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe\x00\x00", "utf-32-le"),
    (b"\x00\x00\xfe\xff", "utf-32-be"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)
"""Byte order marks. The longer ones come first, since one begins like another."""

WIDE = (
    (re.compile(rb"(?s)[^\x00]\x00\x00\x00"), "utf-32-le"),
    (re.compile(rb"(?s)\x00\x00\x00[^\x00]"), "utf-32-be"),
    (re.compile(rb"(?s)[^\x00]\x00(?:[^\x00]|\Z)"), "utf-16-le"),
    (re.compile(rb"(?s)\x00[^\x00](?:\x00|\Z)"), "utf-16-be"),
)
"""How JSON begins without a mark: its first two characters are ASCII (RFC 4627, section 3)."""

NAMES = {
    "utf-8": "UTF-8",
    "utf-16-le": "UTF-16 (little-endian)",
    "utf-16-be": "UTF-16 (big-endian)",
    "utf-32-le": "UTF-32 (little-endian)",
    "utf-32-be": "UTF-32 (big-endian)",
}
"""How a person calls the encodings."""

BINARY = re.compile(rb"[\x00-\x08\x0e-\x1d\x1f]")
"""Control characters that no text holds. 0x1e, the separator of RFC 7464, may stand."""

TEXT_STARTS = b'{["\x1e \t\r\n'
"""Bytes that only text begins with. After one of them, a slow pipe need not bring more at once."""


def encoding_of(stream: Stream) -> tuple[str, bytes]:
    """Returns the encoding, as Python calls it, and the byte order mark or nothing."""
    head = stream.head(2)
    if head[:1] in {b"\xef", b"\xff", b"\xfe"} or b"\0" in head:
        head = stream.head(4)
        for mark, name in MARKS:
            if head.startswith(mark):
                return name, mark
        for pattern, name in WIDE:
            if pattern.match(head):
                return name, b""
    return "utf-8", b""


def other_format(stream: Stream) -> str | None:
    """Returns what a file is that holds no text, such as "a PNG image". Returns None for text and for an empty file."""
    if stream.head(1) in TEXT_STARTS:
        return None
    head = stream.head(LOOKED_AT)
    for offset, signature, name in OTHER_FORMATS:
        if head.startswith(signature, offset):
            return name
    return "a binary file" if BINARY.search(head) else None


def in_utf8(pieces: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """Yields text of another encoding in UTF-8.

    A lone surrogate is kept as it is, which is no valid UTF-8. So one broken post does not end the file.
    """
    decoder = codecs.getincrementaldecoder(encoding)("surrogatepass")
    try:
        for piece in pieces:
            yield decoder.decode(piece).encode("utf-8", "surrogatepass")
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        good: bytes = error.object[: error.start]
        yield good.decode(encoding, "surrogatepass").encode("utf-8", "surrogatepass")
        raise FileBroke(f"the text is no longer {NAMES[encoding]}: {error.reason}") from None
