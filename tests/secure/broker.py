"""A real Kafka with a listener for each way to connect, ACLs, and the users of the tests."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from typing import ClassVar

from local import kafka as local_kafka
from local.kafka import Kafka
from tests.secure.certificates import Certificates, Pair

USER, PASSWORD = "mner", "correct-horse-battery"
WEAK = "weak"
"""A user without rights. It has the same password."""

TLS = {
    "TLS": "good",
    "EXPIRED": "expired",
    "EARLY": "early",
    "OTHERNAME": "other_name",
    "UNKNOWN": "unknown",
}
"""Listeners with TLS and no login -> their certificate."""

LISTENERS = {
    **dict.fromkeys(TLS, "SSL"),
    "MTLS": "SSL",
    "PLAIN": "SASL_PLAINTEXT",
    "SCRAM": "SASL_SSL",
    "TOKEN": "SASL_PLAINTEXT",
}
"""Listener -> its protocol. BROKER and CONTROLLER come from `local.kafka`."""

PACKAGE = "org.apache.kafka.common.security"


def configuration(certificates: Certificates, ports: dict[str, int]) -> str:
    names = ",".join(f"{name}://127.0.0.1:{port}" for name, port in ports.items())
    protocols = ",".join(f"{name}:{protocol}" for name, protocol in LISTENERS.items())
    lines = []
    for line in local_kafka.CONFIGURATION.splitlines():
        more = f",{names}" if line.startswith(("listeners=", "advertised.listeners=")) else ""
        more = f",{protocols}" if line.startswith("listener.security") else more
        lines.append(line + more)
    lines += [
        "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "allow.everyone.if.no.acl.found=true",
        "super.users=User:ANONYMOUS",
        "ssl.truststore.type=PEM",
        f"ssl.truststore.location={certificates.ca}",
        "ssl.client.auth=none",
        "sasl.enabled.mechanisms=PLAIN",
    ]
    for listener, certificate in {**TLS, "MTLS": "good", "SCRAM": "good"}.items():
        pair: Pair = getattr(certificates, certificate)
        prefix = f"listener.name.{listener.lower()}"
        lines += [f"{prefix}.ssl.keystore.type=PEM", f"{prefix}.ssl.keystore.location={pair.both}"]
    plain = f'{PACKAGE}.plain.PlainLoginModule required user_{USER}="{PASSWORD}" user_{WEAK}="{PASSWORD}";'
    scram = f"{PACKAGE}.scram.ScramLoginModule required;"
    bearer = f'{PACKAGE}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";'
    lines += [
        "listener.name.mtls.ssl.client.auth=required",
        f"listener.name.plain.plain.sasl.jaas.config={plain}",
        "listener.name.scram.sasl.enabled.mechanisms=SCRAM-SHA-256,SCRAM-SHA-512",
        f"listener.name.scram.scram-sha-256.sasl.jaas.config={scram}",
        f"listener.name.scram.scram-sha-512.sasl.jaas.config={scram}",
        "listener.name.token.sasl.enabled.mechanisms=OAUTHBEARER",
        f"listener.name.token.oauthbearer.sasl.jaas.config={bearer}",
        "listener.name.token.oauthbearer.sasl.server.callback.handler.class="
        f"{PACKAGE}.oauthbearer.internals.unsecured.OAuthBearerUnsecuredValidatorCallbackHandler",
        "listener.name.token.oauthbearer.connections.max.reauth.ms=3600000",  # KIP-368
    ]
    return "\n".join(lines) + "\n"


class SecureKafka(Kafka):
    """`port` gives the port of a listener. The first port is that of a listener without TLS and login."""

    port_count: ClassVar[int] = 2 + len(LISTENERS)

    def __init__(self, home: Path, certificates: Certificates) -> None:
        super().__init__(home)
        self._certificates = certificates
        self._listeners: dict[str, int] = {}

    def address_of(self, listener: str) -> str:
        return self.url(self._listeners[listener])

    def prepare(self, ports: list[int]) -> list[str]:
        self._listeners = dict(zip(LISTENERS, ports[2:], strict=True))
        plain, local_kafka.CONFIGURATION = local_kafka.CONFIGURATION, configuration(self._certificates, self._listeners)
        try:
            return super().prepare(ports)
        finally:
            local_kafka.CONFIGURATION = plain


def token(*, begins: float = 0.0, ends: float = 600.0) -> str:
    """Returns an unsecured JWT (RFC 7519, 6). The times are seconds from now."""
    now = time.time()
    parts = ({"alg": "none"}, {"sub": USER, "iat": now + begins, "exp": now + ends})
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts]
    return ".".join(encoded) + "."
