"""Makes one Faust app for each agent.

Each app has its own consumer group. So a slow topic does not delay the others, and agents can run in separate workers.
docs/delivery.md gives the measurements behind these options of Faust:

- Keys and values are raw bytes, so that a bad message reaches the dead letters unchanged.
- Faust does not wait for unacknowledged events when it stops, since the pipeline drains them.
- Buffers are bounded. There is no web server, no table and no leader topic.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import faust

from streams.agents.names import AgentName
from streams.pipeline.acknowledge import COMMIT_INTERVAL_S
from streams.pipeline.intake import Intake
from streams.pipeline.pipeline import Pipeline

BUFFER = 256
"""Largest number of events that Faust buffers before the pipeline takes them."""


def faust_app(
    agent: AgentName,
    topic: str,
    group: str,
    brokers: str,
    session_timeout_s: float,
    pipeline: Pipeline[Any],
    intake: Intake,
    folder: Path,
) -> faust.App:
    """Returns an app, not yet started, that moves events of `topic` into `pipeline`.

    `group`: the consumer group. Kafka removes a worker from it that is silent for `session_timeout_s`.
    `brokers`: host:port, several separated by commas. `folder`: a folder of this worker that Faust may use.
    """
    app = faust.App(
        group,
        broker=[f"kafka://{address.strip()}" for address in brokers.split(",")],
        datadir=str(folder),
        autodiscover=False,
        web_enabled=False,
        topic_disable_leader=True,
        topic_allow_declare=False,
        store="memory://",
        key_serializer="raw",
        value_serializer="raw",
        stream_buffer_maxsize=BUFFER,
        stream_wait_empty=False,
        consumer_auto_offset_reset="earliest",
        broker_session_timeout=session_timeout_s,
        broker_heartbeat_interval=session_timeout_s / 4,
        broker_commit_interval=COMMIT_INTERVAL_S,
        broker_request_timeout=max(40.0, 2 * session_timeout_s),
        logging_config=None,
        loghandlers=[],
    )
    source = app.topic(topic, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")

    async def pour(stream: Any) -> None:
        await intake.pour(stream, pipeline)

    app.agent(source, name=f"mner.{agent}", concurrency=1)(pour)
    logging.getLogger("faust").setLevel(logging.WARNING)
    return app
