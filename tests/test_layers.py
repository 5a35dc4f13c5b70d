"""Each floor of the house uses only the floors below it. `docs/architecture.md` draws them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FLOORS = ("core", "sinks", "model", "local", "streams", "review", "demo", "cli", "benchmarks")
"""The packages, lowest first. A package imports itself and what stands before it, and nothing else of ours."""
NEVER = {
    "core": {"faust", "mode", "kafka", "aiokafka", "redis", "elasticsearch", "torch", "transformers"},
    "sinks": {"faust", "mode", "torch", "transformers"},
    "model": {"faust", "mode", "kafka", "aiokafka", "redis", "elasticsearch"},
    "local": {"faust", "mode", "aiokafka", "torch", "transformers"},
    "review": {"faust", "mode", "torch", "transformers"},
    "demo": {"faust", "mode"},
    "cli": {"faust", "mode"},
    "benchmarks": {"faust", "mode"},
}
"""Libraries that a package must not import: only `streams` knows Faust, only `model` needs torch to serve."""


def imports(folder: str) -> Iterator[tuple[str, str]]:
    """(file, module) for every import statement below the folder, those inside functions too."""
    for path in sorted((ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from ((str(path.relative_to(ROOT)), alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                yield str(path.relative_to(ROOT)), node.module
                yield from ((str(path.relative_to(ROOT)), f"{node.module}.{alias.name}") for alias in node.names)


@pytest.mark.parametrize("floor", FLOORS)
def test_a_floor_imports_only_the_floors_below(floor: str) -> None:
    below = FLOORS[: FLOORS.index(floor) + 1]
    found = list(imports(floor))
    assert found
    for file, module in found:
        top = module.partition(".")[0]
        assert top not in {*FLOORS, "tests"} or top in below, f"{file} imports {module}"
        assert top not in NEVER.get(floor, set()), f"{file} imports {module}"


def test_every_package_stands_on_a_floor() -> None:
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests"}
    assert packages == set(FLOORS)
