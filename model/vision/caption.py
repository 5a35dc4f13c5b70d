"""What a picture shows, in a sentence: any image-to-text model of `transformers` by name. None comes with us.

Captioners (BLIP, BLIP-2, GIT, vision encoder-decoders) are given the picture alone, models that chat a picture and an
instruction. Greedy and of bounded length: one picture gets one caption, and it ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image

from core.text import plain
from model.vision.tags import autocast, refused, transformers

MAX_NEW_TOKENS = 40
MAX_CAPTION = 256
INSTRUCTION = "Describe this picture in one short sentence."


class Caption:
    """Raises `UserError` when the model cannot be loaded."""

    def __init__(self, model: str, device: str) -> None:
        self.device = device
        try:
            self.network = transformers().AutoModelForImageTextToText.from_pretrained(model).to(device).eval()
            self.images, self.tokenizer, self.prompt = _processor(model)
        except Exception as error:  # a folder of somebody's own may break anywhere: files, shapes, missing packages
            raise refused("caption", model, error) from None

    def read(self, pictures: Sequence[Image.Image]) -> list[str | None]:
        """None where the model said nothing."""
        inputs = self._inputs(list(pictures)).to(self.device)
        with torch.inference_mode(), autocast(self.device):
            written = self.network.generate(**inputs, do_sample=False, num_beams=1, max_new_tokens=MAX_NEW_TOKENS)
        if self.prompt is not None:  # a decoder repeats what it was asked
            written = written[:, inputs["input_ids"].shape[1] :]
        captions = self.tokenizer.batch_decode(written, skip_special_tokens=True)
        return [plain(caption, MAX_CAPTION) or None for caption in captions]

    def _inputs(self, pictures: list[Image.Image]) -> Any:
        if self.prompt is None:
            return self.images(images=pictures, return_tensors="pt")
        texts = [self.prompt] * len(pictures)
        return self.images(images=[[picture] for picture in pictures], text=texts, padding=True, return_tensors="pt")


def _processor(model: str) -> tuple[Any, Any, str | None]:
    """What prepares pictures, what turns tokens into text, and the prompt for models that chat."""
    auto = transformers()
    processor = auto.AutoProcessor.from_pretrained(model)
    if not hasattr(processor, "image_processor"):  # vision encoder-decoders have none that joins the two
        return auto.AutoImageProcessor.from_pretrained(model), auto.AutoTokenizer.from_pretrained(model), None
    if not getattr(processor, "chat_template", None):
        return processor, processor.tokenizer, None
    processor.tokenizer.padding_side = "left"
    asked = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": INSTRUCTION}]}]
    return processor, processor.tokenizer, processor.apply_chat_template(asked, add_generation_prompt=True)
