"""Gives these tests a fixture that the tests of the image loader define."""

from __future__ import annotations

from tests.streams.images.conftest import dialled

__all__ = ["dialled"]
