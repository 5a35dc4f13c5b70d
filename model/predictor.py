"""The trained network, ready to predict: padded batches in, spans with their probability and evidence out."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path as File
from threading import Lock

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoConfig

from core.errors import UserError, first_line
from core.events import ENTITY_TYPES, EntityType
from model import adapters, packaged
from model.batch import Batch, collate
from model.checkpoint import WEIGHTS, Base, CheckpointInfo, Temperatures, describe
from model.decode import Floats, Path, WordSpan, rounded, spans
from model.density import DensityModel, of_tweets
from model.design import LABELS
from model.evidence import NIG, fuse
from model.mentions import Prediction, Span, ViewOpinion
from model.pixels import Vision
from model.tagger import Tagger
from model.tokens import Encoded, TokenizerConfig

LONGEST = 8
"""Words of a candidate."""


def load(
    checkpoint: File,
    *,
    device: str,
    threads: int,
    candidate_threshold: float | None = None,
    views: Sequence[str] | None = None,
    sees: bool = False,
) -> Predictor:
    """`device`: auto, cpu or cuda; `threads`: of the CPU, 0 for one per core; `candidate_threshold`: the probability from which on
    mentions are possible ones, in place of the checkpoint's; `views`: of the checkpoint's, to read no others; `sees`:
    the checkpoint's vision model is loaded now, not with the first image. Raises `UserError`."""
    info = describe(checkpoint).reading(views)
    if candidate_threshold is not None:
        if not 0 < candidate_threshold <= 1:
            raise UserError(f"candidate threshold {candidate_threshold}: wanted a probability above 0, at most 1")
        info = info.model_copy(update={"candidate_threshold": candidate_threshold})
    if info.labels != LABELS:
        raise UserError(f"the checkpoint {checkpoint} has labels {info.labels}: another version's")
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("MNER_DEVICE=cuda, but torch sees no GPU: set MNER_DEVICE=auto or cpu")
    torch.set_num_threads(threads or len(os.sched_getaffinity(0)))
    encoder = dict(info.encoder)
    network = Tagger(AutoConfig.for_model(encoder.pop("model_type"), **encoder), info.design)
    try:
        weights = adapters.merged(_base(info.base) | load_file(checkpoint / WEIGHTS))
        if views is not None:
            own = network.state_dict().keys()
            weights = {name: value for name, value in weights.items() if name in own or not _of_a_view(name)}
        network.load_state_dict(weights)
        network.density = DensityModel.load(checkpoint, network.config.hidden_size)
    except (SafetensorError, OSError, RuntimeError) as error:
        raise UserError(f"{checkpoint / WEIGHTS} is broken or of another model: {first_line(error)}") from None
    chosen = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    predictor = Predictor(network, info, chosen)
    if sees:
        predictor.vision()
    return predictor


def _of_a_view(weight: str) -> bool:
    return weight.startswith(("heads.", "look.", "belonging."))


def _base(base: Base | None) -> dict[str, Tensor]:
    """The encoder's weights from the package that carries them. Raises `UserError`."""
    if base is None:
        return {}
    folder = packaged.folder(base.name)
    if packaged.digest(folder) != base.sha256:
        raise UserError(f"the encoder {base.name} in {folder} is not the one that the checkpoint was trained on")
    weights = load_file(folder / WEIGHTS)
    weights.pop("embeddings.position_ids", None)  # which `transformers` counts itself
    return {f"encoder.{name}": value for name, value in weights.items()}


class Predictor:
    """Thread-safe. An empty batch or a tweet without words is fine."""

    def __init__(self, network: Tagger, info: CheckpointInfo, device: str) -> None:
        self.network = network.to(device).eval()
        self.network.density = network.density and network.density.to(device)
        self.info = info
        self.device = device
        self._vision: Vision | None = None
        self._loading = Lock()

    def predict(self, batch: Sequence[Encoded]) -> list[Prediction]:
        """One prediction per tweet, in order. Padding and company in the batch change nothing beyond rounding. Pixels
        are for a checkpoint with a view `image`; its vision model is loaded for the first of them, unless it was
        before: raises `UserError` where that fails."""
        if not batch:
            return []
        if self.info.vision is not None and any(one.pixels is not None for one in batch):
            batch = self.vision().seeing(batch)
        output = run(self.network, batch, self.info.tokenizer, self.device)
        return decode(self.network, output, self.info.temperature, self.info.candidate_threshold)

    def vision(self) -> Vision:
        """The model that makes features of images, loaded once. Raises `UserError`."""
        assert self.info.vision is not None, "the checkpoint sees no images"
        with self._loading:
            if self._vision is None:
                try:
                    vision = Vision(self.info.vision, self.device)
                except UserError as error:
                    raise UserError(f"the checkpoint {self.info.name} sees images: {error}") from None
                if vision.width != (wanted := self.info.design.image_width):
                    raise UserError(
                        f"the checkpoint {self.info.name} sees images by features {wanted} wide: "
                        f"{self.info.vision} makes {vision.width}"
                    )
                self._vision = vision
        return self._vision


@dataclass(frozen=True)
class Output:
    """What the network made of a batch: the beliefs of each view and the fused one, (B, W, L); `shares` (V, B), how
    much of each view's evidence is in that; `weights` (B, W), how much the evidence of each word counts, and
    `log_density` (B), the log-density of each tweet's words (`model.density`), None where that is not known:
    without the view that reads the text alone, or of a checkpoint that cannot say."""

    encoded: Sequence[Encoded]
    batch: Batch
    views: list[NIG]
    shares: Tensor
    together: NIG
    weights: Tensor | None = None
    log_density: Tensor | None = None

    def counted(self, belief: NIG) -> NIG:
        """One of the beliefs, to read variances of."""
        return belief if self.weights is None else belief.counted(self.weights.unsqueeze(-1))

    @property
    def joined(self) -> Tensor:
        """(B) whether a tweet's fused belief is of several views."""
        return self.batch.present.sum(0) > 1


@contextmanager
def inference(device: str) -> Iterator[None]:
    """How the network is run to predict, and to learn what its states are like then: on a GPU in bf16."""
    with torch.inference_mode(), torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
        yield


def run(network: Tagger, batch: Sequence[Encoded], config: TokenizerConfig, device: str) -> Output:
    tensors = collate(batch, config, network.design).to(device)
    with inference(device):
        views, inner, own = network(tensors)
        shares = network.shares(tensors, own)
        together = fuse(views, shares)
    output = Output(batch, tensors, views, shares, together)
    if network.density is None or inner is None:
        return output
    with torch.inference_mode():  # in full precision: small differences between densities count
        densities = network.density.log_densities(inner)
        weights = network.density.weights(densities)
        return replace(output, weights=weights, log_density=of_tweets(densities, tensors.words))


def decode(
    network: Tagger, output: Output, temperatures: Temperatures, candidate_threshold: float = 1.0
) -> list[Prediction]:
    """Spans from the fused belief; on each span, what the fused belief and every present view hold.

    `candidate_threshold`: spans of this probability or more that are not in the best labelling are given too, as possible ones.
    """
    single = torch.full(output.joined.shape, temperatures.single, device=output.joined.device)
    whole = _Reading(network, output, output.together, single.masked_fill(output.joined, temperatures.joined))
    views: dict[str, _Reading] = {
        name: _Reading(network, output, view, single, share)
        for name, view, share in zip(network.design.views, output.views, output.shares, strict=True)
    }
    present = output.batch.present.cpu().numpy()
    with torch.inference_mode():
        labellings = network.chain.best(network.emissions(output.together), output.batch.words)
    predictions, typicality = [], _familiar(network, output)
    for row, (encoded, labelling) in enumerate(zip(output.encoded, labellings, strict=True)):
        there = {name: reading for view, (name, reading) in enumerate(views.items()) if present[view, row]}
        if not labelling or not there:
            predictions.append(Prediction(read=bool(there)))
            continue
        best = spans(labelling)
        others = [span for span in whole.path(row).likely(candidate_threshold, LONGEST) if span not in best]
        found, unsure = (tuple(_span(encoded, row, span, whole, there) for span in some) for some in (best, others))
        predictions.append(Prediction(found, unsure, typicality[row]))
    return predictions


def _familiar(network: Tagger, output: Output) -> list[float | None]:
    """Of each tweet, as a share of those that the model knows."""
    if network.density is None or output.log_density is None:
        return [None] * len(output.encoded)
    return [rounded(network.density.share(one)) for one in output.log_density.tolist()]


def _span(encoded: Encoded, row: int, span: WordSpan, whole: _Reading, views: dict[str, _Reading]) -> Span:
    together = whole.on(row, span, whole)
    return Span(
        start=encoded.spans[span.first][0],
        end=encoded.spans[span.last - 1][1],
        type=entity_type(span),
        probability=together.probability,
        aleatoric=together.aleatoric,
        epistemic=together.epistemic,
        views={name: view.on(row, span, whole) for name, view in views.items()},
    )


def entity_type(span: WordSpan) -> EntityType:
    """The type that a span's label names."""
    return ENTITY_TYPES[(span.begin - 1) // 2]


class _Reading:
    """One belief of a batch as arrays (B, W, L): what it holds of any span."""

    def __init__(
        self, network: Tagger, output: Output, belief: NIG, temperature: Tensor, share: Tensor | None = None
    ) -> None:
        """`belief`: one of the output's; `temperature` and, of a view, the `share` of it that counts: of each tweet
        (B)."""
        words = output.batch.words
        with torch.inference_mode():
            emissions = network.emissions(belief).float()
            chain = network.chain.chain(emissions, words, temperature)
            transitions, _, end = network.chain.scores(temperature)
            counted = output.counted(belief)
        self._lengths = words.sum(1).tolist()
        self._scores = _array(emissions / temperature.view(-1, 1, 1))
        self._transitions, self._end = _array(transitions), _array(end)
        self._ahead, self._behind, self._total = map(_array, chain)
        self.aleatoric, self.epistemic = map(_array, (counted.aleatoric, counted.epistemic))
        self.nu = _array(belief.nu if share is None else belief.nu * share.view(-1, 1, 1))

    def path(self, row: int) -> Path:
        words = slice(self._lengths[row])
        return Path(
            scores=self._scores[row, words],
            transitions=self._transitions[row],
            end=self._end[row],
            ahead=self._ahead[row, words],
            behind=self._behind[row, words],
            total=float(self._total[row]),
        )

    def on(self, row: int, span: WordSpan, whole: _Reading) -> ViewOpinion:
        """Variances are means over the span's words and all labels; the share is of the fused nu there."""
        words = slice(span.first, span.last)
        share = self.nu[row, words].sum() / whole.nu[row, words].sum()
        return ViewOpinion(
            probability=self.path(row).probability(span),
            aleatoric=rounded(self.aleatoric[row, words].mean()),
            epistemic=rounded(self.epistemic[row, words].mean()),
            share=rounded(min(1.0, share)),
        )


def _array(tensor: Tensor) -> Floats:
    return tensor.detach().float().cpu().numpy()
