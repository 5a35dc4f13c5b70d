"""The contract of a local server, over Kafka, Elasticsearch and Redis alike, by what a client and `ps` see."""

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
    """One of this module's own servers, running."""
    server: Server = getattr(own_servers, name)
    if not server.alive:
        server.start()
        server.ready()
    return server


@pytest.fixture
def client(name: str) -> Client:
    return CLIENTS[name]


def test_what_goes_in_comes_out(server: Server, client: Client) -> None:
    client.put(server.address, "hello")
    assert client.all(server.address)[-1] == "hello"


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_after_its_end_it_comes_back_on_the_same_port_with_the_same_data(
    server: Server, client: Client, end: str
) -> None:
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


def test_a_server_killed_by_somebody_else_is_known_to_be_dead_and_starts_again(server: Server, client: Client) -> None:
    client.put(server.address, "kept")
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    assert processes.eventually(lambda: not server.alive)
    server.start()
    server.ready()
    assert client.all(server.address)[-1] == "kept"


def test_a_second_one_in_the_same_folder_is_refused_and_harms_nothing(
    server: Server, name: str, client: Client
) -> None:
    client.put(server.address, "here")
    second = KINDS[name](server.folder.parent)
    with pytest.raises(UserError, match=f"{name} already runs in .*mner local down"):
        second.start()
    assert client.all(server.address)[-1] == "here"
    assert second.address == server.address


def test_two_stacks_run_side_by_side(servers: Stack, server: Server, name: str, client: Client) -> None:
    client.put(servers.addresses[name], "in the one")
    client.put(server.address, "in the other")
    assert "in the other" not in client.all(servers.addresses[name])
    assert "in the one" not in client.all(server.address)


def test_it_listens_on_this_machine_alone(server: Server) -> None:
    assert _listens(server.address)
    assert not _listens(server.address.replace("127.0.0.1", _own_address()))


def test_a_port_lost_between_choice_and_bind_is_replaced_by_another(
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
def test_one_that_cannot_start_says_why_in_one_error_with_the_end_of_its_log(
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


def test_one_that_is_too_slow_says_so(tmp_path: Path) -> None:
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
    """This machine's address as others see it. (No packet is sent by connecting a datagram socket.)"""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no address but 127.0.0.1")
        return str(probe.getsockname()[0])
