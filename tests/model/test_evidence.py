"""Normal-inverse-Gamma evidence against closed forms and numerical integrals."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model.evidence import NIG, fuse

POSITIVE = st.floats(0.05, 20.0)
BELIEFS = st.builds(
    lambda gamma, nu, alpha, beta: belief(gamma, nu, 1 + alpha, beta), st.floats(-3, 3), POSITIVE, POSITIVE, POSITIVE
)


def belief(gamma: float, nu: float, alpha: float, beta: float) -> NIG:
    return NIG(*(torch.tensor([value], dtype=torch.float64) for value in (gamma, nu, alpha, beta)))


def joined(*views: NIG) -> NIG:
    return fuse(views, torch.ones(len(views), 1, dtype=torch.bool))


def close(first: NIG, second: NIG) -> bool:
    return all(torch.allclose(a, b, rtol=1e-9, atol=1e-12) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize(
    ("gamma", "nu", "alpha", "beta", "target"),
    [(0.0, 1.0, 2.0, 1.0, 0.3), (0.8, 0.2, 1.2, 0.05, 1.0), (-1.0, 5.0, 8.0, 3.0, 0.0)],
)
def test_log_density_is_the_integral_over_mean_and_variance(
    gamma: float, nu: float, alpha: float, beta: float, target: float
) -> None:
    """p(y) is the integral of N(y | mu, s) N(mu | gamma, s/nu) InvGamma(s | alpha, beta).

    The integral over mu has the closed form N(y | gamma, s (1 + 1/nu)). The one over s is taken on a logarithmic grid.
    """
    log_s = torch.linspace(-15, 25, 400_001, dtype=torch.float64)
    s = log_s.exp()
    width = s * (1 + 1 / nu)
    normal = torch.exp(-((target - gamma) ** 2) / (2 * width)) / torch.sqrt(2 * math.pi * width)
    log_prior = alpha * math.log(beta) - math.lgamma(alpha) - (alpha + 1) * log_s - beta / s
    integral = torch.trapezoid(normal * log_prior.exp() * s, log_s)
    density = belief(gamma, nu, alpha, beta).log_density(torch.tensor([target], dtype=torch.float64)).exp()
    assert density.item() == pytest.approx(integral.item(), rel=1e-6)


@given(BELIEFS, st.floats(-3, 3))
def test_log_density_is_students_t(nig: NIG, target: float) -> None:
    gamma, nu, alpha, beta = (part.item() for part in nig)
    scale = math.sqrt(beta * (1 + nu) / (nu * alpha))
    student = torch.distributions.StudentT(2 * alpha, gamma, scale)
    expected = student.log_prob(torch.tensor(target)).item()  # type: ignore[no-untyped-call]
    assert nig.log_density(torch.tensor([target])).item() == pytest.approx(expected, rel=1e-4, abs=1e-4)


@given(BELIEFS)
def test_log_odds_are_the_difference_of_two_log_densities(nig: NIG) -> None:
    yes, no = torch.ones(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    assert torch.allclose(nig.log_odds(), nig.log_density(yes) - nig.log_density(no), rtol=1e-9, atol=1e-9)


@given(BELIEFS, BELIEFS)
def test_fusion_is_commutative(first: NIG, second: NIG) -> None:
    assert close(joined(first, second), joined(second, first))


@given(BELIEFS, BELIEFS, BELIEFS)
def test_fusion_is_associative_and_equals_fusion_of_all_at_once(first: NIG, second: NIG, third: NIG) -> None:
    assert close(joined(joined(first, second), third), joined(first, joined(second, third)))
    assert close(joined(joined(first, second), third), joined(first, second, third))


@given(BELIEFS, BELIEFS)
def test_fusion_follows_the_published_equations(first: NIG, second: NIG) -> None:
    nu = first.nu + second.nu
    gamma = (first.nu * first.gamma + second.nu * second.gamma) / nu
    between = first.nu * (first.gamma - gamma) ** 2 + second.nu * (second.gamma - gamma) ** 2
    expected = NIG(gamma, nu, first.alpha + second.alpha + 0.5, first.beta + second.beta + 0.5 * between)
    assert close(joined(first, second), expected)


@given(BELIEFS, BELIEFS)
def test_a_missing_view_does_not_change_the_other(nig: NIG, missing: NIG) -> None:
    assert close(fuse([nig, missing], torch.tensor([[True], [False]])), nig)


@given(BELIEFS, BELIEFS, BELIEFS)
def test_a_missing_view_of_three_is_ignored_whatever_its_values(first: NIG, second: NIG, missing: NIG) -> None:
    nothing = NIG(*(torch.full_like(part, math.nan) for part in missing))
    present = torch.tensor([[True], [False], [True]])
    assert close(fuse([first, missing, second], present), joined(first, second))
    assert close(fuse([first, nothing, second], present), joined(first, second))


@given(BELIEFS, BELIEFS, st.floats(0.01, 1))
def test_a_share_discounts_all_evidence_of_a_view(first: NIG, second: NIG, share: float) -> None:
    shares = torch.tensor([[1.0], [share]], dtype=torch.float64)
    same = NIG(first.gamma, second.nu, second.alpha, second.beta)
    fused = fuse([first, same], shares)
    expected = NIG(
        first.gamma,
        first.nu + share * second.nu,
        first.alpha + share * (second.alpha + 0.5),
        first.beta + share * second.beta,
    )
    assert close(fused, expected)
    assert close(fuse([first, second], torch.ones(2, 1)), joined(first, second))


@given(BELIEFS, BELIEFS)
def test_agreement_lowers_epistemic_uncertainty(nig: NIG, other: NIG) -> None:
    agreeing = NIG(nig.gamma, other.nu, other.alpha, other.beta)
    assert joined(nig, agreeing).epistemic.item() < max(nig.epistemic.item(), agreeing.epistemic.item())


def test_a_sure_wrong_belief_costs_more_than_an_unsure_one() -> None:
    target = torch.zeros(1, dtype=torch.float64)
    assert belief(1, 10, 5, 1).regulariser(target) > belief(1, 0.1, 1.1, 1).regulariser(target)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("size", [0.1, 30.0, 300.0], ids=["ordinary scores", "large scores", "huge scores"])
def test_gradients_are_finite(dtype: torch.dtype, size: float) -> None:
    torch.manual_seed(0)
    scores = (torch.randn(64, 9, 4) * size).to(dtype).requires_grad_()
    first, second = NIG.from_scores(scores), NIG.from_scores(scores.flip(0))
    together = fuse([first, second], torch.rand(2, 64, 1) > -1)
    target = torch.nn.functional.one_hot(torch.arange(64) % 9, 9).float()
    value = (
        -together.log_density(target).mean()
        + together.regulariser(target).mean()
        + together.log_odds().logsumexp(-1).mean()
    )
    torch.autograd.backward(value)
    assert torch.isfinite(value)
    assert scores.grad is not None
    assert torch.isfinite(scores.grad).all()
    assert all(torch.isfinite(part).all() for part in (first.aleatoric, first.epistemic, together.aleatoric))


@given(BELIEFS, st.floats(1e-6, 1e6))
def test_low_weights_raise_epistemic_variance_to_at_most_100_times_aleatoric(nig: NIG, share: float) -> None:
    counted = nig.counted(torch.tensor([share], dtype=torch.float64))
    assert torch.equal(counted.aleatoric, nig.aleatoric)
    expected = nig.aleatoric / (0.01 + share * nig.nu)
    torch.testing.assert_close(counted.epistemic, expected)
    assert counted.epistemic.item() <= 100 * nig.aleatoric.item() * (1 + 1e-9)
    assert (counted.epistemic < nig.epistemic).item() == (0.01 + share * nig.nu > nig.nu).item()
