"""Training from the configuration to the checkpoint, on a toy corpus with toy encoders."""

from __future__ import annotations

import hashlib
import json
import shutil
import tomllib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from torch import nn

from cli.training import evaluate as evaluate_command
from core.errors import UserError
from core.events import Tweet
from core.terms import Sources, Terms
from model.batch import collate
from model.checkpoint import CONFIG, WEIGHTS, describe
from model.density import DensityModel
from model.design import CONTEXT, LABELS, TWO_VIEWS, Design
from model.evidence import fuse
from model.extractor import Extractor
from model.tokens import TweetTokenizer
from model.training import material
from model.training import publish as publishing
from model.training import teacher as teaching
from model.training import train as training_of
from model.training.accounts import WordAccount, as_accounts
from model.training.annotation import OPEN
from model.training.config import OptimisationConfig
from model.training.corpus import Example, as_auxiliary
from model.training.encoder import pretrained
from model.training.losses import loss
from model.training.permission import Permission
from model.training.train import STATE, Trainer, items, label_tensor
from streams.settings import CHECKPOINT
from tests.model.toys import bert, distilbert, examples, save
from tests.model.training.runs import train

FAST = {"optimisation.encoder_rate": 5e-3, "optimisation.head_rate": 1e-2, "optimisation.batch_tokens": 128}


@pytest.fixture(params=[bert, distilbert], ids=["bert", "distilbert, without segments"])
def encoder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return save(tmp_path / "encoder", request.param)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """The BERT encoder alone."""
    return save(tmp_path / "encoder", bert)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data set named toy2017 with captions, whose last training tweet also stands in the test set."""
    folder = tmp_path / "toy2017"
    folder.mkdir()
    parts: dict[str, Sequence[Example]] = {"train": examples(32), "valid": examples(6), "test": examples(4)}
    lines = []
    for split, tweets in parts.items():
        text = ""
        for number, each in enumerate(tweets):
            filler = f"{split}{number}" if (split, number) not in {("train", 31), ("test", 3)} else "same"
            rows = [*zip(each.words[:3], each.tags[:3], strict=True), (filler, "O")]
            text += f"IMGID:{split}{number}\n" + "".join(f"{word}\t{tag}\n" for word, tag in rows) + "\n"
            lines.append(json.dumps({"set": "2017", "img": f"{split}{number}", "caption": "a city"}))
        if split == "test":
            text = text.replace(
                "dora\tB-PER\nvisits\tO\nparis\tB-LOC\nsame", "dora\tB-PER\nvisits\tO\nlima\tB-LOC\nsame"
            )
        (folder / f"{split}.txt").write_text(text, encoding="utf-8")
    (tmp_path / "captions.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return folder


def trainer(encoder: Path, epochs: int = 2) -> Trainer:
    network, tokenizer = pretrained(str(encoder), seed=0)
    config = OptimisationConfig(epochs=epochs, encoder_rate=5e-3, head_rate=1e-2, batch_tokens=128)
    return Trainer(network, items(examples(32), tokenizer), tokenizer, config, "cpu")


def silent(done: float, value: float) -> None:
    """No progress is shown."""


def test_training_lowers_the_loss_and_learns_the_toy(encoder: Path) -> None:
    seen: list[float] = []
    training = trainer(encoder, epochs=8)
    while not training.finished:
        training.run_epoch(lambda done, value: seen.append(value))
    assert sum(seen[-5:]) < 0.3 * sum(seen[:5])


def test_a_resumed_training_ends_with_the_same_weights_as_one_that_was_not_killed(
    encoder: Path, tmp_path: Path
) -> None:
    whole = trainer(encoder)
    whole.run_epoch(silent)
    whole.keep_if_best(0.5)
    whole.save(tmp_path)
    whole.run_epoch(silent)

    resumed = trainer(encoder)
    assert resumed.resume(tmp_path)
    assert (resumed.epoch, resumed.best_score, resumed.best_epoch) == (1, 0.5, 1)
    resumed.run_epoch(silent)
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, resumed.network.state_dict()[name]), name


def test_a_training_with_another_configuration_does_not_resume_this_one(encoder: Path, tmp_path: Path) -> None:
    trainer(encoder).save(tmp_path)
    with pytest.raises(UserError, match="another configuration or other data"):
        trainer(encoder, epochs=3).resume(tmp_path)


@pytest.mark.parametrize(
    "content",
    [pytest.param(b"", id="empty"), pytest.param(b"PK damaged", id="no archive"), pytest.param(None, id="cut short")],
)
def test_the_error_about_a_damaged_state_is_one_line(encoder: Path, tmp_path: Path, content: bytes | None) -> None:
    training = trainer(encoder)
    training.save(tmp_path)
    whole = (tmp_path / STATE).read_bytes()
    (tmp_path / STATE).write_bytes(whole[: len(whole) // 2] if content is None else content)
    with pytest.raises(UserError, match=r"training\.pt is damaged .*: remove it"):
        training.resume(tmp_path)


def test_every_epoch_reads_every_post_and_the_loss_reaches_both_views(encoder: Path) -> None:
    training = trainer(encoder)
    for epoch in range(2):
        assert sum(len(batch) for batch in training.epoch_batches(epoch)) == 32
    group = training.training[:6]
    batch = collate([item.encoded for item in group], training.tokenizer.config, training.network.design)
    value = loss(training.network, batch, label_tensor(group, batch), training.losses)
    torch.autograd.backward(value)
    for head in training.network.heads.values():
        assert isinstance(head, nn.Linear)
        assert head.weight.grad is not None
        assert head.weight.grad.abs().sum() > 0


def test_an_absent_view_takes_no_part_in_loss_and_fusion(encoder: Path) -> None:
    training = trainer(encoder)
    training.network.eval()
    group = [item for item in training.training if item.encoded.context is None][:4]
    batch = collate([item.encoded for item in group], training.tokenizer.config, training.network.design)
    beliefs = training.network(batch).beliefs
    together = fuse(beliefs, batch.present)
    assert all(torch.allclose(first, second) for first, second in zip(together, beliefs[0], strict=True))
    torch.autograd.backward(loss(training.network, batch, label_tensor(group, batch), training.losses))
    head = training.network.heads["text_context"]
    assert isinstance(head, nn.Linear)
    assert head.weight.grad is None or head.weight.grad.abs().sum() == 0


def test_context_takes_part_in_attention_and_not_in_the_loss(encoder: Path) -> None:
    training = trainer(encoder)
    training.network.eval()
    tokenizer: TweetTokenizer = training.tokenizer
    pair = [tokenizer.encode("ann visits rome", context) for context in ("a city", "portrait")]
    beliefs = training.network(collate(pair, tokenizer.config, training.network.design)).beliefs
    assert beliefs[0].gamma.shape == (2, 3, len(LABELS)), "one row per word of the text, none for the context"
    assert torch.allclose(beliefs[0].gamma[0], beliefs[0].gamma[1])
    assert not torch.allclose(beliefs[1].gamma[0], beliefs[1].gamma[1])


def test_the_command_trains_a_checkpoint_that_loads_and_evaluates(
    encoder: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, captions = tmp_path / "out", tmp_path / "captions.jsonl"
    options = {"data.captions": captions, "encoder": encoder, "name": "toy-1", "target_precision": 0.5}
    train(out, data, FAST | options | {"optimisation.epochs": 8})
    info = describe(out)
    assert info.name == "toy-1"
    assert not (out / STATE).exists()
    assert len({path.stat().st_mode for path in out.iterdir()}) == 1, "whoever may read the card may use the model"
    (found,) = Extractor.load(out, device="cpu").extract_all([Tweet(id="1", text="http http portrait")])
    assert found.typicality == pytest.approx(1 / 7, abs=1e-5), "stranger than all six validation tweets"
    card = (out / "README.md").read_text()
    assert "names=" not in info.provenance["options"], "changes of the posts are named only where there are some"
    assert "| toy2017 | test | captions |" in card
    assert "configuration: [training.toml](training.toml)" in card
    assert tomllib.loads((out / "training.toml").read_text())["optimisation"]["epochs"] == 8
    assert not list(out.glob("*.partial"))
    assert "1 left out" in " ".join(capsys.readouterr().out.split())
    with pytest.raises(UserError, match="holds a finished checkpoint"):
        train(out, data)

    text = "Bob visits Oslo"
    mentions = Extractor.load(out, device="cpu").extract([Tweet(id="1", text=text)], ["a city"])[0]
    assert all(text[mention.start : mention.end] == mention.text for mention in mentions)

    figures = tmp_path / "figures.json"
    evaluate_command.command(data=data, checkpoint=out, captions=captions, json_out=figures)
    scores = json.loads(figures.read_text())
    assert scores["support"] == 8
    wanted = {"f1", "precision", "recall", "per_type", "support", "ece", "auroc_error", "aurc"}
    assert wanted <= scores.keys()
    with pytest.raises(UserError, match="--json /nowhere/x: No such file"):
        evaluate_command.command(data=data, checkpoint=out, json_out=Path("/nowhere/x"))


def test_batches_in_which_no_post_has_a_view_are_skipped(small: Path) -> None:
    network, tokenizer = pretrained(str(small), 0, Design(views=(CONTEXT,)))
    config = OptimisationConfig(epochs=1, batch_tokens=128, drop_context=0.9)
    training = Trainer(network, items(examples(48), tokenizer), tokenizer, config, "cpu")
    seen: list[float] = []
    training.run_epoch(lambda done, value: seen.append(value))
    assert 0 in seen
    assert max(seen) > 0


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"design": Design(evidence=False)}, id="another design"),
        pytest.param({"seed": 1}, id="other weights"),
        pytest.param({"number": 31}, id="other tweets"),
        pytest.param({"teacher": True}, id="a teacher"),
        pytest.param({"unannotated": frozenset({"MISC"})}, id="another annotation scheme"),
        pytest.param({"accounts": (WordAccount(0, 1),)}, id="other accounts"),
    ],
)
def test_a_training_of_other_data_does_not_resume_this_one(small: Path, tmp_path: Path, other: dict[str, Any]) -> None:
    def build(
        design: Design = TWO_VIEWS,
        seed: int = 0,
        number: int = 32,
        teacher: bool = False,
        unannotated: frozenset[str] = frozenset(),
        accounts: tuple[WordAccount, ...] = (),
    ) -> Trainer:
        network, tokenizer = pretrained(str(small), seed, design)
        believed = [{0: np.full(len(LABELS), 1 / len(LABELS))}] * number if teacher else None
        posts = [replace(each, unannotated=unannotated, accounts=accounts) for each in examples(number)]
        learned = items(posts, tokenizer, believed)
        return Trainer(network, learned, tokenizer, OptimisationConfig(epochs=1, batch_tokens=128), "cpu")

    build().save(tmp_path)
    assert build().resume(tmp_path)
    with pytest.raises(UserError, match="another configuration or other data"):
        build(**other).resume(tmp_path)


def test_the_rate_ends_at_zero_with_the_last_batch(small: Path) -> None:
    training = trainer(small, epochs=3)
    while not training.finished:
        training.run_epoch(silent)
    assert training.schedule.last_epoch == training.steps
    assert training.schedule.get_last_lr() == [0.0] * len(training.optimiser.param_groups)


def test_a_teacher_reads_once_and_stands_in_the_card_of_its_student(
    small: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = FAST | {"encoder": small, "optimisation.epochs": 4, "target_precision": 0.5}
    train(tmp_path / "teacher", data, options | {"name": "toy-teacher"})
    train(
        tmp_path / "other",
        data,
        options | {"name": "other-teacher", "optimisation.seed": 1, "optimisation.epochs": 1},
    )
    more = data.parent / "more"
    shutil.copytree(data, more)
    options |= {"data.teachers": [str(tmp_path / "teacher"), str(tmp_path / "other")], "threads": 1}
    options |= {"data.unlabelled": [str(more)]}

    marginals = Mock(wraps=teaching.marginals)
    monkeypatch.setattr(teaching, "marginals", marginals)
    monkeypatch.setattr(publishing, "publish", Mock(side_effect=OSError(28, "disk full")))
    for _ in range(2):
        with pytest.raises(UserError, match="disk full; run the same command again"):
            train(tmp_path / "out", data, options)
    assert marginals.call_count == 2, "a resumed training reads the stored beliefs of both"
    assert sorted(path.name for path in (tmp_path / "out").glob("*.npz")) == ["teacher-0.npz", "teacher-1.npz"]
    monkeypatch.undo()
    options |= {"optimisation.epochs": 1, "start": tmp_path / "teacher"}
    train(tmp_path / "student", data, options)
    provenance = describe(tmp_path / "student").provenance
    for part, name in (("start", "toy-teacher"), ("teacher", "toy-teacher"), ("teacher 2", "other-teacher")):
        assert provenance[part].startswith(f"{name}; trained on: the training splits of toy2017")
    assert not list((tmp_path / "student").glob("*.npz"))


def test_a_student_learns_the_mean_of_its_teachers(
    small: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, object] = {"encoder": small, "optimisation.epochs": 1, "optimisation.batch_tokens": 128}
    for seed in (0, 1):
        train(tmp_path / str(seed), data, options | {"optimisation.seed": seed, "target_precision": 0.5})
    encoded = Mock(wraps=training_of.items)
    monkeypatch.setattr(training_of, "items", encoded)
    for teachers in ([0], [1], [0, 1]):
        folders = [str(tmp_path / str(number)) for number in teachers]
        train(tmp_path / f"of-{len(teachers)}{teachers[0]}", data, options | {"data.teachers": folders})
    first, second, both = (call.args[2][0][0] for call in encoded.call_args_list)
    assert not np.allclose(first, second, atol=1e-3)
    assert np.allclose(both, (first + second) / 2, atol=1e-3)


def test_beliefs_come_back_only_for_the_same_teacher_and_tweets(tmp_path: Path) -> None:
    beliefs = [{0: np.full(len(LABELS), 0.5, np.float16), 2: np.zeros(len(LABELS), np.float16)}, {}]
    path = tmp_path / "teacher.npz"
    assert teaching.load(path, "a") is None
    teaching.save(path, "a", beliefs)
    found = teaching.load(path, "a")
    assert found is not None
    assert [each.keys() for each in found] == [{0, 2}, set()]
    assert np.array_equal(found[0][0], beliefs[0][0])
    assert teaching.load(path, "b") is None
    path.write_bytes(path.read_bytes()[:100])
    assert teaching.load(path, "a") is None


def test_the_beliefs_of_several_teachers_are_their_mean(tmp_path: Path) -> None:
    first = [{0: np.full(len(LABELS), 0.5, np.float16)}, {}, {}]
    second = [{0: np.zeros(len(LABELS), np.float16), 2: np.ones(len(LABELS), np.float16)}, {1: first[0][0]}, {}]
    found = teaching.mean_beliefs([first, second])
    assert [sorted(tweet) for tweet in found] == [[0, 2], [1], []]
    assert found[0][0].tolist() == [0.25] * len(LABELS)
    assert found[0][2].tolist() == [1.0] * len(LABELS), "the mean over the teachers that have read the word"
    for name in "ab":
        (tmp_path / name).mkdir()
        for file in (CONFIG, WEIGHTS):
            (tmp_path / name / file).write_text(f"{name} {file}")
    assert len({teaching.key(tmp_path / name, examples(number)) for name in "ab" for number in (2, 3)}) == 4


def test_stored_beliefs_stay_valid_for_posts_without_accounts(tmp_path: Path) -> None:
    for file in (CONFIG, WEIGHTS):
        (tmp_path / file).write_text(file)
    (post,) = examples(1)
    digest = hashlib.sha256()
    for file in (CONFIG, WEIGHTS):
        digest.update(hashlib.sha256(file.encode()).digest())
    digest.update(repr((post.words, post.caption)).encode())
    assert teaching.key(tmp_path, [post]) == digest.hexdigest()
    assert teaching.key(tmp_path, [replace(post, accounts=(WordAccount(0, 1),))]) != digest.hexdigest()


def test_auxiliary_sets_are_trained_on_and_never_measured(small: Path, data: Path, tmp_path: Path) -> None:
    others = tmp_path / "others"
    others.mkdir()
    for split, filler in (("train", "novel"), ("valid", "v"), ("test", "t")):
        text = f"ann\tB-PER\nin\tO\n{filler}\tO\n\n"
        copies = "ann\tO\nin\tO\nv\tO\n\nann\tO\nvisits\tO\nparis\tO\ntrain0\tO\n"
        (others / f"{split}.txt").write_text(text + copies if split == "train" else text)
    read = material.read(data, None, auxiliary=[others])
    assert [each.words for each in read.auxiliary] == [("ann", "in", "novel")], (
        "one stands in its valid.txt, one in --data"
    )
    assert read.left_out == 2
    assert read.auxiliary[0].unannotated == {"LOC", "ORG", "MISC"}
    assert read.training == [*read.labelled, *read.auxiliary]
    assert {name for name, _ in read.held_out} == {"toy2017"}

    out = tmp_path / "out"
    options: dict[str, object] = {"encoder": small, "optimisation.epochs": 1, "target_precision": 0.5}
    train(out, data, options | {"data.auxiliary": [str(others)]})
    assert (
        describe(out).provenance["auxiliary"]
        == f"posts: 1 of {tmp_path.name}/others, with the labels that these sets have"
    )
    known = DensityModel.load(out, describe(out).encoder["hidden_size"])
    assert known is not None
    assert known.counts is not None, "other tweets are the background of familiar words"
    assert material.read(data, None, [others], [others]).unlabelled == [], "what is labelled is not learned twice"
    train(tmp_path / "student", data, options | {"data.teachers": [str(out)]})
    assert "auxiliary: posts: 1 of" in describe(tmp_path / "student").provenance["teacher"]


def write_set(folder: Path, word: str) -> Path:
    folder.mkdir(parents=True)
    for split in ("train", "valid", "test"):
        rows = ("@\tB-PER", "ann\tB-PER", "in\tO", f"{word}\tO", f"{split}\tO")
        (folder / f"{split}.txt").write_text("\n".join(rows))
    return folder


def test_a_data_set_that_the_training_must_not_see_is_in_no_part_of_it(data: Path, tmp_path: Path) -> None:
    shutil.copytree(data, tmp_path / "sets" / "toy2017")
    unseen, entire = write_set(tmp_path / "sets" / "toy2015", "alone"), write_set(tmp_path / "entire", "other")
    copies = write_set(tmp_path / "copies", "alone")
    whole = material.read(tmp_path / "sets", None, entire=[entire, copies])
    assert whole.data_sets == ["toy2015", "toy2017"]
    assert {each.words[3:] for each in whole.auxiliary} == {("other", split) for split in ("train", "valid", "test")}
    read = material.read(tmp_path / "sets", None, (), [copies], entire=[entire], without=[unseen, entire])
    assert (read.data_sets, read.auxiliary) == (["toy2017"], [])
    assert read.labelled == material.read(data, None).labelled
    assert str(read.provenance()["left out"]).endswith("or in sets/toy2015, " + f"{tmp_path.name}/entire")
    names = f"there are {tmp_path.name}/copies, {tmp_path.name}/entire"
    with pytest.raises(UserError, match=rf"data\.unannotated: entire is the name of no set in .*; {names}"):
        material.read(data, None, entire=[entire, copies], unannotated={"entire": ["PER"]})
    with pytest.raises(UserError, match=r"data\.folder .*: all data sets there are left out by .*; take one out of it"):
        material.read(unseen, None, without=[unseen])


@pytest.mark.parametrize("key", ["auxiliary", "entire", "without"])
def test_the_error_about_a_folder_that_is_not_there_names_its_key(key: str, data: Path, tmp_path: Path) -> None:
    keys: dict[str, Any] = {key: [tmp_path / "nowhere"]}
    with pytest.raises(UserError, match=rf"data\.{key}: .*/nowhere: needs train\.txt"):
        material.read(data, None, **keys)


def test_user_names_can_be_accounts_in_all_posts_of_a_training(small: Path, data: Path, tmp_path: Path) -> None:
    read = material.read(write_set(tmp_path / "toy2015", "alone"), None, accounts="account")
    for posts in (read.labelled, read.held_out["toy2015", "valid"]):
        assert [(each.tags, len(each.accounts)) for each in posts] == [(("O",) * 5, 1)]
    assert "user names" in read.provenance()
    train(tmp_path / "teacher", data, {"encoder": small, "optimisation.epochs": 1, "target_precision": 0.5})
    (beliefs,) = teaching.marginals(
        Extractor.load(tmp_path / "teacher", device="cpu"), read.labelled, lambda done: None
    )
    assert beliefs.keys() == {2, 3, 4}, "a teacher may take the name of an account for a mention"
    inside = [number for number, label in enumerate(LABELS) if label[0] == "I"]
    assert beliefs[2][inside].max() < 1e-4, "no mention goes on after the words of an account, which are O"


def test_an_open_word_may_have_any_label(small: Path) -> None:
    _, tokenizer = pretrained(str(small), seed=0)
    group = items([Example("1", ("pop", "in", "rome"), (OPEN, "O", "B-LOC"))], tokenizer)
    allowed = label_tensor(group, collate([each.encoded for each in group], tokenizer.config, TWO_VIEWS))
    assert allowed.sum(-1).tolist() == [[len(LABELS), 1, 1]]


def allowed_labels(small: Path, example: Example) -> list[set[str]]:
    """Returns the labels that each word of the example may have."""
    _, tokenizer = pretrained(str(small), seed=0)
    group = items([example], tokenizer)
    (allowed,) = label_tensor(group, collate([each.encoded for each in group], tokenizer.config, TWO_VIEWS))
    return [{LABELS[number] for number in word.nonzero().flatten()} for word in allowed]


def test_a_word_that_is_open_may_have_the_unannotated_types_too(small: Path) -> None:
    wiki = Example("1", ("japanese", "in", "rome", "ann", "nba"), ("B-MISC", "O", "B-LOC", "B-PER", "B-ORG"), data="w")
    first, second, third, *_ = allowed_labels(small, *as_auxiliary([wiki], {"w": ["MISC"]}))
    assert (first, second, third) == (set(LABELS), {"O", "B-MISC", "I-MISC"}, {"B-LOC"})


def test_the_words_of_accounts_are_outside_of_mentions_whatever_types_are_unannotated(small: Path) -> None:
    posts = [Example("1", ("@ann", "pop", "in"), (OPEN, OPEN, "O"), data="wiki")]
    first, second, third = allowed_labels(small, *as_accounts(as_auxiliary(posts)))
    assert (first, second, third) == ({"O"}, set(LABELS), set(LABELS))
    (unlabelled,) = as_accounts([replace(posts[0], tags=())])
    assert allowed_labels(small, unlabelled) == [set()] * 3


@pytest.mark.parametrize("key", ["auxiliary", "entire"])
def test_auxiliary_sets_without_new_posts_are_refused(small: Path, data: Path, tmp_path: Path, key: str) -> None:
    options: dict[str, object] = {"encoder": small, f"data.{key}": [str(data)]}
    message = r"data\.auxiliary, data\.entire: all of their posts are also in data\.folder"
    with pytest.raises(UserError, match=message):
        train(tmp_path / "out", data, options)
    unseen = write_set(tmp_path / "toy2015", "alone")
    with pytest.raises(UserError, match=message):
        train(tmp_path / "out", data, options | {"data.without": [str(unseen)]})


def test_auxiliary_sets_are_read_as_text(small: Path, data: Path, tmp_path: Path) -> None:
    options: dict[str, object] = {"encoder": small, "data.auxiliary": [str(data)]}
    captions = {"data.captions": tmp_path / "captions.jsonl", "design.views": ["text+context"]}
    with pytest.raises(UserError, match=r"data\.auxiliary: its posts are read as text alone; add the view text"):
        train(tmp_path / "out", data, options | captions)


def test_a_checkpoint_of_another_encoder_cannot_be_the_start(small: Path, data: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"start .*: it has another encoder or design"):
        train(tmp_path / "out", data, {"encoder": small, "start": CHECKPOINT})


def test_material_leaves_out_posts_whose_source_may_not_train(data: Path) -> None:
    before = material.read(data, None)
    with (data / "train.txt").open("a") as file:
        file.write("# source x\nrome\tB-LOC\nalone\tO\n\n# source file\noslo\tB-LOC\nalone\tO\n")
    terms = {name: Terms(may_train=name == "file", may_show_text=True, delete_within_hours=1) for name in ("file", "x")}
    permission = Permission(Sources(terms))
    read = material.read(data, None, permission=permission)
    assert [example.words for example in read.labelled] == [("oslo", "alone")]
    assert permission.skipped == {"x": 1, "unknown": len(before.labelled) + before.left_out}
