"""The child process that the model, the image reader and the image decoders share."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from core.child import ChildFailed, ChildProcess, Receive, receive_frame
from core.child_socket import frame
from tests.waiting import turns


async def read(receive: Receive) -> bytes:
    return await receive_frame(receive, 100)


async def ask(child: ChildProcess, request: bytes, timeout_s: float = 30.0) -> bytes:
    return await child.exchange(frame(request), read, timeout_s)


@pytest.fixture
async def child() -> AsyncIterator[ChildProcess]:
    child = ChildProcess("tests.core.echo_child", [], environment={"KEPT": "1"})
    assert await child.start(frame(b"ready"), read, 60.0) == b"ready"
    yield child
    child.stop()
    await child.end()


async def test_a_child_replies_and_stays(child: ChildProcess) -> None:
    pid = child.pid
    assert [await ask(child, request) for request in (b"a", b"", b"b")] == [b"a", b"", b"b"]
    assert child.ready
    assert child.pid == pid


async def test_a_child_inherits_only_the_environment_that_is_passed(child: ChildProcess) -> None:
    names = (await ask(child, b"environment")).decode()
    assert "KEPT" in names
    assert "HOME" not in names


@pytest.mark.parametrize(
    ("request_", "timeout_s", "kind", "message"),
    [
        pytest.param(b"exit", 30.0, "died", "died: exit code 7", id="dies"),
        pytest.param(b"hang", 0.3, "timeout", "did not answer within 0.3 s and was killed", id="hangs"),
        pytest.param(b"long", 30.0, "invalid", "sent an invalid reply and was killed: ", id="sends too long a frame"),
    ],
)
async def test_a_child_has_ended_when_it(
    child: ChildProcess, request_: bytes, timeout_s: float, kind: str, message: str
) -> None:
    with pytest.raises(ChildFailed) as failed:
        await ask(child, request_, timeout_s)
    assert failed.value.kind == kind
    assert str(failed.value).startswith(message)
    assert (child.pid, child.ready) == (None, False)
    assert await child.start(frame(b"again"), read, 60.0) == b"again"


async def test_a_child_is_killed_when_its_exchange_is_cancelled(child: ChildProcess) -> None:
    exchange = asyncio.ensure_future(ask(child, b"hang"))
    await turns()
    exchange.cancel()
    await asyncio.wait([exchange])
    assert exchange.cancelled()
    assert not child.ready, "its late reply could be taken for the next one"
    await child.end()
    assert child.pid is None


async def test_a_child_that_says_more_than_it_was_asked_is_not_ready(child: ChildProcess) -> None:
    assert await ask(child, b"twice") == b"twice"
    assert not child.ready


async def test_a_stop_fails_the_exchange_and_every_later_start(child: ChildProcess) -> None:
    exchange = asyncio.ensure_future(ask(child, b"hang"))
    await turns()
    child.stop()
    with pytest.raises(ChildFailed, match="died: SIGKILL"):
        await exchange
    assert child.pid is None
    with pytest.raises(ChildFailed, match="did not start"):
        await child.start(frame(b"again"), read, 60.0)


@pytest.mark.parametrize(
    ("module", "function"),
    [
        pytest.param(socket, "socketpair", id="before the spawn"),
        pytest.param(subprocess, "Popen", id="after the spawn"),
    ],
)
async def test_a_child_that_is_stopped_while_it_is_spawned_ends_at_once(
    module: Any, function: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = ChildProcess("tests.core.echo_child", [], environment={})
    original = getattr(module, function)

    def stop_during(*arguments: Any, **options: Any) -> Any:
        result = original(*arguments, **options)
        child.stop()
        return result

    monkeypatch.setattr(module, function, stop_during)
    with pytest.raises(ChildFailed, match="died: SIGKILL"):
        await child.start(frame(b"ready"), read, 60.0)
    assert child.pid is None


@pytest.fixture
def import_path() -> list[str]:
    return ["", *(str(Path(entry).absolute()) for entry in sys.path if entry)]


async def test_an_empty_entry_of_the_import_path_does_not_become_the_current_folder(
    import_path: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "shadow.py").touch()
    monkeypatch.setattr(sys, "path", import_path)
    monkeypatch.chdir(tmp_path)
    child = ChildProcess("tests.core.echo_child", [], environment={})
    assert await child.start(frame(b"ready"), read, 60.0) == b"ready"
    try:
        assert await ask(child, b"finds asyncio") == b"True"
        assert await ask(child, b"finds shadow") == b"False"
    finally:
        child.stop()
        await child.end()
