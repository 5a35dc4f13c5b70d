"""Normal-inverse-Gamma evidence: parameters, uncertainties, losses, fusion of views.

A view scores a label with a Gaussian of unknown mean and variance. NIG(gamma, nu, alpha, beta) is the belief about
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
"""Smallest distance of a parameter from its bound. It keeps variances finite and logarithms away from zero."""
PRIOR = 0.01
"""nu of a word unlike all training words: its epistemic variance is 100 times its aleatoric one."""


class NIG(NamedTuple):
    """One belief per element; four tensors of one shape. nu > 0, alpha > 1, beta > 0."""

    gamma: Tensor
    nu: Tensor
    alpha: Tensor
    beta: Tensor

    @classmethod
    def from_scores(cls, scores: Tensor) -> Self:
        """Makes beliefs (...) from a linear layer's output (..., 4).

        gamma is linear, nu and beta pass through a softplus, alpha through a softplus + 1.
        """
        gamma, nu, alpha, beta = scores.float().unbind(-1)
        return cls(gamma, F.softplus(nu) + SMALLEST, F.softplus(alpha) + 1 + SMALLEST, F.softplus(beta) + SMALLEST)

    @property
    def aleatoric(self) -> Tensor:
        """E[sigma^2] = beta / (alpha - 1): the noise in the labels (Amini et al., eq. 5)."""
        return self.beta / (self.alpha - 1)

    @property
    def epistemic(self) -> Tensor:
        """Var[mu] = beta / (nu (alpha - 1)): more evidence would reduce it (Amini et al., eq. 5)."""
        return self.beta / (self.nu * (self.alpha - 1))

    def counted(self, weight: Tensor) -> Self:
        """Returns the belief with nu = PRIOR + weight * nu, so that evidence counts less for unusual words.

        `weight` is 0 or more and broadcasts (Natural Posterior Network: Charpentier et al., ICLR 2022, eq. 4).
        """
        return self._replace(nu=PRIOR + weight * self.nu)

    def log_density(self, target: Tensor) -> Tensor:
        """Returns the log of the predictive density at `target` (Amini et al., eq. 7-8).

        It is Student's t with 2 alpha degrees of freedom, location gamma, squared scale beta (1 + nu) / (nu alpha).
        """
        omega = 2 * self.beta * (1 + self.nu)
        return (
            0.5 * torch.log(self.nu / math.pi)
            + self.alpha * torch.log(omega)
            - (self.alpha + 0.5) * torch.log(self.nu * (target - self.gamma) ** 2 + omega)
            + torch.lgamma(self.alpha + 0.5)
            - torch.lgamma(self.alpha)
        )

    def regulariser(self, target: Tensor) -> Tensor:
        """Returns |y - gamma| (2 nu + alpha), the cost of evidence for a wrong prediction (Amini et al., eq. 9)."""
        return (target - self.gamma).abs() * (2 * self.nu + self.alpha)

    def log_odds(self) -> Tensor:
        """Returns log p(y = 1) - log p(y = 0) of the predictive density: the log-odds that the label applies.

        If the beliefs of a word's labels are independent, the one-hot vector of label k has a probability proportional
        to exp(log_odds_k). So a softmax over these scores is the exact posterior over labels. A label with little
        evidence has heavy tails, and so a score near zero, however large its gamma is.
        """
        omega = 2 * self.beta * (1 + self.nu)
        off = torch.log(self.nu * self.gamma**2 + omega)
        on = torch.log(self.nu * (1 - self.gamma) ** 2 + omega)
        return (self.alpha + 0.5) * (off - on)


def fuse(views: Sequence[NIG], shares: Tensor) -> NIG:
    """Returns the mixture of the views as one NIG (Ma et al., eq. 12-15, for any number of views).

    `shares` (V, ...), 0 to 1 or bool, says how much of each view's evidence counts; it broadcasts to the view's shape.
    A share of 0 leaves the view out, whatever its values are. A share between 0 and 1 discounts all of its evidence,
    and the half degree of freedom that each fusion adds (Shafer, "A Mathematical Theory of Evidence", 1976, ch. 11).
    If no share is 1, alpha may fall below 1. If all shares are 0, the result has no meaning.
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
