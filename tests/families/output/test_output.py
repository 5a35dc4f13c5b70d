"""Every command prints in every encoding, cuts nothing in a pipe, and ends quietly when its reader is gone."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from cli.output import replace_unencodable
from demo.report import Report
from demo.tally import Tally
from sinks.index.search import Results
from sinks.names.entities import Entity
from streams.settings import VARIABLES, Settings
from tests.conftest import ROOT
from tests.families.output.conftest import LONG, Show

COMMANDS = {
    "doctor": 1,
    "doctor --json": 1,
    "config": 0,
    "config --json": 0,
    "search athen": 0,
    "search athen --json": 0,
    "search --entities": 0,
    "queue list": 0,
    "queue list --json": 0,
    "queue counts": 0,
    "dead-letters list": 0,
    "dead-letters list --json": 0,
    "topics list": 0,
    "topics create": 0,
    "local status": 0,
    "feed posts.jsonl": 0,
    "--help": 0,
    "review --help": 0,
    "doctor --help": 0,
}
"""Command -> exit code."""

ENCODINGS = ["ascii", "latin-1", "cp1252", "koi8-r"]

command = pytest.mark.parametrize(("words", "code"), COMMANDS.items(), ids=list(COMMANDS))


@pytest.mark.parametrize("encoding", ENCODINGS)
@command
def test_every_command_prints_in_every_encoding(show: Show, words: str, code: int, encoding: str) -> None:
    shown = show(*words.split(), encoding=encoding)
    assert shown.code == code
    text = shown.out.decode(encoding)
    assert text.strip()
    if words.endswith("--json"):
        assert json.loads(text) == json.loads(show(*words.split()).out) or words.startswith("doctor")


def test_json_loses_no_character(show: Show) -> None:
    (entry,) = json.loads(show("dead-letters", "list", "--json", encoding="ascii").out)
    assert entry["value"] == LONG


def test_a_mention_is_predicted_in_ascii(show: Show) -> None:
    shown = show("predict", "Łódź is near Warsaw 🗼", "--no-vision", encoding="ascii")
    assert shown.code == 0
    assert b"Warsaw" in shown.out


def test_the_demo_s_display_prints_in_ascii(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, "ascii"))
    replace_unencodable()
    Report(Tally(), [], [Entity("Łódź", "LOC", 1)], "q", Results(0, ()), [], ["🗼"]).show(Console())
    sys.stdout.flush()
    assert b"?" in raw.getvalue()


@pytest.mark.parametrize(
    ("words", "whole"),
    [
        ("dead-letters list", LONG.strip()),
        ("queue list", LONG.strip()),
        ("search athen", LONG.strip()),
        ("config", max((variable.description for variable in VARIABLES), key=len)),
        ("topics list", "tweets.dead"),
        ("local status", "elasticsearch"),
        ("doctor", "template, alias and mapping as planned"),
        ("search --entities", "athen"),
    ],
)
def test_nothing_is_cut_or_wrapped_in_a_pipe(show: Show, filled: Settings, words: str, whole: str) -> None:
    assert whole in show(*words.split()).out.decode()


@pytest.mark.parametrize("words", [words for words in COMMANDS if words not in {"doctor --json", "doctor"}])
def test_a_reader_that_is_gone_ends_a_command_quietly(filled: Settings, words: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as out:
        done = subprocess.run(
            [sys.executable, "-m", "cli.main", *words.split()],
            stdout=out,
            stderr=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            check=False,
            text=True,
        )
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert "BrokenPipe" not in done.stderr


@pytest.mark.parametrize("home", ["file", "file/below/it"])
@pytest.mark.parametrize(
    "words",
    [
        "local status",
        "local down",
        "local up",
        "queue list",
        "search x",
        "topics list",
        "dead-letters list",
        "feed posts.jsonl",
    ],
)
def test_a_home_that_is_no_folder_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: str, home: str
) -> None:
    from cli.main import main

    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    Path("posts.jsonl").touch()
    for name in ("KAFKA", "ELASTICSEARCH", "REDIS"):
        monkeypatch.delenv(f"MNER_{name}", raising=False)
    monkeypatch.setenv("MNER_HOME", home)
    monkeypatch.setattr(sys, "argv", ["mner", *words.split()])
    with pytest.raises(SystemExit) as ended:
        main()
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.strip()]
    assert ended.value.code == 2
    assert line.startswith("mner: ")
    assert "Not a directory" in line
