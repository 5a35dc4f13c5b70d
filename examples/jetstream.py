"""A Jetstream server on this machine, so that `mner feed bluesky` can be tried without a network.

    python -m examples.jetstream
    mner feed bluesky --server ws://127.0.0.1:6008 --limit 20

It sends the texts of `tweets.jsonl` as posts that are made now, with likes, an update and deletions among them. It
understands cursors, as the public servers do.
"""

from __future__ import annotations

import argparse
import itertools
import json
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

POSTS, LIKES = "app.bsky.feed.post", "app.bsky.feed.like"
AUTHORS = ("did:plc:exampleada", "did:plc:examplemary", "did:plc:examplegrace")
KEPT = 10_000
"""Number of frames that a client can ask for again."""


def texts() -> list[str]:
    """Returns the texts of the example posts."""
    found = []
    for line in (Path(__file__).parent / "tweets.jsonl").read_bytes().splitlines():
        with suppress(ValueError, KeyError, TypeError):
            text = json.loads(line)["text"]
            found += [text] if isinstance(text, str) else []
    return found


def frames() -> Iterator[dict[str, Any]]:
    """Yields frames without end, each with the time at which it is made."""
    for number, text in enumerate(itertools.cycle(texts())):
        did, rkey = AUTHORS[number % len(AUTHORS)], f"3l{time.time_ns():015x}"
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        record = {"$type": POSTS, "createdAt": now, "langs": ["en"], "text": text}
        yield commit(did, rkey, "create", POSTS, record)
        if number % 3 == 0:
            subject = {"uri": f"at://{did}/{POSTS}/{rkey}", "cid": "bafyreiexample"}
            like = {"$type": LIKES, "createdAt": now, "subject": subject}
            yield commit(AUTHORS[0], f"{rkey}l", "create", LIKES, like)
        if number % 10 == 4:
            yield commit(did, rkey, "update", POSTS, record | {"text": f"{text} (corrected)"})
        if number % 10 == 9:
            yield commit(did, rkey, "delete", POSTS)


def commit(did: str, rkey: str, operation: str, collection: str, record: Any = None) -> dict[str, Any]:
    """Returns a frame."""
    held = {"rev": rkey, "operation": operation, "collection": collection, "rkey": rkey}
    held |= {"record": record, "cid": "bafyreiexample"} if record else {}
    return {"did": did, "time_us": time.time_ns() // 1000, "kind": "commit", "commit": held}


class Server:
    """Makes frames in a thread, and sends each connection those after its cursor."""

    def __init__(self, per_second: float) -> None:
        self._sent: deque[tuple[int, str]] = deque(maxlen=KEPT)
        self._changed = threading.Condition()
        self._pause_s = 1 / per_second
        threading.Thread(target=self._make, daemon=True).start()

    def _make(self) -> None:
        for frame in frames():
            with self._changed:
                self._sent.append((frame["time_us"], json.dumps(frame)))
                self._changed.notify_all()
            time.sleep(self._pause_s)

    def converse(self, socket: ServerConnection) -> None:
        """Serves one connection."""
        assert socket.request is not None
        query = parse_qs(urlsplit(socket.request.path).query)
        last = int(query["cursor"][0]) if "cursor" in query else time.time_ns() // 1000
        with suppress(ConnectionClosed):
            while True:
                with self._changed:
                    due = [frame for frame in self._sent if frame[0] > last]
                    if not due:
                        self._changed.wait()
                for last, text in due:  # noqa: B007  # the last one is where the next look begins
                    socket.send(text)


def main() -> None:
    """Serves until Ctrl-C."""
    parser = argparse.ArgumentParser(description="Serve example posts as Bluesky's Jetstream does.")
    parser.add_argument("--port", type=int, default=6008)
    parser.add_argument("--rate", type=float, default=5.0, help="frames per second")
    options = parser.parse_args()
    with serve(Server(options.rate).converse, "127.0.0.1", options.port) as server:
        port = server.socket.getsockname()[1]
        print(f"mner feed bluesky --server ws://127.0.0.1:{port} --limit 20", flush=True)
        with suppress(KeyboardInterrupt):
            server.serve_forever()


if __name__ == "__main__":
    main()
