"""Settings of the servers: where they are, TLS, and how to log in. docs/secure-servers.md has examples.

The fields form no groups, since `MNER_KAFKA`, `MNER_ELASTICSEARCH` and `MNER_REDIS` are settings themselves.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr
from pydantic_settings import BaseSettings

from core import secret
from streams import addresses


def _secret_file(path: Path) -> Path:
    secret.read_file(path)
    return path


SecretFile = Annotated[Path, AfterValidator(_secret_file)]
"""A file that holds one secret. It is read again at each use, so that a later command finds a new secret."""

CA = "File (PEM) with the authorities that sign the certificate of {}. If unset, those of this machine are trusted."
CERTIFICATE = "File (PEM) with our certificate, for {} that asks its clients for one."
KEY = "File (PEM) with the key of our certificate. If unset, the file of the certificate holds it."
FILE = "File that holds {}."


class ServerSettings(BaseSettings):
    """The part of `Settings` that says how to reach the servers. A secret `X` may also stand in a file, `X_file`."""

    kafka: Annotated[str, AfterValidator(addresses.brokers)] | None = Field(
        None,
        description="Kafka brokers: host:port, separated by commas. "
        "If unset, the broker that `mner local up` started is used.",
    )
    kafka_tls: bool = Field(False, description="Whether the connections to Kafka use TLS.")
    kafka_ca: Path | None = Field(None, description=CA.format("Kafka"))
    kafka_certificate: Path | None = Field(None, description=CERTIFICATE.format("a Kafka"))
    kafka_key: Path | None = Field(None, description=KEY)
    kafka_key_password: SecretStr | None = Field(None, description="Password of our key for Kafka.")
    kafka_key_password_file: SecretFile | None = Field(None, description=FILE.format("the password of our key"))
    kafka_check_hostname: bool = Field(
        True, description="Whether the certificate of a broker must be made out to the host name in its address."
    )
    kafka_sasl: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] | None = Field(
        None, description="How to log in to Kafka (the SASL mechanism). If unset, there is no login."
    )
    kafka_user: str | None = Field(None, description="User of Kafka, for PLAIN and SCRAM.")
    kafka_password: SecretStr | None = Field(None, description="Password of the user of Kafka.")
    kafka_password_file: SecretFile | None = Field(None, description=FILE.format("the password of the user of Kafka"))
    kafka_token_command: SecretStr | None = Field(
        None,
        description="Command that prints a token for OAUTHBEARER: the token alone, or JSON with `access_token` and "
        "`expires_in`. It runs without a shell: when a client logs in and the kept token ends soon.",
    )

    elasticsearch: Annotated[str, AfterValidator(addresses.elasticsearch)] | None = Field(
        None,
        repr=False,  # it may hold a password
        description="URL of Elasticsearch, or the URLs of several nodes, separated by commas. "
        "If unset, the server that `mner local up` started is used.",
    )
    elasticsearch_cloud_id: Annotated[str, AfterValidator(addresses.cloud_id)] | None = Field(
        None, description="Cloud ID of a deployment of Elastic Cloud. It takes the place of `MNER_ELASTICSEARCH`."
    )
    elasticsearch_ca: Path | None = Field(None, description=CA.format("Elasticsearch"))
    elasticsearch_certificate: Path | None = Field(None, description=CERTIFICATE.format("an Elasticsearch"))
    elasticsearch_key: Path | None = Field(None, description=KEY)
    elasticsearch_api_key: SecretStr | None = Field(
        None, description="API key of Elasticsearch, in the encoded form that it shows when it makes a key."
    )
    elasticsearch_api_key_file: SecretFile | None = Field(None, description=FILE.format("the API key"))
    elasticsearch_user: str | None = Field(None, description="User of Elasticsearch, in place of an API key.")
    elasticsearch_password: SecretStr | None = Field(None, description="Password of the user of Elasticsearch.")
    elasticsearch_password_file: SecretFile | None = Field(
        None, description=FILE.format("the password of the user of Elasticsearch")
    )

    redis: Annotated[str, AfterValidator(addresses.redis)] | None = Field(
        None,
        repr=False,  # it may hold a password
        description="URL of Redis: `redis://` or, with TLS, `rediss://`. `redis+sentinel://host:port,.../name/0` asks "
        "Sentinels for a master, and `redis+cluster://host:port,...` is a cluster. "
        "If unset, the server that `mner local up` started is used.",
    )
    redis_user: str | None = Field(None, description="User of Redis (ACL). If unset, the default user.")
    redis_password: SecretStr | None = Field(None, description="Password of the user of Redis.")
    redis_password_file: SecretFile | None = Field(None, description=FILE.format("the password of the user of Redis"))
    redis_ca: Path | None = Field(None, description=CA.format("Redis"))
    redis_certificate: Path | None = Field(None, description=CERTIFICATE.format("a Redis"))
    redis_key: Path | None = Field(None, description=KEY)
    redis_sentinel_user: str | None = Field(None, description="User of the Sentinels, if they ask for a login.")
    redis_sentinel_password: SecretStr | None = Field(None, description="Password of the Sentinels.")
    redis_sentinel_password_file: SecretFile | None = Field(
        None, description=FILE.format("the password of the Sentinels")
    )
