"""Leave-one-corpus-out: the training, what is not done twice, and the figures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import left_out
from benchmarks.left_out import CHECKPOINTS, command, needed, overridden, trained
from cli.training import configuration, train
from core.errors import UserError
from model.checkpoint import CARD, describe
from model.training.publish import CONFIG_COPY
from model.training.scores import Judged
from tests.model.toys import PEOPLE, PLACES, bert, save

CORPORA = {"a": "a2017", "b": "ner/b"}
RECIPES = [Path("examples/training/small.toml"), Path("examples/training/general.toml")]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two data sets, the second an auxiliary one, in the folder that MNER_DATA names."""
    folder = tmp_path / "data"
    for name, place in CORPORA.items():
        (folder / place).mkdir(parents=True)
        for split, number in (("train", 12), ("valid", 6), ("test", 4)):
            words = [
                f"{PEOPLE[i % 4]}\tB-PER\nin\tO\n{PLACES[i % 3]}\tB-LOC\n{name}{split}{i}\tO\n" for i in range(number)
            ]
            (folder / place / f"{split}.txt").write_text("\n".join(words))
    monkeypatch.setenv("MNER_DATA", str(folder))
    monkeypatch.setattr(left_out, "CORPORA", CORPORA)
    return folder


@pytest.fixture
def recipe(data: Path, tmp_path: Path) -> Path:
    encoder = save(tmp_path / "encoder", bert)
    file = tmp_path / "toy.toml"
    file.write_text(
        f'encoder = "{encoder}"\nthreads = 1\n[data]\nfolder = "{data}"\nauxiliary = ["{data}/ner/b"]\n'
        'teachers = ["nowhere"]\n[optimisation]\nepochs = 1\n'
    )
    return file


def test_a_recipe_is_trained_without_the_corpus_and_measured_once(
    data: Path, recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out, figures = tmp_path / "out", tmp_path / "figures.json"
    command(out, [recipe], ["b"], [3], json_to=figures)
    folder = out / "toy" / "b" / "seed-3"
    provenance = describe(folder).provenance
    assert "auxiliary" not in provenance
    assert str(provenance["left out"]).endswith("or in ner/b")
    (row,) = json.loads(figures.read_text())["rows"]
    assert (row["left_out"], row["recipe"], row["seed"], row["split"]) == ("b", "toy", 3, "valid")
    assert row["scores"]["support"] == 12
    assert row["validation"].keys() == {"a"}
    assert row["learned_from"] == {}
    assert row["seconds"] > 0
    assert "toy: mean F1" in capsys.readouterr().out

    monkeypatch.setattr(train, "command", None)
    monkeypatch.setattr(left_out, "predict", None)
    command(out, [recipe], ["b"], [3], json_to=figures)
    assert json.loads(figures.read_text())["rows"] == [row]
    with pytest.raises(UserError, match="was trained with another configuration; choose another --out"):
        command(out, [recipe], ["b"], [3], overrides=["optimisation.epochs=2"])


def test_a_checkpoint_of_other_teachers_is_not_measured_as_that_of_these(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def finish(recipe: Path, out: Path, overrides: list[str]) -> None:
        (out / CARD).touch()
        (out / CONFIG_COPY).write_text(configuration.read(recipe, overrides)[1])

    monkeypatch.setattr(train, "command", finish)
    first, second = ([f"data.teachers={json.dumps([str(tmp_path / name / 'seed-0')])}"] for name in ("a", "b"))
    folder = tmp_path / "out"
    trained(recipe, folder, first)
    trained(recipe, folder, first)
    with pytest.raises(UserError, match="was trained with another configuration; choose another --out"):
        trained(recipe, folder, second)
    (folder / CHECKPOINTS).unlink()
    with pytest.raises(UserError, match="was trained with another configuration"):
        trained(recipe, folder, first)


def test_only_the_corpus_and_the_seed_are_replaced_in_the_folder_of_a_teacher(data: Path) -> None:
    changes = overridden(RECIPES[0], data, "a", 1, "/runs/{name}/{corpus}/{seed}", [])
    assert 'data.teachers=["/runs/{name}/a/1"]' in changes


@pytest.mark.usefixtures("data")
def test_a_start_that_may_have_seen_the_corpus_is_refused(recipe: Path, tmp_path: Path) -> None:
    recipe.write_text(f'start = "{tmp_path}/before"\n{recipe.read_text()}')
    with pytest.raises(UserError, match=r"toy\.toml: start .*/before may have seen .*; remove it, or choose --teach"):
        command(tmp_path / "out", [recipe], ["b"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"corpora": ["c"]}, "--corpus c: choose from a, b"),
        ({"split": "train"}, "--split train: choose valid or test"),
    ],
)
@pytest.mark.usefixtures("data")
def test_a_corpus_or_split_that_is_none_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        command(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.stem)
@pytest.mark.parametrize(
    ("teachers", "names"),
    [("none", []), ("recipe", ["checkpoint-large"]), ("runs/{corpus}/{seed}", ["1"])],
    ids=["none", "the recipe's", "one that has not seen the corpus"],
)
def test_the_shipped_recipes_can_leave_out_each_corpus(
    recipe: Path, teachers: str, names: list[str], data: Path
) -> None:
    for name, folder in CORPORA.items():
        training, _ = configuration.read(recipe, overridden(recipe, data, name, 1, teachers, ["threads=2"]))
        assert training.data.without == (data / folder,)
        assert (training.optimisation.seed, training.target_precision, training.threads) == (1, 0.9, 2)
        assert [teacher.name for teacher in training.data.teachers] == names


def test_the_fewest_mentions_go_to_people_that_the_precision_allows() -> None:
    def judged(*correct: bool) -> list[Judged]:
        return [Judged(1 - place / 100, 0, 0, right) for place, right in enumerate(correct)]

    assert needed(judged(True, True, True, False), 0.75) == 0
    assert needed(judged(True, True, False, False), 0.9) == 0.5
    assert needed(judged(False, True, True, True), 0.75) == 0, "a mistake on top counts less among many"
    assert needed(judged(False, False), 0.9) == 1
    assert needed([], 0.9) == 0
