"""Where a group reads, from what it committed and what the log has. What may be unread is read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.consumer.placement import NOTHING, UNKNOWN, Commit, Known, Log, Place, Read, note, place

READ = Read(99, 6)
KNOWN, AT_4 = Known(READ), Known(Read(99, 4))
A, B = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"


def newer(offset: int, begin: int = 0) -> Log:
    """Returns a log in which the first record that was appended after all that was read has this offset."""
    return Log(begin, 10, A, unread=offset, newer=offset)


@pytest.mark.parametrize(
    ("commit", "log", "expected"),
    [
        pytest.param(None, Log(0, 10), Place(0, "new"), id="no commit"),
        pytest.param(None, Log(5, 10), Place(5, "new"), id="no commit, and retention was there"),
        pytest.param(Commit(0), Log(0, 10), Place(0, "committed"), id="zero"),
        pytest.param(Commit(0), Log(5, 10), Place(5, "new"), id="zero, and retention was there"),
        pytest.param(Commit(3), Log(5, 10), Place(5, "expired"), id="below the log"),
        pytest.param(Commit(5), Log(5, 10), Place(5, "committed"), id="at the beginning"),
        pytest.param(Commit(7), Log(5, 10), Place(7, "committed"), id="within"),
        pytest.param(Commit(10), Log(5, 10), Place(10, "committed"), id="at the end"),
        pytest.param(Commit(11), Log(5, 10), Place(5, "beyond"), id="beyond"),
        pytest.param(Commit(11), Log(0, 0), Place(0, "beyond"), id="beyond an empty log"),
        pytest.param(Commit(7, note(A, NOTHING)), Log(5, 10, A), Place(7, "committed"), id="same topic"),
        pytest.param(Commit(7, note(A, NOTHING)), Log(5, 10, B), Place(5, "recreated"), id="another topic"),
        pytest.param(
            Commit(70, note(A, NOTHING)), Log(5, 10, B), Place(5, "recreated"), id="another topic, and beyond"
        ),
        pytest.param(Commit(7, note(A, NOTHING)), Log(5, 10), Place(7, "committed"), id="a broker without topic ids"),
        pytest.param(Commit(7, "of another program"), Log(5, 10, B), Place(7, "committed"), id="another program"),
        pytest.param(
            Commit(7, note(A, KNOWN)),
            newer(7),
            Place(7, "committed"),
            id="newer records follow",
        ),
        pytest.param(Commit(7, note(A, KNOWN)), newer(9), Place(7, "committed"), id="newer in flight"),
        pytest.param(Commit(7, note(A, KNOWN)), newer(4), Place(4, "cut"), id="cut, and grown again"),
        pytest.param(
            Commit(9, note(A, AT_4)),
            newer(6),
            Place(9, "committed"),
            id="a hole before the commit",
        ),
        pytest.param(Commit(9, note(A, AT_4)), newer(4), Place(4, "cut"), id="cut at the newest record"),
        pytest.param(Commit(7, note(A, KNOWN)), newer(4, begin=6), Place(6, "cut"), id="cut, grown, and shortened"),
        pytest.param(
            Commit(20, note(A, KNOWN)),
            newer(4),
            Place(4, "beyond"),
            id="beyond, newer records known",
        ),
        pytest.param(Commit(20, note(A, KNOWN)), Log(0, 10, A), Place(10, "beyond"), id="beyond, nothing newer"),
    ],
)
def test_the_place_of_a_group(commit: Commit | None, log: Log, expected: Place) -> None:
    assert place(commit, log, read=commit.known.read if commit else None) == expected


@pytest.mark.parametrize(
    ("written", "topic_id", "known"),
    [
        pytest.param(f"topic={A}", A, NOTHING, id="the topic alone"),
        pytest.param(f"topic={A} read=99@6", A, KNOWN, id="of the first version with notes"),
        pytest.param(f"topic={A} epoch=3 read=99@6", A, Known(READ, 3), id="of this version"),
        pytest.param(f"topic={A} epoch=3", A, Known(epoch=3), id="of this version, nothing read"),
        pytest.param(f"topic={A} read=99@-1", A, Known(Read(99, -1)), id="read before the first offset"),
        pytest.param(f"topic={A} epoch=3 read=99@6 more=1,2", A, Known(READ, 3), id="a field of a later version"),
        pytest.param(f"topic={A} read=99@6 a=b c=d:e", A, KNOWN, id="several fields of a later version"),
        pytest.param(f"topic={A} more=x", A, NOTHING, id="only fields of a later version"),
        pytest.param("", None, NOTHING, id="no note"),
        pytest.param("of another program", None, NOTHING, id="another program"),
        pytest.param(f"topic={A}\n", None, NOTHING, id="a line break"),
        pytest.param(f"topic={A} and words", None, NOTHING, id="words behind it"),
        pytest.param(f"topic={A[:-1]}", None, NOTHING, id="a short id"),
    ],
)
def test_a_note_of_any_version_is_read(written: str, topic_id: str | None, known: Known) -> None:
    commit = Commit(7, written)
    assert (commit.topic_id, commit.known) == (topic_id, known)


IN_5 = note(A, Known(epoch=5))
"""Of a commit that was made in leader epoch 5."""


@pytest.mark.parametrize(
    ("commit", "log", "read", "expected"),
    [
        pytest.param(Commit(7, IN_5), Log(0, 10, A, known_until=10), None, Place(7, "committed"), id="the same leader"),
        pytest.param(Commit(7, IN_5), Log(0, 10, A, known_until=7), None, Place(7, "committed"), id="another leader"),
        pytest.param(Commit(7, IN_5), Log(0, 10, A, known_until=6), None, Place(6, "cut"), id="lost the last"),
        pytest.param(Commit(7, IN_5), Log(4, 10, A, known_until=3), None, Place(4, "cut"), id="lost more than is kept"),
        pytest.param(Commit(17, IN_5), Log(0, 10, A, known_until=6), None, Place(6, "beyond"), id="and is short"),
        pytest.param(Commit(17, IN_5), Log(0, 10, A, known_until=UNKNOWN), None, Place(0, "beyond"), id="short, older"),
        pytest.param(Commit(7, IN_5), Log(0, 10, A, known_until=UNKNOWN), None, Place(0, "cut"), id="an older volume"),
        pytest.param(
            Commit(7, IN_5), Log(0, 10, A, known_until=UNKNOWN, unread=4), READ, Place(4, "cut"), id="older, with times"
        ),
        pytest.param(
            Commit(7, IN_5), Log(0, 10, A, known_until=10, unread=3, newer=4), READ, Place(3, "cut"), id="number reused"
        ),
    ],
)
def test_the_place_follows_from_the_end_of_the_leader_epoch(
    commit: Commit, log: Log, read: Read | None, expected: Place
) -> None:
    assert place(commit, log, read=read) == expected


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        pytest.param(Log(0, 90, A, known_until=90), Place(60, "committed"), id="it is whole after all"),
        pytest.param(Log(0, 90, A, known_until=50), Place(50, "committed"), id="read on under another leader"),
        pytest.param(Log(0, 90, A, known_until=70), Place(60, "committed"), id="only in flight under another leader"),
        pytest.param(Log(0, 90, A, known_until=30), Place(30, "cut"), id="cut below what was read before"),
        pytest.param(Log(0, 40, A, known_until=30), Place(30, "beyond"), id="and short"),
    ],
)
def test_what_a_worker_saw_is_looked_at_again(log: Log, expected: Place) -> None:
    """It had read up to 40 when it last saw the log whole, and has committed 60 since."""
    assert place(Commit(60, IN_5), log, cut=True, reached=40) == expected


def test_a_log_that_was_seen_to_be_cut_is_read_from_its_beginning_or_from_the_first_newer_record() -> None:
    assert place(Commit(7), Log(0, 10), cut=True) == Place(0, "beyond")
    assert place(Commit(3), Log(5, 10), cut=True) == Place(5, "expired")
    assert place(None, Log(5, 10), cut=True) == Place(5, "expired")
    assert place(Commit(7), Log(0, 10, unread=3, newer=3), read=READ, cut=True) == Place(3, "beyond")


def test_a_topic_made_again_is_known_by_its_id_although_kafka_has_forgotten_the_commits() -> None:
    assert place(None, Log(0, 10, B), topic_id=A) == Place(0, "recreated")
    assert place(None, Log(0, 10, B), topic_id=B) == Place(0, "new")
    assert place(Commit(5, note(B, NOTHING)), Log(0, 10, B), topic_id=A) == Place(5, "committed")


offsets = st.integers(0, 50)


@given(st.none() | offsets, offsets, offsets, st.booleans(), st.none() | offsets, st.none() | st.integers(-1, 99))
def test_the_place_lies_in_the_log_and_never_behind_a_good_commit(
    committed: int | None, begin: int, length: int, cut: bool, reached: int | None, known_until: int | None
) -> None:
    log = Log(begin, begin + length, known_until=known_until)
    where = place(None if committed is None else Commit(committed), log, cut=cut, reached=reached)
    assert log.begin <= where.offset <= log.end
    assert where.offset <= max(committed or 0, log.begin)


@pytest.mark.parametrize("read", [None, Read(0, 0), Read(5, -1), Read(1_790_000_000_000, 7)])
@pytest.mark.parametrize("epoch", [None, 0, 12])
def test_a_note_is_read_as_it_was_written(read: Read | None, epoch: int | None) -> None:
    commit = Commit(1, note(A, Known(read, epoch)))
    assert (commit.topic_id, commit.known) == (A, Known(read, epoch))


@pytest.mark.parametrize(
    "strange", ["", "topic=", f"topic={A} read=x", A, f"x topic={A}", "read=5@5", f"topic={A} read=5"]
)
def test_a_strange_note_says_nothing(strange: str) -> None:
    assert (Commit(1, strange).topic_id, Commit(1, strange).known) == (None, NOTHING)
