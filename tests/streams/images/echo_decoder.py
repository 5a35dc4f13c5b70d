"""Stands in for a decoding process that a hostile file has taken over. It replies with the bytes of the request."""

from __future__ import annotations

import json
import socket
import struct
import sys
from collections.abc import Mapping

SMALL = (2, 1)
FOUND: dict[str, object] = {"format": "JPEG", "width": 4, "height": 2, "phash": "0" * 64, "small": SMALL}
PIXELS = bytes(3 * SMALL[0] * SMALL[1])


def answer(header: Mapping[str, object] | bytes, pixels: bytes = PIXELS) -> bytes:
    """Returns a reply with the framing of a real decoder."""
    line = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("!I", len(line)) + line + pixels


def main() -> None:
    with socket.socket(fileno=int(sys.argv[1])) as pipe, pipe.makefile("rb") as requests:
        pipe.sendall(answer({"ready": True}, b""))
        while request := requests.read(5):
            pipe.sendall(requests.read(struct.unpack("!I?", request)[0]))


if __name__ == "__main__":
    main()
