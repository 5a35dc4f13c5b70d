"""One Faust app an agent: its own consumer group, so that a slow topic starves no other and agents can run apart.

Settings that matter, each measured (docs/delivery.md): raw bytes, so that a bad message reaches the dead letters as it
came; no waiting for unacknowledged events on stop, since our own pipeline drains; bounded buffers; no web server, no
tables, no leader topic.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import faust

from streams.pipeline.intake import Intake
from streams.pipeline.pipeline import Pipeline
from streams.settings import Settings

BUFFER = 256
"""Events that Faust holds before the pipeline takes them."""


def faust_app(
    agent: str, topic: str, settings: Settings, brokers: str, pipeline: Pipeline[Any], intake: Intake, folder: Path
) -> faust.App:
    """The app that pours `topic` into `pipeline`. Not started. `folder`: this worker's own, for Faust."""
    app = faust.App(
        settings.name(f"mner-{agent}"),
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
        broker_session_timeout=settings.session_timeout_s,
        broker_heartbeat_interval=settings.session_timeout_s / 4,
        broker_commit_interval=settings.commit_interval_s,
        broker_request_timeout=max(40.0, 2 * settings.session_timeout_s),
        logging_config=None,
        loghandlers=[],
    )
    source = app.topic(topic, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")

    async def pour(stream: Any) -> None:
        await intake.pour(stream, pipeline)

    app.agent(source, name=f"mner.{agent}", concurrency=1)(pour)
    logging.getLogger("faust").setLevel(logging.WARNING)
    return app
