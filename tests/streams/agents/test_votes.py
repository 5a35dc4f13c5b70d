"""Votes through the agent that applies decisions: on real stores, and for copies of one post."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from hypothesis import Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from core.events import Decision, Extraction, Mention, ReviewTask, Vote
from core.lifecycle import Lifecycle
from local.stack import Stack
from sinks.queue.values import Counts
from streams.routing import route
from tests.streams.agents.copying import COPIES, POST, REOPENED, SETTLED, House, at, decision, task
from tests.streams.agents.test_copies_order import fresh
from tests.streams.agents.test_lifecycle import Stores, extraction, said


def vote(of: ReviewTask, reviewer: str, stamp: int, *, agrees: bool = True) -> Vote:
    whole = decision(of, stamp)
    mentions, verdicts = (whole.mentions, whole.verdicts) if agrees else (of.confident, ())
    return Vote(reviewer=reviewer, decided_at=at(stamp), mentions=mentions, verdicts=verdicts)


def voted(of: ReviewTask, stamp: int, *votes: Vote, kind: Any = "vote") -> Decision:
    base = decision(of, stamp, "settle" if kind == "settle" else "retract")
    mentions = () if kind == "vote" else base.mentions
    return base.model_copy(
        update={"kind": kind, "mentions": mentions, "votes": votes, "votes_needed": 2 if votes else 0}
    )


# Copies


async def test_a_vote_counts_for_all_copies_and_the_voter_is_asked_about_none(house: House) -> None:
    await house.deliver(*map(task, COPIES))
    await house.decide(voted(task("a"), 1, vote(task("a"), "ana", 1)))
    assert house.documents == {}, "a vote says nothing to the index"
    assert await house.queue.claim("ana", 60) is None
    await house.queue.erase("a")
    claim = await house.queue.claim("bob", 60)
    assert claim is not None
    assert [one.reviewer for one in claim.ballot.votes] == ["ana"]
    text = claim.task.tweet.text
    assert [text[one.start : one.end].lower() for one in claim.ballot.votes[0].mentions] == ["andromeda", "kourou"]
    await house.queue.release(claim)
    assert await house.queue.claim("ana", 60) is None, "it leads now, and she has voted"


async def test_a_settlement_with_votes_settles_the_copies_and_its_undo_gives_them_back(house: House) -> None:
    of = task("a")
    await house.deliver(*map(task, COPIES))
    ana, bob = vote(of, "ana", 1), vote(of, "bob", 2)
    await house.decide(voted(of, 1, ana), voted(of, 2, ana, bob, kind="settle"))
    assert house.types() == dict.fromkeys(COPIES, SETTLED)
    assert await house.queue.counts() == Counts(open=0, leased=0, decided=4)
    await house.decide(voted(of, 3, ana, kind="retract"))
    assert house.types() == dict.fromkeys(COPIES, REOPENED)
    assert await house.queue.counts() == Counts(open=1, leased=0, decided=0, copies=3)
    assert await house.queue.claim("ana", 60) is None


async def test_copies_of_a_disputed_post_wait_for_the_same_person(house: House) -> None:
    of = task("a")
    await house.deliver(*map(task, COPIES))
    await house.decide(voted(of, 2, vote(of, "ana", 1), vote(of, "bob", 2, agrees=False)))
    assert [(one.task.tweet.id, one.copies) for one in await house.queue.votes.disputed()] == [("a", 3)]
    await house.queue.hide("a")
    (other,) = await house.queue.votes.disputed()
    assert (other.task.tweet.id, other.copies) == ("b", 2)
    await house.deliver(task("b"))
    await house.decide(decision(task("b"), 9))
    assert await house.queue.votes.disputed() == []


async def test_votes_on_what_a_copy_does_not_have_leave_it_on_its_own(house: House) -> None:
    of, torn = task("a"), task("b", POST.replace("from Kourou", "from https://t.co/x Kourou"))
    kept = vote(of, "ana", 1)
    beyond = Mention(start=30, end=42, text=POST[30:42], type="LOC", probability=1, aleatoric=0, epistemic=0)
    strange = kept.model_copy(update={"mentions": (*kept.mentions[:1], beyond)})
    await house.deliver(of, torn)
    assert await house.open() == ["a"]
    await house.decide(voted(of, 1, strange))
    asked = {entry.task.tweet.id: entry.copies for entry in await house.queue.list()}
    assert asked == {"a": 0, "b": 0}, "b no longer waits behind a"
    theirs, own = await house.queue.take("a", "bob", 60), await house.queue.take("b", "bob", 60)
    assert theirs is not None
    assert own is not None
    assert [one.reviewer for one in theirs.ballot.votes] == ["ana"]
    assert own.ballot.votes == ()
    await house.queue.release(own)
    claim = await house.queue.claim("ana", 60)
    assert claim is not None
    assert claim.task.tweet.id == "b", "ana has not voted on it"


STEPS = st.lists(
    st.sampled_from(["deliver a", "deliver b", "deliver c", "vote", "dispute", "settle", "retract", "erase c"]),
    min_size=2,
    max_size=8,
    unique=True,
)


@given(STEPS, st.randoms(use_true_random=False))
@hypothesis_settings(max_examples=12, phases=(Phase.generate,))
def test_votes_on_copies_leave_one_end_state(
    servers: Stack, tmp_path_factory: Any, steps: list[str], chance: random.Random
) -> None:
    """Decisions on one post keep their order; tasks, and decisions on its copies, come in any order, and twice."""
    of = task("a")
    ana, bob = vote(of, "ana", 1), vote(of, "bob", 2, agrees=False)
    decisions = {
        "vote": voted(of, 1, ana),
        "dispute": voted(of, 2, ana, bob),
        "settle": voted(of, 3, ana, bob, kind="settle"),
        "retract": voted(of, 4, ana, bob, kind="retract"),
    }

    async def run(order: list[str]) -> tuple[Any, ...]:
        async with fresh(servers, tmp_path_factory) as house:
            for step in order:
                if step in decisions:
                    await house.apply(decisions[step])
                elif step.startswith("deliver"):
                    await house.deliver(task(step[-1]))
                else:
                    await house.queue.erase("c")
                chance.shuffle(house.topic)
                if chance.random() < 0.5:
                    await house.drain()
            await house.drain()
            disputed = {one.task.tweet.id for one in await house.queue.votes.disputed()}
            free = {name: bool(await house.queue.claim(name, 60)) for name in ("ana", "bob", "eve")}
            counts = await house.queue.counts()
            types = house.types()
            if "erase c" in order:
                types.pop("c", None)  # the documents in memory know no erasure
            return bool(disputed), free, counts.decided, counts.copies, types

    shuffled = [*steps, *steps]
    chance.shuffle(shuffled)
    in_order = sorted((step for step in steps if step in decisions), key=list(decisions).index)
    numbered = iter([one for one in in_order for _ in range(2)])
    shuffled = [next(numbered) if step in decisions else step for step in shuffled]
    assert asyncio.run(run(shuffled)) == asyncio.run(run([one for one in steps if one not in decisions] + in_order))


# The agent, with index, standings and queue


def asked(post: str) -> ReviewTask:
    found = route(extraction(post), None, None).task
    assert found is not None
    return found


def vote_on(post: str, stamp: int, *reviewers: str) -> Decision:
    votes = tuple(
        Vote(reviewer=name, decided_at=at(place), mentions=asked(post).confident)
        for place, name in enumerate(reviewers, 1)
    )
    return Decision(
        id=f"v{stamp}",
        kind="vote",
        task=asked(post),
        mentions=(),
        reviewer=reviewers[-1],
        decided_at=at(stamp),
        votes=votes,
        votes_needed=2,
    )


async def test_the_agent_keeps_votes_from_the_index_and_follows_what_platforms_say(real: Stores) -> None:
    stages = real.stages()
    events: list[Extraction | Lifecycle | Decision] = [extraction("early"), vote_on("early", 2, "ana", "bob")]
    for event in events:
        await real.process(event, stages[type(event)])
    before = (await real.index.held(["early"]))["early"]
    assert before.body["source"] == "model"
    assert [one.task.tweet.id for one in await real.queue.votes.disputed()] == ["early"]
    await real.process(said("hide", "ana", 1, "protected"), stages[Lifecycle])
    assert await real.queue.votes.disputed() == []
    await real.process(said("show", "ana", 2), stages[Lifecycle])
    assert len(await real.queue.votes.disputed()) == 1
    await real.process(said("erase", "early"), stages[Lifecycle])
    assert await real.queue.votes.disputed() == []
    await real.process(vote_on("early", 3, "ana"), stages[Decision])
    assert not (await real.queue.holds("early")).content


async def test_a_sweep_erases_what_only_a_history_holds(real: Stores) -> None:
    """The post of an erased author is in no index and has no task, but a reviewer has decided it."""
    task_of = asked("early")
    await real.queue.settle(task_of, 5)
    made = vote_on("early", 5, "eve")
    await real.queue.history.add(made)
    await real.process(said("erase", "ana", 3), real.stages()[Lifecycle])
    assert len(await real.queue.history.of("eve")) == 1, "the agent looks for an author's posts in the index"
    async for tasks in real.queue.kept():
        from tests.streams.said import applying

        await applying(real.index, real.queue, real.subjects, real).compare([one.tweet for one in tasks])
    assert await real.queue.history.of("eve") == []
