"""Captions of tiny models with random weights. Their words mean nothing, but they are handled like real ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers

from model.vision.caption import INSTRUCTION, MAX_CAPTION, MAX_NEW_TOKENS, Caption
from model.vision.channels import ReaderConfig
from model.vision.reader import load
from model.vision.tags import transformers as load_transformers
from tests.model.vision.sample_images import noise, request, written

transformers = load_transformers()

WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "<image>",
    "a",
    "man",
    "on",
    "the",
    "street",
    "re\u202ed",
    *INSTRUCTION.split(),
]
PAD, BOS, EOS, IMAGE = 0, 2, 3, 4
TOWER = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 16,
}
LANGUAGE = {
    "vocab_size": len(WORDS),
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "max_position_embeddings": 128,
    "bos_token_id": BOS,
    "eos_token_id": EOS,
    "pad_token_id": PAD,
}
SQUARE = {"height": 32, "width": 32}
CHAT = (
    "{% for message in messages %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image> {% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endfor %}"
)


def tokenizer() -> Any:
    words = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=words,
        **{"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"},
        **{"bos_token": "[CLS]", "eos_token": "[SEP]", "additional_special_tokens": ["<image>"]},
    )


def blip(folder: Path) -> None:
    text = LANGUAGE | {"encoder_hidden_size": 16, "projection_dim": 16, "sep_token_id": EOS}
    config = transformers.BlipConfig(text_config=text, vision_config=TOWER | {"projection_dim": 16})
    transformers.BlipForConditionalGeneration(config).save_pretrained(folder)
    transformers.BlipProcessor(transformers.BlipImageProcessor(size=SQUARE), tokenizer()).save_pretrained(folder)


def vision_encoder_decoder(folder: Path) -> None:
    config = transformers.VisionEncoderDecoderConfig.from_encoder_decoder_configs(
        transformers.ViTConfig(**TOWER), transformers.BertConfig(**LANGUAGE)
    )
    network = transformers.VisionEncoderDecoderModel(config)
    network.generation_config.decoder_start_token_id = BOS
    network.generation_config.eos_token_id, network.generation_config.pad_token_id = EOS, PAD
    network.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    transformers.ViTImageProcessor(size=SQUARE).save_pretrained(folder)


def llava(folder: Path) -> None:
    config = transformers.LlavaConfig(
        vision_config=transformers.CLIPVisionConfig(**TOWER, projection_dim=16),
        text_config=transformers.LlamaConfig(**LANGUAGE, num_key_value_heads=2),
        image_token_index=IMAGE,
        vision_feature_layer=-1,
    )
    transformers.LlavaForConditionalGeneration(config).save_pretrained(folder)
    transformers.LlavaProcessor(
        transformers.CLIPImageProcessor(size=SQUARE, crop_size=SQUARE),
        tokenizer(),
        **{"patch_size": 16, "num_additional_image_tokens": 1, "vision_feature_select_strategy": "default"},
        chat_template=CHAT,
    ).save_pretrained(folder)


@pytest.fixture(scope="module", params=[blip, vision_encoder_decoder, llava], ids=lambda make: str(make.__name__))
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a folder with all the files of a hub model."""
    made = tmp_path_factory.mktemp(request.param.__name__)
    torch.manual_seed(0)
    request.param(made)
    return made


def test_each_image_of_a_batch_gets_a_short_clean_caption(folder: Path) -> None:
    captions = Caption(str(folder), "cpu").read([noise((50, 40)), written((5, 5, "x")), noise((1, 1))])
    assert len(captions) == 3
    for caption in captions:
        assert caption is None or 0 < len(caption) <= MAX_CAPTION
        words = (caption or "").split()
        assert len(words) <= MAX_NEW_TOKENS
        assert not set(words) & {*WORDS[:5], "re\u202ed"}, "neither special tokens nor overrides"
        assert INSTRUCTION not in (caption or "")
    assert any(captions)


def test_captions_are_greedy_so_the_same_image_gives_the_same_words(folder: Path) -> None:
    channel = Caption(str(folder), "cpu")
    image = noise((50, 40))
    assert channel.read([image]) == channel.read([image])


def test_the_reader_returns_the_caption(folder: Path) -> None:
    reader = load(ReaderConfig(("caption",), caption=str(folder)).to_json(), device="cpu", threads=1)
    image = noise((50, 40))
    (context,) = reader.predict([request(image)])
    assert context.caption == Caption(str(folder), "cpu").read([image])[0]
    assert context.absent == {"tags": "off", "ocr": "off"}
