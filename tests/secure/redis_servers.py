"""Real Redis servers: one with TLS and ACL users, a Sentinel that watches it, and a cluster."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, ClassVar

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from local.redis import Redis
from local.server import Server
from tests.secure.broker import PASSWORD, USER, WEAK
from tests.secure.certificates import Certificates

SLOTS = 16384

CONFIGURATION = """\
bind 127.0.0.1
port {port}
tls-port {tls_port}
tls-cert-file {pair.certificate}
tls-key-file {pair.key}
tls-ca-cert-file {ca}
tls-auth-clients no
dir "{data}"
aclfile "{acl}"
appendonly yes
save ""
"""

ACL = """\
user default on >{password} ~* &* +@all
user {user} on >{password} ~* &* +@all
user {weak} on >{password} ~* &* +info +time +ping +select
"""


WATCHER, WATCHERS_PASSWORD = "watcher", "pass-of-the-sentinel"
"""The login of `SecureSentinel`."""

TLS = """\
tls-cert-file {pair.certificate}
tls-key-file {pair.key}
tls-ca-cert-file {ca}
tls-replication yes
tls-auth-clients no
"""


def executable() -> str | None:
    """Returns a redis-server that was built with TLS, which the one of the wheel was not. None if there is none."""
    for path in (shutil.which("redis-server"), "/usr/bin/redis-server", "/usr/local/bin/redis-server"):
        if path and Path(path).exists() and b"tls-cert-file" in Path(path).read_bytes():
            return path
    return None


def ping(port: int, **options: Any) -> bool:
    once = Retry(NoBackoff(), 0)
    with redis.Redis(port=port, socket_timeout=2, retry=once, **options) as client:
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False


class SecureRedis(Redis):
    """The first port is plain, the second speaks TLS. Both ask for a password."""

    port_count: ClassVar[int] = 2

    def __init__(self, home: Path, certificates: Certificates, program: str) -> None:
        super().__init__(home)
        self._certificates, self._program = certificates, program
        self.tls_port = 0

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2].partition("/")[0])

    def prepare(self, ports: list[int]) -> list[str]:
        self._data.mkdir(parents=True, exist_ok=True)
        self.tls_port = ports[1]
        acl, configuration = self.folder / "users.acl", self.folder / "redis.conf"
        acl.write_text(ACL.format(password=PASSWORD, user=USER, weak=WEAK))
        names = {"port": ports[0], "tls_port": ports[1], "pair": self._certificates.good, "data": self._data}
        configuration.write_text(CONFIGURATION.format(**names, ca=self._certificates.ca, acl=acl))
        return [self._program, str(configuration)]

    def answers(self, port: int) -> bool:
        return ping(port, password=PASSWORD)

    def client(self) -> Any:
        return redis.Redis(port=self.port, password=PASSWORD)


class Sentinel(Server):
    """Watches the plain port of a `SecureRedis` under the name `mymaster`."""

    name: ClassVar[str] = "sentinel"

    def __init__(self, home: Path, master: SecureRedis, program: str) -> None:
        super().__init__(home)
        self._master, self._program = master, program

    def url(self, port: int) -> str:
        return f"redis+sentinel://127.0.0.1:1,127.0.0.1:{port}/mymaster/0"

    def prepare(self, ports: list[int]) -> list[str]:
        configuration = self.folder / "sentinel.conf"
        lines = [
            "bind 127.0.0.1",
            f"port {ports[0]}",
            f"sentinel monitor mymaster 127.0.0.1 {self._master.port} 1",
            f"sentinel auth-user mymaster {USER}",
            f"sentinel auth-pass mymaster {PASSWORD}",
        ]
        configuration.write_text("\n".join(lines) + "\n")
        return [self._program, str(configuration), "--sentinel"]

    def answers(self, port: int) -> bool:
        return ping(port)


class RefusingSentinel(Sentinel):
    """A Sentinel that asks for a password."""

    def prepare(self, ports: list[int]) -> list[str]:
        command = super().prepare(ports)
        with Path(command[1]).open("a") as file:
            file.write(f"requirepass {WATCHERS_PASSWORD}\n")
        return command

    def answers(self, port: int) -> bool:
        return ping(port, password=WATCHERS_PASSWORD)


class SecureSentinel(Sentinel):
    """A Sentinel that speaks TLS, and asks for a login of its own. It names the master's port with TLS."""

    def __init__(self, home: Path, master: SecureRedis, program: str, certificates: Certificates) -> None:
        super().__init__(home, master, program)
        self._certificates = certificates

    def url(self, port: int) -> str:
        return super().url(port).replace("redis", "rediss", 1)

    def prepare(self, ports: list[int]) -> list[str]:
        command = super().prepare(ports)
        configuration = Path(command[1])
        lines = configuration.read_text().replace(f"port {ports[0]}\n", f"port 0\ntls-port {ports[0]}\n")
        lines = lines.replace(f"127.0.0.1 {self._master.port} 1", f"127.0.0.1 {self._master.tls_port} 1")
        login = f"user default off\nuser {WATCHER} on >{WATCHERS_PASSWORD} ~* &* +@all\n"
        configuration.write_text(lines + TLS.format(pair=self._certificates.good, ca=self._certificates.ca) + login)
        return command

    def answers(self, port: int) -> bool:
        secured = {"ssl": True, "ssl_ca_certs": str(self._certificates.ca)}
        return ping(port, username=WATCHER, password=WATCHERS_PASSWORD, **secured)


class Node(Redis):
    """A node of a cluster, which `join` makes. The second port is for the other nodes, the third one speaks TLS."""

    port_count: ClassVar[int] = 3

    def __init__(self, home: Path, program: str, certificates: Certificates | None = None) -> None:
        """With `certificates`, clients may use TLS, and the nodes use it among themselves."""
        super().__init__(home)
        self._program, self._certificates = program, certificates
        self.bus_port = self.tls_port = 0

    @property
    def known_port(self) -> int:
        """The port by which the other nodes know this one."""
        return self.tls_port if self._certificates else self.port

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2].partition("/")[0])

    def prepare(self, ports: list[int]) -> list[str]:
        self.bus_port, self.tls_port = ports[1:]
        super().prepare(ports)
        configuration = self.folder / "redis.conf"
        with configuration.open("a") as file:
            file.write(f"cluster-enabled yes\ncluster-port {self.bus_port}\n")
            if self._certificates:
                file.write(f"tls-port {self.tls_port}\ntls-cluster yes\n")
                file.write(TLS.format(pair=self._certificates.good, ca=self._certificates.ca))
        return [self._program, str(configuration)]


def join(nodes: Sequence[Node]) -> str:
    """Gives each node an equal share of the slots. Returns the URL of the cluster."""
    with ExitStack() as stack:
        clients = [stack.enter_context(redis.Redis(port=node.port)) for node in nodes]
        for number, client in enumerate(clients):
            first, end = (SLOTS * border // len(nodes) for border in (number, number + 1))
            client.execute_command("CLUSTER ADDSLOTSRANGE", first, end - 1)
        for node in nodes[1:]:
            clients[0].execute_command("CLUSTER MEET", "127.0.0.1", node.known_port, node.bus_port)
        deadline = time.monotonic() + 20
        while not all(map(_whole, clients)):
            assert time.monotonic() < deadline, "the nodes did not find each other"
            time.sleep(0.1)
    return f"redis+cluster://127.0.0.1:1,127.0.0.1:{nodes[0].port}"


def _whole(client: Any) -> bool:
    told = client.execute_command("CLUSTER INFO")
    return "cluster_state:ok" in str(told) or dict(told).get("cluster_state") == "ok"
