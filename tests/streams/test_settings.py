"""Settings are validated at start, wrong ones are explained, and secrets are never shown."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from redis.asyncio import ConnectionPool

from core.errors import UserError
from streams.addresses import masked
from streams.old_names import CONSTANTS, warn_once
from streams.settings import VARIABLES, load


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        pytest.param("MNER_KAFKA", "localhost", "MNER_KAFKA='localhost': 'localhost' is not host:port", id="no port"),
        pytest.param("MNER_ELASTICSEARCH", "localhost:9200", "such as http://127.0.0.1:9200", id="no scheme"),
        pytest.param("MNER_REDIS", "http://x", "such as redis://127.0.0.1:6379", id="wrong scheme"),
        pytest.param("MNER_KAFKA", "h:99999", "is not host:port", id="no such broker's port"),
        pytest.param("MNER_REDIS", "redis://127.0.0.1:abc", "with a port of 1 to 65535", id="port is a word"),
        pytest.param("MNER_REDIS", "redis://h:70000", "with a port of 1 to 65535", id="port too high"),
        pytest.param(
            "MNER_REDIS", "redis://h?socket_timeout=abc", "Invalid value for 'socket_timeout'", id="option's value"
        ),
        pytest.param("MNER_REDIS", "redis://h?foo=abc", "takes no options but client_name, db,", id="unknown option"),
        pytest.param("MNER_REDIS", "redis://h?ssl_keyfile=k", "does not accept an option", id="option of rediss"),
        pytest.param("MNER_REDIS", "redis://h/first", "the database's number", id="database is a word"),
        pytest.param("MNER_REDIS", "redis://h/1/2", "the database's number", id="two databases"),
        pytest.param("MNER_REDIS", "redis://h/-1", "the database's number", id="database below 0"),
        pytest.param("MNER_REDIS", "redis://h?db=-4", "the database's number", id="database below 0 as option"),
        pytest.param("MNER_REDIS", "redis://h:0", "with a port of 1 to 65535", id="port 0 of Redis"),
        pytest.param("MNER_REDIS", "redis://h/1#x", "such as %23", id="fragment"),
        pytest.param("MNER_REDIS", "redis://h?max_connections=-1", "does not accept an option", id="connections"),
        *(
            pytest.param("MNER_REDIS", f"redis://h?{option}", "takes no options but", id=option)
            for option in (
                "host=other",
                "port=1",
                "path=/x",
                "decode_responses=yes",
                "encoding=foo",
                "credential_provider=x",
                "redis_connect_func=x",
                "retry=x",
                "maint_notifications_config=x",
            )
        ),
        pytest.param("MNER_KAFKA", "h!$:1", "is not host:port", id="signs in a broker's name"),
        pytest.param("MNER_METRICS", "user;x:1", "is not host:port", id="signs in a listener's name"),
        pytest.param("MNER_REDIS", "unix://", "unix:///path", id="unix without a path"),
        pytest.param("MNER_ELASTICSEARCH", "http://h:1?x=1", "without a query", id="options of Elasticsearch"),
        pytest.param("MNER_PARTITIONS", "many", "MNER_PARTITIONS='many'", id="not a number"),
        pytest.param("MNER_THRESHOLD", "1.5", "less than or equal to 1", id="out of range"),
        *(
            pytest.param(
                "MNER_IMAGE_ALLOW", f"h:80,{entry}", f"{entry!r} is not host:port, such as", id=f"allow {entry}"
            )
            for entry in ("localhost", "http://intranet:80", "h:0", "h:99999", "h:80/a", "::1:80", "[::g]:80", "[::1]")
        ),
        pytest.param("MNER_IMAGE_ALLOW", "me@h:80", "***@h:80' is not host:port, such as", id="allow with a user"),
        pytest.param("MNER_IMAGE_PORTS", "80,0", "MNER_IMAGE_PORTS='0': Input should be greater", id="port 0"),
        pytest.param("MNER_IMAGE_PORTS", "99999", "MNER_IMAGE_PORTS='99999': Input should be less", id="no such port"),
        pytest.param(
            "MNER_IMAGE_DECODE_S", "inf", "MNER_IMAGE_DECODE_S='inf': Input should be a finite", id="for ever"
        ),
        pytest.param("MNER_STALL_S", "nan", "MNER_STALL_S='nan': Input should be a finite", id="no time at all"),
        pytest.param("MNER_PREFIX", "Has Space", "MNER_PREFIX", id="prefix"),
    ],
)
def test_a_wrong_setting_names_the_variable_the_value_and_the_remedy(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(UserError) as caught:
        load()
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "redis://h",
        "redis://:pa%40ss@h:1/3?socket_timeout=1.5&socket_connect_timeout=2&health_check_interval=3&max_connections=4",
        "redis://h?db=1&username=u&password=p&client_name=c",
        "rediss://h?ssl_cert_reqs=none&ssl_ca_certs=a&ssl_certfile=b&ssl_keyfile=c",
        "unix:///tmp/x.sock?db=1",
    ],
)
def test_an_accepted_redis_url_works_with_the_client(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("MNER_REDIS", url)
    assert load().redis == url
    ConnectionPool.from_url(url).make_connection()  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("MNER_ELASTICSEARCH", "ftp://me:s3cret@h:1", id="wrong scheme"),
        pytest.param("MNER_ELASTICSEARCH", "me:s3cret@h:1", id="no scheme"),
        pytest.param("MNER_REDIS", "redis://:s3cret", id="no host"),
        pytest.param("MNER_REDIS", "redis://:x/s3cret@h", id="slash in the password"),
        pytest.param("MNER_REDIS", "redis://:x?s3cret@h", id="question mark in the password"),
        pytest.param("MNER_REDIS", "redis://h?pasword=s3cret", id="option misspelt"),
        pytest.param("MNER_REDIS", "redis://user:12#s3cret@h", id="hash behind digits of the password"),
        pytest.param("MNER_REDIS", "redis://user:12?s3cret@h", id="question mark behind digits"),
        pytest.param("MNER_REDIS", "redis://user:12?db=s3cret@h", id="a password that looks like an option"),
        pytest.param("MNER_REDIS", "redis://user:12/3?s3cret@h", id="a password that looks like a database"),
        pytest.param("MNER_KAFKA", "SASL://me:s3cret@h:1", id="Kafka"),
        pytest.param("MNER_KAFKA", "h:1,me:s3cret@h", id="Kafka without a scheme"),
    ],
)
def test_an_error_does_not_show_a_password(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(UserError) as caught:
        load()
    assert name in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert "12" not in str(caught.value).replace("127.0.0.1", "")


def test_lists_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MNER_IMAGE_PORTS", "80, 8080")
    monkeypatch.setenv("MNER_IMAGE_ALLOW", "127.0.0.1:5000,img.example:80")
    settings = load()
    assert settings.image.ports == (80, 8080)
    assert settings.image.allow == ("127.0.0.1:5000", "img.example:80")


@pytest.mark.parametrize(
    ("old", "new", "value"),
    [
        pytest.param("MNER_POSSIBLE", "MNER_CANDIDATE_THRESHOLD", "0.25", id="candidates"),
        pytest.param("MNER_VISION", "MNER_VISION_CHANNELS", "ocr", id="channels"),
    ],
)
@pytest.mark.parametrize("place", ["environment", ".env"])
def test_an_old_name_works_and_says_so_once(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
    place: str,
    old: str,
    new: str,
    value: str,
) -> None:
    warn_once.cache_clear()
    monkeypatch.chdir(tmp_path)
    if place == "environment":
        monkeypatch.setenv(old, value)
    else:
        (tmp_path / ".env").write_text(f"{old}={value}\n")
    settings = [load(), load()][0]
    (variable,) = [variable for variable in VARIABLES if variable.name == new]
    assert str(variable.value(settings)) in (value, f"('{value}',)")
    (warning,) = [record.getMessage() for record in caplog.records]
    assert warning == f"{old} is now called {new}. The old name works until release 0.3."
    monkeypatch.setenv(new, "0.5" if value == "0.25" else "tags")
    assert str(variable.value(load())) in ("0.5", "('tags',)"), "the new name wins"


@pytest.mark.parametrize("value", ["64", "abc", "registry/mner:0.2", '{"allow": ["10.0.0.1:80"]}'])
@pytest.mark.parametrize("name", ["MNER_IMAGE", "MNER_BATCH", "MNER_DEAD_LETTER"])
@pytest.mark.parametrize("place", ["environment", ".env"])
def test_the_name_of_a_group_is_no_setting(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
    place: str,
    name: str,
    value: str,
) -> None:
    warn_once.cache_clear()
    monkeypatch.chdir(tmp_path)
    before = load()
    if place == "environment":
        monkeypatch.setenv(name, value)
    else:
        (tmp_path / ".env").write_text(f"{name}='{value}'\n")
    assert [load(), load()] == [before, before]
    (warning,) = [record.getMessage() for record in caplog.records]
    assert warning == f"{name} is ignored. It is no setting, but the first part of several settings' names."


def test_the_old_name_of_the_channels_stands_beside_other_settings_of_its_group(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MNER_VISION", "ocr,tags")
    monkeypatch.setenv("MNER_VISION_BATCH", "4")
    assert (load().vision.channels, load().vision.batch) == (("ocr", "tags"), 4)
    monkeypatch.setenv("MNER_VISION", "sound")
    with pytest.raises(UserError, match="MNER_VISION_CHANNELS='sound'"):
        load()


def test_a_group_that_is_wrong_as_a_whole_is_named() -> None:
    with pytest.raises(UserError, match="MNER_BATCH='5'"):
        load(batch=5)


@pytest.mark.parametrize("name", CONSTANTS)
def test_a_setting_that_became_a_constant_is_ignored_with_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    warn_once.cache_clear()
    monkeypatch.setenv(name, "-1")
    assert [load(), load()]
    (warning,) = [record.getMessage() for record in caplog.records]
    assert warning == f"{name} is ignored. It is a constant since release 0.2."


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        pytest.param("redis://user:secret@host:6379/0", "redis://user:***@host:6379/0", id="user and password"),
        pytest.param("redis://:secret@host", "redis://:***@host", id="password alone"),
        pytest.param("https://host:9200", "https://host:9200", id="nothing to hide"),
        pytest.param(4, "4", id="a number"),
        pytest.param("redis://h/0?password=s3cret&db=1", "redis://h/0?password=***&db=1", id="password as option"),
        pytest.param("redis://:pa@ss@h", "redis://:***@h", id="at sign in the password"),
        pytest.param("https://apikey@h", "https://***@h", id="a key alone"),
        pytest.param("redis://u:pa/s@s@h:1/0", "redis://u:***@h:1/0", id="signs that should have been escaped"),
        pytest.param("redis://user:12#secret@h", "redis://user:***@h", id="hash behind digits"),
        pytest.param("redis://user:12?secret@h", "redis://user:***@h", id="question mark behind digits"),
        pytest.param("redis://[::1]:6379/0", "redis://[::1]:6379/0", id="IPv6"),
        pytest.param("rediss+sentinel://h1:1,[::1]:2/m/0", "rediss+sentinel://h1:1,[::1]:2/m/0", id="sentinels"),
        pytest.param("redis+cluster://h1:1,h2:2", "redis+cluster://h1:1,h2:2", id="cluster"),
        pytest.param("redis+cluster://u:s3cret@h1:1,h2", "redis+cluster://u:***@h1:1,h2", id="password of a cluster"),
        pytest.param("redis+cluster://h1:s3cret,h2:2", "redis+cluster://h1:***", id="no port of a node"),
        pytest.param("unix:///tmp/x.sock", "unix:///tmp/x.sock", id="socket"),
        pytest.param("a:9092,b:9092", "a:9092,b:9092", id="brokers"),
    ],
)
def test_passwords_are_masked(value: object, shown: str) -> None:
    assert masked(value) == shown


def test_the_settings_import_nothing_large() -> None:
    """Every command and every process imports them."""
    large = {"numpy", "tokenizers", "torch", "onnxruntime", "kafka", "faust"}
    program = f"import sys, streams.settings; print(sorted({large} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
