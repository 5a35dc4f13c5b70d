"""Loads the pretrained encoder that training starts from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import AutoModel, AutoTokenizer, PreTrainedModel

from core.errors import UserError, first_line
from model import packaged
from model.batch import collate
from model.design import TWO_VIEWS, Design
from model.tagger import Tagger
from model.tokens import TokenizerConfig, TweetTokenizer

MAX_CONTEXT = 64
"""Subwords of context that are read."""
MAX_SEQUENCE = 512
"""Largest number of positions that are used, even if the encoder has more."""


def resolve(encoder: str) -> tuple[str, str]:
    """Returns the encoder's display name, and its hub name or local path.

    `encoder`: name of a packaged encoder, hub name or path. Raises `UserError` when a package is missing.
    """
    if encoder in packaged.NAMES:
        return encoder, str(packaged.folder(encoder))
    return Path(encoder).name, encoder


def pretrained(
    path: str, seed: int, design: Design = TWO_VIEWS, layers: int | None = None
) -> tuple[Tagger, TweetTokenizer]:
    """Returns a tagger on any `AutoModel` encoder, with fresh heads from `seed`, and its tokenizer.

    With `layers`, only that many layers of the encoder are kept, counted from the input. The upper layers of a
    pretrained encoder matter least (Sajjad et al., "On the effect of dropping layers of pre-trained transformer
    models", 2023). Raises `UserError` when the encoder cannot be loaded or does not fit a tagger.
    """
    try:
        fast = AutoTokenizer.from_pretrained(path, add_prefix_space=True)
        encoder: PreTrainedModel = AutoModel.from_pretrained(path, dtype=torch.float32)
    except Exception as error:  # a broken folder raises anything from OSError to SafetensorError
        raise UserError(f"the encoder {path} cannot be loaded: {first_line(error)}") from None
    backend: Tokenizer | None = getattr(fast, "backend_tokenizer", None)
    if backend is None:
        raise UserError(f"the encoder {path} has no fast tokenizer; choose an encoder with a tokenizer.json")
    if encoder.config.is_encoder_decoder:
        raise UserError(f"the encoder {path} has a decoder as well; choose a BERT- or RoBERTa-like encoder")
    if layers is not None:
        own = getattr(encoder.config, "num_hidden_layers", 0)
        if layers > own:
            raise UserError(f"layers {layers}: the encoder {path} has {own}; choose fewer")
        encoder.config.num_hidden_layers = layers
    positions = int(getattr(encoder.config, "max_position_embeddings", None) or 0)
    limit = min(MAX_SEQUENCE, positions) if positions > 0 else MAX_SEQUENCE  # XLNet has -1: any number
    if limit <= MAX_CONTEXT + 5:
        raise UserError(f"the encoder {path} takes {limit} positions; choose one with more than {MAX_CONTEXT + 5}")
    config = TokenizerConfig(
        cls=_special(fast, "cls", "bos"),
        sep=_special(fast, "sep", "eos"),
        pad=_special(fast, "pad", "eos"),
        max_text=limit - MAX_CONTEXT - 5,  # three special tokens; some encoders count positions from two
        max_context=MAX_CONTEXT,
    )
    tokenizer = TweetTokenizer(backend, config)
    torch.manual_seed(seed)
    try:
        network = Tagger(encoder.config, design)
        kept, weights = network.encoder.state_dict().keys(), encoder.state_dict()
        network.encoder.load_state_dict({name: value for name, value in weights.items() if name in kept})
        _probe(network, tokenizer)
    except Exception as error:  # each kind of model raises errors of its own
        raise UserError(f"the encoder {path} does not give a state for each word: {first_line(error)}") from None
    network.adapt()
    return network, tokenizer


def _probe(network: Tagger, tokenizer: TweetTokenizer) -> None:
    """Raises any kind of error when the encoder does not give last and inner states for each token."""
    batch = collate([tokenizer.encode("one two three four five six", None)], tokenizer.config, network.design)
    network.eval()
    with torch.inference_mode():
        shapes = [tuple(states.shape) for states in network.encode(batch.text)]
    expected = (*batch.text.ids.shape, network.config.hidden_size)
    if shapes != [expected, expected]:
        raise ValueError(f"expected last and inner states of {expected}, got {shapes}")


def _special(tokenizer: Any, *names: str) -> int:
    for name in names:
        number = getattr(tokenizer, f"{name}_token_id")
        if number is not None:
            return int(number)
    raise UserError(
        f"the encoder's tokenizer has no {' or '.join(names)} token; choose a BERT- or RoBERTa-like encoder"
    )
