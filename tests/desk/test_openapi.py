"""What the OpenAPI description allows, and what it does not, never makes the desk fail."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from typing import Any

import httpx
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.core.result import Ok

from desk.access.access import tokens_of, users_of
from desk.access.people import ROLES
from examples.desk_posts import posts
from streams.settings import Settings
from tests.desk.access.conftest import PASSWORD
from tests.desk.conftest import own_headers, served
from tests.desk.filled import fill, read, save, set_apart
from tests.desk.pages import until

EXAMPLES, OFFERS = 8, 4
"""Requests for each operation, of each kind: those that look for failures, and those with good and wrong tokens."""

ENDLESS = {"/api/v1/tail"}
"""Operations that answer for as long as somebody listens. Of their answers, the beginning is read."""

ANSWER_S = 60.0
"""Longest wait for an answer. A machine with other work is no fault of the desk."""

Known = dict[str, list[Any]]
"""Name of a parameter or a field -> values that the desk knows. Random ones are refused before anything happens."""


def cases(description: dict[str, Any]) -> Iterator[st.SearchStrategy[Case[Any]]]:
    """Yields the requests that the description of each operation allows, and those that it does not."""
    for found in schemathesis.openapi.from_dict(description).get_all_operations():
        assert isinstance(found, Ok), found
        operation = found.ok()
        for mode in GenerationMode:
            with suppress(ValueError):  # such as an operation without anything that could be wrong
                yield operation.as_strategy(generation_mode=mode)


def ask(address: str, case: Case[Any], headers: dict[str, str]) -> tuple[int, str]:
    """Sends a request. Returns the status, and the beginning of the answer."""
    sent = case.as_transport_kwargs(base_url=address)
    sent["headers"].update(headers)
    with closing(requests.request(**sent, timeout=ANSWER_S, stream=True)) as answer:
        text = next(answer.iter_content(2000), b"") if case.path in ENDLESS else answer.content
        return answer.status_code, text[:200].decode(errors="replace")


def with_known(case: Case[Any], known: Known, at: int, draw: Callable[[st.SearchStrategy[Any]], Any]) -> None:
    """Puts values that the desk knows in place of most random ones. `at`: which, so that they belong together."""
    for place in (case.path_parameters, case.query, case.body):
        if not isinstance(place, dict):
            continue
        for name, values in known.items():
            if name in place and draw(st.integers(0, 9)):
                place[name] = values[at % len(values)]


def some(examples: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The same requests in every run."""
    return settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


def seed(desk_settings: Settings) -> None:
    async def fill_all() -> None:
        await fill(desk_settings, [read(post) for post in posts(60, until())])
        await set_apart(desk_settings, ["which one?", ""])
        await save(desk_settings, ["NASA", "Paris"])

    asyncio.run(fill_all())


def known_to(address: str, headers: dict[str, str]) -> Known:
    """Leases tasks, names a bulk, and looks up what the desk has."""
    session = "a" * 32
    with httpx.Client(base_url=f"{address}/api/v1", headers=headers, timeout=ANSWER_S) as desk:
        tasks = desk.post("/review/hand", json={"session": session, "want": 9}).json()["tasks"]
        groups = desk.get("/review/names").json()["groups"]
        lines = [desk.get("/review/names/lines", params=group).json()["lines"] for group in groups[:3]]
        found = [task["post"] for task in tasks]
        disputed = [case["post"] for case in desk.get("/review/disputed").json()["cases"]]
        return {
            "post": found + disputed,
            "post_id": [post["id"] for post in desk.get("/search").json()["posts"]],
            "task": [task["id"] for task in tasks],
            "token": [task["token"] for task in tasks],
            "session": [session],
            "bulk": [desk.post("/review/names/bulks").json()["id"]],
            "search_id": [each["id"] for each in desk.get("/saved").json()],
            "name": [group["name"] for group in groups],
            "type": ["PER", "LOC", "ORG", "MISC"],
            "lines": [[{name: line[name] for name in ("post", "seen")} for line in group] for group in lines],
            "q": ["nasa", '"', "-", "*"],
        }


def test_no_request_makes_the_desk_fail(desk: str, desk_settings: Settings) -> None:
    seed(desk_settings)
    headers = own_headers(desk)
    known, answers, failures = known_to(desk, headers), dict[str, set[int]](), set[str]()
    assert all(known.values()), known
    for strategy in cases(httpx.get(f"{desk}/api/openapi.json", timeout=ANSWER_S).json()):

        @some(EXAMPLES)
        @given(case=strategy, at=st.integers(0, 20), data=st.data())
        def try_it(case: Case[Any], at: int, data: st.DataObject) -> None:
            with_known(case, known, at, data.draw)
            status, text = ask(desk, case, headers)
            answers.setdefault(case.operation.label, set()).add(status)
            if status >= 500:
                failures.add(f"{case.as_curl_command()} -> {status} {text}")

        try_it()
    assert failures == set()
    accepted = [label for label, statuses in answers.items() if min(statuses) < 300]
    assert len(answers) > 35
    assert len(accepted) > 24, answers


def test_no_token_makes_the_desk_fail_and_only_a_good_one_opens_it(desk_settings: Settings) -> None:
    seed(desk_settings)
    tokens = tokens_of(desk_settings)
    good = {role: tokens.add(role, (role,), None) for role in ROLES}
    users_of(desk_settings).add("ada", PASSWORD, ("admin",))  # from now on, the desk is not open
    wrong = st.sampled_from([f"Bearer {good['analyst']}x", "Bearer", "Bearer \xff\xfe", "Basic YTpi", "Bearer mner_"])
    offered = st.sampled_from([f"Bearer {secret}" for secret in good.values()]) | wrong | st.none()
    answers, faults = dict[bool, set[int]](), set[str]()
    with served(desk_settings) as desk:
        description = httpx.get(
            f"{desk}/api/openapi.json", headers={"Authorization": f"Bearer {good['analyst']}"}, timeout=ANSWER_S
        ).raise_for_status()
        for strategy in cases(description.json()):

            @some(OFFERS)
            @given(case=strategy, header=offered)
            def try_it(case: Case[Any], header: str | None) -> None:
                is_good = header in {f"Bearer {secret}" for secret in good.values()}
                status, text = ask(desk, case, {} if header is None else {"Authorization": header})
                answers.setdefault(is_good, set()).add(status)
                if status >= 500 or (status in {401, 429}) == is_good:
                    faults.add(f"{case.as_curl_command()} with {header!r} -> {status} {text}")

            try_it()
    assert faults == set()
    assert {200, 403} <= answers[True]
    assert answers[False] == {401, 429}
