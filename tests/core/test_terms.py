"""The terms of sources: which apply to a post, and what a wrong file is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import UserError
from core.terms import CAUTIOUS, Sources, read_sources
from streams.settings import SOURCES, Settings
from streams.terms import load_sources

GOOD = "{may_train: true, may_show_text: true, delete_within_hours: 24}"


def listed(tmp_path: Path, text: str | bytes) -> Sources:
    file = tmp_path / "sources.yaml"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_sources(file)


def test_the_defaults_list_every_feed() -> None:
    sources = load_sources(Settings(_env_file=None))
    assert set(sources.listed) == {"bluesky", "x", "mastodon", "rss", "file", "unknown"}
    x = sources.of("x")
    assert (x.may_train, x.may_show_text, x.delete_within_hours) == (False, False, 24)
    assert [name for name, terms in sources.listed.items() if terms.may_train] == ["file"]
    assert read_sources(SOURCES).of("never heard of") == CAUTIOUS


def test_the_whole_name_counts_before_the_part_before_the_colon(tmp_path: Path) -> None:
    free, strict = GOOD, GOOD.replace("true", "false")
    sources = listed(tmp_path, f"mastodon: {strict}\n'mastodon:free.example': {free}\n")
    assert sources.of("mastodon:free.example").may_train
    assert not sources.of("mastodon:other.example").may_train
    assert not sources.of("mastodon").may_train
    assert sources.of("rss:mastodon") == CAUTIOUS, "a file without `unknown` is as cautious"
    assert listed(tmp_path, f"unknown: {free}\n").of("anything").may_train


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"x: {GOOD.replace('true', 'maybe', 1)}", "x.may_train: must be true or false (got 'maybe')"),
        (f"x: {GOOD.replace('24', '0')}", "x.delete_within_hours: must be a number of hours, above 0"),
        (f"x: {GOOD.replace('24', '.nan')}", "x.delete_within_hours: must be a number of hours"),
        (f"x: {GOOD.replace('24', 'true')}", "x.delete_within_hours: must be a number of hours"),
        (f"x: {GOOD[:-1]}, may_trian: true}}", "x: has the unknown field 'may_trian'; the fields are may_train,"),
        ("x: {may_train: true}", "x.may_show_text: Field required"),
        ("x: yes", "x: needs the fields may_train"),
        (f"on: {GOOD}", "must be text (got True); put it in quotation marks"),
        (f"x: {GOOD}\nx: {GOOD}", "sources.yaml:2: 'x' stands there twice; remove one of them"),
        ("x: {may_train: true, may_train: false}", "'may_train' stands there twice"),
        (f"x: &a {GOOD}\ny: *a", "sources.yaml:2: an alias (*name) is not allowed; repeat the values"),
        ("", "must list sources"),
        ("- x", "must list sources"),
        ("x: [", "sources.yaml:1: "),
        ("[" * 20_000, "is nested too deep"),
        ("x: !!python/object/apply:os.system ['true']", "could not determine a constructor"),
        (b"x: \xff", "not UTF-8 at byte 3; save it as UTF-8"),
        ("# " + "x" * 70_000, "has more than 65536 bytes"),
        ("x: 2026-13-45", "holds a value that cannot be read"),
        ("? [a, b]\n: 1", "sources.yaml:1: "),
    ],
)
def test_a_wrong_file_is_told_in_one_line(tmp_path: Path, text: str | bytes, told: str) -> None:
    with pytest.raises(UserError) as error:
        listed(tmp_path, text)
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_file_names_the_variable(tmp_path: Path) -> None:
    config = Settings(_env_file=None, sources=tmp_path / "none.yaml")
    with pytest.raises(UserError, match=r"MNER_SOURCES: .*none\.yaml: No such file"):
        load_sources(config)
