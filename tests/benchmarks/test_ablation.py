"""The ablations: what each row trains, that finished work is kept, that the test split is read only when asked for."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import ablation
from benchmarks.ablation import ROWS, TYPED, Plan, Row, chosen, trained
from benchmarks.ablation_report import Figures, Scored, markdown, write
from benchmarks.run import Wrong
from benchmarks.seeds import spread
from core.errors import UserError
from model.checkpoint import CARD, describe
from model.training import corpus
from model.training.corpus import Example
from tests.model.toys import bert, examples, save

TEACHER = ("--teacher", "big")


def plan(out: Path, *common: str, teacher: tuple[str, ...] = ()) -> Plan:
    return Plan(out, ("--data", "toy2017", *common), teacher)


def row(name: str) -> Row:
    return next(one for one in ROWS if one.name == name)


def names(rows: list[Row]) -> list[str]:
    return [one.name for one in rows]


def understood(name: str, *common: str) -> dict[str, object]:
    arguments = plan(Path("runs"), *common, teacher=TEACHER).arguments(row(name), 3)
    return ablation._understood(arguments)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        pytest.param(
            "whole", {"evidence": True, "chain": True, "teacher": [Path("big")], "alignment": 0.5}, id="whole"
        ),
        pytest.param("no-evidence", {"evidence": False, "matching": 0.0}, id="no evidence"),
        pytest.param("no-chain", {"chain": False}, id="no chain"),
        pytest.param("no-context", {"views": "text", "matching": 0.0}, id="no context"),
        pytest.param("no-alignment", {"alignment": 0.0}, id="no alignment"),
        pytest.param("no-matching", {"matching": 0.0}, id="no matching"),
        pytest.param("no-teacher", {"teacher": ()}, id="no teacher"),
        pytest.param("no-regulariser", {"regulariser": 0.0}, id="no regulariser"),
        pytest.param("no-casing", {"casing": False}, id="no casing"),
        pytest.param("location", {"emission": "location"}, id="location"),
        pytest.param("full", {"adapt": "full"}, id="full"),
        pytest.param("frozen", {"adapt": "frozen"}, id="frozen"),
        pytest.param(
            "softmax",
            {"views": "text", "evidence": False, "chain": False, "alignment": 0.0, "matching": 0.0, "teacher": ()},
            id="softmax",
        ),
        pytest.param(
            "softmax-taught",
            {"views": "text", "evidence": False, "chain": False, "alignment": 0.0, "matching": 0.0},
            id="softmax, taught",
        ),
    ],
)
def test_a_row_differs_from_the_whole_in_its_part_and_nothing_else(name: str, wanted: dict[str, object]) -> None:
    common = ("--alignment", "0.5", "--matching", "0.5", "--adapt", "lora", "--epochs", "4")
    whole, found = understood("whole", *common), understood(name, *common)
    own = {"name": f"{name}-3", "out": Path("runs") / name / "seed-3"}
    assert found == whole | wanted | own
    assert found["seed"] == 3


def test_by_default_every_row_that_differs_is_trained(tmp_path: Path) -> None:
    bare = names(chosen(plan(tmp_path), None))
    assert bare[0] == "whole"
    assert {"no-alignment", "no-matching", "no-teacher", "full", "softmax-taught"}.isdisjoint(bare)
    taught = chosen(plan(tmp_path, "--alignment", "0.5", "--matching", "0.5", "--adapt", "lora", teacher=TEACHER), None)
    assert set(names(taught)) == {one.name for one in ROWS} - {"lora"}


def test_rows_are_chosen_by_name(tmp_path: Path) -> None:
    assert names(chosen(plan(tmp_path), "no-chain,whole")) == ["whole", "no-chain"]
    with pytest.raises(UserError, match="--rows nothing: wanted some of whole, no-evidence"):
        chosen(plan(tmp_path), "nothing")
    assert names(chosen(plan(tmp_path), "softmax-taught")) == ["softmax-taught"], "nothing that it is a twin of"
    with pytest.raises(UserError, match="--rows softmax-taught: trains as the row softmax does"):
        chosen(plan(tmp_path), "softmax,softmax-taught")
    with pytest.raises(UserError, match=r"--rows no-teacher: trains as the row whole does"):
        chosen(plan(tmp_path), "whole,no-teacher")


def test_options_that_no_training_has_are_told_before_any(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"mner train .*: No such option: --depth"):
        chosen(plan(tmp_path, "--depth", "3"), None)


@pytest.fixture
def instead(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """Puts a script in the place of Python: what a training does."""

    def put(script: str) -> None:
        file = tmp_path / "python"
        file.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        file.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(file))

    return put


def test_a_finished_training_is_kept_and_one_of_another_command_is_not_taken_for_it(
    tmp_path: Path, instead: Callable[[str], None]
) -> None:
    ours, whole = plan(tmp_path), row("whole")
    folder = ours.folder(whole, 1)
    instead(f"echo epoch 1; touch {shlex.quote(str(folder / CARD))}")
    assert list(trained(ours, whole, 1)) == ["epoch 1"]
    assert (folder / TYPED).read_text().startswith("mner train --data toy2017 --seed 1")
    assert not list(trained(ours, whole, 1)), "nothing runs"
    with pytest.raises(UserError, match="seed-1 is of another command"):
        list(trained(plan(tmp_path, "--epochs", "9"), whole, 1))


def test_what_a_failed_training_said_last_is_told_and_the_others_go_on(
    tmp_path: Path, instead: Callable[[str], None]
) -> None:
    instead('case "$*" in *--no-chain*) echo no memory; exit 3;; esac')
    failed = ablation._train_all(plan(tmp_path), [row("no-chain"), row("whole")], [0])
    assert failed == ["no-chain, seed 0: mner train ended with 3: no memory"]
    assert (tmp_path / "whole" / "seed-0" / TYPED).is_file()


def test_the_report_names_what_is_off_the_seeds_and_the_command_of_each_row(tmp_path: Path) -> None:
    figure = spread([0.5, 0.7])
    one = Figures("no-chain", "the chain", "python -m x --rows no-chain", [0, 1], figure, *[spread([None] * 2)] * 4)
    parts = [Scored("toy2017", "valid", [one])]
    write(tmp_path, parts)
    assert (tmp_path / "ablation.md").read_text() == markdown(parts)
    line = next(line for line in markdown(parts).splitlines() if "no-chain" in line)
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells == ["no-chain", "the chain", "0.6000 ± 0.1414", "-", "-", "-", "-", "0, 1", f"`{one.command}`"]
    (part,) = json.loads((tmp_path / "ablation.json").read_text())
    assert part["figures"][0]["text"]["values"] == [0.5, 0.7]


def toy_corpus(tmp_path: Path) -> tuple[Path, Path]:
    folder, lines = tmp_path / "toy2017", []
    folder.mkdir()
    for split, count in {"train": 32, "valid": 30, "test": 10}.items():
        text = ""
        for number, one in enumerate(examples(count)):
            rows = [*zip(one.words[:3], one.tags[:3], strict=True), (f"{split}{number}", "O")]
            text += f"IMGID:{split}{number}\n" + "".join(f"{word}\t{tag}\n" for word, tag in rows) + "\n"
            lines.append(json.dumps({"set": "2017", "img": f"{split}{number}", "caption": "a city"}))
        (folder / f"{split}.txt").write_text(text, encoding="utf-8")
    captions = tmp_path / "captions.jsonl"
    captions.write_text("\n".join(lines), encoding="utf-8")
    return folder, captions


def test_rows_are_trained_by_the_command_scored_alike_and_the_test_split_is_read_only_when_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, captions = toy_corpus(tmp_path)
    encoder = save(tmp_path / "encoder", bert)
    read, out, original = list[str](), tmp_path / "out", corpus.read

    def noting(path: Path, captions: dict[str, str] | None = None) -> list[Example]:
        read.append(path.stem)
        return original(path, captions)

    monkeypatch.setattr(corpus, "read", noting)
    monkeypatch.setattr(sys, "argv", ["x", "--data", str(data), "--rows", "whole,softmax", "--seeds", "0"])
    options = "--encoder-rate 5e-3 --head-rate 1e-2 --batch-tokens 128 --threads 1"
    given = {"captions": captions, "seeds": "0", "rows": "whole,softmax", "epochs": 4, "encoder": str(encoder)}
    ablation.command(data=data, out=out, options=options, **given)  # type: ignore[arg-type]
    assert read == ["valid"]
    assert describe(out / "softmax" / "seed-0").design.views == ("text",)
    (part,) = json.loads((out / "ablation.json").read_text())
    whole, softmax = part["figures"]
    assert whole["captions"]["mean"] is not None
    assert softmax["captions"]["mean"] is None
    assert softmax["seeds"] == [0]
    assert softmax["command"] == f"python -m benchmarks.ablation --data {data.name} --seeds 0 --rows softmax"

    before = {file: file.stat().st_mtime_ns for file in out.rglob(CARD)}
    assert len(before) == 2
    ablation.command(data=data, out=out, options=options, test=True, **given)  # type: ignore[arg-type]
    assert read[1:] == ["valid", "test"]
    assert {file: file.stat().st_mtime_ns for file in out.rglob(CARD)} == before
    parts = json.loads((out / "ablation.json").read_text())
    assert [one["split"] for one in parts] == ["valid", "test"]

    monkeypatch.setattr(ablation, "_train_all", lambda *_: ["whole, seed 0: failed"])
    with pytest.raises(Wrong, match="whole, seed 0"):
        ablation.command(data=data, out=out, options=options, test=True, **given)  # type: ignore[arg-type]
    assert read[3:] == ["valid"], "no table is whole, so that the test split is not read"
