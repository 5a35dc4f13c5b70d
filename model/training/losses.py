"""The loss: labels under the chain, evidence, agreement of the views, the teachers' beliefs, matching captions.

Shapes: B posts, V views, W words, L labels.
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
from model.training.config import LossConfig


@dataclass(frozen=True)
class Stack:
    """The beliefs of a batch in one tensor: a row for each view that a post has, and one for the fused belief.

    So the forward-backward pass runs once for all of them. Shapes: N rows.
    """

    kind_count: int
    """Number of kinds: the views, and the fused belief."""
    tweets: Tensor
    """(N) the post of each row."""
    kinds: Tensor
    """(N) the kind of each row."""
    belief: NIG
    """(N, W, L)"""
    words: Tensor
    """(N, W)"""
    marginals: Tensor
    """(N, W, L) log-probabilities."""
    likelihood: Tensor
    """(N) log-probability of the labellings that the annotation allows."""

    def mean(self, sums: Tensor, counts: Tensor) -> Tensor:
        """Returns the mean of each kind, added up over the kinds.

        `sums` and `counts` (N) hold one value per row.
        """
        sizes = counts.new_zeros(self.kind_count).index_add(0, self.kinds, counts)
        return (sums / sizes.clamp(min=1)[self.kinds]).sum()


def stacked(network: Tagger, beliefs: Sequence[NIG], batch: Batch, labels: Tensor) -> Stack:
    """Stacks the `beliefs` of all views, and the fused one last. `labels` as in `loss`."""
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
    weights: LossConfig,
    teacher: Tensor | None = None,
    temperatures: Tensor | None = None,
    swapped: Tensor | None = None,
) -> Tensor:
    """Returns the weighted sum of all losses. Those of labels, evidence and teachers are added up over `Stack`'s kinds.

    `labels` (B, W, L) bool: the labels that each word may have: one label where the annotators decided,
    several where a type was not annotated, none in a post without labels.
    `teacher` (B, W, L): the teachers' probabilities, NaN where there are none.
    `temperatures` (B): the temperature of the alignment for each post; needed when alignment has a weight.
    `swapped` (B) bool: whether the context belongs to another post; needed when matching has a weight.
    """
    beliefs, _, own = network(batch)
    stack = stacked(network, [*beliefs, fuse(beliefs, network.shares(batch, own))], batch, labels)
    total = _labels(network, stack, labels[stack.tweets], weights)
    if weights.alignment and {TEXT, CONTEXT} <= set(network.design.views):
        assert temperatures is not None, "alignment needs temperatures"
        total = total + weights.alignment * alignment(network, beliefs, batch, temperatures, swapped)
    if weights.matching and own is not None:
        assert swapped is not None, "matching needs to know which contexts are swapped"
        total = total + weights.matching * matching(own, swapped[batch.context.rows])
    if weights.teacher and teacher is not None:
        total = total + weights.teacher * distillation(stack, teacher)
    return total


def _labels(network: Tagger, stack: Stack, labels: Tensor, weights: LossConfig) -> Tensor:
    """Returns the loss of the labels and of the evidence. `labels` (N, W, L) has the rows of the stack."""
    labelled = stack.words & labels.any(-1)
    if not labelled.any():
        return stack.marginals.new_zeros(())
    counts = labelled.sum(1)
    entropy = stack.mean(-torch.where(counts > 0, stack.likelihood, 0.0), counts)
    if not network.design.evidence:
        return entropy
    # a label's indicator is known if the label is not allowed, or if it is the only allowed one
    known = labelled.unsqueeze(-1) & (~labels | (labels.sum(-1, keepdim=True) == 1))
    indicators, known_of_row = labels.to(stack.belief.gamma.dtype), known.sum((1, 2))
    density = torch.where(known, -stack.belief.log_density(indicators), 0.0).sum((1, 2))
    cost = torch.where(known, stack.belief.regulariser(indicators), 0.0).sum((1, 2))
    evidence = weights.density * density + weights.regulariser * cost
    return entropy + stack.mean(evidence, known_of_row)


def log_marginals(network: Tagger, belief: NIG, words: Tensor, temperature: Temperature = 1.0) -> Tensor:
    """Returns (B, W, L) log-probabilities of the labels; with a chain, over all its paths."""
    return log_marginals_of(network, network.emissions(belief), words, temperature)


def log_marginals_of(network: Tagger, emissions: Tensor, words: Tensor, temperature: Temperature = 1.0) -> Tensor:
    """Returns the same as `log_marginals`, from the emissions (B, W, L)."""
    if network.design.chain:
        return network.crf.log_marginals(emissions, words, temperature)
    return torch.log_softmax(emissions.float() / by_tweet(temperature, 2), -1)


def alignment(
    network: Tagger, beliefs: Sequence[NIG], batch: Batch, temperatures: Tensor, swapped: Tensor | None = None
) -> Tensor:
    """Returns the KL divergence (text and context || text) of the words' label probabilities. No gradient reaches those
    of text and context.

    The mean is over the words of posts that have both views and their own context. Each post's divergence is multiplied
    by its squared temperature, so that gradients keep their size (Hinton et al., 2015). This is the cross-view
    alignment of ITA (Wang et al., NAACL 2022).
    """
    views = network.design.views
    rows = batch.present[views.index(CONTEXT)]
    rows = rows if swapped is None else rows & ~swapped
    words, at = batch.words[rows], temperatures[rows]
    if not words.any():
        return batch.words.new_zeros((), dtype=torch.float32)
    text, context = (beliefs[views.index(view)] for view in (TEXT, CONTEXT))
    both = NIG(*(torch.cat([a[rows], b[rows]]) for a, b in zip(text, context, strict=True)))
    student, teacher = log_marginals(network, both, words.repeat(2, 1), at.repeat(2)).chunk(2)
    student, teacher = student[words], teacher[words]
    divergences = nn.functional.kl_div(student, teacher.detach(), reduction="none", log_target=True).sum(-1)
    return (divergences * at.square().unsqueeze(1).expand_as(words)[words]).mean()


def matching(logits: Tensor, swapped: Tensor) -> Tensor:
    """Returns the log-loss of the log-odds (B') that a context belongs to its post.

    `swapped` (B') says which contexts do not. The mean is over the posts with a context. This is image-text matching
    as in ALBEF (Li et al., NeurIPS 2021), with the image's words in place of its pixels.
    """
    if not len(logits):
        return logits.new_zeros(())
    return nn.functional.binary_cross_entropy_with_logits(logits, (~swapped).to(logits.dtype))


def distillation(stack: Stack, teacher: Tensor) -> Tensor:
    """Returns KL(teacher || belief) of the words' label probabilities, added up over the views and the fused belief.

    Each mean is over the words that the teacher (B, W, L) has read.
    """
    targets = teacher[stack.tweets]
    read = stack.words & targets.isfinite().all(-1)
    if not read.any():
        return stack.marginals.new_zeros(())
    divergences = nn.functional.kl_div(stack.marginals, targets.nan_to_num(0.0), reduction="none").sum(-1)
    return stack.mean(torch.where(read, divergences, 0.0).sum(1), read.sum(1))
