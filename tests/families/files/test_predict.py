"""`mner predict --jsonl` reads the same files as `mner feed`."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from cli import predict
from core.errors import UserError
from core.events import ImageResult, Tweet
from core.files.posts import open_posts
from model.checkpoint import describe
from model.extractor import Extracted
from streams.settings import CHECKPOINT
from tests.families.files.make_files import CASES, CORPUS

MOST = 1_048_588


class NoMentions:
    """An extractor that finds nothing."""

    info = describe(CHECKPOINT)

    def extract_all(self, tweets: Sequence[Tweet], *_: object) -> list[Extracted]:
        return [Extracted([], [], None) for _ in tweets]


def no_images(tweets: Sequence[Tweet]) -> list[tuple[ImageResult, None, None]]:
    return [(ImageResult(), None, None)] * len(tweets)


def predicted(data: bytes) -> tuple[int, list[dict[str, Any]], str]:
    """Returns the exit code, the results, and why the file cannot be read to its end."""
    extractor: Any = NoMentions()
    written = io.BytesIO()
    posts = open_posts(io.BytesIO(data), MOST)
    try:
        code, problem = predict.predict_lines(extractor, posts, written, no_images, 2), ""
    except UserError as error:
        code, problem = 2, str(error)
    return code, [json.loads(line) for line in written.getvalue().splitlines()], problem


@pytest.mark.parametrize("name", [name for name in CASES if CASES[name].posts and not CASES[name].ends])
def test_each_post_of_a_file_has_a_result(name: str) -> None:
    code, results, _ = predicted((CORPUS / name).read_bytes())
    broken = "broken" in name or CASES[name].damaged > 0
    assert code == int(broken)
    assert len(results) == len(CASES[name].posts)
    assert any("error" in result for result in results) == broken


@pytest.mark.parametrize("name", [name for name in CASES if CASES[name].ends])
def test_what_stands_before_a_break_has_results(name: str) -> None:
    code, results, problem = predicted((CORPUS / name).read_bytes())
    assert code == 2
    assert [result["id"] for result in results] == [str(n + 1) for n in range(len(CASES[name].posts))]
    assert problem == f"cannot read on after {len(results)} lines or posts: {CASES[name].ends}"


def test_a_post_that_is_too_long_is_an_error_in_its_place() -> None:
    data = b'[{"id": "1", "text": "Oslo"}, {"id": "' + b"x" * 2_000_000 + b'"}, {"id": "3", "text": "Rome"}]'
    code, results, _ = predicted(data)
    assert code == 1
    assert [result["id"] for result in results] == ["1", None, "3"]
    assert results[1]["error"] == "event: has 2000010 bytes, more than a topic takes"


def test_the_command_says_what_it_reads_and_refuses_the_rest(tmp_path: Path) -> None:
    def mner(name: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "cli.main", "predict", "--no-vision", "--jsonl", str(CORPUS / name)]
        return subprocess.run(
            command, env={"MNER_HOME": str(tmp_path)}, capture_output=True, text=True, check=False, timeout=120
        )

    read, refused = mner("array-utf-16.gz"), mner("table.csv")
    assert read.returncode == 0
    assert len(read.stdout.splitlines()) == 3
    assert read.stderr == f"{CORPUS / 'array-utf-16.gz'}: {CASES['array-utf-16.gz'].says}\n"
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == f"mner: --jsonl {CORPUS / 'table.csv'} {CASES['table.csv'].refused}\n"
