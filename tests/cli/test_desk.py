"""`mner desk users` and `mner desk tokens`, and when `mner desk` starts, stops, and does not start."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from cli.main import main
from desk.access.users import Users
from local.server import free_ports
from streams.settings import Settings
from streams.worker_process import CommandProcess

PASSWORD = "correct horse battery staple"

Mner = Callable[..., tuple[int, str, str]]


@pytest.fixture
def mner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Mner:
    """Runs a command in this process. Returns its exit code, output and errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MNER_HOME", str(tmp_path))
    (tmp_path / "password").write_text(f"{PASSWORD}\n")

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["mner", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        output, errors = capsys.readouterr()
        return int(ended.value.code or 0), output, errors

    return run


def test_users_are_added_changed_listed_and_removed(mner: Mner, tmp_path: Path) -> None:
    users, given = Users(tmp_path / "desk" / "users.json"), ("--password-file", "password")
    added = mner("desk", "users", "add", "ada", "--role", "reviewer", "--role", "analyst", *given)
    assert added == (0, "ada may now sign in\n", "")
    first = users.all()["ada"]
    assert users.verify("ada", PASSWORD) == first
    assert mner("desk", "users", "list")[1].startswith("ada  analyst, reviewer  password of 20")
    assert mner("desk", "users", "passwd", "ada", *given)[0] == 0
    assert users.all()["ada"].password_id != first.password_id
    assert mner("desk", "users", "remove", "ada") == (0, "ada is removed\n", "")
    assert users.all() == {}
    lines = (tmp_path / "desk" / "audit.jsonl").read_text().splitlines()
    actions = [(entry["action"], entry["name"], entry["way"]) for entry in map(json.loads, lines)]
    assert actions == [(f"{what}", "ada", "terminal") for what in ("user added", "password changed", "user removed")]


def test_a_password_is_asked_for_without_echo(mner: Mner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def prompt(text: str, **options: object) -> str:
        asked.append(options["hide_input"])
        return PASSWORD

    monkeypatch.setattr("typer.prompt", prompt)
    assert mner("desk", "users", "add", "ada", "--role", "admin")[0] == 0
    assert asked == [True]
    assert Users(tmp_path / "desk" / "users.json").verify("ada", PASSWORD)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        pytest.param(("users", "add", "a b", "--role", "admin"), "is no name", id="name"),
        pytest.param(("users", "add", "ada", "--role", "boss"), "'reviewer', 'analyst', 'admin'", id="role"),
        pytest.param(("users", "add", "ada"), "--role", id="no role"),
        pytest.param(("users", "add", "ada", "--role", "admin", "--password-file", "no"), "cannot read", id="file"),
        pytest.param(("users", "passwd", "bob"), "there is no user 'bob'", id="passwd"),
        pytest.param(("users", "remove", "bob"), "there is no user 'bob'", id="remove"),
        pytest.param(("tokens", "remove", "bot"), "there is no token 'bot'", id="token"),
        pytest.param(("tokens", "add", "bot", "--role", "admin", "--days", "0"), "--days", id="days"),
        pytest.param(("--listen", "10.0.0.1:8700"), "mner desk users add NAME --role admin", id="listen"),
        pytest.param(("--listen", "0.0.0.0:8700"), "set MNER_DESK_URL", id="everywhere"),
        pytest.param(("--listen", "8700"), "is not host:port", id="port"),
    ],
)
def test_a_mistake_is_named_with_its_remedy(mner: Mner, words: tuple[str, ...], says: str) -> None:
    code, output, errors = mner("desk", *words)
    assert (code, output) == (2, "")
    assert says in errors


def test_a_token_is_shown_once(mner: Mner, tmp_path: Path) -> None:
    code, token, _ = mner("desk", "tokens", "add", "bot", "--role", "analyst", "--days", "30")
    assert code == 0
    assert token.startswith("mner_")
    listed = mner("desk", "tokens", "list")[1]
    assert listed.startswith("bot  analyst  made 20")
    assert "expires 20" in listed
    for path in (tmp_path / "desk").iterdir():
        assert token.strip() not in path.read_text()
    assert mner("desk", "tokens", "remove", "bot")[0] == 0
    assert mner("desk", "tokens", "list")[1] == ""


def test_the_desk_serves_until_it_is_told_to_stop(settings: Settings, tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_ports(1)[0]}"
    desk = CommandProcess(settings, tmp_path / "desk.log", ["desk", f"--listen={address}"], "desk at ")
    desk.start()
    try:
        desk.ready()
        assert f"desk at http://{address}\n" in desk.output()
        page = httpx.get(f"http://{address}/", timeout=60)
        assert (page.status_code, "<h1>Overview</h1>" in page.text) == (200, True)
        assert desk.stop() == 0, desk.tail()
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"http://{address}/")
    finally:
        if desk.code is None:
            desk.kill()
