"""What a client needs for TLS: whom it trusts, and the certificate with which it names itself (mTLS)."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path

from core.errors import UserError


@dataclass(frozen=True, eq=False)
class Tls:
    """`variables`: what the names of the settings begin with. Errors name them."""

    variables: str
    ca: Path | None = None  # PEM file. None trusts the authorities of this machine
    certificate: Path | None = None  # PEM file of the client, for mTLS
    key: Path | None = None  # None if `certificate` holds the key, too
    key_password: str | None = field(default=None, repr=False)
    check_hostname: bool = True
    takes_password: bool = False  # whether there is a setting for the password of the key

    def context(self) -> ssl.SSLContext:
        """Returns a new context for a client. Raises `UserError` that names the file that cannot be used."""
        if self.key and not self.certificate:
            raise UserError(f"{self.variables}_KEY is set without {self.variables}_CERTIFICATE: set both")
        for name, path in (("CA", self.ca), ("CERTIFICATE", self.certificate), ("KEY", self.key)):
            if path is not None:
                self._readable(name, path)
        try:
            context = ssl.create_default_context(cafile=str(self.ca) if self.ca else None)
        except ssl.SSLError:
            raise UserError(f"{self.variables}_CA={self.ca} holds no certificate: give a PEM file") from None
        context.check_hostname = self.check_hostname
        if self.certificate is not None:
            self._load(context, self.certificate)
        return context

    def _readable(self, name: str, path: Path) -> None:
        try:
            path.open("rb").close()
        except OSError as error:
            raise UserError(f"{self.variables}_{name}={path} cannot be read: {error.strerror}") from None

    def _load(self, context: ssl.SSLContext, certificate: Path) -> None:
        try:
            # a password of a function keeps OpenSSL from asking for one at the terminal
            context.load_cert_chain(certificate, self.key, password=lambda: self.key_password or "")
        except ssl.SSLError as error:
            reason = error.reason or ""
            if "MISMATCH" in reason:
                told = f"{self.variables}_KEY is not the key of {self.variables}_CERTIFICATE"
            elif self._is_encrypted(self.key or certificate):
                told = self._told_of_password()
            else:
                told = f"{self.variables}_CERTIFICATE={certificate} and its key must be PEM files"
            raise UserError(told) from None

    def _told_of_password(self) -> str:
        remedy = f"set or correct {self.variables}_KEY_PASSWORD" if self.takes_password else "give a key without one"
        return f"the key of {self.variables}_CERTIFICATE has a password: {remedy}"

    @staticmethod
    def _is_encrypted(key: Path) -> bool:
        """Whether a key has a password. OpenSSL gives no reason for a wrong one, but both forms of PEM tell it."""
        return b"ENCRYPTED" in key.read_bytes()
