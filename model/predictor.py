"""Predicts with a trained network: encoded posts in, spans with probabilities and uncertainties out.

Shapes: B posts, W words, L labels, V views.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoConfig

from core.cores import usable_cores
from core.errors import UserError, first_line
from core.events import ENTITY_TYPES, EntityType
from model import adapters, packaged
from model.batch import Batch, collate
from model.checkpoint import WEIGHTS, Base, CheckpointInfo, Temperatures, describe
from model.crf import IMPOSSIBLE
from model.decode import OUTSIDE, ChainPosterior, Floats, WordSpan, rounded, spans
from model.density import DensityModel, mean_log_density
from model.design import LABELS
from model.device import torch_device
from model.evidence import NIG, fuse
from model.image_encoder import ImageEncoder
from model.mentions import Prediction, Span, ViewOpinion
from model.tagger import VIEW_WEIGHTS, Tagger, current_names
from model.tokens import Encoded, TokenizerConfig

LONGEST_CANDIDATE = 8
"""Largest number of words of a candidate."""


def load(
    checkpoint: Path,
    *,
    device: str,
    threads: int,
    candidate_threshold: float | None = None,
    views: Sequence[str] | None = None,
    sees: bool = False,
) -> Predictor:
    """Loads a checkpoint.

    `device` is auto, cpu or cuda. `threads` is the number of CPU threads; 0 means one per core. `candidate_threshold`
    replaces the checkpoint's own. With `views`, only these views of the checkpoint are read. With `sees`, the image
    encoder is loaded now, not with the first image; the checkpoint must have one.

    Raises `UserError` when the checkpoint or an argument is wrong.
    """
    info = describe(checkpoint).reading(views)
    if candidate_threshold is not None:
        if not 0 < candidate_threshold <= 1:
            raise UserError(f"candidate threshold {candidate_threshold}: choose a probability above 0 and at most 1")
        info = info.model_copy(update={"candidate_threshold": candidate_threshold})
    if info.labels != LABELS:
        raise UserError(f"the checkpoint {checkpoint} has the labels {info.labels}, this version has {LABELS}")
    device = torch_device(device)
    torch.set_num_threads(threads or usable_cores())
    encoder = dict(info.encoder)
    network = Tagger(AutoConfig.for_model(encoder.pop("model_type"), **encoder), info.design)
    try:
        weights = current_names(adapters.merged(_base_weights(info.base) | load_file(checkpoint / WEIGHTS)))
        if views is not None:
            wanted = network.state_dict().keys()
            weights = {name: weights[name] for name in weights if name in wanted or not name.startswith(VIEW_WEIGHTS)}
        network.load_state_dict(weights)
        network.density = DensityModel.load(checkpoint, network.config.hidden_size)
    except (SafetensorError, OSError, RuntimeError) as error:
        raise UserError(f"{checkpoint / WEIGHTS} is broken or belongs to another model: {first_line(error)}") from None
    predictor = Predictor(network, info, device)
    if sees:
        predictor.image_encoder()
    return predictor


def _base_weights(base: Base | None) -> dict[str, Tensor]:
    """Returns the encoder's weights from the package that carries them. Raises `UserError`."""
    if base is None:
        return {}
    folder = packaged.folder(base.name)
    if packaged.digest(folder) != base.sha256:
        raise UserError(f"the encoder {base.name} in {folder} is not the one that the checkpoint was trained on")
    weights = load_file(folder / WEIGHTS)
    weights.pop("embeddings.position_ids", None)  # `transformers` computes them
    return {f"encoder.{name}": value for name, value in weights.items()}


class Predictor:
    """Predicts with a network. Thread-safe."""

    def __init__(self, network: Tagger, info: CheckpointInfo, device: str) -> None:
        self.network = network.to(device).eval()
        self.network.density = network.density and network.density.to(device)
        self.info = info
        self.device = device
        self._image_encoder: ImageEncoder | None = None
        self._loading = Lock()

    def predict(self, batch: Sequence[Encoded]) -> list[Prediction]:
        """Returns one prediction per post, in order. The batch may be empty, and posts may have no words.

        Padding and the other posts change a prediction by rounding errors at most. The first image loads the image
        encoder, if the checkpoint has a view `image`. Raises `UserError` when that fails.
        """
        if not batch:
            return []
        if self.info.vision is not None and any(post.pixels is not None for post in batch):
            batch = self.image_encoder().with_features(batch)
        output = run(self.network, batch, self.info.tokenizer, self.device)
        return decode(self.network, output, self.info.temperature, self.info.candidate_threshold)

    def image_encoder(self) -> ImageEncoder:
        """Returns the model that makes features of images. The first call loads it. Raises `UserError`."""
        assert self.info.vision is not None, "the checkpoint reads no images"
        with self._loading:
            if self._image_encoder is None:
                self._image_encoder = self._load_image_encoder(self.info.vision)
        return self._image_encoder

    def _load_image_encoder(self, name: str) -> ImageEncoder:
        try:
            encoder = ImageEncoder(name, self.device)
        except UserError as error:
            raise UserError(f"the checkpoint {self.info.name} reads images: {error}") from None
        if encoder.width != (wanted := self.info.design.image_width):
            raise UserError(
                f"the checkpoint {self.info.name} reads image features of width {wanted}: {name} makes {encoder.width}"
            )
        return encoder


@dataclass(frozen=True)
class Output:
    """The network's output for a batch."""

    encoded: Sequence[Encoded]
    batch: Batch
    views: list[NIG]  # per view of the design, (B, W, L)
    shares: Tensor  # (V, B) how much of each view's evidence is in the fused belief
    together: NIG  # (B, W, L) the fused belief
    #: (B, W) how much each word's evidence counts (`model.density`). None without a density, and when only the view
    #: `text+context` is read.
    weights: Tensor | None = None
    #: (B) mean log-density of each post's words. None when `weights` is None.
    log_density: Tensor | None = None

    def counted(self, belief: NIG) -> NIG:
        """Returns one of the beliefs with its evidence weighed. Variances are read from the result."""
        return belief if self.weights is None else belief.counted(self.weights.unsqueeze(-1))

    @property
    def joined(self) -> Tensor:
        """(B) whether a post's fused belief comes from several views."""
        return self.batch.present.sum(0) > 1


@contextmanager
def inference(device: str) -> Iterator[None]:
    """Disables gradients. Uses bf16 on a GPU, for prediction and for fitting the density."""
    with torch.inference_mode(), torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
        yield


def run(network: Tagger, batch: Sequence[Encoded], config: TokenizerConfig, device: str) -> Output:
    """Runs the network on a batch."""
    tensors = collate(batch, config, network.design).to(device)
    with inference(device):
        beliefs, inner, match_logit = network(tensors)
        shares = network.shares(tensors, match_logit)
        output = Output(batch, tensors, beliefs, shares, fuse(beliefs, shares))
    if network.density is None or inner is None:
        return output
    with torch.inference_mode():  # not in bf16: small differences between densities matter
        densities = network.density.log_densities(inner)
        weights = network.density.weights(densities)
        return replace(output, weights=weights, log_density=mean_log_density(densities, tensors.words))


def decode(
    network: Tagger, output: Output, temperatures: Temperatures, candidate_threshold: float = 1.0
) -> list[Prediction]:
    """Returns the spans of the best labelling of the fused belief, with the opinion of every view that is present.

    Other spans of probability `candidate_threshold` or more are candidates; 1 asks for none.
    """
    single = torch.full(output.joined.shape, temperatures.single, device=output.joined.device)
    fused = _BeliefReader(network, output, output.together, single.masked_fill(output.joined, temperatures.joined))
    views = [
        _BeliefReader(network, output, belief, single, share)
        for belief, share in zip(output.views, output.shares, strict=True)
    ]
    with torch.inference_mode():
        labellings = network.crf.best(_emissions(network, output, output.together), output.batch.words)
    predictions, typicality = [], _typicality(network, output)
    posts = zip(output.encoded, labellings, output.batch.present.T.tolist(), strict=True)
    for row, (encoded, labelling, present) in enumerate(posts):
        if not labelling or not any(present):
            predictions.append(Prediction(read=any(present)))
            continue
        own: dict[str, _BeliefReader] = {
            name: view for name, view, here in zip(network.design.views, views, present, strict=True) if here
        }
        best = spans(labelling)
        candidates = fused.posterior(row).likely(candidate_threshold, LONGEST_CANDIDATE)
        predictions.append(
            Prediction(
                spans=tuple(_span(encoded, row, span, fused, own) for span in best),
                candidates=tuple(_span(encoded, row, span, fused, own) for span in candidates if span not in best),
                typicality=typicality[row],
            )
        )
    return predictions


def _typicality(network: Tagger, output: Output) -> list[float | None]:
    if network.density is None or output.log_density is None:
        return [None] * len(output.encoded)
    return [rounded(network.density.typicality(value)) for value in output.log_density.tolist()]


def _span(encoded: Encoded, row: int, span: WordSpan, fused: _BeliefReader, views: dict[str, _BeliefReader]) -> Span:
    opinion = fused.opinion(row, span, fused)
    return Span(
        start=encoded.spans[span.first][0],
        end=encoded.spans[span.last - 1][1],
        type=entity_type(span),
        probability=opinion.probability,
        aleatoric=opinion.aleatoric,
        epistemic=opinion.epistemic,
        views={name: view.opinion(row, span, fused) for name, view in views.items()},
    )


def entity_type(span: WordSpan) -> EntityType:
    """Returns the type of a span's label."""
    return ENTITY_TYPES[(span.begin - 1) // 2]


def _emissions(network: Tagger, output: Output, belief: NIG) -> Tensor:
    """Returns (B, W, L). No mention goes on over the end of a line, so no word after one may be inside of a mention."""
    emissions = network.emissions(belief).float()
    inside = torch.arange(emissions.shape[-1], device=emissions.device) % 2 == 0
    inside[OUTSIDE] = False
    return emissions.masked_fill(output.batch.opens_line.unsqueeze(-1) & inside, IMPOSSIBLE)


class _BeliefReader:
    """One belief of a batch as arrays (B, W, L). Reads off the opinion on any span."""

    def __init__(
        self, network: Tagger, output: Output, belief: NIG, temperature: Tensor, share: Tensor | None = None
    ) -> None:
        """`temperature` (B); `share` (B): how much of a view's evidence counts, None for the fused belief."""
        words = output.batch.words
        with torch.inference_mode():
            emissions = _emissions(network, output, belief)
            passes = network.crf.forward_backward(emissions, words, temperature)
            transitions, _, end = network.crf.scores(temperature)
            counted = output.counted(belief)
        self._lengths = words.sum(1).tolist()
        self._scores = _array(emissions / temperature.view(-1, 1, 1))
        self._transitions, self._end = _array(transitions), _array(end)
        self._forward, self._backward, self._total = map(_array, passes)
        self._aleatoric, self._epistemic = map(_array, (counted.aleatoric, counted.epistemic))
        self._nu = _array(belief.nu if share is None else belief.nu * share.view(-1, 1, 1))

    def posterior(self, row: int) -> ChainPosterior:
        words = slice(self._lengths[row])
        return ChainPosterior(
            scores=self._scores[row, words],
            transitions=self._transitions[row],
            end=self._end[row],
            forward=self._forward[row, words],
            backward=self._backward[row, words],
            total=float(self._total[row]),
        )

    def opinion(self, row: int, span: WordSpan, fused: _BeliefReader) -> ViewOpinion:
        """Returns the belief's opinion on the span.

        Variances are means over the span's words and all labels. The share is the view's part of the fused nu.
        """
        words = slice(span.first, span.last)
        share = self._nu[row, words].sum() / fused._nu[row, words].sum()
        return ViewOpinion(
            probability=self.posterior(row).probability(span),
            aleatoric=rounded(self._aleatoric[row, words].mean()),
            epistemic=rounded(self._epistemic[row, words].mean()),
            share=rounded(min(1.0, share)),
        )


def _array(tensor: Tensor) -> Floats:
    return tensor.detach().float().cpu().numpy()
