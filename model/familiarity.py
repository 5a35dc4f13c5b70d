"""How much a tweet is like those that the model knows: a density of what the encoder makes of its words half way up.

The Normal-inverse-Gamma evidence says how sure a label is, given that the words are of a known kind; a head that was
trained on known tweets alone cannot say that of others. The density can: of unknown words there is as much less
evidence (density-scaled evidence: Charpentier et al., "Posterior Network", NeurIPS 2020; a Gaussian on an inner
layer: Lee et al., NeurIPS 2018).

Shapes: B tweets, W words, N words of many tweets, H hidden size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from streams.errors import UserError

FAMILIARITY = "familiarity.safetensors"
"""File of a checkpoint folder; a checkpoint without it cannot say how familiar a tweet is."""
SHRINKAGE = 1e-3
"""Share of the mean variance that is added to each: directions in which the known words hardly differ count less."""


@dataclass(frozen=True)
class Familiarity:
    """`mean` (H) and `whitening` (H, H) of known words; `known`: ascending, the log-densities of tweets on which
    neither was fitted."""

    mean: Tensor
    whitening: Tensor
    known: Tensor

    @classmethod
    def fit(cls, words: Tensor) -> Self:
        """A Gaussian on the states of known words (N, H). Without tweets to compare with, `known` is empty."""
        states = words.double()
        mean = states.mean(0)
        covariance = (states - mean).T @ (states - mean) / max(1, len(states) - 1)
        size = len(mean)
        smallest = SHRINKAGE * covariance.trace() / size + torch.finfo(torch.float32).tiny
        values, vectors = torch.linalg.eigh(covariance + smallest * torch.eye(size, dtype=torch.float64))
        return cls(mean.half().float(), (vectors / values.sqrt()).half().float(), torch.empty(0))  # as it is kept

    def log_densities(self, states: Tensor, words: Tensor) -> Tensor:
        """(B): of a tweet's words (B, W, H) the mean log-density, 0 for what a known word has on average; `words`
        (B, W) marks the real ones. The mean, so that long tweets are not stranger than short ones."""
        mean, whitening = self.mean.to(states.device), self.whitening.to(states.device)
        distance = ((states.float() - mean) @ whitening).square().sum(-1)  # (B, W), squared Mahalanobis
        densities = 0.5 * (len(mean) - distance) * words
        return densities.sum(1) / words.sum(1).clamp(min=1)

    def compared_with(self, known: Sequence[float]) -> Self:
        return type(self)(self.mean, self.whitening, torch.tensor(sorted(known)))

    def share(self, log_density: float) -> float:
        """Of the known tweets and this one, the share that is as strange or stranger: a conformal p-value (Bates et
        al., "Testing for outliers with conformal p-values", 2023). Of tweets like them a share p, at most, has p."""
        as_strange = int(torch.searchsorted(self.known, torch.tensor(log_density), right=True))
        return (1 + as_strange) / (1 + len(self.known))

    def save(self, folder: Path) -> None:
        """Whole or not at all. Raises `OSError`."""
        partial = folder / f"{FAMILIARITY}.partial"
        gaussian = {"mean": self.mean.half(), "whitening": self.whitening.half()}
        tensors = gaussian | {"known": self.known}
        partial.write_bytes(save({name: value.cpu().contiguous() for name, value in tensors.items()}))
        partial.replace(folder / FAMILIARITY)

    @classmethod
    def load(cls, folder: Path) -> Self | None:
        """None where the checkpoint has none. Raises `UserError`."""
        path = folder / FAMILIARITY
        if not path.is_file():
            return None
        try:
            return cls(**{name: value.float() for name, value in load_file(path).items()})
        except (SafetensorError, OSError, TypeError) as error:
            raise UserError(f"{path} is broken: {str(error).splitlines()[0]}; `mner calibrate` makes it anew") from None
