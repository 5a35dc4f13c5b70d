"""What a training reads: tweets of one or more data sets, their captions and images, tweets of others, with or without
labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.training import corpus
from model.training.corpus import Example

Features = dict[str, NDArray[np.float16]]
"""(P, D) by the id of the tweet whose image it is."""
Splits = dict[tuple[str, str], list[Example]]
"""By (data set, split)."""


@dataclass(frozen=True)
class Material:
    """`labelled`, `auxiliary` and `unlabelled` training tweets without those that also stand in a held-out split: so
    many were `left_out`. Auxiliary ones are as `corpus.as_auxiliary` says. An auxiliary tweet that is a labelled
    one too, and one without labels that has some, is dropped uncounted."""

    labelled: list[Example]
    auxiliary: list[Example]
    unlabelled: list[Example]
    held_out: Splits
    left_out: int

    @property
    def validation(self) -> Splits:
        return {key: examples for key, examples in self.held_out.items() if key[1] == "valid"}

    @property
    def training(self) -> list[Example]:
        return [*self.labelled, *self.others]

    @property
    def others(self) -> list[Example]:
        """Those of data sets that are not measured."""
        return [*self.auxiliary, *self.unlabelled]

    @property
    def names(self) -> list[str]:
        """The ids of all tweets with images, which are named by them."""
        held = [example.id for examples in self.held_out.values() for example in examples]
        return list(dict.fromkeys([*[example.id for example in self.labelled], *held]))

    def with_images(self, features: Features) -> Material:
        """Each tweet with the features of its image, where there are any."""
        held_out = {key: corpus.with_images(examples, features) for key, examples in self.held_out.items()}
        return replace(self, labelled=corpus.with_images(self.labelled, features), held_out=held_out)

    def provenance(self) -> dict[str, object]:
        """For the model card."""
        sets = ", ".join(sorted({name for name, _ in self.held_out}))
        captioned = sum(example.caption is not None for example in self.labelled)
        told: dict[str, object] = {
            "trained on": f"the training splits of {sets}: {len(self.labelled)} tweets, {captioned} with a caption"
        }
        if self.auxiliary:
            told["auxiliary"] = f"tweets: {_counted(self.auxiliary)}, with the labels that these sets have"
        if self.unlabelled:
            told["without labels"] = f"{len(self.unlabelled)} tweets, of which only the teacher's beliefs were learned"
        told["left out"] = f"{self.left_out} training tweets whose text also stands in a validation or test split"
        return told


def _counted(examples: Sequence[Example]) -> str:
    return ", ".join(f"{count} of {name}" for name, count in Counter(one.data for one in examples).items())


def read(
    data: Path, captions: Path | None, unlabelled: Sequence[Path] = (), auxiliary: Sequence[Path] = ()
) -> Material:
    """`data`: a data set, or a folder of such; of each data set in `auxiliary` the training split, in `unlabelled` its
    texts alone.

    Held out are the validation and test splits of all of them. Raises `UserError`.
    """
    labelled: list[Example] = []
    held_out: Splits = {}
    seen: list[Example] = []
    for folder in corpus.folders(data):
        told = corpus.read_captions(captions, folder.name) if captions else {}
        splits = {split: corpus.read(corpus.split_file(folder, split), told) for split in corpus.SPLITS}
        labelled += splits["train"]
        held_out |= {(folder.name, split): splits[split] for split in ("valid", "test")}
        seen += [*splits["valid"], *splits["test"]]
    others, texts = (_others(folders) for folders in (auxiliary, unlabelled))
    seen += others.held_out + texts.held_out
    if captions:
        corpus.check_captions(captions, [*labelled, *seen])
    given = (labelled, corpus.as_auxiliary(others.training), [replace(one, tags=()) for one in texts.training])
    kept = [corpus.without_leaks(some, seen) for some in given]
    left_out = sum(map(len, given)) - sum(map(len, kept))
    apart = corpus.without_leaks(kept[1], kept[0])
    return Material(kept[0], apart, corpus.without_leaks(kept[2], [*kept[0], *apart]), held_out, left_out)


def called(folder: Path) -> str:
    """What to call a data set that is not measured: the last two parts of its path."""
    return "/".join(folder.resolve().parts[-2:])


class _Others(NamedTuple):
    training: list[Example]
    held_out: list[Example]


def _others(folders: Sequence[Path]) -> _Others:
    """The tweets of data sets that are not measured. Raises `UserError`."""
    found = _Others([], [])
    for folder in folders:
        splits = {split: corpus.read(corpus.split_file(folder, split)) for split in corpus.SPLITS}
        found.training.extend(replace(one, data=called(folder)) for one in splits["train"])
        found.held_out.extend([*splits["valid"], *splits["test"]])
    return found
