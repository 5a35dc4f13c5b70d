"""The documents are correct: links resolve, commands and settings exist, and examples of events are valid.

`python -m tests.test_docs` rewrites the tables of settings and of keys.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import annotated_types
import pytest
import typer.main
from pydantic import BaseModel

from cli.main import COMMANDS, build
from core.corrections import SameName, SplitName
from core.events import DeadLetter, Decision, Extraction, Mention, Tweet
from core.feed_gap import FeedGap
from core.lifecycle import Lifecycle
from desk.review.key_sheets import BY_NAME, ONE_BY_ONE, Keys
from streams import topics
from streams.settings import CHECKPOINT, SOURCES, VARIABLES, Settings

ROOT = Path(__file__).resolve().parent.parent
SETTINGS = ROOT / "docs" / "settings.md"
REVIEW = ROOT / "docs" / "review.md"
BEGIN, END = "from streams/settings.py -->\n", "<!-- end -->"
SHEETS = {"/review": ONE_BY_ONE, "/review/words": BY_NAME}
"""Page of the desk -> its sheet of keys."""

PAGES = sorted([ROOT / "README.md", ROOT / "examples" / "README.md", *(ROOT / "docs").glob("*.md")])
RESEARCH = sorted((ROOT / "docs" / "research").glob("*.md"))
"""Reports of experiments. They may name commands and files of the version that they were made with."""
OTHERS = [ROOT / ".env.example", ROOT / "docker-compose.yml", ROOT / "Dockerfile"]
EVENTS: dict[str, type[BaseModel]] = {
    "Tweet": Tweet,
    "Extraction": Extraction,
    "Decision": Decision,
    "Lifecycle": Lifecycle,
    "Gap": FeedGap,
    "Dead letter": DeadLetter,
    "Same name": SameName,
    "Split name": SplitName,
}

page = pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
page_or_experiment = pytest.mark.parametrize("page", [*PAGES, *RESEARCH], ids=lambda path: str(path.relative_to(ROOT)))


@page_or_experiment
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    text = page.read_text()
    for target in re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'\bsrc(?:set)?="([^"\s]+)"', text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{page.name} links to {target}"
        assert ROOT in file.parents, f"{page.name} links out of the repository: {target}"
        if anchor:
            assert anchor in {anchor_of(heading) for heading in headings(file)}, f"{page.name} links to {target}"


def test_every_page_can_be_reached_from_the_readme() -> None:
    linked = set(re.findall(r"\]\((docs/[\w.-]+\.md)\)", (ROOT / "README.md").read_text()))
    assert linked == {f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")}


@page
def test_every_command_named_exists_with_its_options(page: Path) -> None:
    commands = typer.main.get_command(build()).commands  # type: ignore[attr-defined]
    for line in code(page.read_text()):
        for words in re.findall(r"\bmner ((?:[a-z-]+)(?: [^|;&`#)\n]*)?)", line):
            name, *rest = words.split()
            assert name in COMMANDS, f"{page.name}: mner {words}"
            command = commands[name]
            while hasattr(command, "commands") and rest:
                name = rest.pop(0) if command.name != "feed" or rest[0] in command.commands else "file"
                assert name in command.commands, f"{page.name}: mner {words}"
                command = command.commands[name]
            known = {
                option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)
            } | {"--help", "-h"}
            used = {word.split("=")[0] for word in rest if word.startswith("--")}
            assert used <= known, f"{page.name}: mner {words}"


@pytest.mark.parametrize("file", [*PAGES, *OTHERS], ids=lambda path: str(path.relative_to(ROOT)))
def test_every_setting_named_exists(file: Path) -> None:
    named = set(re.findall(r"\bMNER_[A-Z_]*[A-Z]\b", file.read_text()))
    assert named <= {variable.name for variable in VARIABLES}


def test_the_table_of_settings_is_current() -> None:
    written = SETTINGS.read_text().partition(BEGIN)[2].partition(END)[0]
    assert written == settings_table(), "run `python -m tests.test_docs`"


@pytest.mark.parametrize("path", SHEETS)
def test_the_tables_of_keys_are_those_of_the_sheets(path: str) -> None:
    written = REVIEW.read_text().partition(begin_of(path))[2].partition(END)[0]
    assert written == keys_table(SHEETS[path]), "run `python -m tests.test_docs`"


def test_the_sheets_name_each_key_that_the_pages_take() -> None:
    for path, file in (("/review", "keys.js"), ("/review/words", "words.js")):
        (taken,) = re.findall(r"const PLAIN = new Set\((\[.*?\])\)", (ROOT / "desk" / "static" / file).read_text())
        named = {name for column in SHEETS[path] for key in column.keys for name in key.names}
        assert set(json.loads(taken)) <= named, path


@page
def test_every_file_and_folder_named_exists(page: Path) -> None:
    folders = "streams|model|sinks|review|local|tests|benchmarks|docs|examples|config"
    for name in re.findall(rf"`((?:{folders})/[\w./-]*)`", page.read_text()):
        assert (ROOT / name).exists(), f"{page.name} names {name}"


@pytest.mark.parametrize("name", EVENTS)
def test_the_example_of_each_event_is_valid_and_every_field_is_described(name: str) -> None:
    text = section(name)
    (example,) = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    EVENTS[name].model_validate(json.loads(example))
    fields = EVENTS[name].model_fields
    assert set(fields) <= described(text), name
    assert set(json.loads(example)) <= set(fields), name


def test_every_field_of_a_mention_is_described() -> None:
    assert set(Mention.model_fields) <= described(section("Extraction").partition("A mention:")[2])


def test_every_topic_is_described_with_the_others() -> None:
    named = described((ROOT / "docs" / "architecture.md").read_text().partition("## Topics")[2])
    assert {topic.name for topic in topics.plan(Settings(_env_file=None))} <= named


def test_the_python_example_of_the_readme_prints_what_the_readme_says() -> None:
    (program,), (output,) = (
        re.findall(rf"```{kind}\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL) for kind in ("python", "text")
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == output


@page_or_experiment
def test_nothing_is_named_by_an_absolute_path_of_somebodys_machine(page: Path) -> None:
    assert not re.search(r"(?<![\w.:/-])/(?:home|root|work|Users|tmp)/", page.read_text())


def described(text: str) -> set[str]:
    """Returns the names in backticks in the first column of the tables."""
    rows = re.findall(r"^\| ([^|]+) \|", text, re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row)}


def section(heading: str) -> str:
    text = (ROOT / "docs" / "events.md").read_text()
    return re.split(r"^## ", text.partition(f"\n## {heading}\n")[2], flags=re.MULTILINE)[0]


def headings(file: Path) -> list[str]:
    return re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE)


def anchor_of(heading: str) -> str:
    """Returns the anchor of a heading, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def code(text: str) -> list[str]:
    """Returns the lines of code blocks, and the text in backticks."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    indented = re.findall(r"^    .+$", text, re.MULTILINE)
    return [*(line for block in blocks for line in block.splitlines()), *indented, *re.findall(r"`([^`\n]+)`", text)]


def test_every_experiment_is_in_the_index_and_has_a_date_and_a_conclusion() -> None:
    index = (ROOT / "docs" / "research" / "README.md").read_text()
    for path in RESEARCH:
        if path.name != "README.md":
            text = path.read_text()
            assert f"({path.name})" in index
            assert re.search(r"^20\d\d-\d\d-\d\d\.", text, re.MULTILINE), path.name
            assert "**Conclusion.**" in text, path.name


def settings_table() -> str:
    assert all(variable.description for variable in VARIABLES)
    lines = ["| setting | default | allowed | means |", "|---|---|---|---|"]
    for variable in VARIABLES:
        cells = (
            f"`{variable.name}`",
            default(variable.field.default),
            allowed(variable.field),
            variable.description,
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def keys_table(sheet: Sequence[Keys]) -> str:
    lines = ["| key | does |", "|---|---|"]
    for column in sheet:
        lines.append(f"| **{column.title}** | |")
        for key in column.keys:
            names = " ".join(f"`{name}`" for name in key.names)
            lines.append(f"| {names} | {key.does}{f' {key.type}' if key.type else ''} |")
    return "\n".join(lines) + "\n"


def begin_of(path: str) -> str:
    return f"of the keys of {path}, from desk/review/key_sheets.py -->\n"


def default(value: Any) -> str:
    if value in (None, "", ()):
        return ""
    if value == CHECKPOINT:
        return "the one in `model/checkpoint/`"
    if value == SOURCES:
        return "`config/sources.yaml`"
    return f"`{','.join(map(str, value)) if isinstance(value, tuple) else value}`"


def allowed(field: Any) -> str:
    choices = [value for value in get_args(field.annotation) if isinstance(value, str)]
    if choices:
        return ", ".join(f"`{choice}`" for choice in choices)
    signs = {annotated_types.Ge: "≥ {0.ge}", annotated_types.Gt: "> {0.gt}", annotated_types.Le: "≤ {0.le}"}
    return ", ".join(signs[type(limit)].format(limit) for limit in field.metadata if type(limit) in signs)


def write(file: Path, begin: str, table: str) -> None:
    before, marker, rest = file.read_text().partition(begin)
    assert marker, f"{file.name} has no line that ends with {begin!r}"
    file.write_text(before + marker + table + END + rest.partition(END)[2])


if __name__ == "__main__":
    write(SETTINGS, BEGIN, settings_table())
    for path, sheet in SHEETS.items():
        write(REVIEW, begin_of(path), keys_table(sheet))
