"""Static quantisation: states that are close to those of torch, and the same alone and in a batch."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from safetensors.numpy import load, save
from transformers import BertConfig, DistilBertConfig, MPNetConfig, PretrainedConfig

from core.errors import UserError
from model.batch import Sequences, collate
from model.design import Design
from model.int8 import Int8Layers, groups, padded
from model.int8_graph import write
from model.int8_scales import SCALE, build, int8_layers, modules
from model.tagger import Tagger
from model.tokens import TweetTokenizer
from model.training.corpus import Example
from model.training.quantise import check_alone, quantise

PLACES = ("Paris", "London", "Chicago", "Toronto", "Boston", "Texas", "Canada", "Miami")
SMALL: dict[str, Any] = {"vocab_size": 30522, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
WIDE: dict[str, Any] = {"intermediate_size": 64}
POSTS = [Example(str(n), (*["I", "love", PLACES[n % 8]] * (1 + n % 9), str(n)), ()) for n in range(40)]


def tagger(config: PretrainedConfig) -> Tagger:
    torch.manual_seed(0)
    return Tagger(config, Design(views=("text",))).eval()


def spread(network: Tagger) -> Tagger:
    """Draws wider weights. With those of a new encoder, attention and the layers' order would hardly count."""
    for name, weight in network.encoder.named_parameters():
        if weight.dim() == 2 and "encoder" in name:
            torch.nn.init.normal_(weight, std=3 if "bias" in name else 0.3)
    return network


def wrong(network: Tagger) -> Iterator[Tagger]:
    """Yields the network with mistakes that the int8 layers could have too."""
    network = deepcopy(network)
    layers: Any = network.encoder.encoder
    layers.layer = layers.layer[::-1]  # their order
    yield network
    layers.layer = layers.layer[::-1]
    for layer in layers.layer:
        own = layer.attention.self if hasattr(layer.attention, "self") else layer.attention.attn
        query = own.query if hasattr(own, "query") else own.q
        query.weight.data *= 4  # the scores without their scale
    yield network
    if hasattr(layers, "relative_attention_bias"):  # MPNet
        for layer in layers.layer:
            layer.attention.attn.q.weight.data /= 4
        layers.relative_attention_bias.weight.data.zero_()
        yield network


@pytest.fixture
def network() -> Tagger:
    return tagger(BertConfig(**SMALL, **WIDE))


def graph(network: Tagger, scales: bytes) -> bytes:
    return write(int8_layers(network, scales), 2, 1e-12)


def dynamic(content: bytes) -> bytes:
    """Returns the layers with scales that are computed from each batch."""
    model = onnx.load_from_string(content)
    renamed: dict[str, str] = {}
    for node in model.graph.node:
        if node.op_type == "QuantizeLinear":
            (output,), (source, scale, zero) = node.output, node.input
            renamed |= {scale: f"{output}.scale", zero: f"{output}.zero"}
            made = onnx.helper.make_node(
                "DynamicQuantizeLinear", [source], [output, renamed[scale], renamed[zero]], node.name
            )
            node.CopyFrom(made)
        else:
            inputs = [renamed.get(name, name) for name in node.input]
            del node.input[:]
            node.input.extend(inputs)
    changed: bytes = model.SerializeToString()
    return changed


@pytest.mark.parametrize(
    "config",
    [
        pytest.param(BertConfig(**SMALL, **WIDE), id="bert"),
        pytest.param(MPNetConfig(**SMALL, **WIDE, max_position_embeddings=514), id="mpnet"),
    ],
)
def test_int8_states_are_close_and_the_same_alone_and_in_a_batch(
    config: PretrainedConfig, tokenizer: TweetTokenizer
) -> None:
    network = spread(tagger(config))
    batch = collate([tokenizer.encode_words(each.words, None) for each in POSTS], tokenizer.config, network.design)
    content = quantise(network, tokenizer, POSTS)
    with torch.inference_mode():
        states = torch.stack(network.encode(batch.text))
        network.int8_layers = layers = build(network, content, 1)
        quantised = torch.stack(network.encode(batch.text))
        network.int8_layers = None
        others = [torch.stack(other.encode(batch.text)) for other in wrong(network)]
        network.int8_layers = layers
    tokens = batch.text.mask.bool()

    def distance(other: torch.Tensor) -> torch.Tensor:
        return (other - states)[:, tokens].abs().mean((1, 2))  # of the last and of the inner states

    assert (distance(quantised) > 0).all()
    for other in others:
        assert (distance(quantised) < distance(other) / 10).all()
    check_alone(network, tokenizer, POSTS)


def test_dynamic_quantisation_is_refused(network: Tagger, tokenizer: TweetTokenizer) -> None:
    static = graph(network, quantise(network, tokenizer, POSTS))
    network.int8_layers = Int8Layers(dynamic(static), 1)
    with pytest.raises(UserError, match="other states alone than in a batch"):
        check_alone(network, tokenizer, POSTS)


def test_the_view_with_context_is_compared_too(tokenizer: TweetTokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    network = Tagger(BertConfig(**SMALL, **WIDE), Design(views=("text", "text+context"))).eval()
    network.int8_layers = build(network, quantise(network, tokenizer, POSTS), 1)
    read: list[int] = []

    def encode(view: Sequences) -> tuple[torch.Tensor, torch.Tensor]:
        read.append(int(view.segments.sum()))
        return Tagger.encode(network, view)

    monkeypatch.setattr(network, "encode", encode)
    check_alone(network, tokenizer, POSTS)
    assert not any(read)
    check_alone(network, tokenizer, [replace(each, caption="a city") for each in POSTS])
    assert any(read)


def test_posts_that_are_never_read_together_prove_nothing(network: Tagger, tokenizer: TweetTokenizer) -> None:
    network.int8_layers = build(network, quantise(network, tokenizer, POSTS), 1)
    with pytest.raises(UserError, match="no two validation posts have about the same length"):
        check_alone(network, tokenizer, [POSTS[0], POSTS[8]])


def test_the_graph_is_valid_and_the_same_each_time(network: Tagger, tokenizer: TweetTokenizer) -> None:
    scales = quantise(network, tokenizer, POSTS)
    content = graph(network, scales)
    onnx.checker.check_model(onnx.load_from_string(content))
    assert graph(deepcopy(network), scales) == content


def test_weights_are_rounded_to_the_nearest_of_seven_bits(network: Tagger, tokenizer: TweetTokenizer) -> None:
    scales = quantise(spread(network), tokenizer, POSTS)
    step, module = int8_layers(network, scales)[1].up, modules(network)[1].up
    exact = module.weight.detach().double().numpy() / step.smoothing
    error = np.abs(step.weight.T * step.weight_scale[:, None] - exact)
    assert (error <= 0.5001 * step.weight_scale[:, None]).all()
    assert (np.abs(step.weight).max(0) == 63).all()
    assert np.array_equal(step.bias, module.bias.detach().numpy())


def test_scales_of_other_weights_are_refused(network: Tagger, tokenizer: TweetTokenizer) -> None:
    scales = quantise(network, tokenizer, POSTS)
    other = deepcopy(network)
    modules(other)[1].norm.bias.data[3] += 0.01
    with pytest.raises(ValueError, match="other weights than those that were quantised"):
        int8_layers(other, scales)
    wider = tagger(BertConfig(**SMALL, intermediate_size=128))
    with pytest.raises(ValueError, match="64 factors for 128 inputs"):
        int8_layers(wider, scales)
    deeper = tagger(BertConfig(**SMALL | {"num_hidden_layers": 3}, **WIDE))
    with pytest.raises(ValueError, match="shorter than"):
        int8_layers(deeper, scales)


def test_broken_scales_are_refused(network: Tagger, tokenizer: TweetTokenizer) -> None:
    scales = quantise(network, tokenizer, POSTS)
    tensors = load(scales)
    without = save({name: value for name, value in tensors.items() if name != SCALE})
    for content in (scales[:-10], b"other", without, save(tensors | {SCALE: np.array(1.0, np.float32)})):
        with pytest.raises(ValueError, match="it is broken"):
            int8_layers(network, content)


def test_training_never_reads_in_int8(network: Tagger, tokenizer: TweetTokenizer) -> None:
    batch = collate([tokenizer.encode_words(POSTS[0].words, None)], tokenizer.config, network.design)
    before, _ = network.encode(batch.text)
    network.int8_layers = build(network, quantise(network, tokenizer, POSTS), 1)
    assert torch.equal(network.encode(batch.text)[0], before)


def test_an_encoder_of_another_kind_is_refused(tokenizer: TweetTokenizer) -> None:
    network = tagger(DistilBertConfig(vocab_size=30522, dim=32, n_layers=1, n_heads=2, hidden_dim=64))
    with pytest.raises(UserError, match=r"distilbert .* cannot be quantised; only BERT and MPNet can"):
        quantise(network, tokenizer, POSTS)


@pytest.mark.parametrize(
    ("config", "longest"),
    [
        pytest.param(BertConfig(**SMALL, **WIDE, max_position_embeddings=514), 514, id="bert"),
        pytest.param(MPNetConfig(**SMALL, **WIDE, max_position_embeddings=512), 510, id="mpnet"),
    ],
)
def test_an_encoder_whose_longest_sequence_cannot_be_padded_is_refused(
    config: PretrainedConfig, longest: int, tokenizer: TweetTokenizer
) -> None:
    with pytest.raises(UserError, match=f"its longest sequence has {longest} positions, which is no multiple of 8"):
        quantise(tagger(config), tokenizer, POSTS)


def test_sequences_are_grouped_by_their_own_length_alone() -> None:
    lengths = [3, 9, 8, 17, 5, 16, 400]
    made = list(groups(lengths, most=16))
    assert sorted(index for group in made for index in group) == list(range(len(lengths)))
    assert all(len({padded(lengths[index]) for index in group}) == 1 for group in made)
    assert made[0] == [0, 2]
    assert made[1] == [4], "two of eight fill a reading of 16"
