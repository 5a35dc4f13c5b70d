"""Workers on real servers, with the stub model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from streams import topics
from streams.settings import Settings
from streams.worker_process import WorkerProcess
from tests.conftest import ROOT, settings_for

Start = Callable[..., WorkerProcess]


@pytest.fixture
def stubbed(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Settings of one test, with topics and with the stub model.

    They are on the shared servers, unless the test names `own_servers` too, which it may stop.
    """
    servers = request.getfixturevalue("own_servers" if "own_servers" in request.fixturenames else "servers")
    settings = settings_for(servers.addresses, tmp_path).changed(
        model_factory="tests.streams.stub_model:load", batch={"tweets": 32}, model_timeout_s=5.0, threshold=0.5
    )
    assert settings.kafka is not None
    topics.create(settings.kafka, topics.plan(settings))
    return settings


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts workers and waits until they are ready. Kills those that still run at the end."""
    with started(tmp_path) as start_one:
        yield start_one


@contextmanager
def started(folder: Path, module: str = "cli.main") -> Iterator[Start]:
    """The same outside a fixture. `folder` gets the workers' logs. `module` is run unless the test names another."""
    workers: list[WorkerProcess] = []

    def start_one(settings: Settings, module: str = module, **options: object) -> WorkerProcess:
        log = folder / f"worker-{len(workers)}.log"
        worker = WorkerProcess(settings, log, module=module, python_path=ROOT, **options)  # type: ignore[arg-type]
        workers.append(worker)
        worker.start()
        worker.ready()
        return worker

    try:
        yield start_one
    finally:
        for worker in workers:
            worker.kill()  # for one that has ended, this only closes its pipe
