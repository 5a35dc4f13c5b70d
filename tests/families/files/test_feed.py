"""`mner feed` with files as people save them: what reaches Kafka, what is refused, and what is said about it."""

from __future__ import annotations

import gzip
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from cli.feeds import file as command
from core.errors import UserError
from streams import topics
from streams.settings import Settings
from tests.families.files.make_files import CASES, CORPUS
from tests.families.files.test_files import expected, numbered
from tests.streams.account import held

TOLD = re.compile(r"Kafka has (\d+) records?; go on with `mner feed FILE --from-line (\d+)`")


@pytest.fixture
def topic(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The topic of posts, which the command in this process feeds."""
    topics.create(str(settings.kafka), topics.plan(settings))
    for name, value in environment(settings, tmp_path).items():
        monkeypatch.setenv(name, value)
    return settings.name(topics.TWEETS)


def environment(settings: Settings, home: Path) -> dict[str, str]:
    return {"MNER_KAFKA": str(settings.kafka), "MNER_PREFIX": settings.prefix, "MNER_HOME": str(home)}


FED = [name for name in CASES if "refused" not in CASES[name].expected and not CASES[name].ends]
BROKEN = [name for name in CASES if CASES[name].ends]
FOREIGN = {"tweets.js", "x-page.json", "x-page-pretty.json", "x-archive.array"}
"""Files of X, which only `mner feed` reads: see tests/streams/feeds/test_files.py."""
REFUSED = [name for name in CASES if "refused" in CASES[name].expected and name not in FOREIGN]


def test_the_posts_of_each_file_reach_kafka(settings: Settings, topic: str, capsys: pytest.CaptureFixture[str]) -> None:
    wanted: list[bytes] = []
    for name in FED:
        case, _ = expected(name)
        command.command(CORPUS / name)
        printed = capsys.readouterr()
        says, fed = printed.out.splitlines()
        assert says == f"{CORPUS / name}: {case['says']}"
        assert fed == f"fed {len(case['posts'])} events into {topic}"
        assert ("is not UTF-8" in printed.err) == bool(case["damaged"])
        assert [line for line in printed.err.splitlines() if "ignored" in line] == [
            f"mner: {CORPUS / name}: {remark}" for remark in case["remarks"]
        ]
        wanted += case["posts"]
    assert held(str(settings.kafka), topic) == sorted(wanted)


@pytest.mark.parametrize("name", BROKEN)
def test_what_stands_before_a_break_is_sent_and_the_place_is_told(
    settings: Settings, topic: str, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    case, _ = expected(name)
    with pytest.raises(typer.Exit) as caught:
        command.command(CORPUS / name)
    assert caught.value.exit_code == 1
    printed = capsys.readouterr().err
    assert f"cannot read on: {case['ends']}" in printed
    found = TOLD.search(printed)
    assert found
    assert found.groups() == (str(len(case["posts"])), str(len(case["posts"]) + 1))
    assert ("(post " in printed) == ("each line" not in case["says"])
    assert held(str(settings.kafka), topic) == sorted(case["posts"])


def test_a_file_that_holds_no_posts_is_refused_before_anything_is_sent(settings: Settings, topic: str) -> None:
    for name in REFUSED:
        with pytest.raises(UserError) as caught:
            command.command(CORPUS / name)
        case, _ = expected(name)
        assert str(caught.value).startswith(f"{CORPUS / name} {case['refused']}")
        assert "\n" not in str(caught.value)
    assert held(str(settings.kafka), topic) == []


def test_the_rest_of_a_file_that_was_cut_off_follows_from_the_line_that_is_told(
    settings: Settings, topic: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    posts = numbered(20_000)
    whole = gzip.compress(b"\n".join(posts))
    file = tmp_path / "posts.jsonl.gz"
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(typer.Exit):
        command.command(file)
    found = TOLD.search(capsys.readouterr().err)
    assert found
    count, line = map(int, found.groups())
    assert 1000 < count == line - 1 < 20_000
    file.write_bytes(whole)
    command.command(file, from_line=line)
    assert held(str(settings.kafka), topic) == sorted(posts)


def test_of_an_array_the_posts_from_a_number_on_are_sent(settings: Settings, topic: str) -> None:
    command.command(CORPUS / "many-lines.array", from_line=3)
    assert held(str(settings.kafka), topic) == [CASES["many-lines.array"].posts[2].encode()]


def test_a_long_post_of_an_array_is_named_as_a_post(settings: Settings, topic: str, tmp_path: Path) -> None:
    file = tmp_path / "posts.json"
    file.write_bytes(b'[{"id": "1"},\n\n{"id": "' + b"x" * 2_000_000 + b'"}, {"id": "3"}]')
    with pytest.raises(UserError, match=r"^post 2 has 2000010 bytes, more than .* continue with post 3, as"):
        command.command(file)
    assert held(str(settings.kafka), topic) == [b'{"id": "1"}']
    command.command(file, from_line=3)
    assert held(str(settings.kafka), topic) == [b'{"id": "1"}', b'{"id": "3"}']


def test_as_is_sends_each_line_as_it_stands(settings: Settings, topic: str, capsys: pytest.CaptureFixture[str]) -> None:
    command.command(CORPUS / "words.txt", as_is=True)
    assert capsys.readouterr().out.startswith(f"{CORPUS / 'words.txt'}: read as it is; each line is an event\n")
    assert held(str(settings.kafka), topic) == [b"hello"] * 30


def test_a_folder_and_a_missing_file_are_refused_in_one_line(topic: str, tmp_path: Path) -> None:
    for file, reason in ((tmp_path, "Is a directory"), (tmp_path / "none", "No such file or directory")):
        with pytest.raises(UserError) as caught:
            command.command(file)
        assert str(caught.value) == f"{file}: {reason}"


@pytest.mark.parametrize(
    ("name", "code", "says"),
    [
        pytest.param("array-utf-16.gz", 0, "standard input: one JSON array in UTF-16 (little-endian)", id="read"),
        pytest.param("one-file.zip", 2, "is a zip archive that comes through a pipe", id="a zip archive"),
        pytest.param("words.txt", 2, "Nothing is sent; --as-is sends the lines all the same", id="no posts"),
        pytest.param("latin-1.jsonl", 0, "line 4 is not UTF-8", id="another encoding"),
    ],
)
def test_standard_input_is_looked_at_in_the_same_way(
    settings: Settings, topic: str, tmp_path: Path, name: str, code: int, says: str
) -> None:
    done = subprocess.run(
        f"cat {CORPUS / name} | {sys.executable} -m cli.main feed -",
        shell=True,
        env=os.environ | environment(settings, tmp_path),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == code, done.stderr
    assert says in done.stdout + done.stderr
    case, _ = expected(name)
    assert held(str(settings.kafka), topic) == (sorted(case["posts"]) if code == 0 else [])
