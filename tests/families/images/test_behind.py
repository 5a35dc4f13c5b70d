"""What stands behind a compressed image takes nothing away from it, and frames of one file are joined."""

from __future__ import annotations

import gzip
import random
import zlib

import brotli
import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st

from streams.images.coding import MAX_MEMBERS, PIECE, decoded
from streams.images.errors import ImageError
from tests.families.images.answers import raw_deflate
from tests.families.images.test_bytes import CODERS

BODY = b"hello" * 500
NOISE = random.Random(7).randbytes(100_000)
HOLLOW = b"\x5a\x2a\x4d\x18\x04\0\0\0abcd"
"""A skippable frame of zstd (RFC 8878, 3.1.2)."""
BR, GZIP, ZSTD = brotli.compress(BODY), gzip.compress(BODY), zstd.compress(BODY)
BEHIND = [
    pytest.param(["br"], BR + b"junk" * 9, BODY, id="br, junk behind"),
    pytest.param(["br"], BR + bytes(9000), BODY, id="br, zeros behind"),
    pytest.param(["br"], BR + b"\n", BODY, id="br, a line end behind"),
    pytest.param(["br"], BR + BR, BODY, id="br, a second stream behind"),
    pytest.param(["br"], brotli.compress(NOISE) + NOISE, NOISE, id="br of many pieces, junk behind"),
    pytest.param(
        ["br"], brotli.compress(NOISE[: PIECE - 5]) + b"x", NOISE[: PIECE - 5], id="br of one piece, and a byte"
    ),
    pytest.param(["deflate"], zlib.compress(BODY) + b"junk", BODY, id="deflate, junk behind"),
    pytest.param(["deflate"], raw_deflate(BODY) + b"junk", BODY, id="bare deflate, junk behind"),
    pytest.param(["gzip"], GZIP + b"\x1f\x8bjunk", BODY, id="gzip, junk that begins like a member"),
    pytest.param(["gzip"], GZIP + GZIP[:2], BODY, id="gzip, two bytes of a member"),
    pytest.param(["gzip"], GZIP + GZIP[:10], BODY, id="gzip, the head of a member"),
    pytest.param(["gzip"], GZIP + GZIP[:3] + b"\xff" * 50, BODY, id="gzip, a damaged head"),
    pytest.param(["gzip"], GZIP + GZIP[:10] + b"\xff" * 50, BODY, id="gzip, a damaged member"),
    pytest.param(["gzip"], GZIP + bytes(512), BODY, id="gzip, zeros behind"),
    pytest.param(["gzip"], GZIP + GZIP, BODY + BODY, id="gzip, a second member"),
    pytest.param(["zstd"], ZSTD + ZSTD, BODY + BODY, id="zstd, a second frame"),
    pytest.param(["zstd"], HOLLOW + ZSTD, BODY, id="zstd, a skippable frame before"),
    pytest.param(["zstd"], HOLLOW * 3 + ZSTD + HOLLOW + ZSTD + HOLLOW, BODY + BODY, id="zstd, skippable frames"),
    pytest.param(["zstd"], ZSTD + b"junk" * 9, BODY, id="zstd, junk behind"),
    pytest.param(["zstd"], ZSTD + bytes(9000), BODY, id="zstd, zeros behind"),
    pytest.param(["zstd"], ZSTD + ZSTD[:5], BODY, id="zstd, the head of a frame"),
    pytest.param(
        ["zstd"], zstd.compress(NOISE) + zstd.compress(NOISE), NOISE + NOISE, id="zstd, frames of many pieces"
    ),
    pytest.param(
        ["gzip", "br"], brotli.compress(GZIP + b"\x1f\x8b") + b"junk", BODY, id="gzip in br, junk behind both"
    ),
    pytest.param(["br", "zstd"], zstd.compress(BR + b"!") + HOLLOW, BODY, id="br in zstd, something behind both"),
]


@pytest.mark.parametrize(("names", "coded", "body"), BEHIND)
def test_what_stands_behind_a_coded_body(names: list[str], coded: bytes, body: bytes) -> None:
    assert decoded(coded, names, 10**6) == body


@pytest.mark.parametrize(
    ("name", "coded"),
    [
        pytest.param("br", b"junk" * 9, id="br"),
        pytest.param("gzip", b"\x1f\x8bjunk", id="gzip"),
        pytest.param("zstd", HOLLOW, id="a skippable frame alone"),
        pytest.param("zstd", HOLLOW + b"junk", id="junk behind a skippable frame"),
        pytest.param("zstd", HOLLOW[:6], id="half of a skippable frame"),
        pytest.param("zstd", HOLLOW * (2 * MAX_MEMBERS) + ZSTD, id="too many skippable frames"),
    ],
)
def test_a_label_without_a_body_is_refused(name: str, coded: bytes) -> None:
    with pytest.raises(ImageError, match=r"^encoded: "):
        decoded(coded, [name], 10**6)


@given(st.sampled_from(sorted(CODERS)), st.binary(max_size=40), st.integers(0, 3))
def test_surplus_bytes_take_nothing_away(name: str, surplus: bytes, copies: int) -> None:
    coded = CODERS[name](BODY)
    read = decoded(coded + HOLLOW * copies + surplus, [name], 10**6)
    assert read.startswith(BODY)


def test_the_frames_of_a_zstd_file_are_counted() -> None:
    assert decoded(zstd.compress(b"x") * (2 * MAX_MEMBERS), ["zstd"], 10**6) == b"x" * MAX_MEMBERS
