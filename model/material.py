"""What a training reads: tweets of one or more data sets, their captions and images, tweets without labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model import corpus
from model.corpus import Example

Features = dict[str, NDArray[np.float16]]
"""(P, D) by the id of the tweet whose image it is."""
Splits = dict[tuple[str, str], list[Example]]
"""By (data set, split)."""


@dataclass(frozen=True)
class Material:
    """`labelled` and `unlabelled` training tweets without those that also stand in a held-out split: so many were
    `left_out`. Texts without labels that are labelled elsewhere are not counted."""

    labelled: list[Example]
    unlabelled: list[Example]
    held_out: Splits
    left_out: int

    @property
    def validation(self) -> Splits:
        return {key: examples for key, examples in self.held_out.items() if key[1] == "valid"}

    @property
    def names(self) -> list[str]:
        """The ids of all tweets, by which their images are named."""
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
        if self.unlabelled:
            told["without labels"] = f"{len(self.unlabelled)} tweets, of which only the teacher's beliefs were learned"
        told["left out"] = f"{self.left_out} training tweets whose text also stands in a validation or test split"
        return told


def read(data: Path, captions: Path | None, unlabelled: Sequence[Path]) -> Material:
    """`data`: a data set, or a folder of such; of each data set in `unlabelled` the training texts alone.

    Held out are the validation and test splits of all of them. Raises `UserError`.
    """
    labelled: list[Example] = []
    texts: list[Example] = []
    held_out: Splits = {}
    seen: list[Example] = []
    for folder in corpus.folders(data):
        told = corpus.read_captions(captions, folder.name) if captions else {}
        splits = {split: corpus.read(corpus.split_file(folder, split), told) for split in corpus.SPLITS}
        labelled += splits["train"]
        held_out |= {(folder.name, split): splits[split] for split in ("valid", "test")}
        seen += [*splits["valid"], *splits["test"]]
    for folder in unlabelled:
        splits = {split: corpus.read(corpus.split_file(folder, split)) for split in corpus.SPLITS}
        texts += [replace(example, tags=()) for example in splits["train"]]
        seen += [*splits["valid"], *splits["test"]]
    if captions:
        corpus.check_captions(captions, [*labelled, *seen])
    kept, apart = corpus.without_leaks(labelled, seen), corpus.without_leaks(texts, seen)
    left_out = len(labelled) + len(texts) - len(kept) - len(apart)
    return Material(kept, corpus.without_leaks(apart, labelled), held_out, left_out)
