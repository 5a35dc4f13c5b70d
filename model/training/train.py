"""The training loop. Each epoch reads every post as text, and a share of the posts also with their captions."""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from core.atomic import atomic_write
from core.errors import UserError
from model.batch import Batch, batches, collate
from model.checkpoint import CheckpointInfo, Temperatures
from model.decode import OUTSIDE, Floats
from model.design import LABELS
from model.predictor import Predictor
from model.tagger import Tagger
from model.tokens import Encoded, TweetTokenizer
from model.training.annotation import OPEN
from model.training.config import LossConfig, OptimisationConfig
from model.training.corpus import Example, legal
from model.training.losses import loss

STATE = "training.pt"
ANY = -1
"""Stands in for the label id of a word that may have any label."""


@dataclass(frozen=True)
class Item:
    """An encoded post to learn from."""

    encoded: Encoded
    labels: tuple[int, ...]
    """Label ids, one per labelled word, `ANY` where it is left open; empty for a post without labels."""
    teacher: Floats | None = None
    """(W, L) the teachers' probabilities of each label; NaN for words that no teacher has read."""
    data: str = ""
    """Name of its data set."""
    swapped: bool = False
    """Whether its context belongs to another post."""
    unannotated: tuple[int, ...] = ()
    """Label ids that a word tagged O may still have, because the annotators did not mark these types. This does
    not hold for words of accounts."""


def items(
    examples: Sequence[Example],
    tokenizer: TweetTokenizer,
    beliefs: Sequence[dict[int, Floats]] | None = None,
) -> list[Item]:
    """Encodes the examples with their captions. Illegal tags are read as seqeval reads them.

    `beliefs` are the teachers', about the same examples. An example without tags is learned only from them.
    """
    result = []
    for example, belief in zip(examples, beliefs or [{}] * len(examples), strict=True):
        encoded = tokenizer.encode_words(example.words, example.caption, example.image, example.accounts)
        tags = legal(example.tags)
        labels = tuple(ANY if tags[word] == OPEN else LABELS.index(tags[word]) for word, _ in encoded.spans if tags)
        unread = np.full(len(LABELS), np.nan, np.float16)
        rows = [belief.get(word, unread) for word, _ in encoded.spans]
        teacher = np.stack(rows) if belief and rows else None
        unannotated = tuple(number for number, label in enumerate(LABELS) if label[2:] in example.unannotated)
        result.append(Item(encoded, labels, teacher, example.data, unannotated=unannotated))
    return result


class Changes(Protocol):
    """Changes of the training posts (`model.training.augment`). They depend on nothing but the epoch."""

    fingerprint: str

    def changed(self, unchanged: Sequence[Item], epoch: int) -> Sequence[Item]:
        """Returns the items of an epoch."""
        ...


class Trainer:
    """The network, its optimiser and the progress of the training. Call `run_epoch` until `finished`.

    The changes of the posts and the order of batches depend only on the seed and the epoch, so a resumed training gives
    the same weights as one that was never interrupted.
    """

    def __init__(
        self,
        network: Tagger,
        training: Sequence[Item],
        tokenizer: TweetTokenizer,
        optimisation: OptimisationConfig,
        device: str,
        losses: LossConfig | None = None,
        changes: Changes | None = None,
    ) -> None:
        self.network, self.training, self.tokenizer = network.to(device), training, tokenizer
        self.optimisation, self.losses, self.device = optimisation, losses or LossConfig(), device
        self.changes = changes
        self.epoch = 0
        self.best_score, self.best_epoch = -1.0, 0
        self.best_weights: dict[str, Tensor] = {}
        groups = _parameter_groups(network, optimisation)
        self.optimiser = torch.optim.AdamW(groups, weight_decay=optimisation.weight_decay, fused=True)
        self.steps = 0
        # To count the batches, the changed posts must be encoded. This takes long, so they are kept until their epoch.
        self._changed_epochs: dict[int, list[list[Item]]] = {}
        for epoch in range(optimisation.epochs):
            counted = list(self.epoch_batches(epoch))
            self.steps += len(counted)
            if changes:
                self._changed_epochs[epoch] = counted
        self._fingerprint = f"{self.optimisation} {self.losses} {network.design} {_digest(network, training)}"
        if changes:
            self._fingerprint += f" {changes.fingerprint}"
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimiser, self._rate)

    @property
    def finished(self) -> bool:
        return self.epoch >= self.optimisation.epochs

    def _rate(self, step: int) -> float:
        """Returns the rate as a share of the highest one: linear warm-up, then linear decay to zero."""
        warmup = max(1.0, self.optimisation.warmup * self.steps)
        return min((step + 1) / warmup, max(0.0, (self.steps - step) / max(1.0, self.steps - warmup)))

    def epoch_batches(self, epoch: int) -> Iterator[list[Item]]:
        """Yields the batches of an epoch. Posts are shuffled anew; the posts of a batch have similar lengths."""
        chance = random.Random(f"{self.optimisation.seed}/{epoch}")
        training = self.changes.changed(self.training, epoch) if self.changes else self.training
        dropped = [
            replace(item, encoded=replace(item.encoded, context=None))
            if chance.random() < self.optimisation.drop_context
            else item
            for item in training
        ]
        if self.losses.matching:
            dropped = with_swapped_contexts(dropped, self.losses.swapped_share, chance)
        chance.shuffle(dropped)
        chunks = [dropped[start : start + 1024] for start in range(0, len(dropped), 1024)]
        result = [
            [chunk[row] for row in rows]
            for chunk in chunks
            for rows in batches([item.encoded.cost for item in chunk], self.optimisation.batch_tokens)
        ]
        chance.shuffle(result)
        yield from result

    def run_epoch(self, progress: Callable[[float, float], None]) -> None:
        """Trains on every post once. Calls `progress(share done, loss)` after each batch.

        Raises `UserError` when the training diverges.
        """
        torch.manual_seed(self.optimisation.seed * 1000 + self.epoch)
        self.network.train()
        groups = self._changed_epochs.pop(self.epoch, None) or list(self.epoch_batches(self.epoch))
        for number, group in enumerate(groups, start=1):
            step_loss = self._loss(group)
            if not step_loss.isfinite():
                raise self._diverged(f"batch {number}: the loss is {step_loss.item()}")
            if step_loss.requires_grad:  # false when no post of the batch has a view
                torch.autograd.backward(step_loss)
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.optimisation.clip)
            self.optimiser.step()
            self.schedule.step()
            self.optimiser.zero_grad()
            progress(number / len(groups), step_loss.item())
        if not all(parameter.isfinite().all() for parameter in self.network.parameters()):
            raise self._diverged("a weight is not finite")
        self.epoch += 1

    def _loss(self, group: Sequence[Item]) -> Tensor:
        batch = collate([item.encoded for item in group], self.tokenizer.config, self.network.design)
        labels = label_tensor(group, batch).to(self.device)
        batch = batch.to(self.device)
        temperatures = self.alignment_temperatures(group)
        swapped = torch.tensor([item.swapped for item in group], device=self.device)
        return loss(self.network, batch, labels, self.losses, teacher_tensor(group, batch), temperatures, swapped)

    def alignment_temperatures(self, group: Sequence[Item]) -> Tensor:
        """Returns the temperature of the alignment of each item (B), by its data set."""
        default, by_data = self.losses.alignment_temperature, self.losses.alignment_temperatures
        return torch.tensor([by_data.get(item.data, default) for item in group], device=self.device)

    def _diverged(self, how: str) -> UserError:
        return UserError(
            f"the training diverged in epoch {self.epoch + 1}, {how}; choose a lower optimisation.encoder_rate or "
            "optimisation.head_rate, and another output folder"
        )

    def keep_if_best(self, score: float) -> bool:
        """Keeps a copy of the weights when `score`, measured on validation data, is the best so far."""
        if score <= self.best_score:
            return False
        self.best_score, self.best_epoch = score, self.epoch
        self.best_weights = {name: value.detach().clone() for name, value in self.network.state_dict().items()}
        return True

    def save(self, folder: Path) -> None:
        """Writes the state atomically: after a kill, the file holds the last complete epoch. Raises `OSError`."""
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
        """Loads the state from `folder`. Returns False when there is none.

        Raises `UserError` if the state belongs to another training, or is damaged.
        """
        path = folder / STATE
        if not path.is_file():
            return False
        try:
            state = torch.load(path, map_location=self.device, weights_only=True)
            self._load(state)
        except UserError as error:
            raise UserError(f"{path} {error}") from None
        except Exception as error:  # a damaged file raises anything from EOFError to UnpicklingError
            raise UserError(
                f"{path} is damaged ({type(error).__name__}): remove it to start the training again"
            ) from None
        return True

    def _load(self, state: dict[str, Any]) -> None:
        if state["fingerprint"] != self._fingerprint:
            raise UserError("belongs to a training with another configuration or other data: choose another folder")
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.load_state_dict(state["schedule"])
        self.epoch, self.best_weights = state["epoch"], state["best_weights"]
        self._changed_epochs = {epoch: each for epoch, each in self._changed_epochs.items() if epoch >= self.epoch}
        self.best_score, self.best_epoch = state["best_score"], state["best_epoch"]

    def predictor(self, best: bool = False) -> Predictor:
        """Returns an uncalibrated predictor with the current weights, or with the best ones."""
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
    """Returns a hash of the initial weights and of the training data."""
    digest = hashlib.sha256()
    for value in network.state_dict().values():
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    for item in training:
        text = (
            item.encoded.text,
            item.encoded.context,
            item.labels,
            item.data,
            *item.unannotated,
            *item.encoded.in_account,
        )
        digest.update(repr(text).encode())
        for array in (item.encoded.image, item.teacher):
            digest.update(b"" if array is None else np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _parameter_groups(network: Tagger, optimisation: OptimisationConfig) -> list[dict[str, Any]]:
    """Returns the trained parameters, grouped by learning rate.

    Below the last layer of the encoder, each layer has `layer_decay` times the rate of the next one (ULMFiT: Howard &
    Ruder, ACL 2018).
    """
    trained = [(name, parameter) for name, parameter in network.named_parameters() if parameter.requires_grad]
    depths = {name: layer_depth(name) for name, _ in trained if name.startswith("encoder.")}
    deepest = max(depths.values(), default=0)
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameter in trained:
        rate = optimisation.head_rate
        if name in depths:
            rate = optimisation.encoder_rate * optimisation.layer_decay ** (deepest - depths[name])
        groups.setdefault(rate, []).append(parameter)
    return [{"params": parameters, "lr": rate} for rate, parameters in sorted(groups.items())]


def layer_depth(name: str) -> int:
    """Returns 0 for the embeddings, n for the encoder's n-th layer.

    Names of layers differ: encoder.layer.0, layers.0, transformer.layer.0, h.0.
    """
    number = re.search(r"\.(\d+)\.", name)
    return int(number[1]) + 1 if number else 0


def with_swapped_contexts(items: Sequence[Item], share: float, chance: random.Random) -> list[Item]:
    """Gives this share of the items with a context, chosen at random, the context of another item."""
    contexts = [item.encoded.context for item in items if item.encoded.context is not None]

    def swap(item: Item) -> Item:
        if item.encoded.context is None or chance.random() >= share:
            return item
        context = chance.choice(contexts)
        return replace(item, encoded=replace(item.encoded, context=context), swapped=context != item.encoded.context)

    return [swap(item) for item in items]


def label_tensor(group: Sequence[Item], batch: Batch) -> Tensor:
    """Returns (B, W, L) bool: the labels that each word may have; none for padding and for posts without labels.

    The words of accounts have the label O, whatever the corpus leaves open.
    """
    allowed = torch.zeros(*batch.words.shape, len(LABELS), dtype=torch.bool)
    outside = torch.arange(len(LABELS)) == OUTSIDE
    for row, item in zip(allowed, group, strict=True):
        labels = torch.tensor(item.labels, dtype=torch.long)
        row[torch.arange(len(labels)), labels] = True
        row[: len(labels)][labels == ANY] = True
        if item.unannotated:
            row[: len(labels), list(item.unannotated)] = ((labels == OUTSIDE) | (labels == ANY)).unsqueeze(1)
        if item.encoded.in_account and item.labels:
            row[: len(labels)][torch.tensor(item.encoded.in_account)] = outside
    return allowed


def teacher_tensor(group: Sequence[Item], batch: Batch) -> Tensor | None:
    """Returns (B, W, L) probabilities on the batch's device, NaN where no teacher has read a word.

    Returns None when no item of the group has any.
    """
    if all(item.teacher is None for item in group):
        return None
    beliefs = torch.full((*batch.words.shape, len(LABELS)), torch.nan)
    for row, item in zip(beliefs, group, strict=True):
        if item.teacher is not None:
            row[: len(item.teacher)] = torch.from_numpy(item.teacher.astype(np.float32))
    return beliefs.to(batch.words.device)
