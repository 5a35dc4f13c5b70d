"""`mner look` as a person or a script runs it."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from cli.look import command as look
from core.errors import UserError
from demo.examples import EXAMPLES
from model.vision.image_reader import ImageReaderConfig
from model.vision.values import CHANNELS, VisualContext
from streams.settings import Settings, VisionLimits
from streams.vision import image_reader_config
from tests.conftest import ROOT
from tests.streams.images.sample_images import encoded, half_and_half

COFFEE, CLOCK = (str(EXAMPLES / "images" / name) for name in ("coffee.jpg", "clock.png"))
STUB = "tests.model.vision.stub_reader"
TEXT = str(EXAMPLES / "README.md")
PRIVATE = "http://127.0.0.1/1.jpg"
HEAD = ["source", "status", "reason", "format", "width", "height", "sha256", "phash"]
READ = ["tags", "lines", "caption", "absent"]
FIELDS = [*HEAD, *READ, "context"]

WATCHED = """
import sys
sys.addaudithook(lambda event, words: print("started", words[1], file=sys.stderr) if event == "subprocess.Popen" else 0)
from cli.main import main
try:
    main()
finally:
    print("torch" in sys.modules, file=sys.stderr)
"""


HEARING = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background of a script
from cli.main import main
main()
"""


def environment(**variables: str) -> dict[str, str]:
    ours = {name: value for name, value in os.environ.items() if not name.startswith("MNER_")}
    return ours | {"PYTHONPATH": str(ROOT)} | variables


def mner(*words: str, start: tuple[str, ...] = ("-m", "cli.main"), **variables: str) -> Any:
    command = [sys.executable, *start, "look", *words]
    return subprocess.run(
        command, env=environment(**variables), capture_output=True, text=True, check=False, timeout=120
    )


def looked(capsys: pytest.CaptureFixture[str], *sources: str, code: int = 0, **options: Any) -> list[dict[str, Any]]:
    """In this process, and without a model unless `channels` are named."""
    assert look.command(list(sources), as_json=True, **{"channels": "", "draw": None} | options) == code
    answers: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return answers


def test_what_the_model_would_read_of_each_image_or_the_reason_of_a_refusal(tmp_path: Path) -> None:
    drawn = tmp_path / "sheet.png"
    result = mner(COFFEE, PRIVATE, CLOCK, COFFEE, "--json", "--draw", str(drawn))
    answers = json.loads(result.stdout)  # exactly one document
    assert result.returncode == 1, result.stderr
    assert [answer["source"] for answer in answers] == [COFFEE, PRIVATE, CLOCK, COFFEE]
    assert [answer["status"] for answer in answers] == ["ok", "refused", "ok", "ok"]
    assert all(list(answer) == FIELDS for answer in answers)
    coffee, refused, clock, _ = answers
    assert answers[3] == coffee
    assert (coffee["format"], coffee["width"], coffee["height"], coffee["reason"]) == ("JPEG", 600, 400, None)
    assert len(coffee["sha256"]) == len(coffee["phash"]) == 64
    assert coffee["tags"][0]["label"] == "espresso"
    assert coffee["context"].startswith("espresso")
    assert "MNER_VISION_CAPTION" in coffee["absent"]["caption"]
    assert set(clock["absent"]) == {"caption"}
    for answer in answers:
        VisualContext.model_validate({name: answer[name] for name in READ})
    assert refused["reason"].startswith("private_address: ")
    assert {refused[name] for name in ("format", "width", "sha256", "phash", "caption", "context")} == {None}
    with Image.open(drawn) as sheet:
        assert (sheet.format, sheet.mode) == ("PNG", "RGB")
        assert sheet.width > 3 * 500  # a source given twice is drawn once
    assert [path.name for path in tmp_path.iterdir()] == ["sheet.png"]


def test_where_all_is_refused_no_model_is_loaded() -> None:
    result = mner(PRIVATE, TEXT, "nowhere.png", start=("-c", WATCHED))
    assert result.returncode == 1
    assert result.stderr.endswith("False\n")
    assert "streams.images.decoder_main" in result.stderr
    assert "worker_main" not in result.stderr
    assert [line.split()[1] for line in result.stdout.splitlines() if "_" in line[:20]] == [
        "private_address",
        "not_an_image",
        "not_found",
    ]


def test_a_path_and_its_url_are_one_picture(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    odd = tmp_path / "50% #1? é.png"
    odd.write_bytes(encoded(half_and_half(), "PNG"))
    by_path, by_url = looked(capsys, str(odd), odd.as_uri())
    assert by_path == by_url | {"source": str(odd)}
    assert (by_path["status"], by_path["width"]) == ("ok", 80)


def test_addresses_have_a_workers_rules(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        answer = f"HTTP/1.1 200 OK\r\nContent-Length: {len(picture := encoded(half_and_half(), 'GIF'))}\r\n\r\n"
        url = f"http://127.0.0.1:{port}/1.jpg"
        (refused,) = looked(capsys, url, code=1)
        assert refused["reason"].startswith("port: ")
        monkeypatch.setenv("MNER_IMAGE_ALLOW", f"127.0.0.1:{port}")
        if os.fork() == 0:
            connection, _ = server.accept()
            connection.recv(4096)
            connection.sendall(answer.encode() + picture)
            os._exit(0)
        (had,) = looked(capsys, url)
        os.wait()
    assert (had["status"], had["format"]) == ("ok", "GIF")


@pytest.mark.parametrize(
    ("channels", "environment", "wanted"),
    [
        pytest.param(None, None, CHANNELS, id="those of a worker"),
        pytest.param(None, "ocr", ("ocr",), id="those of the setting"),
        pytest.param(None, "", (), id="none by the setting"),
        pytest.param("tags, ocr", "caption", ("tags", "ocr"), id="the option comes first"),
        pytest.param("", "ocr", (), id="none by the option"),
    ],
)
def test_the_channels_that_are_read(
    channels: str | None, environment: str | None, wanted: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MNER_VISION_CHANNELS", raising=False)
    if environment is not None:
        monkeypatch.setenv("MNER_VISION_CHANNELS", environment)
    settings = look._settings(channels)
    assert settings.vision.channels == wanted
    assert (settings.image.cache_mb, settings.vision.cache) == (0, 0)  # shown is what is there now


def test_a_channel_that_is_off_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    (answer,) = looked(capsys, CLOCK)
    assert answer["absent"] == dict.fromkeys(CHANNELS, "off")
    assert answer["context"] is None


def test_the_real_tweet_images_are_had_and_fit_on_a_sheet(
    capsys: pytest.CaptureFixture[str], data_sets: Path, tmp_path: Path
) -> None:
    files = sorted(map(str, (data_sets / "images").glob("*.jpg")))
    answers = looked(capsys, *files, draw=tmp_path / "sheet.png")
    assert [answer["source"] for answer in answers] == files
    assert len(answers) == 24
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 4 * 500
        assert sheet.height > 6 * 375


@pytest.mark.parametrize("as_json", [False, True])
def test_nothing_of_strangers_steers_the_terminal(as_json: bool, capsys: pytest.CaptureFixture[str]) -> None:
    assert look.command(["\x1b[31m\x9b[/red]\u202e.png"], as_json=as_json, draw=None, channels="") == 1
    told = "".join(capsys.readouterr())
    assert not set(told) & set("\x1b\x9b\u202e")
    assert "[/red]" in told


def test_misuse_is_told_with_exit_code_2() -> None:
    nothing = mner()
    assert (nothing.returncode, nothing.stdout) == (2, "")
    with pytest.raises(UserError, match="--channels: no channel is called 'smell'; wanted some of tags, caption, ocr"):
        look.command([COFFEE], draw=None, channels="tags,smell")


@pytest.mark.parametrize(
    ("draw", "told"),
    [
        pytest.param("/nowhere/x.png", "--draw /nowhere/x.png: No such file", id="no folder"),
        pytest.param("/tmp", "--draw /tmp: Is a directory", id="a folder"),
        pytest.param("/tmp/x.jpg", "wanted a name that ends in .png", id="another format"),
        pytest.param(CLOCK, "is an image to look at", id="a source"),
    ],
)
def test_an_impossible_drawing_is_told_before_the_work(draw: str, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(look, "_look", lambda *_, **__: pytest.fail("has begun to work"))
    with pytest.raises(UserError, match=told):
        look.command([COFFEE, CLOCK], draw=Path(draw), channels=None)


def test_a_drawing_does_not_take_the_place_of_a_source_named_by_its_url(tmp_path: Path) -> None:
    source = tmp_path / "50% é.png"
    source.write_bytes(encoded(half_and_half(), "PNG"))
    before = source.read_bytes()
    for url in (source.as_uri(), source.as_uri().replace("file:", "FILE:")):
        with pytest.raises(UserError, match="is an image to look at"):
            look.command(["file://[", "x" * 5000, url], draw=source, channels="")
    assert source.read_bytes() == before


def test_a_sheet_has_its_limit() -> None:
    with pytest.raises(UserError, match="201 images do not go on one sheet; at most 200"):
        look.command([str(number) for number in range(201)], draw=Path("x.png"), channels=None)


def test_a_failed_run_leaves_the_drawing_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = tmp_path / "sheet.png"
    drawn.write_bytes(b"precious")
    monkeypatch.setattr("cli.look.cards.contact_sheet", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        look.command([CLOCK], draw=drawn, channels="")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("sheet.png", b"precious")]


def test_ctrl_c_ends_it_without_a_word_and_leaves_nothing(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        host = f"127.0.0.1:{server.getsockname()[1]}"
        command = [sys.executable, "-c", HEARING, "look", COFFEE, f"http://{host}/1.jpg", "--json"]
        with subprocess.Popen(
            [*command, "--channels", "", "--draw", str(tmp_path / "x.png")],
            env=environment(MNER_IMAGE_ALLOW=host, MNER_IMAGE_TIMEOUT_S="60"),
            start_new_session=True,  # a terminal's Ctrl-C reaches the whole group
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as running:
            server.settimeout(30)
            server.accept()  # and never answer
            os.killpg(running.pid, signal.SIGINT)
            out, err = running.communicate(timeout=20)
    assert (running.returncode, out, err) == (130, b"", b"")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ProcessLookupError):
        os.killpg(running.pid, 0)


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a stub of that name in the reader's place."""

    def put(loader: str) -> None:
        def config(limits: VisionLimits, device: str, **changes: Any) -> ImageReaderConfig:
            return replace(
                image_reader_config(limits, device, **changes),
                reader=str(tmp_path / "diary"),
                factory=f"{STUB}:{loader}",
            )

        monkeypatch.setattr("streams.vision.image_reader_config", config)

    return put


def test_every_picture_is_read_however_long_the_others_take(
    stub: Callable[[str], None], capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub("load")
    monkeypatch.setenv("MNER_VISION_WAIT_S", "1e-6")  # so that any reader is too slow for a worker
    files = [tmp_path / f"{number}.png" for number in range(24)]
    for number, file in enumerate(files):
        file.write_bytes(encoded(half_and_half().rotate(number), "PNG"))
    answers = looked(capsys, *map(str, files), channels="ocr")
    assert [answer["absent"] for answer in answers] == [{"tags": "off", "caption": "off"}] * 24


def test_a_named_model_that_cannot_be_loaded_is_told_in_place_of_what_was_read(
    stub: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    stub("load_misconfigured")
    monkeypatch.setenv("MNER_VISION_TAGS", "/nowhere")
    with pytest.raises(UserError, match=r"^the tags model /nowhere cannot be loaded: .* \(see MNER_VISION_TAGS\)$"):
        look.command([CLOCK, COFFEE], as_json=True, draw=None, channels="tags")


@pytest.mark.parametrize("keep", [False, True])
def test_pixels_are_held_only_for_a_drawing(keep: bool) -> None:
    found = look.asyncio.run(look._look([CLOCK], Settings(vision=VisionLimits(channels=())), keep_pixels=keep))[CLOCK]
    assert found.picture is not None
    assert found.picture.pixels is None
    assert (found.pixels is not None) == keep


def test_a_drawing_of_one_image_shows_it_large() -> None:
    out = io.BytesIO()
    look._draw(
        [look.asyncio.run(look._look([CLOCK], Settings(vision=VisionLimits(channels=())), keep_pixels=True))[CLOCK]],
        out,
    )
    with Image.open(out) as drawn:
        assert drawn.width == 960 + 2 * 36
