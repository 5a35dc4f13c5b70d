"""Files as feeds: which format is found, what each record becomes, where a feed goes on."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cli.main import build
from core.errors import UserError
from core.events import Author
from core.files.formats import FORMATS, Format
from core.files.posts import Posts, open_posts
from model.conll import lines
from streams import topics
from streams.feeds.files import LONGEST_WAIT_S, FileSource, Schedule
from streams.feeds.source import Gap, Received
from streams.settings import Settings
from tests.altered import alter
from tests.families.files.make_files import CORPUS
from tests.streams.account import held

FRAME = {
    "did": "did:plc:ada",
    "time_us": 1764000000000000,
    "kind": "commit",
    "commit": {
        "operation": "create",
        "collection": "app.bsky.feed.post",
        "rkey": "3la",
        "record": {"text": "Paris", "createdAt": "2025-11-24T16:00:00Z"},
    },
}
V2 = {"data": [{"id": "11", "text": "a &amp; b"}, {"id": "12", "text": "c"}], "meta": {"result_count": 2}}
V1 = {"id": 13, "id_str": "13", "full_text": "Rome", "user": {"id_str": "7", "screen_name": "ada"}}
ARCHIVE = "window.YTD.tweets.part0 = [\n" + json.dumps({"tweet": {"id_str": "14", "full_text": "Bern"}}) + "\n]"
CONLL = "-DOCSTART- -X- O O\n\nAda B-PER\nin O\nBern B-LOC\n\nIMGID:77\nRain\tO\n"
MOST = 1_000_000


def read(text: str, formats: frozenset[Format] = frozenset(FORMATS), **options: Any) -> list[Received]:
    posts = open_posts(io.BytesIO(text.encode()), MOST, formats)
    with FileSource(posts, "file:x", **options).open(None, None) as messages:
        return [message for message in messages if not isinstance(message, Gap)]


def texts(messages: list[Received]) -> list[str]:
    return [post.text for message in messages for post in message.adapted.posts]


@pytest.mark.parametrize(
    ("text", "found", "cursors"),
    [
        pytest.param(json.dumps(FRAME), ["Paris"], ["1"], id="jetstream"),
        pytest.param(json.dumps(V2), ["a & b", "c"], [None, "1"], id="x-v2"),
        pytest.param(json.dumps(V2, indent=2), ["a & b", "c"], [None, "1"], id="x-v2 on many lines"),
        pytest.param(json.dumps(V1), ["Rome"], ["1"], id="x-v1"),
        pytest.param(json.dumps({"statuses": [V1]}), ["Rome"], ["1"], id="x-v1 search"),
        pytest.param(ARCHIVE, ["Bern"], ["1"], id="x-archive"),
        pytest.param(CONLL, ["Ada in Bern", "Rain"], ["1", "3", None], id="conll"),  # the last may still grow
    ],
)
def test_the_format_of_a_file_is_found_out(text: str, found: list[str], cursors: list[str | None]) -> None:
    messages = read(text)
    assert texts(messages) == found
    assert [message.cursor and message.cursor.partition(":")[0] for message in messages] == cursors


@pytest.mark.parametrize(
    ("form", "text"),
    [("x-v2", '{"id": "11", "text": "a &amp; b"}'), ("x-archive", '{"tweet": {"id_str": "1", "full_text": "a & b"}}')],
)
def test_a_format_can_be_given(form: Format, text: str) -> None:
    assert texts(read(text, frozenset({form}))) == ["a & b"]


def test_a_corpus_can_be_given_where_its_first_line_does_not_tell() -> None:
    assert texts(read("Ada X\nruns X\n", frozenset({"conll"}))) == ["Ada runs"]
    with pytest.raises(UserError, match="holds no posts"):
        read("Ada X\nruns X\n")


def test_a_post_of_an_export_in_conll_layout_keeps_its_id_and_its_author() -> None:
    """With another id, an erased post would come back."""
    span = {"start": 0, "end": 3, "type": "PER"}
    others = {"author": "did:plc:a", "created_at": "2026-11-01T00:00:00+00:00", "reviewer": "bo"}
    exported = lines("at:did:plc:a:1", "bluesky", 3, "Ada is #1", [span], others) + lines("2", "x", 0, "Rain", [])
    first, second = (post for message in read(exported) for post in message.adapted.posts)
    assert (first.id, first.source, first.edit, first.text) == ("at:did:plc:a:1", "bluesky", 3, "Ada is # 1")
    assert (first.author, first.created_at) == (Author(id="did:plc:a"), datetime(2026, 11, 1, tzinfo=UTC))
    assert (second.id, second.source, second.author, second.text) == ("2", "x", None, "Rain")


def test_a_record_that_cannot_be_read_keeps_its_bytes() -> None:
    (_, broken, _) = read(f"{json.dumps(FRAME)}\n{{broken\n{json.dumps(FRAME)}")
    assert (broken.adapted.skipped, broken.raw) == ("unreadable", b"{broken")


def test_our_own_events_are_unchanged_but_for_the_place_of_their_author() -> None:
    plain, placed, nested = b'{"id":  "1", "text": "x"}', b'{"id": "2", "text": "x", "geo": {}, "place": 1}', b"{geo"
    lines = b"\n".join([plain, placed, nested, b'{"id": "3", "text": "my \\"geo\\""}'])
    sent = [message.adapted.lines[0] for message in read(lines.decode())]
    assert sent == [plain, b'{"id": "2", "text": "x"}', nested, b'{"id": "3", "text": "my \\"geo\\""}']


def test_a_loop_over_an_empty_file_ends() -> None:
    opened: list[int] = []

    @contextmanager
    def again() -> Iterator[Posts]:
        opened.append(1)
        yield open_posts(io.BytesIO(b"\n\n"), MOST, frozenset(FORMATS))

    assert read("\n", again=again) == []
    assert opened == [1]


def test_a_file_of_an_archive_that_is_no_section_is_not_sent_to_another_feed() -> None:
    with pytest.raises(
        UserError, match=r"^is JavaScript, but no section of an X archive; of an archive, give tweets.js$"
    ):
        read('window.__THAR_CONFIG = {\n  "userInfo" : {}\n}')


def test_a_section_of_an_archive_without_posts_is_refused() -> None:
    with pytest.raises(UserError, match="holds the section account of an X archive, which has no posts"):
        read('window.YTD.account.part0 = [ {"account": {"id": 1}} , {"id": "1"} ]')


def test_since_skips_earlier_posts_and_a_number_skips_earlier_lines() -> None:
    lines = "\n".join(f'{{"id": "{day}", "text": "x", "created_at": "2026-11-0{day}T00:00:00Z"}}' for day in (1, 2, 3))
    messages = read(lines, since=datetime(2026, 11, 2, tzinfo=UTC))
    assert [message.adapted.skipped for message in messages] == ["before_since", None, None]
    assert [message.adapted.lines for message in read(lines, first=3)] == [(lines.splitlines()[2].encode(),)]


@pytest.mark.parametrize("layout", ["events", "x-v2"])
def test_since_never_drops_an_edit(layout: str) -> None:
    early = {"id": "2", "created_at": "2026-11-01T00:00:00Z", "text": "x"}
    edits = {
        "events": early | {"edit": 1},
        "x-v2": {"data": early | {"edit_history_tweet_ids": ["1", "2"]}},
    }
    firsts = {"events": early, "x-v2": {"data": early}}
    text = json.dumps(firsts[layout]) + "\n" + json.dumps(edits[layout])
    skipped = [message.adapted.skipped for message in read(text, since=datetime(2026, 11, 2, tzinfo=UTC))]
    assert skipped == ["before_since", None]


def test_speed_keeps_the_posts_own_times(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = (0, 10, 5, 40, 9_000_000, 9_000_006)
    frames = [FRAME | {"time_us": 1764000000000000 + second * 1_000_000} for second in seconds]
    clock, waits = [100.0], list[float]()
    monkeypatch.setattr("streams.feeds.files.time.monotonic", lambda: clock[0])
    posts = open_posts(io.BytesIO("\n".join(map(json.dumps, frames)).encode()), MOST, frozenset(FORMATS))
    source = FileSource(posts, "file:x", speed=2.0)

    def wait(wait_s: float) -> None:
        waits.append(round(wait_s, 3))
        clock[0] += wait_s

    monkeypatch.setattr(source._left, "wait", wait)
    with source.open(None, None) as messages:
        assert len(list(messages)) == len(frames)
    assert waits == [0, 5.0, 0, 15.0, LONGEST_WAIT_S, 3.0]


def test_one_wrong_date_does_not_end_the_pace() -> None:
    schedule, now, waits = Schedule(speed=10.0), 100.0, list[float]()
    for at in (0, 10, 9_000_000, 20, 30, 40, -9_000_000, 50, 60):
        waits.append(round(schedule.wait_s(at, now), 3))
        now += waits[-1]
    assert waits == [0, 1.0, LONGEST_WAIT_S, 0, 0, 1.0, 0, 1.0, 1.0]


@pytest.fixture
def topic(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The topic of posts, which the command in this process feeds."""
    topics.create(str(settings.kafka), topics.plan(settings))
    for name in ("kafka", "prefix"):
        monkeypatch.setenv(f"MNER_{name.upper()}", str(getattr(settings, name)))
    monkeypatch.setenv("MNER_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return settings.name(topics.TWEETS)


def feed(*words: str) -> None:
    build()(["feed", *words], standalone_mode=False)


def test_a_file_goes_on_where_it_ended_and_counts_add_up(
    settings: Settings, topic: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [json.dumps({"id": str(number), "text": f"word{number % 2}", "lang": "en"}) for number in range(10)]
    (tmp_path / "bluesky").write_text("\n".join(lines))
    feed("./bluesky", "--limit", "4", "--filter", "en", "--filter", "word0", "--json", "counts.json")
    counts = json.loads((tmp_path / "counts.json").read_text())
    assert (counts["received"], counts["sent"], counts["skipped"]) == (7, 4, {"word": 3})
    feed("./bluesky", "--resume")
    assert held(str(settings.kafka), topic) == sorted(
        line.encode() for number, line in enumerate(lines) if number >= 7 or number % 2 == 0
    )
    capsys.readouterr()
    feed("--resume", "./bluesky")
    assert f"fed 0 events into {topic}" in capsys.readouterr().out


def test_a_file_that_ends_early_counts_all_records(
    settings: Settings, topic: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    erased = FRAME | {"commit": {"operation": "delete", "collection": "app.bsky.feed.post", "rkey": "3lb"}}
    (tmp_path / "cut.json").write_text(f"[{json.dumps(FRAME)}, {json.dumps(erased)}, 7, {{")
    assert build()(["feed", "cut.json", "--json", "counts.json"], standalone_mode=False) == 1
    assert "; Kafka has 3 records; go on with `mner feed FILE --from-line 4` (post 4)" in capsys.readouterr().err
    assert len(held(str(settings.kafka), topic)) == 1
    counts = json.loads((tmp_path / "counts.json").read_text())
    assert counts["records"] == {"post": 1, "lifecycle": 1, "dead_letter": 1}


def test_a_limit_does_not_end_within_a_page(settings: Settings, topic: str, tmp_path: Path) -> None:
    other = {"data": [{"id": "21", "text": "d"}, {"id": "22", "text": "e"}]}
    (tmp_path / "pages.jsonl").write_text(f"{json.dumps(V2)}\n{json.dumps(other)}\n")
    for sent in (2, 4, 4):
        feed("pages.jsonl", "--resume", "--limit", "1")
        assert len(held(str(settings.kafka), topic)) == sent


def test_the_files_of_x_that_are_refused_as_events_are_read(settings: Settings, topic: str) -> None:
    for name in ("x-page.json", "x-page-pretty.json", "x-archive.array"):
        feed(str(CORPUS / name))
    assert held(str(settings.kafka), topic)


def test_a_loop_begins_again_until_it_is_stopped(
    settings: Settings, topic: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "posts.jsonl"
    file.write_text('{"id": "1", "text": "x"}\n{"id": "2", "text": "x"}\n')
    feed(str(file), "--loop", "--limit", "7")
    assert len(held(str(settings.kafka), topic)) == 7


def limit(settings: Settings, name: str, most: int) -> None:
    """Lowers the limit of a topic."""
    (narrow,) = [topic for topic in topics.plan(settings) if topic.name == settings.name(name)]
    alter(str(settings.kafka), narrow.name, narrow.config | {"max.message.bytes": str(most)})


def test_a_dead_letter_is_cut_where_its_topic_takes_no_more(settings: Settings, topic: str, tmp_path: Path) -> None:
    limit(settings, topics.DEAD, 3000)
    (tmp_path / "frames.jsonl").write_text(f"{json.dumps(FRAME)}\n{{broken {'x' * 9000}\n{json.dumps(FRAME)}")
    feed("frames.jsonl")
    (letter,) = map(json.loads, held(str(settings.kafka), settings.name(topics.DEAD)))
    assert len(letter["value"]) + letter["omitted"] == 9008
    limit(settings, topics.DEAD, 100)
    with pytest.raises(UserError, match=r"bytes are more than topic .*tweets\.dead allows; `mner topics create`"):
        feed("frames.jsonl")


def test_a_post_that_the_topic_cannot_take_becomes_a_dead_letter(
    settings: Settings, topic: str, tmp_path: Path
) -> None:
    limit(settings, topics.TWEETS, 2000)
    long = FRAME | {"commit": FRAME["commit"] | {"record": {"text": "x" * 5000}}}  # type: ignore[operator]
    (tmp_path / "frames.jsonl").write_text("\n".join(json.dumps(frame) for frame in (FRAME, long, FRAME)))
    feed("frames.jsonl", "--json", "counts.json")
    counts = json.loads((tmp_path / "counts.json").read_text())
    assert (counts["received"], counts["sent"], counts["dead"]) == (3, 2, 1)
    (letter,) = held(str(settings.kafka), settings.name(topics.DEAD))
    assert json.loads(letter)["reason"].endswith(f"bytes are more than topic {topic} allows")
