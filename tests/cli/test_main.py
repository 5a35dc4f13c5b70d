"""`mner` in a process of its own. An error of its surroundings is one line and exit code 2, never a traceback."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pexpect
import pytest
from rich.console import Console

from core.errors import UserError
from core.events import Extraction, Mention, Question, Reason, ReviewTask, Tweet
from demo import kept
from demo.report import Report
from demo.run import clear, stop
from demo.tally import Tally
from demo.verdict import find_problems
from local import stack
from sinks.index.search import Results
from sinks.names.entities import Entity
from sinks.searching.hits import Hit
from streams.routing import route
from tests.conftest import ROOT

Run = Callable[..., "subprocess.CompletedProcess[str]"]
ESCAPES = "\x1b\x9b\x07\u202e"


@pytest.fixture
def mner(tmp_path: Path) -> Run:
    def run(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MNER_")}
        return subprocess.run(
            [sys.executable, "-m", "cli.main", *words],
            env=environment | {"PYTHONPATH": str(ROOT)} | variables,
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.mark.parametrize(
    ("words", "variables", "message"),
    [
        pytest.param(["local", "up"], {"MNER_HOME": "/proc/nope"}, "/proc/nope", id="home cannot be created"),
        pytest.param(["local", "status"], {"MNER_HOME": "/etc/passwd"}, "Not a directory", id="home is a file"),
        pytest.param(["queue", "list"], {"MNER_HOME": "/etc/passwd"}, "Not a directory", id="no server there"),
        pytest.param(
            ["queue", "list"], {"MNER_REDIS": "unix:///nope.sock"}, "/nope.sock is unreachable", id="no socket"
        ),
        pytest.param(["topics", "list"], {"MNER_KAFKA": "127.0.0.1:1"}, "no Kafka broker answers", id="no broker"),
    ],
)
def test_an_error_of_the_surroundings_is_one_line(
    mner: Run, words: list[str], variables: dict[str, str], message: str
) -> None:
    ended = mner(*words, **variables)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert message in ended.stderr
    assert [line[:6] for line in ended.stderr.splitlines() if line.strip()] == ["mner: "]


def test_the_debug_level_adds_the_traceback(mner: Run) -> None:
    ended = mner("local", "up", MNER_HOME="/proc/nope", MNER_LOG_LEVEL="DEBUG")
    assert ended.returncode == 2
    assert "Traceback" in ended.stderr


def test_an_env_file_in_another_encoding_is_an_error(mner: Run, tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes("MNER_PREFIX=é".encode("latin-1"))
    ended = mner("config")
    assert ended.returncode == 2
    assert ended.stderr.startswith("mner: .env is not in UTF-8")


def test_the_settings_are_shown_whatever_characters_they_contain(mner: Run) -> None:
    ended = mner("config", MNER_HOME="/tmp/[/x]\x1b[2J")
    assert ended.returncode == 0
    assert "[/x]" in ended.stdout
    assert "\x1b" not in ended.stdout


def test_a_reviewers_name_that_is_not_text_is_an_error(tmp_path: Path) -> None:
    child = pexpect.spawn(
        sys.executable,
        ["-m", "cli.main", "review", "--reviewer", os.fsdecode(b"\xff")],
        env={**os.environ, "TERM": "xterm"},
        cwd=ROOT,
    )
    child.expect(pexpect.EOF, timeout=30)
    child.close()
    assert child.exitstatus == 2
    assert child.before.startswith(b"mner: --reviewer ")


def test_the_version_is_shown(mner: Run) -> None:
    ended = mner("--version")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert re.fullmatch(r"mner \d+\.\d+\.\d+\n", ended.stdout)


def test_the_demo_refuses_a_home_that_holds_something_else(mner: Run, tmp_path: Path) -> None:
    home = tmp_path / "mine"
    home.mkdir()
    (home / "thesis.txt").write_text("years of work")
    ended = mner("demo", "--keep", MNER_HOME=str(home))
    assert ended.returncode == 2
    assert "not empty" in ended.stderr
    assert [path.name for path in home.iterdir()] == ["thesis.txt"]


def test_only_the_files_of_an_earlier_demo_are_removed_from_its_home(tmp_path: Path) -> None:
    for folder in ("kafka", "elasticsearch", "redis", "logs", "cache", "feeds"):
        (tmp_path / folder / "data").mkdir(parents=True)
    for file in ("kept-demo", "worker.pid", "up.lock", "thesis.txt"):
        (tmp_path / file).touch()
    (tmp_path / "runs").mkdir()
    clear(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["runs", "thesis.txt"]
    with pytest.raises(UserError, match="not empty"):
        clear(tmp_path)


def test_stopping_the_demo_spares_servers_that_were_started_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "kafka").mkdir()
    monkeypatch.setattr(stack, "down", lambda home: pytest.fail(f"stopped the servers of {home}"))
    assert stop(tmp_path) == []


def test_a_demo_can_follow_a_demo_that_was_stopped(tmp_path: Path) -> None:
    (tmp_path / "kept-demo").touch()
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "images.sqlite3").touch()
    stop(tmp_path)
    assert not any(tmp_path.iterdir())


def test_stopping_spares_a_process_that_merely_has_the_number_of_the_worker(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as stranger:
        kept.file_of(tmp_path, kept.WORKER).write_text(str(stranger.pid))
        assert not kept.stop(tmp_path, kept.WORKER)
        assert stranger.poll() is None
        assert stranger.stdin
        stranger.stdin.close()


def test_stopping_ends_the_worker_that_holds_the_lock(tmp_path: Path) -> None:
    holds = "import sys; from pathlib import Path; from local.lock import pid_file\n"
    holds += "with pid_file(Path(sys.argv[1])): print(flush=True); input()"
    command = [sys.executable, "-c", holds, str(kept.file_of(tmp_path, kept.WORKER))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT) as worker:
        assert worker.stdout
        worker.stdout.readline()
        assert kept.running(tmp_path, kept.WORKER)
        assert kept.stop(tmp_path, kept.WORKER)
        assert worker.wait() == -15
    assert not kept.file_of(tmp_path, kept.WORKER).exists()


def test_the_report_of_the_demo_lets_no_control_character_and_no_markup_through() -> None:
    text = f"Paris {ESCAPES} [/red]"
    place = Mention(start=0, end=len(text), text=text, type="LOC", probability=0.9, aleatoric=0, epistemic=0)
    tweet = Tweet(id="1", text=text)
    asked = Question(mention=place, reasons=(Reason(kind="little_evidence", sentence=text),))
    task = ReviewTask(
        id="1", tweet=tweet, questions=(asked,), model="m", model_version=1, threshold=0.5, uncertainty=0.5
    )
    extraction = Extraction(tweet=tweet, mentions=(place,), model="m", model_version=1, threshold=0.5)
    found = Results(1, (Hit("1", text, 1.0, "model", None, None, (), ()),))
    report = Report(Tally(extractions={"1": extraction}), [task], [Entity(text, "LOC", 1)], "q", found, [], [text])
    out = StringIO()
    report.show(Console(file=out, width=120))
    assert "Paris" in out.getvalue()
    assert not set(ESCAPES) & set(out.getvalue())


def test_the_demo_counts_candidates_apart_and_expects_them_in_the_queue() -> None:
    tweet = Tweet(id="1", text="Paris Rome")
    paris, rome = (
        Mention(start=start, end=end, text=tweet.text[start:end], type="LOC", probability=p, aleatoric=0, epistemic=0)
        for start, end, p in ((0, 5, 0.9), (6, 10, 0.3))
    )
    extraction = Extraction(
        tweet=tweet,
        mentions=(paris,),
        candidates=(rome,),
        model="m",
        model_version=1,
        threshold=0.5,
        candidate_threshold=0.2,
    )
    tally = Tally(fed=1, extractions={"1": extraction})
    assert find_problems(tally, [], {"1"}, {"1"}) == []
    assert find_problems(tally, [], {"1"}, set()) == ["the queue and the posts with questions differ by 1"]
    task = route(extraction).task
    assert task is not None

    def shown(tasks: int) -> str:
        report = Report(tally, [task] * tasks, [], "q", Results(0, ()), [], [])
        assert report.numbers()["questions"] == {"uncertain": 0, "candidates": tasks, "spot_checks": 0}
        out = StringIO()
        report.show(Console(file=out, width=120))
        return out.getvalue()

    assert "candidate: not" in shown(1)
    assert "more tasks" not in shown(8)
    assert "and 1 more tasks; 0 uncertain mentions, 9 candidates and 0 spot checks in all" in shown(9)
