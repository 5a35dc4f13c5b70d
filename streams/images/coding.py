"""Undoes content codings (RFC 9110, 8.4.1), within the limit on bytes.

A worker asks for none. Stores that keep a file compressed send it so anyway, and others label intact files wrongly.
What stands behind a body and does not continue it is ignored, as in browsers.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence

import brotli
from backports import zstd

from streams.images.errors import ImageError
from streams.images.formats import starts_like_an_image

MAX_CODINGS = 3
"""Most codings that are undone, one after another."""

ZSTD_WINDOW_LOG = 23
"""A zstd window is at most 2^23 bytes, as in browsers (RFC 9659)."""

PIECE = 4096
"""Bytes of a stream that are inflated at a time, to save what comes before a damaged place."""

MAX_MEMBERS = 1000
"""Most members of a gzip file, or frames of a zstd file, that are inflated."""

GZIP_SIGNATURE = b"\x1f\x8b"

Inflate = Callable[[bytes, int], bytes]
"""Takes the body and a limit. Returns at most one byte more than the limit allows. Raises an exception of its library
if nothing can be inflated."""


def decoded(body: bytes, codings: Sequence[str], max_bytes: int) -> bytes:
    """Returns the body without its codings. `codings` are named in the order in which they were applied.

    An unknown name is passed over, and a body that starts like an image is taken as it is, whatever its label says.
    Raises `ImageError` (encoded or too_big).
    """
    known = [coding for coding in codings if coding in _INFLATE]
    if len(known) > MAX_CODINGS:
        raise ImageError("encoded", f"{len(known)} codings; {MAX_CODINGS} are allowed")
    for coding in reversed(known):
        if starts_like_an_image(body):
            break
        try:
            body = _INFLATE[coding](body, max_bytes)
        except (zlib.error, brotli.error, zstd.ZstdError) as error:
            raise ImageError("encoded", f"labelled {coding}, but it is not: {error}") from None
        if not body:
            raise ImageError("encoded", f"labelled {coding}, but nothing is in it")
        if len(body) > max_bytes:
            raise ImageError("too_big", f"inflates to more than the {max_bytes} bytes allowed")
    return body


def named_codings(headers: Sequence[str]) -> list[str]:
    """Returns the names in Content-Encoding headers, in lower case."""
    return [name for header in headers for part in header.split(",") if (name := part.strip().lower())]


def _gzip(body: bytes, limit: int) -> bytes:
    """Inflates the members of a gzip file (RFC 1952, 2.2)."""
    whole = bytearray()
    end = 0
    for _ in range(MAX_MEMBERS):
        try:
            member, end = _deflate(body, end, limit - len(whole), wbits=31)
        except zlib.error:
            if not whole:
                raise
            break
        whole += member
        if len(whole) > limit or body[end : end + 2] != GZIP_SIGNATURE:
            break
    return bytes(whole)


def _deflate_of_http(body: bytes, limit: int) -> bytes:
    """Inflates a zlib stream (RFC 1950), or a bare deflate stream, which some servers send under this name."""
    try:
        return _deflate(body, 0, limit, wbits=15)[0]
    except zlib.error:
        return _deflate(body, 0, limit, wbits=-15)[0]


def _deflate(body: bytes, start: int, limit: int, wbits: int) -> tuple[bytes, int]:
    """Returns what can be inflated, and where the stream ends. A damaged end is left out, as in browsers."""
    stream = zlib.decompressobj(wbits)
    whole = bytearray()
    for at in range(start, len(body), PIECE):
        before, piece = stream.copy(), body[at : at + PIECE]
        try:
            whole += stream.decompress(piece, limit + 1 - len(whole))
        except zlib.error:
            whole += _byte_by_byte(before, piece, limit + 1 - len(whole))
            if not whole:
                raise
            break
        if stream.eof or len(whole) > limit:
            return bytes(whole), at + len(piece) - len(stream.unused_data)
    return bytes(whole), len(body)


def _byte_by_byte(stream: zlib._Decompress, piece: bytes, limit: int) -> bytearray:
    whole = bytearray()
    for at in range(len(piece)):
        try:
            whole += stream.decompress(piece[at : at + 1], max(1, limit - len(whole)))
        except zlib.error:
            break
        if len(whole) >= limit:
            break
    return whole


def _brotli(body: bytes, limit: int) -> bytes:
    """Inflates a brotli stream (RFC 7932). The library refuses the piece in which the stream ends if more follows.

    So the bytes of that piece are fed one by one.
    """
    stream, whole, at, step = brotli.Decompressor(), bytearray(), 0, PIECE
    while at < len(body) and len(whole) <= limit and not stream.is_finished():
        try:
            part = _brotli_piece(stream, body[at : at + step], limit + 1 - len(whole))
        except brotli.error:
            if step == 1:
                raise
            stream, step = brotli.Decompressor(), 1
            whole = _brotli_piece(stream, body[:at], limit + 1)
            continue
        whole += part
        at += step
    return bytes(whole)


def _brotli_piece(stream: brotli.Decompressor, piece: bytes, most: int) -> bytearray:
    part = bytearray(stream.process(piece, output_buffer_limit=most))
    while len(part) < most and not stream.is_finished() and not stream.can_accept_more_data():
        part += stream.process(b"", output_buffer_limit=most - len(part))
    return part


def _zstd(body: bytes, limit: int) -> bytes:
    """Inflates the frames of a zstd file (RFC 8878, 3.1). Skippable frames hold nothing."""
    whole = bytearray()
    end = 0
    for _ in range(MAX_MEMBERS):
        try:
            frame, end = _frame(body, end, limit - len(whole))
        except zstd.ZstdError:
            if not whole:
                raise
            break
        whole += frame
        if len(whole) > limit or end >= len(body):
            break
    return bytes(whole)


def _frame(body: bytes, start: int, limit: int) -> tuple[bytes, int]:
    """Returns what a frame holds, and where it ends."""
    stream = zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: ZSTD_WINDOW_LOG})
    whole = bytearray()
    for at in range(start, len(body), PIECE):
        piece = body[at : at + PIECE]
        whole += stream.decompress(piece, limit + 1 - len(whole))
        if stream.eof or len(whole) > limit:
            return bytes(whole), at + len(piece) - len(stream.unused_data)
    return bytes(whole), len(body)


_INFLATE: dict[str, Inflate] = {
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _deflate_of_http,
    "br": _brotli,
    "zstd": _zstd,
}
