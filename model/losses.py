"""What training makes small: labels under the chain, evidence, agreement of the views, a teacher's beliefs.

Shapes: B tweets, W words, L labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from model.batch import Batch
from model.crf import Temperature, by_tweet
from model.design import CONTEXT, LABELS, TEXT
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

    `labels` (B, W), -100 for all words of a tweet that nobody labelled; `teacher` (B, W, L) probabilities, NaN where
    there are none; `temperatures` (B) of the alignment, where it has a weight; `foreign` (B): whose context is another
    tweet's, where matching has a weight.
    """
    beliefs, _, own = network(batch)
    together = fuse(beliefs, network.shares(batch, own))
    labelled = (batch.words & (labels >= 0)).any(1)
    total = together.gamma.new_zeros(())
    for belief, present in zip((*beliefs, together), _present(batch), strict=True):
        rows = labelled & present
        if rows.any():
            part = NIG(*(value[rows] for value in belief))
            total = total + _labels(network, part, labels[rows], batch.words[rows], weights)
    if weights.alignment and {TEXT, CONTEXT} <= set(network.design.views):
        assert temperatures is not None, "views are aligned at a temperature"
        total = total + weights.alignment * alignment(network, beliefs, batch, temperatures, foreign)
    if weights.matching and own is not None:
        assert foreign is not None, "a context is told from the others by knowing whose it is"
        total = total + weights.matching * matching(own, foreign[batch.context.rows])
    if weights.teacher and teacher is not None:
        total = total + weights.teacher * distillation(network, [*beliefs, together], batch, teacher)
    return total


def _labels(network: Tagger, belief: NIG, labels: Tensor, words: Tensor, weights: LossWeights) -> Tensor:
    emissions = network.emissions(belief)
    if network.design.chain:
        entropy = -network.chain.log_likelihood(emissions, labels, words).sum() / words.sum()
    else:
        entropy = nn.functional.cross_entropy(emissions[words], labels[words])
    if not network.design.evidence:
        return entropy
    flat = NIG(*(value[words] for value in belief))
    indicators = nn.functional.one_hot(labels[words], len(LABELS)).to(flat.gamma.dtype)
    density = -flat.log_density(indicators).mean()
    cost = flat.regulariser(indicators).mean()
    return entropy + weights.density * density + weights.regulariser * cost


def log_marginals(network: Tagger, belief: NIG, words: Tensor, temperature: Temperature = 1.0) -> Tensor:
    """(B, W, L) log-probabilities of the labels, over all paths of the chain where there is one."""
    emissions = network.emissions(belief)
    if network.design.chain:
        return network.chain.log_marginals(emissions, words, temperature)
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
    student, teacher = (
        log_marginals(network, NIG(*(value[rows] for value in beliefs[views.index(view)])), words, at)[words]
        for view in (TEXT, CONTEXT)
    )
    each = nn.functional.kl_div(student, teacher.detach(), reduction="none", log_target=True).sum(-1)
    return (each * at.square().unsqueeze(1).expand_as(words)[words]).mean()


def matching(own: Tensor, foreign: Tensor) -> Tensor:
    """Log-loss of the log-odds (B') that a context is the tweet's own, which it is where it is not `foreign` (B'); mean
    over the tweets with one (image-text matching, as of ALBEF: Li et al., NeurIPS 2021, by the image's words)."""
    if not len(own):
        return own.new_zeros(())
    return nn.functional.binary_cross_entropy_with_logits(own, (~foreign).to(own.dtype))


def distillation(network: Tagger, beliefs: Sequence[NIG], batch: Batch, teacher: Tensor) -> Tensor:
    """KL(teacher || belief) of the token marginals, mean over the words that the teacher has read, summed over the
    views that a tweet has and the fused belief."""
    read = batch.words & teacher.isfinite().all(-1)
    total = teacher.new_zeros(())
    for belief, present in zip(beliefs, _present(batch), strict=True):
        rows = (read & present.unsqueeze(1)).any(1)
        if rows.any():
            part = NIG(*(value[rows] for value in belief))
            own = log_marginals(network, part, batch.words[rows])[read[rows]]
            total = total + _divergence(teacher[rows][read[rows]], own)
    return total


def _present(batch: Batch) -> Tensor:
    """(V + 1, B): which tweets have each view, and which have any."""
    return torch.cat([batch.present, batch.present.any(0, keepdim=True)])


def _divergence(wanted: Tensor, found: Tensor) -> Tensor:
    """KL of `found` (N, L), a logarithm, from `wanted` (N, L), probabilities; mean over N."""
    return nn.functional.kl_div(found, wanted, reduction="batchmean")
