"""Any `transformers` encoder can be trained, or is refused in one line that says why."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import pytest
import torch
from transformers import (
    AlbertConfig,
    AlbertModel,
    BartConfig,
    BartModel,
    BertConfig,
    BertModel,
    ElectraConfig,
    ElectraModel,
    FunnelConfig,
    FunnelModel,
    GPT2Config,
    GPT2Model,
    PreTrainedModel,
    T5Config,
    T5EncoderModel,
    XLNetConfig,
    XLNetModel,
)

from core.errors import UserError
from core.events import Tweet
from model import packaged
from model.batch import collate
from model.checkpoint import describe
from model.design import Design
from model.extractor import Extractor
from model.predictor import load, run
from model.training.config import OptimisationConfig
from model.training.encoder import pretrained
from model.training.publish import write as write_checkpoint
from model.training.train import Trainer, items, layer_depth
from tests.model.corpora import write
from tests.model.toys import bert, examples, save
from tests.model.training.runs import train

Shape = Mapping[str, int | list[int]]
BERT: Shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
NARROW: Shape = {**BERT, "embedding_size": 16, "max_position_embeddings": 96}
HEADS = {"encoder_attention_heads": 2, "decoder_attention_heads": 2}


def built(model: type, config: type, shape: Shape) -> Callable[[int], PreTrainedModel]:
    """Returns a function that builds the model with fresh weights for a vocabulary size."""

    def build(size: int) -> PreTrainedModel:
        encoder: PreTrainedModel = model(config(vocab_size=size, **shape))
        return encoder

    return build


albert = built(AlbertModel, AlbertConfig, NARROW)
electra = built(ElectraModel, ElectraConfig, NARROW)
xlnet = built(XLNetModel, XLNetConfig, {"d_model": 32, "n_layer": 2, "n_head": 2, "d_inner": 64})
gpt2 = built(GPT2Model, GPT2Config, {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 96})
bart = built(
    BartModel,
    BartConfig,
    {"d_model": 32, "max_position_embeddings": 96, "encoder_layers": 1, "decoder_layers": 1} | HEADS,
)
t5 = built(T5EncoderModel, T5Config, {"d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 2, "num_heads": 2})
funnel = built(
    FunnelModel, FunnelConfig, {"d_model": 32, "n_head": 2, "d_head": 16, "d_inner": 64, "block_sizes": [2, 2, 2]}
)
short = built(BertModel, BertConfig, {**BERT, "max_position_embeddings": 69})


def halved(kind: torch.dtype) -> Callable[[int], PreTrainedModel]:
    """Returns a function that builds a BERT whose weights are stored in another precision."""

    def build(size: int) -> PreTrainedModel:
        for parameter in (encoder := bert(size)).parameters():
            parameter.data = parameter.data.to(kind)
        encoder.config.dtype = kind
        return encoder

    return build


@pytest.mark.parametrize(
    "build",
    [
        pytest.param(albert, id="narrower embeddings, shared layers"),
        pytest.param(electra, id="narrower embeddings"),
        pytest.param(xlnet, id="any number of positions"),
        pytest.param(gpt2, id="no encoder by name"),
        pytest.param(halved(torch.bfloat16), id="stored in bf16"),
        pytest.param(halved(torch.float16), id="stored in fp16"),
    ],
)
def test_an_encoder_is_trained_and_reads_every_word(build: Callable[[int], PreTrainedModel], tmp_path: Path) -> None:
    network, tokenizer = pretrained(str(save(tmp_path, build)), 0)
    learned = items(examples(8), tokenizer)
    assert [len(each.encoded.heads) for each in learned] == [len(each.words) for each in examples(8)]
    trainer = Trainer(network, learned, tokenizer, OptimisationConfig(epochs=1, batch_tokens=128), "cpu")
    seen: list[float] = []
    trainer.run_epoch(lambda done, value: seen.append(value))
    assert all(math.isfinite(value) and value > 0 for value in seen)

    predictor = trainer.predictor()
    (tmp_path / "out").mkdir()
    write_checkpoint(tmp_path / "out", predictor.network, tokenizer, predictor.info)
    encoded = [item.encoded for item in learned[:2]]
    for before, after in zip(
        run(predictor.network, encoded, tokenizer.config, "cpu").together,
        run(load(tmp_path / "out", device="cpu", threads=1).network, encoded, tokenizer.config, "cpu").together,
        strict=True,
    ):
        assert torch.allclose(before, after, atol=5e-3)


@pytest.mark.parametrize(
    ("build", "message", "design"),
    [
        pytest.param(bart, "has a decoder as well", Design(), id="encoder and decoder"),
        pytest.param(t5, "does not give a state for each word", Design(), id="no embeddings from outside"),
        pytest.param(funnel, "does not give a state for each word", Design(), id="inner states are fewer"),
        pytest.param(short, "takes 69 positions", Design(), id="no room for a text"),
        pytest.param(gpt2, "no linear layers to adapt", Design(adapt="lora"), id="nothing that adapters fit"),
    ],
)
def test_an_encoder_that_cannot_serve_is_refused(
    build: Callable[[int], PreTrainedModel], message: str, design: Design, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        pretrained(str(save(tmp_path, build)), 0, design)


def test_the_lowest_layers_can_be_kept_alone(tmp_path: Path) -> None:
    path = str(save(tmp_path, partial(bert, layers=4)))
    whole, tokenizer = pretrained(path, 0)
    network, _ = pretrained(path, 0, layers=2)
    own, kept = network.encoder.state_dict(), whole.encoder.state_dict()
    assert all(torch.equal(value, kept[name]) for name, value in own.items())
    assert {layer_depth(name) for name in own} == {0, 1, 2}
    batch = collate([each.encoded for each in items(examples(4), tokenizer)], tokenizer.config, network.design)
    output = whole.eval().encoder(input_ids=batch.text.ids, attention_mask=batch.text.mask, output_hidden_states=True)
    last, _ = network.eval().encode(batch.text)
    assert torch.allclose(last[batch.text.mask.bool()], output.hidden_states[2][batch.text.mask.bool()], atol=1e-5)
    with pytest.raises(UserError, match=r"layers 5: the encoder .* has 4"):
        pretrained(path, 0, layers=5)


@pytest.mark.parametrize(
    ("name", "content"),
    [("model.safetensors", b"\x10\0\0\0\0\0\0\0{"), ("config.json", b'{"model_type": "bert", "hidden_size": "x"}')],
)
def test_the_error_about_a_broken_encoder_is_one_line(name: str, content: bytes, tmp_path: Path) -> None:
    (save(tmp_path, bert) / name).write_bytes(content)
    with pytest.raises(UserError, match="cannot be loaded: ") as error:
        pretrained(str(tmp_path), 0)
    assert "\n" not in str(error.value)


def test_a_training_that_diverges_fails_and_is_not_published(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"diverged in epoch \d, (batch \d+: the loss is (nan|-?inf)|a weight is not finite); ch"
    ):
        train(
            tmp_path / "out",
            write(tmp_path / "toy2017"),
            {"encoder": save(tmp_path / "encoder", bert), "optimisation.encoder_rate": 1e30},
        )
    assert not (tmp_path / "out" / "README.md").exists()


def test_a_folder_named_like_a_packaged_encoder_keeps_its_own_weights(tmp_path: Path) -> None:
    train(
        tmp_path / "out",
        write(tmp_path / "toy2017"),
        {
            "encoder": save(tmp_path / packaged.MINILM, bert),
            "design.adapt": "lora",
            "design.rank": 2,
            "optimisation.epochs": 1,
        },
    )
    assert describe(tmp_path / "out").base is None
    assert Extractor.load(tmp_path / "out", device="cpu").extract([Tweet(id="1", text="ann visits rome")])


@pytest.mark.parametrize(
    ("name", "depth"),
    [
        ("encoder.embeddings.word_embeddings.weight", 0),
        ("encoder.encoder.layer.3.output.dense.weight", 4),
        ("encoder.transformer.layer.0.ffn.lin1.weight", 1),
        ("encoder.h.5.mlp.c_fc.weight", 6),
    ],
)
def test_a_parameter_has_the_depth_of_its_layer(name: str, depth: int) -> None:
    assert layer_depth(name) == depth
