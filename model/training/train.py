"""Training: every epoch sees each tweet as text and, half of the time, also with its caption. Resumes after a kill."""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from core.atomic import atomic_write
from core.errors import UserError
from model.batch import Batch, collate
from model.checkpoint import CheckpointInfo, Temperatures
from model.decode import Floats
from model.design import LABELS
from model.extractor import batches
from model.predictor import Predictor
from model.tagger import Tagger
from model.tokens import Encoded, TweetTokenizer
from model.training.corpus import Example, legal
from model.training.losses import LossWeights, loss

STATE = "training.pt"


@dataclass(frozen=True)
class TrainConfig:
    """`drop_context`: the share of captions left out, anew in each epoch, so that both views learn;
    `batch_tokens`: padded tokens of the longest view; `alignment_temperatures`: of data sets that have another than
    `alignment_temperature`, by name; `foreign_share`: with `matching`, of the captions that are not left out, the
    share that another tweet's stands for, anew in each epoch; the other weights as in `LossWeights`."""

    epochs: int = 6
    seed: int = 0
    encoder_rate: float = 2e-4
    head_rate: float = 1e-3
    warmup: float = 0.1
    weight_decay: float = 0.01
    layer_decay: float = 1.0
    clip: float = 1.0
    batch_tokens: int = 1024
    drop_context: float = 0.5
    density: float = 0.03
    regulariser: float = 0.003
    alignment: float = 0.0
    alignment_temperature: float = 2.0
    alignment_temperatures: tuple[tuple[str, float], ...] = ()
    teacher: float = 0.0
    matching: float = 0.0
    foreign_share: float = 0.25


@dataclass(frozen=True)
class Item:
    """A tweet to learn from: its label ids, one per labelled word, none where nobody labelled it; `untold`: the ids
    that a word without a mention may have all the same; `teacher` (W, L): what a teacher believes of each of them, NaN
    of those that it has not read; `data`: the name of its data set; `foreign`: whether its context is another's."""

    encoded: Encoded
    labels: tuple[int, ...]
    teacher: Floats | None = None
    data: str = ""
    foreign: bool = False
    untold: tuple[int, ...] = ()


def items(
    examples: Sequence[Example], tokenizer: TweetTokenizer, teacher: Sequence[dict[int, Floats]] | None = None
) -> list[Item]:
    """Encoded with their captions; illegal tags read as seqeval reads them. `teacher`: what one or several of them
    (`model.training.teacher`) believe of the same examples. One without tags is learned from the teacher alone."""
    result = []
    for example, believed in zip(examples, teacher or [{}] * len(examples), strict=True):
        encoded = tokenizer.encode_words(example.words, example.caption, example.image)
        tags = legal(example.tags)
        labels = tuple(LABELS.index(tags[word]) for word, _ in encoded.spans) if tags else ()
        unread = np.full(len(LABELS), np.nan, np.float16)
        rows = [believed.get(word, unread) for word, _ in encoded.spans]
        taught = np.stack(rows) if believed and rows else None
        untold = tuple(place for place, label in enumerate(LABELS) if label[2:] in example.untold)
        result.append(Item(encoded, labels, taught, example.data, untold=untold))
    return result


class Trainer:
    """Network, optimiser and where training stands; `run_epoch` until `finished`."""

    def __init__(
        self, network: Tagger, training: Sequence[Item], tokenizer: TweetTokenizer, config: TrainConfig, device: str
    ) -> None:
        self.network, self.training, self.tokenizer = network.to(device), training, tokenizer
        self.config, self.device = config, device
        self.weights = LossWeights(
            config.density, config.regulariser, config.alignment, config.teacher, config.matching
        )
        self._temperatures = dict(config.alignment_temperatures)
        self.epoch = 0
        self.best_score, self.best_epoch = -1.0, 0
        self.best_weights: dict[str, Tensor] = {}
        self.optimiser = torch.optim.AdamW(_groups(network, config), weight_decay=config.weight_decay, fused=True)
        self.steps = sum(len(list(self._batches(epoch))) for epoch in range(config.epochs))
        self._fingerprint = f"{asdict(config)} {network.design} {_digest(network, training)}"
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimiser, self._rate)

    @property
    def finished(self) -> bool:
        return self.epoch >= self.config.epochs

    def _rate(self, step: int) -> float:
        """Linear warm-up, then linear decay to zero."""
        warmup = max(1.0, self.config.warmup * self.steps)
        return min((step + 1) / warmup, max(0.0, (self.steps - step) / max(1.0, self.steps - warmup)))

    def _batches(self, epoch: int) -> Iterator[list[Item]]:
        """Shuffled anew each epoch, alike in length within a batch; the same for a given seed and epoch."""
        chance = random.Random(f"{self.config.seed}/{epoch}")
        dropped = [
            replace(item, encoded=replace(item.encoded, context=None))
            if chance.random() < self.config.drop_context
            else item
            for item in self.training
        ]
        if self.config.matching:
            dropped = exchanged(dropped, self.config.foreign_share, chance)
        chance.shuffle(dropped)
        chunks = [dropped[start : start + 1024] for start in range(0, len(dropped), 1024)]
        result = [
            [chunk[row] for row in rows]
            for chunk in chunks
            for rows in batches([item.encoded for item in chunk], self.config.batch_tokens)
        ]
        chance.shuffle(result)
        yield from result

    def run_epoch(self, progress: Callable[[float, float], None]) -> None:
        """One pass. `progress(share done, loss)` after each batch. Raises `UserError` where it diverges."""
        torch.manual_seed(self.config.seed * 1000 + self.epoch)
        self.network.train()
        todo = list(self._batches(self.epoch))
        for number, group in enumerate(todo, start=1):
            batch = collate([item.encoded for item in group], self.tokenizer.config, self.network.design)
            labels = label_tensor(group, batch).to(self.device)
            batch = batch.to(self.device)
            believed, temperatures = teacher_tensor(group, batch), self._temperatures_of(group)
            foreign = torch.tensor([item.foreign for item in group], device=self.device)
            step_loss = loss(self.network, batch, labels, self.weights, believed, temperatures, foreign)
            if not step_loss.isfinite():
                raise self._diverged(f"batch {number}: the loss is {step_loss.item()}")
            if step_loss.requires_grad:  # no tweet of the batch may have a view, as without captions
                torch.autograd.backward(step_loss)
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.config.clip)
            self.optimiser.step()
            self.schedule.step()
            self.optimiser.zero_grad()
            progress(number / len(todo), step_loss.item())
        if not all(parameter.isfinite().all() for parameter in self.network.parameters()):
            raise self._diverged("a weight is not finite")
        self.epoch += 1

    def _diverged(self, how: str) -> UserError:
        return UserError(
            f"the training diverged in epoch {self.epoch + 1}, {how}; choose a lower --encoder-rate or "
            "--head-rate, and another --out"
        )

    def _temperatures_of(self, group: Sequence[Item]) -> Tensor:
        """(B) of the alignment."""
        others = self.config.alignment_temperature
        return torch.tensor([self._temperatures.get(item.data, others) for item in group], device=self.device)

    def keep_if_best(self, score: float) -> bool:
        """Remembers the weights when `score`, of the validation data, is the best so far."""
        if score <= self.best_score:
            return False
        self.best_score, self.best_epoch = score, self.epoch
        self.best_weights = {name: value.detach().clone() for name, value in self.network.state_dict().items()}
        return True

    def save(self, folder: Path) -> None:
        """Atomically: after a kill there is the state of the last whole epoch. Raises `OSError`."""
        state = {
            "fingerprint": self._fingerprint,
            "epoch": self.epoch,
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state_dict(),
            "best_score": self.best_score,
            "best_epoch": self.best_epoch,
            "best_weights": self.best_weights,
        }
        with atomic_write(folder / STATE) as file:  # torch's own writer turns a full disk into a RuntimeError
            torch.save(state, file)

    def resume(self, folder: Path) -> bool:
        """Takes up the state in `folder`; False when there is none.

        Raises `UserError` if it is of another training, or damaged.
        """
        path = folder / STATE
        if not path.is_file():
            return False
        try:
            state = torch.load(path, map_location=self.device, weights_only=True)
            self._take_up(state)
        except UserError as error:
            raise UserError(f"{path} {error}") from None
        except Exception as error:  # a damaged file lets out anything, from EOFError to UnpicklingError
            raise UserError(
                f"{path} is damaged ({type(error).__name__}): remove it, and the training begins anew"
            ) from None
        return True

    def _take_up(self, state: dict[str, Any]) -> None:
        if state["fingerprint"] != self._fingerprint:
            raise UserError("is of a training with other options or data: use them again, or another --out")
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.load_state_dict(state["schedule"])
        self.epoch, self.best_weights = state["epoch"], state["best_weights"]
        self.best_score, self.best_epoch = state["best_score"], state["best_epoch"]

    def predictor(self, best: bool = False) -> Predictor:
        """The network as it is now, or with its best weights: to measure it, before any calibration."""
        if best:
            self.network.load_state_dict(self.best_weights)
        info = CheckpointInfo(
            name="uncalibrated",
            model_version=0,
            threshold=0.5,
            target_precision=0.5,
            temperature=Temperatures.same(1.0),
            labels=LABELS,
            design=self.network.design,
            encoder=self.network.config.to_diff_dict(),
            tokenizer=self.tokenizer.config,
        )
        return Predictor(self.network, info, self.device)


def _digest(network: Tagger, training: Sequence[Item]) -> str:
    """Of the weights to begin with and of all that is learned."""
    digest = hashlib.sha256()
    for value in network.state_dict().values():
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    for item in training:
        digest.update(repr((item.encoded.text, item.encoded.context, item.labels, item.data, *item.untold)).encode())
        for array in (item.encoded.image, item.teacher):
            digest.update(b"" if array is None else np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _groups(network: Tagger, config: TrainConfig) -> list[dict[str, Any]]:
    """What is trained, at its rate: the encoder's layers, from the last to the first each at `layer_decay` of the one
    behind it (ULMFiT: Howard & Ruder, ACL 2018), and all that stands on it."""
    trained = [(name, parameter) for name, parameter in network.named_parameters() if parameter.requires_grad]
    depths = {name: _depth(name) for name, _ in trained if name.startswith("encoder.")}
    deepest = max(depths.values(), default=0)
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameter in trained:
        inside = name in depths
        rate = config.encoder_rate * config.layer_decay ** (deepest - depths[name]) if inside else config.head_rate
        groups.setdefault(rate, []).append(parameter)
    return [{"params": parameters, "lr": rate} for rate, parameters in sorted(groups.items())]


def _depth(name: str) -> int:
    """0 for the embeddings, n for the encoder's n-th layer: encoder.layer.0, layers.0, transformer.layer.0, h.0."""
    found = re.search(r"\.(\d+)\.", name)
    return int(found[1]) + 1 if found else 0


def exchanged(items: Sequence[Item], share: float, chance: random.Random) -> list[Item]:
    """The same, but that this share of those with a context, one by one at random, has the context of another."""
    contexts = [item.encoded.context for item in items if item.encoded.context is not None]

    def one(item: Item) -> Item:
        if item.encoded.context is None or chance.random() >= share:
            return item
        other = chance.choice(contexts)
        return replace(item, encoded=replace(item.encoded, context=other), foreign=other != item.encoded.context)

    return [one(item) for item in items]


def label_tensor(group: Sequence[Item], batch: Batch) -> Tensor:
    """(B, W, L) bool: the labels that each word may have; none in the padding, and of a tweet that nobody labelled."""
    labels = torch.zeros(*batch.words.shape, len(LABELS), dtype=torch.bool)
    for row, item in zip(labels, group, strict=True):
        told = torch.tensor(item.labels, dtype=torch.long)
        row[torch.arange(len(told)), told] = True
        if item.untold:
            row[: len(told), list(item.untold)] = (told == LABELS.index("O")).unsqueeze(1)
    return labels


def teacher_tensor(group: Sequence[Item], batch: Batch) -> Tensor | None:
    """(B, W, L) probabilities on the batch's device, NaN in the padding and where there are none; None where no tweet
    of the group has any."""
    if all(item.teacher is None for item in group):
        return None
    beliefs = torch.full((*batch.words.shape, len(LABELS)), torch.nan)
    for row, item in zip(beliefs, group, strict=True):
        if item.teacher is not None:
            row[: len(item.teacher)] = torch.from_numpy(item.teacher.astype(np.float32))
    return beliefs.to(batch.words.device)
