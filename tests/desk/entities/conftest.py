"""Posts in a real index, for the tests of names."""

from tests.desk.search.conftest import fill, free_port

__all__ = ["fill", "free_port"]
