"""Makes one Faust app for each agent.

Each app has its own consumer group. So a slow topic does not delay the others, and agents can run in separate workers.
docs/delivery.md gives the reasons for these options of Faust:

- Keys and values are raw bytes, so that a bad message reaches the dead letters unchanged.
- Faust does not wait for unacknowledged events when it stops, since the pipeline drains them.
- Buffers are bounded. There is no web server, no table, no folder, no leader topic and no producer.
"""

from __future__ import annotations

from typing import Any

import faust
from faust.app.base import BootStrategy
from faust.auth import Credentials, OAuthCredentials, SASLCredentials, SSLCredentials
from yarl import URL

from sinks.connect.kafka import Brokers, addresses, aio_options
from sinks.no_creation import aiokafka_creates_none
from streams.agents.names import AgentName
from streams.consumer.consumer import Transport
from streams.consumer.logs import Logs
from streams.consumer.missing import tell_once
from streams.consumer.thread import SERVICES
from streams.pipeline.acknowledge import COMMIT_INTERVAL_S
from streams.pipeline.intake import Intake
from streams.pipeline.pipeline import Pipeline

BUFFER = 256
"""Largest number of events that Faust buffers before the pipeline takes them."""

METADATA_S = 10
"""Time, in seconds, until a topic that was made again, or got more partitions, is noticed."""


class Services(BootStrategy):
    """What an app starts. The pipelines send through a producer of their own."""

    enable_kafka_producer = False


class App(faust.App):
    """An app that makes no folders, since it has no tables. So a killed worker leaves none behind."""

    BootStrategy = Services
    logger = SERVICES

    def _create_directories(self) -> None:
        pass


def credentials(brokers: Brokers) -> Credentials | None:
    """Returns what Faust hands to aiokafka for TLS and the login. Raises `UserError` as `aio_options` does."""
    options = aio_options(brokers)
    context = options.get("ssl_context")
    if "sasl_oauth_token_provider" in options:
        return OAuthCredentials(oauth_cb=options["sasl_oauth_token_provider"], ssl_context=context)
    if "sasl_mechanism" in options:
        return SASLCredentials(
            username=options["sasl_plain_username"],
            password=options["sasl_plain_password"],
            ssl_context=context,
            mechanism=options["sasl_mechanism"],
        )
    return None if context is None else SSLCredentials(context)


def faust_app(
    agent: AgentName,
    topic: str,
    group: str,
    brokers: Brokers,
    session_timeout_s: float,
    pipeline: Pipeline[Any],
    intake: Intake,
    logs: Logs,
) -> faust.App:
    """Returns an app, not yet started, that moves events of `topic` into `pipeline`.

    `group`: the consumer group. Kafka removes a worker from it that is silent for `session_timeout_s`.
    `logs`: what tells the consumer how far the topics reach.
    """
    urls = [URL(f"kafka://{address}") for address in addresses(brokers)]
    app = App(
        group,
        broker=urls,
        broker_credentials=credentials(brokers),
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
        broker_session_timeout=session_timeout_s,
        broker_heartbeat_interval=session_timeout_s / 4,
        broker_commit_interval=COMMIT_INTERVAL_S,
        broker_request_timeout=max(40.0, 2 * session_timeout_s),
        logging_config=None,
        loghandlers=[],
    )
    app.transport = Transport(urls, app, logs=logs, agent=str(agent))
    source = app.topic(topic, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")

    async def pour(stream: Any) -> None:
        await intake.pour(stream, pipeline)

    app.agent(source, name=f"mner.{agent}", concurrency=1)(pour)
    tell_once()
    aiokafka_creates_none()
    return app
