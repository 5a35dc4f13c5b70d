"""Every row of the tables of refusals in docs/feeds.md and docs/feeds-x.md: its situation, and what is said then."""

from __future__ import annotations

import ast
import re
import ssl
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiohttp import web

from cli import extras
from cli.main import build
from core.errors import UserError
from streams import topics
from streams.feeds.bluesky import Bluesky
from streams.feeds.cursor import CursorFile, Destination
from streams.feeds.mastodon import Mastodon
from streams.feeds.rss import Rss
from streams.feeds.x import answers
from streams.feeds.x.compliance import ComplianceFile
from streams.feeds.x.meter import Meter
from streams.feeds.x.source import XSource
from tests.conftest import ROOT
from tests.streams.feeds.platforms.web import answering
from tests.streams.feeds.x_server import TOKEN, XServer

VARIABLE = {
    r"\.\.\.": ".*",
    r"https://(?:mastodon\.social|example\.org)": r"https?://\S+?",
    r"example\.org": r"\S+?",
    r"\.mner/": r"\S*/",
    r"2026-11(?= )": r"\d{4}-\d\d",
    r"(?<=topic )": r"(?:\S+\.)?",
}
"""What differs between the documentation and a test: in the documented line -> an expression for what is said."""


def rows(page: str) -> dict[str, str]:
    """Returns the table of a page: what is wrong -> the whole cell of what is said."""
    table = (ROOT / "docs" / page).read_text().partition("## Refusals")[2]
    return {f"{page}: {what}": cell for what, cell in re.findall(r"^\| (.+?) \| (.+) \|$", table, re.MULTILINE)[1:]}


ROWS = rows("feeds.md") | rows("feeds-x.md")


def line_of(cell: str) -> str:
    """Returns the first piece of code in a cell."""
    found = re.search(r"``(.+?) ?``(?!`)|`(.+?)`", cell)
    assert found, f"the cell {cell!r} shows no line"
    return found[1] or found[2]


@dataclass
class Place:
    """Where a situation is made: an empty current folder, an environment, and servers until the end of the test."""

    request: pytest.FixtureRequest
    patch: pytest.MonkeyPatch
    stack: ExitStack

    def serve(self, answer: object, context: ssl.SSLContext | None = None) -> str:
        return self.stack.enter_context(answering(answer, context, "localhost"))

    def env(self, **values: str) -> None:
        for name, value in values.items():
            self.patch.setenv(name, value)

    def kafka(self, *, without: str = " ") -> None:
        settings = self.request.getfixturevalue("settings")
        self.env(MNER_KAFKA=settings.kafka, MNER_PREFIX=settings.prefix)
        topics.create(settings.kafka, [topic for topic in topics.plan(settings) if not topic.name.endswith(without)])


def command(*words: str, files: dict[str, str] | None = None, **env: str) -> Callable[[Place], None]:
    """`mner feed` with these words, these files and this environment."""

    def situation(place: Place) -> None:
        place.env(**env)
        for name, text in (files or {}).items():
            Path(name).write_text(text)
        build()(["feed", *words], standalone_mode=False)

    return situation


def fixed(status: int = 200, text: str = "", kind: str = "text/html", **headers: str) -> Callable[..., Any]:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, text=text, content_type=kind, headers=headers)

    return answer


def opened(make: Callable[[str], Any], answer: object, cursor: str | None = None) -> Callable[[Place], None]:
    """The first message of a source whose server answers so."""

    def situation(place: Place) -> None:
        with make(place.serve(answer)).open(cursor, None) as messages:
            next(messages)

    return situation


def bluesky(address: str) -> Bluesky:
    return Bluesky(address.replace("http", "ws", 1))


def secure(make: Callable[[str], Any]) -> Callable[[str], Any]:
    return lambda address: make(address.replace("http:", "https:"))


def _expired(place: Place) -> None:
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    past = (datetime(2020, 1, 1, tzinfo=UTC), datetime(2021, 1, 1, tzinfo=UTC))
    authority.issue_cert("localhost", not_before=past[0], not_after=past[1]).configure_cert(context)
    authority.cert_pem.write_to_path("authority.pem")
    place.env(SSL_CERT_FILE="authority.pem")
    with bluesky(place.serve(fixed(), context)).open(None, None):
        pass


def _extra(_: Place) -> None:
    raise UserError(str(extras.missing(ModuleNotFoundError("No module named 'websockets'", name="websockets"))))


def _topics(place: Place) -> None:
    place.kafka(without="gaps")
    command("bluesky")(place)


def _long_line(place: Place) -> None:
    place.kafka()
    text = '{"id": "1", "text": "x"}\n' * 6 + '{"id":"7","text":"' + "x" * 1_999_990 + '"}'
    command("long.jsonl", files={"long.jsonl": text})(place)


def _replaced(place: Place) -> None:
    place.kafka()
    command("--resume", "posts.jsonl", files={"posts.jsonl": '{"id":"1","text":"a"}\n{"id":"2","text":"b"}\n'})(place)
    command("--resume", "posts.jsonl", files={"posts.jsonl": '{"id":"3","text":"c"}\n' * 2})(place)


def _no_broker(_: Place) -> None:
    topics.admin("localhost:1", bootstrap_timeout_ms=300)


def _other_kafka(_: Place) -> None:
    CursorFile(Path(".mner"), "bluesky", Destination("a-")).save("1", 0)
    CursorFile(Path(".mner"), "bluesky", Destination("b-")).load()


def _damaged_file(_: Place) -> None:
    file = CursorFile(Path(".mner"), "bluesky")
    file.save("1", 0)
    file.path.write_text("no JSON")
    file.load()


def _running(_: Place) -> None:
    with CursorFile(Path(".mner"), "bluesky").held(), CursorFile(Path(".mner"), "bluesky").held():
        pass


def _proxy(place: Place) -> None:
    place.env(https_proxy="nonsense://x")
    with Bluesky("wss://localhost:1").open(None, None):
        pass


def x(*stream: tuple[int, str], token: str = TOKEN, has_rules: bool = True) -> Callable[[Place], None]:
    """The stream of X, whose server answers with this status and title."""

    def situation(place: Place) -> None:
        server = XServer()
        place.stack.enter_context(server.serving())
        server.stream_answers += [(status, {}, {"title": title}) for status, title in stream]
        if not has_rules:
            server.rules.clear()
        with XSource(token, Meter(Path("reads.json")), server=server.url).open(None, None):
            pass

    return situation


def _budget(_: Place) -> None:
    meter = Meter(Path("reads.json"), 2)
    meter.add(2)
    meter.check()


def _bad_rule(place: Place) -> None:
    server = XServer()
    place.stack.enter_context(server.serving())
    files = {"rules.yaml": "[{value: 'nonsense:1'}]"}
    command("x", "--rules", "rules.yaml", "--dry-run", "--server", server.url, files=files)(place)


def _result(_: Place) -> None:
    Path("result.jsonl").write_text('{"id": "7", "action": "delete", "reason": "deleted"}')
    with ComplianceFile(Path("result.jsonl"), None).open(None, None) as messages:
        next(messages)


HTML = '<!doctype html><link rel="alternate" type="application/rss+xml" href="/feed.xml">'
ARCHIVE = 'window.YTD.account.part0 = [ {"account": {}, "id": "1"} ]'
rss = partial(opened, lambda address: Rss([f"{address}/feed"]))
x_file = partial(command, "x", "--rules", "rules.yaml")

SITUATIONS: dict[str, Callable[[Place], None]] = {
    "feeds.md: no extra": _extra,
    "feeds.md: topics are missing": _topics,
    "feeds.md: no address of Kafka": command("bluesky"),
    "feeds.md: the position is that of another Kafka": _other_kafka,
    "feeds.md: no broker": _no_broker,
    "feeds.md: the feed runs already": _running,
    "feeds.md: the cursor's file is damaged": _damaged_file,
    "feeds.md: `--server http://x`": command("bluesky", "--server", "http://x"),
    "feeds.md: no Jetstream there": opened(bluesky, fixed(404)),
    "feeds.md: a damaged cursor in a whole file": opened(bluesky, fixed(), "abc"),
    "feeds.md: a redirect to what is no websocket": opened(bluesky, fixed(302, Location="https://example.org/")),
    "feeds.md: a wrong certificate, before the first connection": _expired,
    "feeds.md: no TLS behind `https:`": opened(secure(Mastodon), fixed()),
    "feeds.md: no TLS behind `wss:`": opened(secure(bluesky), fixed()),
    "feeds.md: `--since soon`": command("bluesky", "--since", "soon"),
    "feeds.md: `--since` a time to come": command("bluesky", "--since", "2099-01-01T00:00Z"),
    "feeds.md: a proxy that is none": _proxy,
    "feeds.md: `--filter lang:`": command("bluesky", "--filter", "lang:"),
    "feeds.md: `--loop -`, `--resume -`": command("--loop", "-"),
    "feeds.md: `--resume --from-line 7`": command("--resume", "--from-line", "7", "x.jsonl"),
    "feeds.md: `--resume`, and another file has this name now": _replaced,
    "feeds.md: a file of an archive without posts": command("account.js", files={"account.js": ARCHIVE}),
    "feeds.md: a file without posts ([which](feeding.md#what-is-refused))": command(
        "table.csv", files={"table.csv": "a,b\n1,2\n3,4\n"}
    ),
    "feeds.md: a line that is too long": _long_line,
    "feeds.md: a server of Mastodon asks for a token": opened(Mastodon, fixed(401, "{}", "application/json")),
    "feeds.md: a server of Mastodon refuses the token": opened(lambda address: Mastodon(address, "t"), fixed(401)),
    "feeds.md: no public stream there": opened(Mastodon, fixed(404)),
    "feeds.md: no Mastodon there": opened(Mastodon, fixed()),
    "feeds.md: `mastodon --server https://x/@me`": command("mastodon", "--server", "https://x/@me"),
    "feeds.md: `mastodon --hashtag 'a b'`": command("mastodon", "--hashtag", "a b"),
    "feeds.md: a token with a line end": command("mastodon", MNER_MASTODON_TOKEN="a\nb"),
    "feeds.md: two tokens": command(
        "mastodon", MNER_MASTODON_TOKEN="a", MNER_MASTODON_TOKEN_FILE="token", files={"token": "t"}
    ),
    "feeds.md: `rss feed.xml`": command("rss", "feed.xml"),
    "feeds.md: an HTML page": rss(fixed(text=HTML)),
    "feeds.md: a feed that is not there": rss(fixed(404)),
    "feeds-x.md: no token": command("x", MNER_X_TOKEN=""),
    "feeds-x.md: two tokens": command("x", MNER_X_TOKEN_FILE="token", files={"token": "t"}),
    "feeds-x.md: a token with a blank in it": command("x", MNER_X_TOKEN="two words"),
    "feeds-x.md: a wrong token": x(token="wrong"),
    "feeds-x.md: a project without access": x((403, "Client Forbidden")),
    "feeds-x.md: a project without credits": x((402, "Credits Depleted")),
    "feeds-x.md: another refusal": x((404, "Not Found")),
    "feeds-x.md: a plan whose posts are read": x((429, "UsageCapExceeded")),
    "feeds-x.md: an app without rules": x(has_rules=False),
    "feeds-x.md: a spent budget": _budget,
    "feeds-x.md: a rule that X refuses": _bad_rule,
    "feeds-x.md: a rule with an open bracket": x_file(files={"rules.yaml": "- value: '(Hamburg'"}),
    "feeds-x.md: a file that is no list of rules": x_file(files={"rules.yaml": "{}"}),
    "feeds-x.md: `--server x`": command("x", "--server", "x"),
    "feeds-x.md: `--dry-run` alone": command("x", "--dry-run"),
    "feeds-x.md: `--ids` alone": command("x", "--ids", "users"),
    "feeds-x.md: a batch result without `--ids`": _result,
    "feeds-x.md: `--compliance` with `--dry-run` or another option of the stream": command(
        "x", "--compliance", "e.jsonl", "--dry-run", files={"e.jsonl": "{}"}
    ),
    "feeds-x.md: no such file": command("x", "--compliance", "result.jsonl"),
}


@pytest.mark.parametrize("row", ROWS)
def test_each_row_says_what_is_said_in_its_situation(
    row: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MNER_KAFKA", "MNER_PREFIX", "MNER_MASTODON_TOKEN", "MNER_MASTODON_TOKEN_FILE", "MNER_X_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MNER_HOME", ".mner")
    monkeypatch.setenv("MNER_X_TOKEN", TOKEN)
    with ExitStack() as stack, pytest.raises(UserError) as caught:
        SITUATIONS[row](Place(request, monkeypatch, stack))
    line = line_of(ROWS[row])
    is_whole = ROWS[row].strip("`").strip() == line
    assert re.fullmatch(_pattern(line) + ("" if is_whole else ".*"), str(caught.value)), str(caught.value)


def _pattern(line: str) -> str:
    """Returns the expression for a documented line."""
    variable, made, at = re.compile("|".join(f"({piece})" for piece in VARIABLE)), "", 0
    for found in variable.finditer(line):
        made += re.escape(line[at : found.start()]) + list(VARIABLE.values())[(found.lastindex or 1) - 1]
        at = found.end()
    return made + re.escape(line[at:])


def _written() -> list[tuple[str, str]]:
    """Returns (place, expression) for each `FeedRefused(...)`: its message, with `.+` in place of what varies."""
    found = []
    for folder in ("streams/feeds", "cli/feeds"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "FeedRefused":
                    (text,) = node.args
                    parts = text.values if isinstance(text, ast.JoinedStr) else [text]
                    words = [re.escape(str(part.value)) if isinstance(part, ast.Constant) else ".+" for part in parts]
                    found.append((f"{path.relative_to(ROOT)}:{node.lineno}", "".join(words)))
    return found


@pytest.mark.parametrize(("where", "expression"), _written())
def test_each_refusal_has_a_row(where: str, expression: str) -> None:
    at_end = re.compile(expression + r"\Z")  # a command may put the name of the file in front
    assert any(at_end.search(line_of(cell)) for cell in ROWS.values()), f"{where}: add a row to the table"


def test_each_remedy_of_x_has_a_row() -> None:
    for remedy in (*answers.REMEDIES.values(), answers.OTHERWISE):
        assert any(line_of(cell).endswith(remedy) for cell in ROWS.values()), remedy
