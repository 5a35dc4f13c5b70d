"""`mner feed` serves its metrics to a scraper, and they agree with the events in the topics."""

from __future__ import annotations

import re
import signal
import urllib.request

import pytest
from prometheus_client import REGISTRY

from core.feed_gap import FeedGap
from local.server import free_ports
from streams.feeds.account import Account
from streams.settings import Settings
from tests.streams.feeds.contract import command, watched
from tests.streams.feeds.platforms.mastodon import Served
from tests.streams.feeds.test_ends import BUSY_S

BREAKS = (80, 160)
"""Where the server ends the connection. Each break of Mastodon is a gap of unknown size."""


def scraped(address: str) -> dict[str, float]:
    """Returns the samples of a metrics page, by name and labels."""
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=30) as answer:
        found = re.findall(r"^(mner_feed\S+) (\S+)$", answer.read().decode(), re.MULTILINE)
    return {name: float(value) for name, value in found}


def test_a_feed_without_a_gap_tells_so() -> None:
    assert REGISTRY.get_sample_value("mner_feed_gaps_total", {"source": "without-gaps"}) is None
    Account("without-gaps")
    assert REGISTRY.get_sample_value("mner_feed_gaps_total", {"source": "without-gaps"}) == 0


def test_a_scraper_finds_as_many_gaps_as_the_topic_has(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings.changed(partitions=2)
    (port,) = free_ports(1)
    address = f"127.0.0.1:{port}"
    monkeypatch.setenv("MNER_METRICS", address)
    served = Served(9, faults=False, pace_s=0.002)
    for number, place in enumerate(BREAKS):
        served._steps.insert(place + number, ("close", []))
    with watched(settings) as watcher, served.serving(), command(served, settings) as child:
        found = watcher.until(
            lambda found: child.poll() is not None or (served.has_ended and not found.missing(served)),
            lambda found: found.missing(served)[:5],
            BUSY_S,
        )
        assert child.poll() is None, child.communicate()
        page = scraped(address)
        child.send_signal(signal.SIGTERM)
        out, err = child.communicate(timeout=30)
        gaps = [FeedGap.model_validate(gap) for gap in watcher.all().gaps]
    assert child.returncode == 0, err
    assert [(gap.source, gap.size) for gap in gaps] == [("mastodon", None)] * len(BREAKS)
    assert page['mner_feed_gaps_total{source="mastodon"}'] == len(gaps)
    assert f"gaps: {len(gaps)}" in out
    assert page['mner_feed_reconnects_total{fault="network",source="mastodon"}'] == len(BREAKS)
    assert page['mner_feed_sent_total{kind="post",source="mastodon"}'] >= len(found.posts)
    assert page['mner_feed_received_total{source="mastodon"}'] >= len(found.posts)
