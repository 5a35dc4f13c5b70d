"""The shipped checkpoint, loaded once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from model.extractor import Extractor
from model.tokens import TweetTokenizer
from streams.settings import CHECKPOINT


@pytest.fixture(scope="session")
def tokenizer() -> TweetTokenizer:
    return TweetTokenizer.load(CHECKPOINT)


@pytest.fixture(scope="session")
def extractor() -> Iterator[Extractor]:
    threads = torch.get_num_threads()
    yield Extractor.load(CHECKPOINT, device="cpu", threads=0)
    torch.set_num_threads(threads)


@pytest.fixture
def corpus_folder(tmp_path: Path) -> Callable[[str], Path]:
    """Returns a function that writes a split file and returns its path."""

    def write(content: str) -> Path:
        path = tmp_path / "twitter2017" / "train.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text(content, encoding="utf-8")
        return path

    return write
