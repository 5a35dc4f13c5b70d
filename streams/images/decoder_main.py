"""The main module of a decoding process: `python -m streams.images.decoder_main SOCKET PARENT PIXELS MB SECONDS`.

A request is 4 bytes of length, 1 byte that says whether the small copy is wanted, and the file. A reply is a frame
with a JSON header, followed by the pixels of the small copy when there is one: width x height x 3 bytes. The very
first header says that the process is ready.
"""

from __future__ import annotations

import io
import json
import os
import socket
import sys
import warnings

from PIL import AvifImagePlugin, Image, features

from core.child_socket import frame, open_socket, receive
from streams.images.confine import confine, limit, limit_cpu
from streams.images.decode import decode
from streams.images.decoder_protocol import REQUEST
from streams.images.errors import MAX_REASON, ImageError
from streams.images.formats import FORMATS

READY: dict[str, object] = {"ready": True}


def main() -> None:
    descriptor, parent, max_pixels, memory_mb, timeout_s = sys.argv[1:]
    pipe = open_socket(int(descriptor))
    _import_lazy_modules()
    warnings.simplefilter("ignore")
    # Pillow refuses an image of more than twice this size while it reads the header, before it takes memory for pixels.
    Image.MAX_IMAGE_PIXELS = int(max_pixels) / 2  # type: ignore[assignment]
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # a confined process cannot start more
    _close_standard_streams()
    limit(int(memory_mb))
    confine(int(parent))
    with pipe:
        try:
            _send(pipe, READY)
            while _serve(pipe, int(max_pixels), float(timeout_s)):
                pass
        except (EOFError, ConnectionError):
            return  # the parent closed the socket or is gone


def _close_standard_streams() -> None:
    """Replaces the standard streams with a pipe that nobody reads, because libraries print about damaged files.

    /dev/null would not do. It is a file, and a process of root could take it from the whole machine with fchmod(2).
    """
    reader, writer = os.pipe()
    for stream in (0, 1, 2):
        os.dup2(writer, stream, inheritable=False)
    os.close(reader)
    os.close(writer)


def _import_lazy_modules() -> None:
    """Decodes one image of each format. Pillow and imagehash import modules at first use, and a confined process
    cannot import."""
    exif = Image.Exif()
    exif[0x0112] = 1
    for name in (*FORMATS, "MPO"):
        if name == "AVIF" and not features.check("avif"):  # a Pillow that was built without it
            continue
        file = io.BytesIO()
        frames = {} if name in ("JPEG", "BMP") else {"save_all": True, "append_images": [Image.new("RGB", (8, 8))]}
        Image.new("RGB", (8, 8)).save(file, name, exif=exif, **frames)
        decode(file.getvalue(), 64)


def _serve(pipe: socket.socket, max_pixels: int, timeout_s: float) -> bool:
    """Decodes one image. Returns whether this process can decode another."""
    try:
        size, small = REQUEST.unpack(receive(pipe, REQUEST.size))
        body = receive(pipe, size)
        limit_cpu(timeout_s)
        image = decode(body, max_pixels, small=small)
    except ImageError as error:
        _send(pipe, {"kind": error.kind, "detail": error.args[1][:MAX_REASON]})
        return True
    except MemoryError:
        _send(pipe, {"kind": "memory", "detail": ""})
        return False
    header = {"format": image.format, "width": image.width, "height": image.height, "phash": image.phash}
    if image.small is None:
        _send(pipe, header)
    else:
        _send(pipe, header | {"small": image.small.size}, image.small.tobytes())
    return True


def _send(pipe: socket.socket, header: dict[str, object], rgb: bytes = b"") -> None:
    pipe.sendall(frame(json.dumps(header).encode()))
    pipe.sendall(rgb)


if __name__ == "__main__":
    main()
