"""How usual a post is for the model: a density of the encoder's states for its words.

The heads' Normal-inverse-Gamma evidence is reliable only for words like those in training. It cannot detect
out-of-distribution (OOD) posts. A Gaussian on an inner layer can (Lee et al., "A Simple Unified Framework for Detecting
Out-of-Distribution Samples", NeurIPS 2018). Its ratio to a second Gaussian, which is fitted to a background of posts of
all kinds, detects them better (Ren et al., "Likelihood Ratios for Out-of-Distribution Detection", NeurIPS 2019). The
density of a word weighs its evidence in the epistemic variance (Charpentier et al., "Natural Posterior Network", ICLR
2022).

Shapes: B posts, W words, N words of many posts, H hidden size, K directions.
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
"""File of a checkpoint folder. Without it, the checkpoint gives no typicality."""
INT8_DENSITY = "density.int8.safetensors"
"""The same, with the reference read by the int8 layers."""
FORMER_FILE = "familiarity.safetensors"
"""Name of that file before version 0.2."""
FORMER_REFERENCE = "known"
"""Name of its tensor `reference` before version 0.2."""
SHRINKAGE = 1e-3
"""Share of the mean variance that is added to each variance, so that nearly constant directions count less."""
DIRECTIONS = 2 / 3
"""Share of the principal directions that are used: those with the largest variance. Found by experiment."""
POWER = 16.0
"""A word's evidence is weighed by its density per direction to this power. Found by experiment."""
BACKGROUND = 2 / 3
"""Exponent of the background's density in the ratio; found by experiment."""
MIN_BACKGROUND_VARIANCE = 0.75
"""Lower bound of the background's variance in a direction, where the training words have variance 1. It is above
`BACKGROUND`, so that the density falls with the distance from the centre in every direction."""
PRIOR_WORDS = 10
"""The fit adds this many imagined background words per direction, distributed like the training words. So a few real
ones change little."""


def mean_log_density(log_densities: Tensor, words: Tensor) -> Tensor:
    """Returns (B), the mean of `log_densities` (B, W) over each post's words; `words` (B, W) bool marks the real ones.

    The mean of many words varies less, so a short post is less informative.
    """
    return (log_densities * words).sum(1) / words.sum(1).clamp(min=1)


@dataclass(frozen=True, eq=False)
class DensityModel:
    """A Gaussian on the states of the training words, relative to a background if there is one."""

    #: (H) mean state of the training words.
    centre: Tensor
    #: (H, K) maps states to directions in which the training words are uncorrelated with variance 1.
    whitening: Tensor
    #: Mean log-densities of held-out posts of the training distribution, ascending. Empty before `with_reference`.
    reference: Tensor
    #: (K) weight of each direction, above 0, from the background. None means 1 for each.
    counts: Tensor | None = None

    @classmethod
    def fit(cls, words: Tensor, background: Tensor | None = None) -> Self:
        """Fits a Gaussian to the states of training words (N, H), and one with the same centre to a background (N, H).

        In the chosen directions, both are uncorrelated. Raises `ValueError` when the words are too few, all
        alike, or not finite.
        """
        states = words.double()
        mean = states.mean(0)
        centred = states - mean
        covariance = centred.T @ centred / max(1, len(states) - 1)
        smallest = SHRINKAGE * covariance.trace() / len(mean) + torch.finfo(torch.float32).tiny
        covariance += smallest * torch.eye(len(mean), dtype=torch.float64)
        centred_background = None if background is None or not len(background) else background.double() - mean
        if not covariance.isfinite().all() or not (centred_background is None or centred_background.isfinite().all()):
            raise ValueError("no density can be fitted: some states of words are not finite")
        values, vectors = torch.linalg.eigh(covariance)
        whitening = (vectors / values.sqrt())[:, -math.ceil(DIRECTIONS * len(mean)) :]
        counts = None
        if centred_background is not None:
            variances, rotation = _background(centred_background @ whitening)
            whitening, counts = whitening @ rotation, ((1 - BACKGROUND / variances) / (1 - BACKGROUND)).float()
        # rounded as in the file, so that a model gives the same numbers before and after it is saved
        fitted = cls(mean.half().float(), whitening.half().float(), torch.empty(0), counts)
        if not all(value.isfinite().all() for value in fitted._tensors().values()):
            raise ValueError(f"no density can be fitted: the states of {len(words)} words are too few or too alike")
        return fitted

    def with_reference(self, log_densities: Sequence[float]) -> Self:
        """Returns the model with these mean log-densities of reference posts, with which other posts are compared."""
        return replace(self, reference=torch.tensor(sorted(log_densities)))

    def log_densities(self, states: Tensor) -> Tensor:
        """Returns (B, W), log-densities of words from their states (B, W, H), minus the mean over the training words.

        With a background, they are logs of (p / q^c)^(1 / (1 - c)) with c = `BACKGROUND`. Here p is the density of the
        training words, and q that of the background. If q equalled p, they would be log p.
        """
        terms = 1 - ((states.float() - self.centre) @ self.whitening).square()  # (B, W, K)
        return 0.5 * (terms if self.counts is None else terms * self.counts).sum(-1)

    def weights(self, log_densities: Tensor) -> Tensor:
        """Returns a weight for the evidence of each word, 0 or more.

        The logarithm of the weight has a mean near 0 over the training words.
        """
        return torch.exp(POWER / self.whitening.shape[1] * log_densities)

    def typicality(self, log_density: float) -> float:
        """Returns the share of posts with this mean log-density or a lower one, among this post and the reference.

        The share is a conformal p-value (Bates et al., "Testing for outliers with conformal p-values", 2023): of posts
        like the reference, at most a share p has a typicality of p or less.
        """
        if not math.isfinite(log_density):
            return 1 / (1 + len(self.reference))
        lower = int(torch.searchsorted(self.reference, torch.tensor(log_density), right=True))
        return (1 + lower) / (1 + len(self.reference))

    def to(self, device: str) -> Self:
        """Moves all tensors except `reference`, which stays on the CPU."""
        moved = {name: value.to(device) for name, value in self._tensors().items() if name != "reference"}
        return replace(self, **moved)

    def _tensors(self) -> dict[str, Tensor]:
        return {name: value for name, value in vars(self).items() if value is not None}

    def save(self, folder: Path, name: str = DENSITY) -> None:
        """Writes the file `name` atomically, then removes the file of an earlier version. Raises `OSError`."""
        tensors = self._tensors() | {"centre": self.centre.half(), "whitening": self.whitening.half()}
        with atomic_write(folder / name) as file:
            file.write(save({name: value.cpu().contiguous() for name, value in tensors.items()}))
        if name == DENSITY:
            (folder / FORMER_FILE).unlink(missing_ok=True)

    @classmethod
    def load(cls, folder: Path, hidden: int, names: Sequence[str] = (DENSITY, FORMER_FILE)) -> Self | None:
        """Loads the density of an encoder with this hidden size. Returns None if the checkpoint has none.

        `names`: files to look for; the first one counts.

        Raises `UserError` when the file is broken or belongs to another encoder.
        """
        path = next((folder / name for name in names if (folder / name).is_file()), None)
        if path is None:
            return None
        try:
            tensors = {name: value.float() for name, value in load_file(path).items()}
            if FORMER_REFERENCE in tensors:
                tensors["reference"] = tensors.pop(FORMER_REFERENCE)
            if "mean" in tensors:
                raise ValueError("an earlier version fitted it to another layer")
            model = cls(**tensors)
            model._check(hidden)
        except (SafetensorError, OSError, TypeError, ValueError) as error:
            raise UserError(
                f"{path} cannot be used: {first_line(error)}; remove it, or calibrate the checkpoint with a background"
            ) from None
        return model

    def _check(self, hidden: int) -> None:
        if self.centre.shape != (hidden,) or self.whitening.shape[:-1] != (hidden,):
            raise ValueError(f"the checkpoint's encoder has hidden size {hidden}, the file another one")
        if self.counts is not None and self.counts.shape != self.whitening.shape[1:]:
            raise ValueError("`counts` and `whitening` differ in their number of directions")
        if not all(value.isfinite().all() for value in self._tensors().values()):
            raise ValueError("a value is not finite")
        if not self.whitening.numel() or (self.counts is not None and not (self.counts > 0).all()):
            raise ValueError("it has no directions, or a direction with a count of 0 or less")


def _background(whitened: Tensor) -> tuple[Tensor, Tensor]:
    """Returns a background's variances (K) and uncorrelated directions (K, K).

    `whitened` (N, K) holds whitened states of its words.
    """
    count, size = whitened.shape
    weight = count / (count + PRIOR_WORDS * size)
    moments = weight * (whitened.T @ whitened) / count + (1 - weight) * torch.eye(size, dtype=whitened.dtype)
    variances, rotation = torch.linalg.eigh(moments)
    return variances.clamp(min=MIN_BACKGROUND_VARIANCE), rotation
