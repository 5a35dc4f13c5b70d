"""Data flows one way, streams to model to sinks: nothing imports back, but for two leaf modules that hold no logic."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
OURS = {"benchmarks", "local", "model", "review", "sinks", "streams", "tests"}
LEAVES = {"core.errors", "core.events"}
BROKERS = {"faust", "kafka", "aiokafka", "mode"}
NETWORK = {"torch", "transformers"}


def imports(folder: str) -> Iterator[tuple[str, str]]:
    """(file, module) for every import statement below the folder, those inside functions too."""
    for path in sorted((ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from ((str(path.relative_to(ROOT)), alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                yield str(path.relative_to(ROOT)), node.module


@pytest.mark.parametrize(
    ("folder", "may_use", "never"),
    [
        pytest.param("model", {"model"}, BROKERS | {"redis", "elasticsearch"}, id="model knows no Kafka and no sink"),
        pytest.param("sinks", {"sinks"}, NETWORK | {"faust", "mode"}, id="sinks know no network and no agent"),
        pytest.param("local", {"local"}, BROKERS - {"kafka"} | NETWORK, id="local knows nothing of the project"),
        pytest.param("review", {"review", "sinks"}, NETWORK | {"faust", "mode"}, id="review knows the sinks alone"),
    ],
)
def test_nothing_imports_back(folder: str, may_use: set[str], never: set[str]) -> None:
    seen = list(imports(folder))
    assert seen
    for file, module in seen:
        top = module.partition(".")[0]
        assert top not in never, f"{file} imports {module}"
        assert top not in OURS or top in may_use or module in LEAVES, f"{file} imports {module}"


@pytest.mark.parametrize("leaf", sorted(LEAVES))
def test_the_leaves_import_nothing_of_the_project(leaf: str) -> None:
    path = ROOT / f"{leaf.replace('.', '/')}.py"
    tree = ast.parse(path.read_text())
    modules = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert not [module for module in modules if module.partition(".")[0] in OURS]


def test_only_streams_knows_faust() -> None:
    for folder in ("benchmarks", "local", "model", "review", "sinks"):
        assert not [file for file, module in imports(folder) if module.partition(".")[0] == "faust"]
