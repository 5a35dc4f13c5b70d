"""Finds the servers: from the settings, else those that `mner local up` started. Says how the clients reach them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from core import secret
from core.errors import UserError
from sinks.connect.elasticsearch import Cluster, ElasticsearchServer
from sinks.connect.kafka import Brokers, KafkaServer
from sinks.connect.redis import RedisServer, Store
from sinks.connect.tls import Tls
from sinks.connect.token import TokenCommand
from streams.secrets import secret_of
from streams.settings import Settings


@dataclass(frozen=True)
class Addresses:
    """What the clients of each server connect to."""

    kafka: Brokers
    elasticsearch: Cluster
    redis: Store


NAMES = ("kafka", "elasticsearch", "redis")


def addresses(settings: Settings) -> Addresses:
    """Returns all three servers.

    Raises `UserError` when one is neither set nor running locally, or when its settings do not fit together.
    """
    known = _known(settings, NAMES)
    return Addresses(
        _kafka(settings, known["kafka"]), _elasticsearch(settings, known["elasticsearch"]), _redis(settings, known)
    )


def kafka(settings: Settings) -> KafkaServer:
    """Returns the brokers. Raises as `addresses` does."""
    return _kafka(settings, _known(settings, ("kafka",))["kafka"])


def elasticsearch(settings: Settings) -> ElasticsearchServer:
    """Returns the nodes of Elasticsearch. Raises as `addresses` does."""
    return _elasticsearch(settings, _known(settings, ("elasticsearch",))["elasticsearch"])


def redis(settings: Settings) -> RedisServer:
    """Returns the server of Redis. Raises as `addresses` does."""
    return _redis(settings, _known(settings, ("redis",)))


def is_set(settings: Settings, name: str) -> bool:
    """Whether the settings say where one of `NAMES` is."""
    return bool(getattr(settings, name) or (name == "elasticsearch" and settings.elasticsearch_cloud_id))


def _kafka(settings: Settings, brokers: str | None) -> KafkaServer:
    password = secret_of(settings, "kafka_password", settings.kafka_user)
    key_password = secret_of(settings, "kafka_key_password")
    tls = None
    files = {name: getattr(settings, f"kafka_{name}") for name in ("ca", "certificate", "key")}
    if settings.kafka_tls:
        tls = Tls(
            "MNER_KAFKA",
            **files,
            key_password=key_password,
            check_hostname=settings.kafka_check_hostname,
            takes_password=True,
        )
    elif unused := _first(files):
        raise UserError(f"MNER_KAFKA_{unused.upper()} is set, but TLS is off: set MNER_KAFKA_TLS=true")
    mechanism, user, command = settings.kafka_sasl, settings.kafka_user, settings.kafka_token_command
    if mechanism is None and (user or password or command):
        raise UserError(
            "Kafka has a user, a password or a token command, but no MNER_KAFKA_SASL: set it to PLAIN, SCRAM-SHA-256, "
            "SCRAM-SHA-512 or OAUTHBEARER"
        )
    tokens = None
    if mechanism == "OAUTHBEARER":
        if command is None:
            raise UserError("MNER_KAFKA_SASL is OAUTHBEARER: set MNER_KAFKA_TOKEN_COMMAND")
        tokens = TokenCommand(secret.remember(command.get_secret_value()), "MNER_KAFKA_TOKEN_COMMAND")
    elif mechanism is not None and (user is None or password is None):
        raise UserError(f"MNER_KAFKA_SASL is {mechanism}: set MNER_KAFKA_USER and MNER_KAFKA_PASSWORD")
    if mechanism == "OAUTHBEARER":
        user = password = None
    return KafkaServer(str(brokers), tls, mechanism, user, password, tokens)


def _elasticsearch(settings: Settings, urls: str | None) -> ElasticsearchServer:
    cloud_id = settings.elasticsearch_cloud_id
    if cloud_id and settings.elasticsearch:
        raise UserError("MNER_ELASTICSEARCH and MNER_ELASTICSEARCH_CLOUD_ID are both set: keep one")
    for url in str(urls).split(","):
        _remember_password(url.strip())
    nodes = () if cloud_id else tuple(url.strip() for url in str(urls).split(","))
    files = {name: getattr(settings, f"elasticsearch_{name}") for name in ("ca", "certificate", "key")}
    used = _first(files)
    if used and not all(url.startswith("https:") for url in nodes):
        raise UserError(
            f"MNER_ELASTICSEARCH_{used.upper()} is set, but the URL is without TLS: begin MNER_ELASTICSEARCH with https://"
        )
    user = settings.elasticsearch_user
    password = secret_of(settings, "elasticsearch_password", user)
    api_key = secret_of(settings, "elasticsearch_api_key")
    if api_key and (user or password):
        raise UserError("MNER_ELASTICSEARCH_API_KEY and a user or password are both set: keep one")
    if (user is None) != (password is None):
        raise UserError("set both or none of MNER_ELASTICSEARCH_USER and MNER_ELASTICSEARCH_PASSWORD")
    return ElasticsearchServer(
        nodes, cloud_id, api_key, user, password, Tls("MNER_ELASTICSEARCH", **files) if used else None
    )


def _redis(settings: Settings, known: dict[str, str | None]) -> RedisServer:
    url = str(known["redis"])
    _remember_password(url)
    files = {name: getattr(settings, f"redis_{name}") for name in ("ca", "certificate", "key")}
    used = _first(files)
    if used and not url.startswith("rediss"):
        raise UserError(f"MNER_REDIS_{used.upper()} is set, but the URL is without TLS: begin MNER_REDIS with rediss")
    password = secret_of(settings, "redis_password")
    if settings.redis_user and password is None:
        raise UserError("MNER_REDIS_USER is set: set MNER_REDIS_PASSWORD as well")
    if password is not None and "@" in url:
        raise UserError("MNER_REDIS and MNER_REDIS_PASSWORD both hold a password: keep one")
    return RedisServer(
        url,
        settings.redis_user,
        password,
        Tls("MNER_REDIS", **files) if used else None,
        settings.redis_sentinel_user,
        secret_of(settings, "redis_sentinel_password"),
    )


def _remember_password(url: str) -> None:
    """Makes logs and errors hide a password that stands in a URL."""
    parts = urlsplit(url)
    if "@" in url and parts.password:
        secret.remember(parts.password)
        secret.remember(unquote(parts.password), unquote(parts.username or ""))


def _first(files: dict[str, Path | None]) -> str:
    return next((name for name, path in files.items() if path is not None), "")


def _known(settings: Settings, names: tuple[str, ...]) -> dict[str, str | None]:
    """Returns the addresses of these servers. That of Elasticsearch is None where a Cloud ID takes its place."""
    from local import stack

    unset = [name for name in names if not is_set(settings, name)]
    running = (stack.running(settings.home) if unset else None) or {}
    if missing := [name for name in unset if not running.get(name)]:
        variables = ", ".join(f"MNER_{name.upper()}" for name in missing)
        raise UserError(f"no address for {', '.join(missing)}: set {variables}, or start servers with `mner local up`")
    return {name: running[name] if name in unset else getattr(settings, name) for name in names}
