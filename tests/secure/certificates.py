"""Certificates of one test run: good ones, and each kind of bad one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

HOSTS = ("127.0.0.1", "localhost")


@dataclass(frozen=True)
class Pair:
    """A certificate with the chain to its authority, and its key. `both` holds the two, as Kafka wants them."""

    certificate: Path
    key: Path
    both: Path


class Certificates:
    """Files in `folder`. `ca` is the authority that the tests trust, `other_ca` one that nobody knows."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        now = datetime.now(UTC)
        self._authority, self._stranger = trustme.CA(), trustme.CA()
        self.ca, self.other_ca = folder / "ca.pem", folder / "other-ca.pem"
        self._authority.cert_pem.write_to_path(str(self.ca))
        self._stranger.cert_pem.write_to_path(str(self.other_ca))
        self.good = self._pair("good", *HOSTS)
        self.client = self._pair("client", "mner@example.org")
        self.other_name = self._pair("other-name", "elsewhere.example")
        self.unknown = self._pair("unknown", *HOSTS, authority=self._stranger)
        self.expired = self._pair("expired", *HOSTS, begins=now - timedelta(days=9), ends=now - timedelta(days=2))
        self.early = self._pair("early", *HOSTS, begins=now + timedelta(days=2), ends=now + timedelta(days=9))

    def _pair(
        self,
        name: str,
        *identities: str,
        authority: trustme.CA | None = None,
        begins: datetime | None = None,
        ends: datetime | None = None,
    ) -> Pair:
        issued = (authority or self._authority).issue_cert(*identities, not_before=begins, not_after=ends)
        pair = Pair(*(self._folder / f"{name}{ending}.pem" for ending in ("", "-key", "-both")))
        for blob in issued.cert_chain_pems:
            blob.write_to_path(str(pair.certificate), append=True)
        key = load_pem_private_key(issued.private_key_pem.bytes(), None)
        pair.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        pair.both.write_bytes(pair.key.read_bytes() + pair.certificate.read_bytes())
        return pair
