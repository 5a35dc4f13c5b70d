"""Finds out why a connection fails where the clients do not say: one look at the port, without a client.

kafka-python and aiokafka only log why they could not connect. And a client that does not use TLS cannot tell that a
port asks for it.
"""

from __future__ import annotations

import re
import socket
import ssl
import struct
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from kafka.errors import KafkaConnectionError
from kafka.net.sasl import get_sasl_mechanism

from core.text import plain
from sinks.answers import tls
from sinks.connect.kafka import Brokers, KafkaServer, addresses, client_options
from sinks.connect.tls import Tls

ANSWER_S = 2.0
"""Longest time, in seconds, for each step."""

MOST_BYTES = 10_000
MOST_REASON = 300
HANDSHAKE, AUTHENTICATE = 17, 36
"""Numbers of Kafka's requests SaslHandshake (KIP-43) and SaslAuthenticate (KIP-152)."""

NO_SUCH_MECHANISM, NO_LOGIN = 33, 34
"""Kafka's error codes for a mechanism that a listener lacks, and for a login at a listener without one."""


class Fault(KafkaConnectionError):  # type: ignore[misc]  # kafka-python tells no types
    """Why the brokers do not let a client in. `kind` is that of `sinks.answers.kafka`, such as `expired`."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind


def speaks_tls(host: str, port: int) -> bool:
    """Whether a TLS server listens at this port, whatever its certificate. False if nothing answers."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with _connected(host, port) as bare, context.wrap_socket(bare, server_hostname=host):
            return True
    except ssl.SSLError as error:
        return "ALERT" in (error.reason or "")  # it may ask for our certificate
    except OSError:
        return False


def tls_fault(host: str, port: int, settings: Tls) -> str:
    """Returns the kind of the fault of TLS at this port, "" if there is none that a handshake shows.

    A server that asks for a certificate refuses only after the handshake (RFC 8446, 4.4.2.4), so it is read from, too.
    """
    try:
        with (
            _connected(host, port) as bare,
            settings.context().wrap_socket(bare, server_hostname=host) as secured,
        ):
            if not secured.recv(1):  # closed before any request, as servers on asyncio do in place of an alert
                return "alert"
    except ssl.SSLError as error:
        return tls.fault(str(error))
    except OSError:
        return ""
    return ""


def speaks_redis(host: str, port: int) -> bool:
    """Whether a Redis without TLS listens at this port. It does not answer to TLS at all, since it sees no line end."""
    try:
        with _connected(host, port) as bare:
            bare.sendall(b"PING\r\n")
            return bare.recv(1) in {b"+", b"-"}
    except OSError:
        return False


def cause(error: Exception, brokers: Brokers) -> Exception:
    """Returns why a client could not connect to the brokers. This is the error itself if a look does not tell more."""
    return (look(brokers) or error) if "bootstrap" in str(error).lower() else error


def look(brokers: Brokers) -> Fault | None:
    """Connects and logs in to the first broker that answers. Returns what is wrong.

    Returns None if nothing is wrong, or if no broker answers. Raises `UserError` when a file of TLS cannot be used, or
    when the token command prints no token.
    """
    server = KafkaServer(brokers) if isinstance(brokers, str) else brokers
    options = client_options(server)
    for address in addresses(server):
        host, _, port = address.rpartition(":")
        with suppress(OSError, ValueError, struct.error):
            return _look(host.strip("[]"), int(port), server, options)
    return None


def _look(host: str, port: int, server: KafkaServer, options: Mapping[str, Any]) -> Fault | None:
    """Raises `OSError` when nothing listens, or nothing answers."""
    try:
        with _connected(host, port) as bare:
            if server.tls is None:
                return _login(bare, host, server, options)
            with options["ssl_context"].wrap_socket(bare, server_hostname=host) as secured:
                return _login(secured, host, server, options)
    except ssl.SSLError as error:
        kind = tls.fault(str(error)) or "tls"
        if kind == "tls" and _answers_plainly(host, port):
            return Fault("plain", f"{host}:{port} speaks without TLS")
        return Fault(kind, str(error))
    except OSError:
        if server.tls is None and speaks_tls(host, port):
            return Fault("encrypted", f"{host}:{port} speaks TLS")
        raise


def _connected(host: str, port: int) -> socket.socket:
    return socket.create_connection((host, port), timeout=ANSWER_S)


def _answers_plainly(host: str, port: int) -> bool:
    try:
        with _connected(host, port) as bare:
            _handshake(bare, None)
            return True
    except (OSError, struct.error):
        return False


def _login(connection: socket.socket, host: str, server: KafkaServer, options: Mapping[str, Any]) -> Fault | None:
    code, mechanisms = _handshake(connection, server.mechanism)
    offered = ", ".join(mechanisms)
    if code == NO_LOGIN:
        return Fault("no login", "this listener has no login") if server.mechanism else None
    if server.mechanism is None:
        return Fault("login", f"it offers {offered}")
    if code == NO_SUCH_MECHANISM:
        return Fault("mechanism", f"it offers {offered}, not {server.mechanism}")
    return _authenticate(connection, get_sasl_mechanism(server.mechanism)(host=host, **options))


def _authenticate(connection: socket.socket, mechanism: Any) -> Fault | None:
    """Logs in as kafka-python does, which loses the refusal, since the broker closes the connection right after it."""
    while not mechanism.is_done():
        sent = mechanism.auth_bytes()
        answer = _exchange(connection, AUTHENTICATE, 0, struct.pack(">i", len(sent)) + sent)
        code, size = struct.unpack_from(">hh", answer, 4)
        end = 8 + max(size, 0)
        if code:
            return Fault("refused", plain(answer[8:end].decode(errors="replace"), MOST_REASON) or "no reason given")
        try:
            mechanism.receive(answer[end + 4 :])
        except Exception:  # what the mechanism of kafka-python raises for an answer that does not fit has no class
            return Fault("refused", "the broker does not know the password either")
    return None


def _handshake(connection: socket.socket, mechanism: str | None) -> tuple[int, list[str]]:
    """Returns the error code and the mechanisms of a broker's answer to SaslHandshake, version 1."""
    name = (mechanism or "none").encode()
    answer = _exchange(connection, HANDSHAKE, 1, struct.pack(">h", len(name)) + name)
    (code,) = struct.unpack_from(">h", answer, 4)
    return code, re.findall(r"[A-Z][A-Z0-9-]{3,}", answer[10:].decode("ascii", "replace"))


def _exchange(connection: socket.socket, kind: int, version: int, body: bytes) -> bytes:
    """Sends a request and returns the answer, which begins with its number."""
    request = struct.pack(">hhih4s", kind, version, 1, 4, b"mner") + body
    connection.sendall(struct.pack(">i", len(request)) + request)
    (size,) = struct.unpack(">i", _read(connection, 4))
    if not 6 <= size <= MOST_BYTES:
        raise OSError("not the answer of a broker")
    return _read(connection, size)


def _read(connection: socket.socket, size: int) -> bytes:
    read = b""
    while len(read) < size:
        part = connection.recv(size - len(read))
        if not part:
            raise ConnectionResetError("the broker closed the connection")
        read += part
    return read
