"""The alert rules of docs/metrics.md: each names what a worker's page has, and fires when it should."""

from __future__ import annotations

import re
import urllib.request
from copy import deepcopy
from typing import Any

import pytest
import yaml

from core.terms import read_sources
from local.server import free_ports
from streams.settings import Settings
from tests.conftest import ROOT
from tests.promql import Page, evaluated, page_of, selectors
from tests.streams.conftest import Start

AGENTS = ("erase", "deliver")


def rules() -> dict[str, dict[str, Any]]:
    """Returns the rules by name."""
    page = (ROOT / "docs" / "metrics.md").read_text()
    (block,) = re.findall(r"```yaml\n(.*?)```", page.partition("## Alerts")[2], re.DOTALL)
    return {rule["alert"]: rule for group in yaml.safe_load(block)["groups"] for rule in group["rules"]}


RULES = rules()


@pytest.fixture
def page(stubbed: Settings, start: Start) -> Page:
    """The page of a worker that has the terms of this repository."""
    (port,) = free_ports(1)
    start(stubbed.changed(metrics=f"127.0.0.1:{port}"), only=AGENTS)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
        return page_of(answer.read().decode())


def test_each_alert_names_what_a_page_has_and_none_fires_at_the_start(page: Page) -> None:
    for name, rule in RULES.items():
        for metric, labels in selectors(rule["expr"]):
            assert any(labels.items() <= found for found in page.get(metric, {})), f"{name}: {metric}{labels}"
        assert evaluated(rule["expr"], page, page) == {}, name
        shown = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
        assert shown <= {"agent"}, name


def test_the_alert_about_erasures_fires_before_the_terms_are_broken(page: Page) -> None:
    expression = RULES["EraseIsLate"]["expr"]
    listed = read_sources(ROOT / "config" / "sources.yaml").listed
    shortest_s = 3600 * min(terms.delete_within_hours for terms in listed.values())
    told = {dict(labels)["source"]: value for labels, value in page["mner_erase_deadline_seconds"].items()}
    assert told == {name: 3600 * terms.delete_within_hours for name, terms in listed.items()}

    erase, deliver = (frozenset({("agent", agent)}) for agent in AGENTS)
    for age_s, fires in ((0.4 * shortest_s, False), (0.5 * shortest_s + 1, True), (0.9 * shortest_s, True)):
        later = deepcopy(page)
        later["mner_oldest_event_seconds"][erase] = age_s
        assert (erase in evaluated(expression, later, later)) is fires, age_s
        later["mner_oldest_event_seconds"] = {erase: 0.0, deliver: age_s}
        assert evaluated(expression, later, later) == {}, "only erasures have terms"

    for metric, labels, fires in (
        ("mner_erase_near_deadline_total", frozenset({("source", "x")}), True),
        ("mner_dead_letters_total", erase, True),
        ("mner_dead_letters_total", deliver, False),
    ):
        later = deepcopy(page)
        later[metric][labels] += 1
        assert (labels in evaluated(expression, page, later)) is fires, (metric, labels)


def test_the_other_alerts_fire_for_what_they_are_about(page: Page) -> None:
    erase, deliver = (frozenset({("agent", agent)}) for agent in AGENTS)

    def fires(name: str, **changes: float) -> set[Any]:
        later = deepcopy(page)
        for metric, change in changes.items():
            later[f"mner_{metric}"][deliver] += change
        return set(evaluated(RULES[name]["expr"], page, later))

    assert fires("BadEvents", bad_events_run=19) == set()
    assert fires("BadEvents", bad_events_run=20) == {deliver}
    assert fires("ManyBadEvents", bad_events_total=1, acknowledged_total=10) == set()
    assert fires("ManyBadEvents", bad_events_total=2, acknowledged_total=10) == {deliver}
    assert fires("DeadLetters", bad_events_total=3, dead_letters_total=3) == set()
    assert fires("DeadLetters", bad_events_total=3, dead_letters_total=4) == {deliver}
    gone = deepcopy(page)
    del gone["mner_oldest_event_seconds"][erase]
    assert evaluated(RULES["NobodyErases"]["expr"], gone, gone)
