"""What an install without this folder brings along: every package, and the files that the program reads."""

from __future__ import annotations

import tomllib

from streams.settings import SOURCES
from tests.conftest import ROOT

SETUP = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
NOT_INSTALLED = {"tests", "benchmarks"}


def test_every_package_is_installed() -> None:
    folders = {file.parent.relative_to(ROOT) for top in ROOT.iterdir() for file in top.glob("**/__init__.py")}
    ours = {folder for folder in folders if not folder.parts[0].startswith(".")}
    wanted = {".".join(folder.parts) for folder in ours if folder.parts[0] not in NOT_INSTALLED}
    assert wanted | {"config"} == set(SETUP["packages"])


def test_the_terms_of_the_sources_are_installed() -> None:
    assert SOURCES.relative_to(ROOT).parts == ("config", "sources.yaml")
    assert SETUP["package-data"]["config"] == ["sources.yaml"]
