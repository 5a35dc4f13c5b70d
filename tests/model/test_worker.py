"""The model's process: what its parent sees when it dies, hangs or fails, and that it ends with its parent."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from core.errors import BatchFailed, ProcessDied, Retry, Stop, UserError
from model import worker as model_worker
from model.checkpoint import describe, write_config
from model.tokens import Encoded
from model.worker import MAX_STARTS, ModelProcess
from streams.settings import CHECKPOINT
from tests.model import stub_model
from tests.waiting import turns, until

ROOT = Path(__file__).resolve().parent.parent.parent


def tweet(order: int = 100) -> Encoded:
    return Encoded(text=(order,), shapes=(0,), context=None, heads=(0,), spans=((0, 1),))


@asynccontextmanager
async def running(
    loader: str = "load",
    timeout_s: float = 30.0,
    checkpoint: Path = Path("nowhere"),
    candidate_threshold: float | None = None,
) -> AsyncIterator[ModelProcess]:
    worker = ModelProcess(f"tests.model.stub_model:{loader}", checkpoint, "cpu", 1, timeout_s, candidate_threshold)
    try:
        yield worker
    finally:
        await worker.close()


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def until_gone(pid: int) -> None:
    await until(lambda: not is_alive(pid), within_s=10)


async def test_a_batch_comes_back_in_order_from_another_process() -> None:
    async with running() as worker:
        await worker.start()
        assert worker.pid not in (None, os.getpid())
        assert len(await worker.infer([tweet()] * 3)) == 3


@pytest.mark.parametrize(("candidate_threshold", "expected"), [(0.03, 0.03), (None, 0.0)])
async def test_the_candidate_threshold_reaches_the_process_when_it_is_set(
    candidate_threshold: float | None, expected: float
) -> None:
    async with running("load_echoing_threshold", candidate_threshold=candidate_threshold) as worker:
        (prediction,) = await worker.infer([tweet()])
    assert [span.probability for span in prediction.candidates] == [expected]


async def test_a_process_that_restarts_with_another_calibration_is_refused(tmp_path: Path) -> None:
    shutil.copytree(CHECKPOINT, tmp_path, dirs_exist_ok=True)
    info = describe(tmp_path)
    worker = ModelProcess("tests.model.stub_model:load", tmp_path, "cpu", 1, 30.0, info=info)
    try:
        await worker.start()
        write_config(tmp_path, info.model_copy(update={"threshold": 0.123}))
        assert len(await worker.infer([tweet()])) == 1, "a running process keeps the checkpoint that it has read"
        with pytest.raises(ProcessDied):
            await worker.infer([tweet(stub_model.DIE)])
        for _ in range(2):
            with pytest.raises(UserError, match="has changed since it was read: restart the worker"):
                await worker.infer([tweet()])
            assert worker.pid is None
        write_config(tmp_path, info)
        assert len(await worker.infer([tweet()])) == 1
    finally:
        await worker.close()


async def test_an_exception_inside_predict_fails_the_batch_and_leaves_the_process() -> None:
    async with running() as worker:
        await worker.start()
        pid = worker.pid
        with pytest.raises(BatchFailed, match="ValueError: a tweet that cannot be predicted"):
            await worker.infer([tweet(), tweet(stub_model.RAISE)])
        assert await worker.infer([tweet()])
        assert worker.pid == pid


async def test_a_collection_of_garbage_does_not_walk_the_loaded_model() -> None:
    async with running("load_frozen") as worker:
        with pytest.raises(BatchFailed, match="ValueError: 0 walked"):
            await worker.infer([tweet()])


async def test_a_limit_of_zero_is_not_the_default() -> None:
    async with running() as worker:
        await worker.start()
        with pytest.raises(ProcessDied, match="did not answer within 0 s"):
            await worker.infer([tweet()], timeout_s=0)


@pytest.mark.parametrize(
    ("order", "timeout_s", "message"),
    [
        pytest.param(stub_model.DIE, 30.0, "exit code 7", id="exits in the middle of a batch"),
        pytest.param(stub_model.HANG, 0.3, "did not answer within 0.3 s", id="runs past its time"),
        pytest.param(stub_model.FORGET, 30.0, "gave 0 replies for 1", id="gives too few replies"),
        pytest.param(stub_model.LIE, 30.0, "sent an invalid reply", id="answers with something else than a prediction"),
        pytest.param(stub_model.PICKLE, 30.0, "sent an invalid reply", id="sends a pickle that would end its reader"),
    ],
)
async def test_a_process_that(order: int, timeout_s: float, message: str) -> None:
    async with running(timeout_s=timeout_s) as worker:
        await worker.start()
        first = worker.pid
        assert first is not None
        with pytest.raises(ProcessDied, match=message):
            await worker.infer([tweet(order)])
        await until_gone(first)
        assert await worker.infer([tweet()])
        assert worker.pid not in (None, first)


async def test_a_kill_in_the_middle_of_a_batch_is_reported_and_the_next_batch_gets_a_fresh_process(
    tmp_path: Path,
) -> None:
    async with running(checkpoint=tmp_path) as worker:
        await worker.start()
        pid = worker.pid
        assert pid is not None
        batch = asyncio.ensure_future(worker.infer([tweet(stub_model.HANG)]))
        await until((tmp_path / stub_model.HANGS).exists)
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(ProcessDied, match="SIGKILL"):
            await batch
        assert await worker.infer([tweet()])


async def test_a_kill_between_batches_costs_no_batch() -> None:
    async with running() as worker:
        await worker.start()
        pid = worker.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        # The state is Z once the main thread has ended. The process can be collected once the last thread has.
        await asyncio.to_thread(os.waitid, os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        assert await worker.infer([tweet()])


@pytest.mark.parametrize("started", [False, True], ids=["while the process starts", "while the model works"])
async def test_a_cancelled_batch_does_not_mix_up_the_replies(started: bool) -> None:
    async with running() as worker:
        if started:
            await worker.start()
        cancelled = asyncio.ensure_future(worker.infer([tweet()] * 5))
        await until(lambda: worker.pid)
        await turns()
        cancelled.cancel()
        assert len(await worker.infer([tweet()] * 2)) == 2


async def test_the_event_loop_runs_while_the_model_works(tmp_path: Path) -> None:
    async with running(checkpoint=tmp_path) as worker:
        await worker.start()
        batch = asyncio.ensure_future(worker.infer([tweet(stub_model.HANG)]))
        await until((tmp_path / stub_model.HANGS).exists)
        await turns()
        assert not batch.done()
    with pytest.raises(ProcessDied):
        await batch


async def test_the_parents_signals_do_not_reach_the_model() -> None:
    async with running() as worker:
        await worker.start()
        pid = worker.pid
        assert pid is not None
        assert os.getsid(pid) != os.getsid(0), "Ctrl-C in the terminal must reach the parent alone"
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(pid, number)
        assert await worker.infer([tweet()])
        assert worker.pid == pid


@pytest.mark.parametrize(
    ("loader", "error", "message"),
    [
        pytest.param(
            "load_without_checkpoint", UserError, "no checkpoint in nowhere", id="an error that the user can fix"
        ),
        pytest.param("load_broken", Stop, "RuntimeError: libcuda", id="a broken deployment"),
        pytest.param("no_such_function", Stop, "no_such_function", id="a wrong factory"),
    ],
)
async def test_a_model_that_cannot_be_loaded_raises(loader: str, error: type[Exception], message: str) -> None:
    async with running(loader) as worker:
        with pytest.raises(error, match=message):
            await worker.start()
        assert worker.pid is None


async def test_deaths_while_loading_are_retried_and_stop_the_worker_in_the_end() -> None:
    async with running("load_killed") as worker:
        for _ in range(MAX_STARTS - 1):
            with pytest.raises(Retry, match="could not be started: the model's process died: SIGKILL"):
                await worker.infer([tweet()])
        with pytest.raises(Stop, match=r"SIGKILL.*5 times in a row.*free memory"):
            await worker.infer([tweet()])


async def test_a_successful_start_resets_the_count_of_failed_ones(tmp_path: Path) -> None:
    memory = tmp_path / "memory"
    async with running("load_killed", checkpoint=memory) as worker:
        for _ in range(2):
            for _ in range(MAX_STARTS - 1):
                with pytest.raises(Retry):
                    await worker.start()
            memory.touch()
            assert await worker.infer([tweet()])
            memory.unlink()
            with pytest.raises(ProcessDied):
                await worker.infer([tweet(stub_model.DIE)])


async def test_a_model_that_never_loads_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_worker, "LOAD_TIMEOUT_S", 0.3)
    async with running("load_hanging") as worker:
        with pytest.raises(Retry, match=r"did not answer within 0\.3 s"):
            await worker.start()
        assert worker.pid is None


async def test_a_process_that_cannot_be_spawned_is_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running() as worker:
        with monkeypatch.context() as broken:
            broken.setattr("sys.executable", "/nowhere/python")
            with pytest.raises(Retry, match=r"could not be started: .*nowhere"):
                await worker.start()
        assert await worker.infer([tweet()])


@pytest.mark.parametrize("loads", [False, True], ids=["as soon as it runs", "while it loads the model"])
async def test_a_close_ends_a_process_that_starts(tmp_path: Path, loads: bool) -> None:
    async with running("load_hanging", checkpoint=tmp_path) as worker:
        starting = asyncio.ensure_future(worker.start())
        await until((tmp_path / stub_model.HANGS).exists if loads else lambda: worker.pid)
        await worker.close()
        with pytest.raises(ProcessDied, match="closed"):
            await starting


async def test_a_folder_in_the_current_directory_does_not_shadow_our_modules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "__init__.py").write_text("raise SystemExit('the wrong one')")
    monkeypatch.chdir(tmp_path)
    async with running() as worker:
        assert await worker.infer([tweet()])


async def test_close_ends_the_process_in_the_middle_of_a_batch(tmp_path: Path) -> None:
    worker = ModelProcess("tests.model.stub_model:load", tmp_path, "cpu", 1, 30.0)
    await worker.start()
    pid = worker.pid
    assert pid is not None
    batch = asyncio.ensure_future(worker.infer([tweet(stub_model.HANG)]))
    await until((tmp_path / stub_model.HANGS).exists)
    await worker.close()
    await until_gone(pid)
    with pytest.raises(ProcessDied):
        await batch
    with pytest.raises(ProcessDied, match="closed"):
        await worker.infer([tweet()])


PARENT = """
import asyncio, sys
from pathlib import Path
from model.worker import ModelProcess
from tests.model import stub_model
from tests.model.test_worker import tweet
from tests.waiting import until

async def main():
    worker = ModelProcess("tests.model.stub_model:load", Path(sys.argv[1]), "cpu", 1, 600.0)
    await worker.start()
    batch = asyncio.ensure_future(worker.infer([tweet(stub_model.HANG)]))
    await until((Path(sys.argv[1]) / stub_model.HANGS).exists)
    print(worker.pid, flush=True)
    await batch

asyncio.run(main())
"""


async def test_the_process_dies_with_a_parent_that_is_killed_in_the_middle_of_a_batch(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, tmp_path, stdout=subprocess.PIPE, env=environment
    )
    assert parent.stdout is not None
    child = int(await parent.stdout.readline())
    assert is_alive(child)
    parent.kill()
    await parent.wait()
    await until_gone(child)
