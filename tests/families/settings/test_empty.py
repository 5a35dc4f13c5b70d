"""An empty or blank variable, which Compose passes on for one that is not set, is no setting, wherever it stands."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.doctor.machine import settings as settings_check
from streams.old_names import CONSTANTS, RENAMED, warn_once
from streams.settings import VARIABLES, load
from streams.worker_process import environment

GROUPS = sorted({f"MNER_{variable.path[0].upper()}" for variable in VARIABLES if len(variable.path) > 1})
NAMES = [*(variable.name for variable in VARIABLES), *RENAMED, *CONSTANTS, *GROUPS]

where = pytest.mark.parametrize("where", ["environment", ".env"])


def put(where: str, lines: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    if where == ".env":
        Path(".env").write_text("".join(f"{name}={value}\n" for name, value in lines.items()))
    else:
        for name, value in lines.items():
            monkeypatch.setenv(name, value)


@pytest.fixture(autouse=True)
def _nothing_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    warn_once.cache_clear()


@where
@pytest.mark.parametrize("value", ["", "' \t '"], ids=["empty", "blank"])
@pytest.mark.parametrize("name", NAMES)
def test_an_empty_variable_is_unset(
    name: str, value: str, where: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    before = load()
    put(where, {name: value if where == ".env" else value.strip("'")}, monkeypatch)
    config = load()
    assert config == before
    assert not any(variable.is_set(config) for variable in VARIABLES)
    assert caplog.records == []
    assert settings_check(config).detail == "valid; 0 from the environment, 0 from .env, the rest defaults"


def test_all_of_them_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    before = load()
    put("environment", dict.fromkeys(NAMES, ""), monkeypatch)
    put(".env", dict.fromkeys(NAMES, ""), monkeypatch)
    assert load() == before


def test_behind_an_empty_variable_the_file_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    put("environment", {"MNER_PARTITIONS": " ", "MNER_POSSIBLE": ""}, monkeypatch)
    put(".env", {"MNER_PARTITIONS": "7", "MNER_CANDIDATE_THRESHOLD": "0.5"}, monkeypatch)
    assert (load().partitions, load().candidate_threshold) == (7, 0.5)


@where
def test_no_channel_is_a_word(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    put(where, {"MNER_VISION_CHANNELS": "none"}, monkeypatch)
    assert load().vision.channels == ()


def test_a_worker_gets_the_settings_of_its_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = load().changed(vision={"channels": ()}, image={"allow": ("h:80",)})
    for name, value in environment(chosen).items():
        monkeypatch.setenv(name, value)
    assert load() == chosen
