"""What runs in a decoding process: `python -m streams.images.decoder_main FD PARENT MAX_PIXELS MEMORY_MB TIMEOUT_S`.

A request is a file: 4 bytes of length, one that says whether the small picture is wanted, its bytes. A reply is a
header, 4 bytes of length and JSON, and behind it the small picture where there is one: width x height x 3 bytes. The
very first header says that the process is ready.
"""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import struct
import sys
import warnings

from PIL import Image

from streams.images.confine import confine, limit, limit_cpu
from streams.images.decode import FORMATS, decode
from streams.images.errors import MAX_REASON, ImageError

LENGTH, REQUEST = struct.Struct("!I"), struct.Struct("!I?")
READY: dict[str, object] = {"ready": True}


def main() -> None:
    descriptor, parent, max_pixels, memory_mb, timeout_s = sys.argv[1:]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _rehearse()
    warnings.simplefilter("ignore")
    # Pillow refuses more than twice this while it reads the header, before a decoder takes memory for the canvas.
    Image.MAX_IMAGE_PIXELS = int(max_pixels) / 2  # type: ignore[assignment]
    _let_go(int(descriptor))
    limit(int(memory_mb))
    confine(int(parent))
    with socket.socket(fileno=int(descriptor)) as pipe:
        try:
            _send(pipe, READY)
            while _serve(pipe, int(max_pixels), float(timeout_s)):
                pass
        except (EOFError, ConnectionError):
            return  # the parent closed the pipe or is gone


def _let_go(pipe: int) -> None:
    """Of the standard streams: what a damaged file makes a library say goes to a pipe that nobody reads.

    Not to /dev/null, which is a file: where root runs this, fchmod(2) would close it to the whole machine."""
    reader, writer = os.pipe()
    for stream in (0, 1, 2):
        os.dup2(writer, stream, inheritable=False)
    os.close(reader)
    os.close(writer)
    os.set_inheritable(pipe, False)


def _rehearse() -> None:
    """Pillow and imagehash import much when it is first needed, which nothing can once the process is confined."""
    exif = Image.Exif()
    exif[0x0112] = 1
    for name in (*FORMATS, "MPO"):
        file = io.BytesIO()
        several = {} if name == "JPEG" else {"save_all": True, "append_images": [Image.new("RGB", (8, 8))]}
        Image.new("RGB", (8, 8)).save(file, name, exif=exif, **several)
        decode(file.getvalue(), 64)


def _serve(pipe: socket.socket, max_pixels: int, timeout_s: float) -> bool:
    """One picture; whether this process is fit for another."""
    try:
        size, small = REQUEST.unpack(_receive(pipe, REQUEST.size))
        body = _receive(pipe, size)
        limit_cpu(timeout_s)
        found = decode(body, max_pixels, small=small)
    except ImageError as error:
        _send(pipe, {"kind": error.kind, "detail": error.args[1][:MAX_REASON]})
        return True
    except MemoryError:
        _send(pipe, {"kind": "memory", "detail": ""})
        return False
    header = {"format": found.format, "width": found.width, "height": found.height, "phash": found.phash}
    if found.small is None:
        _send(pipe, header)
    else:
        _send(pipe, header | {"small": found.small.size}, found.small.tobytes())
    return True


def _send(pipe: socket.socket, header: dict[str, object], rgb: bytes = b"") -> None:
    line = json.dumps(header).encode()
    pipe.sendall(LENGTH.pack(len(line)) + line)
    pipe.sendall(rgb)


def _receive(pipe: socket.socket, size: int) -> bytes:
    body = bytearray(size)
    view = memoryview(body)
    while view:
        count = pipe.recv_into(view)
        if count == 0:
            raise EOFError
        view = view[count:]
    return bytes(body)


if __name__ == "__main__":
    main()
