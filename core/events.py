"""The values that cross a boundary: Kafka topics, sinks, files. All frozen, all validated.

A leaf module: it imports nothing of the project and no Faust, so that `model` and `sinks` may use it.
Offsets are code points of the raw tweet text, end exclusive: `text[start:end] == mention.text`, checked here.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, Protocol, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

SCHEMA_VERSION = 1
HEADERS = [("schema", str(SCHEMA_VERSION).encode())]
"""Of every Kafka message that we write."""

MAX_EDIT = 2**16 - 1
EXPLAINED = 8
"""Problems of one event that are told; a stranger's event may have millions."""

EntityType = Literal["PER", "LOC", "ORG", "MISC"]
ENTITY_TYPES: tuple[EntityType, ...] = ("PER", "LOC", "ORG", "MISC")

Identifier = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.:@-]{1,128}$")]
Score = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
Variance = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]


class Value(BaseModel):
    """Frozen; unknown fields are refused, since we wrote the message ourselves."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_by_name=True, validate_by_alias=True, loc_by_alias=False
    )


class LenientModel(BaseModel):
    """Frozen; unknown fields are ignored, since somebody else wrote the message."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Author(LenientModel):
    id: str | None = Field(default=None, max_length=128)
    name: str | None = Field(default=None, max_length=512)


class Media(LenientModel):
    url: str = Field(min_length=1, max_length=4096)
    type: str = Field(default="photo", max_length=32)
    alt: str | None = Field(default=None, max_length=4096)


class Tweet(LenientModel):
    """One post, as a feed sends it. Only `id` and `text` are required. `edit` counts a post's later versions."""

    id: Identifier
    text: str = Field(min_length=1, max_length=25_000)
    created_at: AwareDatetime | None = None
    author: Author | None = None
    lang: str | None = Field(default=None, max_length=16)
    media: tuple[Media, ...] = Field(default=(), max_length=16, fail_fast=True)
    source: str = Field(default="unknown", max_length=64)
    edit: int = Field(default=0, ge=0, le=MAX_EDIT)
    reply_to: Identifier | None = None
    quote_of: Identifier | None = None

    @field_validator("created_at")
    @classmethod
    def _of_our_times(cls, moment: datetime | None) -> datetime | None:
        if moment is not None and not 1970 <= moment.year <= 9998:
            raise ValueError("wanted a moment between 1970 and 9998")
        return moment

    @field_validator("text")
    @classmethod
    def _says_something(cls, text: str) -> str:
        if not text.strip():
            raise ValueError("is blank; wanted the post's words")
        return text


class Opinion(Value):
    """What one view (modality) alone thinks of a mention's span and type.

    `probability` that the span has this type; `share`: the view's part of the fused evidence, nu_v / sum nu,
    in [0, 1]; aleatoric and epistemic as in `Mention`.
    """

    probability: Score
    aleatoric: Variance
    epistemic: Variance
    share: Score


class Mention(Value):
    """An entity in a tweet. Aleatoric = E[sigma^2] = beta/(alpha-1), epistemic = Var[mu] = beta/(nu(alpha-1)),
    nu weighted by how well the model knows such words (`model.evidence.NIG.counted`)."""

    start: int = Field(ge=0)
    end: int = Field(gt=0)
    text: str = Field(min_length=1)
    type: EntityType
    probability: Score
    aleatoric: Variance
    epistemic: Variance
    views: dict[str, Opinion] = Field(default_factory=dict)
    source: Literal["model", "human"] = "model"

    @model_validator(mode="after")
    def _span_is_not_empty(self) -> Self:
        if self.start >= self.end:
            raise ValueError(f"a mention's start {self.start} must lie before its end {self.end}")
        return self


class Stretch(Protocol):
    """Code points [start, end)."""

    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...


def overlap(one: Stretch, other: Stretch) -> bool:
    return one.start < other.end and other.start < one.end


class ImageResult(Value):
    """What became of a tweet's image. `reason` is set whenever status is `failed`. `channels`: of an image that was
    had, what became of each vision channel (tags, caption, ocr): `read`, `near` (lent by a
    copy of the image), or why there is nothing of it."""

    status: Literal["none", "ok", "failed"] = "none"
    reason: str | None = None
    url: str | None = None
    width: int | None = None
    height: int | None = None
    format: str | None = None
    channels: dict[str, str] = Field(default_factory=dict)


def _nothing(value: object) -> bool:
    """Fields younger than the rest are written only where they say something, so that older readers read the others."""
    return not value


def _off(threshold: float) -> bool:
    return threshold == 1


def _check_spans(text: str, mentions: tuple[Mention, ...]) -> None:
    for mention in mentions:
        if text[mention.start : mention.end] != mention.text:
            raise ValueError(
                f"mention {mention.text!r} is not what stands at [{mention.start}:{mention.end}] of the tweet: "
                f"{text[mention.start : mention.end]!r}"
            )


class Extraction(Value):
    """What the model found in one tweet. `timings_ms` is for people and metrics; no sink stores it.

    `candidates`: spans of up to eight words that the model did not choose but holds for `candidate_threshold` probable or
    more, the likeliest first; they may overlap each other and the mentions. Without any, the threshold is 1.
    """

    tweet: Tweet
    mentions: tuple[Mention, ...] = ()
    candidates: tuple[Mention, ...] = Field(default=(), validation_alias="possible", exclude_if=_nothing)
    image: ImageResult = ImageResult()
    context: str | None = None
    model: str
    model_version: int = Field(validation_alias="release", ge=0, lt=2**40)
    """Unix time of the checkpoint's training."""
    threshold: Score
    candidate_threshold: Score = Field(default=1.0, validation_alias="possible_threshold", exclude_if=_off)
    timings_ms: dict[str, float] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _mentions_stand_in_the_text(self) -> Self:
        _check_spans(self.tweet.text, self.mentions + self.candidates)
        return self


class Reason(Value):
    """Why one mention is sent to a person: machine-readable `kind` and a sentence for the reviewer."""

    kind: Literal["maybe_missed", "other_type", "low_probability", "views_disagree", "little_evidence", "ambiguous"]
    sentence: str


class Question(Value):
    """One uncertain mention of a task, with the reasons, the gravest first. `is_candidate`: the model did not choose it."""

    mention: Mention
    reasons: tuple[Reason, ...] = Field(validation_alias="doubts")
    is_candidate: bool = Field(default=False, validation_alias="possible", exclude_if=_nothing)

    @property
    def uncertainty(self) -> float:
        """The probability, by the model's own account, that what it chose is wrong here."""
        return self.mention.probability if self.is_candidate else 1.0 - self.mention.probability


class ReviewTask(Value):
    """One tweet with at least one question. `uncertainty`, that of the gravest, orders the queue, highest first.

    `candidate_threshold`: the probability from which candidates are asked about here; 1 where none is.
    """

    id: str = Field(description="tweet id, model and release: adding it twice is one task")
    tweet: Tweet
    questions: tuple[Question, ...] = Field(min_length=1)
    confident: tuple[Mention, ...] = ()
    image: ImageResult = ImageResult()
    context: str | None = None
    model: str
    model_version: int = Field(validation_alias="release", ge=0, lt=2**40)
    threshold: Score
    candidate_threshold: Score = Field(default=1.0, validation_alias="possible_threshold", exclude_if=_off)
    uncertainty: Score


Action = Literal["accept", "reject", "retype", "respan", "add"]


class Verdict(Value):
    """What a person did with one mention: `before` as the model had it (none if added), `after` (none if rejected).

    `is_candidate`: the model had not chosen `before`: it was wrong where a person accepts it, right where one rejects it.
    """

    action: Action
    before: Mention | None = None
    after: Mention | None = None
    is_candidate: bool = Field(default=False, validation_alias="possible", exclude_if=_nothing)


class Decision(Value):
    """A person's word on a task. Carries the whole tweet, so that the index can be rebuilt from decisions alone.

    `settle`: `mentions` is the final list (the confident ones and what the person made of the questions), all of
    source `human`. `retract`: the person took a settled task back; `mentions` are the model's confident ones again
    and the task reopens. The later `decided_at` wins.
    """

    id: Identifier
    kind: Literal["settle", "retract"] = "settle"
    task: ReviewTask
    mentions: tuple[Mention, ...]
    verdicts: tuple[Verdict, ...] = ()
    reviewer: str = Field(min_length=1, max_length=128)
    decided_at: AwareDatetime

    @model_validator(mode="after")
    def _mentions_stand_in_the_text(self) -> Self:
        _check_spans(self.task.tweet.text, self.mentions)
        return self


class Tombstone(LenientModel):
    """The platform or the author deleted the tweet: index and queue must forget it, for good."""

    id: Identifier
    reason: str | None = Field(default=None, max_length=512)


class DeadLetter(Value):
    """An event that could not be processed, as it came. `value` is the original bytes: text, or base64 where text
    would not do or would be longer. `omitted`: bytes at its end that no dead letter can hold; they are still in the
    topic it came from."""

    topic: str
    partition: int
    offset: int
    stage: str
    error: str
    reason: str
    key: str | None = None
    value: str | None = None
    encoding: Literal["utf-8", "base64"] = "utf-8"
    omitted: int = Field(default=0, ge=0)


def explain(error: ValidationError) -> str:
    """One line for a pydantic error: the fields (eight at most), the values they had, and what was wanted."""
    parts = []
    problems = error.errors(include_url=False, include_context=False)
    for problem in problems[:EXPLAINED]:
        field = ".".join(str(step) for step in problem["loc"]) or "event"
        value = repr(problem["input"])
        shown = value if len(value) <= 80 else value[:77] + "..."
        missing = problem["type"] in {"missing", "json_invalid"}
        message = problem["msg"].removeprefix("Value error, ")
        parts.append(f"{field}: {message}" + ("" if missing else f" (got {shown})"))
    if len(problems) > EXPLAINED:
        parts.append(f"and {len(problems) - EXPLAINED} more")
    return "; ".join(parts)
