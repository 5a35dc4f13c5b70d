"""Streams that drift, made of published corpora: what the shipped checkpoint says of each mention, and who is right."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import platformdirs
from numpy.typing import NDArray

from model.checkpoint import CheckpointInfo
from model.extractor import Extractor
from model.training import corpus
from model.training.accounts import as_accounts
from model.training.evaluate import predict
from model.training.guarantee import Marks
from model.training.scores import judge_each

CORPORA = {"Twitter-2017": "twitter2017", "WNUT-17": "ner/wnut17", "BTC": "ner/btc/train_dev_test_conll"}
"""The phases of the stream, in order: name and folder below the data folder."""

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.intp]


@dataclass(frozen=True)
class Stream:
    """The mentions of a stream, in order. All arrays have one value for each (N)."""

    probability: Floats
    right: Bools
    part: Ints
    """Number of the corpus in `CORPORA`."""
    drawn: Bools
    """Whether the draw of the spot checks picks the mention. It does not depend on the threshold."""


def marks(data: Path, split: str, extractor: Extractor) -> dict[str, list[Marks]]:
    """Returns the marks of the posts of each corpus, read as text alone, once for each checkpoint and split.

    User names are accounts. Mentions of a type that a corpus does not label are left out: nobody can say who is right.
    Raises `UserError` when a corpus is missing or broken.
    """
    info = extractor.info
    cached = _cache(info, split)
    if cached.is_file():
        found: dict[str, list[Marks]] = json.loads(cached.read_text(encoding="utf-8"))
        return found
    found = {name: _read(corpus.split_file(data / folder, split), extractor) for name, folder in CORPORA.items()}
    cached.parent.mkdir(parents=True, exist_ok=True)
    cached.write_text(json.dumps(found), encoding="utf-8")
    return found


def _cache(info: CheckpointInfo, split: str) -> Path:
    return platformdirs.user_cache_path("mner-streams") / f"drift-{info.name}-{info.model_version}-{split}.json"


def _read(path: Path, extractor: Extractor) -> list[Marks]:
    examples = as_accounts(corpus.as_auxiliary(corpus.read(path)))
    predictions = predict(extractor.predictor, extractor.tokenizer, examples, captions=False)
    judged = judge_each([example.tags for example in examples], predictions)
    return [
        [
            (mention.probability, mention.correct)
            for mention, span in zip(mentions, prediction.spans, strict=True)
            if span.type not in example.unannotated
        ]
        for example, prediction, mentions in zip(examples, predictions, judged, strict=True)
    ]


def in_turn(posts: dict[str, list[Marks]], mentions: int, share: float, seed: int) -> Stream:
    """Returns a stream with one corpus after the other, `mentions` of each.

    Posts are drawn from a corpus with replacement. `share`: that of the mentions which the draw picks.
    """
    random = np.random.default_rng(seed)
    parts = [_sample(each, mentions, random) for each in posts.values()]
    part = np.repeat(np.arange(len(parts)), mentions)
    return _stream([mark for each in parts for mark in each], part, share, random)


def at_once(posts: dict[str, list[Marks]], shares: Sequence[float], mentions: int, draw: float, seed: int) -> Stream:
    """Returns a stream of all corpora together. `shares`: those of the corpora among all `mentions`."""
    random = np.random.default_rng(seed)
    part = random.choice(len(shares), mentions, p=shares)
    sources = [iter(_sample(each, int((part == place).sum()), random)) for place, each in enumerate(posts.values())]
    return _stream([next(sources[place]) for place in part.tolist()], part, draw, random)


def _sample(posts: Sequence[Marks], mentions: int, random: np.random.Generator) -> list[tuple[float, bool]]:
    """Returns the mentions of posts that are drawn with replacement."""
    found: list[tuple[float, bool]] = []
    while len(found) < mentions:
        found += posts[int(random.integers(len(posts)))]
    return [(float(probability), bool(right)) for probability, right in found[:mentions]]


def _stream(found: Sequence[tuple[float, bool]], part: Ints, share: float, random: np.random.Generator) -> Stream:
    probability, right = zip(*found, strict=True)
    return Stream(np.array(probability), np.array(right, dtype=bool), part, random.random(len(found)) < share)
