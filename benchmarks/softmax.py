"""The usual uncertainties of a plain softmax model's mentions: the baselines of `benchmarks.uncertainty`.

Maximum softmax probability (Hendrycks & Gimpel, ICLR 2017), entropy, MC-dropout (Gal & Ghahramani, ICML 2016),
temperature scaling (Guo et al., ICML 2017).

Shapes: B posts, W words, L labels, T types, N distributions of K outcomes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.reading import read
from model.decode import ChainPosterior, Floats, WordSpan, spans
from model.extractor import Extractor
from model.mentions import Prediction, Span
from model.predictor import entity_type
from model.training import calibrate
from model.training.corpus import Example
from model.training.losses import log_marginals
from model.training.reading import Reading
from model.training.scores import auroc

PASSES = 10


class Chosen(NamedTuple):
    """Distributions (N, K), and the chosen outcome of each (N)."""

    outcomes: Floats
    chosen: NDArray[np.intp]


Measure = Callable[[Chosen], Floats]
"""Returns the certainty (N) of each distribution, from 0 to 1."""


def probability(distributions: Chosen) -> Floats:
    chosen: Floats = distributions.outcomes[np.arange(len(distributions.chosen)), distributions.chosen]
    return chosen


def certainty(distributions: Chosen) -> Floats:
    """Returns 1 minus the entropy, as a share of the largest possible entropy."""
    entropy: Floats = -(distributions.outcomes * np.log(np.clip(distributions.outcomes, 1e-12, 1))).sum(-1)
    share: Floats = np.clip(1 - entropy / math.log(distributions.outcomes.shape[-1]), 0, 1)
    return share


@dataclass(frozen=True)
class Rule:
    """A way to compute the certainty of a mention."""

    whole: bool
    """True: the outcomes are the T types and "no mention of exactly these words". Their probabilities are sums over all
    legal labellings. False: the outcomes are the labels of each word."""
    join: Callable[[Floats], np.floating]


RULES = {
    "mention": Rule(True, np.min),
    "least sure word": Rule(False, np.min),
    "product over words": Rule(False, np.prod),
}
TWEET_RULES: dict[str, Callable[[Floats], np.floating]] = {"least sure word": np.min, "mean over words": np.mean}
"""Ways to join the certainties of a post's words. The certainty of a word is that of its most probable label."""


@dataclass(frozen=True)
class Beliefs:
    """Log-probabilities (B, W, L) of the labels, by batch."""

    reading: Reading
    logs: list[Tensor]

    def predictions(self, measure: Measure, rule: Rule, temperature: float = 1.0) -> list[Prediction]:
        """Returns the mentions of the best legal labelling, with their certainty as the probability."""
        return [
            Prediction(
                tuple(
                    Span(
                        start=encoded[span.first][0],
                        end=encoded[span.last - 1][1],
                        type=entity_type(span),
                        probability=float(rule.join(measure(tweet.whole(span) if rule.whole else tweet.each(span)))),
                        aleatoric=0.0,
                        epistemic=0.0,
                        views={},
                    )
                    for span in tweet.spans
                )
            )
            for encoded, tweet in self._tweets(temperature)
        ]

    def sure(
        self, measure: Measure, join: Callable[[Floats], np.floating], temperature: float = 1.0
    ) -> NDArray[np.float64]:
        """Returns the certainty of each post that has words."""
        return np.array(
            [
                join(measure(Chosen(tweet.words, tweet.words.argmax(-1))))
                for _, tweet in self._tweets(temperature)
                if len(tweet.words)
            ],
            dtype=float,
        )

    def _tweets(self, temperature: float) -> Iterator[tuple[Sequence[tuple[int, int]], _Tweet]]:
        crf = self.reading.network.crf
        for output, logs in zip(self.reading.outputs, self.logs, strict=True):
            with torch.inference_mode():
                words = torch.log_softmax(logs / temperature, -1)
                parts = [part.cpu().numpy() for part in crf.forward_backward(logs, output.batch.words, temperature)]
                transitions, _, end = (part.cpu().numpy() for part in crf.scores(temperature))
                labellings = crf.best(logs, output.batch.words)
            scores, scaled = words.exp().cpu().numpy(), (logs / temperature).cpu().numpy()
            matrices = np.broadcast_to(transitions, (len(scaled), *transitions.shape))
            ends, lengths = np.broadcast_to(end, (len(scaled), len(end))), np.array([*map(len, labellings)], np.intp)
            for row, (encoded, labelling) in enumerate(zip(output.encoded, labellings, strict=True)):
                one = slice(row, row + 1)
                forward, backward, total = (part[one] for part in parts)
                path = ChainPosterior(scaled[one], matrices[one], ends[one], forward, backward, total, lengths[one])
                yield encoded.spans, _Tweet(scores[row, : len(labelling)], np.array(labelling, np.intp), path)


@dataclass(frozen=True)
class _Tweet:
    """Probabilities (W, L) of the labels, the best labelling (W), and the posterior of the chain."""

    words: Floats
    labelling: NDArray[np.intp]
    path: ChainPosterior

    @property
    def spans(self) -> list[WordSpan]:
        return spans(self.labelling.tolist())

    def each(self, span: WordSpan) -> Chosen:
        words = slice(span.first, span.last)
        return Chosen(self.words[words], self.labelling[words])

    def whole(self, span: WordSpan) -> Chosen:
        """Returns a distribution over the T types and "no mention of exactly these words"."""
        length = span.last - span.first
        types = np.exp(self.path.span_log_probabilities(length)[length - 1, 0, span.first])
        none = max(0.0, 1 - types.sum())
        return Chosen(np.array([[*types, none]]), np.array([span.begin // 2]))


def beliefs(extractor: Extractor, examples: Sequence[Example]) -> Beliefs:
    """Returns the beliefs about the posts' text."""
    return beliefs_of(extractor, read(extractor, examples, captions=False))


def beliefs_of(extractor: Extractor, reading: Reading) -> Beliefs:
    """Returns the beliefs. Those of an evidential checkpoint are taken at its temperature."""
    temperature = extractor.info.temperature.single if extractor.info.design.evidence else 1.0
    with torch.inference_mode():
        logs = [
            log_marginals(reading.network, output.together, output.batch.words, temperature)
            for output in reading.outputs
        ]
    return Beliefs(reading, logs)


def dropped_out(
    extractor: Extractor, examples: Sequence[Example], passed: Callable[[], None], passes: int = PASSES
) -> Beliefs:
    """Returns the mean label probabilities of `passes` with dropout, each seeded by its number.

    `passed()` is called after each pass.
    """
    found = []
    with _dropping(extractor.predictor.network):
        for seed in range(passes):
            torch.manual_seed(seed)
            found.append(beliefs(extractor, examples))
            passed()
    batched = zip(*(beliefs_.logs for beliefs_ in found), strict=True)
    return Beliefs(found[0].reading, [torch.logsumexp(torch.stack(each), 0) - math.log(passes) for each in batched])


@contextmanager
def _dropping(network: nn.Module) -> Iterator[None]:
    """Turns dropout on, in the encoder too. No other layer behaves differently in training."""
    with torch.random.fork_rng():
        network.train()
        try:
            yield
        finally:
            network.eval()


def best_temperature(validation: Beliefs, rule: Rule) -> float:
    """Returns the temperature with the lowest log-loss of the mentions' probabilities, as `mner calibrate` does."""
    return calibrate.best_temperature(
        lambda value: calibrate.marks_of(validation.reading.gold, validation.predictions(probability, rule, value))
    )


def ood_auroc(reference: Beliefs, ood: Beliefs, measure: Measure, tweet_rule: str, temperature: float) -> float | None:
    """Returns the AUROC of separating `ood` posts from reference posts by their certainty."""
    sure = [each.sure(measure, TWEET_RULES[tweet_rule], temperature) for each in (reference, ood)]
    return auroc(-np.concatenate(sure), np.repeat([False, True], [len(certainties) for certainties in sure]))
