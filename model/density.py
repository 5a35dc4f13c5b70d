"""How much a tweet is like those that the model was trained on: a density of what the encoder makes of its words.

The heads' Normal-inverse-Gamma evidence says how sure a label is, given that the words are of a known kind; heads that
were trained on known tweets alone cannot say that of others. A Gaussian on an inner layer can (Lee et al., "A Simple
Unified Framework for Detecting Out-of-Distribution Samples", NeurIPS 2018), and better so by how much likelier it holds
a word than a second one does, on tweets of all kinds (Ren et al., "Likelihood Ratios for Out-of-Distribution
Detection", NeurIPS 2019). So it says how much of a word's evidence counts where epistemic variance is read (Charpentier
et al., "Natural Posterior Network", ICLR 2022).

Shapes: B tweets, W words, N words of many tweets, H hidden size, K directions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from core.atomic import atomic_write
from core.errors import UserError, first_line

DENSITY = "density.safetensors"
"""File of a checkpoint folder; a checkpoint without it cannot say how familiar a tweet is."""
FORMER_NAME = "familiarity.safetensors"
"""What releases before 0.2 called that file."""
SHRINKAGE = 1e-3
"""Share of the mean variance that is added to each: directions in which the words hardly differ count less."""
DIRECTIONS = 2 / 3
"""Share of the principal directions that are looked at, those in which words differ most; by experiment."""
POWER = 16.0
"""To which a word's density per direction is taken to weigh its evidence; by experiment (docs/model.md)."""
BACKGROUND = 2 / 3
"""To which the density of the background is taken, which divides; by experiment."""
NARROWEST = 0.75
"""Least variance of the background in any direction, where known words have 1; more than `BACKGROUND`, so that in each
what is farther from the centre is stranger."""
PRIOR_WORDS = 10
"""Words per direction for which a background is taken to be like known words: of few of them little is believed."""


def of_tweets(log_densities: Tensor, words: Tensor) -> Tensor:
    """(B): the mean of each tweet's words; `words` (B, W) marks the real ones. The mean of many words lies nearer to
    that of all: of a short tweet it says less."""
    return (log_densities * words).sum(1) / words.sum(1).clamp(min=1)


def _spread(whitened: Tensor) -> tuple[Tensor, Tensor]:
    """Of a background (N, K) about the centre of the known words: the variances (K), and the directions (K, K) in which
    there is no covariance."""
    count, size = whitened.shape
    sure = count / (count + PRIOR_WORDS * size)
    moments = sure * (whitened.T @ whitened) / count + (1 - sure) * torch.eye(size, dtype=whitened.dtype)
    variances, turn = torch.linalg.eigh(moments)
    return variances.clamp(min=NARROWEST), turn


@dataclass(frozen=True, eq=False)
class DensityModel:
    """`centre` (H) and `whitening` (H, K) of the words it was trained on; `known`: ascending, the log-densities of
    tweets that are as they should be, none of which it was trained on; `counts` (K), above 0: how much each direction
    counts beside a background, all of them 1 where there is none."""

    centre: Tensor
    whitening: Tensor
    known: Tensor
    counts: Tensor | None = None

    @classmethod
    def fit(cls, words: Tensor, background: Tensor | None = None) -> Self:
        """A Gaussian on the states of words (N, H), and one with the same centre on those of a background, in the
        directions in which neither has a covariance. Without tweets to compare with, `known` is empty. Raises
        `ValueError` where the words are too few, do not differ, or are no numbers."""
        states = words.double()
        mean = states.mean(0)
        apart = states - mean
        covariance = apart.T @ apart / max(1, len(states) - 1)
        smallest = SHRINKAGE * covariance.trace() / len(mean) + torch.finfo(torch.float32).tiny
        covariance += smallest * torch.eye(len(mean), dtype=torch.float64)
        others = None if background is None or not len(background) else background.double() - mean
        if not covariance.isfinite().all() or not (others is None or others.isfinite().all()):
            raise ValueError("no density can be fitted on words that are no numbers")
        values, vectors = torch.linalg.eigh(covariance)
        whitening = (vectors / values.sqrt())[:, -math.ceil(DIRECTIONS * len(mean)) :]
        counts = None
        if others is not None:
            variances, turn = _spread(others @ whitening)
            whitening, counts = whitening @ turn, ((1 - BACKGROUND / variances) / (1 - BACKGROUND)).float()
        fitted = cls(mean.half().float(), whitening.half().float(), torch.empty(0), counts)  # as it is kept
        if not all(value.isfinite().all() for value in fitted._tensors().values()):
            raise ValueError(f"no density can be fitted on {len(words)} words like these")
        return fitted

    def log_densities(self, states: Tensor) -> Tensor:
        """(B, W): of words (B, W, H) the log-density, less its mean over those that it was trained on. Beside a
        background, that of the ratio p / q^c to the power of 1 / (1 - c), c being `BACKGROUND`: were q like p, it would
        be p."""
        far = 1 - ((states.float() - self.centre) @ self.whitening).square()
        return 0.5 * (far if self.counts is None else far * self.counts).sum(-1)

    def weights(self, log_densities: Tensor) -> Tensor:
        """How much the evidence of such words counts, 0 or more; its logarithm is about 0 on average over the words
        that it was trained on."""
        return torch.exp(POWER / self.whitening.shape[1] * log_densities)

    def compared_with(self, known: Sequence[float]) -> Self:
        return replace(self, known=torch.tensor(sorted(known)))

    def share(self, log_density: float) -> float:
        """Of the known tweets and this one, the share that is as strange or stranger: a conformal p-value (Bates et
        al., "Testing for outliers with conformal p-values", 2023). Of tweets like them a share p, at most, has p."""
        if not math.isfinite(log_density):
            return 1 / (1 + len(self.known))
        as_strange = int(torch.searchsorted(self.known, torch.tensor(log_density), right=True))
        return (1 + as_strange) / (1 + len(self.known))

    def to(self, device: str) -> Self:
        """`known` stays where it is: single numbers are looked up in it."""
        here = {name: value.to(device) for name, value in self._tensors().items() if name != "known"}
        return replace(self, **here)

    def _tensors(self) -> dict[str, Tensor]:
        return {name: value for name, value in vars(self).items() if value is not None}

    def save(self, folder: Path) -> None:
        """Whole or not at all. Raises `OSError`."""
        tensors = self._tensors() | {"centre": self.centre.half(), "whitening": self.whitening.half()}
        with atomic_write(folder / DENSITY) as file:
            file.write(save({name: value.cpu().contiguous() for name, value in tensors.items()}))

    @classmethod
    def load(cls, folder: Path, hidden: int) -> Self | None:
        """Of an encoder of that hidden size. None where the checkpoint has none. Raises `UserError`."""
        path = next((folder / name for name in (DENSITY, FORMER_NAME) if (folder / name).is_file()), None)
        if path is None:
            return None
        try:
            tensors = load_file(path)
            if "mean" in tensors:
                raise ValueError("it is of a release before, which looked half way up the layers alone")
            found = cls(**{name: value.float() for name, value in tensors.items()})
            if found.centre.shape != (hidden,) or found.whitening.shape[:-1] != (hidden,):
                raise ValueError(f"it is not of an encoder of size {hidden}")
            if found.counts is not None and found.counts.shape != found.whitening.shape[1:]:
                raise ValueError("it counts other directions than it has")
            if not all(value.isfinite().all() for value in found._tensors().values()):
                raise ValueError("a number in it is not finite")
            if not found.whitening.numel() or (found.counts is not None and not (found.counts > 0).all()):
                raise ValueError("it has no direction, or one that does not count")
        except (SafetensorError, OSError, TypeError, ValueError) as error:
            raise UserError(
                f"{path} cannot be used: {first_line(error)}; remove it; `mner calibrate --background` makes it anew"
            ) from None
        return found
