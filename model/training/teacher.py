"""The beliefs of larger models about the training posts. A smaller model learns from them (Hinton et al., 2015).

Beliefs are the label probabilities that a CRF gives to each word (Wang et al., ACL 2020, "Structure-Level Knowledge
Distillation For Multilingual Sequence Labeling").
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch

from core.atomic import atomic_write
from model.checkpoint import CONFIG, WEIGHTS
from model.decode import Floats
from model.design import LABELS
from model.extractor import Extractor
from model.predictor import conditioned_emissions
from model.training.corpus import Example
from model.training.losses import log_marginals_of
from model.training.reading import outputs

Beliefs = dict[int, Floats]
"""The beliefs about one post: for each word that the teacher reads, the probabilities of the labels (L), in fp16."""


def marginals(teacher: Extractor, examples: Sequence[Example], progress: Callable[[float], None]) -> list[Beliefs]:
    """Returns the teacher's beliefs about each example, read with its caption if it has one.

    An example for which the teacher has no view gets none. Neither do words of accounts: a teacher may take them for
    names. The beliefs about the other words hold given that these are outside of mentions, as in the stream. Calls
    `progress(share done)`.
    """
    predictor = teacher.predictor
    result: list[Beliefs] = [{} for _ in examples]
    done = 0
    for rows, output in outputs(predictor.network, teacher.tokenizer, examples, True, predictor.device):
        with torch.inference_mode():
            emissions = conditioned_emissions(predictor.network, output.batch, output.together)
            logs = log_marginals_of(predictor.network, emissions, output.batch.words)
        probabilities = logs.exp().cpu().numpy().astype(np.float16)
        has_view = output.batch.present.any(0).tolist()
        for row, encoded, words, is_read in zip(rows, output.encoded, probabilities, has_view, strict=True):
            if is_read:
                marks = encoded.in_account or [False] * len(encoded.spans)
                spans = enumerate(zip(encoded.spans, marks, strict=True))
                result[row] = {word: words[place] for place, ((word, _), is_account) in spans if not is_account}
        done += len(rows)
        progress(done / len(examples))
    return result


def mean_beliefs(teachers: Sequence[Sequence[Beliefs]]) -> list[Beliefs]:
    """Returns, for each word of the same examples, the mean over the teachers that have read it."""
    result = []
    for beliefs_of_tweet in zip(*teachers, strict=True):
        words = sorted({word for beliefs in beliefs_of_tweet for word in beliefs})
        rows = {word: np.stack([beliefs[word] for beliefs in beliefs_of_tweet if word in beliefs]) for word in words}
        result.append({word: each.astype(np.float32).mean(0).astype(np.float16) for word, each in rows.items()})
    return result


def key(teacher: Path, examples: Sequence[Example]) -> str:
    """Returns a hash of everything that beliefs depend on: the teacher's files and the examples. Raises `OSError`."""
    digest = hashlib.sha256()
    for name in (CONFIG, WEIGHTS):
        with (teacher / name).open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    for example in examples:
        accounts = [example.accounts] if example.accounts else []  # without any, the hash is that of former versions
        digest.update(repr((example.words, example.caption, *accounts)).encode())
        digest.update(b"" if example.image is None else np.ascontiguousarray(example.image).tobytes())
    return digest.hexdigest()


def save(path: Path, key: str, beliefs: Sequence[Beliefs]) -> None:
    """Writes the beliefs atomically. Raises `OSError`."""
    flat = [(word, row) for words in beliefs for word, row in words.items()]
    with atomic_write(path) as file:
        np.savez(
            file,
            key=np.array(key),
            counts=np.array([len(words) for words in beliefs]),
            words=np.array([word for word, _ in flat], dtype=np.int32),
            rows=np.array([row for _, row in flat], dtype=np.float16).reshape(-1, len(LABELS)),
        )


def load(path: Path, key: str) -> list[Beliefs] | None:
    """Returns the beliefs that `save` wrote; None if there are none, or they have another key or are damaged."""
    try:
        with path.open("rb") as opened, np.load(opened) as file:  # numpy leaves a damaged file open
            if str(file["key"]) != key:
                return None
            counts, words, rows = file["counts"], file["words"], file["rows"]
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        return None
    ends = np.cumsum(counts)
    return [
        dict(zip(words[end - count : end].tolist(), rows[end - count : end], strict=True))
        for end, count in zip(ends, counts, strict=True)
    ]
