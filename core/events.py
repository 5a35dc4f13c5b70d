"""The values that cross a boundary: Kafka topics, sinks, files. All are frozen and validated.

Offsets are code points of the post's raw text, end exclusive. Validation checks `text[start:end] == mention.text`.
A `validation_alias` is the field's name in version 0.1. Messages with that name can still be read.
"""

from __future__ import annotations

import math
from datetime import datetime
from typing import Annotated, Any, Literal, Protocol, Self, get_args

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

from core import reading
from core.json_text import SURROGATE, read_json
from core.moments import FIRST_YEAR, LAST_YEAR, date_in_digits
from core.text import one_line

SCHEMA_VERSION = 1
#: Headers of every Kafka message that we write.
HEADERS = [("schema", str(SCHEMA_VERSION).encode())]

#: Largest size of an extraction or a decision, in bytes. A decision repeats its mentions: in the task, the verdicts and
#: the final list.
MAX_DERIVED_BYTES = 4_000_000

#: Longest text of a post, in characters.
MAX_TEXT = 25_000
#: Largest number of regions of an image, and the longest label of one, in characters. So regions have at most 40 kB.
MAX_REGIONS, MAX_LABEL = 30, 256
#: Largest number of problems that `explain` names. A stranger's event may have millions.
MAX_EXPLAINED = 8

BULK_ID = r"^[0-9a-f]{1,12}-[0-9a-f]{16}$"
"""The time of a bulk decision in Unix milliseconds, and a random number."""

EntityType = Literal["PER", "LOC", "ORG", "MISC"]
Runtime = Literal["torch", "int8"]
"""What ran the encoder of a model."""
#: Everything that lists types uses this order: the model's labels, the keys of the review, the colours.
ENTITY_TYPES: tuple[EntityType, ...] = get_args(EntityType)


def _digits_of(value: object) -> object:
    """Returns the digits of a whole number. Other numbers are refused, since they have lost digits already."""
    if isinstance(value, bool | float):
        raise ValueError("must be a string or a whole number; write the id in quotation marks")
    if isinstance(value, int) and abs(value) < 10**reading.MAX_ID:
        return str(value)
    return value


Identifier = Annotated[str, BeforeValidator(_digits_of), StringConstraints(pattern=reading.IDENTIFIER)]
Score = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
Variance = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]


class Value(BaseModel):
    """Base of our own messages. Frozen. Refuses unknown fields, because we wrote the message ourselves."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_by_name=True, validate_by_alias=True, loc_by_alias=False
    )


class LenientModel(BaseModel):
    """Base of messages from outside. Frozen. Ignores unknown fields, because somebody else wrote the message."""

    model_config = ConfigDict(frozen=True, extra="ignore")


# Older readers refuse unknown fields. So a field that was added later is written only when it is set.
def _is_empty(value: object) -> bool:
    return not value


def _is_unknown(value: object) -> bool:
    return value is None


class Author(LenientModel):
    id: str | None = Field(default=None, max_length=reading.MAX_ID)
    name: str | None = Field(default=None, max_length=reading.MAX_NAME)


class Media(LenientModel):
    url: str = Field(min_length=1, max_length=reading.MAX_URL)
    type: str = Field(default="photo", max_length=reading.MAX_TYPE)
    alt: str | None = Field(default=None, max_length=reading.MAX_ALT)

    @property
    def is_photo(self) -> bool:
        return reading.is_photo(self.type)


class Tweet(LenientModel):
    """One post, as a feed sends it. Only `id` and `text` are required, and only they can be wrong in its JSON.

    `model_validate_json` reads a stranger's post, and the other fields as widely as `core.reading` does. It notes in
    `left_out` what it cannot read, and drops a `left_out` or `received_at` that the post came with. Only as a part of
    our own messages does a post keep them. A post whose fields all have the form below is read as it is. A text may be
    blank: see `has_words`.
    """

    id: Identifier
    text: str = Field(max_length=MAX_TEXT)
    created_at: AwareDatetime | None = None
    author: Author | None = None
    lang: str | None = Field(default=None, max_length=reading.MAX_LANG)
    media: tuple[Media, ...] = Field(default=(), max_length=reading.MAX_MEDIA, fail_fast=True)
    source: str = Field(default="unknown", max_length=reading.MAX_SOURCE)
    #: 0 for the first version, 1 for its first correction
    edit: int = Field(default=0, ge=0, le=reading.MAX_EDIT)
    reply_to: Identifier | None = None
    quote_of: Identifier | None = None
    #: When Kafka appended the post's record. Set by the extract agent; a post that comes with it loses it. Readers
    #: before 0.3 ignore it.
    received_at: AwareDatetime | None = Field(default=None, exclude_if=_is_empty)
    #: Field -> why its value was cut, changed or left out. Readers before 0.3 ignore it.
    left_out: dict[reading.SideField, reading.Fault] = Field(default_factory=dict, exclude_if=_is_empty)

    @property
    def has_words(self) -> bool:
        """Whether the model has something to read. A post of media alone has no words."""
        return bool(self.text.strip())

    @classmethod
    def model_validate_json(cls, json_data: str | bytes | bytearray, **options: Any) -> Self:
        """Reads a post from JSON. Raises `ValidationError` only for `id`, `text`, and what is no JSON object."""
        try:
            post = super().model_validate_json(json_data, **options)
        except ValidationError as error:
            refusal = error
        else:
            noted = post.left_out or post.received_at
            return post.model_copy(update={"left_out": {}, "received_at": None}) if noted else post
        try:
            fields = read_json(json_data)
        except ValueError:
            raise refusal from None
        if not isinstance(fields, dict):
            raise refusal
        for ours in ("left_out", "received_at"):
            fields.pop(ours, None)
        try:
            return cls.model_validate(fields, **options)
        except ValidationError as error:
            refused = {str(problem["loc"][0]) for problem in error.errors(include_url=False, include_input=False)}
        return cls.model_validate(reading.read_side_fields(fields, refused), **options)

    @field_validator("left_out", mode="before")
    @classmethod
    def _is_known(cls, noted: object) -> object:
        return reading.known_faults(noted)

    @field_validator("created_at", mode="before")
    @classmethod
    def _is_no_number(cls, moment: object) -> object:
        if date_in_digits(moment) is not None:
            raise ValueError("is a date in digits alone, and would be read as a Unix time; write it in ISO 8601")
        return moment

    @field_validator("created_at")
    @classmethod
    def _is_plausible(cls, moment: datetime | None) -> datetime | None:
        if moment is not None and not FIRST_YEAR <= moment.year <= LAST_YEAR:
            raise ValueError(f"must lie between the years {FIRST_YEAR} and {LAST_YEAR}")
        return moment

    @field_validator("text", mode="before")
    @classmethod
    def _is_unicode(cls, text: object) -> object:
        if isinstance(text, str) and SURROGATE.search(text):
            raise ValueError("has half a surrogate pair, or bytes that are not UTF-8; send the text as UTF-8")
        return text


class Opinion(Value):
    """What one view (modality) alone says about a mention's span and type."""

    probability: Score  # that the span has this type
    aleatoric: Variance  # as in `Mention`
    epistemic: Variance  # as in `Mention`
    share: Score  # the view's part of the fused evidence, nu_v / sum nu


HIGHEST_THRESHOLD = math.nextafter(1.0, 0.0)
"""The highest threshold that a mention can reach. At 1 none is confident."""


def is_confident(probability: float, threshold: float) -> bool:
    """Whether a mention needs no person: it reaches the threshold. A threshold of 1 sends every mention to a person."""
    return threshold < 1 and probability >= threshold


class Mention(Value):
    """A span of a post with an entity type."""

    start: int = Field(ge=0)
    end: int = Field(gt=0)
    text: str = Field(min_length=1)
    type: EntityType
    probability: Score  # that span and type are both right
    aleatoric: Variance  # E[sigma^2] = beta / (alpha - 1)
    epistemic: Variance  # Var[mu] = beta / (nu (alpha - 1)), with a smaller nu for words unlike the training data
    views: dict[str, Opinion] = Field(default_factory=dict)
    source: Literal["model", "human"] = "model"

    def is_confident(self, threshold: float) -> bool:
        """Whether the mention needs no person."""
        return is_confident(self.probability, threshold)

    @model_validator(mode="after")
    def _span_is_not_empty(self) -> Self:
        if self.start >= self.end:
            raise ValueError(f"a mention's start {self.start} must lie before its end {self.end}")
        return self


class HasSpan(Protocol):
    """Anything that covers the code points [start, end) of a post."""

    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...


class Account(Value):
    """A user name in a post, with its `@`: exact, from the text alone (`model.accounts`).

    The model never takes it for a mention. A person may.
    """

    start: int = Field(ge=0)
    end: int = Field(gt=0)
    name: str = Field(min_length=1)  # lower case, without the first `@`


def overlaps(a: HasSpan, b: HasSpan) -> bool:
    return a.start < b.end and b.start < a.end


class Region(Value):
    """A part of an image in which an object or a line of text was found."""

    kind: Literal["text", "object"]
    label: str = Field(min_length=1, max_length=MAX_LABEL)  # the words of a text, or the name of an object
    score: Score
    #: Left, top, right and bottom, as shares of the image's width or height. They are the same at every size of it.
    box: tuple[Score, Score, Score, Score]


class ImageResult(Value):
    """The outcome of fetching and reading a post's image."""

    status: Literal["none", "ok", "failed"] = "none"
    reason: str | None = None  # set whenever the status is `failed`
    url: str | None = None
    width: int | None = None
    height: int | None = None
    format: str | None = None
    #: Channel -> its outcome for a fetched image: `read`, `near` (taken from a near-duplicate image), or the reason why
    #: the channel returned nothing.
    channels: dict[str, str] = Field(default_factory=dict)
    #: Perceptual hash of a fetched image, 64 hex digits. Absent before 0.4.
    phash: str | None = Field(default=None, exclude_if=_is_empty)
    #: What was found where, for reviewers. A stranger's words. Absent before 0.4.
    regions: tuple[Region, ...] = Field(default=(), max_length=MAX_REGIONS, exclude_if=_is_empty)


def _is_off(threshold: float) -> bool:
    return threshold == 1


def _is_torch(runtime: Runtime) -> bool:
    return runtime == "torch"


def _check_accounts(text: str, accounts: tuple[Account, ...]) -> None:
    for account in accounts:
        if not account.start + 1 < account.end <= len(text):
            raise ValueError(f"account {account.name!r} at [{account.start}:{account.end}] is not inside of the post")


def _check_spans(text: str, mentions: tuple[Mention, ...]) -> None:
    for mention in mentions:
        if text[mention.start : mention.end] != mention.text:
            raise ValueError(
                f"mention {mention.text!r} is not the post's text at [{mention.start}:{mention.end}], "
                f"which is {text[mention.start : mention.end]!r}"
            )


class Extraction(Value):
    """What the model found in one post."""

    tweet: Tweet
    mentions: tuple[Mention, ...] = ()
    #: Spans that the model did not choose but that reach `candidate_threshold`, the most probable first. They may
    #: overlap each other and the mentions.
    candidates: tuple[Mention, ...] = Field(default=(), validation_alias="possible", exclude_if=_is_empty)
    #: In order, none overlapping another or a mention. Absent before 0.4.
    accounts: tuple[Account, ...] = Field(default=(), exclude_if=_is_empty)
    image: ImageResult = ImageResult()
    context: str | None = None
    model: str
    #: Unix time, in seconds, of the checkpoint's training, or of the cascade's calibration. A later one wins in the
    #: index.
    model_version: int = Field(validation_alias="release", ge=0, lt=2**40)
    #: The checkpoint's, or that of the settings.
    threshold: Score
    #: The precision that the checkpoint promises at its threshold: the one in force follows people's answers, to keep
    #: it. Absent before 0.4, and if the threshold is fixed, by the settings or in an import.
    promised: Score | None = Field(default=None, exclude_if=_is_unknown)
    #: The candidate threshold that the model ran with; 1 when there are no candidates.
    candidate_threshold: Score = Field(default=1.0, validation_alias="possible_threshold", exclude_if=_is_off)
    #: Share of validation posts that are as unusual as this one or more so (`model.density`). Absent before 0.4.
    typicality: Score | None = Field(default=None, exclude_if=_is_unknown)
    #: Share of the text that the model read. Absent from posts without words. Absent before 0.4, when the model read a
    #: long post only up to the encoder's limit.
    read: Score | None = Field(default=None, exclude_if=_is_unknown)
    #: What ran the encoder: the model and its runtime together have the thresholds. Absent before 0.4, and for torch.
    runtime: Runtime = Field(default="torch", exclude_if=_is_torch)
    #: Name of the checkpoint that answered; `model` is then the name of the cascade. Absent before 0.4, without a
    #: cascade, and from posts without words.
    answered_by: str | None = Field(default=None, exclude_if=_is_unknown)
    timings_ms: dict[str, float] = Field(default_factory=dict)  # for people and metrics; no sink stores it

    @model_validator(mode="after")
    def _mentions_match_the_text(self) -> Self:
        _check_spans(self.tweet.text, self.mentions + self.candidates)
        _check_accounts(self.tweet.text, self.accounts)
        return self


class Reason(Value):
    """Why a question is asked: a `kind` for programs and a sentence for the reviewer."""

    kind: Literal[
        "maybe_missed", "other_type", "low_probability", "views_disagree", "little_evidence", "ambiguous", "audit"
    ]
    sentence: str


class Question(Value):
    """One uncertain mention or candidate of a task."""

    mention: Mention
    reasons: tuple[Reason, ...] = Field(validation_alias="doubts")  # the most serious first
    #: Whether the mention is a span that the model did not choose.
    is_candidate: bool = Field(default=False, validation_alias="possible", exclude_if=_is_empty)
    #: Whether the mention is a confident one, drawn at random. It stays in the index while it is asked about. Absent
    #: before 0.4.
    is_audit: bool = Field(default=False, exclude_if=_is_empty)
    #: Whether the mention is drawn at random, confident or not. Absent before 0.4.
    is_drawn: bool = Field(default=False, exclude_if=_is_empty)

    @property
    def uncertainty(self) -> float:
        """The model's own probability that its choice is wrong here."""
        return self.mention.probability if self.is_candidate else 1.0 - self.mention.probability


Action = Literal["accept", "reject", "retype", "respan", "add"]


class Verdict(Value):
    """What a person decided about one mention."""

    action: Action
    before: Mention | None = None  # as the model had it; None if a person added the mention
    after: Mention | None = None  # None if rejected
    #: Whether `before` is a span that the model did not choose. Then `accept` means that the model was wrong, and
    #: `reject` that it was right.
    is_candidate: bool = Field(default=False, validation_alias="possible", exclude_if=_is_empty)
    #: Whether `before` is a confident mention, drawn at random to measure the precision. Absent before 0.4.
    is_audit: bool = Field(default=False, exclude_if=_is_empty)

    def answers(self, question: Question) -> bool:
        """Whether this verdict is about the question's mention."""
        return self.before == question.mention and self.is_candidate == question.is_candidate


class ReviewTask(Value):
    """A post with at least one question for a person."""

    id: str  # made of the post's id, edit, model and model version
    tweet: Tweet
    #: Empty only in a decision that was imported, since an export does not hold what was asked.
    questions: tuple[Question, ...]
    confident: tuple[Mention, ...] = ()
    accounts: tuple[Account, ...] = Field(default=(), exclude_if=_is_empty)  # as in `Extraction`
    image: ImageResult = ImageResult()
    context: str | None = None
    typicality: Score | None = Field(default=None, exclude_if=_is_unknown)  # as in `Extraction`
    model: str
    model_version: int = Field(validation_alias="release", ge=0, lt=2**40)
    threshold: Score
    #: The checkpoint's threshold, where the one above follows people's answers. Absent before 0.4, and if it is fixed.
    checkpoint_threshold: Score | None = Field(default=None, exclude_if=_is_unknown)
    #: The lowest probability at which a person is asked about a candidate; 1 when nobody is asked.
    candidate_threshold: Score = Field(default=1.0, validation_alias="possible_threshold", exclude_if=_is_off)
    #: That of the most uncertain question. A spot check counts as `streams.routing.AUDIT_WEIGHT`. Orders the queue.
    uncertainty: Score
    #: Verdicts on some of the questions, which a person gave before the others were answered. Absent before 0.4.
    answers: tuple[Verdict, ...] = Field(default=(), exclude_if=_is_empty)

    @property
    def indexed(self) -> tuple[Mention, ...]:
        """What the index shows until the task is settled: the confident mentions, audited ones included."""
        audited = (question.mention for question in self.questions if question.is_audit)
        return tuple(sorted([*self.confident, *audited], key=lambda mention: (mention.start, mention.end)))

    @property
    def open_questions(self) -> tuple[Question, ...]:
        """The questions without an answer. One that an accepted mention overlaps is no longer asked."""
        accepted = [verdict.after for verdict in self.answers if verdict.after is not None]
        return tuple(
            question
            for question in self.questions
            if not any(verdict.answers(question) for verdict in self.answers)
            and not any(overlaps(question.mention, mention) for mention in accepted)
        )


class Vote(Value):
    """One person's answers to a task that several people read."""

    reviewer: str = Field(min_length=1, max_length=128)
    decided_at: AwareDatetime
    mentions: tuple[Mention, ...]  # the final list, as in a `settle`
    verdicts: tuple[Verdict, ...] = ()


#: Largest number of people who can be asked about one task.
MAX_REVIEWERS = 5


class Decision(Value):
    """What a person decided about a task. Carries the whole task, so it suffices to rebuild the index document.

    A `settle` carries the final mentions, the confident ones too. All have the source `human`.
    A `retract` reopens a settled task, or takes an `answer` back, and carries the model's confident mentions.
    An `answer` settles some questions of a task, which stays open. It carries all verdicts so far, and the confident
    mentions, since the index stays as it is.
    A `vote` adds or removes one person's vote. It leaves the task open, says nothing to the index, and has no mentions
    of its own.
    Of two decisions on a task, the one with the later `decided_at` wins. So each carries all votes that still count.
    """

    id: Identifier
    kind: Literal["settle", "retract", "answer", "vote"] = "settle"
    task: ReviewTask
    mentions: tuple[Mention, ...]
    verdicts: tuple[Verdict, ...] = ()
    reviewer: str = Field(min_length=1, max_length=128)
    decided_at: AwareDatetime
    #: Id of the post that the person looked at, if this post is a copy of it. Absent before 0.4.
    copy_of: Identifier | None = Field(default=None, exclude_if=_is_empty)
    #: Names the tasks that a person decided at once, with one key. Absent before 0.4.
    bulk_id: str | None = Field(default=None, pattern=BULK_ID, exclude_if=_is_empty)
    #: Number of tasks on the screen when the person decided them at once. Absent before 0.4.
    looked_at: int | None = Field(default=None, ge=1, exclude_if=_is_empty)
    #: One for each person, in the order of their times. Absent if one person decides alone.
    votes: tuple[Vote, ...] = Field(default=(), exclude_if=_is_empty)
    #: Number of votes that the task needs. Absent if one person decides alone.
    votes_needed: int = Field(default=0, ge=0, le=MAX_REVIEWERS, exclude_if=_is_empty)

    @property
    def is_disputed(self) -> bool:
        """Whether all votes are in and differ, so that somebody has to settle the task."""
        return self.kind != "settle" and 0 < self.votes_needed <= len(self.votes)

    @model_validator(mode="after")
    def _mentions_match_the_text(self) -> Self:
        _check_spans(self.task.tweet.text, self.mentions)
        for vote in self.votes:
            _check_spans(self.task.tweet.text, vote.mentions)
        return self


class DeadLetter(Value):
    """An event that cannot be processed, with the reason and its place in the topic it came from."""

    topic: str
    partition: int
    offset: int
    stage: str
    error: str
    reason: str
    key: str | None = None
    value: str | None = None  # the event's bytes: text if they are UTF-8 and need few JSON escapes, else base64
    encoding: Literal["utf-8", "base64"] = "utf-8"
    omitted: int = Field(default=0, ge=0)  # bytes cut off the end of `value`; they are still in `topic`


def explain(error: ValidationError) -> str:
    """Returns a pydantic error as one line: for each field (eight at most) what is wrong and the value it had."""
    parts = []
    problems = error.errors(include_url=False, include_context=False)
    for problem in problems[:MAX_EXPLAINED]:
        field = one_line(".".join(str(step) for step in problem["loc"]) or "event")
        value = repr(problem["input"])
        shown = value if len(value) <= 80 else value[:77] + "..."
        missing = problem["type"] in {"missing", "json_invalid"}
        message = problem["msg"].removeprefix("Value error, ")
        parts.append(f"{field}: {message}" + ("" if missing else f" (got {shown})"))
    if len(problems) > MAX_EXPLAINED:
        parts.append(f"and {len(problems) - MAX_EXPLAINED} more")
    return "; ".join(parts)
