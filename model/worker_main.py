"""What runs inside the model's process: `python -m model.worker_main FD PARENT FACTORY CHECKPOINT DEVICE THREADS`.

Sends ("ready", None) once the model is loaded, then one reply per batch: ("done", predictions) or ("error", message).
Ends when its pipe or its parent does.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import signal
import sys
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from streams.errors import UserError

PR_SET_PDEATHSIG = 1


def main() -> None:
    descriptor, parent, factory, checkpoint, device, threads = sys.argv[1:]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _end_with(int(parent))
    pipe = Connection(int(descriptor))
    try:
        model = _load(factory, Path(checkpoint), device, int(threads))
    except UserError as error:
        pipe.send(("user_error", str(error)))
        return
    except Exception as error:
        pipe.send(("error", _message(error)))
        return
    _serve(pipe, model)


def _serve(pipe: Connection, model: Any) -> None:
    try:
        pipe.send(("ready", None))
        while True:
            batch = pipe.recv()
            try:
                reply = ("done", model.predict(batch))
            except Exception as error:
                reply = ("error", _message(error))
            pipe.send(reply)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # the parent closed the pipe or is gone


def _load(factory: str, checkpoint: Path, device: str, threads: int) -> Any:
    module, _, name = factory.partition(":")
    return getattr(importlib.import_module(module), name)(checkpoint, device=device, threads=threads)


def _message(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _end_with(parent: int) -> None:
    """Linux kills this process when its parent dies, even in the middle of a batch; elsewhere the pipe's end does."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before we asked
            os._exit(1)


if __name__ == "__main__":
    main()
