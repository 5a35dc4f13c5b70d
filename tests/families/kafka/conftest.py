"""Workers on the shared servers, with the stub model."""

from __future__ import annotations

from pathlib import Path

import pytest

from local.stack import Stack
from streams import topics
from streams.settings import Settings
from tests.conftest import Given, settings_for
from tests.streams.conftest import start

__all__ = ["start"]


@pytest.fixture
def bare(servers: Stack | Given, tmp_path: Path) -> Settings:
    """Settings of one test, without topics."""
    return settings_for(servers.addresses, tmp_path).changed(
        model_factory="tests.streams.stub_model:load",
        batch={"tweets": 32},
        model_timeout_s=5.0,
        threshold=0.5,
    )


@pytest.fixture
def posts(bare: Settings) -> Settings:
    """The same with topics."""
    assert bare.kafka is not None
    topics.create(bare.kafka, topics.plan(bare))
    return bare
