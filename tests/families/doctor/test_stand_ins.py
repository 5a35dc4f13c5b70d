"""Faults that real servers of one machine cannot have, and refusals by proxies. The stand-ins give prepared answers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from cli.doctor import checks, elasticsearch, kafka, redis
from cli.doctor.command import command
from cli.doctor.elasticsearch import WATERMARK, least_free
from cli.doctor.finding import Finding, Level, clock, gravest
from cli.doctor.groups import judge
from streams.groups import Look
from streams.settings import Settings
from tests.families.servers.http_server import Reply, error, serving

GB = 2**30


def described(*partitions: tuple[int, int, int]) -> dict[str, Any]:
    """What Kafka says of a topic: for each partition its leader, its replicas and how many of them are in sync."""
    return {
        "tweets": {
            "partitions": [
                {
                    "error_code": 5 if leader < 0 else 0,
                    "partition_index": number,
                    "leader_id": leader,
                    "replica_nodes": list(range(replicas)),
                    "isr_nodes": list(range(in_step)),
                }
                for number, (leader, replicas, in_step) in enumerate(partitions)
            ]
        }
    }


@pytest.mark.parametrize(
    ("partitions", "least", "expected"),
    [
        pytest.param([(1, 3, 3), (2, 3, 3)], 2, [], id="all in sync"),
        pytest.param(
            [(1, 3, 3), (2, 3, 2)], 2, [("warning", "replicas are not in sync: tweets/1 (2 of 3)")], id="one behind"
        ),
        pytest.param([(1, 3, 1)], 2, [("broken", "too few replicas are in sync: tweets/0 (1 of 2)")], id="too few"),
        pytest.param([(1, 3, 3), (-1, 3, 0)], 2, [("broken", "no leader: tweets/1")], id="no leader"),
        pytest.param([(1, 1, 1)], 2, [("broken", "tweets has min.insync.replicas=2")], id="never enough"),
    ],
)
def test_replicas_of_several_brokers(
    partitions: list[tuple[int, int, int]], least: int, expected: list[tuple[str, str]]
) -> None:
    findings = kafka.replicas(described(*partitions), {"tweets": least})
    assert [one.level for one in findings] == [level for level, _ in expected]
    for finding, (_, says) in zip(findings, expected, strict=True):
        assert says in finding.detail
        assert finding.remedy


@pytest.mark.parametrize(
    ("reply", "says", "remedy", "never"),
    [
        pytest.param(Reply(401, error("security_exception")), "credentials", "user and password", "", id="401"),
        pytest.param(
            Reply(403, error("security_exception")), "rights", "the right `monitor`", "password", id="no right"
        ),
        pytest.param(
            Reply(403, b"no", ours=False, kind="text/html"),
            "a proxy",
            "who runs the proxy",
            "password",
            id="403 of a proxy",
        ),
        pytest.param(
            Reply(407, b"no", ours=False, kind="text/html"),
            "asks for a login",
            "the proxy its",
            "ELASTIC",
            id="407",
        ),
        pytest.param(
            Reply(404, b"no", ours=False, kind="text/html"),
            "finds nothing",
            "the path",
            "password",
            id="404 of a proxy",
        ),
        pytest.param(Reply(403, error("cluster_block_exception")), "read-only", "remove the block", "pass", id="block"),
        pytest.param(
            Reply(502, b"no", ours=False, kind="text/html"),
            "no valid answer",
            "the proxy before it",
            "password",
            id="502",
        ),
    ],
)
async def test_a_refusal_is_blamed_on_whoever_refuses(reply: Reply, says: str, remedy: str, never: str) -> None:
    async with serving(lambda _: reply) as url:
        findings = await asyncio.to_thread(lambda: list(elasticsearch.check(url, Settings(_env_file=None))))
    assert [one.level for one in findings] == ["broken"]
    assert says in findings[0].detail
    assert remedy in findings[0].remedy
    assert not never or never not in findings[0].remedy


@pytest.mark.parametrize(
    ("settings", "mark", "gb"),
    [
        ({"low": "85%"}, "low", 15),
        ({"low": "85%", "low.max_headroom": "10GB"}, "low", 10),
        ({"low": "85%", "low.max_headroom": "-1"}, "low", 15),
        ({"high": "0.9"}, "high", 10),
        ({"flood_stage": "500mb"}, "flood_stage", 500 / 1024),
        ({}, "low", 0),
    ],
)
def test_a_watermark_is_a_share_or_a_size(settings: dict[str, str], mark: str, gb: float) -> None:
    held = {WATERMARK + name: value for name, value in settings.items()}
    assert least_free(held, mark, 100 * GB) == pytest.approx(gb * GB)


@pytest.mark.parametrize(
    ("info", "level", "says"),
    [
        ({}, "ok", "append-only file on"),
        ({"maxmemory": 1000, "maxmemory_policy": "allkeys-lru"}, "broken", "evicts"),
        ({"maxmemory": 105, "used_memory": 100}, "warning", "95%"),
        ({"maxmemory": 90, "used_memory": 100}, "broken", "111%"),
        ({"aof_last_write_status": "err"}, "broken", "its disk"),
        ({"cluster_enabled": 1}, "broken", "different slots"),
        ({"role": "slave", "master_host": "h", "master_port": 1}, "broken", "replica of h:1"),
    ],
)
def test_what_redis_says_about_itself(info: dict[str, Any], level: str, says: str) -> None:
    plain = {"redis_version": "7", "role": "master", "used_memory": 10, "aof_enabled": 1}
    (finding,) = redis.server_findings(plain | info, "redis://h")
    assert (finding.level, says in finding.detail) == (level, True)
    assert bool(finding.remedy) == (level != "ok")


@pytest.mark.parametrize(
    ("theirs", "says"),
    [(100.5, ""), (107, ""), (112, "10 s ahead of"), (97, ""), (90, "10 s behind"), (-90, "190 s behind")],
)
def test_a_slow_answer_is_no_difference_of_clocks(theirs: float, says: str) -> None:
    found = clock("Redis", theirs, 100.0, 102.0)
    assert [says in one.detail for one in found] == ([True] if says else [])


def look(members: int, lags: list[int], *, each: int | None = None) -> Look:
    """A group of which nothing is committed. Every member but the last reads `each` partitions, that one the rest."""
    numbers = list(range(len(lags)))
    each = len(lags) // max(members, 1) if each is None else each
    parts = [frozenset(numbers[place * each : (place + 1) * each]) for place in range(members)]
    nothing = dict.fromkeys(numbers, 0)
    return Look("tweets", "Stable", tuple(parts), nothing, nothing, dict(enumerate(lags)))


@pytest.mark.parametrize(
    ("seen", "still", "level", "says"),
    [
        pytest.param(look(1, [4]), {0}, "warning", "lag 4 on", id="a slow post"),
        pytest.param(look(1, [512]), {0}, "warning", "lag 512 on", id="as many as a worker holds"),
        pytest.param(look(1, [513]), {0}, "warning", "lag 513 on", id="one more"),
        pytest.param(look(1, [10**6]), {0}, "warning", "lag 1000000 on", id="a million behind a slow image"),
        pytest.param(look(1, [600, 600]), {0, 1}, "warning", "lag 1200 on", id="all of two partitions"),
        pytest.param(look(2, [600, 600]), {0, 1}, "warning", "2 workers", id="two slow workers"),
        pytest.param(look(2, [600, 0]), {0}, "warning", "partition 0", id="one of two"),
        pytest.param(look(1, [600, 600], each=1), set(), "broken", "no worker reads partition 1", id="nobody's"),
        pytest.param(
            look(1, [9, 9], each=1), {0}, "broken", "no worker reads partition 1", id="nobody's, another slow"
        ),
        pytest.param(look(1, [600], each=0), {0}, "broken", "no worker reads partition 0", id="a deaf member"),
        pytest.param(look(1, [0, 0], each=1), set(), "warning", "no worker reads partition 1", id="nobody's, empty"),
        pytest.param(look(0, [600]), set(), "warning", "no worker reads it", id="no worker"),
        pytest.param(look(1, [3]), set(), "ok", "lag 3 on", id="it moves"),
    ],
)
def test_a_slow_post_breaks_nothing_and_a_partition_of_nobody_does(
    seen: Look, still: set[int], level: Level, says: str
) -> None:
    config = Settings(_env_file=None).changed(model_timeout_s=7.0, vision={"timeout_s": 90.0})
    findings = judge("group", seen, still, 6.0, config, sharing=False)
    assert gravest(findings) == level
    assert any(says in one.detail for one in findings)
    for one in findings:
        assert ("97 s" in one.remedy) == ("has not moved" in one.detail), "the remedy says how long it may take"


@pytest.mark.parametrize(
    ("detail", "shown"),
    [
        ("\x1b[2J\x1b[31mgone", "␛[2J␛[31mgone"),
        ("\x1b]0;title\x07", "␛]0;title␇"),
        ("\x9b31m", "\ufffd31m"),
        ("a\u202eb", "a\ufffdb"),
        ("two\nlines", "two lines"),
        ("Größe 👍", "Größe 👍"),
    ],
)
def test_no_text_of_a_server_controls_the_terminal(
    detail: str, shown: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(checks, "examine", lambda *, deep: [Finding("kafka", "warning", detail, f"see {detail}")])
    with pytest.raises(typer.Exit):
        command()
    assert f"kafka  {shown}  → see {shown}" in capsys.readouterr().out


def slow(*found: Finding, until: threading.Event) -> Iterator[Finding]:
    yield from found
    until.wait(60)


@pytest.mark.parametrize("number", [0, 1, 3])
def test_what_a_slow_check_found_in_time_is_told(number: int) -> None:
    release = threading.Event()
    found = [Finding(f"part {place}", "warning", "odd") for place in range(number)]
    try:
        told = checks.run([("slow", lambda: slow(*found, until=release))], bound_s=0.2)
    finally:
        release.set()
    assert told[:-1] == found
    assert (told[-1].name, told[-1].level, told[-1].detail) == ("slow", "broken", "did not end within 0.2 s")


def failing() -> Iterator[Finding]:
    yield Finding("part", "ok", "fine")
    raise RuntimeError("a fault of ours")


def test_what_a_check_found_before_it_failed_is_told() -> None:
    fine, failed = checks.run_check("whole", failing)
    assert (fine.name, failed.name, failed.level) == ("part", "whole", "broken")
    assert "a fault of ours" in failed.detail


def test_a_check_that_hangs_is_left_behind() -> None:
    release = threading.Event()
    ok = Finding("ok", "ok", "fine")
    try:
        hangs, fine = checks.run([("hangs", lambda: [ok] * release.wait(60)), ("ok", lambda: [ok])], bound_s=0.2)
    finally:
        release.set()
    assert (hangs.level, hangs.detail, fine) == ("broken", "did not end within 0.2 s", ok)


@pytest.mark.parametrize(
    ("cluster", "ours", "nodes", "level"),
    [
        ("yellow", "green", 1, "ok"),
        ("yellow", "yellow", 1, "warning"),
        ("yellow", "green", 3, "warning"),
        ("red", "green", 1, "warning"),
        ("red", "yellow", 3, "warning"),
        ("red", "red", 1, "broken"),
    ],
)
def test_the_state_of_a_cluster_concerns_us_by_our_index(cluster: str, ours: str, nodes: int, level: str) -> None:
    assert elasticsearch.concern(cluster, ours, nodes) == level


def test_the_gravest_finding_counts() -> None:
    assert gravest([]) == "ok"
    assert gravest([Finding("a", "ok", ""), Finding("b", "broken", ""), Finding("c", "warning", "")]) == "broken"
    assert gravest([Finding("a", "warning", ""), Finding("b", "ok", "")]) == "warning"
