"""One decoding process, as the parent sees it.

A malicious file may control that process, so its replies are checked as strictly as a stranger's data.
"""

from __future__ import annotations

import os
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator

from core.child import ChildFailed, ChildProcess, Receive, receive_frame
from core.pixels import Pixels
from streams.images.decode import MAX_SIDE
from streams.images.decoder_protocol import REQUEST
from streams.images.errors import MAX_REASON, ImageError
from streams.images.formats import ImageFormat
from streams.metrics import DECODER_RESTARTS

START_TIMEOUT_S = 60.0
"""Longest time, in seconds, for a start, which imports Pillow and more. An image's own limit begins after that."""

RECYCLE_AFTER = 10_000
"""Number of images after which a process is replaced. This bounds the memory that a library leaks."""

MAX_HEADER = 4096
"""Largest JSON header of a reply, in bytes."""

KEPT_ENVIRONMENT = ("LD_LIBRARY_PATH", "PYTHONHOME")
"""Variables that an interpreter may need to start. The process inherits no others, so no secret and no proxy."""

ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",  # numpy would start one thread per core, for arrays of 64 x 64
    "OPENBLAS_NUM_THREADS": "1",
    # glibc: keep the memory of one image for the next one. Returning it would cost 500 page faults per image.
    "MALLOC_MMAP_THRESHOLD_": "33554432",
    "MALLOC_TRIM_THRESHOLD_": "67108864",
}

_Side = Annotated[int, Field(ge=1, le=MAX_SIDE)]


class _Header(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class ReadyHeader(_Header):
    ready: Literal[True]


class ImageHeader(_Header):
    """The reply for an image. The pixels of the small copy follow when it was wanted."""

    format: ImageFormat
    width: int = Field(ge=1)
    height: int = Field(ge=1)
    phash: str = Field(pattern=r"\A[0-9a-f]{64}\z")
    small: tuple[_Side, _Side] | None = None

    @model_validator(mode="after")
    def _small_is_no_larger(self) -> Self:
        if self.small and (self.small[0] > self.width or self.small[1] > self.height):
            raise ValueError("the small copy is larger than the image")
        return self


class RefusalHeader(_Header):
    """The reply for a file that is no acceptable image. After `memory`, the process ends."""

    kind: Literal["not_an_image", "bomb", "broken", "memory"]
    detail: str = Field(max_length=MAX_REASON)


Reply = tuple[ImageHeader | RefusalHeader, Pixels | None]

_READY: TypeAdapter[ReadyHeader] = TypeAdapter(ReadyHeader)
_HEADER: TypeAdapter[ImageHeader | RefusalHeader] = TypeAdapter(ImageHeader | RefusalHeader)


class DecoderProcess(ChildProcess):
    """Decodes one image at a time; the caller must not ask for two at once. Starts a process when it needs one."""

    def __init__(self, module: str, max_pixels: int, memory_mb: int, timeout_s: float) -> None:
        self._max_pixels = max_pixels
        self._memory_mb = memory_mb
        self._timeout_s = timeout_s
        inherited = {name: os.environ[name] for name in KEPT_ENVIRONMENT if name in os.environ}
        super().__init__(module, [max_pixels, memory_mb, timeout_s], environment=inherited | ENVIRONMENT, cwd="/")
        self._decoded = 0

    async def decode(self, body: bytes, small: bool) -> tuple[ImageHeader, Pixels | None]:
        """Returns what the file contains, with the small copy when it is wanted. Raises `ImageError`."""
        await self._ensure_started()

        async def read(receive: Receive) -> Reply:
            return await self._read(receive, small)

        try:
            reply, pixels = await self.exchange(REQUEST.pack(len(body), small) + body, read, self._timeout_s)
        except ChildFailed as fault:
            if fault.kind == "timeout":
                raise ImageError("too_slow", f"decoding takes more than {self._timeout_s:g} s") from None
            raise ImageError("decoder_died", fault.detail if fault.kind == "died" else f"it {fault}") from None
        if isinstance(reply, ImageHeader):
            return reply, pixels
        if reply.kind == "memory":
            await self.end()
            raise ImageError("bomb", f"needs more than {self._memory_mb} MB of memory")
        raise ImageError(reply.kind, reply.detail)

    async def _ensure_started(self) -> None:
        if not self.ready or self._decoded == RECYCLE_AFTER:
            if self._decoded not in {0, RECYCLE_AFTER}:
                DECODER_RESTARTS.inc()
            try:
                await self.start(b"", _read_ready, START_TIMEOUT_S)
            except ChildFailed as fault:
                raise ImageError("internal", f"no decoder could be started: the process {fault}") from None
            self._decoded = 0
        self._decoded += 1

    async def _read(self, receive: Receive, small: bool) -> Reply:
        header = _HEADER.validate_json(await receive_frame(receive, MAX_HEADER))
        if not isinstance(header, ImageHeader):
            return header, None
        if header.width * header.height > self._max_pixels or small is (header.small is None):
            raise ValueError("too many pixels, an unrequested small copy, or a missing one")
        if header.small is None:
            return header, None
        width, height = header.small
        return header, Pixels(width, height, await receive(3 * width * height))


async def _read_ready(receive: Receive) -> ReadyHeader:
    return _READY.validate_json(await receive_frame(receive, MAX_HEADER))
