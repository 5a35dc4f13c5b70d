"""Normal-inverse-Gamma evidence: parameters, fusion of views, losses, uncertainties.

A view scores a label with a Gaussian of unknown mean and variance; NIG(gamma, nu, alpha, beta) is the belief about
both: sigma^2 ~ InverseGamma(alpha, beta), mu ~ Normal(gamma, sigma^2 / nu).

Amini et al., "Deep Evidential Regression", NeurIPS 2020 (loss, uncertainties); Ma et al., "Trustworthy Multimodal
Regression with Mixture of Normal-inverse Gamma Distributions", NeurIPS 2021 (fusion); Liu et al., arXiv 2306.16991
(both, for multimodal NER).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, Self

import torch
from torch import Tensor
from torch.nn import functional as F

SMALLEST = 1e-4
"""Kept between softplus and its bound, so that no variance is infinite and no logarithm is of zero."""
PRIOR = 0.01
"""nu of a word of which the model knows nothing: its epistemic variance is a hundred times its aleatoric one."""


class NIG(NamedTuple):
    """One belief per element; four tensors of one shape. nu > 0, alpha > 1, beta > 0."""

    gamma: Tensor
    nu: Tensor
    alpha: Tensor
    beta: Tensor

    @classmethod
    def from_scores(cls, scores: Tensor) -> Self:
        """From a linear layer's output (..., 4): gamma linear, nu and beta softplus, alpha softplus + 1."""
        gamma, nu, alpha, beta = scores.float().unbind(-1)
        return cls(gamma, F.softplus(nu) + SMALLEST, F.softplus(alpha) + 1 + SMALLEST, F.softplus(beta) + SMALLEST)

    @property
    def aleatoric(self) -> Tensor:
        """E[sigma^2] = beta / (alpha - 1): the noise in the labels themselves."""
        return self.beta / (self.alpha - 1)

    @property
    def epistemic(self) -> Tensor:
        """Var[mu] = beta / (nu (alpha - 1)): what more evidence would remove."""
        return self.beta / (self.nu * (self.alpha - 1))

    def counted(self, weight: Tensor) -> Self:
        """The same with nu = PRIOR + weight nu, where evidence counts by how well known what it is about is (Natural
        Posterior Network: Charpentier et al., ICLR 2022, eq. 4). `weight`: 0 or more, broadcastable."""
        return self._replace(nu=PRIOR + weight * self.nu)

    def log_density(self, target: Tensor) -> Tensor:
        """Log of the predictive density at `target`: Student's t with 2 alpha degrees of freedom, location gamma,
        squared scale beta (1 + nu) / (nu alpha) (Amini et al., eq. 7-8)."""
        omega = 2 * self.beta * (1 + self.nu)
        return (
            0.5 * torch.log(self.nu / math.pi)
            + self.alpha * torch.log(omega)
            - (self.alpha + 0.5) * torch.log(self.nu * (target - self.gamma) ** 2 + omega)
            + torch.lgamma(self.alpha + 0.5)
            - torch.lgamma(self.alpha)
        )

    def regulariser(self, target: Tensor) -> Tensor:
        """|y - gamma| (2 nu + alpha): evidence is paid for where the prediction is wrong (Amini et al., eq. 9)."""
        return (target - self.gamma).abs() * (2 * self.nu + self.alpha)

    def log_odds(self) -> Tensor:
        """log p(y = 1) - log p(y = 0) of the predictive density, the score that a label indicator is one.

        With one independent belief per label, the probability of the one-hot vector of label k is proportional to
        exp(log_odds_k): a softmax over these scores is the exact posterior over labels. A label with little evidence
        has heavy tails and so a score near zero, however large its gamma.
        """
        omega = 2 * self.beta * (1 + self.nu)
        off = torch.log(self.nu * self.gamma**2 + omega)
        on = torch.log(self.nu * (1 - self.gamma) ** 2 + omega)
        return (self.alpha + 0.5) * (off - on)


def fuse(views: Sequence[NIG], shares: Tensor) -> NIG:
    """The mixture of the views as one NIG (Ma et al., eq. 12-15, written for any number of views).

    `shares`: (V, ...) broadcastable to each view's shape: how much of a view's evidence counts, from 1 to 0 (bool
    serves). At 0 a view is left out, whatever stands there: it gives neither evidence nor the half a degree that
    joining adds; between them it gives that share of all it has (discounting: Shafer, "A Mathematical Theory of
    Evidence", 1976, ch. 11). Where every share is 0 the result means nothing; where none is 1 alpha may be below 1.
    """
    counts = shares.to(views[0].nu.dtype)
    while counts.dim() < views[0].nu.dim() + 1:
        counts = counts.unsqueeze(-1)
    gammas, nus, alphas, betas = (torch.where(counts > 0, torch.stack(part), 0.0) for part in zip(*views, strict=True))
    nus = counts * nus
    nu = nus.sum(0).clamp(min=SMALLEST)
    gamma = (nus * gammas).sum(0) / nu
    alpha = (counts * (alphas + 0.5)).sum(0) - 0.5
    beta = (counts * betas).sum(0) + 0.5 * (nus * (gammas - gamma) ** 2).sum(0)
    return NIG(gamma, nu, alpha, beta)
