"""Apache Kafka in KRaft mode: one process is broker and controller, and everything has one replica."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import uuid
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import ClassVar

from core.errors import UserError
from local import java
from local.server import Server

CONFIGURATION = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=BROKER://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=BROKER://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}
listener.security.protocol.map=BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=BROKER
log.dirs={data}
auto.create.topics.enable=false
broker.heartbeat.interval.ms=1000
broker.session.timeout.ms=4000
group.initial.rebalance.delay.ms=0
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
"""
FLAGS = (
    *java.JVM_FLAGS,
    "-Xmx768m",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd HH:mm:ss.SSS",
)


class Kafka(Server):
    """A single-node Kafka cluster."""

    name: ClassVar[str] = "kafka"
    port_count: ClassVar[int] = 2

    def url(self, port: int) -> str:
        return f"127.0.0.1:{port}"

    def prepare(self, ports: list[int]) -> list[str]:
        class_path = os.pathsep.join(java.class_path("kafka", self._report))
        run = [str(java.home() / "bin" / "java"), *FLAGS, "-cp", class_path]
        configuration = self.folder / "server.properties"
        configuration.write_text(CONFIGURATION.format(broker=ports[0], controller=ports[1], data=self._data))
        if self._cluster() is None:
            self._format([*run, "kafka.tools.StorageTool", "format", "--config", str(configuration)])
        return [*run, "kafka.Kafka", str(configuration)]

    def answers(self, port: int) -> bool:
        socket.create_connection(
            ("127.0.0.1", port), timeout=1
        ).close()  # checked first, since the client would log every refused connection
        from kafka import KafkaAdminClient
        from kafka.errors import KafkaError

        try:
            client = KafkaAdminClient(bootstrap_servers=self.url(port), bootstrap_timeout_ms=2000)
        except KafkaError:
            return False
        try:
            cluster = client.describe_cluster()
            return bool(cluster["cluster_id"] == self._cluster() and cluster["brokers"])
        except KafkaError:
            return False
        finally:
            client.close()

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _cluster(self) -> str | None:
        """Returns the cluster ID of the formatted storage, or None before it is formatted."""
        properties = self._data / "meta.properties"
        if not properties.exists():
            return None
        match = re.search(r"^cluster\.id=(.+)$", properties.read_text(), re.MULTILINE)
        return match[1] if match else None

    def _format(self, command: list[str]) -> None:
        self._report("formatting its storage")
        cluster = urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
        done = subprocess.run([*command, f"--cluster-id={cluster}"], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise UserError(f"kafka: cannot format {self._data}: {(done.stderr or done.stdout).strip()}")
