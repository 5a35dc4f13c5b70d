"""What training makes small: labels under the chain, evidence, agreement of the views, a teacher's beliefs.

Shapes: B tweets, W words, L labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from model.batch import Batch
from model.crf import IMPOSSIBLE, Temperature, by_tweet
from model.design import CONTEXT, TEXT
from model.evidence import NIG, fuse
from model.tagger import Tagger


@dataclass(frozen=True)
class LossWeights:
    """`density` weighs the NIG negative log-likelihood of the label indicators, `regulariser` the cost of evidence;
    `alignment` the divergence of the text's marginals from those of text and context; `teacher` that of the fused
    marginals from a teacher's; `matching` the telling of other tweets' contexts."""

    density: float = 0.03
    regulariser: float = 0.003
    alignment: float = 0.0
    teacher: float = 0.0
    matching: float = 0.0


@dataclass(frozen=True)
class Stack:
    """Beliefs of one batch, one under the other: of each view, and the fused one, of the tweets that have it. So the
    chain is walked once for all of them. Shapes: N rows, of so many `sorts` of belief.

    `tweets`, `kinds` (N): what each row is of; `belief` (N, W, L); `words` (N, W); `marginals` (N, W, L), logarithms;
    `likelihood` (N): log-probability of the labellings that the annotators allow."""

    sorts: int
    tweets: Tensor
    kinds: Tensor
    belief: NIG
    words: Tensor
    marginals: Tensor
    likelihood: Tensor

    def mean(self, sums: Tensor, counts: Tensor) -> Tensor:
        """Of what is summed over each row and counted in it (N), the mean for each kind; their sum over the kinds."""
        sizes = counts.new_zeros(self.sorts).index_add(0, self.kinds, counts)
        return (sums / sizes.clamp(min=1)[self.kinds]).sum()


def stacked(network: Tagger, beliefs: Sequence[NIG], batch: Batch, labels: Tensor) -> Stack:
    """Of the `beliefs` of each view and the fused one, which a tweet has with any view. `labels` as of `loss`."""
    present = torch.cat([batch.present, batch.present.any(0, keepdim=True)])  # (V + 1, B)
    kinds, tweets = present.nonzero(as_tuple=True)
    belief = NIG(*(torch.stack(part)[kinds, tweets] for part in zip(*beliefs, strict=True)))
    emissions, words = network.emissions(belief).float(), batch.words[tweets]
    if network.design.chain:
        marginals, likelihood = network.crf.marginals_and_likelihood(emissions, labels[tweets], words)
    else:
        marginals = torch.log_softmax(emissions, -1)
        allowed = torch.logsumexp(marginals.masked_fill(~labels[tweets], IMPOSSIBLE), -1)
        likelihood = (allowed * words).sum(1)
    return Stack(len(beliefs), tweets, kinds, belief, words, marginals, likelihood)


def loss(
    network: Tagger,
    batch: Batch,
    labels: Tensor,
    weights: LossWeights,
    teacher: Tensor | None = None,
    temperatures: Tensor | None = None,
    foreign: Tensor | None = None,
) -> Tensor:
    """Mean over words: labels and evidence of every present view and of the fused belief, alignment, teacher, matching.

    `labels` (B, W, L) bool: those that each word may have, one where its annotators said so, several where they marked
    no such types, none of a tweet that nobody labelled; `teacher` (B, W, L) probabilities, NaN where there are none;
    `temperatures` (B) of the alignment, where it has a weight; `foreign` (B): whose context is another tweet's, where
    matching has a weight.
    """
    beliefs, _, own = network(batch)
    stack = stacked(network, [*beliefs, fuse(beliefs, network.shares(batch, own))], batch, labels)
    total = _labels(network, stack, labels[stack.tweets], weights)
    if weights.alignment and {TEXT, CONTEXT} <= set(network.design.views):
        assert temperatures is not None, "views are aligned at a temperature"
        total = total + weights.alignment * alignment(network, beliefs, batch, temperatures, foreign)
    if weights.matching and own is not None:
        assert foreign is not None, "a context is told from the others by knowing whose it is"
        total = total + weights.matching * matching(own, foreign[batch.context.rows])
    if weights.teacher and teacher is not None:
        total = total + weights.teacher * distillation(stack, teacher)
    return total


def _labels(network: Tagger, stack: Stack, labels: Tensor, weights: LossWeights) -> Tensor:
    """`labels` (N, W, L), of the rows of the stack."""
    labelled = stack.words & labels.any(-1)
    if not labelled.any():
        return stack.marginals.new_zeros(())
    counts = labelled.sum(1)
    entropy = stack.mean(-torch.where(counts > 0, stack.likelihood, 0.0), counts)
    if not network.design.evidence:
        return entropy
    known = labelled.unsqueeze(-1) & (~labels | (labels.sum(-1, keepdim=True) == 1))
    indicators, known_of_row = labels.to(stack.belief.gamma.dtype), known.sum((1, 2))
    density = torch.where(known, -stack.belief.log_density(indicators), 0.0).sum((1, 2))
    cost = torch.where(known, stack.belief.regulariser(indicators), 0.0).sum((1, 2))
    evidence = weights.density * density + weights.regulariser * cost
    return entropy + stack.mean(evidence, known_of_row)


def log_marginals(network: Tagger, belief: NIG, words: Tensor, temperature: Temperature = 1.0) -> Tensor:
    """(B, W, L) log-probabilities of the labels, over all paths of the chain where there is one."""
    emissions = network.emissions(belief)
    if network.design.chain:
        return network.crf.log_marginals(emissions, words, temperature)
    return torch.log_softmax(emissions.float() / by_tweet(temperature, 2), -1)


def alignment(
    network: Tagger, beliefs: Sequence[NIG], batch: Batch, temperatures: Tensor, foreign: Tensor | None = None
) -> Tensor:
    """KL(text and context || text) of the token marginals, the former detached, mean over the words of tweets that have
    both, the context being their own; times the squared temperature of the tweet (B), so that its gradients keep their
    size (cross-view alignment of ITA: Wang et al., NAACL 2022; Hinton et al., 2015)."""
    views = network.design.views
    rows = batch.present[views.index(CONTEXT)]
    rows = rows if foreign is None else rows & ~foreign
    words, at = batch.words[rows], temperatures[rows]
    if not words.any():
        return batch.words.new_zeros((), dtype=torch.float32)
    pair = (beliefs[views.index(view)] for view in (TEXT, CONTEXT))
    both = NIG(*(torch.cat([one[rows], other[rows]]) for one, other in zip(*pair, strict=True)))
    student, teacher = log_marginals(network, both, words.repeat(2, 1), at.repeat(2)).chunk(2)
    student, teacher = student[words], teacher[words]
    each = nn.functional.kl_div(student, teacher.detach(), reduction="none", log_target=True).sum(-1)
    return (each * at.square().unsqueeze(1).expand_as(words)[words]).mean()


def matching(own: Tensor, foreign: Tensor) -> Tensor:
    """Log-loss of the log-odds (B') that a context is the tweet's own, which it is where it is not `foreign` (B'); mean
    over the tweets with one (image-text matching, as of ALBEF: Li et al., NeurIPS 2021, by the image's words)."""
    if not len(own):
        return own.new_zeros(())
    return nn.functional.binary_cross_entropy_with_logits(own, (~foreign).to(own.dtype))


def distillation(stack: Stack, teacher: Tensor) -> Tensor:
    """KL(teacher || belief) of the token marginals, mean over the words that the teacher (B, W, L) has read, summed
    over the views and the fused belief."""
    wanted = teacher[stack.tweets]
    read = stack.words & wanted.isfinite().all(-1)
    if not read.any():
        return stack.marginals.new_zeros(())
    each = nn.functional.kl_div(stack.marginals, wanted.nan_to_num(0.0), reduction="none").sum(-1)
    return stack.mean(torch.where(read, each, 0.0).sum(1), read.sum(1))
