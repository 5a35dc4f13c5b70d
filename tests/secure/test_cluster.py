"""The queue in a real cluster of three nodes, with a user who has the rights that the docs give."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
import redis

from core.errors import Retry
from sinks.queue.queue import ReviewQueue
from sinks.queue.script import KEYS
from streams import servers
from streams.settings import Settings
from tests.conftest import ROOT
from tests.secure.broker import PASSWORD, USER
from tests.secure.certificates import Certificates
from tests.secure.conftest import Put
from tests.secure.queue_use import use
from tests.secure.redis_servers import Node, join
from tests.secure.test_redis import found
from tests.sinks.values import task

pytestmark = pytest.mark.servers

LOGIN = {"REDIS_USER": USER, "REDIS_PASSWORD": PASSWORD}


class Cluster:
    def __init__(self, nodes: list[Node]) -> None:
        self.nodes, self.url = nodes, join(nodes)
        self.tls_url = f"rediss+cluster://127.0.0.1:1,127.0.0.1:{nodes[0].tls_port}"

    def on_each(self, *words: object) -> None:
        for node in self.nodes:
            with redis.Redis(port=node.port) as client:
                client.execute_command(*words)

    def admit(self, rights: list[str]) -> None:
        """Gives the user these rights and no others."""
        self.on_each("ACL SETUSER", USER, "reset", "on", f">{PASSWORD}", *rights)


@pytest.fixture(scope="module")
def cluster(
    redis_program: str, certificates: Certificates, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    with ExitStack() as stack:
        nodes = [Node(tmp_path_factory.mktemp("node"), redis_program, certificates) for _ in range(3)]
        for node in nodes:
            stack.callback(node.stop)
            node.start()
        for node in nodes:
            node.ready()
        yield Cluster(nodes)


def rights(settings: Settings) -> list[str]:
    page = (ROOT / "docs" / "secure-servers.md").read_text()
    rule: str = re.findall(r"ACL SETUSER reviewer on >PASSWORD (~\{.*)", page)[0]
    return rule.replace("mine.", settings.prefix).split()


async def test_a_cluster_without_users(cluster: Cluster, put: Put) -> None:
    settings = put({"REDIS": cluster.url})
    await use(settings)
    findings = await asyncio.to_thread(found, settings)
    assert [(one.name, one.level) for one in findings] == [("redis", "ok"), ("queue", "ok")], findings
    findings = await asyncio.to_thread(found, put({"REDIS": cluster.nodes[0].address}))
    assert "redis+cluster://" in " ".join(one.remedy for one in findings)


async def test_the_rights_that_the_docs_give_are_enough(cluster: Cluster, put: Put) -> None:
    settings = put({"REDIS": cluster.url, **LOGIN})
    cluster.admit(rights(settings))
    await use(settings)
    findings = await asyncio.to_thread(found, settings)
    assert [(one.name, one.level) for one in findings] == [("redis", "ok"), ("queue", "ok")], findings


async def test_a_cluster_with_tls(cluster: Cluster, certificates: Certificates, put: Put) -> None:
    values = {"REDIS": cluster.tls_url, "REDIS_CA": str(certificates.ca), **LOGIN}
    settings = put(values)
    cluster.admit(rights(settings))
    await use(settings)
    findings = await asyncio.to_thread(found, settings)
    assert [(one.name, one.level) for one in findings] == [("redis", "ok"), ("queue", "ok")], findings
    one_node = {"REDIS": f"rediss+cluster://127.0.0.1:{cluster.nodes[0].tls_port}"}
    (finding,) = await asyncio.to_thread(found, put(values | one_node | {"REDIS_CA": str(certificates.other_ca)}))
    assert (finding.level, "do not trust the certificate" in finding.detail) == ("broken", True), finding


@pytest.mark.parametrize(
    ("missing", "says"),
    [
        ("~", "one of the keys"),
        ("+@read", "executing the script can't run this command"),
        ("+@scripting", "'eval"),
        ("+info", "'info'"),
        ("+time", "'time'"),
        ("+command", "'command'"),
        ("+cluster|slots", "'cluster|slots'"),
    ],
)
def test_the_doctor_names_a_missing_right(cluster: Cluster, put: Put, missing: str, says: str) -> None:
    settings = put({"REDIS": f"redis+cluster://127.0.0.1:{cluster.nodes[0].port}", **LOGIN})
    cluster.admit([word for word in rights(settings) if not word.startswith(missing)])
    (finding,) = (one for one in found(settings) if one.level == "broken")
    assert "does not give our user the rights" in finding.detail, finding
    assert says in finding.detail
    assert "docs/secure-servers.md" in finding.remedy


async def test_a_queue_that_moves_to_another_node_is_waited_for(cluster: Cluster, put: Put) -> None:
    settings = put({"REDIS": cluster.url, **LOGIN})
    cluster.admit(rights(settings))
    queue = ReviewQueue(servers.redis(settings), settings.name("review:"))
    try:
        assert await queue.add([task("0")]) == 1
        await queue.forget({"0": 0})
        with ExitStack() as stack:
            clients = [stack.enter_context(redis.Redis(port=node.port)) for node in cluster.nodes]
            slot = clients[0].execute_command("CLUSTER KEYSLOT", f"{{{settings.name('review')}}}:{KEYS[0]}")
            names = [client.execute_command("CLUSTER MYID").decode() for client in clients]
            source = slot * len(clients) // 16384
            target = (source + 1) % len(clients)
            clients[target].execute_command("CLUSTER SETSLOT", slot, "IMPORTING", names[source])
            clients[source].execute_command("CLUSTER SETSLOT", slot, "MIGRATING", names[target])
            try:
                with pytest.raises(Retry, match="moves our keys"):
                    await queue.add([task("1")])
            finally:
                for client in clients:
                    client.execute_command("CLUSTER SETSLOT", slot, "NODE", names[target])
        assert await queue.add([task("1")]) == 1
    finally:
        await queue.close()


async def test_a_cluster_that_is_away_is_waited_for(put: Put) -> None:
    settings = put({"REDIS": "redis+cluster://127.0.0.1:1,127.0.0.1:2"})
    queue = ReviewQueue(servers.redis(settings), settings.name("review:"))
    with pytest.raises(Retry, match="unreachable"):
        await queue.add([task("1")])
    await queue.close()
