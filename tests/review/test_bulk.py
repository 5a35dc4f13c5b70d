"""One answer for many tasks, on a real Redis, with the agent that applies decisions. A list stands for the topic."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from core.errors import Retry
from core.events import Decision, EntityType, Mention, Question, ReviewTask
from review.bulk import Answer, Bulk, BulkResult, answered, new_bulk_id
from review.decisions import settle, stamp
from review.session import Session
from review.work import InvalidAction, begin
from sinks.index.document import from_decision
from sinks.queue.queue import ReviewQueue
from sinks.queue.values import Claim, Counts
from streams.settings import Settings
from tests.review.tasks import GEORGE, JAY, NEW_YORK, SHOT, TEXT, ZIMMERMAN, mention, task
from tests.review.test_session import Clock

ACCEPT, REJECT = Answer("accept"), Answer("reject")
NAME: tuple[str, EntityType] = ("newyork", "LOC")


class Topic:
    """A topic that stores decisions, is away for some posts, or stores them and does not say so."""

    def __init__(self) -> None:
        self.decisions: list[Decision] = []
        self.away: set[str] = set()
        self.silent: set[str] = set()

    async def publish(self, decision: Decision) -> None:
        await asyncio.sleep(0)
        tweet = decision.task.tweet.id
        if tweet in self.away:
            raise Retry("Kafka is away")
        self.decisions.append(decision)
        if tweet in self.silent:
            raise Retry("the decision is not confirmed")


class Killed(BaseException):
    """The process ends here."""


class Dying(Bulk):
    """Ends between the topic and the queue."""

    async def _complete(self, claim: Claim, decision: Decision) -> None:
        raise Killed


class House:
    """The queue, the topic, and what the agent that applies decisions does."""

    def __init__(self, queue: ReviewQueue, clock: Clock) -> None:
        self.queue, self.clock, self.topic = queue, clock, Topic()
        self.documents: dict[str, tuple[int, tuple[Mention, ...]]] = {}

    def bulk(self, reviewer: str = "ana", queue: ReviewQueue | None = None) -> Bulk:
        return Bulk(queue or self.queue, self.topic, reviewer, 60, self.clock)

    async def decides(self, decisions: Sequence[Decision] | None = None, queue: ReviewQueue | None = None) -> None:
        """Applies decisions as `streams.agents.decide` does."""
        queue = queue or self.queue
        for one in self.topic.decisions if decisions is None else decisions:
            if one.kind == "answer":
                await queue.answer(one, stamp(one))
                continue
            document = from_decision(one)
            if document.version > self.documents.get(document.id, (-1, ()))[0]:
                self.documents[document.id] = document.version, one.mentions
            await (queue.settle if one.kind == "settle" else queue.reopen)(one.task, stamp(one))

    async def open(self) -> dict[str, ReviewTask]:
        return {entry.task.tweet.id: entry.task for entry in await self.queue.list(limit=1000)}

    async def grouped(self) -> list[str]:
        return sorted(entry.task.tweet.id for entry in (await self.queue.group(*NAME, limit=1000))[0])


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def house(settings: Settings, clock: Clock) -> AsyncIterator[House]:
    queue = ReviewQueue(str(settings.redis), settings.name("review:"), clock)
    yield House(queue, clock)
    await queue.close()


def single(tweet_id: str) -> ReviewTask:
    return task(tweet_id, (NEW_YORK,))


async def settled(
    house: House, tasks: Sequence[ReviewTask], answer: Answer = ACCEPT, bulk_id: str = "", bulk: Bulk | None = None
) -> BulkResult:
    made = (bulk or house.bulk()).settle(
        tasks, *NAME, answer, looked_at=37, bulk_id=bulk_id or new_bulk_id(house.clock)
    )
    return await made


def reasons(result: BulkResult) -> dict[str, str]:
    return {left.tweet_id: left.why for left in result.left}


async def test_a_group_of_37_is_settled_and_undone(house: House) -> None:
    tasks = [single(f"{number:02}") for number in range(37)]
    await house.queue.add(tasks)
    seen = [entry.task for entry in (await house.queue.group(*NAME, limit=100))[0]]
    result = await settled(house, seen)
    assert not result.left
    assert {(one.kind, one.bulk_id, one.looked_at) for one in house.topic.decisions} == {("settle", result.bulk_id, 37)}
    assert await house.queue.counts() == Counts(open=0, leased=0, decided=37)
    assert not (await house.queue.names.page(20)).groups
    await house.decides()
    undone = await house.bulk().undo(result)
    assert not undone.left
    assert {(one.kind, one.bulk_id) for one in undone.decisions} == {("retract", result.bulk_id)}
    assert await house.open() == {one.tweet.id: one for one in tasks}
    assert await house.grouped() == sorted(one.tweet.id for one in tasks)
    await house.decides()
    assert await house.queue.counts() == Counts(open=37, leased=0, decided=0)
    assert [mentions for _, mentions in house.documents.values()] == [(JAY,)] * 37


@pytest.mark.parametrize(
    ("answer", "after"),
    [
        pytest.param(ACCEPT, "LOC", id="accept"),
        pytest.param(REJECT, None, id="reject"),
        pytest.param(Answer("retype", "ORG"), "ORG", id="retype"),
    ],
)
async def test_only_the_question_about_the_name_is_answered(house: House, answer: Answer, after: str | None) -> None:
    both = task("1", (ZIMMERMAN, NEW_YORK))
    await house.queue.add([both])
    result = await settled(house, [both], answer)
    (decision,) = result.decisions
    assert (decision.kind, decision.mentions) == ("answer", both.indexed)
    (verdict,) = decision.verdicts
    assert (verdict.action, verdict.before) == (answer.action, NEW_YORK)
    assert (verdict.after and verdict.after.type) == after
    left = (await house.open())["1"]
    assert [question.mention for question in left.open_questions] == [ZIMMERMAN]
    assert await house.grouped() == []
    assert await house.queue.counts() == Counts(open=1, leased=0, decided=0)


async def test_the_answer_is_in_the_decision_that_settles_the_rest(house: House, clock: Clock) -> None:
    both = task("1")
    await house.queue.add([both])
    await settled(house, [both], REJECT)
    session = Session(house.queue, house.topic, "bob", 60, clock)
    work = await session.next()
    assert work
    assert work.current.mention == ZIMMERMAN
    last = await session.settle(work.accept())
    assert [(v.action, v.before) for v in last.verdicts] == [("accept", ZIMMERMAN), ("reject", NEW_YORK)]
    assert [m.text for m in last.mentions] == [JAY.text, ZIMMERMAN.text]
    await house.decides()
    await house.decides()
    assert await house.queue.counts() == Counts(open=0, leased=0, decided=1)
    assert [m.text for m in house.documents["1"][1]] == [JAY.text, ZIMMERMAN.text]


async def test_the_last_open_question_settles_the_task(house: House, clock: Clock) -> None:
    both = task("1")
    await house.queue.add([both])
    await settled(house, [both])
    clock.now += 5
    (left,) = (await house.open()).values()
    result = await house.bulk().settle(
        [left], "george zimmerman", "PER", REJECT, looked_at=1, bulk_id=new_bulk_id(clock)
    )
    (decision,) = result.decisions
    assert decision.kind == "settle"
    assert [(v.action, v.before) for v in decision.verdicts] == [("reject", ZIMMERMAN), ("accept", NEW_YORK)]
    assert await house.queue.counts() == Counts(open=0, leased=0, decided=1)
    undone = await house.bulk().undo(result)
    assert not undone.left
    assert await house.open() == {"1": left}  # with the earlier answer
    await house.decides()
    assert await house.open() == {"1": left}


async def test_an_answer_is_taken_back(house: House, clock: Clock) -> None:
    both = task("1")
    await house.queue.add([both])
    result = await settled(house, [both])
    clock.now += 5
    assert not (await house.bulk().undo(result)).left
    assert await house.open() == {"1": both}
    assert await house.grouped() == ["1"]
    await house.decides()
    assert await house.open() == {"1": both}
    assert house.documents["1"][1] == both.indexed


async def test_what_others_hold_have_changed_or_decided_is_reported_and_left_alone(house: House, clock: Clock) -> None:
    tasks = {name: single(name) for name in ("mine", "held", "edited", "settled", "erased", "hidden")}
    await house.queue.add(list(tasks.values()))
    edited = tasks["edited"].model_copy(
        update={"tweet": tasks["edited"].tweet.model_copy(update={"edit": 1}), "id": "edited:1:tiny:1"}
    )
    held = await house.queue.take("held", "bob", 60)
    assert held
    await house.queue.add([edited])
    await house.queue.settle(tasks["settled"], clock())
    await house.queue.erase("erased")
    await house.queue.hide("hidden")
    clock.now += 1
    result = await settled(house, list(tasks.values()))
    assert [one.task.tweet.id for one in result.decisions] == ["mine"]
    assert reasons(result) == {
        "held": "held",
        "edited": "changed",
        "settled": "changed",
        "erased": "changed",
        "hidden": "held",
    }
    assert (await house.open()).keys() == {"held", "edited"}
    await house.queue.complete(held, clock() + 1)  # the lease is still bob's


async def test_an_answer_that_makes_no_sense_is_refused(house: House) -> None:
    inside = mention("York", "LOC", 0.99)
    clash, other = task("clash", (NEW_YORK,), (inside,)), task("other", (ZIMMERMAN,))
    await house.queue.add([clash, other, single("fine")])
    result = await settled(house, [clash, other, single("fine")])
    assert reasons(result) == {"clash": "refused", "other": "refused"}
    assert await house.queue.counts() == Counts(open=2, leased=0, decided=1)


async def test_kafka_away_for_some_loses_none_and_a_repeated_call_finishes(house: House) -> None:
    tasks = [single(str(number)) for number in range(6)]
    await house.queue.add(tasks)
    house.topic.away, house.topic.silent = {"1", "2"}, {"3"}
    name = new_bulk_id(house.clock)
    first = await settled(house, tasks, bulk_id=name)
    assert reasons(first) == {"1": "failed", "2": "failed", "3": "failed"}
    assert (await house.open()).keys() == {"1", "2", "3"}
    assert await house.queue.counts() == Counts(open=3, leased=0, decided=3)
    house.topic.away, house.topic.silent = set(), set()
    house.clock.now += 1000
    again = await settled(house, tasks, bulk_id=name)
    assert not again.left
    assert len(again.decisions) == 6
    await house.decides()
    assert await house.queue.counts() == Counts(open=0, leased=0, decided=6)
    assert len(house.topic.decisions) == 7  # post 3 is there twice, as the same decision
    assert [one for one in house.topic.decisions if one.task.tweet.id == "3"] == [again.decisions[3]] * 2
    assert len({one.id for one in house.topic.decisions}) == 6


@pytest.mark.parametrize("applied", [False, True], ids=["worker away", "worker applied it"])
@pytest.mark.parametrize("parts", [False, True], ids=["settle", "answer"])
async def test_a_process_killed_between_topic_and_queue_is_finished_by_the_next_call(
    house: House, clock: Clock, applied: bool, parts: bool
) -> None:
    tasks = [task(str(number)) if parts else single(str(number)) for number in range(5)]
    await house.queue.add(tasks)
    name = new_bulk_id(clock)
    with pytest.raises(Killed):
        await settled(house, tasks, bulk_id=name, bulk=Dying(house.queue, house.topic, "ana", 60, clock))
    assert house.topic.decisions
    if applied:
        await house.decides()
    clock.now += 1000
    result = await settled(house, tasks, bulk_id=name)  # the leases of the killed process have not ended
    assert not result.left
    assert len(result.decisions) == 5
    await house.decides()
    assert len({(one.id, one.decided_at) for one in house.topic.decisions}) == 5
    if parts:
        assert all(len(left.answers) == 1 for left in (await house.open()).values())
        assert await house.queue.counts() == Counts(open=5, leased=0, decided=0)
    else:
        assert await house.queue.counts() == Counts(open=0, leased=0, decided=5)


async def test_redis_away_after_the_topic_leaves_the_rest_to_the_worker(house: House, settings: Settings) -> None:
    tasks = [single("1"), task("2")]
    await house.queue.add(tasks)

    class Away(ReviewQueue):
        async def complete(self, *_: object) -> None:
            raise Retry("Redis is away")

        async def answer(self, *_: object) -> bool:
            raise Retry("Redis is away")

    away = Away(str(settings.redis), settings.name("review:"), house.clock)
    result = await settled(house, tasks, bulk=house.bulk(queue=away))
    await away.close()
    assert not result.left
    assert await house.queue.counts() == Counts(open=0, leased=2, decided=0)
    await house.decides()
    assert await house.queue.counts() == Counts(open=1, leased=0, decided=1)
    assert not (await house.bulk().undo(result)).left


async def test_redis_away_before_the_topic_decides_nothing(house: House) -> None:
    nowhere = ReviewQueue("redis://127.0.0.1:1/0", "x:", house.clock, timeout_s=1)
    result = await settled(house, [single("1")], bulk=house.bulk(queue=nowhere))
    await nowhere.close()
    assert reasons(result) == {"1": "failed"}
    assert house.topic.decisions == []


async def test_an_undo_leaves_what_somebody_has_changed_since(house: House, clock: Clock) -> None:
    tasks = [single("kept"), single("again"), task("part"), task("taken"), task("worked")]
    await house.queue.add(tasks)
    result = await settled(house, tasks)
    clock.now += 10
    by_name = {one.tweet.id: one for one in tasks}
    await house.decides([settle(begin(by_name["again"]).reject(), "bob", clock())])
    parts = await house.open()
    await house.decides([settle(begin(parts["part"]).accept(), "bob", clock())])
    assert await house.queue.take("worked", "bob", 60)
    clock.now += 10
    undone = await house.bulk().undo(result)
    assert sorted(one.task.tweet.id for one in undone.decisions) == ["kept", "taken"]
    assert reasons(undone) == {"again": "changed", "part": "changed", "worked": "held"}
    clock.now += 60_001
    finished = await house.bulk().undo(result)  # bob's lease has ended
    assert [one.task.tweet.id for one in finished.decisions] == ["worked"]
    assert set(reasons(finished).values()) == {"changed"}


async def test_kafka_away_in_an_undo_is_finished_by_the_next_one(house: House, clock: Clock) -> None:
    tasks = [single("1"), task("2"), single("3")]
    await house.queue.add(tasks)
    result = await settled(house, tasks)
    house.topic.away = {"1", "2"}
    assert reasons(await house.bulk().undo(result)) == {"1": "failed", "2": "failed"}
    assert (await house.open()).keys() == {"2", "3"}
    house.topic.away = set()
    clock.now += 10
    assert len((await house.bulk().undo(result)).decisions) == 2
    assert await house.open() == {one.tweet.id: one for one in tasks}


async def test_a_rebuilt_queue_is_the_same_in_any_order(house: House, settings: Settings) -> None:
    tasks = [single("1"), task("2"), task("3"), task("4")]
    await house.queue.add(tasks)
    result = await settled(house, tasks)
    house.clock.now += 5
    await house.bulk().undo(BulkResult(result.bulk_id, tuple(d for d in result.decisions if d.task.tweet.id == "4")))
    await house.decides()
    expected, groups = await house.open(), await house.grouped()
    newer = [one.model_copy(update={"model_version": 2, "id": f"{one.tweet.id}:0:tiny:2"}) for one in tasks]
    latest = {one.task.tweet.id: one for one in house.topic.decisions}.values()  # as compaction leaves the topic
    for place, order in enumerate(("tasks first", "decisions first", "newer model")):
        rebuilt = ReviewQueue(str(settings.redis), settings.name(f"rebuilt{place}:"), house.clock)
        if order != "decisions first":
            await rebuilt.add(tasks)
        if order == "newer model":
            await rebuilt.add(newer)
        await house.decides(list(latest), rebuilt)
        await rebuilt.add(tasks)
        await rebuilt.add(newer)
        again = House(rebuilt, house.clock)
        assert await again.open() == expected, order
        assert await again.grouped() == groups, order
        await rebuilt.close()


async def test_an_edit_an_erasure_and_a_hide_are_as_before(house: House) -> None:
    tasks = [task("edited"), task("erased"), task("hidden")]
    await house.queue.add(tasks)
    await settled(house, tasks)
    edited = tasks[0].model_copy(update={"tweet": tasks[0].tweet.model_copy(update={"edit": 1})})
    await house.queue.add([edited])
    await house.queue.erase("erased")
    await house.queue.hide("hidden")
    await house.decides()  # late
    assert await house.open() == {"edited": edited}
    assert await house.grouped() == ["edited"]
    await house.queue.show("hidden")
    assert len((await house.open())["hidden"].answers) == 1


def test_all_questions_about_the_name_are_answered_and_no_others() -> None:
    text = "Rome, ROME and #rome, not Roma"
    asked = tuple(mention(word, "LOC", 0.5, text) for word in ("Rome", "ROME", "rome", "Roma"))
    work = answered(task("1", asked, (), text), "Rome", "LOC", ACCEPT)
    assert [item.mention.text for item in work.items if item.open] == ["Roma"]
    with pytest.raises(InvalidAction, match="no open question"):
        answered(task("1", asked, (), text), "Rome", "PER", ACCEPT)
    with pytest.raises(InvalidAction, match="type"):
        Answer("retype")


def reading(of: ReviewTask) -> list[Question]:
    return sorted(of.open_questions, key=lambda question: (question.mention.start, question.mention.end))


def test_a_task_with_answers_begins_with_them_answered() -> None:
    asked = task("1", (ZIMMERMAN, NEW_YORK), candidates=(GEORGE, SHOT))
    part = begin(asked).reject()
    for work in (part, part.accept(), part.add(0, 2, "MISC"), begin(asked).accept()):
        kept = asked.model_copy(update={"answers": work.verdicts})
        again = begin(ReviewTask.model_validate_json(kept.model_dump_json()))
        assert again.verdicts == work.verdicts
        assert again.mentions == work.mentions
        assert [(i.before, i.after, i.open) for i in again.items] == [(i.before, i.after, i.open) for i in work.items]
        assert [q.mention for q in reading(kept)] == [i.mention for i in again.items if i.open]
        assert again.current.open


def test_an_old_task_has_no_answers_and_is_written_as_before() -> None:
    written = task("1").model_dump_json()
    assert "answers" not in written
    assert "is_audit" not in written
    assert TEXT in written
