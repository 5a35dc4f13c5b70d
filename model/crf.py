"""Linear-chain conditional random field over BIO labels: likelihood, marginals, best path, spans' probabilities.

Lafferty et al., ICML 2001; forward-backward as in Rabiner, 1989, in the logarithm. Shapes: B tweets, W words (padded
on the right, `words` (B, W) bool marks the real ones), L labels in the order O, then B-X, I-X for each type X.
Emissions are unnormalised log-scores (B, W, L). All of it is done in float32, whatever comes in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

IMPOSSIBLE = -1e4
"""The score of a transition that BIO forbids. Finite, so that gradients are, and far below any real one."""


Temperature = float | Tensor
"""What divides every score, emissions and transitions alike: of all tweets, or of each (B)."""


class Chain(NamedTuple):
    """What forward and backward passes found. `ahead` (B, W, L): log-sum of all paths that reach a label at a word,
    the word's own emission included; `behind` (B, W, L): of all that go on from there; `total` (B)."""

    ahead: Tensor
    behind: Tensor
    total: Tensor

    @property
    def log_marginals(self) -> Tensor:
        """(B, W, L) log-probability of each label at each word, over all paths."""
        return self.ahead + self.behind - self.total[:, None, None]


class CRF(nn.Module):
    """Scores of going from one label to the next, of beginning and ending with one; I-X only after B-X or I-X."""

    legal: Tensor
    opening: Tensor

    def __init__(self, labels: int) -> None:
        super().__init__()
        self.transitions = nn.Parameter(torch.zeros(labels, labels))
        self.begin = nn.Parameter(torch.zeros(labels))
        self.end = nn.Parameter(torch.zeros(labels))
        legal, opening = torch.ones(labels, labels, dtype=torch.bool), torch.ones(labels, dtype=torch.bool)
        for inside in range(2, labels, 2):
            legal[:, inside] = False
            legal[[inside - 1, inside], inside] = True
            opening[inside] = False
        self.register_buffer("legal", legal, persistent=False)
        self.register_buffer("opening", opening, persistent=False)

    def marginals_and_likelihood(self, emissions: Tensor, labels: Tensor, words: Tensor) -> tuple[Tensor, Tensor]:
        """(B, W, L) as `log_marginals`; and (B) the log-probability of all labellings that give each word one of the
        `labels` (B, W, L) bool that it may have (Tsuboi et al., COLING 2008). A full labelling is the case of one label
        a word. 0 where a tweet has no words. One walk along the words for both; the padding is ignored."""
        emissions = emissions.float()
        told = emissions.masked_fill(~labels, IMPOSSIBLE)
        chain = self.chain(torch.cat([emissions, told]), words.repeat(2, 1))
        total, allowed = chain.total.chunk(2)
        return chain.log_marginals[: len(words)], torch.where(words.any(1), allowed - total, 0.0)

    def log_marginals(self, emissions: Tensor, words: Tensor, temperature: Temperature = 1.0) -> Tensor:
        """(B, W, L) log-probability of each label at each word, over all paths. `temperature` divides every score,
        emissions and transitions alike."""
        return self.chain(emissions, words, temperature).log_marginals

    def chain(self, emissions: Tensor, words: Tensor, temperature: Temperature = 1.0) -> Chain:
        """Forward and backward passes. In the padding, `ahead` repeats the last word's, `behind` that of its end."""
        emissions = emissions.float() / by_tweet(temperature, 2)
        transitions, _, end = self.scores(temperature)
        ahead = self._ahead(emissions, words, temperature)
        behind = [end.expand_as(ahead[-1])]
        for word in range(emissions.shape[1] - 1, 0, -1):
            onward = torch.logsumexp(transitions + (emissions[:, word] + behind[-1]).unsqueeze(1), dim=2)
            behind.append(torch.where(words[:, word, None], onward, behind[-1]))
        return Chain(torch.stack(ahead, 1), torch.stack(behind[::-1], 1), _total(ahead, end))

    def _ahead(self, emissions: Tensor, words: Tensor, temperature: Temperature) -> list[Tensor]:
        """The forward pass over emissions that `temperature` has divided: (B, L) for each word."""
        transitions, begin, _ = self.scores(temperature)
        ahead = [begin + emissions[:, 0]]
        for word in range(1, emissions.shape[1]):
            reached = torch.logsumexp(ahead[-1].unsqueeze(2) + transitions, dim=1) + emissions[:, word]
            ahead.append(torch.where(words[:, word, None], reached, ahead[-1]))
        return ahead

    def best(self, emissions: Tensor, words: Tensor) -> list[list[int]]:
        """The most probable labels of each tweet, one a word."""
        emissions = emissions.detach().float()
        transitions, begin, end = (part.detach() for part in self.scores(1.0))
        score, pointers = begin + emissions[:, 0], []
        for word in range(1, emissions.shape[1]):
            reached, pointer = (score.unsqueeze(2) + transitions).max(1)
            there = words[:, word, None]
            score = torch.where(there, reached + emissions[:, word], score)
            pointers.append(torch.where(there, pointer, torch.arange(len(end), device=pointer.device)))
        path = [(score + end).argmax(-1)]
        for pointer in reversed(pointers):
            path.append(pointer.gather(1, path[-1].unsqueeze(1)).squeeze(1))
        labellings = torch.stack(path[::-1], 1).tolist()
        return [row[:count] for row, count in zip(labellings, words.sum(1).tolist(), strict=True)]

    def scores(self, temperature: Temperature) -> tuple[Tensor, Tensor, Tensor]:
        """Of going from label to label (L, L), of beginning and of ending with one (L); of each tweet where each has a
        temperature of its own: (B, L, L) and (B, L)."""
        pairs, single = by_tweet(temperature, 2), by_tweet(temperature, 1)
        transitions = torch.where(self.legal, self.transitions / pairs, IMPOSSIBLE)
        return transitions, torch.where(self.opening, self.begin / single, IMPOSSIBLE), self.end / single


def by_tweet(temperature: Temperature, dimensions: int) -> Temperature:
    """To divide what has so many dimensions behind that of the tweets."""
    return temperature.view(-1, *[1] * dimensions) if isinstance(temperature, Tensor) else temperature


def _total(ahead: Sequence[Tensor], end: Tensor) -> Tensor:
    """(B) log-sum of all paths."""
    return torch.logsumexp(ahead[-1] + end, dim=-1)
