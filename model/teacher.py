"""What a larger model believes of tweets, for a smaller one to learn from (Hinton et al., 2015; of a CRF's token marginals:
Wang et al., ACL 2020, "Structure-Level Knowledge Distillation For Multilingual Sequence Labeling")."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from model.corpus import Example
from model.decode import Floats
from model.extractor import BATCH_TOKENS, Extractor, batches
from model.losses import log_marginals
from model.predictor import run

Progress = Callable[[float], None]


def marginals(teacher: Extractor, examples: Sequence[Example], progress: Progress) -> list[dict[int, Floats]]:
    """Of each tweet, for each of its words that the teacher reads, the probability of each label (L), in half precision;
    with the caption where there is one. `progress(share done)` after each batch."""
    predictor = teacher.predictor
    encoded = [teacher.tokenizer.encode_words(one.words, one.caption) for one in examples]
    found: list[dict[int, Floats]] = [{} for _ in examples]
    done = 0
    for rows in batches(encoded, BATCH_TOKENS):
        output = run(predictor.network, [encoded[row] for row in rows], predictor.info.tokenizer, predictor.device)
        with torch.inference_mode():
            logs = log_marginals(predictor.network, output.together, output.batch.words)
        for row, probabilities in zip(rows, logs.exp().cpu().numpy().astype(np.float16), strict=True):
            spans = encoded[row].spans
            found[row] = {word: probabilities[place] for place, (word, _) in enumerate(spans)}
        done += len(rows)
        progress(done / len(examples))
    return found
