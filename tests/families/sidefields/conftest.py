"""The sinks on real servers, for the tests of this family."""

from __future__ import annotations

from tests.sinks.conftest import clock as clock  # noqa: PLC0414
from tests.sinks.conftest import index as index  # noqa: PLC0414
from tests.sinks.conftest import queue as queue  # noqa: PLC0414
