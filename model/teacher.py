"""What a larger model believes of tweets, for a smaller one to learn from (Hinton et al., 2015; of a CRF's token
marginals: Wang et al., ACL 2020, "Structure-Level Knowledge Distillation For Multilingual Sequence Labeling")."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from model.corpus import Example
from model.decode import Floats
from model.design import LABELS
from model.extractor import BATCH_TOKENS, Extractor, batches
from model.losses import log_marginals
from model.predictor import run

Progress = Callable[[float], None]
Beliefs = dict[int, Floats]
"""Of one tweet: for each of its words that the teacher reads, the probability of each label (L), in half precision."""


def marginals(teacher: Extractor, examples: Sequence[Example], progress: Progress) -> list[Beliefs]:
    """What `teacher` believes of each tweet, with the caption where there is one. `progress(share done)`."""
    predictor = teacher.predictor
    encoded = [teacher.tokenizer.encode_words(one.words, one.caption, one.image) for one in examples]
    found: list[Beliefs] = [{} for _ in examples]
    done = 0
    for rows in batches(encoded, BATCH_TOKENS):
        output = run(predictor.network, [encoded[row] for row in rows], predictor.info.tokenizer, predictor.device)
        with torch.inference_mode():
            logs = log_marginals(predictor.network, output.together, output.batch.words)
        for row, probabilities in zip(rows, logs.exp().cpu().numpy().astype(np.float16), strict=True):
            found[row] = {word: probabilities[place] for place, (word, _) in enumerate(encoded[row].spans)}
        done += len(rows)
        progress(done / len(examples))
    return found


def save(path: Path, beliefs: Sequence[Beliefs]) -> None:
    """Whole or not at all. Raises `OSError`."""
    flat = [(word, row) for one in beliefs for word, row in one.items()]
    partial = path.with_suffix(".partial.npz")
    np.savez(
        partial,
        counts=np.array([len(one) for one in beliefs]),
        words=np.array([word for word, _ in flat], dtype=np.int32),
        rows=np.array([row for _, row in flat], dtype=np.float16).reshape(-1, len(LABELS)),
    )
    partial.replace(path)


def load(path: Path) -> list[Beliefs]:
    """As `save` wrote it. Raises `OSError`, `ValueError`."""
    with np.load(path) as file:
        ends = np.cumsum(file["counts"])
        words, rows = file["words"], file["rows"]
    return [
        dict(zip(words[end - count : end].tolist(), rows[end - count : end], strict=True))
        for end, count in zip(ends, np.diff(ends, prepend=0), strict=True)
    ]
