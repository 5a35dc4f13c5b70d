"""Fixtures for the answers of servers."""

from __future__ import annotations

import ssl
import subprocess

import pytest

from sinks import blame


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A record that breaks the connection is blamed without a wait."""
    monkeypatch.setattr(blame, "SPAN_S", 0.0)
    monkeypatch.setattr(blame, "SMALL_SPAN_S", 0.0)


@pytest.fixture(scope="session")
def self_signed(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """A server's TLS with a certificate that nobody has signed."""
    folder = tmp_path_factory.mktemp("tls")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    subprocess.run([*made, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context
