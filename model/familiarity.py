"""How much a tweet is like those that the model was trained on: a density of what the encoder makes of its words.

The heads' Normal-inverse-Gamma evidence says how sure a label is, given that the words are of a known kind; heads that
were trained on known tweets alone cannot say that of others. A Gaussian on an inner layer can (Lee et al., "A Simple
Unified Framework for Detecting Out-of-Distribution Samples", NeurIPS 2018). So it says how much of a word's evidence
counts where epistemic variance is read (Charpentier et al., "Natural Posterior Network", ICLR 2022).

Shapes: B tweets, W words, N words of many tweets, H hidden size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from streams.errors import UserError, first_line

FAMILIARITY = "familiarity.safetensors"
"""File of a checkpoint folder; a checkpoint without it cannot say how familiar a tweet is."""
SHRINKAGE = 1e-3
"""Share of the mean variance that is added to each: directions in which the words hardly differ count less."""
POWER = 16.0
"""To which a word's density per dimension is taken to weigh its evidence; by experiment (docs/model.md)."""


def of_tweets(log_densities: Tensor, words: Tensor) -> Tensor:
    """(B): the mean of each tweet's words; `words` (B, W) marks the real ones. The mean of many words lies nearer to
    that of all: of a short tweet it says less."""
    return (log_densities * words).sum(1) / words.sum(1).clamp(min=1)


@dataclass(frozen=True, eq=False)
class Familiarity:
    """`centre` (H) and `whitening` (H, H) of the words it was trained on; `known`: ascending, the log-densities of
    tweets that are as they should be, none of which it was trained on."""

    centre: Tensor
    whitening: Tensor
    known: Tensor

    @classmethod
    def fit(cls, words: Tensor) -> Self:
        """A Gaussian on the states of words (N, H). Without tweets to compare with, `known` is empty. Raises
        `ValueError` where they are too few, or do not differ."""
        states = words.double()
        mean = states.mean(0)
        covariance = (states - mean).T @ (states - mean) / max(1, len(states) - 1)
        size = len(mean)
        smallest = SHRINKAGE * covariance.trace() / size + torch.finfo(torch.float32).tiny
        values, vectors = torch.linalg.eigh(covariance + smallest * torch.eye(size, dtype=torch.float64))
        fitted = cls(mean.half().float(), (vectors / values.sqrt()).half().float(), torch.empty(0))  # as it is kept
        if not (fitted.centre.isfinite().all() and fitted.whitening.isfinite().all()):
            raise ValueError(f"no density can be fitted on {len(words)} words like these")
        return fitted

    def log_densities(self, states: Tensor) -> Tensor:
        """(B, W): of words (B, W, H) the log-density, less its mean over those that it was trained on."""
        distance = ((states.float() - self.centre) @ self.whitening).square().sum(-1)  # squared Mahalanobis
        return 0.5 * (len(self.centre) - distance)

    def weights(self, log_densities: Tensor) -> Tensor:
        """How much the evidence of such words counts, from 0 to exp(POWER / 2) at the centre; its logarithm is about 0
        on average over the words that it was trained on."""
        return torch.exp(POWER / len(self.centre) * log_densities)

    def compared_with(self, known: Sequence[float]) -> Self:
        return type(self)(self.centre, self.whitening, torch.tensor(sorted(known)))

    def share(self, log_density: float) -> float:
        """Of the known tweets and this one, the share that is as strange or stranger: a conformal p-value (Bates et
        al., "Testing for outliers with conformal p-values", 2023). Of tweets like them a share p, at most, has p."""
        if not math.isfinite(log_density):
            return 1 / (1 + len(self.known))
        as_strange = int(torch.searchsorted(self.known, torch.tensor(log_density), right=True))
        return (1 + as_strange) / (1 + len(self.known))

    def to(self, device: str) -> Self:
        """`known` stays where it is: single numbers are looked up in it."""
        return type(self)(self.centre.to(device), self.whitening.to(device), self.known)

    def save(self, folder: Path) -> None:
        """Whole or not at all. Raises `OSError`."""
        partial = folder / f"{FAMILIARITY}.partial"
        gaussian = {"centre": self.centre.half(), "whitening": self.whitening.half()}
        tensors = gaussian | {"known": self.known}
        try:
            partial.write_bytes(save({name: value.cpu().contiguous() for name, value in tensors.items()}))
            partial.replace(folder / FAMILIARITY)
        finally:
            partial.unlink(missing_ok=True)

    @classmethod
    def load(cls, folder: Path, hidden: int) -> Self | None:
        """Of an encoder of that hidden size. None where the checkpoint has none. Raises `UserError`."""
        path = folder / FAMILIARITY
        if not path.is_file():
            return None
        try:
            tensors = load_file(path)
            if "mean" in tensors:
                raise ValueError("it is of a release before, which looked half way up the layers alone")
            found = cls(**{name: value.float() for name, value in tensors.items()})
            if found.centre.shape != (hidden,) or found.whitening.shape != (hidden, hidden):
                raise ValueError(f"it is not of an encoder of size {hidden}")
            if not all(value.isfinite().all() for value in vars(found).values()):
                raise ValueError("a number in it is not finite")
        except (SafetensorError, OSError, TypeError, ValueError) as error:
            raise UserError(
                f"{path} cannot be used: {first_line(error)}; remove it, and `mner calibrate` makes it anew"
            ) from None
        return found
