"""`mner look`, as a person or a script runs it."""

from __future__ import annotations

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

from cli.look import command as look
from cli.look import inspector
from cli.look.inspector import ImageInspector
from core.errors import UserError
from demo.examples import EXAMPLES
from model.vision.image_reader import ImageReaderConfig
from model.vision.values import CHANNELS, VisualContext
from streams.settings import ImageLimits, VisionLimits
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
    """Runs the command in this process, without models unless `channels` are named. Returns its JSON."""
    assert look.command(list(sources), as_json=True, **{"channels": "", "html": None} | options) == code
    answers: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return answers


def test_json_shows_what_the_model_reads_of_each_image_or_why_it_was_refused(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    result = mner(COFFEE, PRIVATE, CLOCK, COFFEE, "--json", "--html", str(page))
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
    html = page.read_text(encoding="utf-8")
    assert html.count("<article ") == 3  # a source that is named twice is shown once
    assert html.count("data:image/jpeg;base64,") == 2
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


def test_no_model_is_loaded_if_every_image_is_refused() -> None:
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


def test_a_path_and_its_url_name_the_same_image(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    odd = tmp_path / "50% #1? é.png"
    odd.write_bytes(encoded(half_and_half(), "PNG"))
    by_path, by_url = looked(capsys, str(odd), odd.as_uri())
    assert by_path == by_url | {"source": str(odd)}
    assert (by_path["status"], by_path["width"]) == ("ok", 80)


def test_urls_are_fetched_under_the_rules_of_a_worker(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        answer = f"HTTP/1.1 200 OK\r\nContent-Length: {len(image := encoded(half_and_half(), 'GIF'))}\r\n\r\n"
        url = f"http://127.0.0.1:{port}/1.jpg"
        (refused,) = looked(capsys, url, code=1)
        assert refused["reason"].startswith("port: ")
        monkeypatch.setenv("MNER_IMAGE_ALLOW", f"127.0.0.1:{port}")
        if os.fork() == 0:
            connection, _ = server.accept()
            connection.recv(4096)
            connection.sendall(answer.encode() + image)
            os._exit(0)
        (loaded,) = looked(capsys, url)
        os.wait()
    assert (loaded["status"], loaded["format"]) == ("ok", "GIF")


@pytest.mark.parametrize(
    ("channels", "environment", "wanted"),
    [
        pytest.param(None, None, CHANNELS, id="those of a worker"),
        pytest.param(None, "ocr", ("ocr",), id="those of the setting"),
        pytest.param(None, "none", (), id="none by the setting"),
        pytest.param(None, "", CHANNELS, id="an empty setting"),
        pytest.param("tags, ocr", "caption", ("tags", "ocr"), id="the option comes first"),
        pytest.param("", "ocr", (), id="none by the option"),
    ],
)
def test_the_option_and_then_the_settings_choose_the_channels(
    channels: str | None, environment: str | None, wanted: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MNER_VISION_CHANNELS", raising=False)
    if environment is not None:
        monkeypatch.setenv("MNER_VISION_CHANNELS", environment)
    settings = look.look_settings(channels)
    assert settings.vision.channels == wanted
    assert (settings.image.cache_mb, settings.vision.cache) == (0, 0)  # shows what a URL serves now


def test_a_channel_that_is_off_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    (answer,) = looked(capsys, CLOCK)
    assert answer["absent"] == dict.fromkeys(CHANNELS, "off")
    assert answer["context"] is None


def test_the_images_of_real_posts_are_loaded_and_shown(
    capsys: pytest.CaptureFixture[str], data_sets: Path, tmp_path: Path
) -> None:
    files = sorted(map(str, (data_sets / "images").glob("*.jpg")))
    answers = looked(capsys, *files, html=tmp_path / "page.html")
    assert [answer["source"] for answer in answers] == files
    assert len(answers) == 24
    assert (tmp_path / "page.html").read_text(encoding="utf-8").count("data:image/jpeg;base64,") == 24


@pytest.mark.parametrize("as_json", [False, True])
def test_no_control_character_reaches_the_terminal(as_json: bool, capsys: pytest.CaptureFixture[str]) -> None:
    assert look.command(["\x1b[31m\x9b[/red]\u202e.png"], as_json=as_json, html=None, channels="") == 1
    output = "".join(capsys.readouterr())
    assert not set(output) & set("\x1b\x9b\u202e")
    assert "[/red]" in output


def test_misuse_is_an_error_with_exit_code_2() -> None:
    nothing = mner()
    assert (nothing.returncode, nothing.stdout) == (2, "")
    with pytest.raises(UserError, match="--channels: there is no channel 'smell'; choose from tags, caption, ocr"):
        look.command([COFFEE], html=None, channels="tags,smell")


@pytest.mark.parametrize(
    ("html", "message"),
    [
        pytest.param("/nowhere/x.html", "--html /nowhere/x.html: No such file", id="no folder"),
        pytest.param("/tmp", "--html /tmp: Is a directory", id="a folder"),
        pytest.param("/tmp/x.jpg", "the name must end in .html", id="another format"),
    ],
)
def test_a_page_that_cannot_be_written_is_an_error_before_the_work(
    html: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inspector, "ImageInspector", lambda *_: pytest.fail("the work has begun"))
    with pytest.raises(UserError, match=message):
        look.command([COFFEE, CLOCK], html=Path(html), channels=None)


def test_the_page_does_not_replace_a_source_that_a_url_names(tmp_path: Path) -> None:
    source = tmp_path / "50% é.html"
    source.write_bytes(encoded(half_and_half(), "PNG"))
    before = source.read_bytes()
    for url in (source.as_uri(), source.as_uri().replace("file:", "FILE:")):
        with pytest.raises(UserError, match="is one of the images to look at"):
            look.command(["file://[", "x" * 5000, url], html=source, channels="")
    assert source.read_bytes() == before


def test_a_page_has_a_limit() -> None:
    with pytest.raises(UserError, match="one page shows at most 200 images; you named 201"):
        look.command([str(number) for number in range(201)], html=Path("x.html"), channels=None)


def test_a_failed_run_leaves_the_old_page_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "page.html"
    page.write_bytes(b"precious")
    monkeypatch.setattr("cli.look.page.page", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        look.command([CLOCK], html=page, channels="")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("page.html", b"precious")]


def test_ctrl_c_ends_the_command_silently_and_leaves_no_file(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        host = f"127.0.0.1:{server.getsockname()[1]}"
        command = [sys.executable, "-c", HEARING, "look", COFFEE, f"http://{host}/1.jpg", "--json"]
        with subprocess.Popen(
            [*command, "--channels", "", "--html", str(tmp_path / "x.html")],
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
    """Replaces the image reader by a stub of this name."""

    def put(loader: str) -> None:
        def config(limits: VisionLimits, device: str, **changes: Any) -> ImageReaderConfig:
            return replace(
                image_reader_config(limits, device, **changes),
                reader=str(tmp_path / "diary"),
                factory=f"{STUB}:{loader}",
            )

        monkeypatch.setattr("streams.vision.image_reader_config", config)

    return put


def test_every_image_is_read_however_long_the_others_take(
    stub: Callable[[str], None], capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub("load")
    monkeypatch.setenv("MNER_VISION_WAIT_S", "1e-6")  # any reader is too slow for a worker under this limit
    files = [tmp_path / f"{number}.png" for number in range(24)]
    for number, file in enumerate(files):
        file.write_bytes(encoded(half_and_half().rotate(number), "PNG"))
    answers = looked(capsys, *map(str, files), channels="ocr")
    assert [answer["absent"] for answer in answers] == [{"tags": "off", "caption": "off"}] * 24


def test_a_model_that_cannot_be_loaded_is_an_error(
    stub: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    stub("load_misconfigured")
    monkeypatch.setenv("MNER_VISION_TAGS", "/nowhere")
    with pytest.raises(UserError, match=r"^the tags model /nowhere cannot be loaded: .* \(see MNER_VISION_TAGS\)$"):
        look.command([CLOCK, COFFEE], as_json=True, html=None, channels="tags")


@pytest.mark.parametrize("keep", [False, True])
async def test_pixels_are_kept_only_on_request(keep: bool, tmp_path: Path) -> None:
    async with ImageInspector(ImageLimits(), VisionLimits(channels=()), "auto", tmp_path) as inspector:
        clock = await inspector.inspect(CLOCK, keep_pixels=keep)
    assert clock.image is not None
    assert clock.image.pixels is None
    assert (clock.pixels is not None) == keep
