"""The queue and its clock, as in the tests of the sinks."""

from tests.sinks.conftest import clock, queue

__all__ = ["clock", "queue"]
