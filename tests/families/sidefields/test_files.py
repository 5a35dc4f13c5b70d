"""Files of this family: what a platform or a library writes, and the post that is read from it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.events import Tweet
from tests.families.sidefields.stored import stored

FILES = Path(__file__).parent / "files"
POSTS = sorted(path.stem for path in FILES.glob("*.json") if not path.stem.endswith(".expected"))


@pytest.mark.parametrize("name", POSTS)
def test_a_post_in_the_form_of_a_platform_is_read(name: str) -> None:
    tweet = Tweet.model_validate_json((FILES / f"{name}.json").read_bytes())
    expected = json.loads((FILES / f"{name}.expected.json").read_text(encoding="utf-8"))
    assert tweet.model_dump(mode="json", exclude_defaults=True) == expected
    assert stored(tweet) == tweet


def test_posts_that_version_0_2_read_are_read_to_the_same_bytes() -> None:
    """`valid.expected.jsonl` is what version 0.2 wrote for `valid.jsonl`."""
    raw, expected = ((FILES / name).read_bytes().split(b"\n") for name in ("valid.jsonl", "valid.expected.jsonl"))
    assert len(raw) == len(expected) > 30
    for line, written in zip(raw, expected, strict=True):
        assert not line or Tweet.model_validate_json(line).model_dump_json().encode() == written
