"""Chooses and checks what a checkpoint reads of a corpus: views, captions and images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from core.errors import UserError

if TYPE_CHECKING:
    from model.extractor import Extractor
    from model.training.corpus import Example

Corpora = Annotated[Path, typer.Option(help="Folder with train.txt, valid.txt, test.txt, or a folder of such folders.")]
PromisedCaptions = Annotated[
    Path | None,
    typer.Option(
        help='Captions as JSON lines {"set", "img", "caption", "tags", "text"}. '
        "The promise then also holds for posts with captions."
    ),
]
Images = Annotated[
    Path | None, typer.Option(help="Folder with the images ID.jpg, for a checkpoint with a view `image`.")
]


def parse_views(views: str) -> tuple[str, ...]:
    """Splits the value of `--views` at its commas."""
    return tuple(view.strip() for view in views.split(","))


def check_readable(extractor: Extractor, examples: Sequence[Example]) -> None:
    """Raises `UserError` if the checkpoint only reads posts with captions, and no example has one."""
    from model.training.reading import caption_modes

    if not caption_modes(extractor.info.design, examples):
        raise UserError(f"{extractor.info.name} reads only posts with captions, and none has one: give --captions")


def with_images(extractor: Extractor, examples: Sequence[Example], images: Path | None) -> list[Example]:
    """Returns the examples with the features of the images ID.jpg in the folder `images`.

    Raises `UserError` if the checkpoint has a view `image` but no folder was given, or the other way round.
    """
    from model.image_encoder import ImageEncoder
    from model.training import corpus
    from model.training.image_features import read_features

    info = extractor.info
    if info.vision is None and images is None:
        return list(examples)
    if info.vision is None:
        raise UserError(f"--images: the checkpoint {info.name} reads no images; leave the option out")
    if images is None:
        raise UserError(f"the checkpoint {info.name} reads images: give --images")
    encoder = ImageEncoder(info.vision, extractor.predictor.device)
    features = read_features(images, [example.id for example in examples], encoder, lambda done: None)
    return corpus.with_images(examples, features)
