"""What the doctor says about the terms of sources and the retention of the topics."""

from __future__ import annotations

from pathlib import Path

import pytest
from elasticsearch import Elasticsearch

from cli.doctor import checks, terms
from cli.doctor.elasticsearch import check
from sinks.index.document import from_extraction
from sinks.index.index import Index
from streams.settings import Settings
from tests.sinks.values import extraction, tweet


def test_a_sources_file_that_cannot_be_read_is_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MNER_SOURCES", str(tmp_path / "none.yaml"))
    (finding,) = [each for each in checks.examine() if each.name == "sources"]
    assert (finding.level, "none.yaml: No such file" in finding.detail) == ("broken", True)
    assert "MNER_SOURCES" in finding.remedy
    monkeypatch.delenv("MNER_SOURCES")
    assert terms.sources(Settings(_env_file=None)) == []


@pytest.mark.parametrize(
    ("feeds", "hours", "told"),
    [
        (["x", "file"], 168, "a deleted post of x must be gone within 24 hours"),
        (["x"], 5, None),
        (["x"], 6, "for 7 hours and tweets.dead for 25"),
        (["file"], 168, None),
        (["never heard of"], 168, "never heard of must be gone"),
        (["unknown"], 168, "unknown must be gone"),
        ([], 168, None),
    ],
)
def test_topics_that_keep_posts_for_too_long_are_a_warning(feeds: list[str], hours: int, told: str | None) -> None:
    found = terms.retention(feeds, Settings(_env_file=None, retention_hours=hours))
    assert [finding.level for finding in found] == ["warning"] * (told is not None)
    assert told is None or told in found[0].detail
    assert all(finding.remedy.startswith("set MNER_RETENTION_HOURS=5, then") for finding in found)


@pytest.mark.parametrize(
    ("feeds", "remedy"),
    [
        (["x"], ""),
        (["x", "new"], "; or list new in MNER_SOURCES, if its terms allow more"),
        (
            ["new", "unknown"],
            "; or give your posts the field `source`, and list that source in MNER_SOURCES, if its terms allow more",
        ),
    ],
)
def test_what_is_not_listed_is_to_be_named_and_listed(feeds: list[str], remedy: str) -> None:
    (found,) = terms.retention(feeds, Settings(_env_file=None))
    assert found.remedy == "set MNER_RETENTION_HOURS=5, then run `mner topics create --tighten`" + remedy


def limited(tmp_path: Path, hours: float, **image: float) -> Settings:
    """Settings in which a deletion of x may take so long, and topics keep posts for an hour."""
    file = tmp_path / "sources.yaml"
    file.write_text(f"x: {{may_train: false, may_show_text: false, delete_within_hours: {hours}}}\n")
    return Settings(_env_file=None, retention_hours=1, sources=file, image=image)


def test_terms_that_no_setting_meets_are_told_so(tmp_path: Path) -> None:
    dead, compacted, caches = terms.retention(["x"], limited(tmp_path, 2))
    assert dead.remedy.startswith("no retention is short enough")
    assert (
        "in extractions and decisions for 6 hours (max.compaction.lag.ms), but a deleted post of x" in compacted.detail
    )
    assert compacted.remedy == "no setting shortens it; feed no such source"
    assert "caches of other machines" in caches.detail
    assert "to at most 1.83" in caches.remedy


@pytest.mark.parametrize(
    ("within", "image", "told"),
    [
        (6, {}, ["caches"]),
        (5.5, {}, ["Kafka", "caches"]),
        (12, {}, ["caches"]),
        (12.5, {}, []),
        (12.5, {"cache_hours": 13}, ["caches"]),
        (12.5, {"cache_hours": 13, "cache_mb": 0}, []),
    ],
)
def test_compaction_and_caches_may_keep_posts_for_too_long(
    tmp_path: Path, within: float, image: dict[str, float], told: list[str]
) -> None:
    found = terms.retention(["x"], limited(tmp_path, within, **image))
    assert [finding.detail.split()[0] for finding in found] == told


async def test_the_sources_in_use_are_those_of_the_index(settings: Settings) -> None:
    index = Index(str(settings.elasticsearch), settings.name("mentions"))
    await index.prepare()
    posts = [tweet("1", source="x"), tweet("2", source="file"), tweet("3", source="file:mine")]
    await index.write([from_extraction(extraction(post), []) for post in posts])
    await index.refresh()
    await index.close()
    told = [each.detail for each in check(str(settings.elasticsearch), settings) if each.name == "terms"]
    assert len(told) == 1
    assert "a deleted post of x must" in told[0]
    with Elasticsearch(str(settings.elasticsearch)) as client:
        assert terms.obeyed(client, settings.name("none"), settings) == []
