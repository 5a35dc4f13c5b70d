"""Settings: validated at start, clear when wrong, secrets never shown."""

from __future__ import annotations

import pytest

from streams.errors import UserError
from streams.settings import load, masked


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        pytest.param("MNER_KAFKA", "localhost", "MNER_KAFKA='localhost': 'localhost' is not host:port", id="no port"),
        pytest.param("MNER_ELASTICSEARCH", "localhost:9200", "such as http://127.0.0.1:9200", id="no scheme"),
        pytest.param("MNER_REDIS", "http://x", "such as redis://127.0.0.1:6379", id="wrong scheme"),
        pytest.param("MNER_PARTITIONS", "many", "MNER_PARTITIONS='many'", id="not a number"),
        pytest.param("MNER_THRESHOLD", "1.5", "less than or equal to 1", id="out of range"),
        pytest.param("MNER_PREFIX", "Has Space", "MNER_PREFIX", id="prefix"),
    ],
)
def test_a_wrong_setting_names_the_variable_the_value_and_the_mend(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(UserError) as caught:
        load()
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_lists_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MNER_IMAGE_PORTS", "80, 8080")
    monkeypatch.setenv("MNER_IMAGE_ALLOW", "127.0.0.1:5000,img.example:80")
    settings = load()
    assert settings.image_ports == (80, 8080)
    assert settings.image_allow == ("127.0.0.1:5000", "img.example:80")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        pytest.param("redis://user:secret@host:6379/0", "redis://user:***@host:6379/0", id="user and password"),
        pytest.param("redis://:secret@host", "redis://:***@host", id="password alone"),
        pytest.param("https://host:9200", "https://host:9200", id="nothing to hide"),
        pytest.param(4, "4", id="a number"),
    ],
)
def test_passwords_are_masked(value: object, shown: str) -> None:
    assert masked(value) == shown
