"""`mner feed x` without Kafka: rules, files of compliance events, and the refusals in docs/feeds-x.md."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path

import pytest

from cli.feeds import running
from cli.main import build
from core.errors import UserError
from core.lifecycle import Lifecycle
from streams.feeds.account import Account
from streams.feeds.orders import FeedEnded, Options, Target
from streams.feeds.runner import Runner
from streams.feeds.source import FeedRefused, Received, Source
from streams.feeds.x.api import Api
from streams.feeds.x.compliance import ComplianceFile
from streams.feeds.x.meter import Meter
from streams.feeds.x.rules import Rule, apply, change, read_rules
from streams.feeds.x.session import ApiSession
from streams.feeds.x.source import XSource
from streams.settings import Settings, load
from tests.conftest import ROOT
from tests.streams.feeds.x_server import TOKEN, XServer, post

ROWS = dict(
    re.findall(
        r"^\| ([^|]+) \| `([^|]+)` \|$",
        (ROOT / "docs" / "feeds-x.md").read_text().partition("## Refusals")[2],
        re.MULTILINE,
    )
)


@pytest.fixture
def server() -> Iterator[XServer]:
    served = XServer()
    with served.serving():
        yield served


@pytest.fixture
def api(server: XServer) -> Api:
    return Api(ApiSession(TOKEN, server.url))


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MNER_X_TOKEN", TOKEN)
    monkeypatch.setenv("MNER_HOME", str(tmp_path / "home"))


def said(*words: str) -> str:
    """Runs `mner feed x`, and returns its refusal."""
    with pytest.raises(UserError) as caught:
        build()(["feed", "x", *words], standalone_mode=False)
    assert "\n" not in str(caught.value)
    assert TOKEN not in str(caught.value)
    return str(caught.value)


def rules_file(text: str) -> str:
    Path("rules.yaml").write_text(text)
    return "rules.yaml"


# refusals


def test_the_token_is_refused_as_the_table_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MNER_X_TOKEN", "two words")
    assert said() == ROWS["a token with a blank in it"]
    Path("token").write_text("two words\n")
    monkeypatch.setenv("MNER_X_TOKEN_FILE", "token")
    assert said() == ROWS["two tokens"]
    monkeypatch.delenv("MNER_X_TOKEN")
    assert said() == ROWS["a token with a blank in it"]
    Path("token").unlink()
    assert "MNER_X_TOKEN_FILE='***': cannot read the file: No such file or directory" in said()
    monkeypatch.delenv("MNER_X_TOKEN_FILE")
    assert said() == ROWS["no token"]


@pytest.mark.parametrize(
    "option",
    [
        ["--dry-run"], ["--rules", "rules.yaml"], ["--budget", "5"], ["--limit", "5"], ["--rate", "5"], ["--fresh"],
        ["--since", "2h"], ["--filter", "de"], ["--server", "http://x"], ["--search-after", "5"],
    ],
    ids=lambda option: option[0],
)  # fmt: skip
def test_a_file_of_compliance_events_takes_no_option_of_the_stream(option: list[str]) -> None:
    Path("events.jsonl").write_text(json.dumps(STREAM))
    row = ROWS["`--compliance` with `--dry-run` or another option of the stream"]
    assert said("--compliance", "events.jsonl", *option) == row.replace("--dry-run", option[0])


LEVELS = ["&a0 [x]", *(f"&a{n} [{f'*a{n - 1}, ' * 9}]" for n in range(1, 9))]
BOMB = f"- value: [{', '.join(LEVELS)}]"
"""One line that stands for millions of values."""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("- value: [", "rules.yaml:1: expected the node content"),
        ("\x00", "is no YAML"),
        ("- {value: a, value: b}", "rules.yaml:1: 'value' stands there twice"),
        ("- Hamburg", "rule 1 has no value"),
        ("- {value: a, id: 5}", "rule 1 has the field 'id'"),
        ("- {value: 5}", "rule 1: value is 5, but must be a text"),
        ("- {value: '  '}", "must be a text"),
        ("- {value: a, tag: [b]}", "rule 1: tag is ['b'], but must be a text"),
        ("- {value: 'a\"b'}", "leaves a quotation mark open"),
        ("- {value: 'a)'}", "closes a bracket that is not open"),
        ("- {value: a}\n- {value: ' a '}", "rule 2 has the same value as rule 1"),
        ("- {value: " + "a" * 2049 + "}", "value has 2049 characters"),
        ("- {value: a}\n" * 1001, "has 1001 rules"),
        ("&a [*a]", "rules.yaml:1: an alias (*name) is not allowed"),
        (BOMB, "rules.yaml:1: an alias (*name) is not allowed"),
    ],
)
def test_a_broken_file_of_rules_is_named(text: str, words: str) -> None:
    with pytest.raises(UserError) as caught:
        read_rules(Path(rules_file(text)))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


# rules


def test_the_rules_become_those_of_the_file(server: XServer, api: Api) -> None:
    server.rules = {
        "1": {"id": "1", "value": "merkel", "tag": "names"},
        "2": {"id": "2", "value": "old"},
        "3": {"id": "3", "value": "hamburg", "tag": "old tag"},
    }
    wanted = read_rules(
        Path(rules_file("[{value: merkel, tag: names}, {value: hamburg, tag: town}, {value: '7  up'}]"))
    )
    planned = change(api.rules(), wanted)
    assert list(planned.lines()) == [
        "= merkel (names)", "+ hamburg (town)", "+ 7 up", "- old", "- hamburg (old tag)",
    ]  # fmt: skip
    apply(api, planned)
    left = change(api.rules(), wanted)
    assert (left.add, left.delete, len(left.keep)) == ((), (), 3)
    assert server.rules["1"] == {"id": "1", "value": "merkel", "tag": "names"}  # it was not touched


def test_a_rule_that_x_refuses_changes_nothing(server: XServer, api: Api) -> None:
    before = dict(server.rules)
    with pytest.raises(UserError) as caught:
        apply(api, change(api.rules(), [Rule("good"), Rule("nonsense:1")]))
    assert str(caught.value) == ROWS["a rule that X refuses"]
    assert server.rules == before


def test_a_rule_whose_new_tag_is_refused_is_kept(server: XServer, api: Api) -> None:
    before = {(rule["value"], rule.get("tag")) for rule in server.rules.values()}
    server.refused_tag = "new"
    with pytest.raises(UserError, match=r"^X refuses the rule 'merkel'"):
        apply(api, change(api.rules(), [Rule("merkel", "new")]))
    assert {(rule["value"], rule.get("tag")) for rule in server.rules.values()} == before


def test_a_dry_run_shows_the_change_and_makes_none(server: XServer, capsys: pytest.CaptureFixture[str]) -> None:
    before = dict(server.rules)
    words = ["feed", "x", "--rules", rules_file("[{value: hamburg}]"), "--dry-run", "--server", server.url]
    build()(words, standalone_mode=False)
    assert capsys.readouterr().out.splitlines() == ["rule + hamburg", "rule - merkel (names)"]
    assert server.rules == before
    Path("rules.yaml").write_text("[{value: 'nonsense:1'}]")
    assert said(*words[2:]) == ROWS["a rule that X refuses"]


def test_rules_stay_until_the_feed_really_begins(
    server: XServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = dict(server.rules)
    made: list[XSource] = []
    monkeypatch.setattr(running, "live", lambda make, **_: made.append(make(load())))
    words = ["feed", "x", "--rules", rules_file("[{value: hamburg}]"), "--server", server.url]
    build()(words, standalone_mode=False)
    assert server.rules == before
    for _ in range(2):
        with made[0].open(None, None):
            pass
    assert [rule["value"] for rule in server.rules.values()] == ["hamburg"]
    meter = Meter(tmp_path / "reads.json", 2)
    meter.add(2)
    called: list[str] = []
    source = XSource(TOKEN, meter, server=server.url)
    source.before_first = lambda: called.append("")
    with pytest.raises(FeedRefused, match="budget"), source.open(None, None):
        pass
    assert not called


def test_no_answer_about_the_rules_is_one_line() -> None:
    words = ("--rules", rules_file("[{value: hamburg}]"), "--dry-run", "--server", "http://127.0.0.1:1")
    assert said(*words).startswith("X gives no usable answer about the rules")


# compliance

STREAM = {"data": {"user_protect": {"user": {"id": "7"}, "event_at": "2026-11-20T12:00:00Z"}}}
RESULT = {"id": "7", "action": "delete", "redacted_at": "2026-11-20T12:00:00Z", "reason": "deleted"}


def events(path: str, ids: str | None) -> list[Received]:
    source = ComplianceFile(Path(path), ids)  # type: ignore[arg-type]
    with source.open(None, None) as messages:
        return [message for message in messages if isinstance(message, Received)]


def test_a_file_of_compliance_events_becomes_lifecycle_events() -> None:
    Path("events.jsonl").write_bytes(b"\n".join([json.dumps(STREAM).encode(), b"", b"\xff{", b"[" * 9000, b'{"a": 1}']))
    messages = events("events.jsonl", None)
    assert [message.adapted.skipped for message in messages] == [None, "unreadable", "unreadable", "unreadable"]
    assert [message.raw for message in messages[1:]] == [b"\xff{", b"[" * 9000, b'{"a": 1}']
    (event,) = messages[0].adapted.lifecycle
    assert (event.kind, event.author, event.cause) == ("hide", "x:7", "protected")


def test_a_pipe_gives_all_of_its_events() -> None:
    os.mkfifo("pipe")
    lines = (json.dumps(STREAM) + "\n") * 1000
    with ThreadPoolExecutor(1) as pool:
        pool.submit(Path("pipe").write_text, lines)
        messages = events("pipe", None)
    assert len(messages) == 1000


@pytest.mark.parametrize(("ids", "subjects"), [("tweets", {"x:7"}), ("users", {None})])
def test_the_result_of_a_batch_job_names_posts_or_users(ids: str, subjects: set[str | None]) -> None:
    Path("result.jsonl").write_text(json.dumps(RESULT) + "\n")
    (message,) = events("result.jsonl", ids)
    assert {event.post for event in message.adapted.lifecycle} == subjects
    assert all(isinstance(event, Lifecycle) for event in message.adapted.lifecycle)


# the token stays secret


def test_no_log_shows_the_token(server: XServer, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    source = XSource(TOKEN, Meter(tmp_path / "reads.json"), server=server.url, search_lag_s=0.0)
    Api(source.session()).rules()
    with source.open("1725000000000000001", None) as messages, closing(messages):  # type: ignore[type-var]
        server.publish(post(time.time()))
        next(messages)
    assert TOKEN not in caplog.text
    assert TOKEN not in repr(vars(source.session()))


@pytest.mark.parametrize(
    ("words", "cursor", "remedy"),
    [
        (["--compliance", "events.jsonl"], None, "start the feed again"),
        (["--since", "2h"], None, "start the feed again"),
        ([], "7", "start the feed again to go on from the saved position"),
        (["--fresh"], "7", "start the feed again without --fresh to go on from the saved position"),
        (["--since", "2h"], "7", "start the feed again without --since to go on from the saved position"),
    ],
)
def test_a_feed_that_kafka_ends_says_how_to_go_on(
    words: list[str],
    cursor: str | None,
    remedy: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Ending(Runner):
        def run(self) -> Account:
            self.cursor = cursor
            raise FeedEnded("Kafka is unreachable")

    def prepared(_: Settings, source: Source, options: Options, **__: object) -> AbstractContextManager[Runner]:
        return nullcontext(Ending(source, Target("", "", "", "", ""), None, options))

    monkeypatch.setattr(running, "prepared", prepared)
    Path("events.jsonl").write_text(json.dumps(STREAM))
    assert build()(["feed", "x", *words], standalone_mode=False) == running.BROKEN_OFF
    assert capsys.readouterr().err == f"mner: Kafka is unreachable; {remedy}\n"
