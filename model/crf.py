"""Linear-chain conditional random field over BIO labels: likelihood, marginals, best labelling.

Lafferty et al., ICML 2001; forward-backward algorithm in log space (Rabiner, Proceedings of the IEEE, 1989).

Shapes: B posts, W words, padded on the right; `words` (B, W) bool marks the real ones. L labels in the order O, then
B-X, I-X for each type X. Emissions (B, W, L) are unnormalised log-scores. Everything is computed in float32, or in
float64 if they are: sums over thousands of words would lose the last digits of a probability.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

IMPOSSIBLE = -1e4
"""Score of a transition that BIO forbids. It is far below any real score, and finite to keep the gradients finite."""

Temperature = float | Tensor
"""Divides every score, emissions and transitions alike: one number for all posts, or one per post (B)."""


class ForwardBackward(NamedTuple):
    """Result of the forward and backward passes."""

    #: (B, W, L) logsumexp of the scores of all paths up to a label at a word, including this word's emission.
    forward: Tensor
    #: (B, W, L) logsumexp of the scores of all paths from a label at a word to the end, without this word's emission.
    backward: Tensor
    #: (B) logsumexp of the scores of all paths.
    total: Tensor

    @property
    def log_marginals(self) -> Tensor:
        """(B, W, L) log-probability of each label at each word, over all paths."""
        return self.forward + self.backward - self.total[:, None, None]


class CRF(nn.Module):
    """Scores transitions between labels, and the first and last label. I-X may only follow B-X or I-X."""

    legal: Tensor  # (L, L) bool: which transitions BIO allows
    opening: Tensor  # (L) bool: which labels may come first

    def __init__(self, labels: int) -> None:
        super().__init__()
        self.transitions = nn.Parameter(torch.zeros(labels, labels))  # (from, to)
        self.begin = nn.Parameter(torch.zeros(labels))
        self.end = nn.Parameter(torch.zeros(labels))
        legal, opening = torch.ones(labels, labels, dtype=torch.bool), torch.ones(labels, dtype=torch.bool)
        for inside in range(2, labels, 2):
            legal[:, inside] = False
            legal[[inside - 1, inside], inside] = True
            opening[inside] = False
        self.register_buffer("legal", legal, persistent=False)
        self.register_buffer("opening", opening, persistent=False)

    def scores(self, temperature: Temperature) -> tuple[Tensor, Tensor, Tensor]:
        """Returns the scores of transitions (L, L), first labels (L) and last labels (L), divided by the temperature.

        With one temperature per post, the shapes are (B, L, L), (B, L) and (B, L).
        """
        pairs, single = by_tweet(temperature, 2), by_tweet(temperature, 1)
        transitions = torch.where(self.legal, self.transitions / pairs, IMPOSSIBLE)
        return transitions, torch.where(self.opening, self.begin / single, IMPOSSIBLE), self.end / single

    def forward_backward(self, emissions: Tensor, words: Tensor, temperature: Temperature = 1.0) -> ForwardBackward:
        """Runs both passes. In the padding, `forward` repeats the last word and `backward` the end scores."""
        emissions = _precise(emissions) / by_tweet(temperature, 2)
        transitions, begin, end = self.scores(temperature)
        forward = [begin + emissions[:, 0]]  # W x (B, L)
        for word in range(1, emissions.shape[1]):
            reached = torch.logsumexp(forward[-1].unsqueeze(2) + transitions, dim=1) + emissions[:, word]
            forward.append(torch.where(words[:, word, None], reached, forward[-1]))
        backward = [end.expand_as(forward[-1])]  # W x (B, L), the last word first
        for word in range(emissions.shape[1] - 1, 0, -1):
            onward = torch.logsumexp(transitions + (emissions[:, word] + backward[-1]).unsqueeze(1), dim=2)
            backward.append(torch.where(words[:, word, None], onward, backward[-1]))
        total = torch.logsumexp(forward[-1] + end, dim=-1)
        return ForwardBackward(torch.stack(forward, 1), torch.stack(backward[::-1], 1), total)

    def log_marginals(self, emissions: Tensor, words: Tensor, temperature: Temperature = 1.0) -> Tensor:
        """Returns (B, W, L), the log-probability of each label at each word, over all paths."""
        return self.forward_backward(emissions, words, temperature).log_marginals

    def marginals_and_likelihood(self, emissions: Tensor, labels: Tensor, words: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the log-marginals over all labellings (B, W, L), and the log-likelihood of the allowed ones (B).

        `labels` (B, W, L) bool marks the labels that each word may have. A full annotation has one per word, a partial
        one has more (Tsuboi et al., COLING 2008). A post without words has the log-likelihood 0. Both results come from
        one pass over a batch of 2 B rows.
        """
        emissions = emissions.float()
        allowed = emissions.masked_fill(~labels, IMPOSSIBLE)
        passes = self.forward_backward(torch.cat([emissions, allowed]), words.repeat(2, 1))
        total, total_allowed = passes.total.chunk(2)
        return passes.log_marginals[: len(words)], torch.where(words.any(1), total_allowed - total, 0.0)

    def best(self, emissions: Tensor, words: Tensor) -> list[list[int]]:
        """Returns the most probable labelling of each post, one label per real word (Viterbi)."""
        emissions = _precise(emissions.detach())
        transitions, begin, end = (scores.detach() for scores in self.scores(1.0))
        score, pointers = begin + emissions[:, 0], []
        for word in range(1, emissions.shape[1]):
            reached, pointer = (score.unsqueeze(2) + transitions).max(1)  # (B, L)
            real = words[:, word, None]
            score = torch.where(real, reached + emissions[:, word], score)
            pointers.append(torch.where(real, pointer, torch.arange(len(end), device=pointer.device)))
        path = [(score + end).argmax(-1)]  # W x (B), the last word first
        for pointer in reversed(pointers):
            path.append(pointer.gather(1, path[-1].unsqueeze(1)).squeeze(1))
        labellings = torch.stack(path[::-1], 1).tolist()
        return [row[:count] for row, count in zip(labellings, words.sum(1).tolist(), strict=True)]


def _precise(emissions: Tensor) -> Tensor:
    """Returns float64 as it is, and everything else as float32."""
    return emissions if emissions.dtype == torch.float64 else emissions.float()


def by_tweet(temperature: Temperature, dimensions: int) -> Temperature:
    """Reshapes temperatures (B) to divide scores (B, ...) of `dimensions` more axes. Returns a number unchanged."""
    return temperature.view(-1, *[1] * dimensions) if isinstance(temperature, Tensor) else temperature
