"""The image formats that are read, and how to recognise them. Imports nothing heavy: the decoding process needs it."""

from __future__ import annotations

import re
from typing import Literal, get_args

ImageFormat = Literal["JPEG", "PNG", "WEBP", "GIF", "BMP", "AVIF"]
"""Names as Pillow writes them."""

FORMATS: tuple[ImageFormat, ...] = get_args(ImageFormat)

ACCEPT = "image/jpeg, image/png, image/webp, image/gif, */*;q=0.8"
"""What a server is asked for. Not AVIF, which takes longest to decode; who has nothing else sends it anyway."""

_SIGNATURES = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|RIFF....WEBP|GIF8[79]a|BM.{4}\0\0\0\0|....ftypavi[fs]", re.DOTALL
)


def starts_like_an_image(body: bytes) -> bool:
    return _SIGNATURES.match(body) is not None
