"""What the OpenAPI description allows, and what it does not, never makes the desk fail."""

from __future__ import annotations

import asyncio
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.core.result import Ok

from examples.desk_posts import posts
from streams.settings import Settings
from tests.desk.conftest import own_headers
from tests.desk.filled import fill, read
from tests.desk.pages import until

EXAMPLES = 10
"""Requests for each operation, of each kind."""

ENDLESS = {"/api/v1/tail"}
"""Operations that answer for as long as somebody listens."""

ANSWER_S = 60.0
"""Longest wait for an answer. A machine with other work is no fault of the desk."""


def test_no_request_makes_the_desk_fail(desk: str, desk_settings: Settings) -> None:
    asyncio.run(fill(desk_settings, [read(post) for post in posts(60, until())]))
    description = schemathesis.openapi.from_url(f"{desk}/api/openapi.json")
    headers, tried, failures = own_headers(desk), set(), set[str]()
    for found in description.get_all_operations():
        assert isinstance(found, Ok), found
        operation = found.ok()
        if operation.path in ENDLESS:
            continue
        for mode in GenerationMode:
            try:
                cases = operation.as_strategy(generation_mode=mode)
            except ValueError:  # such as an operation without anything that could be wrong
                continue

            @settings(
                max_examples=EXAMPLES,
                deadline=None,
                derandomize=True,
                database=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(case=cases)
            def ask(case: Case[Any]) -> None:
                answer = case.call(headers=headers, timeout=ANSWER_S)
                tried.add(case.operation.label)
                if answer.status_code >= 500:
                    failures.add(f"{case.as_curl_command()} -> {answer.status_code} {answer.text[:200]}")

            ask()
    assert failures == set()
    assert len(tried) > 20
