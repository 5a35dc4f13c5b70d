"""All settings: typed, validated once at start, and handed down in groups.

A setting's variable is `MNER_` and its place in `Settings`, joined by underscores: `image.max_bytes` is
`MNER_IMAGE_MAX_BYTES`. The environment comes first, then the file `.env`, then the default.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    FiniteFloat,
    SecretStr,
    ValidationError,
)
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from core.errors import UserError
from core.events import MAX_REVIEWERS
from core.secret import HIDDEN, shown
from model.accounts import Convention
from model.design import BATCH_TOKENS, RuntimeChoice
from streams import addresses, old_names
from streams.addresses import masked
from streams.server_settings import SecretFile, ServerSettings

ROOT = Path(__file__).resolve().parent.parent
CHECKPOINT = ROOT / "model" / "checkpoint"
SOURCES = ROOT / "config" / "sources.yaml"
PREFIX = "MNER_"
NO_CHANNEL = "none"
"""Value that turns all channels off. An empty value counts as unset."""


def _commas(value: Any) -> Any:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def _channels(value: Any) -> Any:
    return () if value == NO_CHANNEL else _commas(value)


Hosts = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_commas), AfterValidator(addresses.url_authorities)]
Ports = Annotated[tuple[Annotated[int, Field(ge=1, le=65535)], ...], NoDecode, BeforeValidator(_commas)]
Channels = Annotated[tuple[Literal["tags", "caption", "ocr"], ...], NoDecode, BeforeValidator(_channels)]
HostNames = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_commas), AfterValidator(addresses.host_names)]
Networks = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_commas), AfterValidator(addresses.networks)]


class Group(BaseModel):
    """Settings that are handed to a part of the program together."""

    model_config = ConfigDict(frozen=True)


class Batching(Group):
    """When the extract agent closes a batch for the model."""

    tokens: int = Field(
        BATCH_TOKENS,
        ge=128,
        description="Maximum size of a batch in padded tokens: length of its longest post times number of posts.",
    )
    tweets: int = Field(64, ge=1, le=4096, description="Maximum number of posts in a batch.")
    wait_ms: FiniteFloat = Field(
        20.0, ge=0, description="Longest time, in milliseconds, that a post waits for others to fill its batch."
    )


class Copies(Group):
    """How near-duplicates are treated."""

    window_s: FiniteFloat = Field(
        86_400.0,
        ge=0,
        le=31_536_000,
        description="Time, in seconds, for which a decision also settles later copies. The model's results are reused "
        "for the same time. 0 turns both off.",
    )


class DeadLetterLimits(Group):
    """How many failures of its own stop the worker. Events that are rejected for what they hold do not count."""

    run: int = Field(
        100,
        ge=1,
        description="Number of events in a row that fail through no fault of their own, after which the worker stops. "
        "Events that are rejected for what they hold do not count.",
    )
    share: FiniteFloat = Field(
        0.5,
        gt=0,
        le=1,
        description="The worker stops if more than this share of the last 500 events failed through no fault of their "
        "own. Events that are rejected for what they hold do not count.",
    )


class ImageLimits(Group):
    """What fetching, decoding and caching images may cost, and which servers it may reach."""

    workers: int = Field(64, ge=1, description="Maximum number of images that are fetched at the same time.")
    per_host: int = Field(
        16, ge=1, description="Maximum number of images that are fetched from one host at the same time."
    )
    timeout_s: FiniteFloat = Field(
        5.0,
        gt=0,
        description="Longest time, in seconds, to fetch one image, from the moment at which it first gets a slot.",
    )
    max_bytes: int = Field(10_000_000, ge=1024, description="Largest image file, in bytes.")
    max_pixels: int = Field(40_000_000, ge=1024, description="Largest image, in pixels: width times height.")
    ports: Ports = Field((80, 443), description="Ports that images may be fetched from.")
    allow: Hosts = Field(
        (), description="Servers, as host:port, that may have private addresses. For tests and intranets."
    )
    cache_mb: int = Field(512, ge=0, description="Disk space for fetched images, in MB (10^6 bytes). 0 keeps none.")
    cache_s: FiniteFloat = Field(
        3600.0,
        ge=0,
        description="Time, in seconds, after which a worker asks whether a cached image has changed.",
    )
    cache_hours: FiniteFloat = Field(
        12.0,
        gt=0,
        description="Longest time, in hours, that a fetched image is kept on disk, also if its post is still there.",
    )
    decoders: int = Field(0, ge=0, description="Number of processes that decode images. 0 means one for each core.")
    decode_s: FiniteFloat = Field(3.0, gt=0, description="Longest time, in seconds, to decode one image.")
    memory_mb: int = Field(1024, ge=256, description="Maximum memory of each decoding process, in MB (10^6 bytes).")


class VisionLimits(Group):
    """Which models read images, and how long an image waits for them."""

    channels: Channels = Field(
        ("tags", "caption", "ocr"), description="What is read from images: tags, caption, ocr; or none."
    )
    tags: str | None = Field(
        None,
        description="Detector or classifier for the tags: a hub name or a folder. If unset, the built-in one is used.",
    )
    caption: str | None = Field(
        None, description="Image-to-text model for captions: a hub name or a folder. If unset, no captions are made."
    )
    batch: int = Field(8, ge=1, le=256, description="Maximum number of images that are read in one batch.")
    wait_s: FiniteFloat = Field(
        2.0,
        gt=0,
        description="Longest time, in seconds, that an image waits for the vision models. "
        "An image that would wait longer is not read.",
    )
    timeout_s: FiniteFloat = Field(
        60.0,
        gt=0,
        description="Longest time, in seconds, that a post waits for its image. "
        "The vision models may take the same time for a batch of 8 images, and proportionally more for a larger one.",
    )
    cache: int = Field(100_000, ge=0, description="Number of images whose context is kept on disk. 0 keeps none.")
    cache_hours: FiniteFloat = Field(
        12.0,
        gt=0,
        description="Longest time, in hours, that the context of an image is kept on disk.",
    )


class Desk(Group):
    """How the web application is served, and who may use it. docs/desk-access.md has examples."""

    listen: Annotated[str, AfterValidator(addresses.listener)] = Field(
        "127.0.0.1:8700",
        description="Address, as host:port, of `mner desk`. "
        "A loopback address needs no login, unless users or a provider of identities are set.",
    )
    url: Annotated[str, AfterValidator(addresses.origin)] | None = Field(
        None,
        description="Address that people open, such as https://desk.example. With https, browsers send the cookies of "
        "the desk over TLS only.",
    )
    hosts: HostNames = Field(
        (), description="Further host names of the desk, without ports. Requests to any other host are refused."
    )
    proxies: Networks = Field(
        (),
        description="Proxies, as IP addresses or networks, whose X-Forwarded-For and X-Forwarded-Proto count. "
        "Those of others are ignored.",
    )
    users: Path | None = Field(
        None,
        description="File with the users and the hashes of their passwords. If unset, desk/users.json in MNER_HOME.",
    )
    session_hours: FiniteFloat = Field(
        12.0, gt=0, le=720, description="Longest time, in hours, that a person stays signed in."
    )
    idle_minutes: FiniteFloat = Field(
        60.0, ge=5, le=43_200, description="Time, in minutes, after which a person who does nothing is signed out."
    )
    oidc_issuer: Annotated[str, AfterValidator(addresses.issuer)] | None = Field(
        None,
        description="Issuer of OpenID Connect that signs people in, such as https://login.example/realms/mine. "
        "Its discovery document says the rest.",
    )
    oidc_client: str | None = Field(None, description="Client ID of the desk at the issuer.")
    oidc_secret: SecretStr | None = Field(
        None,
        description="Client secret of the desk at the issuer. If unset, the desk is a public client, with PKCE only.",
    )
    oidc_secret_file: SecretFile | None = Field(None, description="File that holds the client secret.")
    oidc_name: str = Field(
        "preferred_username",
        min_length=1,
        description="Claim with the name of a person. No two people of the issuer may have the same.",
    )
    oidc_roles: str = Field(
        "roles",
        min_length=1,
        description="Claim with the roles of a person: reviewer, analyst, admin. Other values are ignored. "
        "Dots lead into objects, as in realm_access.roles.",
    )
    audit_days: int = Field(
        90,
        ge=1,
        le=3650,
        description="Days of UTC, today included, that the audit log keeps. It holds ids of posts, also of "
        "erased ones.",
    )
    webhook_allow: Hosts = Field(
        (),
        description="Servers, as host:port, that webhooks may reach over http, and at private addresses. "
        "All others need https and a public address.",
    )


class Settings(ServerSettings):
    """All settings of a process. One instance is made at start; nothing else reads the environment."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=".env",
        env_ignore_empty=True,  # Compose passes a variable that is not set as an empty one
        env_nested_delimiter="_",
        env_nested_max_split=1,
        extra="ignore",
        frozen=True,
    )

    home: Path = Field(Path(".mner"), description="Folder for the caches, the logs and the data of local servers.")
    prefix: str = Field(
        "",
        pattern=r"^([a-z][a-z0-9_.-]{0,40})?$",
        description="Text that every name of a topic, index, Redis key and consumer group begins with.",
    )
    data: Path | None = Field(None, description="Folder of the data sets, for training and for tests.")

    # topics
    partitions: int = Field(4, ge=1, le=1024, description="Number of partitions of each new topic.")
    replication: int = Field(1, ge=1, le=7, description="Number of replicas of each new topic.")
    retention_hours: int = Field(
        168,
        ge=1,
        description="Time, in hours, for which topics keep posts and extractions. `mner topics create` applies it. "
        "Dead letters are kept four times as long.",
    )

    # duties
    sources: Path = Field(
        SOURCES, description="File with the terms of the sources, in YAML. It replaces `config/sources.yaml`."
    )
    index_retention_days: FiniteFloat | None = Field(
        None,
        gt=0,
        le=36_525,
        description="Time, in days, for which posts stay in the index and the queue, counted from when they were "
        "received. Decisions about them go, too. If unset, they stay for ever.",
    )

    # model
    model: Path = Field(CHECKPOINT, description="Checkpoint folder.")
    cascade: Path | None = Field(
        None,
        description="File of a cascade, which `mner calibrate --cascade` wrote. If set, a worker reads posts with its "
        "checkpoints, in place of the one in `MNER_MODEL`.",
    )
    model_factory: str = Field(
        "model.predictor:load",
        pattern=r"^[\w.]+:[\w.]+$",
        description="Function, as module:function, that loads the model in its own process.",
    )
    threshold: FiniteFloat | None = Field(
        None,
        ge=0,
        le=1,
        description="Mentions with a lower probability go to a person; at 1, all do. "
        "If unset, the threshold starts at the checkpoint's, and follows people's answers about drawn mentions.",
    )
    candidate_threshold: FiniteFloat | None = Field(
        None,
        ge=0.01,
        le=1,
        description="Lowest probability of a candidate, which is a span that the model did not choose. "
        "A person is asked about it, unless a mention has its span, "
        "or it overlaps a more probable candidate that is asked about. "
        "If unset, the checkpoint's candidate threshold is used. 1 turns candidates off.",
    )
    spot_check_share: FiniteFloat = Field(
        0.02,
        ge=0,
        le=1,
        description="Share of the mentions that a random draw picks. Confident ones among them become spot checks. "
        "0 turns the draw off, and the threshold stays where it is.",
    )
    accounts: Convention = Field(
        "account",
        description="What a user name such as @NASA is: an account, which is never a mention, or a word that may be "
        "one, as in most training corpora.",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="Where models run. auto uses a GPU if there is one."
    )
    runtime: RuntimeChoice = Field(
        "auto",
        description="What runs the encoder. int8 needs a checkpoint that `mner quantise` made, and the CPU. "
        "auto takes int8 if the checkpoint has it, models run on the CPU, and the CPU has VNNI.",
    )
    model_threads: int = Field(0, ge=0, description="CPU threads of the model's process. 0 means one for each core.")
    model_timeout_s: FiniteFloat = Field(
        60.0, gt=0, description="Longest time, in seconds, for one batch. If it takes longer, the process is replaced."
    )
    batch: Batching = Batching()

    # review
    reviewers: int = Field(
        1,
        ge=1,
        le=MAX_REVIEWERS,
        description="Number of people who must vote on each task. If their votes differ, one more person settles it.",
    )

    # pipeline
    in_flight: int = Field(
        512, ge=1, description="Maximum number of events that an agent has consumed but not yet acknowledged."
    )
    drain_s: FiniteFloat = Field(
        20.0, ge=0, description="Time, in seconds, that a stopping worker has to finish what is in flight."
    )
    dead_letter: DeadLetterLimits = DeadLetterLimits()
    copies: Copies = Copies()
    stall_s: FiniteFloat = Field(
        300.0, gt=0, description="A worker ends itself if it holds events and finishes none for this time, in seconds."
    )

    # images
    image: ImageLimits = ImageLimits()
    vision: VisionLimits = VisionLimits()

    # feeds
    x_token: SecretStr | None = Field(None, description="Bearer token of an app of X, for `mner feed x`.")
    x_token_file: SecretFile | None = Field(None, description="File that holds the bearer token of an app of X.")
    mastodon_token: SecretStr | None = Field(
        None, description="Access token of a Mastodon server, for `mner feed mastodon`."
    )
    mastodon_token_file: SecretFile | None = Field(
        None, description="File that holds the access token of a Mastodon server."
    )

    # desk
    desk: Desk = Desk()

    # worker
    session_timeout_s: FiniteFloat = Field(
        10.0,
        ge=6,
        description="Time, in seconds, after which Kafka gives a silent worker's partitions to others.",
    )
    metrics: Annotated[str, AfterValidator(addresses.listener)] | None = Field(
        None, description="Address, as host:port, where Prometheus reads the metrics. If unset, none are served."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO",
        description="Log level of the worker. "
        "If DEBUG is set in the environment, not in .env, errors of files and brokers come with a traceback.",
    )

    def name(self, what: str) -> str:
        """Returns the name of a topic, index, key or group with this deployment's prefix."""
        return f"{self.prefix}{what}"

    def changed(self, **changes: Any) -> Settings:
        """Returns a copy with other values, not validated. A group takes a mapping: `changed(image={"workers": 1})`."""
        groups = {name: getattr(self, name) for name in changes if isinstance(getattr(self, name), Group)}
        return self.model_copy(
            update=changes | {name: group.model_copy(update=changes[name]) for name, group in groups.items()}
        )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Lets old names stand for the new ones, in the environment and in `.env`."""
        groups = {f"{PREFIX}{name}".lower() for name, field in cls.model_fields.items() if _is_group(field)}
        for source in (env_settings, dotenv_settings):
            assert isinstance(source, EnvSettingsSource)
            source.env_vars = old_names.settle(source.env_vars, groups)
        return init_settings, env_settings, dotenv_settings


@dataclass(frozen=True, eq=False)
class Variable:
    """One setting. `path` names it in `Settings`: a field, or a group and a field of that group."""

    path: tuple[str, ...]
    field: FieldInfo

    @property
    def key(self) -> str:
        return "_".join(self.path)

    @property
    def name(self) -> str:
        return f"{PREFIX}{self.key.upper()}"

    @property
    def description(self) -> str:
        return self.field.description or ""

    @property
    def secret(self) -> bool:
        """Whether its value must not be shown."""
        return SecretStr in get_args(self.field.annotation)

    def value(self, settings: Settings) -> Any:
        owner, name = self._owner(settings)
        return getattr(owner, name)

    def is_set(self, settings: Settings) -> bool:
        """Whether the environment, `.env` or an argument gives its value."""
        owner, name = self._owner(settings)
        return name in owner.model_fields_set

    def _owner(self, settings: Settings) -> tuple[BaseModel, str]:
        *group, name = self.path
        return (getattr(settings, group[0]) if group else settings), name


def _is_group(field: FieldInfo) -> bool:
    return isinstance(field.default, Group)


def _variables() -> Iterator[Variable]:
    for name, field in Settings.model_fields.items():
        if _is_group(field):
            for inner, inner_field in type(field.default).model_fields.items():
                yield Variable((name, inner), inner_field)
        else:
            yield Variable((name,), field)


VARIABLES = tuple(_variables())
"""Every setting, in the order of `Settings`."""


def load(**overrides: Any) -> Settings:
    """Returns the settings of this process. `overrides` win over the environment; a group takes a mapping.

    Raises `UserError` that names each wrong variable, its value and what is expected.
    """
    try:
        return Settings(**overrides)
    except ValidationError as error:
        problems = [
            f"{_variable(fault['loc'])}={_shown(fault)!r}: {fault['msg'].removeprefix('Value error, ')}"
            for fault in error.errors(include_url=False)
        ]
        raise UserError("bad setting: " + "; ".join(problems)) from None
    except UnicodeDecodeError as error:
        raise UserError(f".env is not in UTF-8 (byte {error.start}): save it as UTF-8") from None


def _shown(fault: ErrorDetails) -> str:
    """Returns the wrong value, unless it is a secret."""
    known = next((known for known in VARIABLES if known.path == fault["loc"]), None)
    if known is not None and known.key.endswith("_file"):
        return shown(str(fault["input"]))
    return HIDDEN if known is not None and known.secret else masked(fault["input"])


def _variable(location: tuple[int | str, ...]) -> str:
    """Returns the variable's name. A group that is wrong as a whole can only come from an argument of `load`."""
    names = (known.name for known in VARIABLES if known.path == location[: len(known.path)])
    return next(names, PREFIX + "_".join(map(str, location)).upper())
