"""Finds what a file holds without its compressions, and reads the one file of a zip archive."""

from __future__ import annotations

import bz2
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO

from core.errors import UserError
from core.files.inflate import Make, Zlib, format_of, inflate, inflate_member
from core.files.stream import PIECE, FileBroke, Stream, pieces_of

MAX_LAYERS = 3
"""Most compressions that are undone, one inside the other."""

METHODS: dict[int, Make] = {zipfile.ZIP_DEFLATED: lambda: Zlib(-15), zipfile.ZIP_BZIP2: bz2.BZ2Decompressor}
"""Compressions inside an archive that are undone, besides none. `zipfile` would inflate bzip2 in unbounded memory."""

OTHER_METHODS = {9: "Deflate64", 14: "LZMA", 93: "zstd", 95: "xz", 98: "PPMd"}
"""Names of compressions inside an archive that are not undone (APPNOTE.TXT of PKWARE, 4.4.5)."""

LOCAL_HEADER = struct.Struct("<4s22xHH")
"""What stands before a file in an archive: a signature, and the lengths of the name and of the fields behind it."""

FAULTS = (zipfile.BadZipFile, OSError, EOFError, ValueError, RuntimeError, IndexError, OverflowError, struct.error)
"""What `zipfile` raises for a damaged list of files."""


def inflated(source: IO[bytes], remarks: list[str]) -> tuple[Stream, list[str]]:
    """Returns the bytes of a file without its compressions, and their names, the outermost first.

    Reading adds to `remarks` what was passed over. Raises `UserError` for a zip archive that does not hold exactly one
    file, or cannot be read from any place.
    """
    stream = Stream(pieces_of(source))
    names: list[str] = []
    while len(names) < MAX_LAYERS and (name := format_of(stream)):
        names.append(name)
        if name != "zip":
            stream = Stream(inflate(stream, name, remarks))
        elif len(names) > 1:
            raise UserError(f"is a zip archive, compressed with {names[-2]}; decompress it, then unzip it")
        elif source.seekable():
            stream = Stream(_only_member(source))
        else:
            raise UserError("is a zip archive that comes through a pipe; unzip it, or give the file itself")
    return stream, names


def _only_member(source: IO[bytes]) -> Iterator[bytes]:
    """Returns the bytes of the one file in a zip archive."""
    try:
        archived = zipfile.ZipFile(source).infolist()
        files = [file for file in archived if not file.is_dir() and not file.filename.startswith("__MACOSX/")]
    except FAULTS as error:
        raise UserError(f"is a zip archive that cannot be read: {error}") from None
    if any(file.filename == "[Content_Types].xml" for file in files):
        raise UserError("is a document of an office program; export its posts as JSON Lines")
    if len(files) != 1:
        raise UserError(f"is a zip archive of {len(files)} files; unzip it, and give one of them")
    (file,) = files
    if file.flag_bits & 1:
        raise UserError("is a zip archive with a password; unzip it first")
    if file.compress_type != zipfile.ZIP_STORED and file.compress_type not in METHODS:
        method = OTHER_METHODS.get(file.compress_type, f"method {file.compress_type}")
        raise UserError(f"is a zip archive compressed with {method}, which is not read; unzip it first")
    return _member(source, file)


def _member(source: IO[bytes], file: zipfile.ZipInfo) -> Iterator[bytes]:
    pieces = _stored(source, file)
    if file.compress_type in METHODS:
        pieces = inflate_member(Stream(pieces), "zip", METHODS[file.compress_type])
    checksum = 0
    for piece in pieces:
        checksum = zlib.crc32(piece, checksum)
        yield piece
    if checksum != file.CRC:
        raise FileBroke("the zip data are damaged: the checksum is wrong")


def _stored(source: IO[bytes], file: zipfile.ZipInfo) -> Iterator[bytes]:
    """Yields the bytes of a file as they stand in the archive."""
    try:
        source.seek(file.header_offset)
        signature, name, fields = LOCAL_HEADER.unpack(source.read(LOCAL_HEADER.size))
        source.seek(name + fields, 1)
    except (ValueError, OverflowError, struct.error) as error:
        raise FileBroke(f"the zip data are damaged: {error}") from None
    if signature != b"PK\x03\x04":
        raise FileBroke("the zip data are damaged: no file stands at the place that the list of files names")
    left = file.compress_size
    while left and (piece := source.read(min(PIECE, left))):
        left -= len(piece)
        yield piece
    if left:
        raise FileBroke("the zip data end early; the file is incomplete")
