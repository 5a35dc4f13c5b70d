"""Changes of the training posts: other names, another casing."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch

from core.errors import UserError
from model.design import LABELS
from model.tokens import Encoded
from model.training.accounts import WordAccount, as_accounts
from model.training.augment import Augmentation, recased, styled, with_other_names
from model.training.config import AugmentConfig, OptimisationConfig
from model.training.corpus import Example
from model.training.encoder import pretrained
from model.training.names import FILES, Names, cleaned
from model.training.train import Trainer, items
from tests.model.toys import bert, examples, save
from tests.model.training.runs import train

NAMES = Names({"PER": ((("Bo", "Li"),),), "LOC": ((("New", "Rome"),),), "ORG": ((("Acme",),),)})
ROW = np.full(len(LABELS), 0.125, np.float16)


def split(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def encoded(training: Trainer, epoch: int) -> list[Encoded]:
    assert training.changes is not None
    return [each.encoded for each in training.changes.changed(training.training, epoch)]


@pytest.mark.parametrize(
    ("listed", "words"),
    [
        ('Al "Cake" Wichard', "Al Cake Wichard"),
        ("AVL (engineering company)", "AVL"),
        ("Abbotsford, British Columbia", "Abbotsford"),
        ("'''Oceanus Group Limited", "Oceanus Group"),
        ("BULL-DOG SAUCE Co., Ltd.", "BULL-DOG SAUCE"),
        ("Tarik O'Regan", "Tarik O'Regan"),
        ("2015, Inc.", ""),
        ("Adolf I, Count of the Mark", "Adolf I"),
        ("Italy men's national canoe polo team", ""),
        ("10 & 10 Danza", ""),
        ("1-2-3", ""),
        ("", ""),
    ],
)
def test_listed_names_lose_what_nobody_writes(listed: str, words: str) -> None:
    assert cleaned(listed) == split(words)


@pytest.mark.parametrize(
    ("listed", "drawn"),
    [
        ("Adolf I, Count of the Mark", {"Adolf"}),
        ("Pius XII", {"Pius"}),
        ("Robert Downey Jr.", {"Robert", "Downey"}),
        ("Martin King, Jr", {"Martin", "King"}),
        ("Ken Griffey Sr. III", {"Ken", "Griffey"}),
        ("The Beatles", {"Beatles"}),
        ("DJ Sir Mix", {"Mix"}),
        ("V", {"V"}),
    ],
)
def test_one_word_of_a_name_is_one_that_names_the_person_alone(listed: str, drawn: set[str]) -> None:
    names = Names({"PER": ((cleaned(listed),),)})
    assert {names.draw("PER", 1, random.Random(seed)) for seed in range(20)} == {(word,) for word in drawn}
    assert names.draw("PER", 2, random.Random(0)) == cleaned(listed)


@pytest.mark.parametrize(
    ("former", "before", "words"),
    [
        ("Paris", "in", "New Rome"),
        ("paris", "in", "new rome"),
        ("PARIS", "IN", "NEW ROME"),
        ("NYC", "in", "New Rome"),
        ("#Paris", "", "#NewRome"),
        ("#paris", "", "#newrome"),
        ("Paris", "#", "NewRome"),
        ("#Los Angeles", "", "#New Rome"),
    ],
)
def test_a_new_name_is_written_as_the_former_one(former: str, before: str, words: str) -> None:
    assert styled(("New", "Rome"), split(former), before) == split(words)


def test_mentions_get_other_names_and_everything_else_moves_along() -> None:
    tags = split("B-PER O O O B-LOC I-LOC O B-MISC")
    words = split("Ann with @ bob Los Angeles at Xmas")
    (example,) = as_accounts([Example("1", words, tags, "a city")])
    beliefs = {place: ROW * place for place in range(8)}
    changed, left = with_other_names(example, beliefs, NAMES, 1.0, random.Random(0))
    assert changed.words[0] in {"Bo", "Li"}, "a person named by one word gets one word"
    assert changed.words[1:] == split("with @ bob New Rome at Xmas")
    assert (changed.tags, changed.caption) == (tags, "a city")
    assert left.keys() == {1, 2, 3, 6, 7}, "nobody has beliefs about the new words"
    longer = replace(example, words=("Oslo", *words[1:]), tags=("B-LOC", *tags[1:]))
    changed, left = with_other_names(longer, beliefs, NAMES, 1.0, random.Random(0))
    assert changed.words == split("New Rome with @ bob New Rome at Xmas")
    assert changed.tags == split("B-LOC I-LOC O O O B-LOC I-LOC O B-MISC")
    assert [(each.start, each.end) for each in changed.accounts] == [(3, 5)]
    assert {new: float(row[0] / ROW[0]) for new, row in left.items()} == {2: 1, 3: 2, 4: 3, 7: 6, 8: 7}


def test_names_of_accounts_and_posts_without_other_names_stay() -> None:
    example = Example("1", ("@", "Acme", "@Acme", "Xmas"), ("O", "B-ORG", "B-ORG", "B-MISC"))
    assert with_other_names(example, {}, NAMES, 1.0, random.Random(0))[0] is example
    assert with_other_names(replace(example, tags=()), {}, NAMES, 1.0, random.Random(0))[0].tags == ()
    named = Example("1", ("Ann",), ("B-PER",))
    assert with_other_names(named, {}, NAMES, 0.0, random.Random(0))[0] is named


def test_a_post_is_recased_except_for_addresses_and_user_names() -> None:
    (example,) = as_accounts([Example("1", ("iPhone", "#new", "@Bob", "@", "Ann", "http://t.co/Ab"), ("O",) * 6)])
    example = replace(example, accounts=(*example.accounts, WordAccount(4, 5)))
    found = {recased(example, random.Random(seed)).words[:2] for seed in range(40)}
    assert found == {("iphone", "#new"), ("IPHONE", "#NEW"), ("IPhone", "#New")}
    for seed in range(5):
        assert recased(example, random.Random(seed)).words[2:] == example.words[2:]


@pytest.mark.parametrize("address", ["t.co/Ab", "pic.twitter.com/aBc", "Romehttps://t.co/Ab", "Ann@b.org"])
def test_addresses_stay_however_they_begin(address: str) -> None:
    for seed in range(5):
        assert recased(Example("1", (address,), ("O",)), random.Random(seed)).words == (address,)


def test_a_user_name_stays_behind_its_sign_where_it_is_a_word_as_any_other() -> None:
    example = Example("1", ("@", "Ann", "_", "Lee", "@", "iPhone"), ("O",) * 6)
    for seed in range(5):
        assert recased(example, random.Random(seed)).words == example.words


def test_posts_are_encoded_once_an_epoch(tmp_path: Path) -> None:
    network, tokenizer = pretrained(str(save(tmp_path / "encoder", bert)), seed=0)
    changes = Augmentation(AugmentConfig(casing=0.3), None, examples(32), None, tokenizer, seed=0)
    counted = Mock(wraps=changes)
    counted.fingerprint = changes.fingerprint
    optimisation = OptimisationConfig(epochs=2, batch_tokens=128)
    training = Trainer(network, items(examples(32), tokenizer), tokenizer, optimisation, "cpu", changes=counted)
    while not training.finished:
        training.run_epoch(lambda done, value: None)
    assert [call.args[1] for call in counted.changed.call_args_list] == [0, 1]


def test_changes_of_other_accounts_are_other_changes(tmp_path: Path) -> None:
    _, tokenizer = pretrained(str(save(tmp_path / "encoder", bert)), seed=0)
    plain = Example("1", ("@", "ann"), ("O", "O"))
    marked = [plain, replace(plain, accounts=(WordAccount(0, 2),)), replace(plain, accounts=(WordAccount(1, 2),))]
    config = AugmentConfig(casing=0.3)
    found = {Augmentation(config, None, [each], None, tokenizer, seed=0).fingerprint for each in marked}
    assert len(found) == 3


def test_a_training_with_changes_resumes_as_if_it_had_not_been_killed(tmp_path: Path) -> None:
    encoder = save(tmp_path / "encoder", bert)

    def build(share: float = 0.5) -> Trainer:
        network, tokenizer = pretrained(str(encoder), seed=0)
        posts, beliefs = examples(32), [{0: ROW}] * 32
        changes = Augmentation(AugmentConfig(names=share, casing=0.3), NAMES, posts, beliefs, tokenizer, seed=0)
        optimisation = OptimisationConfig(epochs=2, batch_tokens=128)
        return Trainer(network, items(posts, tokenizer, beliefs), tokenizer, optimisation, "cpu", changes=changes)

    whole = build()
    assert encoded(whole, 0) == encoded(build(), 0)
    assert encoded(whole, 0) != encoded(whole, 1)
    whole.run_epoch(lambda done, value: None)
    whole.save(tmp_path)
    whole.run_epoch(lambda done, value: None)
    assert whole.schedule.last_epoch == whole.steps
    resumed = build()
    assert resumed.resume(tmp_path)
    resumed.run_epoch(lambda done, value: None)
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, resumed.network.state_dict()[name]), name
    with pytest.raises(UserError, match="another configuration or other data"):
        build(0.4).resume(tmp_path)


def test_the_command_reads_the_lists_and_names_what_is_missing(tmp_path: Path) -> None:
    data, names = tmp_path / "toy2017", tmp_path / "names"
    names.mkdir()
    data.mkdir()
    for split in ("train", "valid", "test"):
        rows = [f"ann\tB-PER\nin\tO\n{split}{number}\tO\n" for number in range(8)]
        (data / f"{split}.txt").write_text("\n".join(rows))
    options: dict[str, object] = {"encoder": save(tmp_path / "encoder", bert), "augment.names": 1.0}
    options |= {"optimisation.epochs": 1, "target_precision": 0.5}
    with pytest.raises(UserError, match=r"augment\.names: needs data\.names"):
        train(tmp_path / "out", data, options)
    options["data.names"] = names
    with pytest.raises(UserError, match=r"persons\.txt: No such file"):
        train(tmp_path / "out", data, options)
    for name in (name for kind in FILES.values() for name in kind):
        (names / f"{name}.txt").write_text("Bo\n")
    train(tmp_path / "out", data, options)
    assert "names=1.0" in (tmp_path / "out" / "README.md").read_text()
    (names / "cities.txt").write_text("&\n")
    with pytest.raises(UserError, match=r"cities\.txt: contains no names"):
        train(tmp_path / "other", data, options)
