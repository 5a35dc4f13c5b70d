"""Undoes the compression of a file, in bounded memory: gzip, zstd, bzip2, xz and zip.

Files of several members, as `cat a.gz b.gz` makes them, are read through. A file that ends early is read as far as it
goes.
"""

from __future__ import annotations

import bz2
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import IO, Any

from backports import zstd

from core.errors import UserError
from core.files.stream import PIECE, FileBroke, Stream, pieces_of

XZ_MEMORY = 256_000_000
"""Largest memory, in bytes, that inflating an xz file may take. `xz -9` needs 65 MB."""

MAX_LAYERS = 3
"""Most compressions that are undone, one inside the other."""

SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"\x1f\x8b\x08", "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),  # without a member
)
"""The first bytes of a compressed file, and the name of its format."""


class _Gzip:
    """Inflates one member of a gzip file, with the interface of Python's other decompressors."""

    def __init__(self) -> None:
        self._inflater = zlib.decompressobj(wbits=31)
        self._rest = b""
        self._full = False  # whether the last answer was as long as allowed, so that more may be waiting

    @property
    def eof(self) -> bool:
        return self._inflater.eof

    @property
    def needs_input(self) -> bool:
        return not (self._rest or self._full or self.eof)

    @property
    def unused_data(self) -> bytes:
        return self._inflater.unused_data

    def decompress(self, data: bytes, most: int) -> bytes:
        inflated = self._inflater.decompress(self._rest + data, most)
        self._rest, self._full = self._inflater.unconsumed_tail, len(inflated) == most
        return inflated


INFLATERS: dict[str, Callable[[], Any]] = {
    "gzip": _Gzip,
    "zstd": zstd.ZstdDecompressor,
    "bzip2": bz2.BZ2Decompressor,
    "xz": lambda: lzma.LZMADecompressor(memlimit=XZ_MEMORY),
}
FAULTS = (zlib.error, zstd.ZstdError, lzma.LZMAError, zipfile.BadZipFile, NotImplementedError, OSError, EOFError)


def inflated(source: IO[bytes]) -> tuple[Stream, list[str]]:
    """Returns the bytes of a file without its compressions, and their names, the outermost first.

    Raises `UserError` for a zip archive that does not hold exactly one file, and for one that comes through a pipe.
    """
    stream = Stream(pieces_of(source))
    names: list[str] = []
    while len(names) < MAX_LAYERS and (name := _format_of(stream)):
        names.append(name)
        if name != "zip":
            stream = Stream(_inflate(stream, name))
        elif len(names) == 1 and source.seekable():
            stream = Stream(_only_member(source))
        else:
            raise UserError("is a zip archive that comes through a pipe; unzip it, or give the file itself")
    return stream, names


def _format_of(stream: Stream) -> str | None:
    head = stream.head(1)
    if not any(signature[:1] == head for signature, _ in SIGNATURES):
        return None  # a slow pipe need not bring more before its first line is read
    head = stream.head(6)
    return next((name for signature, name in SIGNATURES if head.startswith(signature)), None)


def _inflate(stream: Stream, name: str) -> Iterator[bytes]:
    inflater: Any = None
    for arrived in stream:
        piece = arrived
        while piece or (inflater is not None and not inflater.needs_input):
            if inflater is None:
                piece = piece.lstrip(b"\0")  # padding between members, as on a tape
                if not piece:
                    break
                inflater = INFLATERS[name]()
            try:
                found = inflater.decompress(piece, PIECE)
            except FAULTS as error:
                raise FileBroke(f"the {name} data are damaged: {error}") from None
            piece = b""
            if found:
                yield found
            if inflater.eof:
                piece, inflater = inflater.unused_data, None
    if inflater is not None:
        raise FileBroke(f"the {name} data end early; the file is incomplete")


def _only_member(source: IO[bytes]) -> Iterator[bytes]:
    """Returns the bytes of the one file in a zip archive."""
    try:
        archive = zipfile.ZipFile(source)
    except FAULTS as error:
        raise UserError(f"is a zip archive that cannot be read: {error}") from None
    files = [file for file in archive.infolist() if not file.is_dir() and not file.filename.startswith("__MACOSX/")]
    if any(file.filename == "[Content_Types].xml" for file in files):
        raise UserError("is a document of an office program; export its posts as JSON Lines")
    if len(files) != 1:
        raise UserError(f"is a zip archive of {len(files)} files; unzip it, and give one of them")
    if files[0].flag_bits & 1:
        raise UserError("is a zip archive with a password; unzip it first")
    return _member(archive, files[0])


def _member(archive: zipfile.ZipFile, file: zipfile.ZipInfo) -> Iterator[bytes]:
    try:
        with archive.open(file) as member:
            yield from pieces_of(member)
    except FAULTS as error:
        raise FileBroke(f"the zip archive is damaged: {error}") from None
