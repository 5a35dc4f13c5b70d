"""Each floor of the house uses only the floors below it. `docs/architecture.md` draws them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FLOORS = ("core", "sinks", "model", "local", "streams", "review", "desk", "demo", "cli", "benchmarks")
"""The packages, lowest first. A package imports only itself and the packages before it."""
NEVER = {
    "core": {"faust", "mode", "kafka", "aiokafka", "redis", "elasticsearch", "torch", "transformers"},
    "sinks": {"faust", "mode", "torch", "transformers"},
    "model": {"faust", "mode", "kafka", "aiokafka", "redis", "elasticsearch"},
    "local": {"faust", "mode", "aiokafka", "torch", "transformers"},
    "review": {"faust", "mode", "torch", "transformers"},
    "desk": {"faust", "mode", "torch", "transformers"},
    "demo": {"faust", "mode"},
    "cli": {"faust", "mode"},
    "benchmarks": {"faust", "mode"},
}
"""Libraries that a package must not import: only `streams` knows Faust, only `model` needs torch to serve."""


def imports(folder: str) -> Iterator[tuple[str, str]]:
    """Yields (file, module) for every import statement below the folder, also inside functions."""
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
    {
        "addresses",
        "quiet",
        "old_names",
        "settings",
        "server_settings",
        "metrics",
        "retry",
        "topics",
        "producer",
        "secrets",
        "servers",
        "forgetting",
        "groups",
        "routing",
        "terms",
        "retention",
        "checkpoint",
        "watchdog",
        "confidence",
        "thresholds",
        "threshold_log",
    },
    {"images"},
    {"feeds"},
    {"feed"},
    {"vision"},
    {"caches"},
    {"pipeline"},
    {"consumer"},
    {"agents"},
    {"app", "lag"},
    {"stopping", "worker", "worker_process"},
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


# inside model/

MODEL = [path.relative_to(ROOT) for path in sorted((ROOT / "model").rglob("*.py")) if path.stem != "__init__"]
VISION_USES = ("core", "model.device", "model.vision", "model.worker")
"""Packages and modules of ours that `model/vision` may import. It knows nothing of the tagger."""


def test_what_serves_imports_nothing_of_what_trains() -> None:
    for file, module in imports("model"):
        if not file.startswith("model/training/"):
            assert not module.startswith("model.training"), f"{file} imports {module}"


def test_vision_imports_nothing_of_the_tagger() -> None:
    for file, module in imports("model/vision"):
        ours = module.partition(".")[0] in FLOORS and module != "model"
        assert not ours or any(f"{module}.".startswith(f"{used}.") for used in VISION_USES), f"{file} imports {module}"


def test_modules_of_model_import_each_other_without_a_cycle() -> None:
    names = {str(path): ".".join(path.with_suffix("").parts) for path in MODEL}
    graph: dict[str, set[str]] = {name: set() for name in names.values()}
    for file, module in imports("model"):
        if module in graph:
            graph[names[file]].add(module)
    TopologicalSorter(graph).prepare()  # raises `CycleError`, which names the modules


# options, variables and commands

OPTION = re.compile(r"(?<![\w-])--[a-z][\w-]*|\bMNER_\w*|`mner [a-z]+")
OPTIONS_OF_UV = {"--no-deps"}
"""In the command that installs a packaged encoder."""


@pytest.mark.parametrize("floor", ["core", "sinks", "model"])
def test_lower_floors_name_no_options_variables_or_commands(floor: str) -> None:
    """Their errors speak of the thing. `cli` and `streams` add the name of the option, the variable or the command."""
    for path in sorted((ROOT / floor).rglob("*.py")):
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            named = set(OPTION.findall(line)) - OPTIONS_OF_UV
            assert not named, f"{path.relative_to(ROOT)}:{number} names {', '.join(sorted(named))}"
