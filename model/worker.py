"""A model in a child process. A crash, a kill or a hang of the child costs one batch, never the parent process.

The child reads what strangers wrote, so its replies are never unpickled: they are JSON, and are validated.
"""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import AfterValidator, TypeAdapter

from core.child import ChildFailed, ChildProcess, Receive, detached, receive_frame
from core.child_socket import frame
from core.errors import BatchFailed, ProcessDied, Retry, Stop, UserError
from core.secret import environment
from core.text import plain
from model.cascade_file import Cascade, read_cascade
from model.checkpoint import CheckpointInfo, describe
from model.mentions import Prediction
from model.tokens import Encoded

Request = TypeVar("Request")
Reply = TypeVar("Reply")

LOAD_TIMEOUT_S = 180.0
"""Limit for importing torch and loading the weights, on a busy machine. A batch's own limit starts after that."""

MAX_REPLY = 64_000_000
"""Largest reply in bytes. The largest expected replies, for 256 images full of text, have a tenth of that."""

MAX_MESSAGE = 1000
"""Longest error message in characters. It ends up in a log, an extraction or a dead letter."""

MAX_STARTS = 5
"""Failed starts in a row that raise `Stop`. A machine may be short of memory for a moment, but a model that never
loads is a reason to stop."""


class BatchProcess(Generic[Request, Reply]):
    """A model in a child process: batches of requests in, replies out. Callers wait for each other.

    The first `infer` or `start` starts the process. It is a fresh interpreter that runs `model.worker_main`, so it
    imports neither the parent's main module nor Faust. It ends with its parent.

    Args:
        what: Names the model in messages, for example "the model".
        factory: `module:function`, called in the child with `config`, and with `device`, `threads` and the entries of
            `options` as keywords. The object that it returns has `predict`, which takes requests and returns as many
            replies.
        reply: The type of a reply, a dataclass or a pydantic model.
        timeout_s: Limit for one batch, in seconds.
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
        self._config = config, dict(options or {})
        self._replies = _replies(reply)
        self._child = ChildProcess("model.worker_main", [factory, device, threads], environment=environment())
        self._lock = asyncio.Lock()
        self._closed = False
        self._failed_starts = 0

    @property
    def pid(self) -> int | None:
        """The process id, or None when no process is running."""
        return self._child.pid

    async def start(self) -> None:
        """Starts the process and waits until the model is loaded.

        Raises:
            Retry: The process could not be started, or died or hung while it loaded the model.
            Stop: That happened `MAX_STARTS` times in a row, or loading raised an exception.
            UserError: Loading raised it.
            ProcessDied: `close` was called.
        """
        await asyncio.shield(detached(self._start()))

    async def infer(self, batch: Sequence[Request], timeout_s: float | None = None) -> list[Reply]:
        """Returns one reply for each request, in order. `timeout_s` replaces the limit for this batch.

        When the caller is cancelled, the batch is still finished and its replies are dropped.

        Raises:
            ProcessDied: The process died, was killed or took too long. The next call starts a fresh one.
            BatchFailed: Predicting the batch raised an exception, whose message is passed on. The process goes on.
            Retry, Stop, UserError: A fresh process was needed; see `start`.
        """
        limit_s = self.timeout_s if timeout_s is None else timeout_s
        return await asyncio.shield(detached(self._infer(list(batch), limit_s)))

    async def close(self) -> None:
        """Ends the process at once, even in the middle of a batch. The object cannot be used afterwards."""
        self._closed = True
        self._child.stop()
        async with self._lock:
            await self._child.end()

    async def _start(self) -> None:
        async with self._lock:
            await self._ensure_started()

    async def _infer(self, batch: list[Request], timeout_s: float) -> list[Reply]:
        async with self._lock:
            await self._ensure_started()
            request = await self._child.run(_encoded, batch)
            try:
                kind, content = await self._child.exchange(request, self._read, timeout_s)
            except ChildFailed as fault:
                raise self._died(str(fault)) from None
            if kind == "done" and len(content) != len(batch):
                await self._child.end()
                raise self._died(f"gave {len(content)} replies for {len(batch)} requests and was killed")
        if kind != "done":
            raise BatchFailed(content)
        replies: list[Reply] = content
        return replies

    async def _ensure_started(self) -> None:
        if self._closed:
            raise self._died("was closed")
        if self._child.ready:
            return
        request = await self._child.run(_encoded, self._config)
        try:
            kind, content = await self._child.start(request, self._read, LOAD_TIMEOUT_S)
        except ChildFailed as fault:
            raise self._died("was closed") if self._closed else self._not_started(fault) from None
        self._failed_starts = 0
        if kind == "ready" and (reason := self._refusal()):
            kind, content = "user_error", reason
        if kind != "ready":
            await self._child.end()
            raise UserError(content) if kind == "user_error" else Stop(f"{self._what} could not be loaded: {content}")

    def _refusal(self) -> str | None:
        """Returns why the model that was just loaded must not be used, or None."""
        return None

    def _died(self, how: str) -> ProcessDied:
        return ProcessDied(f"{self._what}'s process {how}")

    def _not_started(self, fault: ChildFailed) -> Retry | Stop:
        self._failed_starts += 1
        reason = f"{self._what} could not be started: {self._died(str(fault))}"
        if self._failed_starts < MAX_STARTS:
            return Retry(reason)
        return Stop(
            f"{reason}. It failed {self._failed_starts} times in a row. Check this machine's free memory and process "
            "limit, and the log above for what the process wrote"
        )

    async def _read(self, receive: Receive) -> tuple[str, Any]:
        body = await receive_frame(receive, MAX_REPLY)
        reply: tuple[str, Any] = await self._child.run(self._validated, body)
        return reply

    def _validated(self, body: bytes) -> tuple[str, Any]:
        reply: tuple[str, Any] = self._replies.validate_json(body)
        if reply[0] == "done":
            for each in reply[1]:
                self._check(each)
        return reply

    def _check(self, reply: Reply) -> None:
        """Raises `ValueError` when the model cannot have given this reply."""


TaggerProcess = BatchProcess[Encoded, Prediction]
"""One checkpoint, or a cascade of checkpoints, in a child process."""


class ModelProcess(TaggerProcess):
    """The tagger in a child process.

    Args:
        candidate_threshold: Replaces the checkpoint's own. The factory receives it only when it is set.
        info: The checkpoint as the parent read it. When a fresh process finds another one, `start` raises
            `UserError`, because two calibrations must not mix. The factory receives `sees` only when the checkpoint
            has an image encoder, and `runtime` only when `info` runs in int8.
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
        if info is not None and info.runtime != "torch":
            options["runtime"] = info.runtime
        super().__init__("the model", factory, checkpoint, Prediction, device, threads, timeout_s, options)
        self._checkpoint, self._info = checkpoint, info

    def _check(self, reply: Prediction) -> None:
        _check_stage(reply, 1)

    def _refusal(self) -> str | None:
        try:
            if self._info is None:
                return None
            found = describe(self._checkpoint)
            if _same_calibration(found, self._info):
                return None
        except UserError as error:
            return str(error)
        return f"the checkpoint {self._checkpoint} has changed since it was read: restart the worker"


class CascadeProcess(TaggerProcess):
    """All checkpoints of a cascade in one child process.

    Args:
        factory: Loads each checkpoint, as for `ModelProcess`.
        cascade: As the parent read it. When a fresh process finds another one, `start` raises `UserError`.
        candidate_threshold: Replaces the cascade's own.
    """

    def __init__(
        self,
        factory: str,
        cascade: Cascade,
        device: str,
        threads: int,
        timeout_s: float,
        candidate_threshold: float | None = None,
    ) -> None:
        options = {"factory": factory, "candidate_threshold": candidate_threshold}
        load = "model.cascade:load"
        super().__init__("the model", load, cascade.file, Prediction, device, threads, timeout_s, options)
        self._cascade, self._device = cascade, device

    def _check(self, reply: Prediction) -> None:
        _check_stage(reply, len(self._cascade.checkpoints))

    def _refusal(self) -> str | None:
        file = self._cascade.file
        try:
            if read_cascade(file, self._device) == self._cascade:
                return None
        except UserError as error:
            return str(error)
        return f"the cascade {file} has changed since it was read: restart the worker"


def _check_stage(prediction: Prediction, stages: int) -> None:
    """Raises `ValueError` when a checkpoint answered that is not there. Callers look it up by its number."""
    if prediction.stage >= stages:
        raise ValueError(f"stage: checkpoint {prediction.stage} of {stages} answered, counted from 0")


def _same_calibration(found: CheckpointInfo, known: CheckpointInfo) -> bool:
    """Whether a stored checkpoint still is the one that runs. For torch, its int8 runtime may change."""
    if known.runtime == "torch":
        return found.model_copy(update={"int8": None}) == known.model_copy(update={"int8": None})
    return found.int8 == known.int8 and found.running(known.runtime) == known


Message = Annotated[str, AfterValidator(lambda text: plain(text, MAX_MESSAGE))]


def _replies(reply: type[Any]) -> TypeAdapter[Any]:
    """Returns the validator of every reply of `model.worker_main`: a kind and its content."""
    done: Any = tuple[Literal["done"], list[reply]]  # type: ignore[valid-type]
    other: Any = tuple[Literal["ready"], None] | tuple[Literal["error", "user_error"], Message]
    return TypeAdapter(done | other)


def _encoded(request: object) -> bytes:
    return frame(pickle.dumps(request))
