"""Every setting, typed and validated once at start. Environment `MNER_*` first, then `.env`, then the default here."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl, urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, FiniteFloat, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from yarl import URL

from core.errors import UserError

CHECKPOINT = Path(__file__).resolve().parent.parent / "model" / "checkpoint"

REDIS_OPTIONS = {
    "db": r"\d{1,5}",
    "username": r".+",
    "password": r".+",
    "client_name": r"[!-~]+",
    "socket_timeout": r"\d{1,6}(\.\d+)?",
    "socket_connect_timeout": r"\d{1,6}(\.\d+)?",
    "health_check_interval": r"\d{1,6}",
    "max_connections": r"[1-9]\d{0,5}",
    "ssl_cert_reqs": r"none|optional|required",
    "ssl_ca_certs": r".+",
    "ssl_certfile": r".+",
    "ssl_keyfile": r".+",
}
"""What may stand behind the `?` of MNER_REDIS (redis-py, "Connection.from_url"); `ssl_...` with rediss:// alone."""


def _brokers(value: str) -> str:
    for address in value.split(","):
        found = re.fullmatch(r"(?:\[[0-9a-fA-F:]+\]|[A-Za-z0-9._-]+):(\d{1,5})", address.strip())
        if not found or not 0 < int(found[1]) < 65536:
            raise ValueError(f"{masked(address)!r} is not host:port; several are separated by commas")
    return value


def _listener(value: str) -> str:
    found = re.fullmatch(r"(?:\[[0-9a-fA-F:]+\]|[A-Za-z0-9._-]+):(\d{1,5})", value)
    if not found or not 0 < int(found[1]) < 65536:
        raise ValueError(f"{value!r} is not host:port, such as 127.0.0.1:9464")
    return value


def _url(*schemes: str) -> AfterValidator:
    """A URL that the client will take. What it says of a wrong one never holds a part of it: that may be a password."""
    example = f"{schemes[0]}://127.0.0.1:{9200 if 'http' in schemes else 6379}"

    def check(value: str) -> str:
        try:
            parts = urlsplit(value)
            port, query = parts.port, parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
        except ValueError:
            raise ValueError(f"wanted a URL such as {example}, with a port of 1 to 65535") from None
        if parts.scheme not in schemes or not (parts.path if parts.scheme == "unix" else parts.hostname) or port == 0:
            raise ValueError(f"wanted a URL such as {example}{' or unix:///path' if 'unix' in schemes else ''}")
        if parts.scheme.startswith("redis") and not re.fullmatch(r"(/\d{0,5})?", parts.path):
            raise ValueError("the path of the URL is the database's number")
        if parts.fragment or (query and "redis" not in schemes):
            raise ValueError("this URL takes nothing behind a `?` or a `#`")
        for name, given in query:
            if name not in REDIS_OPTIONS or (name.startswith("ssl_") and parts.scheme != "rediss"):
                raise ValueError(f"an option behind the `?` that {parts.scheme}:// does not have")
            if not re.fullmatch(REDIS_OPTIONS[name], given):
                raise ValueError(f"behind the `?`, {name} has a value that the client does not take")
        return value

    return AfterValidator(check)


def _commas(value: Any) -> Any:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def _as_in_urls(entries: tuple[str, ...]) -> tuple[str, ...]:
    """Each host:port as it stands in a URL that was read: lower case, IDNA, the short form of an IPv6 address."""
    return tuple(map(_as_in_url, entries))


def _as_in_url(entry: str) -> str:
    found = re.fullmatch(r"(?:\[[0-9a-fA-F:.]+\]|[^\s\[\]:/?#@%\\]+):([0-9]{1,5})", entry)
    try:
        host = URL(f"http://{entry}").host_subcomponent if found and 0 < int(found[1]) < 65536 else None
    except ValueError:
        host = None
    if not found or not host:
        raise ValueError(f"{masked(entry)!r} is not host:port, such as intranet.example:80 or [::1]:8080")
    return f"{host}:{int(found[1])}"


Hosts = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_commas), AfterValidator(_as_in_urls)]
Ports = Annotated[tuple[Annotated[int, Field(ge=1, le=65535)], ...], NoDecode, BeforeValidator(_commas)]
Channels = Annotated[tuple[Literal["tags", "caption", "ocr"], ...], NoDecode, BeforeValidator(_commas)]


class Settings(BaseSettings):
    """One instance is made at start and handed down; nothing else reads the environment."""

    model_config = SettingsConfigDict(env_prefix="MNER_", env_file=".env", extra="ignore", frozen=True)

    # servers; where one is not set, the one that `mner local up` started is used
    kafka: Annotated[str, AfterValidator(_brokers)] | None = Field(None, description="brokers, host:port,host:port")
    elasticsearch: Annotated[str, _url("http", "https")] | None = Field(None, description="URL of the index's server")
    redis: Annotated[str, _url("redis", "rediss", "unix")] | None = Field(None, description="URL of the queue's server")
    home: Path = Field(Path(".mner"), description="folder for local servers' data, logs and the worker's state")
    prefix: str = Field("", pattern=r"^([a-z][a-z0-9_.-]{0,40})?$", description="before topic, index, key, group names")
    data: Path | None = Field(None, description="folder of data sets, for training and the tests that measure")

    # topics
    partitions: int = Field(4, ge=1, le=1024, description="partitions of each topic that is made")
    replication: int = Field(1, ge=1, le=7, description="replicas of each topic that is made")
    retention_hours: int = Field(168, ge=1, description="hours that tweets and extractions are kept")

    # model
    model: Path = Field(CHECKPOINT, description="checkpoint folder")
    model_factory: str = Field(
        "model.predictor:load",
        pattern=r"^[\w.]+:[\w.]+$",
        description="module:function that loads the model in its process; given `candidate_threshold` where MNER_CANDIDATE_THRESHOLD is set",
    )
    threshold: FiniteFloat | None = Field(
        None, ge=0, le=1, description="route to review below it; none: the checkpoint's"
    )
    candidate_threshold: FiniteFloat | None = Field(
        None,
        ge=0.01,
        le=1,
        description="also ask about spans this probable that are not chosen; none: the checkpoint's; 1: off",
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="where the model runs; auto: a GPU if seen")
    model_threads: int = Field(0, ge=0, description="CPU threads of the model's process; 0: one per core")
    model_timeout_s: FiniteFloat = Field(
        60.0, gt=0, description="seconds a batch may take before the process is replaced"
    )

    # micro-batches
    batch_tokens: int = Field(4096, ge=128, description="padded tokens in a batch at most: longest x count")
    batch_tweets: int = Field(64, ge=1, le=4096, description="tweets in a batch at most")
    batch_wait_ms: FiniteFloat = Field(20.0, ge=0, description="milliseconds a tweet waits for company at most")

    # pipeline
    in_flight: int = Field(512, ge=1, description="tweets between consumption and acknowledgement at most")
    retry_max_s: FiniteFloat = Field(5.0, gt=0, description="seconds between tries at most, when a server is away")
    drain_s: FiniteFloat = Field(20.0, ge=0, description="seconds that a stopping worker finishes what is in flight")
    dead_letter_run: int = Field(100, ge=1, description="dead letters in a row that stop the worker")
    dead_letter_share: FiniteFloat = Field(
        0.5, gt=0, le=1, description="share of dead letters of the last 500 that stops it"
    )
    stall_s: FiniteFloat = Field(300.0, gt=0, description="seconds without any acknowledgement that end a stuck worker")

    # images
    image_workers: int = Field(64, ge=1, description="images fetched at once at most")
    image_per_host: int = Field(16, ge=1, description="images fetched from one host at once at most")
    image_timeout_s: FiniteFloat = Field(5.0, gt=0, description="seconds to fetch one image, once it is its turn")
    image_wait_s: FiniteFloat = Field(30.0, gt=0, description="seconds that an image may wait for its turn")
    image_tries: int = Field(3, ge=1, le=10, description="requests for one image at most, where a failure may pass")
    image_break_after: int = Field(8, ge=1, description="failures in a row after which a host is left alone")
    image_break_s: FiniteFloat = Field(30.0, gt=0, description="seconds that it is left alone")
    image_max_bytes: int = Field(10_000_000, ge=1024, description="bytes of an image file at most")
    image_max_pixels: int = Field(40_000_000, ge=1024, description="width x height of an image at most")
    image_ports: Ports = Field((80, 443), description="ports that may be dialled")
    image_allow: Hosts = Field((), description="host:port exempt from the address check, for tests and intranets")
    image_cache_mb: int = Field(512, ge=0, description="megabytes (10^6 bytes) of images kept on disk; 0: none")
    image_cache_s: FiniteFloat = Field(3600.0, ge=0, description="seconds before a kept image is asked for again")
    image_cache_failed_s: FiniteFloat = Field(60.0, ge=0, description="seconds that a refusal is remembered")
    image_decoders: int = Field(0, ge=0, description="processes that decode images; 0: one per core")
    image_decode_s: FiniteFloat = Field(3.0, gt=0, description="seconds that decoding one image may take")
    image_memory_mb: int = Field(1024, ge=256, description="megabytes (10^6 bytes) of memory of each such process")

    # what the model reads of an image
    vision: Channels = Field(("tags", "caption", "ocr"), description="channels that are read; empty: none")
    vision_tags: str | None = Field(None, description="hub name or folder of a detector or classifier; none: built in")
    vision_caption: str | None = Field(None, description="hub name or folder of an image-to-text model; none: off")
    vision_batch: int = Field(8, ge=1, le=256, description="pictures read at once at most")
    vision_queue: int = Field(32, ge=1, description="pictures that may wait; the next ones go on without a context")
    vision_wait_s: FiniteFloat = Field(
        2.0, gt=0, description="seconds a worker lets pictures wait; the next ones, as above"
    )
    vision_timeout_s: FiniteFloat = Field(
        60.0, gt=0, description="seconds a tweet waits for its picture, and a batch of 8 may take; larger ones, longer"
    )
    vision_cache: int = Field(100_000, ge=0, description="pictures whose context is kept on disk; 0: none")
    vision_near: int = Field(16, ge=-1, le=64, description="bits of 256 a copy's hash may differ in; -1: none is lent")

    # sinks
    deliver_batch: int = Field(200, ge=1, description="extractions written at once at most")
    deliver_wait_ms: FiniteFloat = Field(50.0, ge=0, description="milliseconds an extraction waits for company at most")
    lease_s: FiniteFloat = Field(600.0, gt=0, description="seconds a reviewer keeps a claimed task")

    # Kafka client
    session_timeout_s: FiniteFloat = Field(
        10.0, ge=6, description="seconds after which a silent worker loses its partitions"
    )
    commit_interval_s: FiniteFloat = Field(1.0, gt=0, description="seconds between commits of offsets")
    metrics: Annotated[str, AfterValidator(_listener)] | None = Field(None, description="host:port for Prometheus")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="of the worker, on stderr")

    def name(self, what: str) -> str:
        """A topic, index, key or group name with this deployment's prefix."""
        return f"{self.prefix}{what}"


def load(**overrides: Any) -> Settings:
    """The settings of this process. Raises `UserError` naming the variable, the value and what was wanted."""
    try:
        return Settings(**overrides)
    except ValidationError as error:
        problems = [
            f"MNER_{str(fault['loc'][0]).upper()}={masked(fault['input'])!r}: "
            f"{fault['msg'].removeprefix('Value error, ')}"
            for fault in error.errors(include_url=False)
        ]
        raise UserError("bad setting: " + "; ".join(problems)) from None
    except UnicodeDecodeError as error:
        raise UserError(f".env is not in UTF-8 (byte {error.start}): save it as UTF-8") from None


def masked(value: Any) -> str:
    """A setting as it may be shown: of a URL, what may be secret is replaced by stars.

    Shown are the user, the host, a port that is a number, the path, and options that are known and harmless. Whatever
    stands before the last `@` counts as user and password, also where RFC 3986 would have wanted it escaped.
    """
    if isinstance(value, tuple):
        return ",".join(masked(part) for part in value)
    if not isinstance(value, str):
        return str(value)
    scheme, mark, rest = value.partition("://")
    if not mark:
        return f"***@{value.rpartition('@')[2]}" if "@" in value else value
    head, asked, query = rest.partition("?")
    login, at, place = head.rpartition("@")
    user, colon, _ = login.partition(":")
    shown = f"{user}:***@" if colon else "***@" if at else ""
    place = re.sub(r"^([^/:\[]*|\[[^\]]*\]):(?!\d*(/|$))[^/]*", r"\1:***", place)
    return f"{scheme}{mark}{shown}{place}{asked}{'&'.join(map(_masked_option, query.split('&'))) if asked else ''}"


def _masked_option(option: str) -> str:
    name = option.partition("=")[0]
    if name not in REDIS_OPTIONS:
        return "***"
    return f"{name}=***" if name in {"username", "password"} or "@" in option else option
