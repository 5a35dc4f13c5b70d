"""The main module of a model's process: `python -m model.worker_main SOCKET PARENT FACTORY DEVICE THREADS`.

Receives the configuration and options. Replies ["ready", null] once the model is loaded. Then replies to each
batch with ["done", replies] or ["error", message]. If the model cannot be loaded, replies ["user_error", message] or
["error", message] and ends. The parent pickles requests; replies are JSON. Both are sent in frames.
"""

from __future__ import annotations

import gc
import importlib
import pickle
import socket
import sys
from typing import Any

from pydantic_core import to_json

from core.child_socket import end_with, frame, open_socket, receive_frame
from core.errors import UserError


def main() -> None:
    descriptor, parent, factory, device, threads = sys.argv[1:]
    end_with(int(parent))
    with open_socket(int(descriptor)) as pipe:
        try:
            _serve(pipe, factory, device, int(threads))
        except (EOFError, ConnectionError):
            return  # the parent closed the socket or is gone


def _serve(pipe: socket.socket, factory: str, device: str, threads: int) -> None:
    config, options = pickle.loads(receive_frame(pipe))
    try:
        model = call_factory(factory, config, device=device, threads=threads, **options)
    except UserError as error:
        return _send(pipe, "user_error", _encodable(str(error)))
    except Exception as error:
        return _send(pipe, "error", _message(error))
    gc.collect()
    gc.freeze()  # else each full collection walks the whole model, which takes 7% of the time in int8
    _send(pipe, "ready", None)
    while True:
        batch = pickle.loads(receive_frame(pipe))
        try:
            reply = to_json(("done", model.predict(batch)))
        except Exception as error:
            reply = to_json(("error", _message(error)))
        pipe.sendall(frame(reply))


def _send(pipe: socket.socket, kind: str, content: str | None) -> None:
    pipe.sendall(frame(to_json((kind, content))))


def call_factory(factory: str, config: object, /, **options: object) -> Any:
    """Returns the model that `factory`, a `module:function`, loads."""
    module, _, name = factory.partition(":")
    return getattr(importlib.import_module(module), name)(config, **options)


def _message(error: Exception) -> str:
    return _encodable(f"{type(error).__name__}: {error}")


def _encodable(message: str) -> str:
    """Returns the message without lone surrogates, which UTF-8 cannot encode."""
    return message.encode("utf-8", "replace").decode()


if __name__ == "__main__":
    main()
