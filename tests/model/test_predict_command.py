"""`mner predict` as a person or a script runs it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from local.examples import EXAMPLES

LINES = [
    '{"id": "1", "text": "Steph Curry was born in Akron", "media": []}',
    '{"id": "2"}',
    "not JSON",
    '{"id": "4", "text": "Paris &amp; London \\u2764", "media": [{"url": "http://a.test/1.jpg", "alt": "a tower"}]}',
    '{"id": "5", "text": "  "}',
]


def mner(*arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "streams.cli.main", "predict", *arguments]
    return subprocess.run(command, input=given, capture_output=True, text=True, check=False, timeout=120)


def test_a_file_of_tweets_gives_one_line_each_in_order_and_bad_lines_say_why() -> None:
    result = mner("--jsonl", "-", given="\n".join(LINES))
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.returncode == 1, result.stderr
    assert [answer["id"] for answer in answers] == ["1", "2", None, "4", "5"]
    assert [field in answers[line]["error"] for line, field in ((1, "text"), (2, "event"), (4, "is blank"))]
    assert [(one["text"], one["type"]) for one in answers[0]["mentions"]] == [("Steph Curry", "PER"), ("Akron", "LOC")]
    assert answers[0]["image"] == {"status": "none"}
    for mention in answers[3]["mentions"]:
        assert "Paris &amp; London ❤"[mention["start"] : mention["end"]] == mention["text"]
        assert {"probability", "aleatoric", "epistemic", "views"} <= mention.keys()
        assert mention["views"].keys() == {"text", "text+context"}


def test_an_image_is_looked_at_and_its_fate_told() -> None:
    wanted = {
        (EXAMPLES / "images" / "astronaut.jpg").as_uri(): ("ok", ""),
        "file:///nowhere/1.jpg": ("failed", "not_found: "),
        (EXAMPLES / "README.md").as_uri(): ("failed", "not_an_image: "),
        "http://127.0.0.1/1.jpg": ("failed", "private_address: "),
    }
    tweets = [json.dumps({"id": "1", "text": "Houston", "media": [{"url": url}]}) for url in wanted]
    result = mner("--jsonl", "-", given="\n".join(tweets))
    assert result.returncode == 0, result.stderr
    for line, (status, reason) in zip(result.stdout.splitlines(), wanted.values(), strict=True):
        image = json.loads(line)["image"]
        assert image["status"] == status
        assert image.get("reason", "").startswith(reason)


def test_one_text_as_json() -> None:
    result = mner("Steph Curry was born in Akron", "--json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["mentions"][0]["text"] == "Steph Curry"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param([], "wanted either a text", id="nothing"),
        pytest.param(["x", "--jsonl", "-"], "wanted either a text", id="both"),
        pytest.param(["   "], "is blank", id="a blank text"),
        pytest.param(["--jsonl", "nowhere.jsonl"], "--jsonl nowhere.jsonl: No such file", id="no file"),
        pytest.param(["x", "--checkpoint", "nowhere"], "no model checkpoint in nowhere", id="no checkpoint"),
    ],
)
def test_what_a_person_can_mend_is_one_line(arguments: list[str], message: str) -> None:
    result = mner(*arguments)
    assert result.returncode == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
