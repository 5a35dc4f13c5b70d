"""What workers and reviewers do with the queue."""

from __future__ import annotations

from sinks.queue.queue import ReviewQueue
from streams import servers
from streams.settings import Settings
from tests.sinks.values import decision, extraction, task, tweet


async def use(settings: Settings) -> None:
    """Makes every call of a worker and of a reviewer."""
    names = servers.redis(settings), settings.name("review:")
    queue = ReviewQueue(*names, group_of=lambda task: task.tweet.id[0], window_s=3600)
    try:
        assert await queue.add([task("1", 0.9), task("2", 0.8), task("22", 0.8), task("3", 0.7)]) == 4
        claim = await queue.claim("ana", 60, "session")
        assert claim is not None
        assert claim.task.tweet.id == "1"
        await queue.complete(await queue.renew(claim, 60), 1000)
        counts = await queue.counts()
        assert (counts.open, counts.leased, counts.decided, counts.copies) == (2, 0, 1, 1)
        assert await queue.reopen(claim.task, 2000)
        taken = await queue.take("1", "ana", 60)
        assert taken is not None
        await queue.skip(taken, "session")
        await queue.unskip("session")
        assert await queue.settle(claim.task, 3000)
        await queue.add([], [extraction(tweet("3", edit=1))])
        assert [entry.task.tweet.id for entry in await queue.list()] == ["2"]
        assert [group.tasks for group in (await queue.names.page(20)).groups] == [1]
        assert [entry.task.tweet.id for entry in (await queue.group("Paris", "LOC"))[0]] == ["2"]
        assert await queue.regroup() == 0
        assert (await queue.votes.decided("1")).state == "settled"
        assert not await queue.answer(decision(task("1"), 2500), 2500)
        assert await queue.copies.rule(decision(task("2"), await queue.time_ms()), await queue.time_ms(), "2")
        assert await queue.copies.ruling(task("22"))
        assert len([page async for page in queue.copies.members("2")]) == 1
        assert await queue.hide("2") == await queue.show("2") == 1
        assert (await queue.holds("22")).copies
        assert [page async for page in queue.kept()]
        await queue.copies.end()
        await queue.copies.dissolve()
        assert await queue.erase("2") == 1
        assert await queue.forget({"22": 0}) == {"22"}
    finally:
        await queue.close()
