"""Settings of TLS and logins, without a server: what fits together, secrets in files, and token commands."""

from __future__ import annotations

import base64
import contextlib
import json
import logging
from pathlib import Path

import hypothesis
import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st

from cli import main
from core import secret
from core.errors import UserError
from model.worker import ModelProcess
from sinks.connect import kafka as kafka_options
from sinks.connect import token as tokens
from sinks.connect.redis import key_prefix, nodes
from streams import servers, settings
from streams.secrets import secret_of
from streams.servers import NAMES
from streams.worker_process import environment
from tests.secure.certificates import Certificates
from tests.secure.conftest import Put

ADDRESSES = {"KAFKA": "h:1", "ELASTICSEARCH": "http://h:1", "REDIS": "redis://h:1"}


def locked(key: Path, folder: Path) -> Path:
    """Writes the key with a password, and returns its file."""
    read = serialization.load_pem_private_key(key.read_bytes(), None)
    form, kind = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    file = folder / "locked.pem"
    file.write_bytes(read.private_bytes(form, kind, serialization.BestAvailableEncryption(b"hush-hush")))
    return file


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"KAFKA_CA": "ca.pem"}, "set MNER_KAFKA_TLS=true"),
        ({"KAFKA_USER": "ana"}, "no MNER_KAFKA_SASL"),
        ({"KAFKA_SASL": "PLAIN"}, "set MNER_KAFKA_USER and MNER_KAFKA_PASSWORD"),
        ({"KAFKA_SASL": "OAUTHBEARER"}, "set MNER_KAFKA_TOKEN_COMMAND"),
        ({"KAFKA_SASL": "OAUTHBEARER", "KAFKA_TOKEN_COMMAND": "echo 'x"}, "is a quote missing?"),
        ({"KAFKA_PASSWORD": "hush", "KAFKA_PASSWORD_FILE": "{file}"}, "are both set: keep one"),
        ({"KAFKA_TLS": "true", "KAFKA_CA": "nowhere.pem"}, "MNER_KAFKA_CA=nowhere.pem cannot be read: No such file"),
        ({"KAFKA_TLS": "true", "KAFKA_CA": "{file}"}, "holds no certificate: give a PEM file"),
        ({"KAFKA_TLS": "true", "KAFKA_KEY": "{file}"}, "MNER_KAFKA_KEY is set without MNER_KAFKA_CERTIFICATE"),
        (
            {"KAFKA_TLS": "true", "KAFKA_CERTIFICATE": "{good}", "KAFKA_KEY": "{other}"},
            "MNER_KAFKA_KEY is not the key of MNER_KAFKA_CERTIFICATE",
        ),
        ({"KAFKA_TLS": "true", "KAFKA_CERTIFICATE": "{file}"}, "must be PEM files"),
        (
            {"KAFKA_TLS": "true", "KAFKA_CERTIFICATE": "{good}", "KAFKA_KEY": "{locked}"},
            "set or correct MNER_KAFKA_KEY_PASSWORD",
        ),
        (
            {
                "KAFKA_TLS": "true",
                "KAFKA_CERTIFICATE": "{good}",
                "KAFKA_KEY": "{locked}",
                "KAFKA_KEY_PASSWORD": "wrong",
            },
            "set or correct MNER_KAFKA_KEY_PASSWORD",
        ),
        ({"ELASTICSEARCH_API_KEY": "k", "ELASTICSEARCH_USER": "u"}, "keep one"),
        ({"ELASTICSEARCH_USER": "u"}, "set both or none of MNER_ELASTICSEARCH_USER"),
        ({"ELASTICSEARCH_CA": "ca.pem"}, "begin MNER_ELASTICSEARCH with https://"),
        ({"ELASTICSEARCH_CLOUD_ID": "n:ZXhhbXBsZSRlcyRraWI="}, "MNER_ELASTICSEARCH_CLOUD_ID are both set"),
        ({"REDIS_CA": "ca.pem"}, "begin MNER_REDIS with rediss"),
        ({"REDIS_USER": "u"}, "set MNER_REDIS_PASSWORD as well"),
        ({"REDIS": "redis://:hush@h", "REDIS_PASSWORD": "hush"}, "both hold a password"),
    ],
)
def test_what_does_not_fit_together_is_one_line(
    certificates: Certificates, put: Put, tmp_path: Path, values: dict[str, str], says: str
) -> None:
    (tmp_path / "file").write_text("hush\n")
    names = {
        "file": tmp_path / "file",
        "good": certificates.good.certificate,
        "other": certificates.client.key,
        "locked": locked(certificates.good.key, tmp_path),
    }
    config = put(ADDRESSES | {name: value.format(**names) for name, value in values.items()})
    with pytest.raises(UserError) as raised:
        kafka_options.client_options(servers.addresses(config).kafka)
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)
    assert "hush" not in str(raised.value)


@pytest.mark.parametrize(
    ("content", "says"),
    [(None, "cannot read the file: No such file"), (b"\xff", "not in UTF-8"), (b"\n", "the file is empty")],
)
def test_a_secret_file_that_cannot_be_used(put: Put, tmp_path: Path, content: bytes | None, says: str) -> None:
    file = tmp_path / "secret"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UserError, match=f"MNER_REDIS_PASSWORD_FILE='{file}': .*{says}"):
        put({"REDIS_PASSWORD_FILE": str(file)})


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_the_line_break_at_the_end_of_a_secret_is_cut(put: Put, tmp_path: Path, ending: str) -> None:
    file = tmp_path / "secret"
    file.write_bytes(f" two words ää{ending}".encode())
    config = put(ADDRESSES | {"REDIS_USER": "u", "REDIS_PASSWORD_FILE": str(file)})
    assert servers.redis(config).password == " two words ää"


def test_secrets_reach_a_worker_and_nothing_else(put: Put) -> None:
    config = put(ADDRESSES | {"REDIS_PASSWORD": "hush-hush", "KAFKA_SASL": "PLAIN", "KAFKA_PASSWORD": "hush-hush"})
    assert environment(config)["MNER_REDIS_PASSWORD"] == "hush-hush"
    assert "hush" not in repr(config)
    assert "hush" not in repr(servers.redis(config))
    record = logging.LogRecord("x", logging.INFO, "", 1, "AUTH %s", ("hush-hush",), None)
    assert secret.Formatter().format(record) == "AUTH ***"


def test_a_password_in_a_url_is_in_no_repr(put: Put) -> None:
    config = put({"KAFKA": "h:1", "ELASTICSEARCH": "http://ana:hush-es@h:1", "REDIS": "redis://ana:hush-redis@h:1"})
    assert "hush" not in f"{config!r} {servers.addresses(config)!r}"
    for password in ("hush-es", "hush-redis"):
        sent = base64.b64encode(f"ana:{password}".encode()).decode()
        assert secret.scrub(f"Basic {sent}") == "Basic ***"


@pytest.mark.parametrize("value", ["grün-is-hush", 'quote"and\\slash', " blanks-around "])
def test_a_secret_is_hidden_in_each_form(value: str) -> None:
    secret.remember(value, "ana")
    login = base64.b64encode(f"ana:{value}".encode()).decode()
    try:
        for form in (value, value.strip(), repr(value), repr(value.encode()), json.dumps(value), f"Basic {login}"):
            shown = secret.scrub(form)
            assert shown.strip("b'\" ") in {secret.HIDDEN, f"Basic {secret.HIDDEN}"}, shown
    finally:
        secret.forget(value)


@pytest.mark.parametrize("name", ["X_TOKEN", "MASTODON_TOKEN"])
def test_the_token_of_a_feed_is_hidden(put: Put, tmp_path: Path, name: str) -> None:
    (tmp_path / "token").write_text(f"{name}-is-hush\n")
    config = put({f"{name}_FILE": str(tmp_path / "token")})
    assert secret_of(config, name.lower()) == f"{name}-is-hush"
    assert secret.scrub(f"Bearer {name}-is-hush") == "Bearer ***"


def test_a_secret_in_place_of_its_file_is_not_shown(put: Put) -> None:
    with pytest.raises(
        UserError, match=r"MNER_REDIS_PASSWORD_FILE='\*\*\*': cannot read the file: .*give its path"
    ) as told:
        put({"REDIS_PASSWORD_FILE": "hush/hush"})
    assert "hush" not in str(told.value)


def test_a_traceback_shows_no_secret(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise RuntimeError("AUTH hush-in-traceback")

    secret.remember("hush-in-traceback")
    monkeypatch.setattr(main, "build", lambda: lambda **_: fail())
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert ended.value.code == 1
    assert "RuntimeError: AUTH ***" in (shown := capsys.readouterr().err)
    assert "hush-in-traceback" not in shown


@hypothesis.settings(max_examples=50)
@given(st.text(min_size=secret.SHORTEST), st.text(), st.text())
def test_a_remembered_secret_is_never_shown(value: str, before: str, after: str) -> None:
    secret.remember(value)
    try:
        assert value not in secret.scrub(before + value + after) or value in secret.HIDDEN * 3
    finally:
        secret.forget(value)


NOW = 1_700_000_000.0


def jwt(**claims: object) -> str:
    parts = ({"alg": "none"}, claims)
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts]
    return ".".join(encoded) + ".signature"


@pytest.mark.parametrize(
    ("printed", "ends"),
    [
        ("opaque-token", None),
        ('{"access_token": "opaque-token", "expires_in": 60}', NOW + 60),
        ('{"access_token": "opaque-token", "expires_in": "60"}', NOW + 60),
        (jwt(exp=NOW + 90), NOW + 90),
        (json.dumps({"access_token": jwt(exp=NOW + 90), "expires_in": 60}), NOW + 60),
        (jwt(exp="soon"), None),
        (jwt(exp=10**400), None),
        (jwt(exp=float("nan")), None),
        ('{"access_token": "opaque-token", "expires_in": "²"}', None),
        ('{"access_token": "opaque-token", "expires_in": "1.2.3"}', None),
        ('{"access_token": "opaque-token", "expires_in": 1e999}', None),
        ("a.b.c", None),
    ],
)
def test_what_a_token_command_may_print(printed: str, ends: float | None) -> None:
    assert tokens.read_token(printed, NOW).ends == ends


@pytest.mark.parametrize(
    "printed", ["", "{", '{"a":' * 100_000, '{"error": "invalid_client"}', "two words", "line\nbreak", '{"token": 5}']
)
def test_what_is_no_token(printed: str) -> None:
    with pytest.raises(UserError, match="it printed"):
        tokens.read_token(printed, NOW)


@given(st.text())
def test_no_text_breaks_the_reading_of_a_token(printed: str) -> None:
    with contextlib.suppress(UserError):
        assert tokens.read_token(printed, NOW).value


def test_a_token_is_kept_until_shortly_before_its_end(tmp_path: Path) -> None:
    runs, now = tmp_path / "runs", [NOW]
    script = f"""sh -c 'echo x >> {runs}; echo "{{\\"access_token\\": \\"opaque\\", \\"expires_in\\": 600}}"'"""
    command = tokens.TokenCommand(script, "SETTING", clock=lambda: now[0])
    for at, ran in ((0, 1), (500, 1), (569, 1), (571, 2), (1000, 2)):
        now[0] = NOW + at
        assert command.token().value == "opaque"
        assert runs.read_text().count("x") == ran


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("nowhere-to-be-found --secret hush", "nowhere-to-be-found cannot be run: No such file"),
        ("sh -c 'echo hush; exit 4'", "sh failed with code 4"),
        ("sleep 60", "printed no token within"),
        ("sh -c 'sleep 60 & sleep 60'", "sh printed no token within"),
        ("yes hush", "yes printed more than 100,000 bytes"),
        ("sh -c 'test -z \"$MNER_REDIS_PASSWORD\" || exit 7; exit 4'", "sh failed with code 4"),
        (f"echo {jwt(exp=1)}", "is the clock of this machine right?"),
    ],
)
def test_a_token_command_that_fails(command: str, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "RUN_S", 0.5 if "sleep" in command else 10.0)
    monkeypatch.setenv("MNER_REDIS_PASSWORD", "hush")
    with pytest.raises(UserError) as raised:
        tokens.TokenCommand(command, "SETTING").token()
    assert says in str(raised.value)
    assert "hush" not in str(raised.value)


def test_a_command_that_fails_does_not_cost_a_token_that_is_still_valid(tmp_path: Path) -> None:
    switch, now = tmp_path / "fails", [NOW]
    answer = '{\\"access_token\\": \\"opaque\\", \\"expires_in\\": 600}'
    command = tokens.TokenCommand(f"""sh -c 'test ! -e {switch} && echo "{answer}"'""", "SETTING", clock=lambda: now[0])
    assert command.token().value == "opaque"
    switch.touch()
    now[0] = NOW + 590
    assert command.token().value == "opaque"
    assert secret.scrub("opaque") == "***", "it is in use, so it stays hidden"
    now[0] = NOW + 601
    with pytest.raises(UserError, match="failed with code 1"):
        command.token()


def test_the_process_of_the_model_gets_none_of_our_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MNER_REDIS_PASSWORD", "hush")
    monkeypatch.setenv("mner_x_token", "hush")
    monkeypatch.setenv("HF_HOME", "kept")
    process = ModelProcess("a:b", Path("checkpoint"), "cpu", 1, 1.0)
    given = process._child._environment
    assert given["HF_HOME"] == "kept"
    assert not [name for name in given if name.lower().startswith("mner_")]


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://h1:1,h2:2",
        "redis+sentinel://h1:1/name/x",
        "redis+sentinel://h1:99999/name/0",
        "redis+sentinel://:hush@h1/name/0",
        "redis+cluster://h1:1/0",
        "redis+cluster://",
    ],
)
def test_a_url_of_several_servers_that_is_wrong(put: Put, url: str) -> None:
    with pytest.raises(UserError, match=r"MNER_REDIS=.*redis\+sentinel://h1:26379") as raised:
        put({"REDIS": url})
    assert "hush" not in str(raised.value)


def test_a_url_of_several_servers() -> None:
    found = nodes("rediss+sentinel://h1,h2:2,[::1]:3/my-master/4")
    assert found is not None
    assert (found.hosts, found.secure, found.master, found.db) == (
        (("h1", 26379), ("h2", 2), ("::1", 3)),
        True,
        "my-master",
        4,
    )
    assert key_prefix("redis+cluster://h:1", "mine.review:") == "{mine.review}:"
    assert key_prefix("redis://h:1", "mine.review:") == "mine.review:"


def test_every_secret_may_come_from_a_file() -> None:
    secrets = {variable.name for variable in settings.VARIABLES if variable.secret}
    names = {variable.name for variable in settings.VARIABLES}
    assert {f"{name}_FILE" for name in secrets - {"MNER_KAFKA_TOKEN_COMMAND"}} <= names
    assert {name.split("_")[1].lower() for name in secrets} >= set(NAMES)
