"""The benchmark of images, small: every image is fetched once and decoded, or there is no figure."""

from __future__ import annotations

import io
import json
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console
from rich.progress import Progress

from benchmarks.image_child import OUTCOME, Outcome
from benchmarks.image_report import Figures, Report
from benchmarks.image_run import Child, Contender, Run, measure
from benchmarks.image_server import HOSTS, ImageServer
from benchmarks.images import BY_HAND, KINDS, OURS, Bench
from benchmarks.photographs import BYTES, TOLERANCE
from benchmarks.report import machine
from benchmarks.run import Wrong
from core.errors import UserError

COUNT = 120

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a hundred loopback addresses: Linux alone has them")


@pytest.fixture(scope="module")
def server() -> Iterator[ImageServer]:
    with ImageServer(KINDS, pictures=3) as server:
        yield server


def test_every_contender_decodes_all_and_the_report_says_so(server: ImageServer, tmp_path: Path) -> None:
    contenders: list[Contender] = [OURS[0], BY_HAND]
    with Progress(console=Console(quiet=True)) as progress:
        figures = Bench(server, progress).measure(contenders, "baseline", COUNT, rounds=1)
    report = Report("2026-11-21T07:00:00+00:00", machine(), figures)
    report.write(tmp_path / "report.json")
    report.show(Console(quiet=True))

    written = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert [one["contender"] for one in written["figures"]] == [contender.name for contender in contenders]
    for one in written["figures"]:
        (run,) = one["runs"]
        assert one["images"] == COUNT
        assert run["images_per_s"] > 0
        assert run["cpu_ms"] > 0


def test_ratios_are_ours_over_theirs_round_by_round() -> None:
    runs = [[Run(rate, 4.0, 1.0) for rate in rates] for rates in ((300.0, 200.0), (150.0, 200.0))]
    figures = [Figures("baseline", name, "", 100, those) for name, those in zip(("ours", "other"), runs, strict=True)]
    assert Report("", machine(), figures).ratios("baseline", "other") == [2.0, 1.0]
    assert figures[0].ceiling(cores=2) == 400.0


@pytest.mark.parametrize(("rate", "verdict"), [(299.0, "not reached"), (300.0, "reached")])
def test_the_report_says_whether_ours_is_fast_enough(rate: float, verdict: str) -> None:
    figures = [Figures("baseline", name, "", 100, [Run(rate, 4.0, 1.0)]) for name in ("ours", "other")]
    console = Console(width=120)
    with console.capture() as shown:
        Report("", machine(), figures).show(console)
    assert f"baseline, ours: {rate:.0f} images/s; wanted 300: {verdict}" in shown.get()


@pytest.mark.parametrize("kind", KINDS)
def test_each_url_has_a_photograph_of_64_kb_with_bytes_of_its_own(server: ImageServer, kind: str) -> None:
    server.reset()
    urls = server.urls(6, kind)  # type: ignore[arg-type]
    bodies = [urllib.request.urlopen(url).read() for url in urls]
    assert len(set(bodies)) == 6
    for body in bodies:
        assert abs(len(body) / BYTES - 1) < TOLERANCE + 0.001
        image = Image.open(io.BytesIO(body))
        image.load()
        assert bool(image.info.get("progressive")) == (kind == "progressive")
    assert server.served().requests == 6


def test_urls_go_from_host_to_host_and_are_never_given_twice(server: ImageServer) -> None:
    urls = server.urls(len(HOSTS), "baseline") + server.urls(len(HOSTS), "baseline")
    assert len(set(urls)) == 2 * len(HOSTS)
    assert len({url.split("/")[2] for url in urls[: len(HOSTS)]}) == len(HOSTS)


@dataclass(frozen=True)
class Cheat:
    """Asks for the first `asked` URLs and says that it decoded `decoded`."""

    asked: int
    decoded: int
    code: int = 0
    name: str = "cheat"
    settings: str = ""

    def command(self, folder: Path) -> list[str]:
        program = (
            "import pathlib, urllib.request\n"
            f"for url in pathlib.Path({str(folder / 'urls.txt')!r}).read_text().split()[:{self.asked}]:\n"
            "    urllib.request.urlopen(url).read()\n"
            f"raise SystemExit({self.code})"
        )
        return [sys.executable, "-c", program]

    def outcome(self, folder: Path) -> Outcome:
        assert not (folder / OUTCOME).exists()
        return Outcome(self.decoded, ended_at=2e9)


@pytest.mark.parametrize(
    ("contender", "error", "says"),
    [
        pytest.param(Cheat(asked=4, decoded=3), Wrong, "3 images decoded, 4 asked for, wanted 4", id="one not decoded"),
        pytest.param(Cheat(asked=3, decoded=4), Wrong, "4 images decoded, 3 asked for", id="one not asked for"),
        pytest.param(Cheat(asked=4, decoded=4, code=3), UserError, "cheat ended with code 3", id="a fault at the end"),
        pytest.param(Child("nobody", "nobody", ""), UserError, "KeyError: 'nobody'", id="it does not start"),
    ],
)
def test_who_did_not_do_the_work_has_no_figure(
    server: ImageServer, contender: Contender, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        measure(contender, server, 4, "baseline")


def test_who_did_has_one(server: ImageServer) -> None:
    assert measure(Cheat(asked=4, decoded=4), server, 4, "baseline").images_per_s > 0
