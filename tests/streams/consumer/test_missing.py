"""aiokafka's errors about a missing topic become one warning. Its other errors stay."""

from __future__ import annotations

import inspect
import logging

import pytest
from aiokafka import cluster

from streams.consumer.missing import SAYS, Missing


def test_a_missing_topic_is_told_once_and_other_errors_pass(caplog: pytest.LogCaptureFixture) -> None:
    logger, missing = logging.getLogger("test.cluster"), Missing()
    logger.addFilter(missing)
    for _ in range(3):
        logger.error(SAYS, "tweets")
    logger.error("Topic %s is not authorized for this client", "tweets")
    logger.removeFilter(missing)
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "topic tweets does not exist; it is read once it is made again"),
        ("ERROR", "Topic tweets is not authorized for this client"),
    ]


def test_aiokafka_still_words_it_so() -> None:
    assert f'log.error("{SAYS}", topic)' in inspect.getsource(cluster)
