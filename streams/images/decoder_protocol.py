"""The protocol between the worker and its decoding processes."""

from __future__ import annotations

import struct

REQUEST = struct.Struct("!I?")
"""Precedes the file in a request: the file's length in bytes, and whether the small copy is wanted."""
