"""A log that lost its end, as after an unclean election or from a restored volume, and has grown again or not."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from local.stack import Stack
from streams import topics
from tests.altered import alter
from tests.families.kafka.side_by_side import QUICK, bare_settings, with_topics
from tests.families.kafka.topics_of import send, until_all_committed, until_extracted
from tests.streams.conftest import Start, started

KEPT, LOST = 40, 40


Mode = Literal["no worker", "running", "paused"]


@dataclass(frozen=True)
class Case:
    """`stamped`: who gives the records their time. `fed`: posts that follow.

    `worker`: what a worker does while the log is cut and while the posts follow. A paused one sees neither.
    """

    stamped: Literal["LogAppendTime", "CreateTime"]
    worker: Mode
    fed: int

    @property
    def id(self) -> str:
        return f"{self.stamped}, {self.worker}, {'grown again' if self.fed > LOST else 'still short'}"


STAMPS: tuple[Literal["LogAppendTime", "CreateTime"], ...] = ("LogAppendTime", "CreateTime")
MODES: tuple[Mode, ...] = ("no worker", "running", "paused")
CASES = [Case(stamped, worker, fed) for stamped in STAMPS for worker in MODES for fed in (8, 400)]


class Cut:
    """One case, with topics and workers of its own."""

    def __init__(self, case: Case, stack: Stack, folder: Path, start: Start) -> None:
        self.case, self.stack, self.start = case, stack, start
        self.kept = folder / "kept"
        self.settings = with_topics(bare_settings(stack, folder))

    async def read(self) -> None:
        """A worker reads all. What the log was before its last records is kept."""
        topic, stamped = self.settings.name(topics.TWEETS), str(self.case.stamped)
        await asyncio.to_thread(alter, str(self.settings.kafka), topic, {"message.timestamp.type": stamped})
        await asyncio.to_thread(send, self.settings, range(KEPT))
        await asyncio.to_thread(self.copy)
        self.worker = await asyncio.to_thread(self.start, self.settings, only=("extract",))
        await asyncio.to_thread(send, self.settings, range(KEPT, KEPT + LOST))
        await until_all_committed(self.settings)
        if self.case.worker == "no worker":
            await asyncio.to_thread(self.worker.stop)
        if self.case.worker == "paused":
            os.kill(self.worker.pid, signal.SIGSTOP)

    async def read_on(self) -> None:
        """What was appended after the cut is extracted."""
        new = range(KEPT + LOST, KEPT + LOST + self.case.fed)
        await asyncio.to_thread(send, self.settings, new)
        if self.case.worker == "paused":
            os.kill(self.worker.pid, signal.SIGCONT)
        if self.case.worker == "no worker":
            self.worker = await asyncio.to_thread(self.start, self.settings, only=("extract",))
        await until_extracted(self.settings, new, 90)
        await until_all_committed(self.settings, 60)
        assert self.worker.code is None
        output = self.worker.output()
        assert 1 <= output.count("reading again") <= 4, f"each partition is read again once:\n{output}"

    def copy(self) -> None:
        for folder in self._folders():
            shutil.copytree(folder, self.kept / folder.name, ignore=shutil.ignore_patterns("*.index", "*.timeindex"))

    def restore(self) -> None:
        """Kafka makes the indexes anew, which are not among the kept files."""
        for folder in self._folders():
            shutil.rmtree(folder)
            shutil.copytree(self.kept / folder.name, folder)

    def _folders(self) -> list[Path]:
        return sorted((self.stack.kafka.folder / "data").glob(f"{self.settings.name(topics.TWEETS)}-*"))


@pytest.fixture(scope="module")
def outcomes(
    own_servers: Stack, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[Case, BaseException | None]]:
    """All cases share the one restart of Kafka."""
    folder = tmp_path_factory.mktemp("cut")
    with started(folder, QUICK) as start:
        yield asyncio.run(cut_all([Cut(case, own_servers, folder / case.id, start) for case in CASES], own_servers))


async def cut_all(cuts: Sequence[Cut], stack: Stack) -> dict[Case, BaseException | None]:
    await asyncio.gather(*(cut.read() for cut in cuts))
    await asyncio.to_thread(stack.kafka.stop)
    for cut in cuts:
        cut.restore()
    await asyncio.to_thread(stack.kafka.start)
    await asyncio.to_thread(stack.kafka.ready)
    found = await asyncio.gather(*(cut.read_on() for cut in cuts), return_exceptions=True)
    return {cut.case: outcome for cut, outcome in zip(cuts, found, strict=True)}


@pytest.mark.timeout(240)
@pytest.mark.parametrize("case", [pytest.param(case, id=case.id) for case in CASES])
def test_what_was_appended_after_the_cut_is_extracted(outcomes: dict[Case, BaseException | None], case: Case) -> None:
    if (outcome := outcomes[case]) is not None:
        raise outcome
