"""What a larger model believes of tweets, for a smaller one to learn from (Hinton et al., 2015; of a CRF's token
marginals: Wang et al., ACL 2020, "Structure-Level Knowledge Distillation For Multilingual Sequence Labeling")."""

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
from model.training.corpus import Example
from model.training.losses import log_marginals
from model.training.reading import outputs

Progress = Callable[[float], None]
Beliefs = dict[int, Floats]
"""Of one tweet: for each of its words that the teacher reads, the probability of each label (L), in half precision."""


def marginals(teacher: Extractor, examples: Sequence[Example], progress: Progress) -> list[Beliefs]:
    """What `teacher` believes of each tweet, with the caption where there is one; nothing of one of which it has no
    view. `progress(share done)`."""
    predictor = teacher.predictor
    found: list[Beliefs] = [{} for _ in examples]
    done = 0
    for rows, output in outputs(predictor.network, teacher.tokenizer, examples, True, predictor.device):
        with torch.inference_mode():
            logs = log_marginals(predictor.network, output.together, output.batch.words)
        probabilities = logs.exp().cpu().numpy().astype(np.float16)
        seen = output.batch.present.any(0).tolist()
        for row, encoded, words, there in zip(rows, output.encoded, probabilities, seen, strict=True):
            if there:
                found[row] = {word: words[place] for place, (word, _) in enumerate(encoded.spans)}
        done += len(rows)
        progress(done / len(examples))
    return found


def joined(teachers: Sequence[Sequence[Beliefs]]) -> list[Beliefs]:
    """What several believe of the same tweets: the mean of those that have read a word."""
    found = []
    for each in zip(*teachers, strict=True):
        words = sorted({word for beliefs in each for word in beliefs})
        held = {word: np.stack([beliefs[word] for beliefs in each if word in beliefs]) for word in words}
        found.append({word: rows.astype(np.float32).mean(0).astype(np.float16) for word, rows in held.items()})
    return found


def key(teacher: Path, examples: Sequence[Example]) -> str:
    """What beliefs hang on: the teacher's files and the tweets. Raises `OSError`."""
    digest = hashlib.sha256()
    for name in (CONFIG, WEIGHTS):
        with (teacher / name).open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    for one in examples:
        digest.update(repr((one.words, one.caption)).encode())
        digest.update(b"" if one.image is None else np.ascontiguousarray(one.image).tobytes())
    return digest.hexdigest()


def save(path: Path, key: str, beliefs: Sequence[Beliefs]) -> None:
    """Whole or not at all. Raises `OSError`."""
    flat = [(word, row) for one in beliefs for word, row in one.items()]
    with atomic_write(path) as file:
        np.savez(
            file,
            key=np.array(key),
            counts=np.array([len(one) for one in beliefs]),
            words=np.array([word for word, _ in flat], dtype=np.int32),
            rows=np.array([row for _, row in flat], dtype=np.float16).reshape(-1, len(LABELS)),
        )


def load(path: Path, key: str) -> list[Beliefs] | None:
    """As `save` wrote it; None where there is nothing, or of another key, or damaged."""
    try:
        with np.load(path) as file:
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
