"""What the worker and its decoding processes agree on."""

from __future__ import annotations

import struct

REQUEST = struct.Struct("!I?")
"""Comes before the file: its length, and whether the small copy is wanted."""
