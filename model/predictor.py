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
from core.events import ENTITY_TYPES, EntityType, Runtime
from model import adapters, int8_scales, packaged
from model.batch import Batch, collate
from model.checkpoint import WEIGHTS, Base, CheckpointInfo, Temperatures, describe
from model.crf import IMPOSSIBLE
from model.decode import OUTSIDE, ChainPosterior, Floats, Spans, WordSpan, rounded, spans
from model.density import DENSITY, FORMER_FILE, INT8_DENSITY, DensityModel, mean_log_density
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
    runtime: Runtime = "torch",
) -> Predictor:
    """Loads a checkpoint.

    `device` is auto, cpu or cuda. `threads` is the number of CPU threads; 0 means one per core. `candidate_threshold`
    replaces the checkpoint's own. With `views`, only these views of the checkpoint are read. With `sees`, the image
    encoder is loaded now, not with the first image; the checkpoint must have one. `runtime` runs the encoder, and has
    thresholds and temperatures of its own; `model.runtime` chooses one. int8 runs on the CPU, also if `device` is auto.

    Raises `UserError` when the checkpoint or an argument is wrong.
    """
    info = describe(checkpoint).reading(views)
    if runtime == "int8":
        if info.int8 is None or device == "cuda":
            raise UserError(f"the checkpoint {checkpoint} cannot run in int8: it needs int8 layers, and the device cpu")
        info, device = info.running(runtime), "cpu"
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
        base = _base_weights(info.base, network)
        weights = current_names(adapters.merged(base | load_file(checkpoint / WEIGHTS)))
        if views is not None:
            wanted = network.state_dict().keys()
            weights = {name: weights[name] for name in weights if name in wanted or not name.startswith(VIEW_WEIGHTS)}
        network.load_state_dict(weights)
        files = (DENSITY, FORMER_FILE) if runtime == "torch" else _int8_density(checkpoint, info)
        network.density = DensityModel.load(checkpoint, network.config.hidden_size, files)
    except (SafetensorError, OSError, RuntimeError) as error:
        raise UserError(f"{checkpoint / WEIGHTS} is broken or belongs to another model: {first_line(error)}") from None
    if info.runtime == "int8":
        assert info.int8 is not None
        network.int8_layers = int8_scales.load(network, checkpoint, info.int8.sha256, threads or usable_cores())
    predictor = Predictor(network, info, device)
    if sees:
        predictor.image_encoder()
    return predictor


def _int8_density(checkpoint: Path, info: CheckpointInfo) -> tuple[str, ...]:
    """Returns the density's file for int8, if there is one. Raises `UserError` when it is missing or changed."""
    assert info.int8 is not None
    if info.int8.density_sha256 is None:
        return ()
    int8_scales.read_checked(checkpoint / INT8_DENSITY, info.int8.density_sha256)
    return (INT8_DENSITY,)


def _base_weights(base: Base | None, network: Tagger) -> dict[str, Tensor]:
    """Returns the encoder's weights from the package that carries them, of the layers that the network has.

    Raises `UserError`.
    """
    if base is None:
        return {}
    folder = packaged.folder(base.name)
    if packaged.digest(folder) != base.sha256:
        raise UserError(f"the encoder {base.name} in {folder} is not the one that the checkpoint was trained on")
    kept = network.encoder.state_dict().keys()
    return {f"encoder.{name}": value for name, value in load_file(folder / WEIGHTS).items() if name in kept}


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
    posts, present = len(output.encoded), output.batch.present.T.tolist()
    single = torch.full((posts,), temperatures.single, device=output.joined.device)
    fused = _Opinions(network, output, output.together, single.masked_fill(output.joined, temperatures.joined))
    with torch.inference_mode():
        labellings = network.crf.best(fused.emissions, output.batch.words)
    best = [spans(labelling) if any(views) else [] for labelling, views in zip(labellings, present, strict=True)]
    likely = fused.posterior.likely(candidate_threshold, LONGEST_CANDIDATE)
    other = [
        [span for span in likely[row] if span not in best[row]] if any(present[row]) else [] for row in range(posts)
    ]
    found = [(row, span) for row in range(posts) for span in (*best[row], *other[row])]
    together = fused.of(found)
    opinions = _opinions_of_views(network, output, fused, single, found, together)
    typicality = _typicality(network, output)
    predictions, described = [], iter(zip(found, together, opinions, strict=True))
    for row, encoded in enumerate(output.encoded):
        if not labellings[row] or not any(present[row]):
            predictions.append(Prediction(read=any(present[row])))
            continue
        of_row = [_span(encoded, *next(described)) for _ in range(len(best[row]) + len(other[row]))]
        chosen, candidates = tuple(of_row[: len(best[row])]), tuple(of_row[len(best[row]) :])
        predictions.append(Prediction(chosen, candidates, typicality[row]))
    return predictions


def _opinions_of_views(
    network: Tagger,
    output: Output,
    fused: _Opinions,
    single: Tensor,
    found: Sequence[tuple[int, WordSpan]],
    together: Sequence[ViewOpinion],
) -> list[dict[str, ViewOpinion]]:
    """Returns the opinion of each view that the span's post has, for each span. `together`: the fused ones.

    The fused belief of a post with one view is that view's belief, so it is read once.
    """
    joined, present = output.joined.tolist(), output.batch.present.tolist()
    opinions: list[dict[str, ViewOpinion]] = [{} for _ in found]
    for view, name in enumerate(network.design.views):
        several = [place for place, (row, _) in enumerate(found) if joined[row] and present[view][row]]
        if several:
            reader = _Opinions(network, output, output.views[view], single, output.shares[view])
            for place, opinion in zip(several, reader.of([found[place] for place in several], fused), strict=True):
                opinions[place][name] = opinion
    for (row, _), own, opinion in zip(found, opinions, together, strict=True):
        if not joined[row]:
            own[next(name for name, has in zip(network.design.views, present, strict=True) if has[row])] = opinion
    return opinions


def _typicality(network: Tagger, output: Output) -> list[float | None]:
    if network.density is None or output.log_density is None:
        return [None] * len(output.encoded)
    return [rounded(network.density.typicality(value)) for value in output.log_density.tolist()]


def _span(encoded: Encoded, found: tuple[int, WordSpan], opinion: ViewOpinion, views: dict[str, ViewOpinion]) -> Span:
    _, span = found
    return Span(
        start=encoded.spans[span.first][0],
        end=encoded.spans[span.last - 1][1],
        type=entity_type(span),
        probability=opinion.probability,
        aleatoric=opinion.aleatoric,
        epistemic=opinion.epistemic,
        views=views,
    )


def entity_type(span: WordSpan) -> EntityType:
    """Returns the type of a span's label."""
    return ENTITY_TYPES[(span.begin - 1) // 2]


def conditioned_emissions(network: Tagger, batch: Batch, belief: NIG) -> Tensor:
    """Returns (B, W, L).

    No mention goes on over the end of a line, so no word after one may be inside of a mention. The words of accounts
    are outside, which conditions the chain on it: a mention ends before them.
    """
    emissions = network.emissions(belief).float()
    labels = torch.arange(emissions.shape[-1], device=emissions.device)
    inside = (labels % 2 == 0) & (labels != OUTSIDE)
    emissions = emissions.masked_fill(batch.opens_line.unsqueeze(-1) & inside, IMPOSSIBLE)
    return emissions.masked_fill(batch.in_account.unsqueeze(-1) & (labels != OUTSIDE), IMPOSSIBLE)


class _Opinions:
    """One belief of a batch. Gives the opinion on any span."""

    def __init__(
        self, network: Tagger, output: Output, belief: NIG, temperature: Tensor, share: Tensor | None = None
    ) -> None:
        """`temperature` (B); `share` (B): how much of a view's evidence counts, None for the fused belief."""
        words = output.batch.words
        with torch.inference_mode():
            self.emissions = conditioned_emissions(network, output.batch, belief).double()
            passes = network.crf.forward_backward(self.emissions, words, temperature)
            transitions, _, end = network.crf.scores(temperature)
            counted = output.counted(belief)
            nu = belief.nu if share is None else belief.nu * share.view(-1, 1, 1)
        self.posterior = ChainPosterior(
            scores=_array(self.emissions / temperature.view(-1, 1, 1)),
            transitions=_array(transitions),
            end=_array(end),
            forward=_array(passes.forward),
            backward=_array(passes.backward),
            total=_array(passes.total),
            lengths=words.sum(1).cpu().numpy(),
        )
        # (B, W) means over the labels
        self._aleatoric, self._epistemic, self._nu = (
            _array(part.double().mean(-1)) for part in (counted.aleatoric, counted.epistemic, nu)
        )

    def of(self, found: Sequence[tuple[int, WordSpan]], fused: _Opinions | None = None) -> list[ViewOpinion]:
        """Returns the belief's opinion on each span, given with its post's row.

        Variances are means over the span's words and all labels. The share is the view's part of the fused nu, 1
        without `fused`.
        """
        probabilities = self.posterior.probabilities(Spans.of(found)).tolist()
        opinions = []
        for (row, span), probability in zip(found, probabilities, strict=True):
            words = slice(span.first, span.last)
            share = 1.0 if fused is None else self._nu[row, words].sum() / fused._nu[row, words].sum()
            opinions.append(
                ViewOpinion(
                    probability=probability,
                    aleatoric=rounded(self._aleatoric[row, words].mean()),
                    epistemic=rounded(self._epistemic[row, words].mean()),
                    share=rounded(min(1.0, share)),
                )
            )
        return opinions


def _array(tensor: Tensor) -> Floats:
    return tensor.detach().cpu().numpy()
