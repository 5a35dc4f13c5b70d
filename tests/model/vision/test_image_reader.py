"""The image reader: what it reads, caches and turns away. No image does harm to its post."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import math
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from core.errors import UserError
from core.pixels import Pixels
from model.vision import cache
from model.vision.image_reader import FAILURE_TTL_S, ImageReader, ImageReaderConfig
from model.vision.reader_queue import RESTART_PAUSE_S, NotRead, ReaderQueue
from model.vision.values import MAX_REASON, Channel, Request, VisualContext
from model.worker import BatchProcess
from streams.images.database import Database
from tests.model.vision.stub_reader import BABBLE, DIE, HANG, HELD, NO_TEXT, PRINT, RAISE, chessboard, released
from tests.waiting import LoopClock, until

SHARP = "f" * 64
COPY = "f" * 63 + "7"
OTHER = "0" * 64


class Running:
    """An image reader with the stub in its process, the outcomes it reported, and a clock moved by hand."""

    def __init__(
        self, reader: ImageReader, diary: Path, outcomes: Counter[tuple[Channel, str]], now: list[float]
    ) -> None:
        self.reader, self._diary, self.outcomes, self._now = reader, diary, outcomes, now

    async def read(self, order: int = 100, number: int = 0, phash: str = "", sha256: str = "") -> VisualContext:
        async def pixels() -> Pixels:
            return chessboard(order, number)

        name = f"{order}.{number}"
        return await self.reader.read(sha256 or name, phash or hashlib.sha256(name.encode()).hexdigest(), pixels)

    async def read_until_settled(self, order: int, number: int, sha256: str = "") -> VisualContext:
        """Asks again until the image does not time out."""
        while (context := await self.read(order, number, "", sha256)).absent.get("ocr", "").startswith("timeout"):
            pass
        return context

    def diary(self) -> list[str]:
        return self._diary.read_text().splitlines() if self._diary.exists() else []

    def release(self, number: int) -> None:
        released(self._diary, number).touch()

    def later(self, seconds: float) -> None:
        self._now[0] += seconds


Start = Callable[..., Awaitable[Running]]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    async with AsyncExitStack() as stack:

        async def start(loader: str = "load", store: bool = True, **changes: object) -> Running:
            config = ImageReaderConfig(
                channels=("tags", "ocr"),
                reader=str(tmp_path / "diary"),
                device="cpu",
                threads=1,
                batch=8,
                queue=32,
                timeout_s=30.0,
                cached=1000,
                near=16,
                factory=f"tests.model.vision.stub_reader:{loader}",
            )
            outcomes: Counter[tuple[Channel, str]] = Counter()
            now = [1000.0]
            database = Database(tmp_path / "cache" / "vision.sqlite3", cache.SCHEMA, cache.SCHEMA_VERSION)
            stack.push_async_callback(database.close)
            reader = ImageReader(
                dataclasses.replace(config, **changes),  # type: ignore[arg-type]
                database if store else None,
                lambda read, seconds: outcomes.update(read.items()),
                lambda: now[0],
            )
            await stack.enter_async_context(reader)
            return Running(reader, tmp_path / "diary", outcomes, now)

        yield start


def text(context: VisualContext) -> list[str]:
    return [line.text for line in context.lines]


def labels(context: VisualContext) -> list[str]:
    return [tag.label for tag in context.tags]


async def test_each_channel_is_read_or_says_why_not(start: Start) -> None:
    running = await start()
    context = await running.read(number=7)
    assert (labels(context), text(context), context.absent) == (["tag 7"], ["text 7"], {"caption": "off"})
    assert running.outcomes == {("tags", "read"): 1, ("ocr", "read"): 1}


async def test_a_channel_that_is_off_says_why(start: Start) -> None:
    running = await start(channels=("tags",), off={"caption": "off: no model is set"}, store=False)
    assert (await running.read()).absent == {"caption": "off: no model is set", "ocr": "off"}


async def test_without_channels_no_process_starts_and_no_pixels_are_loaded(start: Start) -> None:
    running = await start(channels=())
    context = await running.read()
    assert context == VisualContext(absent={"tags": "off", "caption": "off", "ocr": "off"})
    assert running.reader.pid is None


async def test_concurrent_calls_read_an_image_once_and_later_calls_use_the_cache(start: Start) -> None:
    running = await start()
    contexts = await asyncio.gather(*(running.read(number=1) for _ in range(50)))
    assert len(set(map(str, contexts))) == 1
    assert await running.read(number=1) == contexts[0]
    assert running.diary() == ["1 tags+ocr of 1"]
    assert running.outcomes["ocr", "cached"] == 1


async def test_images_that_wait_are_read_in_one_batch(start: Start) -> None:
    running = await start(batch=4)
    await asyncio.gather(*(running.read(number=number) for number in range(9)))
    sizes = [int(line.rpartition(" ")[2]) for line in running.diary()]
    assert len(sizes) == 9
    assert max(sizes) == 4


async def test_the_cache_outlives_the_worker_but_not_a_change_of_configuration(start: Start) -> None:
    first = await (await start()).read(number=1)
    again = await start()
    assert await again.read(number=1) == first
    assert len(again.diary()) == 1
    other = await start(channels=("tags",))
    assert (await other.read(number=1)).absent == {"caption": "off", "ocr": "off"}
    assert len(other.diary()) == 2


async def test_a_near_duplicate_borrows_the_tags_and_its_own_text_is_read(start: Start) -> None:
    running = await start()
    await running.read(number=1, phash=SHARP)
    copy = await running.read(number=2, phash=COPY)
    assert (labels(copy), text(copy)) == (["tag 1"], ["text 2"])
    other = await running.read(number=3, phash=OTHER)
    assert (labels(other), text(other)) == (["tag 3"], ["text 3"])
    assert running.diary() == ["1 tags+ocr of 1", "2 ocr of 1", "3 tags+ocr of 1"]
    assert running.outcomes["tags", "near"] == 1


async def test_an_image_that_lends_stays_longer_in_the_cache(start: Start) -> None:
    running = await start(cached=2)
    for number, phash in ((1, SHARP), (2, OTHER), (3, COPY), (1, SHARP)):
        await running.read(number=number, phash=phash)
    assert running.diary() == ["1 tags+ocr of 1", "2 tags+ocr of 1", "3 ocr of 1"]


async def test_borrowed_tags_are_not_lent_again(start: Start) -> None:
    running = await start(near=1)
    await running.read(number=1, phash=SHARP)
    await running.read(number=2, phash=COPY)
    third = await running.read(number=3, phash="f" * 63 + "3")
    assert labels(third) == ["tag 3"], "two bits from the image that was read, one from its near-duplicate"


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(chessboard(100, 2, (255, 0, 0)), id="of another colour"),
        pytest.param(Pixels(1, 1, bytes([100, 2, 0])), id="plain"),
    ],
)
async def test_a_near_hash_alone_makes_no_near_duplicate(start: Start, other: Pixels) -> None:
    async def pixels() -> Pixels:
        return other

    running = await start()
    await running.read(number=1, phash=SHARP)
    assert labels(await running.reader.read("other", SHARP, pixels)) == ["tag 2"]
    assert labels(await running.read(number=3, phash=SHARP)) == ["tag 1"]


async def test_a_plain_image_lends_nothing(start: Start) -> None:
    async def pixels() -> Pixels:
        return Pixels(1, 1, bytes([100, 1, 0]))

    running = await start()
    await running.reader.read("plain", SHARP, pixels)
    assert labels(await running.read(number=2, phash=SHARP)) == ["tag 2"]


async def test_lending_can_be_turned_off(start: Start) -> None:
    running = await start(near=-1)
    await running.read(number=1, phash=SHARP)
    assert labels(await running.read(number=2, phash=SHARP)) == ["tag 2"]


async def test_pixels_are_loaded_once_to_compare_and_to_read(start: Start) -> None:
    asked = []

    async def pixels() -> Pixels:
        asked.append(1)
        return chessboard(number=2)

    running = await start()
    await running.read(number=1, phash=SHARP)
    assert labels(await running.reader.read("other", SHARP, pixels)) == ["tag 1"]
    assert len(asked) == 1


async def test_a_near_duplicate_without_pixels_borrows_nothing(start: Start) -> None:
    async def gone() -> Pixels:
        raise OSError("the file is not there any more")

    running = await start()
    await running.read(number=1, phash=SHARP)
    context = await running.reader.read("other", SHARP, gone)
    assert context.absent["tags"] == "no_pixels: the file is not there any more"


async def test_a_full_queue_turns_images_away_at_once_without_loading_their_pixels(start: Start) -> None:
    running = await start(batch=1, queue=2, store=False)
    inside = [asyncio.ensure_future(running.read(HANG, number)) for number in range(3)]
    await until(running.diary)

    async def never() -> Pixels:
        raise AssertionError("this image must not be loaded")

    async with asyncio.timeout(5):
        context = await running.reader.read("z", SHARP, never)
    assert context.absent == {"tags": "busy", "ocr": "busy", "caption": "off"}
    assert running.outcomes == {("tags", "busy"): 1, ("ocr", "busy"): 1}
    assert not any(task.done() for task in inside)


async def test_while_the_pace_is_unknown_one_batch_is_admitted(start: Start) -> None:
    running = await start(store=False, batch=2, queue=100, wait_s=1.0)
    crowd = await asyncio.gather(*(running.read(number=number) for number in range(10)))
    assert [context.absent.get("ocr", "read") for context in crowd] == ["read"] * 2 + ["busy"] * 8


async def test_an_image_that_was_turned_away_is_not_remembered(start: Start) -> None:
    running = await start(batch=1, queue=1)
    crowd = await asyncio.gather(*(running.read(number=number) for number in range(5)))
    assert [context.absent.get("ocr") for context in crowd] == [None, None, "busy", "busy", "busy"]
    assert text(await running.read(number=4)) == ["text 4"]


async def test_an_image_that_times_out_is_still_read_and_cached(start: Start, loop_clock: LoopClock) -> None:
    running = await start(batch=1, timeout_s=1000.0)
    first, *others = [asyncio.ensure_future(running.read(HELD, number)) for number in range(3)]
    await until(lambda: len(running.diary()) == 1)
    loop_clock.pass_s(500)
    running.release(0)
    assert text(await first) == ["text 0"]
    await until(lambda: len(running.diary()) == 2)
    loop_clock.pass_s(600)
    contexts = await asyncio.gather(*others)
    assert [context.absent["ocr"] for context in contexts] == ["timeout: not read within 1000 s"] * 2
    running.release(1)
    running.release(2)
    contexts = [await running.read(HELD, number) for number in range(3)]
    assert [text(context) for context in contexts] == [["text 0"], ["text 1"], ["text 2"]]
    assert len(running.diary()) == 3


@pytest.mark.parametrize(
    ("order", "reason", "tries"),
    [
        pytest.param(DIE, "failed: the image reader's process died: exit code 7", 2, id="ends the process"),
        pytest.param(RAISE, "failed: ValueError: an image that cannot be read", 1, id="raises"),
        pytest.param(HANG, "failed: the image reader's process did not answer within 1 s", 2, id="hangs"),
    ],
)
async def test_the_poisonous_image_is_isolated_when_it(start: Start, order: int, reason: str, tries: int) -> None:
    running = await start(timeout_s=1.0 if order == HANG else 30.0)
    readings = [running.read_until_settled(*image) for image in ((100, 1), (100, 2), (order, 3))]
    *good, bad = await asyncio.gather(*readings)
    assert [text(context) for context in good] == [["text 1"], ["text 2"]]
    assert bad.absent["ocr"].startswith(reason)
    assert bad.absent["tags"] == bad.absent["ocr"]
    before = running.diary()
    assert before.count("3 tags+ocr of 1") == tries
    assert (await running.read(order, 3)).absent == bad.absent
    assert running.diary() == before, "its failure is remembered"
    running.later(FAILURE_TTL_S)
    assert text(await running.read_until_settled(100, 3, f"{order}.3")) == ["text 3"], "but not for ever"


async def test_a_channel_that_fails_is_reported_and_not_cached(start: Start) -> None:
    context = await (await start()).read(NO_TEXT, 1)
    assert (labels(context), context.absent["ocr"]) == (["tag 1"], "broken: no session")
    again = await start()
    assert (await again.read(100, 1, sha256=f"{NO_TEXT}.1")).absent == {"caption": "off"}
    assert (again.outcomes["tags", "read"], again.outcomes["ocr", "read"]) == (1, 1)


async def test_a_process_that_does_not_start_is_left_alone_for_a_while(start: Start) -> None:
    running = await start("load_broken")
    assert (await running.read(number=1)).absent["ocr"].startswith("unavailable: no such model")
    for number in range(2, 20):
        assert (await running.read(number=number)).absent["ocr"].startswith("unavailable")
    assert running.diary() == ["start"]
    running.later(RESTART_PAUSE_S)
    await running.read(number=1)
    assert running.diary() == ["start", "start"]


async def test_images_that_already_wait_start_no_process_during_the_pause(start: Start) -> None:
    running = await start("load_broken")
    crowd = await asyncio.gather(*(running.read(number=number) for number in range(40)))
    assert {context.absent["ocr"].split(": ")[0] for context in crowd} == {"unavailable"}
    assert running.diary() == ["start"]


async def test_a_reason_from_the_process_is_one_line_of_bounded_length(start: Start) -> None:
    running = await start()
    reason = (await running.read(BABBLE)).absent["ocr"]
    assert (len(reason), reason[:6]) == (MAX_REASON, "[31mxx")


async def test_what_a_library_prints_goes_to_stderr(start: Start, capfd: pytest.CaptureFixture[str]) -> None:
    running = await start()
    assert text(await running.read(PRINT, 1)) == ["text 1"]
    assert capfd.readouterr() == ("", "a library says hello\n")


async def test_a_check_reports_a_wrong_configuration(start: Start) -> None:
    with pytest.raises(UserError, match=r"^the tags model /nowhere cannot be loaded: name another$"):
        await (await start("load_misconfigured")).reader.check()
    with pytest.raises(UserError, match="no such model"):
        await (await start("load_broken")).reader.check()


async def test_a_check_passes_with_good_channels_and_with_none(start: Start) -> None:
    await (await start()).reader.check()
    without = await start("load_broken", channels=())
    await without.reader.check()
    assert without.reader.pid is None


class RecordingProcess(BatchProcess[Request, VisualContext]):
    """Takes the place of the process. Records the size and the time limit of each batch.

    Each batch moves `now` on by `batch_s`.
    """

    def __init__(self, batch_s: float = 0.0) -> None:
        super().__init__("the image reader", "", None, VisualContext, "cpu", 1, timeout_s=10.0)
        self.batches: list[tuple[int, float]] = []
        self.now, self._batch_s = 0.0, batch_s

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def infer(self, batch: Sequence[Request], timeout_s: float | None = None) -> list[VisualContext]:
        assert timeout_s is not None
        self.batches.append((len(batch), timeout_s))
        self.now += self._batch_s
        return [VisualContext()] * len(batch)


async def some_pixels() -> Pixels:
    return chessboard()


async def test_a_large_batch_gets_a_longer_limit() -> None:
    process = RecordingProcess()
    queue = ReaderQueue(process, batch=32, room=100, wait_s=math.inf, clock=lambda: process.now)
    async with queue:
        await asyncio.gather(*(queue.read(("ocr",), some_pixels) for _ in range(36)))
    assert [limit for _, limit in process.batches] == [max(10.0, 10.0 * size / 8) for size, _ in process.batches]
    assert max(process.batches) == (32, 40.0)


async def test_only_as_many_images_wait_as_will_be_read_in_time() -> None:
    async def read() -> str:
        try:
            await queue.read(("ocr",), some_pixels)
        except NotRead as error:
            return error.kind
        return "read"

    process = RecordingProcess(batch_s=1.0)
    queue = ReaderQueue(process, batch=1, room=100, wait_s=2.5, clock=lambda: process.now)
    async with queue:
        assert await read() == "read"
        assert await asyncio.gather(*(read() for _ in range(9))) == ["read"] * 3 + ["busy"] * 6


async def test_a_cancelled_caller_does_not_disturb_the_others(start: Start) -> None:
    running = await start()
    gone, stays = asyncio.ensure_future(running.read(HELD, 1)), asyncio.ensure_future(running.read(HELD, 1))
    await until(running.diary)
    gone.cancel()
    running.release(1)
    assert text(await stays) == ["text 1"]
    with pytest.raises(asyncio.CancelledError):
        await gone
    assert len(running.diary()) == 1


async def test_missing_pixels_are_reported_and_loaded_again_next_time(start: Start) -> None:
    running = await start()

    async def gone() -> Pixels:
        raise OSError("the file is not there any more")

    context = await running.reader.read("a", SHARP, gone)
    assert context.absent["ocr"] == "no_pixels: the file is not there any more"
    assert text(await running.read(number=1, sha256="a")) == ["text 1"]


async def test_close_releases_all_callers(start: Start) -> None:
    running = await start()
    readings = [asyncio.ensure_future(running.read(HANG, number)) for number in range(40)]
    await until(running.diary)
    await running.reader.__aexit__()
    reasons = {context.absent["ocr"] for context in await asyncio.gather(*readings)}
    assert reasons <= {"closed", "busy"}
