"""Workers on the shared servers, with the stub model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from local.stack import Stack
from streams.settings import Settings
from tests.conftest import Given
from tests.families.kafka.side_by_side import QUICK, bare_settings, with_topics
from tests.streams.conftest import Start, started


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts workers that look often, and waits until they are ready."""
    with started(tmp_path, QUICK) as start_one:
        yield start_one


@pytest.fixture
def bare(servers: Stack | Given, tmp_path: Path) -> Settings:
    """Settings of one test, without topics."""
    return bare_settings(servers, tmp_path)


@pytest.fixture
def posts(bare: Settings) -> Settings:
    """The same with topics."""
    return with_topics(bare)
