"""On a healthy system under load, `mner doctor` tells of nothing and ends with 0."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys

from cli.doctor.checks import examine
from streams.settings import Settings
from tests.families.kafka.topics_of import send
from tests.streams.account import until_caught_up
from tests.streams.conftest import Start

LOOKS = 6
POSTS = 6000


async def test_a_busy_system_is_told_to_be_well(deployment: Settings, start: Start) -> None:
    """A real worker with the stub model, while posts are being fed."""
    worker = start(
        deployment.changed(
            model_factory="tests.streams.stub_model:load", batch={"tweets": 32}, threshold=0.5, in_flight=512
        )
    )
    feeding = asyncio.create_task(asyncio.to_thread(send, deployment, range(POSTS), rate=200.0))
    reports = [await asyncio.to_thread(examine) for _ in range(LOOKS)]
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-m", "cli.main", "doctor", "--json"], capture_output=True, text=True
    )
    assert not feeding.done(), "the doctor looked while posts were being fed"
    told = [(one.name, one.detail) for report in reports for one in report if one.level != "ok"]
    assert told == []
    assert (done.returncode, json.loads(done.stdout)["level"]) == (0, "ok")
    lags = [one.detail for report in reports for one in report if one.name == deployment.name("mner-extract")]
    assert len(lags) == LOOKS
    await feeding
    assert worker.code is None
    await until_caught_up(deployment)
