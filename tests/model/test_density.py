"""What tweets the model knows: a density, its comparison with known tweets, and what it does to the evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save as save_tensors

from core.errors import UserError
from model.batch import collate
from model.checkpoint import Temperatures
from model.density import DENSITY, DensityModel, of_tweets
from model.design import CONTEXT, TWO_VIEWS, Design
from model.mentions import Span
from model.predictor import decode, run
from model.tagger import Tagger
from model.tokens import TweetTokenizer
from model.training.calibrate import compared, fit_density
from model.training.corpus import Example
from model.training.encoder import pretrained
from model.training.evaluate import TweetUncertainty, told_by_density
from tests.model.toys import PEOPLE, bert, examples, save

HIDDEN = 6


def words(number: int, seed: int = 0) -> torch.Tensor:
    """Correlated and far from zero, (N, H)."""
    chance = torch.Generator().manual_seed(seed)
    mixing = torch.randn(HIDDEN, HIDDEN, generator=torch.Generator().manual_seed(9))
    return torch.randn(number, HIDDEN, generator=chance) @ mixing + 5


def gaussian(size: int, known: Sequence[float] = (), **more: torch.Tensor) -> bytes:
    own = {"centre": torch.zeros(size), "whitening": torch.eye(size), "known": torch.tensor(known)}
    return save_tensors(own | more)


def principal(states: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """In the four of six directions in which known words differ most."""
    return (states - known.mean(0)) @ torch.linalg.eigh(known.T.cov())[1][:, -4:]


def log_density(fitted_on: torch.Tensor, of: torch.Tensor) -> torch.Tensor:
    return torch.distributions.MultivariateNormal(fitted_on.mean(0), fitted_on.T.cov()).log_prob(of)


def test_the_density_is_that_of_the_gaussian() -> None:
    known = words(20_000)
    fitted = DensityModel.fit(known)
    strange = words(7, seed=1) + torch.arange(7.0).unsqueeze(1)
    own, some = principal(known, known), principal(strange, known)
    wanted = log_density(own, some) - log_density(own, own).mean()
    found = fitted.log_densities(strange.unsqueeze(1)).squeeze(1)
    torch.testing.assert_close(found, wanted, rtol=0.02, atol=0.02)


def others(number: int, seed: int = 3) -> torch.Tensor:
    """Words of a background: elsewhere, and wider in all directions."""
    return 1.5 * words(number, seed) + torch.arange(HIDDEN) / 3


def test_beside_a_background_it_is_the_ratio_of_both_gaussians() -> None:
    known, background = words(40_000), others(40_000)
    fitted = DensityModel.fit(known, background)
    strange = words(7, seed=1) + torch.arange(7.0).unsqueeze(1)
    own, other, some = (principal(one, known) for one in (known, background, strange))
    centre, second = own.mean(0), other.T @ other / len(other)  # `principal` is about the known words' mean
    beside = torch.distributions.MultivariateNormal(centre, second)
    ratio, usual = ((log_density(own, one) - 2 / 3 * beside.log_prob(one)) / (1 - 2 / 3) for one in (some, own))
    found = fitted.log_densities(strange.unsqueeze(1)).squeeze(1)
    torch.testing.assert_close(found, ratio - usual.mean(), rtol=0.02, atol=0.1)


def test_a_background_like_the_known_words_changes_nothing() -> None:
    some = words(9, seed=1).unsqueeze(1)
    plain, beside = (
        DensityModel.fit(words(40_000), other).log_densities(some) for other in (None, words(40_000, seed=2))
    )
    torch.testing.assert_close(beside, plain, rtol=0.1, atol=0.2)


def test_directions_in_which_other_tweets_vary_more_count_more() -> None:
    known = torch.randn(5000, HIDDEN, generator=torch.Generator().manual_seed(0)) * torch.tensor([1, 1, 2, 2, 2, 2.1])
    background = known * torch.tensor([1, 1, 1, 1, 1, 2])
    wide, narrow = torch.eye(HIDDEN)[5] * 3, torch.eye(HIDDEN)[2] * 3
    plain, beside = (
        DensityModel.fit(known, other).log_densities(torch.stack([wide, narrow]).unsqueeze(1)).flatten()
        for other in (None, background)
    )
    assert plain[0] > plain[1]
    assert beside[0] < beside[1] - 1


@pytest.mark.parametrize("shift", [0.0, 3.0, 40.0])
@pytest.mark.parametrize("width", [0.01, 1.0, 30.0])
def test_what_is_farther_is_stranger_whatever_the_background(width: float, shift: float) -> None:
    known = words(2000)
    background = shift + known.mean(0) + width * (words(2000, seed=3) - known.mean(0))
    fitted = DensityModel.fit(known, background)
    directions = torch.linalg.eigh(known.T.cov())[1].T[-4:]
    directions = torch.cat([directions, torch.randn(50, HIDDEN, generator=torch.Generator().manual_seed(4))])
    far = torch.stack([fitted.centre + steps * directions for steps in (0.5, 5.0, 30.0, 300.0)])
    near, *farther = fitted.log_densities(far)
    for one in farther:
        assert (one < near).all()
        near = one


def test_of_a_background_of_few_words_little_is_believed() -> None:
    known, some = words(2000), words(200, seed=1).unsqueeze(1)
    own = DensityModel.fit(known).log_densities(some)
    torch.testing.assert_close(DensityModel.fit(known, known[:0]).log_densities(some), own)
    ratio = DensityModel.fit(known, words(2, seed=2)).log_densities(some)
    assert np.corrcoef(own.flatten(), ratio.flatten())[0, 1] > 0.9, "of two words no covariance can be had"


def test_every_part_but_what_is_known_goes_to_the_device() -> None:
    moved = DensityModel.fit(words(50), others(50)).compared_with([0.0]).to("meta")
    devices = {name: value.device.type for name, value in vars(moved).items()}
    assert devices == {"centre": "meta", "whitening": "meta", "counts": "meta", "known": "cpu"}


def test_a_tweet_has_the_mean_of_its_real_words() -> None:
    fitted, states = DensityModel.fit(words(500)), words(6, seed=1).view(2, 3, HIDDEN)
    real = torch.tensor([[True, True, False], [False, False, False]])
    each = fitted.log_densities(states)
    assert of_tweets(each, real).tolist() == pytest.approx([float(each[0, :2].mean()), 0.0], abs=1e-5)


@pytest.mark.parametrize(
    ("log_density", "share"),
    [
        pytest.param(-9.0, 1 / 5, id="stranger than all: this tweet alone"),
        pytest.param(-3.0, 2 / 5, id="as strange as the strangest"),
        pytest.param(-1.5, 4 / 5, id="between"),
        pytest.param(0.5, 1.0, id="more familiar than all"),
    ],
)
def test_the_share_of_known_tweets_that_are_as_strange(log_density: float, share: float) -> None:
    fitted = DensityModel.fit(words(50)).compared_with([0.0, -3.0, -2.0, -2.0])
    assert fitted.share(log_density) == share


def test_of_tweets_like_the_known_ones_at_most_a_share_p_has_a_share_up_to_p() -> None:
    fitted, real = DensityModel.fit(words(2000)), torch.ones(200, 4, dtype=torch.bool)
    held_out, new = (of_tweets(fitted.log_densities(words(800, seed).view(200, 4, HIDDEN)), real) for seed in (1, 2))
    shares = np.array([fitted.compared_with(held_out.tolist()).share(one) for one in new.tolist()])
    assert all((shares <= p).mean() <= p + 0.08 for p in (0.05, 0.2, 0.5, 0.8))
    assert 0.4 < shares.mean() < 0.6


def test_evidence_counts_by_the_density_of_the_word() -> None:
    fitted = DensityModel.fit(words(2000))
    log_densities = torch.tensor([0.0, 1.0, -1.0, -1e9])
    assert fitted.weights(log_densities).tolist() == pytest.approx([1.0, np.exp(4), np.exp(-4), 0.0], rel=1e-5)


@pytest.mark.parametrize("background", [None, others(500)], ids=["alone", "beside a background"])
def test_it_is_kept_beside_the_weights(background: torch.Tensor | None, tmp_path: Path) -> None:
    assert DensityModel.load(tmp_path, HIDDEN) is None
    fitted = DensityModel.fit(words(500), background).compared_with([-1.0, 2.0])
    fitted.to("cpu").save(tmp_path)
    kept = DensityModel.load(tmp_path, HIDDEN)
    assert kept is not None
    some = words(9).unsqueeze(1)
    torch.testing.assert_close(kept.log_densities(some), fitted.log_densities(some))
    assert torch.equal(kept.known, fitted.known)
    assert (kept.counts is None) == (background is None)
    assert [path.name for path in tmp_path.iterdir()] == [DENSITY]


def test_a_file_of_all_directions_and_no_background_means_what_it_did(tmp_path: Path) -> None:
    (tmp_path / DENSITY).write_bytes(gaussian(HIDDEN))
    kept, some = DensityModel.load(tmp_path, HIDDEN), words(9).unsqueeze(1) / 5
    assert kept is not None
    found = kept.log_densities(some)
    torch.testing.assert_close(found, 0.5 * (HIDDEN - some.square().sum(-1)))
    torch.testing.assert_close(kept.weights(found), torch.exp(16 / HIDDEN * found))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"\x00" * 20, "", id="no tensors"),
        pytest.param(save_tensors({"mean": torch.zeros(HIDDEN)}), "of a release before", id="of other layers"),
        pytest.param(save_tensors({"centre": torch.zeros(2)}), "missing 2 required", id="not all of them"),
        pytest.param(gaussian(4), "not of an encoder of size 6", id="of another encoder"),
        pytest.param(gaussian(HIDDEN, known=[float("nan")]), "not finite", id="no number"),
        pytest.param(gaussian(HIDDEN, counts=torch.ones(4)), "counts other directions", id="of others"),
        pytest.param(gaussian(HIDDEN, counts=torch.zeros(HIDDEN)), "one that does not count", id="a direction of none"),
    ],
)
def test_a_broken_file_is_told_in_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / DENSITY).write_bytes(content)
    with pytest.raises(UserError, match=rf"density\.safetensors cannot be used: .*{message}.*remove it") as error:
        DensityModel.load(tmp_path, HIDDEN)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "known",
    [
        pytest.param(torch.ones(40, HIDDEN), id="all alike"),
        pytest.param(words(1), id="a single one"),
        pytest.param(words(40) * 1e6, id="too large for what is kept"),
        pytest.param(words(40) * float("nan"), id="no numbers"),
    ],
)
def test_words_that_give_no_density_are_refused(known: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="no density can be fitted"):
        DensityModel.fit(known)


def test_a_background_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="no numbers"):
        DensityModel.fit(words(40), words(40) / 0)


def test_what_is_no_number_is_strange() -> None:
    fitted = DensityModel.fit(words(50)).compared_with([0.0, -3.0, -2.0])
    assert fitted.share(float("nan")) == fitted.share(float("-inf")) == 1 / 4


def toy(folder: Path, design: Design) -> tuple[Tagger, TweetTokenizer]:
    network, tokenizer = pretrained(str(save(folder, bert)), 0, design)
    return network.eval(), tokenizer


def test_strange_tweets_are_told_from_known_ones(tmp_path: Path) -> None:
    network, tokenizer = toy(tmp_path, TWO_VIEWS)
    known = examples(60)
    fitted = fit_density(network, tokenizer, known[:40], "cpu")
    assert fitted is not None
    network.density = compared(fitted, network, tokenizer, known[40:], "cpu")
    strange = Example("x", ("http", "zzz", "portrait", "http"), ("O",) * 4)
    encoded = [tokenizer.encode_words(one.words, None) for one in (known[50], strange)]
    output = run(network, encoded, tokenizer.config, "cpu")
    usual, other = decode(network, output, Temperatures.same(1.0))
    assert usual.typicality is not None
    assert other.typicality is not None
    assert other.typicality == pytest.approx(1 / 21, abs=1e-6)
    assert usual.typicality > 0.1


def test_the_epistemic_variance_counts_each_words_evidence_and_nothing_else_changes(tmp_path: Path) -> None:
    network, tokenizer = toy(tmp_path, TWO_VIEWS)
    mixed = Example("x", (PEOPLE[0], "http", "zzz", "portrait"), ("O",) * 4, "a red dog")
    encoded = [tokenizer.encode_words(one.words, one.caption) for one in (mixed, *examples(3))]
    plain = run(network, encoded, tokenizer.config, "cpu")
    network.density = fit_density(network, tokenizer, examples(60), "cpu")
    output = run(network, encoded, tokenizer.config, "cpu")
    assert output.weights is not None
    known, *strange = output.weights[0].tolist()
    assert known > 2 * max(strange)
    before, after = (decode(network, one, Temperatures.same(1.0), 0.01)[0].candidates for one in (plain, output))
    assert {one.start for one in after} >= {0, 1, 2}
    assert [one.start for one in before] == [one.start for one in after]
    beliefs = {"": output.together, **dict(zip(network.design.views, output.views, strict=True))}

    def variance(name: str, span: Span) -> float:
        """Of the span's words, by the closed form."""
        belief, words = beliefs[name], range(span.start, span.end)
        return float(
            np.mean(
                [
                    (belief.aleatoric[0, word] / (0.01 + output.weights[0, word] * belief.nu[0, word])).numpy()
                    for word in words
                ]
            )
        )

    for one, other in zip(before, after, strict=True):
        assert other.epistemic == pytest.approx(variance("", other), rel=1e-4, abs=1e-5)
        assert replace(other, epistemic=one.epistemic, views=one.views) == one
        for name, view in one.views.items():
            assert other.views[name].epistemic == pytest.approx(variance(name, other), rel=1e-4, abs=1e-5)
            assert replace(other.views[name], epistemic=view.epistemic) == view


def test_words_are_known_by_the_states_a_third_and_half_way_up(tmp_path: Path) -> None:
    network, tokenizer = pretrained(str(save(tmp_path, partial(bert, layers=6))), 0, TWO_VIEWS)
    batch = collate([tokenizer.encode("who visits a city", None)], tokenizer.config, network.design)
    with torch.inference_mode():
        layers = network.eval().encoder(batch.text.ids, attention_mask=batch.text.mask, output_hidden_states=True)
        _, inner = network.encode(batch.text)
    torch.testing.assert_close(inner, layers.hidden_states[2] + layers.hidden_states[3])


def test_a_checkpoint_that_does_not_read_text_alone_cannot_say(tmp_path: Path) -> None:
    network, tokenizer = toy(tmp_path, Design(views=(CONTEXT,)))
    assert fit_density(network, tokenizer, examples(8), "cpu") is None


def test_tweets_without_words_cannot_be_fitted(tmp_path: Path) -> None:
    network, tokenizer = toy(tmp_path, TWO_VIEWS)
    assert fit_density(network, tokenizer, [Example("1", (), ())], "cpu") is None


def test_tweets_are_told_apart_by_their_density() -> None:
    variance, best = np.ones((2, 3)), np.array([0, 2])
    known, strange, unsaid = (TweetUncertainty(variance, variance, best, density) for density in (0.5, -2000.0, None))
    assert told_by_density([known], [strange]) == 1.0
    assert told_by_density([strange], [known]) == 0.0
    assert told_by_density([known], [unsaid]) is None
