"""A model in a process of its own: a crash, a kill or a hang there costs one batch, never the worker here.

Such a process reads what strangers wrote, so nothing that it answers is unpickled here: replies are JSON, validated.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import AfterValidator, TypeAdapter, ValidationError

from core.errors import BatchFailed, ProcessDied, Retry, Stop, UserError
from model.checkpoint import CheckpointInfo, describe
from model.mentions import Prediction
from model.tokens import Encoded
from model.vision.values import plain

T = TypeVar("T")
Request = TypeVar("Request")
Reply = TypeVar("Reply")

LOAD_TIMEOUT_S = 180.0
"""Importing torch and reading the weights on a busy machine; a batch's own limit counts from then."""

MAX_ANSWER = 64_000_000
"""Bytes of one answer at most; the largest honest ones, of 256 pictures full of text, have a tenth of it."""

MAX_MESSAGE = 1000
"""Characters of an error's message that are kept: it ends in a log, an extraction or a dead letter."""

STDERR = 2

MAX_STARTS = 5
"""Starts that may fail one after another: a machine short of memory for a moment is no reason to stop, but a model
that never comes up is."""


class ProcessHandle(Generic[Request, Reply]):
    """The parent's handle. One batch at a time; several callers wait for each other.

    The process is started by the first `infer` or by `start`. It is a fresh interpreter that runs
    `model.worker_main`, so it imports neither the parent's main module nor Faust; it ends when the parent does.

    `factory`, module:function, is called there with `config` and the keywords `device`, `threads` and `options`; what
    it returns has `predict`: requests in, as many replies out. `reply`: their type, a dataclass or a pydantic model.
    `what`: for messages.
    """

    def __init__(
        self,
        what: str,
        factory: str,
        config: object,
        reply: type[Reply],
        device: str,
        threads: int,
        timeout_s: float,
        options: Mapping[str, object] | None = None,
    ) -> None:
        self.timeout_s = timeout_s
        self._what = what
        self._arguments = [factory, device, str(threads)]
        self._config = config, dict(options or {})
        self._answers = _answers(reply)
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe: Connection | None = None
        # All blocking calls happen on this one thread. It also starts the process and outlives it: Linux sends the
        # parent-death signal when the starting *thread* ends.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="model-process")
        self._turn = asyncio.Lock()
        self._closed = False
        self._failed_starts = 0

    @property
    def pid(self) -> int | None:
        """Of the running process; None when there is none."""
        return self._process.pid if self._process and self._process.poll() is None else None

    async def start(self) -> None:
        """Starts the process and waits until the model is loaded. Raises

        `Retry`: it could not be started, or died or hung before the model was loaded; from the fifth time in a row
        on, `Stop`. `Stop` also when loading raised, `UserError` when a person can mend that; `ProcessDied` once closed.
        """
        await _finish(self._start())

    async def infer(self, batch: Sequence[Request], timeout_s: float | None = None) -> list[Reply]:
        """Raises `ProcessDied`, `BatchFailed`, and what `start` raises when a fresh process was needed.

        `timeout_s`: of this batch, in place of the handle's. When the caller is cancelled the batch is still finished
        and its result dropped: replies never get mixed up.
        """
        return await _finish(self._infer(list(batch), self.timeout_s if timeout_s is None else timeout_s))

    async def close(self) -> None:
        """Ends the process, at once: what it is working on is lost. The handle cannot be used afterwards."""
        self._closed = True
        await self._end()
        async with self._turn:
            await self._end()
        self._thread.shutdown(wait=False)

    async def _start(self) -> None:
        async with self._turn:
            await self._ensure_started()

    async def _infer(self, batch: list[Request], timeout_s: float) -> list[Reply]:
        async with self._turn:
            await self._ensure_started()
            kind, content = await self._ask(batch, timeout_s)
            if kind == "done" and len(content) != len(batch):
                await self._end()
                raise ProcessDied(f"{self._what}'s process gave {len(content)} replies for {len(batch)} and was killed")
        if kind != "done":
            raise BatchFailed(content)
        replies: list[Reply] = content
        return replies

    async def _ensure_started(self) -> None:
        if self.pid is not None and not self._closed:
            return
        await self._end()
        try:
            kind, content = await self._load()
        except (ProcessDied, OSError) as fault:
            if self._closed:
                raise ProcessDied(f"{self._what}'s process was closed") from None
            raise self._not_started(fault) from None
        self._failed_starts = 0
        if kind != "ready":
            await self._end()
            raise UserError(content) if kind == "user_error" else Stop(f"{self._what} could not be loaded: {content}")

    async def _load(self) -> tuple[str, Any]:
        if not self._closed:
            await self._on_thread(self._spawn)
        if self._closed:
            raise ProcessDied("closed")
        return await self._ask(self._config, LOAD_TIMEOUT_S)

    def _not_started(self, fault: Exception) -> Retry | Stop:
        self._failed_starts += 1
        if self._failed_starts < MAX_STARTS:
            return Retry(f"{self._what} could not be started: {fault}")
        return Stop(
            f"{self._what} could not be started {self._failed_starts} times in a row, last: {fault}. Look at this "
            "machine's free memory and process limit, and in the log above for what its process wrote"
        )

    def _spawn(self) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            number = str(theirs.fileno())
            self._process = subprocess.Popen(
                # -P: modules come from where ours do, never from a folder that happens to be the current one
                [sys.executable, "-P", "-m", "model.worker_main", number, str(os.getpid()), *self._arguments],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=STDERR,  # ours may be a script's input, and libraries print
                start_new_session=True,  # Ctrl-C reaches the parent alone, which decides
                env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
            self._pipe = Connection(ours.detach())

    async def _ask(self, request: object, timeout_s: float) -> tuple[str, Any]:
        """One request and the kind and content of its answer; the first request is the configuration."""
        pipe = self._pipe
        if pipe is None:  # closed since it was started
            raise ProcessDied(f"{self._what}'s process was closed")
        exchange = asyncio.ensure_future(self._on_thread(self._exchange, pipe, request))
        done, _ = await asyncio.wait([exchange], timeout=timeout_s)
        if not done:
            await self._end()
            await asyncio.wait([exchange])
            exchange.exception()
            raise ProcessDied(f"{self._what}'s process did not answer within {timeout_s:g} s and was killed")
        try:
            return exchange.result()
        except (EOFError, OSError):
            raise ProcessDied(f"{self._what}'s process died: {await self._end()}") from None
        except ValidationError as error:
            await self._end()
            first = error.errors(include_url=False, include_input=False)[0]["msg"]
            raise ProcessDied(f"{self._what}'s process answered nonsense and was killed: {first}") from None

    def _exchange(self, pipe: Connection, request: object) -> tuple[str, Any]:
        """`pipe` stays open until this has ended: it is closed behind it, on the same thread's turn."""
        pipe.send(request)
        answer: tuple[str, Any] = self._answers.validate_json(pipe.recv_bytes(MAX_ANSWER))
        return answer

    async def _end(self) -> str:
        """Kills the process if it still runs, collects it, closes the pipe; says how it ended."""
        process, pipe, self._process, self._pipe = self._process, self._pipe, None, None
        if process is None or pipe is None:
            return "it was never started"
        process.kill()
        code = await self._on_thread(process.wait)
        pipe.close()
        return f"exit code {code}" if code >= 0 else signal.Signals(-code).name

    async def _on_thread(self, function: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)


class ModelProcess(ProcessHandle[Encoded, Prediction]):
    """The tagger's. `candidate_threshold`: in place of the checkpoint's own; the factory is told of it only where it is given, and
    that it `sees` only where the checkpoint has a vision model.

    `info`: the checkpoint as the parent read it. A process that comes up when it is another one by now is refused
    (`UserError`): two calibrations must not mix.
    """

    def __init__(
        self,
        factory: str,
        checkpoint: Path,
        device: str,
        threads: int,
        timeout_s: float,
        candidate_threshold: float | None = None,
        info: CheckpointInfo | None = None,
    ) -> None:
        options: dict[str, object] = {} if candidate_threshold is None else {"candidate_threshold": candidate_threshold}
        if info is not None and info.vision is not None:
            options["sees"] = True
        super().__init__("the model", factory, checkpoint, Prediction, device, threads, timeout_s, options)
        self._checkpoint, self._info = checkpoint, info

    async def _load(self) -> tuple[str, Any]:
        answer = await super()._load()
        if answer[0] != "ready" or self._info is None:
            return answer
        try:
            same = describe(self._checkpoint) == self._info
        except UserError as error:
            return "user_error", str(error)
        changed = f"the model checkpoint {self._checkpoint} has changed since it was read: restart `mner worker`"
        return answer if same else ("user_error", changed)


Message = Annotated[str, AfterValidator(lambda text: plain(text, MAX_MESSAGE))]


def _answers(reply: type[Any]) -> TypeAdapter[Any]:
    """What `model.worker_main` may say: a kind, and what belongs to it."""
    done: Any = tuple[Literal["done"], list[reply]]  # type: ignore[valid-type]
    other: Any = tuple[Literal["ready"], None] | tuple[Literal["error", "user_error"], Message]
    return TypeAdapter(done | other)


async def _finish(work: Coroutine[Any, Any, T]) -> T:
    """Awaits `work`, which goes on to its end even when the caller is cancelled."""
    task = asyncio.ensure_future(work)
    task.add_done_callback(lambda done: done.cancelled() or done.exception())  # looked at, if nobody else does
    return await asyncio.shield(task)
