"""Every row of docs/refusals.md: its situation, and what is said then. And every refusal of these modules has a row."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from cli.main import build
from core.errors import UserError
from core.events import MAX_DERIVED_BYTES
from core.terms import Terms
from sinks.connect import token
from sinks.connect.kafka import client_options
from sinks.exchange import line_of as line_of_export
from sinks.index.document import from_extraction
from streams import servers
from streams.settings import Settings, load
from streams.terms import load_sources
from tests.conftest import ROOT
from tests.sinks.values import extraction, tweet
from tests.streams.feeds.test_refusal_tables import Place, _pattern, line_of

MODULES = (
    *("cli/export.py", "cli/exported_file.py", "cli/importing.py", "cli/retention.py"),
    *("core/terms.py", "core/yaml_text.py", "streams/forgetting.py", "streams/retention.py", "streams/terms.py"),
    *("streams/servers.py", "streams/secrets.py", "sinks/connect/tls.py", "sinks/connect/token.py"),
)
"""Each `UserError` of these has a row."""

UNREACHED = ("cannot read on after line", ": it is empty")
"""Words of refusals without a row: a disk that fails while a file is read, and a command that settings never have."""

MIN_WORDS = 8
"""Fewest characters of a message's own. A shorter one only joins what others have said."""


def rows() -> dict[str, str]:
    """Returns the tables of the page: what is wrong -> the cell of what is said."""
    found = re.findall(r"^\| (.+?) \| (.+) \|$", (ROOT / "docs" / "refusals.md").read_text(), re.MULTILINE)
    return {what: cell for what, cell in found if what != "what is wrong"}


ROWS = rows()

Situation = Callable[[Place], object]


def mner(*words: str, files: dict[str, str | bytes] | None = None, on_servers: bool = False, **env: str) -> Situation:
    """The command line with these words, these files and this environment. `on_servers`: with all servers."""

    def situation(place: Place) -> None:
        write(files)
        if on_servers:
            settings: Settings = place.request.getfixturevalue("settings")
            for name in ("kafka", "elasticsearch", "redis", "prefix"):
                place.env(**{f"MNER_{name.upper()}": str(getattr(settings, name))})
        place.env(**env)
        build()(list(words), standalone_mode=False)

    return situation


def write(files: dict[str, str | bytes] | None) -> None:
    for name, content in (files or {}).items():
        Path(name).write_bytes(content.encode() if isinstance(content, str) else content)


def terms(content: str | bytes) -> Situation:
    """A file of terms with this content."""

    def situation(place: Place) -> None:
        write({"sources.yaml": content})
        place.env(MNER_SOURCES="sources.yaml")
        load_sources(load())

    return situation


def setting(files: dict[str, str | bytes] | None = None, **env: str) -> Situation:
    """Settings of the servers, which are looked at before anything connects. Names are without their `MNER_`."""
    addresses = {"KAFKA": "a:1", "ELASTICSEARCH": "https://a", "REDIS": "redis://a"}

    def situation(place: Place) -> None:
        write(files)
        place.env(**{f"MNER_{name}": value for name, value in (addresses | env).items() if value})
        client_options(servers.addresses(load()).kafka)

    return situation


def tls(**names: str) -> Situation:
    """Kafka with TLS and these of the files that `_certificates` makes."""

    def situation(place: Place) -> None:
        _certificates()
        setting(None, KAFKA_TLS="true", **{f"KAFKA_{name}": value for name, value in names.items()})(place)

    return situation


def _certificates() -> None:
    """Writes two certificates, their keys, and a key with a password."""
    authority = trustme.CA()
    for name in ("ours", "other"):
        made = authority.issue_cert(f"{name}.example")
        Path(f"{name}.pem").write_bytes(made.cert_chain_pems[0].bytes())
        Path(f"{name}.key").write_bytes(made.private_key_pem.bytes())
    key = load_pem_private_key(Path("ours.key").read_bytes(), None)
    locked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    Path("locked.key").write_bytes(locked)
    Path("text.pem").write_text("no certificate")


def printing(script: str, run_s: float = token.RUN_S) -> Situation:
    """A token command that runs these words of a shell. `run_s`: the longest time that it may take, in seconds."""

    def situation(place: Place) -> None:
        place.patch.setattr(token, "RUN_S", run_s)
        setting(KAFKA_SASL="OAUTHBEARER", KAFKA_TOKEN_COMMAND=f"sh -c {shlex.quote(script)}")(place)

    return situation


def oauth(command: str) -> Situation:
    return setting(KAFKA_SASL="OAUTHBEARER", KAFKA_TOKEN_COMMAND=command)


def export(content: str) -> Situation:
    """`mner export --check` of a file with this content."""
    return mner("export", "--check", "all.jsonl", files={"all.jsonl": content}, on_servers=True)


def _stopped_import(place: Place) -> None:
    place.kafka()
    body = from_extraction(extraction(tweet()), ()).body
    line = line_of_export(body, Terms(may_train=True, may_show_text=True, delete_within_hours=24))
    files: dict[str, str | bytes] = {"all.jsonl": line}
    mner("import", "all.jsonl", files=files, on_servers=True, MNER_ELASTICSEARCH="http://127.0.0.1:1")(place)


SITUATIONS: dict[str, Situation] = {
    # Lifecycle, retention and exports
    "`mner forget` without an id": mner("forget"),
    "`mner forget --post ''`": mner("forget", "--post", ""),
    "`mner forget`, and its topics are missing": mner("forget", "--post", "1", on_servers=True),
    "`mner import`, and its topics are missing": mner("import", "all.jsonl", files={"all.jsonl": ""}, on_servers=True),
    "`mner retention`, and posts stay for ever": mner("retention"),
    "`mner export --check FILE` with a query": mner("export", "Paris", "--check", "all.jsonl"),
    "no such file": mner("export", "--check", "all.jsonl", on_servers=True),
    "a file that was cut off": export('{"id": "1", "te'),
    "a file that is no export": export('{"text": "x"}'),
    "a text that is no export": export("Hello\n"),
    "a line that is too long": export('{"id": "' + "x" * (MAX_DERIVED_BYTES + 10) + '"}'),
    "Elasticsearch or Kafka fails during an import": _stopped_import,
    # Terms
    "a file without sources": terms("[]"),
    "a name that YAML reads as no text": terms("no: {may_train: false}"),
    "a missing or wrong field": terms("x: {may_train: perhaps, may_show_text: true, delete_within_hours: 24}"),
    "no such file of terms": mner("export", on_servers=True, MNER_SOURCES="none.yaml"),
    "a file of another encoding": terms("Zürich: {}".encode("latin-1")),
    "a file of more than 64 kB": terms("#" * 70_000),
    "broken YAML": terms("x: [1"),
    "a control character": terms("x: \x01"),
    "a file that is nested too deep": terms("[" * 5000),
    "a date that is none": terms("x: 2026-13-01"),
    # Kafka
    "no address": setting(KAFKA="", ELASTICSEARCH="", REDIS=""),
    "a wrong address": setting(KAFKA="broker"),
    "files of TLS, without TLS": setting(KAFKA_CA="ca.pem"),
    "a user without a mechanism": setting(KAFKA_USER="ana", KAFKA_PASSWORD="x"),
    "a mechanism without a user": setting(KAFKA_SASL="PLAIN"),
    "OAUTHBEARER without a command": setting(KAFKA_SASL="OAUTHBEARER"),
    "an open quote in the command": oauth("sh -c 'x"),
    "no such command": oauth("/no/such/command"),
    "a command that fails": printing("exit 3"),
    "a command that hangs": printing("sleep 60", 0.3),
    "a command that prints too much": printing("yes | head -c 2000000"),
    "a command that prints broken JSON": printing("echo '{'"),
    "a command that prints no token": printing("echo two words"),
    "a token that has ended": printing("""echo '{"access_token": "abc", "expires_in": -5}'"""),
    # TLS
    "a key without its certificate": tls(KEY="ours.key"),
    "a file that cannot be read": tls(CA="none.pem"),
    "an authority that is none": tls(CA="text.pem"),
    "a certificate that is none": tls(CERTIFICATE="text.pem"),
    "the key of another certificate": tls(CERTIFICATE="ours.pem", KEY="other.key"),
    "a key with a password": tls(CERTIFICATE="ours.pem", KEY="locked.key"),
    # Elasticsearch
    "two addresses": setting(ELASTICSEARCH_CLOUD_ID="mine:ZXUtd2VzdC0xLmF3cy5mb3VuZC5pbyRhYmM="),
    "files of TLS, without https": setting(ELASTICSEARCH="http://a:9200", ELASTICSEARCH_CA="ca.pem"),
    "two ways to log in": setting(
        ELASTICSEARCH_API_KEY="abc", ELASTICSEARCH_USER="ana", ELASTICSEARCH_PASSWORD="secret"
    ),
    "a user without a password": setting(ELASTICSEARCH_USER="ana"),
    # Redis
    "files of TLS, without rediss": setting(REDIS_CA="ca.pem"),
    "a user of Redis without a password": setting(REDIS_USER="ana"),
    "two passwords": setting(REDIS="redis://ana:secret@a", REDIS_PASSWORD="secret"),
    "a path that is no number": setting(REDIS="redis://a/mine"),
    # Secrets
    "a secret in two places": setting({"secret": "x"}, REDIS_PASSWORD="secret", REDIS_PASSWORD_FILE="secret"),
    "a file of a secret that is not there": setting(REDIS_PASSWORD_FILE="none"),
    "an empty file of a secret": setting({"secret": ""}, REDIS_PASSWORD_FILE="secret"),
}


def said(row: str, request: pytest.FixtureRequest, tmp_path: Path, patch: pytest.MonkeyPatch) -> str:
    """Returns the line that a person gets in the situation of a row."""
    for name in Settings.model_fields:
        patch.delenv(f"MNER_{name.upper()}", raising=False)
    patch.chdir(tmp_path)
    patch.setenv("MNER_HOME", ".mner")
    with ExitStack() as stack, pytest.raises(UserError) as caught:
        SITUATIONS[row](Place(request, patch, stack))
    return str(caught.value)


def test_the_page_and_the_situations_are_the_same() -> None:
    assert ROWS.keys() == SITUATIONS.keys()


@pytest.mark.parametrize("row", ROWS)
def test_each_row_says_what_is_said_in_its_situation(
    row: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = said(row, request, tmp_path, monkeypatch)
    assert "\n" not in line
    assert re.fullmatch(_pattern(line_of(ROWS[row])), line), line


def _written() -> list[tuple[str, str]]:
    """Returns (place, expression) for each `UserError(...)` with words of its own: `.+` stands for what varies."""
    found = []
    for module in MODULES:
        for node in ast.walk(ast.parse((ROOT / module).read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "UserError":
                parts = node.args[0].values if isinstance(node.args[0], ast.JoinedStr) else node.args
                words = [str(part.value) if isinstance(part, ast.Constant) else "" for part in parts]
                if len("".join(words)) >= MIN_WORDS:
                    expression = "".join(re.escape(word) or ".+" for word in words)
                    found.append((f"{module}:{node.lineno}", expression))
    return found


@pytest.mark.parametrize(("where", "expression"), _written())
def test_each_refusal_has_a_row(where: str, expression: str) -> None:
    if not any(words in expression for words in map(re.escape, UNREACHED)):
        wanted = re.compile(expression + r"\Z")
        assert any(wanted.search(line_of(cell)) for cell in ROWS.values()), f"{where}: add a row to docs/refusals.md"


def test_the_doctor_says_what_the_page_of_secure_servers_quotes() -> None:
    table = (ROOT / "docs" / "secure-servers.md").read_text().partition("## What the doctor tells apart")[2]
    quoted = [cell for cell, _ in re.findall(r"^\| (.+?) \| (.+) \|$", table, re.MULTILINE)[1:]]
    folders = ("sinks/answers", "sinks/connect", "cli/doctor")
    code = "\n".join(path.read_text() for folder in folders for path in (ROOT / folder).rglob("*.py"))
    said = [words.removeprefix("the certificate ") for cell in quoted for words in cell.split(", or ")]
    assert len(quoted) >= 10
    assert [words for words in said if words not in code] == [
        "the clock of a server is ahead or behind"
    ]  # made of two parts
