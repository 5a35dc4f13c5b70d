"""The posts of a training run: labelled, with another annotation scheme, without labels, and held out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.errors import UserError
from model.accounts import Convention
from model.design import Design
from model.training import corpus
from model.training.accounts import as_accounts
from model.training.config import LossConfig
from model.training.corpus import Example
from model.training.permission import Permission
from model.training.reading import caption_modes

Features = dict[str, NDArray[np.float16]]
"""Image features (P, D) by the id of the post."""
Splits = dict[tuple[str, str], list[Example]]
"""Examples by (data set, split)."""


@dataclass(frozen=True)
class Material:
    """The posts of a training run. No training post has the text of a held-out one."""

    labelled: list[Example]
    auxiliary: list[Example]
    """Posts with another annotation scheme (`corpus.as_auxiliary`), except those that are also in `labelled`."""
    unlabelled: list[Example]
    """Posts without labels, except those that another data set labels."""
    held_out: Splits
    """Validation and test splits of the labelled data sets."""
    left_out: int
    """Number of training posts that were removed because a held-out split has their text."""
    decided: list[Example] = field(default_factory=list)
    """Posts that people decided, one of each text, except those that are also in `labelled`."""
    without: tuple[Path, ...] = ()
    """Folders of the data sets that the training must not see."""
    accounts: Convention = "mention"
    """What user names are in all of these posts."""

    @property
    def validation(self) -> Splits:
        return {key: examples for key, examples in self.held_out.items() if key[1] == "valid"}

    @property
    def training(self) -> list[Example]:
        return [*self.labelled, *self.background]

    @property
    def background(self) -> list[Example]:
        """The posts of data sets that are not measured."""
        return [*self.decided, *self.auxiliary, *self.unlabelled]

    @property
    def data_sets(self) -> list[str]:
        return sorted({name for name, _ in self.held_out})

    @property
    def captioned(self) -> int:
        """Number of labelled training posts with a caption."""
        return sum(example.caption is not None for example in self.labelled)

    @property
    def image_ids(self) -> list[str]:
        """The ids of all posts that may have an image."""
        held_out = [example.id for examples in self.held_out.values() for example in examples]
        return list(dict.fromkeys([*[example.id for example in self.labelled], *held_out]))

    def with_images(self, features: Features) -> Material:
        """Returns the same material with the image features of each post that has some."""
        held_out = {key: corpus.with_images(examples, features) for key, examples in self.held_out.items()}
        return replace(self, labelled=corpus.with_images(self.labelled, features), held_out=held_out)

    def check(self, design: Design, losses: LossConfig, *, auxiliary: Sequence[Path]) -> None:
        """Checks that the configured parts have posts to learn from. `auxiliary`: the data sets that are only learned.

        Raises `UserError` naming the key of the configuration.
        """
        if unknown := set(losses.alignment_temperatures) - {*self.data_sets, *(folder.name for folder in self.without)}:
            known = ", ".join(self.data_sets)
            raise UserError(f"losses.alignment_temperatures.{min(unknown)}: no such data set; there are {known}")
        if not any(caption_modes(design, examples) for examples in self.validation.values()):
            views = ", ".join(design.views)
            raise UserError(f"design.views {views}: no validation post has such a view; set data.captions")
        if _remaining(auxiliary, self.without) and not self.auxiliary:
            raise UserError(
                "data.auxiliary, data.entire: all of their posts are also in data.folder, data.decisions or "
                "data.without, or in a held-out split"
            )
        if design.discount and len({example.caption for example in self.labelled if example.caption}) < 2:
            raise UserError("losses.matching: needs data.captions with at least two different captions")

    def provenance(self) -> dict[str, object]:
        """Returns what the model card says about the data."""
        sets = ", ".join(self.data_sets)
        facts: dict[str, object] = {
            "trained on": f"the training splits of {sets}: {len(self.labelled)} tweets, {self.captioned} with a caption"
        }
        if self.decided:
            facts["decisions"] = f"{len(self.decided)} tweets that people decided"
        if self.auxiliary:
            facts["auxiliary"] = f"posts: {_counted(self.auxiliary)}, with the labels that these sets have"
        if self.unlabelled:
            facts["without labels"] = f"{len(self.unlabelled)} tweets, learned only from the teachers' beliefs"
        facts["left out"] = f"{self.left_out} training tweets whose text is also in a validation or test split"
        if self.without:
            facts["left out"] = f"{facts['left out']}, or in {', '.join(map(display_name, self.without))}"
        if self.accounts == "account":
            facts["user names"] = (
                "no mentions, in training and in the scores: these are not comparable with published ones"
            )
        return facts


def _counted(examples: Sequence[Example]) -> str:
    return ", ".join(f"{count} of {name}" for name, count in Counter(each.data for each in examples).items())


def read(
    data: Path,
    captions: Path | None,
    unlabelled: Sequence[Path] = (),
    auxiliary: Sequence[Path] = (),
    permission: Permission | None = None,
    decisions: Sequence[Path] = (),
    *,
    entire: Sequence[Path] = (),
    unannotated: Mapping[str, Collection[str]] | None = None,
    without: Sequence[Path] = (),
    accounts: Convention = "mention",
) -> Material:
    """Reads the posts of a training run.

    `data` is a data set or a folder of data sets; their validation and test splits are held out. The training
    posts of `auxiliary`, and all posts of `entire`, keep their labels, except those of the types that are `unannotated`
    in their data set. Those of `unlabelled` lose them. `decisions` are files of posts that people decided, by the same
    rules as the posts in `data`. `permission` leaves out posts by the terms of their sources. The data sets `without`
    are left out of all of these, with every post that has the text of one of theirs.

    Raises `UserError` when a file is missing or broken, or when no post of it may be used.
    """
    permission = permission or Permission()
    convert = as_accounts if accounts == "account" else list[Example]
    labelled: list[Example] = []
    held_out: Splits = {}
    held_out_examples: list[Example] = []
    measured = _remaining(corpus.folders(data), without)
    if not measured:
        raise UserError(
            f"data.folder {data}: all data sets there are left out by data.without; take one out of it, or choose "
            "another folder"
        )
    for folder in measured:
        texts = corpus.read_captions(captions, folder.name) if captions else {}
        splits = {
            split: convert(corpus.read(corpus.split_file(folder, split), texts, permission)) for split in corpus.SPLITS
        }
        labelled += splits["train"]
        held_out |= {(folder.name, split): splits[split] for split in ("valid", "test")}
        held_out_examples += [*splits["valid"], *splits["test"]]
    names = {display_name(folder) for folder in (*auxiliary, *entire)}
    if unknown := set(unannotated or ()) - names:
        raise UserError(
            f"data.unannotated: {min(unknown)} is the name of no set in data.auxiliary or data.entire; there are "
            f"{', '.join(sorted(names)) or 'none'}"
        )
    with _named("data.auxiliary"):
        other = _read_unmeasured(_remaining(auxiliary, without), permission)
    with _named("data.entire"):
        whole = _read_unmeasured(_remaining(entire, without), permission)
    bare = _read_unmeasured(_remaining(unlabelled, without), permission)
    held_out_examples += other.held_out + bare.held_out
    if captions:
        corpus.check_captions(captions, [*labelled, *held_out_examples])
    with _named("data.without"):
        for folder in without:
            held_out_examples += _all_posts(folder)
    decided = _read_decisions(decisions, permission)
    others = convert(corpus.as_auxiliary([*other.training, *whole.training, *whole.held_out], unannotated))
    kinds = (labelled, decided, others, convert([replace(each, tags=()) for each in bare.training]))
    kept = [corpus.without_leaks(examples, held_out_examples) for examples in kinds]
    left_out = sum(map(len, kinds)) - sum(map(len, kept))
    own = corpus.without_leaks(kept[1], kept[0])
    apart = corpus.without_leaks(kept[2], [*kept[0], *own])
    rest = corpus.without_leaks(kept[3], [*kept[0], *own, *apart])
    return Material(kept[0], apart, rest, held_out, left_out, own, tuple(without), accounts)


def _remaining(folders: Sequence[Path], without: Sequence[Path]) -> list[Path]:
    """Returns the folders that are not left out."""
    unseen = {folder.resolve() for folder in without}
    return [folder for folder in folders if folder.resolve() not in unseen]


@contextmanager
def _named(key: str) -> Iterator[None]:
    """Puts the key of the configuration before the message of a `UserError`."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{key}: {error}") from None


def _all_posts(folder: Path) -> list[Example]:
    """Returns the posts of all splits."""
    files = corpus.split_files(folder).values()
    return [example for file in files for example in corpus.read(file, may_be_open=True)]


def _read_decisions(files: Sequence[Path], permission: Permission) -> list[Example]:
    """Returns one post of each text: a decision also counts for all copies of its post."""
    examples = [example for file in files for example in corpus.read(file, None, permission)]
    return list({example.key: replace(example, data="decisions") for example in examples}.values())


def display_name(folder: Path) -> str:
    """Returns the name of a data set that is not measured: the last two parts of its path."""
    return "/".join(folder.resolve().parts[-2:])


class _Unmeasured(NamedTuple):
    training: list[Example]
    held_out: list[Example]


def _read_unmeasured(folders: Sequence[Path], permission: Permission) -> _Unmeasured:
    result = _Unmeasured([], [])
    for folder in folders:
        for split, file in corpus.split_files(folder).items():
            examples = corpus.read(file, None, permission, may_be_open=True)
            part = result.training if split == "train" else result.held_out
            part.extend(replace(each, data=display_name(folder)) for each in examples)
    return result
