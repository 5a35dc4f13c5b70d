"""Describes an image in a sentence, with any image-to-text model of `transformers`. The project ships no such model.

Captioners (BLIP, BLIP-2, GIT, vision encoder-decoders) get only the image. Chat models get the image and an
instruction. Decoding is greedy and at most `MAX_NEW_TOKENS` long, so an image always gets the same caption.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image

from core.text import plain
from model.vision.tags import autocast, cannot_load, transformers

MAX_NEW_TOKENS = 40
MAX_CAPTION = 256
INSTRUCTION = "Describe this picture in one short sentence."


class Caption:
    """The channel `caption`. Raises `UserError` if the model cannot be loaded."""

    def __init__(self, model: str, device: str) -> None:
        self.device = device
        try:
            self.network = transformers().AutoModelForImageTextToText.from_pretrained(model).to(device).eval()
            self.processor, self.tokenizer, self.prompt = _processor(model)
        except Exception as error:  # a model may fail to load in any way: missing files, wrong shapes, missing packages
            raise cannot_load("caption", model, error) from None

    def read(self, images: Sequence[Image.Image]) -> list[str | None]:
        """Returns one caption per image, None where the model wrote nothing."""
        inputs = self._inputs(list(images)).to(self.device)
        with torch.inference_mode(), autocast(self.device):
            written = self.network.generate(**inputs, do_sample=False, num_beams=1, max_new_tokens=MAX_NEW_TOKENS)
        if self.prompt is not None:  # the output of a chat model begins with the prompt
            written = written[:, inputs["input_ids"].shape[1] :]
        captions = self.tokenizer.batch_decode(written, skip_special_tokens=True)
        return [plain(caption, MAX_CAPTION) or None for caption in captions]

    def _inputs(self, images: list[Image.Image]) -> Any:
        if self.prompt is None:
            return self.processor(images=images, return_tensors="pt")
        texts = [self.prompt] * len(images)
        return self.processor(images=[[image] for image in images], text=texts, padding=True, return_tensors="pt")


def _processor(model: str) -> tuple[Any, Any, str | None]:
    """Returns the image processor, the tokenizer, and the prompt if the model is a chat model."""
    auto = transformers()
    processor = auto.AutoProcessor.from_pretrained(model)
    if not hasattr(processor, "image_processor"):  # vision encoder-decoders have separate ones
        return auto.AutoImageProcessor.from_pretrained(model), auto.AutoTokenizer.from_pretrained(model), None
    if not getattr(processor, "chat_template", None):
        return processor, processor.tokenizer, None
    processor.tokenizer.padding_side = "left"
    chat = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": INSTRUCTION}]}]
    return processor, processor.tokenizer, processor.apply_chat_template(chat, add_generation_prompt=True)
