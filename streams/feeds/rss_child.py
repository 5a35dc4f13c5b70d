"""The main module of the process that reads feeds: `python -m streams.feeds.rss_child SOCKET PARENT`.

A request is three frames: the media type, the address of the feed, and its document. A reply is one frame of JSON: the
entries, or the fault of the document. The first frame says that the process is ready.
"""

from __future__ import annotations

import json
import socket
import sys
from dataclasses import asdict
from typing import Any

from core.child_socket import end_with, frame, open_socket, receive_frame
from core.json_text import SURROGATE
from streams.feeds.adapters.feed_bytes import NotAFeed
from streams.feeds.adapters.rss import read_feed
from streams.images.confine import limit

MEMORY_MB = 2000
"""Address space, in 10^6 bytes. The largest feeds need some hundred."""


def main() -> None:
    descriptor, parent = sys.argv[1:]
    pipe = open_socket(int(descriptor))
    end_with(int(parent))
    limit(MEMORY_MB)
    with pipe:
        try:
            _send(pipe, {"ready": True})
            while True:
                content_type, feed, body = (receive_frame(pipe) for _ in range(3))
                _send(pipe, _read(body, content_type.decode(), feed.decode()))
        except (EOFError, ConnectionError):
            return  # the parent closed the socket or is gone


def _read(body: bytes, content_type: str, feed: str) -> dict[str, Any]:
    try:
        return {"entries": [asdict(entry) for entry in read_feed(body, content_type, feed)]}
    except NotAFeed as error:
        return {"fault": str(error)}
    except (MemoryError, RecursionError):
        return {"fault": "the document needs too much memory"}


def _send(pipe: socket.socket, reply: dict[str, Any]) -> None:
    text = json.dumps(reply, ensure_ascii=False, default=str)
    pipe.sendall(frame(SURROGATE.sub("\ufffd", text).encode()))


if __name__ == "__main__":
    main()
