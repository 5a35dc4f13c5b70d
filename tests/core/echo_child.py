"""A child process for tests: replies with the request. Some requests make it misbehave."""

from __future__ import annotations

import os
import sys
import time
from importlib.util import find_spec

from core.child_socket import LENGTH, end_with, frame, open_socket, receive_frame


def main() -> None:
    end_with(int(sys.argv[2]))
    with open_socket(int(sys.argv[1])) as pipe:
        while True:
            request = receive_frame(pipe)
            if request == b"exit":
                os._exit(7)
            if request == b"hang":
                time.sleep(600)
            if request == b"long":
                pipe.sendall(LENGTH.pack(2**32 - 1))
            elif request.startswith(b"finds "):
                found = find_spec(request.decode().split()[1]) is not None
                pipe.sendall(frame(str(found).encode()))
            elif request == b"environment":
                pipe.sendall(frame(repr(sorted(os.environ)).encode()))
            else:
                pipe.sendall(frame(request) * (2 if request == b"twice" else 1))


if __name__ == "__main__":
    main()
