"""`mner predict` as a person or a script runs it."""

from __future__ import annotations

import io
import json
import logging
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from rich.console import Console

from cli import predict
from cli.main import main
from core.events import ImageResult, Tweet
from demo.examples import EXAMPLES
from model.checkpoint import describe
from model.extractor import Extracted
from streams.settings import CHECKPOINT

LINES = [
    '{"id": "1", "text": "Steph Curry was born in Akron", "media": []}',
    '{"id": "2"}',
    "not JSON",
    '{"id": "4", "text": "Paris &amp; London \\u2764", "media": [{"url": "http://a.test/1.jpg", "alt": "a tower"}]}',
    '{"id": "5", "text": "  "}',
]
UNSEEN = '{"id": "6", "text": "Oslo", "media": [{"url": "http://a.test/1.jpg", "alt": "\\u200b"}]}'
COFFEE = EXAMPLES / "images" / "coffee.jpg"


@pytest.fixture(scope="module")
def started() -> list[str]:
    """Returns the command lines of the processes that this one has started since, as the interpreter reports them."""
    commands: list[str] = []
    sys.addaudithook(lambda event, words: commands.append(str(words[1])) if event == "subprocess.Popen" else None)
    return commands


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Returns the folder where the command caches images."""
    folder = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("MNER_HOME", str(folder))
    return folder


class Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


def by_process(*arguments: str, stdin: str = "") -> Done:
    """Runs `mner predict` as a person does."""
    command = [sys.executable, "-m", "cli.main", "predict", *arguments]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, timeout=120)
    return Done(done.returncode, done.stdout, done.stderr)


def mner(*arguments: str, stdin: str = "") -> Done:
    """Runs the same in this process, which has torch loaded already."""
    out, errors = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    kafka = logging.getLogger("kafka")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kafka, "level", kafka.level)  # `main` changes it
        patch.setattr(sys, "argv", ["mner", "predict", *arguments])
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode()), "utf-8"))
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", errors)
        with pytest.raises(SystemExit) as ended:
            main()
    assert isinstance(ended.value.code, int)
    return Done(ended.value.code, *(each.buffer.getvalue().decode() for each in (out, errors)))


def test_a_file_of_posts_gives_one_line_each_in_order_and_bad_lines_say_why() -> None:
    result = by_process("--jsonl", "-", stdin="\n".join(LINES))
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.returncode == 1, result.stderr
    assert [answer["id"] for answer in answers] == ["1", "2", None, "4", "5"]
    assert [field in answers[line]["error"] for line, field in ((1, "text"), (2, "event"), (4, "is blank"))]
    assert [(mention["text"], mention["type"]) for mention in answers[0]["mentions"]] == [
        ("Steph Curry", "PER"),
        ("Akron", "LOC"),
    ]
    assert answers[0]["image"] == {"status": "none"}
    assert 0 < answers[0]["typicality"] <= 1
    assert [answer["accounts"] for answer in answers if "accounts" in answer] == [[], []]
    for mention in answers[3]["mentions"]:
        assert "Paris &amp; London ❤"[mention["start"] : mention["end"]] == mention["text"]
        assert {"probability", "aleatoric", "epistemic", "views"} <= mention.keys()
        assert mention["views"].keys() == {"text", "text+context"}


def test_each_result_says_what_became_of_the_image() -> None:
    wanted = {
        COFFEE.as_uri(): ("ok", ""),
        "file:///nowhere/1.jpg": ("failed", "not_found: "),
        (EXAMPLES / "README.md").as_uri(): ("failed", "not_an_image: "),
        "http://127.0.0.1/1.jpg": ("failed", "private_address: "),
    }
    tweets = [json.dumps({"id": "1", "text": "Houston", "media": [{"url": url}]}) for url in wanted]
    result = mner("--jsonl", "-", stdin="\n".join(tweets))
    assert result.returncode == 0, result.stderr
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    for answer, (status, reason) in zip(answers, wanted.values(), strict=True):
        assert answer["image"]["status"] == status
        assert answer["image"].get("reason", "").startswith(reason)
    assert answers[0]["image"]["channels"] == {
        "tags": "read",
        "ocr": "read",
        "caption": "off: MNER_VISION_CAPTION names no model",
    }
    views = [{view for mention in answer["mentions"] for view in mention["views"]} for answer in answers]
    assert views == [
        {"text", "text+context"},
        {"text"},
        {"text"},
        {"text"},
    ]  # what the vision models read is the context


def test_a_text_has_its_image_for_context(home: Path) -> None:
    shown = mner("Espresso at Pikolo", "--image", str(COFFEE))
    assert shown.returncode == 0, shown.stderr
    assert "context: espresso" in shown.stdout
    refused = mner("Steph Curry", "--image", "http://127.0.0.1/1.jpg")
    assert refused.returncode == 0
    assert "image refused: private_address: " in refused.stdout
    assert "PER" in refused.stdout
    assert not list(home.iterdir())  # a single image is not cached


@pytest.mark.parametrize(
    ("arguments", "status", "views"),
    [
        pytest.param((), "none", {"text"}, id="text alone"),
        pytest.param(("--image", str(COFFEE), "--no-vision"), "ok", {"text"}, id="an image that is not read"),
        pytest.param(
            ("--image", str(COFFEE), "--context", "a basketball player"),
            "ok",
            {"text", "text+context"},
            id="a context in place of what would be read",
        ),
    ],
)
def test_the_reader_of_images_is_not_started(
    started: list[str], arguments: tuple[str, ...], status: str, views: set[str]
) -> None:
    started.clear()
    result = mner("Steph Curry", *arguments, "--json")
    assert result.returncode == 0, result.stderr
    answer = json.loads(result.stdout)
    assert answer["image"]["status"] == status
    assert {view for mention in answer["mentions"] for view in mention["views"]} == views
    assert ("decoder_main" in str(started)) == (status == "ok")
    assert "worker_main" not in str(started)


SURROGATE, BRACKETS = r'{"id": "\ud800", "text": "x"}', "[" * 100_000


def test_no_line_affects_the_lines_after_it() -> None:
    url = '{"id": "3", "text": "Paris", "media": [{"url": "http://["}]}'
    result = mner("--jsonl", "-", stdin="\n".join([SURROGATE, BRACKETS, url, LINES[0]]))
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.returncode == 1, result.stderr
    assert ["error" in answer for answer in answers] == [True, True, False, False]
    assert answers[2]["image"]["reason"].startswith("bad_url: ")


def test_no_control_character_reaches_the_output() -> None:
    text = "Paris \x1b[31m\x9b31m\x85\u2028 London"
    lines = mner("--jsonl", "-", stdin=json.dumps({"id": "\x9b", "text": text}))
    shown, as_json = mner(text), mner(text, "--json")
    assert [result.returncode for result in (lines, shown, as_json)] == [1, 0, 0]  # such an id is refused
    for result in (lines, shown, as_json):
        assert not set(result.stdout) & set("\x1b\x9b\x85\u2028")
    assert json.loads(lines.stdout)["id"] == "\x9b"
    assert "␛" in shown.stdout


def test_the_output_file_is_replaced_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text(LINES[0])
    out.write_text("precious")
    bad = tmp_path / "bad"
    shutil.copytree(CHECKPOINT, bad)
    (bad / "model.safetensors").write_bytes(b"damaged")
    assert mner("--jsonl", str(source), "--out", str(out), "--checkpoint", str(bad)).returncode == 2
    assert out.read_text() == "precious"
    assert mner("--jsonl", str(source), "--out", str(out)).returncode == 0
    assert json.loads(out.read_text())["id"] == "1"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad", "in.jsonl", "out.jsonl"]


def test_the_output_never_overwrites_the_input(tmp_path: Path) -> None:
    source, link = tmp_path / "in.jsonl", tmp_path / "link"
    source.write_text(LINES[0])
    link.symlink_to(source)
    for out in (source, link):
        result = mner("--jsonl", str(source), "--out", str(out))
        assert (result.returncode, result.stderr.count("\n")) == (2, 1)
        assert "is the file that --jsonl reads" in result.stderr
    assert source.read_text() == LINES[0]


def test_a_device_can_be_written_to() -> None:
    assert mner("--jsonl", "-", "--out", "/dev/null", stdin=LINES[0]).returncode == 0
    assert Path("/dev/null").is_char_device()


@pytest.fixture
def output_of(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Returns what the command prints about a text, in this process."""
    monkeypatch.setattr(predict, "console", Console(width=200))

    def run(text: str, as_json: bool = False) -> str:
        assert predict.command(text=text, as_json=as_json) == 0
        return capsys.readouterr().out

    return run


def test_a_candidate_is_shown_as_not_chosen_by_the_model(
    output_of: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "the new york gamer show in Oz with Dax"
    monkeypatch.setenv("MNER_CANDIDATE_THRESHOLD", "0.02")
    answer = json.loads(output_of(text, as_json=True))
    line = json.loads(mner("--jsonl", "-", stdin=json.dumps({"id": "1", "text": text})).stdout)
    assert answer["candidates"] == line["candidates"] != []
    assert all(text[mention["start"] : mention["end"]] == mention["text"] for mention in answer["candidates"])
    assert "candidate: not chosen by the model" in output_of(text)
    monkeypatch.setenv("MNER_CANDIDATE_THRESHOLD", "1")
    assert json.loads(output_of(text, as_json=True))["candidates"] == []
    assert "candidate: not chosen by the model" not in output_of(text)


def test_the_threshold_setting_decides_what_goes_to_review(
    output_of: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for threshold, to_review in (("1", True), ("0", False)):
        monkeypatch.setenv("MNER_THRESHOLD", threshold)
        assert ("to review" in output_of("Steph Curry was born in Akron")) == to_review


def test_user_names_are_accounts_unless_a_setting_says_otherwise(
    output_of: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "@realDonaldTrump met Angela Merkel"
    answer = json.loads(output_of(text, as_json=True))
    assert [mention["text"] for mention in answer["mentions"]] == ["Angela Merkel"]
    assert answer["accounts"] == [{"start": 0, "end": 16, "name": "realdonaldtrump"}]
    assert "accounts: @realdonaldtrump" in output_of(text)
    monkeypatch.setenv("MNER_ACCOUNTS", "mention")
    answer = json.loads(output_of(text, as_json=True))
    assert [mention["text"] for mention in answer["mentions"]] == ["realDonaldTrump", "Angela Merkel"]
    assert answer["accounts"] == []


def test_an_unusual_text_is_marked(output_of: Callable[..., str]) -> None:
    assert "unusual: " in output_of("lol")
    assert "unusual: " not in output_of("Steph Curry was born in Akron")


def test_few_images_are_in_memory_at_once_when_the_model_needs_pixels() -> None:
    batches: list[int] = []

    class NoMentions:
        info = describe(CHECKPOINT)

        def extract_all(self, tweets: list[Tweet], *_: object) -> list[Extracted]:
            return [Extracted([], [], None) for _ in tweets]

    def load_images(tweets: Sequence[Tweet]) -> list[tuple[ImageResult, None, None]]:
        batches.append(len(tweets))
        return [(ImageResult(), None, None)] * len(tweets)

    extractor: Any = NoMentions()
    lines = b"".join(json.dumps({"id": str(number), "text": "x"}).encode() + b"\n" for number in range(40))
    written = io.BytesIO()
    code = predict.predict_lines(extractor, io.BytesIO(lines), written, load_images, predict.BATCH_LINES_WITH_PIXELS)
    assert code == 0
    assert batches == [16, 16, 8]
    assert [json.loads(line)["id"] for line in written.getvalue().splitlines()] == [str(place) for place in range(40)]


def test_a_post_without_content_for_the_views_is_an_error_in_its_place() -> None:
    result = mner(
        "--jsonl", "-", "--views", "text+context", "--no-vision", stdin="\n".join((LINES[0], LINES[3], UNSEEN))
    )
    bare, shown, unseen = (json.loads(line) for line in result.stdout.splitlines())
    assert result.returncode == 1, result.stderr
    assert bare["id"] == "1"
    assert "reads only text+context here, and this post has none" in bare["error"]
    assert unseen["error"] == bare["error"], "invisible characters are no content"
    assert unseen["image"]["status"] == "failed"
    assert [mention["text"] for mention in shown["mentions"]] == ["Paris", "London"]
    assert {view for mention in shown["mentions"] for view in mention["views"]} == {"text+context"}


def test_one_text_as_json() -> None:
    result = mner("Steph Curry was born in Akron", "--json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["mentions"][0]["text"] == "Steph Curry"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param([], "give either a text", id="nothing"),
        pytest.param(["x", "--jsonl", "-"], "give either a text", id="both"),
        pytest.param(["   "], "is blank", id="a blank text"),
        pytest.param(["--jsonl", "nowhere.jsonl"], "--jsonl nowhere.jsonl: No such file", id="no file"),
        pytest.param(["--jsonl", "-", "--out", "/nowhere/x"], "--out /nowhere/x: No such file", id="no folder"),
        pytest.param(["--jsonl", "-", "--image", "x"], "--image goes with a text", id="a file and an image"),
        pytest.param(["--jsonl", "-", "--context", "x"], "--context goes with a text", id="a file and a context"),
        pytest.param(["x", "--out", "y"], "--out goes with --jsonl", id="a text into a file"),
        pytest.param(["x", "--views", "text+context"], "this post has none; give --context", id="no context"),
        pytest.param(["x", "--views", "text,image"], "views text,image: the checkpoint minilm-", id="no such view"),
        pytest.param(
            ["x", "--checkpoint", "nowhere"], "--checkpoint: no model checkpoint in nowhere", id="no checkpoint"
        ),
    ],
)
def test_an_error_that_the_user_can_correct_is_one_line(arguments: list[str], message: str) -> None:
    result = mner(*arguments)
    assert result.returncode == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
