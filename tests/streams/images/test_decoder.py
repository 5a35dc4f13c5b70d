"""Whatever a file does to its decoder: it gives an image or a reason, and the next image is decoded."""

from __future__ import annotations

import asyncio
import ctypes
import hashlib
import math
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from demo.examples import png_bomb
from streams.images.decode import LoadedImage, decode
from streams.images.decoder import MODULE, Decoders
from streams.images.errors import ImageError
from tests.local.processes import eventually
from tests.streams.images.echo_decoder import FOUND, PIXELS, answer
from tests.streams.images.sample_images import FILES, GIF_BOMB, WEBP_BOMB, encoded, half_and_half, slow_jpeg
from tests.waiting import until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, and limits memory as Linux does")

LIMIT = 40_000_000
URL = "http://images.example/a"
GOOD = FILES["JPEG"]
SLOW = slow_jpeg()
ECHO = "tests.streams.images.echo_decoder"


def decoders(
    count: int = 1,
    *,
    max_pixels: int = LIMIT,
    memory_mb: int = 1024,
    timeout_s: float = 30.0,
    wait_s: float = math.inf,
    module: str = MODULE,
) -> Decoders:
    return Decoders(
        count, max_pixels=max_pixels, memory_mb=memory_mb, timeout_s=timeout_s, wait_s=wait_s, module=module
    )


async def refusal(pool: Decoders, body: bytes) -> ImageError:
    with pytest.raises(ImageError) as refused:
        await pool.decode(body, URL)
    return refused.value


def status(pid: int, name: str) -> str:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(line.split(":")[1].strip() for line in lines if line.startswith(f"{name}:"))


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def cpu_ticks(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11])


async def at_work(pool: Decoders) -> int:
    """Returns the id of the only process once it is busy with an image."""
    (pid,) = pool.pids
    before = cpu_ticks(pid)
    await until(lambda: cpu_ticks(pid) >= before + 10)
    return pid


async def test_every_format_decodes_as_it_does_in_this_process() -> None:
    async with decoders(2) as pool:
        bodies = [*FILES.values(), encoded(half_and_half(size=(1000, 500)), "JPEG")]
        images = await asyncio.gather(*(pool.decode(body, URL) for body in bodies))
    for body, image in zip(bodies, images, strict=True):
        here, pixels = decode(body, LIMIT), image.pixels
        assert pixels is not None
        assert (image.url, image.sha256) == (URL, hashlib.sha256(body).hexdigest())
        assert (image.format, image.width, image.height) == (here.format, here.width, here.height)
        assert here.small is not None
        assert (image.phash, (pixels.width, pixels.height), pixels.rgb) == (
            here.phash,
            here.small.size,
            here.small.tobytes(),
        )
    async with decoders(1) as pool:
        bare = [await pool.decode(body, URL, small=False) for body in bodies]
    assert bare == [replace(image, pixels=None) for image in images]


async def test_processes_start_when_needed_up_to_the_limit() -> None:
    async with decoders(2) as pool:
        assert pool.pids == ()
        await pool.decode(GOOD, URL)
        await pool.decode(GOOD, URL)
        assert len(pool.pids) == 1
        await asyncio.gather(*(pool.decode(GOOD, URL) for _ in range(5)))
        assert len(pool.pids) == 2


async def test_bombs_are_refused_before_they_take_memory() -> None:
    async with decoders() as pool:
        await pool.decode(GOOD, URL)
        (pid,) = pool.pids
        before = int(status(pid, "VmHWM").split()[0])
        for body in (png_bomb(), GIF_BOMB, WEBP_BOMB, encoded(Image.new("1", (6400, 6251)), "PNG")):
            assert (await refusal(pool, body)).kind == "bomb"
        assert pool.pids == (pid,)
        assert int(status(pid, "VmHWM").split()[0]) - before < 10_000
        assert (await pool.decode(GOOD, URL)).format == "JPEG"


async def test_an_image_within_the_pixel_limit_that_needs_too_much_memory_is_a_bomb_too() -> None:
    """libwebp keeps several copies of the canvas, together 16 bytes per pixel."""
    body = encoded(Image.new("RGB", (8000, 5000), (9, 99, 200)), "WEBP", method=0)
    async with decoders(memory_mb=640) as pool:
        await pool.decode(GOOD, URL)
        (pid,) = pool.pids
        assert (await refusal(pool, body)).reason == "bomb: needs more than 640 MB of memory"
        assert not alive(pid)
        assert (await pool.decode(GOOD, URL)).format == "JPEG"


async def test_memory_stays_bounded_in_the_parent_and_in_the_decoder() -> None:
    body = encoded(Image.new("RGB", (8000, 5000), (9, 99, 200)), "WEBP", method=0)
    async with decoders() as pool:
        await pool.decode(GOOD, URL)
        (pid,) = pool.pids
        before = int(status(os.getpid(), "VmRSS").split()[0])
        for _ in range(3):
            assert (await pool.decode(body, URL)).width == 8000
        for _ in range(200):
            await pool.decode(GOOD, URL)
        assert pool.pids == (pid,)
        assert int(status(pid, "VmHWM").split()[0]) * 1024 < 1024_000_000
        assert int(status(os.getpid(), "VmRSS").split()[0]) - before < 15_000


def damaged() -> Iterator[bytes]:
    for body in FILES.values():
        yield from (body[: len(body) * tenth // 10] for tenth in range(10))
    dice = random.Random(5)
    for body in [*FILES.values()] * 40:
        flipped = bytearray(body)
        for _ in range(dice.choice((1, 1, 3, 30))):
            # damage in the headers misleads a decoder most
            place = dice.randrange(min(len(body), dice.choice((40, 700, len(body)))))
            flipped[place] ^= 1 << dice.randrange(8)
        yield bytes(flipped)


async def test_truncated_and_damaged_files_give_an_image_or_a_reason() -> None:
    async with decoders(2, max_pixels=4_000_000) as pool:
        outcomes = await asyncio.gather(*(pool.decode(body, URL) for body in damaged()), return_exceptions=True)
        images = [outcome for outcome in outcomes if isinstance(outcome, LoadedImage)]
        errors = [outcome for outcome in outcomes if isinstance(outcome, ImageError)]
        assert len(images) + len(errors) == len(outcomes)
        assert not [error for error in errors if "Permission" in error.reason], (
            "a module was imported after the process was confined"
        )
        assert {error.kind for error in errors} <= {"not_an_image", "broken", "bomb"}
        assert len(images) > 50
        assert len(errors) > 50
        assert (await pool.decode(GOOD, URL)).format == "JPEG"


async def test_a_file_that_takes_too_long_is_given_up_and_the_process_replaced() -> None:
    async with decoders(timeout_s=0.5) as pool:
        await pool.decode(GOOD, URL)
        (pid,) = pool.pids
        started = time.monotonic()
        assert (await refusal(pool, SLOW)).reason == "too_slow: decoding takes more than 0.5 s"
        assert time.monotonic() - started < 2
        assert not alive(pid)
        assert (await pool.decode(GOOD, URL)).format == "JPEG"


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGSEGV, signal.SIGXCPU], ids=lambda blow: blow.name)
async def test_a_process_that_dies_over_a_file_costs_that_file_alone(blow: signal.Signals) -> None:
    async with decoders() as pool:
        await pool.decode(GOOD, URL)
        victim = asyncio.ensure_future(refusal(pool, SLOW))
        next_one = asyncio.ensure_future(pool.decode(GOOD, URL))
        os.kill(await at_work(pool), blow)
        assert (await victim).reason == f"decoder_died: {blow.name}"
        assert (await next_one).format == "JPEG"


async def test_a_caller_that_finds_no_idle_decoder_in_time_is_refused_as_busy() -> None:
    async with decoders(wait_s=0.2) as pool:
        await pool.decode(GOOD, URL)
        slow = asyncio.ensure_future(pool.decode(slow_jpeg(100), URL))
        await at_work(pool)
        assert (await refusal(pool, GOOD)).reason == "busy: no decoder was free within 0.2 s"
        await slow
        assert (await pool.decode(GOOD, URL)).format == "JPEG"


async def test_a_process_stopped_by_a_signal_is_killed_in_time() -> None:
    async with decoders(timeout_s=1.0) as pool:
        await pool.decode(GOOD, URL)
        (pid,) = pool.pids
        os.kill(pid, signal.SIGSTOP)
        assert (await refusal(pool, GOOD)).kind == "too_slow"
        assert not alive(pid)


async def test_a_process_that_died_while_idle_costs_no_image() -> None:
    async with decoders() as pool:
        await pool.decode(GOOD, URL)
        (pid,) = pool.pids
        os.kill(pid, signal.SIGKILL)
        assert eventually(lambda: status(pid, "State").startswith("Z"))
        assert (await pool.decode(GOOD, URL)).format == "JPEG"


async def test_the_reply_for_a_cancelled_image_is_not_taken_for_the_next_one() -> None:
    async with decoders() as pool:
        await pool.decode(GOOD, URL)
        pids = pool.pids
        for patience_s in (0.0, 0.001, 0.003, 0.01):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(pool.decode(slow_jpeg(20), URL), patience_s)
            assert (await pool.decode(GOOD, URL)).width == 300
        assert pool.pids == pids, "a new process would cost more than an image"


async def test_replies_are_not_mixed_up_when_every_task_is_cancelled() -> None:
    async with decoders() as pool:
        await pool.decode(GOOD, URL)
        work = asyncio.ensure_future(pool.decode(slow_jpeg(100), URL))
        await at_work(pool)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await asyncio.wait([work])
        assert (await pool.decode(GOOD, URL)).width == 300


async def test_a_file_that_times_out_after_its_caller_left_does_not_block_the_next_one() -> None:
    async with decoders(timeout_s=0.5) as pool:
        await pool.decode(GOOD, URL)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(pool.decode(SLOW, URL), 0.1)
        assert (await pool.decode(GOOD, URL)).width == 300


@pytest.mark.parametrize(
    "invalid",
    [
        pytest.param(answer(b"not JSON"), id="no JSON"),
        pytest.param(answer(b""), id="nothing"),
        pytest.param(answer(b"[" * 4000), id="JSON that nests deep"),
        pytest.param(answer(b"\xff\xfe{}"), id="no UTF-8"),
        pytest.param(b"\xff\xff\xff\xff" + bytes(9), id="a header of 4 GB"),
        pytest.param(answer({"ready": True}), id="ready when asked for an image"),
        pytest.param(answer(FOUND | {"extra": 1}), id="an extra field"),
        pytest.param(answer({name: value for name, value in FOUND.items() if name != "phash"}), id="a missing field"),
        pytest.param(answer(FOUND | {"width": float("nan")}), id="NaN"),
        pytest.param(answer(FOUND | {"width": 4.0}), id="a fraction"),
        pytest.param(answer(FOUND | {"width": "4"}), id="a number as text"),
        pytest.param(answer(FOUND | {"width": 0}), id="no width"),
        pytest.param(answer(FOUND | {"height": -2}), id="a negative height"),
        pytest.param(answer(FOUND | {"width": 100_000, "height": 100_000}), id="more pixels than allowed"),
        pytest.param(answer(FOUND | {"small": (5, 1)}), id="a small copy larger than the image"),
        pytest.param(
            answer(FOUND | {"small": (641, 1), "width": 9999}, bytes(3 * 641)), id="a small copy that is too large"
        ),
        pytest.param(answer(FOUND | {"small": (2, 1, 3)}), id="three dimensions"),
        pytest.param(answer(FOUND | {"small": None}, b""), id="no small copy where one was wanted"),
        pytest.param(answer(FOUND | {"phash": "0" * 63 + "\n"}), id="an invalid hash"),
        pytest.param(answer(FOUND | {"format": "TIFF"}), id="a format that is not allowed"),
        pytest.param(answer({"kind": "private_address", "detail": ""}), id="a reason that a decoder cannot know"),
        pytest.param(answer({"kind": "broken", "detail": "x" * 301}), id="a detail that is too long"),
    ],
)
async def test_an_invalid_reply_is_refused_and_its_process_killed(invalid: bytes) -> None:
    async with decoders(module=ECHO) as pool:
        honest = await pool.decode(answer(FOUND), URL)
        assert (honest.width, honest.height, honest.pixels and honest.pixels.rgb) == (4, 2, PIXELS)
        (pid,) = pool.pids
        assert (await refusal(pool, invalid)).reason.startswith("decoder_died: it sent an invalid reply")
        assert not alive(pid)


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        pytest.param(answer(FOUND)[:-1], "too_slow", id="one byte fewer than announced"),
        pytest.param(answer({"kind": "memory", "detail": ""}, b""), "bomb", id="out of memory"),
        pytest.param(
            answer({"kind": "broken", "detail": "\x1b[31m"}, b""), "broken", id="a reason with control characters"
        ),
    ],
)
async def test_a_reply_without_an_image_gives_a_printable_reason(reply: bytes, kind: str) -> None:
    async with decoders(module=ECHO, timeout_s=1.0) as pool:
        error = await refusal(pool, reply)
        assert error.kind == kind
        assert error.reason.isprintable()


async def test_bytes_after_a_reply_are_not_taken_for_the_next_reply() -> None:
    async with decoders(module=ECHO) as pool:
        await pool.decode(answer(FOUND) + answer(FOUND | {"width": 99}), URL)
        (pid,) = pool.pids
        assert (await pool.decode(answer(FOUND), URL)).width == 4
        assert not alive(pid)


async def test_a_process_that_does_not_start_is_a_reason_and_is_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    async with decoders() as pool:
        monkeypatch.setattr(sys, "executable", "/nonexistent/python")
        assert (await refusal(pool, GOOD)).kind == "internal"
        assert (await refusal(pool, GOOD)).kind == "internal"
        monkeypatch.undo()
        assert (await pool.decode(GOOD, URL)).format == "JPEG"
    async with decoders(module="streams.images.absent") as pool:
        error = await refusal(pool, GOOD)
        assert error.kind == "internal"
        assert "exit code 1" in error.reason


async def test_a_process_is_replaced_after_many_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.images.decoder_process.RECYCLE_AFTER", 3)
    async with decoders(module=ECHO) as pool:
        pids: list[int] = []
        for _ in range(7):
            await pool.decode(answer(FOUND), URL)
            pids += pool.pids
    assert [pids.count(pid) for pid in dict.fromkeys(pids)] == [3, 3, 1]


async def test_closing_is_prompt_repeatable_and_refuses_images_in_work() -> None:
    pool = decoders()
    await pool.decode(GOOD, URL)
    work = [asyncio.ensure_future(refusal(pool, SLOW)) for _ in range(3)]
    pid = await at_work(pool)
    started = time.monotonic()
    await asyncio.gather(pool.close(), pool.close())
    await pool.close()
    reasons = [(await task).reason for task in work]
    assert time.monotonic() - started < 1
    assert reasons == ["internal: the decoders are closed"] * 3
    assert not alive(pid)
    assert (await refusal(pool, GOOD)).kind == "internal"


async def test_closing_while_a_process_starts_ends_it() -> None:
    pool = decoders()
    starting = asyncio.ensure_future(refusal(pool, GOOD))
    await until(lambda: pool.pids)
    (pid,) = pool.pids
    await pool.close()
    assert (await starting).kind == "internal"
    assert not alive(pid)


async def test_a_process_has_nothing_worth_stealing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MNER_REDIS", "redis://:secret@host")
    monkeypatch.setenv("https_proxy", "http://user:secret@proxy")
    async with decoders() as pool:
        careless = os.open(__file__, os.O_RDONLY)
        os.set_inheritable(careless, True)
        await pool.decode(GOOD, URL)
        os.close(careless)
        (pid,) = pool.pids
        about = Path(f"/proc/{pid}")
        environment = (about / "environ").read_text()
        assert "secret" not in environment
        assert "MNER" not in environment
        assert (about / "cwd").readlink() == (about / "root").readlink()
        kinds = sorted(str(file.readlink()).partition(":")[0] for file in (about / "fd").iterdir())
        assert kinds == ["pipe", "pipe", "pipe", "socket"], "not even /dev/null, which root's process could chmod"
        flags = [int(file.read_text().split()[3], 8) for file in (about / "fdinfo").iterdir()]
        assert all(each & os.O_CLOEXEC for each in flags)
        assert (status(pid, "NoNewPrivs"), int(status(pid, "CapEff"), 16), status(pid, "Threads")) == ("1", 0, "1")
        limits = (about / "limits").read_text()
        for name, value in {
            "address space": 1024_000_000,
            "file size": 0,
            "open files": 16,
            "core file size": 0,
        }.items():
            assert f"Max {name} {value} {value} " in " ".join(limits.split())


INTRUDER = """
import ctypes, os, socket, sys
from streams.images.confine import confine, limit
file = sys.argv[1]
listener, own, by_path = socket.create_server(("127.0.0.1", 0)), socket.socket(), socket.socket(socket.AF_UNIX)
by_path.bind(file)
by_path.listen()
libc = ctypes.CDLL(None)
libc.shmat.restype = ctypes.c_ssize_t
segment = libc.shmget(0, 4096, 0o1600)
libc.shmat(segment, None, 0)
libc.shmctl(segment, 0, None)  # it goes with this process
limit(1024)
confine(os.getppid())
def share():
    if libc.shmat(segment, None, 0) == -1:
        raise OSError
attempts = {
    "read": lambda: open(file),
    "list": lambda: os.listdir("/"),
    "write": lambda: open("/tmp/intruder", "w"),
    "stat": lambda: os.stat(file),
    "chmod": lambda: os.chmod(file, 0o777),
    "run": lambda: os.execv(sys.executable, [sys.executable, "-c", "pass"]),
    "fork": lambda: os._exit(0) if os.fork() == 0 else None,
    "connect": lambda: socket.socket().connect(listener.getsockname()),
    "connect by path": lambda: socket.socket(socket.AF_UNIX).connect(file),
    "send": lambda: socket.socket(type=socket.SOCK_DGRAM).sendto(b"", ("127.0.0.1", 53)),
    "share memory": share,
    "signal": lambda: os.kill(os.getppid(), 0),
    "more memory": lambda: bytearray(2_000_000_000),
}
for name, attempt in attempts.items():
    try:
        attempt()
        print(name)
    except (OSError, MemoryError):
        pass
"""

NAMESPACES = """
import ctypes
if ctypes.CDLL(None).unshare(0x1000_0000 | 0x4000_0000 | 0x0800_0000) != 0:  # of users, networks and System V IPC
    raise SystemExit("refused")
"""
NO_NAMESPACES = """
import ctypes
if ctypes.CDLL(None).unshare(0x1000_0000) != 0:
    raise SystemExit("refused")
with open("/proc/sys/user/max_user_namespaces", "w") as most:  # holds below this namespace alone
    most.write("0")
"""
UNPRIVILEGED = """
import ctypes
ctypes.CDLL(None).capset(b"\\x22\\x05\\x08\\x20" + bytes(4), bytes(24))  # root then holds no more than any user
"""
OPEN = {"stat", "chmod", "connect by path", "send", "share memory"}
"""Attempts that Landlock alone does not prevent."""


@pytest.mark.parametrize(
    ("before", "remains"),
    [
        pytest.param("", set(), id="where a user may make namespaces"),
        pytest.param(NO_NAMESPACES, OPEN, id="where none may be made"),
    ],
)
def test_code_in_a_confined_process_reaches_no_file_no_network_and_no_other_process(
    before: str, remains: set[str], tmp_path: Path
) -> None:
    """Skips by what the kernel offers, never by the results of the intruder."""
    if ctypes.CDLL(None).syscall(444, None, 0, 1) < 6:
        pytest.skip("this kernel does not offer landlock(7) version 6")
    bare = before or UNPRIVILEGED + NAMESPACES
    if subprocess.run([sys.executable, "-c", bare], check=False, stderr=subprocess.DEVNULL).returncode:
        pytest.skip("namespaces may not be made here")
    run = subprocess.run(
        [sys.executable, "-c", before + UNPRIVILEGED + INTRUDER, str(tmp_path / "s")],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    reached = set(run.stdout.split("\n")) - {""}
    assert reached == remains | ({"fork"} if os.getuid() == 0 else set()), "Linux counts no processes of root"


def test_a_process_without_a_watching_parent_ends_by_its_cpu_limit() -> None:
    ours, theirs = socket.socketpair()
    arguments = [theirs.fileno(), os.getpid(), LIMIT, 1024, 0.1]
    with (
        ours,
        theirs,
        subprocess.Popen(
            [sys.executable, "-m", "streams.images.decoder_main", *map(str, arguments)], pass_fds=[theirs.fileno()]
        ) as process,
    ):
        size = struct.unpack("!I", ours.recv(4, socket.MSG_WAITALL))[0]
        assert ours.recv(size, socket.MSG_WAITALL) == b'{"ready": true}'
        before = sum(map(int, Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[11:13]))
        slow = slow_jpeg(800)
        ours.sendall(struct.pack("!I?", len(slow), False) + slow)
        ours.shutdown(socket.SHUT_WR)
        _, ended, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(ended)
    assert -process.returncode == signal.SIGXCPU
    used = usage.ru_utime + usage.ru_stime - before / os.sysconf("SC_CLK_TCK")
    assert used < 0.1 + 1 + 0.2, "the kernel counts whole seconds"


@pytest.mark.parametrize("seconds", [1e6, 1e30, float("inf")])
def test_no_limit_that_can_be_set_kills_a_process_by_itself(seconds: float) -> None:
    code = f"from streams.images.confine import limit, limit_cpu; limit(10**30); limit_cpu(float('{seconds}'))"
    subprocess.run([sys.executable, "-c", code], check=True)


OWNER = """
import asyncio
from streams.images.decoder import Decoders
from tests.streams.images.sample_images import FILES, slow_jpeg
from tests.streams.images.test_decoder import cpu_ticks
from tests.waiting import until
async def main():
    pool = Decoders(2, max_pixels=40_000_000, memory_mb=1024, timeout_s=60)
    await asyncio.gather(*(pool.decode(FILES["JPEG"], "") for _ in range(2)))
    before = sum(map(cpu_ticks, pool.pids))
    work = asyncio.ensure_future(pool.decode(slow_jpeg(), ""))
    await until(lambda: sum(map(cpu_ticks, pool.pids)) >= before + 10)
    print(*pool.pids, flush=True)
    await work
asyncio.run(main())
"""


def test_no_process_outlives_a_killed_parent() -> None:
    with subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        pids = [int(pid) for pid in owner.stdout.readline().split()]
        assert len(pids) == 2
        assert all(alive(pid) for pid in pids)
        owner.kill()
    assert eventually(lambda: not any(alive(pid) for pid in pids), within_s=5)
