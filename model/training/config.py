"""The configuration of one training run, as a TOML file gives it.

A key of the file is a field here; a section is a class. Paths are used as given: the caller expands variables and
resolves relative paths.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from core.events import EntityType, Value
from model.accounts import Convention
from model.checkpoint import NAME
from model.design import CONTEXT, IMAGE, TEXT, TWO_VIEWS, Design, View

Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
AlignmentTemperature = Annotated[float, Field(ge=0.1, allow_inf_nan=False)]


class DataConfig(Value):
    """`[data]`: the corpora, and the checkpoints that teach."""

    folder: Path
    """A data set (train.txt, valid.txt, test.txt), or a folder of data sets."""
    captions: Path | None = None
    """JSON lines with "set", "img" and any of "caption", "tags", "text", for the view `text+context`."""
    images: Path | None = None
    """Folder with the images ID.jpg, for the view `image`. Some may be missing."""
    auxiliary: tuple[Path, ...] = ()
    """Data sets with another annotation scheme. Their labels are trained on, but never measured or calibrated on."""
    entire: tuple[Path, ...] = ()
    """Data sets as in `auxiliary`, whose validation and test splits are trained on too."""
    unannotated: dict[str, tuple[EntityType, ...]] = Field(default_factory=dict)
    """Types that a data set of `auxiliary` or `entire` marks only partly, or in another sense, by the last two parts of
    its path. Its words without a label may have such a type, and the words that it marks as one may have any label."""
    decisions: tuple[Path, ...] = ()
    """Files with exported decisions of people, as CoNLL. Their posts are trained on, but never measured or calibrated
    on."""
    unlabelled: tuple[Path, ...] = ()
    """Data sets whose labels are ignored: only the teachers' beliefs about their texts are learned."""
    teachers: tuple[Path, ...] = ()
    """Checkpoints whose beliefs are learned too. With several, the mean of their beliefs is learned."""
    names: Path | None = None
    """Folder with lists of names, one a line, for `augment.names`: persons.txt, music_artists.txt, cities.txt,
    companynames.txt and sportsteams.txt."""
    without: tuple[Path, ...] = ()
    """Data sets that the training must not see, whatever the other keys say. No post with the text of one of theirs is
    trained on. Teachers may still have seen them."""
    accounts: Convention = "mention"
    """What user names are, in training and in measuring. `account`: no mentions, as in the stream. A gold mention of an
    account does not count. Its words have the label O: the stream fixes it, and finds the other mentions given that.
    `mention`: words like any other, as the data sets label them."""


class DesignConfig(Value):
    """`[design]`: the parts of the network. `model.design.Design` says what each does."""

    views: tuple[View, ...] = TWO_VIEWS.views
    emission: Literal["student", "location"] = TWO_VIEWS.emission
    evidence: bool = TWO_VIEWS.evidence
    """If off, each view gives plain scores, which are averaged."""
    chain: bool = TWO_VIEWS.chain
    """If off, words are labelled independently, except that the labels must be legal BIO."""
    casing: bool = TWO_VIEWS.casing
    """An embedding of each word's casing."""
    adapt: Literal["full", "lora", "frozen"] = TWO_VIEWS.adapt
    """How the encoder is trained: all weights, low-rank adapters, or not at all."""
    rank: int = Field(TWO_VIEWS.rank, ge=1)
    """Rank of the adapters."""

    @model_validator(mode="after")
    def _views_differ(self) -> Self:
        if not self.views or len(set(self.views)) < len(self.views):
            raise ValueError(f"views: use one or more of {TEXT}, {CONTEXT}, {IMAGE}, each once")
        return self


class LossConfig(Value):
    """`[losses]`: the weight of each loss beside that of the labels, which is 1."""

    density: Weight = 0.03
    """Negative log-density of the label indicators under the NIG belief."""
    regulariser: Weight = 0.003
    """Cost of evidence on wrong labels."""
    alignment: Weight = 0.0
    """Divergence of the text view's label probabilities for each word from those of text and context."""
    alignment_temperature: AlignmentTemperature = 2.0
    """Temperature of the alignment. ITA uses 2 for Twitter-2017."""
    alignment_temperatures: dict[str, AlignmentTemperature] = Field(default_factory=dict)
    """Temperatures of data sets that need another one, by the name of the data set. ITA uses 4 for Twitter-2015."""
    teacher: Weight = 1.0
    """Divergence from the teachers' label probabilities for each word; without teachers it has no effect."""
    matching: Weight = 0.0
    """Log-loss of telling a post's own caption from another post's.

    If above 0, the context's evidence is multiplied by the estimated probability of a match.
    """
    swapped_share: Share = 0.25
    """With `matching`: share of the captions that are swapped for another post's. Each epoch draws them anew."""


class OptimisationConfig(Value):
    """`[optimisation]`: AdamW with linear warm-up and linear decay."""

    epochs: int = Field(6, ge=1)
    seed: int = Field(0, ge=0)
    encoder_rate: Rate = 2e-4
    """Highest learning rate of the encoder."""
    head_rate: Rate = 1e-3
    """Highest learning rate of everything on top of the encoder."""
    warmup: Share = 0.1
    """Share of the steps that warm up."""
    weight_decay: Weight = 0.01
    layer_decay: float = Field(1.0, ge=0.1, le=1)
    """Rate of a layer as a share of the rate of the next layer."""
    clip: Rate = 1.0
    """Largest norm of the gradient of all weights together."""
    batch_tokens: int = Field(1024, ge=128)
    """Largest number of padded tokens in a batch: length of its longest post times number of posts."""
    drop_context: Share = 0.5
    """Share of the captions that each epoch leaves out, so that the text without context is learned too."""


class AugmentConfig(Value):
    """`[augment]`: changes of the training posts, drawn anew in each epoch. Posts that are measured never change."""

    names: Share = 0.0
    """Share of the mentions of PER, LOC and ORG that get another name of their type, from `data.names`. What teachers
    believe of the words of these mentions is not learned."""
    casing: Share = 0.0
    """Share of the posts whose words are all lower-cased, upper-cased or capitalised."""


class TrainingConfig(Value):
    """The whole file: these keys, then the five sections."""

    name: str = Field("", pattern=rf"{NAME}|^$")
    """Name of the checkpoint: 1 to 64 letters, digits, dots, dashes or underscores. Default: ENCODER-evidential."""
    encoder: str = "minilm"
    """`minilm` or `mpnet` from installed packages, or any AutoModel encoder: a hub name or a path."""
    layers: int | None = Field(None, ge=1)
    """Number of the encoder's layers to keep, counted from the input. Default: all."""
    image_encoder: str | None = None
    """Any AutoModel of images (CLIP, SigLIP, ViT): a hub name or a path, for the view `image`."""
    start: Path | None = None
    """A checkpoint on the same encoder, whose weights the training starts from."""
    out: Path | None = None
    """Checkpoint folder to write. Default: runs/NAME."""
    target_precision: float = Field(0.95, ge=0, le=1)
    """Precision to promise for mentions at or above the review threshold."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int = Field(0, ge=0)
    """CPU threads. With 0, torch chooses the number."""
    data: DataConfig
    design: DesignConfig = DesignConfig()
    losses: LossConfig = LossConfig()
    augment: AugmentConfig = AugmentConfig()
    optimisation: OptimisationConfig = OptimisationConfig()

    @model_validator(mode="after")
    def _parts_fit_together(self) -> Self:
        data, views, losses = self.data, self.design.views, self.losses
        if not bool(data.images) == bool(self.image_encoder) == (IMAGE in views):
            raise ValueError(f"data.images, image_encoder and the view {IMAGE} in design.views: set all three or none")
        if data.unlabelled and not data.teachers:
            raise ValueError("data.unlabelled: texts without labels need data.teachers to learn from")
        for key in ("auxiliary", "entire", "decisions"):
            if getattr(data, key) and TEXT not in views:
                raise ValueError(f"data.{key}: its posts are read as text alone; add the view {TEXT} to design.views")
        if self.augment.names and not data.names:
            raise ValueError("augment.names: needs data.names, a folder with lists of names")
        if losses.matching and not (self.design.evidence and CONTEXT in views):
            raise ValueError(f"losses.matching: needs design.evidence and the view {CONTEXT} in design.views")
        if losses.matching and self.optimisation.drop_context == 1:
            raise ValueError("losses.matching: needs captions; set optimisation.drop_context below 1")
        return self

    @property
    def checkpoint_name(self) -> str:
        return self.name or re.sub(r"[^A-Za-z0-9_.-]", "-", Path(self.encoder).name)[:50] + "-evidential"

    def network_design(self, image_width: int) -> Design:
        """Returns the design of the network. `image_width`: width of the image features; 0 without the view `image`."""
        return Design(discount=self.losses.matching > 0, image_width=image_width, **self.design.model_dump())
