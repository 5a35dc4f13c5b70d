"""How long an erasure takes, and when it counts as late: by the terms of its source, from the platform's word on."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from prometheus_client import REGISTRY

from core.lifecycle import Lifecycle
from core.terms import Sources, Terms
from streams.agents.erase import Erase
from streams.pipeline.item import Item, Origin
from tests.conftest import ROOT
from tests.metrics_read import metric
from tests.streams.agents.test_lifecycle import in_memory
from tests.streams.said import applying

SOURCES = Sources({"x": Terms(may_train=False, may_show_text=False, delete_within_hours=2)})


async def apply_at(now: float, *, source: str, said_at: float, recorded: float) -> None:
    """Applies an erasure of the post `early`. All times are Unix seconds."""
    stores = in_memory(None)
    apply = applying(stores.index, stores.queue, stores.subjects, stores)
    erase = Erase(stores.index, stores.subjects, apply, lambda: now, SOURCES)
    event = Lifecycle(kind="erase", post="early", source=source, at=datetime.fromtimestamp(said_at, UTC))
    await erase.process(Item(Origin("tombstones", 0, 0, None, b"", recorded), parsed=event))


@pytest.mark.parametrize(
    ("source", "label", "took_s", "near"),
    [("x", "x", 3500, 0), ("x", "x", 3700, 1), ("x:mine", "x", 3700, 1), ("other", "unknown", 3700, 0)],
)
async def test_an_erasure_counts_from_the_platforms_word_and_by_the_terms(
    source: str, label: str, took_s: float, near: int
) -> None:
    before = metric("mner_erase_near_deadline_total", source=label), metric("mner_erase_seconds_sum", source=label)
    await apply_at(10_000.0 + took_s, source=source, said_at=10_000.0, recorded=10_000.0 + took_s - 1)
    assert metric("mner_erase_near_deadline_total", source=label) - before[0] == near
    assert metric("mner_erase_seconds_sum", source=label) - before[1] == took_s


async def test_a_platform_whose_clock_is_ahead_counts_from_the_record() -> None:
    before = metric("mner_erase_seconds_sum", source="x")
    await apply_at(10_005.0, source="x", said_at=20_000.0, recorded=10_000.0)
    assert metric("mner_erase_seconds_sum", source="x") - before == 5


def test_each_listed_source_has_its_deadline_and_its_counter_from_the_start() -> None:
    stores = in_memory(None)
    listed = Sources({"new": Terms(may_train=False, may_show_text=True, delete_within_hours=3)})
    Erase(stores.index, stores.subjects, applying(stores.index, stores.queue, stores.subjects, stores), sources=listed)
    assert metric("mner_erase_deadline_seconds", source="new") == 3 * 3600
    assert metric("mner_erase_deadline_seconds", source="unknown") == 24 * 3600
    assert REGISTRY.get_sample_value("mner_erase_near_deadline_total", {"source": "new"}) == 0


def test_the_alert_names_only_metrics_that_a_worker_has() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text()
    (rule,) = re.findall(r"alert: EraseIsLate\n(.*?)annotations", page, re.DOTALL)
    known = {sample.name for family in REGISTRY.collect() for sample in family.samples}
    assert "mner_erase_near_deadline_total" in (named := set(re.findall(r"mner_\w+", rule)))
    assert named - known <= {"mner_oldest_event_seconds", "mner_dead_letters_total"}, "these come with the pipeline"
