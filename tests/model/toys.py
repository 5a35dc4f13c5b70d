"""Small encoders with random weights, and a small corpus that they can learn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import (
    BertConfig,
    BertModel,
    DistilBertConfig,
    DistilBertModel,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    ViTConfig,
    ViTImageProcessor,
    ViTModel,
)

from model.training.corpus import Example

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PEOPLE, PLACES = ("ann", "bob", "carl", "dora"), ("paris", "rome", "oslo", "lima")


def bert(size: int, layers: int = 2) -> BertModel:
    config = BertConfig(
        vocab_size=size,
        max_position_embeddings=96,
        hidden_size=32,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=64,
    )
    return BertModel(config)  # type: ignore[no-untyped-call]


def distilbert(size: int) -> DistilBertModel:
    config = DistilBertConfig(vocab_size=size, max_position_embeddings=96, dim=32, n_layers=2, n_heads=2, hidden_dim=64)
    return DistilBertModel(config)


def save(folder: Path, build: Callable[[int], PreTrainedModel]) -> Path:
    """Writes an encoder with random weights and a tokenizer of whole words."""
    words = [*SPECIAL, *PEOPLE, *PLACES, "visits", "in", "a", "city", "portrait", "http"]
    tokenizer = Tokenizer(models.WordPiece({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    fast = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    )
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    build(len(words)).save_pretrained(folder)
    return folder


def save_vit(folder: Path) -> Path:
    """Writes a vision model with random weights. Its features are (5, 16): 4 patches and the whole image."""
    torch.manual_seed(0)
    config = ViTConfig(
        image_size=16, patch_size=8, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    ViTModel(config).save_pretrained(folder)
    ViTImageProcessor(size={"height": 16, "width": 16}).save_pretrained(folder)
    return folder


def examples(number: int) -> list[Example]:
    return [
        Example(
            str(index),
            (PEOPLE[index % 4], "visits", PLACES[index // 4 % 4], *["a"] * (index % 5)),
            ("B-PER", "O", "B-LOC", *["O"] * (index % 5)),
            "a city" if index % 2 else None,
        )
        for index in range(number)
    ]
