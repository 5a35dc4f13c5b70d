"""Each floor of the house uses only the floors below it. `docs/architecture.md` draws them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
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


# Inside streams/

STREAMS = (
    {"addresses", "settings", "metrics", "retry", "topics", "producer", "servers", "feed", "routing", "watchdog"},
    {"images"},
    {"vision"},
    {"pipeline"},
    {"agents"},
    {"app"},
    {"worker", "worker_process"},
)
"""Modules and folders of `streams`, lowest first. Each imports its own row and the rows above it in this list."""


def test_streams_imports_no_higher_row() -> None:
    rows = {unit: number for number, row in enumerate(STREAMS) for unit in row}
    units = {
        path.stem for path in (ROOT / "streams").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert units - {"__init__"} == set(rows)
    for file, module in imports("streams"):
        _, _, path = module.partition("streams.")
        if module.startswith("streams.") and path.partition(".")[0] in rows:
            importer = Path(file).with_suffix("").parts[1]
            assert rows[path.partition(".")[0]] <= rows[importer], f"{file} imports {module}"


def test_streams_has_no_cycle_of_modules() -> None:
    graph: dict[str, set[str]] = {}
    names = {".".join(path.relative_to(ROOT).with_suffix("").parts) for path in (ROOT / "streams").rglob("*.py")}
    for file, module in imports("streams"):
        if module in names:
            graph.setdefault(".".join(Path(file).with_suffix("").parts), set()).add(module)
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the modules
