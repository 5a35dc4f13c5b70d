"""Undoes the compressions of a file, in bounded memory: gzip, zstd, bzip2 and xz. `archive` does so for zip.

Files of several members, as `cat a.gz b.gz` makes them, are read through. A file that ends early, or is damaged, is
read as far as it goes.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import Any

from backports import zstd

from core.files.stream import PIECE, FileBroke, Stream

XZ_MEMORY = 256_000_000
"""Largest memory, in bytes, that inflating an xz file may take. `xz -9` needs 65 MB."""

SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"\x1f\x8b\x08", "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    *((bytes([first]) + b"\x2a\x4d\x18", "zstd") for first in range(0x50, 0x60)),  # skippable frames, as of pzstd
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),  # without a member
)
"""The first bytes of a compressed file, and the name of its format."""

LONGEST = max(len(signature) for signature, _ in SIGNATURES)
SHORTEST = min(len(signature) for signature, _ in SIGNATURES)


class Zlib:
    """Inflates one member of a gzip file, or bare deflate data, with the interface of Python's other decompressors."""

    def __init__(self, wbits: int) -> None:
        """`wbits`: what zlib calls the format; 31 is gzip, and -15 bare deflate data."""
        self._inflater = zlib.decompressobj(wbits=wbits)
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

    def copy(self) -> Zlib:
        copied = Zlib(31)
        copied._inflater, copied._rest, copied._full = self._inflater.copy(), self._rest, self._full
        return copied

    def saved(self, last: bytes) -> bytes:
        """Returns what stands before the damaged place in the call that failed. Bytes go in and out one by one."""
        saved, data = bytearray(), self._rest + last
        try:
            for at in range(-1, len(data)):
                piece = data[at : at + 1]  # first none, since output may be waiting
                while found := self._inflater.decompress(piece, 1):
                    saved += found
                    piece = self._inflater.unconsumed_tail
        except zlib.error:
            pass
        return bytes(saved)


Make = Callable[[], Any]
INFLATERS: dict[str, Make] = {
    "gzip": lambda: Zlib(31),
    "zstd": zstd.ZstdDecompressor,
    "bzip2": bz2.BZ2Decompressor,
    "xz": lambda: lzma.LZMADecompressor(memlimit=XZ_MEMORY),
}
FAULTS = (zlib.error, zstd.ZstdError, lzma.LZMAError, OSError, EOFError)
TOO_MUCH_MEMORY = ("Memory usage limit exceeded", "requires too much memory")  # of xz, of zstd


def format_of(stream: Stream) -> str | None:
    """Returns the name of the compression that the next bytes begin. Waits for no more of them than it needs."""
    for size in range(1, LONGEST + 1):
        head = stream.head(size)
        possible = [(signature, name) for signature, name in SIGNATURES if signature.startswith(head)]
        if len(head) < size or not possible:
            return None
        if found := [name for signature, name in possible if signature == head]:
            return found[0]
    return None


def inflate(stream: Stream, name: str, remarks: list[str]) -> Iterator[bytes]:
    """Yields what the members of a compressed file hold. Adds a remark if something else stands behind them."""
    yield from inflate_member(stream, name, INFLATERS[name])
    while True:
        while stream.head(1) == b"\0":
            held = stream.held
            stream.skip(len(held) - len(held.lstrip(b"\0")))  # padding between members, as on a tape
        follows = format_of(stream)
        head = stream.head(LONGEST)
        cut = len(head) >= SHORTEST and any(signature.startswith(head) for signature, of in SIGNATURES if of == name)
        if follows is None and not cut:
            break
        if follows not in {name, None}:
            raise FileBroke(f"{follows} data follow the {name} data; decompress each of them, and give them one by one")
        yield from inflate_member(stream, name, INFLATERS[name])
    if size := sum(map(len, stream)):
        remarks.append(f"the last {size} bytes of the file are no {name} data; they were ignored")


def inflate_member(stream: Stream, name: str, make: Make) -> Iterator[bytes]:
    """Yields what one member holds. The bytes behind it go back into the stream."""
    inflater = make()
    for arrived in stream:
        piece = arrived
        while piece or not inflater.needs_input:
            before = inflater.copy() if isinstance(inflater, Zlib) else None
            try:
                found = inflater.decompress(piece, PIECE)
            except FAULTS as error:
                if before and not str(error).endswith("check"):
                    yield before.saved(piece)  # a wrong checksum is different: any byte before it may be altered
                if any(words in str(error) for words in TOO_MUCH_MEMORY):
                    raise FileBroke(
                        f"the {name} data need more memory than is allowed; decompress them first"
                    ) from None
                raise FileBroke(f"the {name} data are damaged: {error}") from None
            piece = b""
            if found:
                yield found
            if inflater.eof:
                stream.put_back(inflater.unused_data)
                return
    raise FileBroke(f"the {name} data end early; the file is incomplete")
