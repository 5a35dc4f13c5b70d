"""Rewrites a PNG so that Pillow shows of it what browsers show.

Pillow refuses a whole file for a wrong checksum in a comment, and inflates texts that nobody reads. The rewritten file
has only the chunks that decide about pixels (PNG, third edition, sections 5 and 11). Nothing is decompressed here.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from streams.images.errors import ImageError

SIGNATURE = b"\x89PNG\r\n\x1a\n"

_LENGTH = struct.Struct(">I")
_FRAME = struct.Struct(">IIIII")
"""The start of an fcTL chunk: sequence number, width, height, left, top."""

_TRANSPARENCY_LENGTHS = {0: 2, 2: 6}
"""Colour type to the length of its tRNS chunk. For palettes (3) it is 1 to 256."""


@dataclass(frozen=True)
class _Chunk:
    kind: bytes
    data: memoryview
    #: Whether all of it is there, with the right checksum if its kind is checked.
    whole: bool


def rewritten(body: bytes) -> bytes:
    """Returns the PNG without what browsers ignore. A truncated file keeps the pixels that are there.

    Chunks with a wrong checksum are left out. As in browsers, pixels count whatever their checksum says. An animation
    becomes its first frame. Raises `ImageError` (broken) if the header or the palette is damaged.
    """
    parts = _Parts()
    for chunk in _chunks(body):
        parts.add(chunk)
    return SIGNATURE + b"".join(_framed(kind, data) for kind, data in parts.chunks())


class _Parts:
    """The parts of a PNG that decide about its pixels."""

    def __init__(self) -> None:
        self._parts: dict[bytes, bytes] = {}
        self._pixels: list[memoryview] = []
        self._frame: list[memoryview] = []
        self._animation = _Animation()

    def add(self, chunk: _Chunk) -> None:
        match chunk.kind:
            case b"IHDR" | b"PLTE" if chunk.kind not in self._parts:
                self._parts[chunk.kind] = _intact(chunk)
            case b"tRNS" | b"eXIf" if chunk.whole:
                self._parts[chunk.kind] = bytes(chunk.data)
            case b"IDAT":
                self._pixels.append(chunk.data)
            case b"acTL" if chunk.whole and not self._pixels:
                self._animation.announced = True
            case b"fcTL" if chunk.whole:
                header = self._parts.get(b"IHDR", b"")
                self._animation.begin(chunk.data, header, after_pixels=bool(self._pixels))
            case b"fdAT" if self._animation.wanted:
                self._frame.append(chunk.data[4:])

    def chunks(self) -> Iterator[tuple[bytes, bytes]]:
        """Yields name and data of each chunk of the new file."""
        header = self._parts.get(b"IHDR", b"")
        if len(header) != 13:
            raise ImageError("broken", "the PNG has no header")
        yield b"IHDR", header
        if palette := self._parts.get(b"PLTE"):
            yield b"PLTE", _filled_up(palette)
        if _is_usable(transparency := self._parts.get(b"tRNS", b""), colour_type=header[9]):
            yield b"tRNS", transparency
        if exif := self._parts.get(b"eXIf"):
            yield b"eXIf", exif
        yield b"IDAT", b"".join(self._frame or self._pixels)
        yield b"IEND", b""


class _Animation:
    """Finds the first frame of an animation whose still image is not a frame of it."""

    def __init__(self) -> None:
        self.announced = False
        self.wanted = False
        self._frames = 0

    def begin(self, data: memoryview, header: bytes, *, after_pixels: bool) -> None:
        """Takes the start of a frame. Only a frame as large as the image is wanted."""
        self._frames += 1
        self.wanted = False
        if self._frames == 1 and self.announced and after_pixels and len(data) >= _FRAME.size:
            _, width, height, left, top = _FRAME.unpack_from(data)
            self.wanted = (left, top) == (0, 0) and struct.pack(">II", width, height) == header[:8]


def _chunks(body: bytes) -> Iterator[_Chunk]:
    """Yields the chunks up to the end or the point where the file breaks off."""
    view = memoryview(body)
    at = len(SIGNATURE)
    while at + 8 <= len(view):
        (length,) = _LENGTH.unpack_from(view, at)
        kind = bytes(view[at + 4 : at + 8])
        data = view[at + 8 : at + 8 + length]
        at += 12 + length
        if kind == b"IEND":
            return
        # Only these kinds are checked, as they are used only if undamaged. Pixels are used whatever their checksum
        # says.
        checked = kind in {b"IHDR", b"PLTE", b"tRNS", b"eXIf", b"acTL", b"fcTL"}
        whole = at <= len(view) and (
            not checked or zlib.crc32(data, zlib.crc32(kind)) == _LENGTH.unpack_from(view, at - 4)[0]
        )
        yield _Chunk(kind, data, whole)


def _intact(chunk: _Chunk) -> bytes:
    if not chunk.whole:
        raise ImageError("broken", f"the checksum of {chunk.kind.decode()} is wrong")
    return bytes(chunk.data)


def _filled_up(palette: bytes) -> bytes:
    """Repeats the last colour, because pixels may name colours that the palette does not have.

    One number stays free, for pixels that are missing.
    """
    palette = palette[: len(palette) // 3 * 3]
    return palette + palette[-3:] * (255 - len(palette) // 3)


def _is_usable(transparency: bytes, colour_type: int) -> bool:
    if colour_type == 3:
        return 1 <= len(transparency) <= 256
    return bool(transparency) and len(transparency) == _TRANSPARENCY_LENGTHS.get(colour_type)


def _framed(kind: bytes, data: bytes) -> bytes:
    return b"".join((_LENGTH.pack(len(data)), kind, data, _LENGTH.pack(zlib.crc32(data, zlib.crc32(kind)))))
