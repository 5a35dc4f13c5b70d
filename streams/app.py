"""Makes one Faust app for each agent.

Each app has its own consumer group. A slow topic then delays no other, and agents can run in separate workers.
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
from yarl import URL

from streams.agents.names import AgentName
from streams.consumer.consumer import Transport
from streams.consumer.logs import Logs
from streams.consumer.missing import tell_once
from streams.pipeline.intake import Intake
from streams.pipeline.pipeline import Pipeline
from streams.settings import Settings

BUFFER = 256
"""Events that Faust buffers before the pipeline takes them."""

METADATA_S = 10
"""Time, in seconds, until a topic that was made again, or got more partitions, is noticed."""


def faust_app(
    agent: AgentName,
    topic: str,
    settings: Settings,
    brokers: str,
    pipeline: Pipeline[Any],
    intake: Intake,
    folder: Path,
    logs: Logs,
) -> faust.App:
    """Returns an app that moves events of `topic` into `pipeline`. It is not started.

    `folder`: a folder of this worker that Faust may use. `logs`: what tells the consumer how far the topics reach.
    """
    urls = [URL(f"kafka://{address.strip()}") for address in brokers.split(",")]
    app = faust.App(
        settings.name(agent.group),
        broker=urls,
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
        consumer_auto_offset_reset="none",  # a position outside the log is an error, which `Consumer` handles
        consumer_metadata_max_age_ms=1000 * METADATA_S,
        broker_session_timeout=settings.session_timeout_s,
        broker_heartbeat_interval=settings.session_timeout_s / 4,
        broker_commit_interval=settings.commit_interval_s,
        broker_request_timeout=max(40.0, 2 * settings.session_timeout_s),
        logging_config=None,
        loghandlers=[],
    )
    app.transport = Transport(urls, app, logs=logs, agent=str(agent))
    source = app.topic(topic, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")

    async def pour(stream: Any) -> None:
        await intake.pour(stream, pipeline)

    app.agent(source, name=f"mner.{agent}", concurrency=1)(pour)
    logging.getLogger("faust").setLevel(logging.WARNING)
    tell_once()
    return app
