"""Kappa against published examples, and what counts as one unit."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import combinations

import numpy as np
import pytest

from core.events import Decision, Mention, Verdict, Vote
from review import agreement
from review.agreement import NONE, Agreement, Judged, cohen, fleiss, judge, of_all, of_pair, of_pairs
from review.work import Work, begin
from tests.review.tasks import NEW_YORK, SHOT, ZIMMERMAN, mention, task

MOMENT = datetime(2026, 11, 30, tzinfo=UTC)

#: Fleiss (1971), table 1: thirty patients, six diagnoses each. Depression, personality disorder, schizophrenia,
#: neurosis, other.
PATIENTS = """\
00060 03003 01401 00006 03030 20400 00402 20310 20040 00006 10050 11040 03300 10050 02031
00501 30012 51000 02040 10203 00006 01050 02013 20040 10041 05010 40002 02040 10500 00006
"""


def test_cohens_kappa_of_the_first_paper() -> None:
    """Cohen (1960): p_o = .70, p_c = .41."""
    assert cohen(np.array([[88, 14, 18], [10, 40, 10], [2, 6, 12]], dtype=float)) == pytest.approx(0.29 / 0.59)


def test_fleiss_kappa_of_the_first_paper() -> None:
    counts = np.array([[int(digit) for digit in patient] for patient in PATIENTS.split()], dtype=float)
    assert list(counts.sum(axis=0) / 180) == pytest.approx([0.144, 0.144, 0.167, 0.306, 0.239], abs=5e-4)
    assert fleiss(counts) == pytest.approx(0.430, abs=5e-4)


def test_raters_who_agree_as_chance_would_have_a_kappa_of_zero() -> None:
    assert cohen(np.full((2, 2), 5.0)) == pytest.approx(0)
    assert fleiss(np.array([[2, 0], [0, 2], [1, 1], [1, 1]], dtype=float)) == pytest.approx(0)


@pytest.mark.parametrize("number", [0, 3])
def test_kappa_is_undefined_without_units_and_with_one_category(number: int) -> None:
    assert cohen(np.diag([float(number), 0.0])) is None
    assert fleiss(np.array([[2.0, 0.0]] * number).reshape(number, 2)) is None


def vote(reviewer: str, work: Work) -> Vote:
    return Vote(reviewer=reviewer, decided_at=MOMENT, mentions=work.mentions, verdicts=work.verdicts)


def voted(post: str, **works: Work) -> Decision:
    votes = tuple(vote(name, work) for name, work in works.items())
    return Decision(
        id=f"d{post}",
        kind="vote",
        task=begun(post).task,
        mentions=(),
        reviewer="ana",
        decided_at=MOMENT,
        votes=votes,
        votes_needed=len(votes),
    )


def judged(*decisions: Decision) -> list[Judged]:
    return [found for decision in decisions if (found := judge(decision))]


def begun(post: str = "1") -> Work:
    return begin(task(post, candidates=(SHOT,)))


def categories(decision: Decision) -> dict[str, list[str]]:
    found = agreement.units(decision.task, decision.votes)
    text, spans = decision.task.tweet.text, [(q.mention.start, q.mention.end) for q in decision.task.questions]
    spans += [(v.after.start, v.after.end) for one in decision.votes for v in one.verdicts if v.after]
    return {
        text[slice(*span)]: [agreement.CATEGORIES[place] for place in row]
        for span, row in zip(sorted(set(spans)), found, strict=True)
    }


def test_each_question_is_a_unit_and_an_untouched_confident_mention_is_none() -> None:
    both = voted("1", ana=begun().accept().accept().reject(), bob=begun().accept().retype("ORG").reject())
    assert categories(both) == {
        ZIMMERMAN.text: ["PER", "PER"],
        SHOT.text: ["MISC", "ORG"],
        NEW_YORK.text: [NONE, NONE],
    }


def test_a_moved_span_and_an_added_one_are_units_of_their_own() -> None:
    moved = mention("Zimmerman", "PER")
    added = mention("outside", "MISC")
    ana = begun().respan(moved.start, moved.end).reject().reject().add(added.start, added.end, "MISC")
    bob = begun().accept().reject().reject()
    assert categories(voted("1", ana=ana, bob=bob)) == {
        "outside": ["MISC", NONE],
        ZIMMERMAN.text: [NONE, "PER"],
        "Zimmerman": ["PER", NONE],
        SHOT.text: [NONE, NONE],
        NEW_YORK.text: [NONE, NONE],
    }


def test_a_confident_mention_that_one_voter_rejects_is_a_unit() -> None:
    kept = begun().accept().accept().accept()
    rejected = kept
    while rejected.current.mention.text != "jay":
        rejected = rejected.move(1)
    found = agreement.units(kept.task, voted("1", ana=kept, bob=rejected.reject()).votes)
    assert found[0] == [agreement.CATEGORIES.index("PER"), agreement.CATEGORIES.index(NONE)]


def test_figures_of_two_people_over_several_posts() -> None:
    same = begun().accept().accept().accept()
    other = begun().accept().retype("ORG").reject()
    decisions = judged(*(voted(str(place), ana=same, bob=same if place % 2 else other) for place in range(6)))
    pair = of_pair(decisions, "ana", "bob")
    assert (pair.posts, pair.units) == (6, 18)
    assert pair.observed == pytest.approx(12 / 18)
    assert pair.kappa is not None
    assert pair.interval is not None
    assert pair.interval[0] < pair.kappa < pair.interval[1] <= 1
    assert of_pair(decisions, "ana", "bob") == pair, "the same votes give the same interval"
    assert of_pairs(decisions, 9) == [pair]
    everybody = of_all(decisions)
    assert (everybody.units, everybody.observed, everybody.reviewers) == (18, pair.observed, ("ana", "bob"))


def test_fleiss_takes_posts_with_different_numbers_of_votes_and_leaves_out_single_ones() -> None:
    same = begun().accept().accept().accept()
    three = voted("1", ana=same, bob=same, eve=same)
    two = voted("2", ana=same, bob=same)
    one = voted("3", ana=same)
    found = of_all(judged(three, two, one))
    assert found.posts == 2
    assert found.kappa == pytest.approx(1)
    assert found.observed == pytest.approx(1)
    assert of_pair(judged(one), "ana", "bob") == agreement.Agreement("cohen", ("ana", "bob"), 0, 0, None, None, None)


def test_a_verdict_names_the_span_before_and_after() -> None:
    """A respan whose new span nobody else marks still counts the old one."""
    work = begun().respan(ZIMMERMAN.start, ZIMMERMAN.end - 1).reject().reject()
    verdict = work.verdicts[0]
    assert isinstance(verdict, Verdict)
    assert isinstance(verdict.after, Mention)
    assert len(agreement.units(work.task, [vote("ana", work)])) == 4


def test_a_pair_does_not_agree_on_what_only_a_third_person_marked() -> None:
    added = mention("outside", "MISC")
    same = begun().accept().accept().accept()
    eve = begun().accept().accept().accept().add(added.start, added.end, "MISC")
    (post,) = judged(voted("1", eve=eve, bob=same, ana=same))
    assert post.reviewers == ("ana", "bob", "eve")
    assert [len(rows) for rows in (post.rows, post.pairs["ana", "bob"], post.pairs["ana", "eve"])] == [4, 3, 4]
    assert of_pair([post], "bob", "ana").units == 3


def test_a_decision_on_a_copy_counts_once() -> None:
    same = begun().accept().accept().accept()
    decision = voted("1", ana=same, bob=same)
    assert judge(decision.model_copy(update={"copy_of": "2"})) is None


def test_only_the_pairs_with_most_posts_are_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    computed = []

    def counting(posts: Sequence[Judged], first: str, second: str) -> Agreement:
        computed.append((first, second))
        return of_pair(posts, first, second)

    monkeypatch.setattr(agreement, "of_pair", counting)
    people = [f"p{number:03}" for number in range(60)]
    decisions = [voted(f"{one}{other}", **{one: begun(), other: begun()}) for one, other in combinations(people, 2)]
    decisions += [voted("again", p001=begun("again"), p002=begun("again"))]
    found = of_pairs(judged(*decisions), 3)
    assert [pair.reviewers for pair in found] == [("p001", "p002"), ("p000", "p001"), ("p000", "p002")]
    assert found[0].posts == 2
    assert len(computed) == 3
