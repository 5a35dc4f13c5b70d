"""What the clients of Kafka need: the brokers' addresses, TLS, and how to log in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sinks.connect.tls import Tls
from sinks.connect.token import AioProvider, Provider, TokenCommand


@dataclass(frozen=True, eq=False)
class KafkaServer:
    """Brokers with TLS or a login. As text it is the addresses alone, so it may be shown."""

    brokers: str  # host:port, several separated by commas
    tls: Tls | None = None
    mechanism: str | None = None  # of SASL, such as SCRAM-SHA-512
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    tokens: TokenCommand | None = field(default=None, repr=False)  # for OAUTHBEARER

    def __str__(self) -> str:
        return self.brokers

    @property
    def is_secured(self) -> bool:
        """Whether the brokers have TLS or a login."""
        return self.tls is not None or self.mechanism is not None


Brokers = str | KafkaServer
"""Plain addresses are for brokers without TLS and login."""


def addresses(brokers: Brokers) -> list[str]:
    """Returns the host:port of each broker."""
    return [address.strip() for address in str(brokers).split(",")]


def client_options(brokers: Brokers) -> dict[str, Any]:
    """Returns the options with which any client of kafka-python connects.

    Raises `UserError` when a file of TLS cannot be used, or when the token command prints no token.
    """
    options = _options(brokers)
    if isinstance(brokers, KafkaServer) and brokers.tokens:
        brokers.tokens.token()  # the client would only say that it cannot connect
        options["sasl_oauth_token_provider"] = Provider(brokers.tokens)
    return {"bootstrap_servers": addresses(brokers)} | options


def aio_options(brokers: Brokers) -> dict[str, Any]:
    """Returns the options with which a client of aiokafka connects. Raises `UserError` as `client_options` does."""
    options = _options(brokers)
    if isinstance(brokers, KafkaServer) and brokers.tokens:
        options["sasl_oauth_token_provider"] = AioProvider(brokers.tokens)
    return {"bootstrap_servers": addresses(brokers)} | options


def _options(brokers: Brokers) -> dict[str, Any]:
    if isinstance(brokers, str) or not brokers.is_secured:
        return {}
    secured = "SSL" if brokers.tls else "PLAINTEXT"
    options: dict[str, Any] = {"security_protocol": f"SASL_{secured}" if brokers.mechanism else secured}
    if brokers.tls:
        options["ssl_context"] = brokers.tls.context()
    if brokers.mechanism:
        options["sasl_mechanism"] = brokers.mechanism
    if brokers.user is not None:
        options |= {"sasl_plain_username": brokers.user, "sasl_plain_password": brokers.password or ""}
    return options
