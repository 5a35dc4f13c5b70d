"""The simulation of drift, on streams that are made up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.drift import SKIPPED, WINDOW, ideal, windows
from benchmarks.drift_plot import draw
from benchmarks.drift_rules import Aci, Fixed, Follow, Run, run
from benchmarks.drift_streams import Stream, at_once, in_turn
from model.training.guarantee import Marks
from streams.thresholds import Answer, Control

GOOD: list[Marks] = [[(0.9, True)], [(0.8, True), (0.6, True)], [(0.3, False)]]
BAD: list[Marks] = [[(0.9, True)], [(0.8, False), (0.6, False)], [(0.97, True)]]
POSTS = {"good": GOOD, "bad": BAD}


def test_the_corpora_come_in_turn_or_at_once() -> None:
    stream = in_turn(POSTS, 2000, 0.1, seed=0)
    assert stream.part.tolist() == [0] * 2000 + [1] * 2000
    assert stream.drawn.mean() == pytest.approx(0.1, abs=0.02)
    assert not stream.right[stream.probability == 0.3].any()
    mixed = at_once(POSTS, (0.75, 0.25), 2000, 0.1, seed=0)
    assert (mixed.part == 0).mean() == pytest.approx(0.75, abs=0.04)
    assert mixed.right[mixed.part == 0][mixed.probability[mixed.part == 0] > 0.5].all()


def test_windows_count_audited_mentions_and_all_between_them() -> None:
    count = SKIPPED + WINDOW + 1
    drawn = np.tile([True, False], count)
    right = drawn.copy()
    stream = Stream(np.full(2 * count, 0.9), right, np.zeros(2 * count, dtype=np.intp), drawn)
    found = windows(run(stream, Fixed(0.5)))
    assert found.audited.tolist() == [1.0, 1.0]
    assert found.routed == pytest.approx(WINDOW / (2 * WINDOW - 1))
    assert found.end.tolist() == [2 * count - 4, 2 * count - 2]


def test_a_threshold_is_in_force_from_the_mention_after_the_answer() -> None:
    stream = Stream(np.full(4, 0.9), np.zeros(4, bool), np.zeros(4, np.intp), np.array([False, True, False, False]))
    threshold = run(stream, Follow(0.7, Control())).threshold
    assert threshold[0] == threshold[1] == pytest.approx(0.7)
    assert threshold[2] == threshold[3] > 0.7


def test_late_answers_all_come_in_the_end_or_wait() -> None:
    stream = in_turn(POSTS, 1000, 0.5, seed=1)
    rule = Follow(0.7, Control())
    run(stream, rule, late=5)
    audited = rule.state.precision
    assert audited.current.answers + audited.before.answers > 0
    prompt = run(stream, Follow(0.7, Control()))
    assert not np.array_equal(prompt.threshold, run(stream, Follow(0.7, Control()), late=50).threshold)


def test_sources_have_their_own_thresholds() -> None:
    stream = at_once(POSTS, (0.5, 0.5), 4000, 0.5, seed=2)
    done = run(stream, Follow(0.7, Control(few=20)), list(POSTS))
    assert done.threshold[stream.part == 1][-1] > done.threshold[stream.part == 0][-1]


def test_following_keeps_a_promise_that_the_fixed_threshold_breaks() -> None:
    stream = in_turn(POSTS, 6000, 0.2, seed=3)

    def precision(done: Run) -> float:
        return float(stream.right[done.confident & (stream.part == 1)].mean())

    assert precision(run(stream, Fixed(0.7))) < 0.75
    assert precision(run(stream, Follow(0.7, Control()))) > 0.85


def test_aci_allows_less_after_wrong_answers_and_comes_back() -> None:
    rule = Aci([[(0.9, True), (0.5, False), (0.7, True), (0.6, True)]], 0.3, 0.2)
    assert rule.threshold(None) == 0.5
    wrong = {"id": "1", "probability": 0.95, "threshold": 0.5, "is_right": False}
    rule.hear(Answer.model_validate(wrong))
    assert rule.threshold(None) == 0.6
    rule.hear(Answer.model_validate(wrong))
    assert rule.threshold(None) == rule.threshold("any") == 0.6
    for _ in range(3):
        rule.hear(Answer.model_validate(wrong))
    assert rule.threshold(None) == 1
    for _ in range(20):
        rule.hear(Answer.model_validate(wrong | {"threshold": 1.0}))
    assert rule.threshold(None) < 1


def test_windows_of_independent_answers_dip_below_their_mean() -> None:
    assert ideal(4000, 0.9, seed=0) < 0.89


def test_a_plot_is_drawn(tmp_path: Path) -> None:
    end, precision = np.arange(100, 200), np.full(100, 0.9)
    threshold = np.full(200, 0.7)
    lines = {name: [(end, precision)] * 2 for name in ("fixed", "ours")}
    draw(lines, {name: [threshold] * 2 for name in lines}, ["a", "b"], 100, 0.9, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
