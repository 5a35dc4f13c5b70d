"""The contract of a local server, tested on Kafka, Elasticsearch and Redis through a client and the process table."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import pytest

import local.server
from core.errors import UserError
from local.server import Server
from local.stack import KINDS, NAMES, Stack
from tests.local import processes
from tests.local.clients import CLIENTS, Client

pytestmark = pytest.mark.servers


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def server(own_servers: Stack, name: str) -> Server:
    """A running server of this module's own stack."""
    server: Server = getattr(own_servers, name)
    if not server.alive:
        server.start()
        server.ready()
    return server


@pytest.fixture
def client(name: str) -> Client:
    return CLIENTS[name]


def test_a_value_that_is_written_can_be_read(server: Server, client: Client) -> None:
    client.put(server.address, "hello")
    assert client.all(server.address)[-1] == "hello"


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_restarted_server_has_the_same_port_and_the_same_data(server: Server, client: Client, end: str) -> None:
    client.put(server.address, f"before the {end}")
    before, address, first = client.all(server.address), server.address, server.pid
    getattr(server, end)()
    assert not server.alive
    assert server.pid is None
    assert not _listens(address)

    server.start()
    server.ready()
    assert server.address == address
    assert server.pid != first
    assert client.all(address) == before
    client.put(address, "after it")
    assert client.all(address) == [*before, "after it"]


def test_a_server_killed_from_outside_is_seen_as_dead_and_can_start_again(server: Server, client: Client) -> None:
    client.put(server.address, "kept")
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    assert processes.eventually(lambda: not server.alive)
    server.start()
    server.ready()
    assert client.all(server.address)[-1] == "kept"


def test_a_second_server_in_the_same_folder_is_refused_and_harms_nothing(
    server: Server, name: str, client: Client
) -> None:
    client.put(server.address, "here")
    second = KINDS[name](server.folder.parent)
    with pytest.raises(UserError, match=f"{name} already runs in .*mner local down"):
        second.start()
    assert client.all(server.address)[-1] == "here"
    assert second.address == server.address


def test_two_stacks_run_side_by_side(servers: Stack, server: Server, name: str, client: Client) -> None:
    client.put(servers.addresses[name], "in the first")
    client.put(server.address, "in the second")
    assert "in the second" not in client.all(servers.addresses[name])
    assert "in the first" not in client.all(server.address)


def test_it_listens_on_the_loopback_address_only(server: Server) -> None:
    assert _listens(server.address)
    assert not _listens(server.address.replace("127.0.0.1", _own_address()))


def test_a_port_taken_before_the_server_binds_it_is_replaced(
    name: str, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as thief:
        thief.bind(("127.0.0.1", 0))
        thief.listen()
        taken, real = thief.getsockname()[1], local.server.free_ports
        chosen = iter([[taken, *real(1)], real(2)])
        monkeypatch.setattr(local.server, "free_ports", lambda count: next(chosen)[:count])
        server = KINDS[name](tmp_path)
        server.start()
        try:
            server.ready()
            assert str(taken) not in server.address
            client.put(server.address, "hello")
        finally:
            server.stop()
    assert processes.of(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "file", "shown"),
    [
        pytest.param("kafka", "data/meta.properties", "meta.properties", id="kafka with broken storage"),
        pytest.param(
            "elasticsearch", "home/data", "FileAlreadyExistsException", id="elasticsearch with a file for a folder"
        ),
        pytest.param("redis", "data/appendonly.aof", "Bad file format", id="redis with a broken append-only file"),
    ],
)
def test_a_server_that_cannot_start_raises_one_error_with_the_end_of_its_log(
    name: str, file: str, shown: str, tmp_path: Path
) -> None:
    broken = tmp_path / name / file
    broken.parent.mkdir(parents=True)
    broken.write_text("cluster.id=x\nversion=99\n")
    server = KINDS[name](tmp_path)
    server.start()
    with pytest.raises(UserError, match="did not start; the end of its log") as caught:
        server.ready()
    assert shown in str(caught.value)
    assert str(server.log) in str(caught.value)
    assert processes.of(tmp_path) == []


def test_a_server_that_is_too_slow_raises_an_error(tmp_path: Path) -> None:
    server = KINDS["elasticsearch"](tmp_path)
    server.start()
    try:
        with pytest.raises(UserError, match="elasticsearch did not answer within 0 s"):
            server.ready(timeout_s=0.1)
    finally:
        server.stop()


def _listens(address: str) -> bool:
    host, port = address.removesuffix("/0").rsplit("/", 1)[-1].split(":")
    with socket.socket() as probe:
        probe.settimeout(2)
        return probe.connect_ex((host, int(port))) == 0


def _own_address() -> str:
    """Returns the address of this machine on the network. Connecting a datagram socket sends no packet."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no address but 127.0.0.1")
        return str(probe.getsockname()[0])
