"""What runs inside a model's process: `python -m model.worker_main FD PARENT FACTORY DEVICE THREADS`.

Receives the configuration and options, answers ["ready", null] once the model is loaded, then for each batch
["done", replies] or ["error", message]. Requests are pickled by the parent, answers are JSON. Ends when its pipe or its
parent does.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import signal
import sys
from multiprocessing.connection import Connection
from typing import Any

from pydantic_core import to_json

from core.errors import UserError

PR_SET_PDEATHSIG = 1


def main() -> None:
    descriptor, parent, factory, device, threads = sys.argv[1:]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _end_with(int(parent))
    pipe = Connection(int(descriptor))
    try:
        _serve(pipe, factory, device, int(threads))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # the parent closed the pipe or is gone


def _serve(pipe: Connection, factory: str, device: str, threads: int) -> None:
    config, options = pipe.recv()
    try:
        model = _load(factory, config, device=device, threads=threads, **options)
    except UserError as error:
        return pipe.send_bytes(to_json(("user_error", _clean(str(error)))))
    except Exception as error:
        return pipe.send_bytes(_failed(error))
    pipe.send_bytes(to_json(("ready", None)))
    while True:
        batch = pipe.recv()
        try:
            answer = to_json(("done", model.predict(batch)))
        except Exception as error:
            answer = _failed(error)
        pipe.send_bytes(answer)


def _load(factory: str, config: object, **options: object) -> Any:
    module, _, name = factory.partition(":")
    return getattr(importlib.import_module(module), name)(config, **options)


def _failed(error: Exception) -> bytes:
    return to_json(("error", _clean(f"{type(error).__name__}: {error}")))


def _clean(message: str) -> str:
    """Without lone surrogates, which JSON in UTF-8 cannot hold."""
    return message.encode("utf-8", "replace").decode()


def _end_with(parent: int) -> None:
    """Linux kills this process when its parent dies, even in the middle of a batch; elsewhere the pipe's end does."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before we asked
            os._exit(1)


if __name__ == "__main__":
    main()
