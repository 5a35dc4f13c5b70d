"""The density of words: its fit, the typicality of posts, and its effect on the evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save as save_tensors

from core.errors import UserError
from model.batch import collate
from model.checkpoint import Temperatures
from model.density import DENSITY, DensityModel, mean_log_density
from model.design import CONTEXT, TWO_VIEWS, Design
from model.evidence import NIG
from model.mentions import Span
from model.predictor import decode, run
from model.tagger import Tagger
from model.tokens import TweetTokenizer
from model.training.calibrate import fit_density, with_reference
from model.training.corpus import Example
from model.training.encoder import pretrained
from model.training.evaluate import TweetUncertainty, ood_by_density
from tests.model.toys import PEOPLE, bert, examples, save

HIDDEN = 6


def words(number: int, seed: int = 0) -> torch.Tensor:
    """Returns correlated states far from zero, (N, H)."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(HIDDEN, HIDDEN, generator=torch.Generator().manual_seed(9))
    return torch.randn(number, HIDDEN, generator=generator) @ mixing + 5


def gaussian(size: int, reference: Sequence[float] = (), **more: torch.Tensor) -> bytes:
    """Returns a file's content: a standard normal distribution."""
    tensors = {"centre": torch.zeros(size), "whitening": torch.eye(size), "reference": torch.tensor(reference)}
    return save_tensors(tensors | more)


def principal(states: torch.Tensor, training: torch.Tensor) -> torch.Tensor:
    """Returns the states in the four of six directions in which the training words vary most."""
    directions: torch.Tensor = torch.linalg.eigh(training.T.cov())[1][:, -4:]
    return (states - training.mean(0)) @ directions


def gaussian_log_density(mean: torch.Tensor, covariance: torch.Tensor, states: torch.Tensor) -> torch.Tensor:
    distribution = torch.distributions.MultivariateNormal(mean, covariance)
    log_densities: torch.Tensor = distribution.log_prob(states)  # type: ignore[no-untyped-call]
    return log_densities


def log_density(training: torch.Tensor, states: torch.Tensor) -> torch.Tensor:
    return gaussian_log_density(training.mean(0), training.T.cov(), states)


def test_the_density_is_that_of_the_gaussian() -> None:
    training = words(20_000)
    unusual = words(7, seed=1) + torch.arange(7.0).unsqueeze(1)
    inside, outside = principal(training, training), principal(unusual, training)
    expected = log_density(inside, outside) - log_density(inside, inside).mean()
    log_densities = DensityModel.fit(training).log_densities(unusual.unsqueeze(1)).squeeze(1)
    torch.testing.assert_close(log_densities, expected, rtol=0.02, atol=0.02)


def background_words(number: int, seed: int = 3) -> torch.Tensor:
    """Returns states with another mean and a larger variance in all directions."""
    return 1.5 * words(number, seed) + torch.arange(HIDDEN) / 3


def test_with_a_background_the_density_is_the_ratio_of_both_gaussians() -> None:
    training, background = words(40_000), background_words(40_000)
    unusual = words(7, seed=1) + torch.arange(7.0).unsqueeze(1)
    inside, beside, outside = (principal(states, training) for states in (training, background, unusual))
    centre, moments = inside.mean(0), beside.T @ beside / len(beside)  # relative to the mean of the training words

    def ratio(states: torch.Tensor) -> torch.Tensor:
        second = gaussian_log_density(centre, moments, states)
        return (log_density(inside, states) - 2 / 3 * second) / (1 - 2 / 3)

    log_densities = DensityModel.fit(training, background).log_densities(unusual.unsqueeze(1)).squeeze(1)
    torch.testing.assert_close(log_densities, ratio(outside) - ratio(inside).mean(), rtol=0.02, atol=0.1)


def test_a_background_like_the_training_words_changes_nothing() -> None:
    states = words(9, seed=1).unsqueeze(1)
    plain, ratio = (
        DensityModel.fit(words(40_000), background).log_densities(states)
        for background in (None, words(40_000, seed=2))
    )
    torch.testing.assert_close(ratio, plain, rtol=0.1, atol=0.2)


def test_directions_in_which_the_background_varies_more_count_more() -> None:
    generator = torch.Generator().manual_seed(0)
    training = torch.randn(5000, HIDDEN, generator=generator) * torch.tensor([1, 1, 2, 2, 2, 2.1])
    background = training * torch.tensor([1, 1, 1, 1, 1, 2])
    wide, narrow = torch.eye(HIDDEN)[5] * 3, torch.eye(HIDDEN)[2] * 3
    plain, ratio = (
        DensityModel.fit(training, other).log_densities(torch.stack([wide, narrow]).unsqueeze(1)).flatten()
        for other in (None, background)
    )
    assert plain[0] > plain[1]
    assert ratio[0] < ratio[1] - 1


@pytest.mark.parametrize("shift", [0.0, 3.0, 40.0])
@pytest.mark.parametrize("width", [0.01, 1.0, 30.0])
def test_the_density_falls_with_the_distance_for_any_background(width: float, shift: float) -> None:
    training = words(2000)
    background = shift + training.mean(0) + width * (words(2000, seed=3) - training.mean(0))
    fitted = DensityModel.fit(training, background)
    directions = torch.linalg.eigh(training.T.cov())[1].T[-4:]
    directions = torch.cat([directions, torch.randn(50, HIDDEN, generator=torch.Generator().manual_seed(4))])
    states = torch.stack([fitted.centre + steps * directions for steps in (0.5, 5.0, 30.0, 300.0)])
    for near, far in pairwise(fitted.log_densities(states)):
        assert (far < near).all()


def test_a_background_of_few_words_changes_little() -> None:
    training, states = words(2000), words(200, seed=1).unsqueeze(1)
    plain = DensityModel.fit(training).log_densities(states)
    torch.testing.assert_close(DensityModel.fit(training, training[:0]).log_densities(states), plain)
    ratio = DensityModel.fit(training, words(2, seed=2)).log_densities(states)
    assert np.corrcoef(plain.flatten(), ratio.flatten())[0, 1] > 0.9


def test_everything_but_the_reference_moves_to_the_device() -> None:
    moved = DensityModel.fit(words(50), background_words(50)).with_reference([0.0]).to("meta")
    devices = {name: value.device.type for name, value in vars(moved).items()}
    assert devices == {"centre": "meta", "whitening": "meta", "counts": "meta", "reference": "cpu"}


def test_a_posts_log_density_is_the_mean_over_its_real_words() -> None:
    fitted, states = DensityModel.fit(words(500)), words(6, seed=1).view(2, 3, HIDDEN)
    real = torch.tensor([[True, True, False], [False, False, False]])
    log_densities = fitted.log_densities(states)
    means = mean_log_density(log_densities, real).tolist()
    assert means == pytest.approx([float(log_densities[0, :2].mean()), 0.0], abs=1e-5)


@pytest.mark.parametrize(
    ("log_density", "typicality"),
    [
        pytest.param(-9.0, 1 / 5, id="below all: only the post itself counts"),
        pytest.param(-3.0, 2 / 5, id="equal to the lowest"),
        pytest.param(-1.5, 4 / 5, id="between"),
        pytest.param(0.5, 1.0, id="above all"),
    ],
)
def test_typicality_is_the_share_of_reference_posts_with_no_higher_density(
    log_density: float, typicality: float
) -> None:
    fitted = DensityModel.fit(words(50)).with_reference([0.0, -3.0, -2.0, -2.0])
    assert fitted.typicality(log_density) == typicality


def test_of_posts_like_the_reference_at_most_a_share_p_has_a_typicality_up_to_p() -> None:
    fitted, real = DensityModel.fit(words(2000)), torch.ones(200, 4, dtype=torch.bool)
    held_out, new = (
        mean_log_density(fitted.log_densities(words(800, seed).view(200, 4, HIDDEN)), real).tolist() for seed in (1, 2)
    )
    fitted = fitted.with_reference(held_out)
    typicality = np.array([fitted.typicality(log_density) for log_density in new])
    assert all((typicality <= p).mean() <= p + 0.08 for p in (0.05, 0.2, 0.5, 0.8))
    assert 0.4 < typicality.mean() < 0.6


def test_evidence_is_weighed_by_the_density_of_the_word() -> None:
    fitted = DensityModel.fit(words(2000))
    log_densities = torch.tensor([0.0, 1.0, -1.0, -1e9])
    assert fitted.weights(log_densities).tolist() == pytest.approx([1.0, np.exp(4), np.exp(-4), 0.0], rel=1e-5)


@pytest.mark.parametrize("background", [None, background_words(500)], ids=["no background", "background"])
def test_a_saved_density_is_loaded_unchanged(background: torch.Tensor | None, tmp_path: Path) -> None:
    assert DensityModel.load(tmp_path, HIDDEN) is None
    fitted = DensityModel.fit(words(500), background).with_reference([-1.0, 2.0])
    fitted.to("cpu").save(tmp_path)
    loaded = DensityModel.load(tmp_path, HIDDEN)
    assert loaded is not None
    states = words(9).unsqueeze(1)
    torch.testing.assert_close(loaded.log_densities(states), fitted.log_densities(states))
    assert torch.equal(loaded.reference, fitted.reference)
    assert (loaded.counts is None) == (background is None)
    assert [path.name for path in tmp_path.iterdir()] == [DENSITY]


def test_a_file_written_before_version_0_2_is_read(tmp_path: Path) -> None:
    """It has another name, calls the reference `known`, and may have all directions and no counts."""
    tensors = {"centre": torch.zeros(HIDDEN), "whitening": torch.eye(HIDDEN), "known": torch.tensor([-1.0, 0.5])}
    (tmp_path / "familiarity.safetensors").write_bytes(save_tensors(tensors))
    loaded, states = DensityModel.load(tmp_path, HIDDEN), words(9).unsqueeze(1) / 5
    assert loaded is not None
    assert loaded.reference.tolist() == [-1.0, 0.5]
    log_densities = loaded.log_densities(states)
    torch.testing.assert_close(log_densities, 0.5 * (HIDDEN - states.square().sum(-1)))
    torch.testing.assert_close(loaded.weights(log_densities), torch.exp(16 / HIDDEN * log_densities))


def test_a_saved_density_replaces_the_file_of_an_earlier_version(tmp_path: Path) -> None:
    (tmp_path / "familiarity.safetensors").write_bytes(b"old")
    DensityModel.fit(words(500), None).with_reference([-1.0]).save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [DENSITY]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"\x00" * 20, "", id="no tensors"),
        pytest.param(save_tensors({"mean": torch.zeros(HIDDEN)}), "an earlier version", id="of another layer"),
        pytest.param(save_tensors({"centre": torch.zeros(2)}), "missing 2 required", id="tensors missing"),
        pytest.param(gaussian(4), "encoder has hidden size 6", id="of another encoder"),
        pytest.param(gaussian(HIDDEN, reference=[float("nan")]), "not finite", id="not a number"),
        pytest.param(
            gaussian(HIDDEN, counts=torch.ones(4)), "differ in their number of directions", id="wrong number of counts"
        ),
        pytest.param(gaussian(HIDDEN, counts=torch.zeros(HIDDEN)), "a count of 0 or less", id="a count of 0"),
    ],
)
def test_a_broken_file_raises_an_error_of_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / DENSITY).write_bytes(content)
    with pytest.raises(UserError, match=rf"density\.safetensors cannot be used: .*{message}.*remove it") as error:
        DensityModel.load(tmp_path, HIDDEN)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "states",
    [
        pytest.param(torch.ones(40, HIDDEN), id="all alike"),
        pytest.param(words(1), id="a single word"),
        pytest.param(words(40) * 1e6, id="too large for 16 bits"),
        pytest.param(words(40) * float("nan"), id="not numbers"),
    ],
)
def test_words_without_a_density_are_refused(states: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="no density can be fitted"):
        DensityModel.fit(states)


def test_a_background_that_is_not_finite_is_refused() -> None:
    with pytest.raises(ValueError, match="not finite"):
        DensityModel.fit(words(40), words(40) / 0)


def test_a_log_density_that_is_not_finite_has_the_lowest_typicality() -> None:
    fitted = DensityModel.fit(words(50)).with_reference([0.0, -3.0, -2.0])
    assert fitted.typicality(float("nan")) == fitted.typicality(float("-inf")) == 1 / 4


def toy(folder: Path, design: Design) -> tuple[Tagger, TweetTokenizer]:
    network, tokenizer = pretrained(str(save(folder, bert)), 0, design)
    return network.eval(), tokenizer


def test_unusual_posts_have_a_low_typicality(tmp_path: Path) -> None:
    network, tokenizer = toy(tmp_path, TWO_VIEWS)
    posts = examples(60)
    fitted = fit_density(network, tokenizer, posts[:40], "cpu")
    assert fitted is not None
    network.density = with_reference(fitted, network, tokenizer, posts[40:], "cpu")
    unusual = Example("x", ("http", "zzz", "portrait", "http"), ("O",) * 4)
    encoded = [tokenizer.encode_words(post.words, None) for post in (posts[50], unusual)]
    output = run(network, encoded, tokenizer.config, "cpu")
    high, low = (prediction.typicality for prediction in decode(network, output, Temperatures.same(1.0)))
    assert high is not None
    assert high > 0.1
    assert low == pytest.approx(1 / 21, abs=1e-6)


def test_the_density_changes_epistemic_variances_and_nothing_else(tmp_path: Path) -> None:
    network, tokenizer = toy(tmp_path, TWO_VIEWS)
    mixed = Example("x", (PEOPLE[0], "http", "zzz", "portrait"), ("O",) * 4, "a red dog")
    encoded = [tokenizer.encode_words(post.words, post.caption) for post in (mixed, *examples(3))]
    plain = run(network, encoded, tokenizer.config, "cpu")
    network.density = fit_density(network, tokenizer, examples(60), "cpu")
    output = run(network, encoded, tokenizer.config, "cpu")
    assert output.weights is not None
    usual, *unusual = output.weights[0].tolist()
    assert usual > 2 * max(unusual)
    before, after = (decode(network, each, Temperatures.same(1.0), 0.01)[0].candidates for each in (plain, output))
    assert {span.start for span in after} >= {0, 1, 2}
    assert [span.start for span in before] == [span.start for span in after]
    weights = output.weights[0].unsqueeze(-1)

    def variance(belief: NIG, span: Span) -> float:
        """Returns the mean over the span's words and all labels, by the closed form."""
        variances = belief.aleatoric[0] / (0.01 + weights * belief.nu[0])
        return float(variances[span.start : span.end].mean())

    beliefs = dict(zip(map(str, network.design.views), output.views, strict=True))
    for old, new in zip(before, after, strict=True):
        assert new.epistemic == pytest.approx(variance(output.together, new), rel=1e-4, abs=1e-5)
        assert replace(new, epistemic=old.epistemic, views=old.views) == old
        for name, view in old.views.items():
            assert new.views[name].epistemic == pytest.approx(variance(beliefs[name], new), rel=1e-4, abs=1e-5)
            assert replace(new.views[name], epistemic=view.epistemic) == view


def test_inner_states_are_the_sum_of_the_layers_a_third_and_half_way_up(tmp_path: Path) -> None:
    network, tokenizer = pretrained(str(save(tmp_path, partial(bert, layers=6))), 0, TWO_VIEWS)
    batch = collate([tokenizer.encode("who visits a city", None)], tokenizer.config, network.design)
    with torch.inference_mode():
        layers = network.eval().encoder(batch.text.ids, attention_mask=batch.text.mask, output_hidden_states=True)
        _, inner = network.encode(batch.text)
    torch.testing.assert_close(inner, layers.hidden_states[2] + layers.hidden_states[3])


def test_a_network_without_the_view_text_has_no_density(tmp_path: Path) -> None:
    network, tokenizer = toy(tmp_path, Design(views=(CONTEXT,)))
    assert fit_density(network, tokenizer, examples(8), "cpu") is None


def test_posts_without_words_give_no_density(tmp_path: Path) -> None:
    network, tokenizer = toy(tmp_path, TWO_VIEWS)
    assert fit_density(network, tokenizer, [Example("1", (), ())], "cpu") is None


def test_the_density_separates_posts() -> None:
    variance, best = np.ones((2, 3)), np.array([0, 2])
    usual, unusual, unknown = (TweetUncertainty(variance, variance, best, density) for density in (0.5, -2000.0, None))
    assert ood_by_density([usual], [unusual]) == 1.0
    assert ood_by_density([unusual], [usual]) == 0.0
    assert ood_by_density([usual], [unknown]) is None
