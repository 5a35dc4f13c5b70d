"""Webhooks deliver each matching post at least once, whatever receivers, servers and the desk do."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from core.terms import Sources, Terms
from desk.saved.ledger import Ledgers
from desk.saved.webhooks import LOOK_S, Parts
from sinks.index.document import ERASED, Document
from sinks.index.index import Index
from sinks.searching.access import Access
from sinks.searching.changes import Place
from streams.settings import Settings
from tests.desk.saved.conftest import deliveries, until
from tests.desk.saved.receiver import Receiver
from tests.desk.search.conftest import post

LAUNCH = "NASA launches a rocket"


async def written(index: Index, *documents: Document) -> None:
    assert {outcome.kind for outcome in await index.write(documents)} == {"written"}


def posts(receiver: Receiver) -> list[str]:
    """Returns the ids of the posts that arrived, in order."""
    return [message.content["data"]["post"]["id"] for message in receiver.got]


async def test_a_matching_post_arrives_signed(desk_settings: Settings, receiver: Receiver) -> None:
    async with deliveries(desk_settings, receiver.host) as desk:
        await written(desk.index, post("old", LAUNCH))
        search = await desk.save(receiver)
        async with desk.hook(search):
            await written(desk.index, post("1", LAUNCH, ("NASA", "ORG")), post("2", "no rocket"))
            await written(desk.index, post("3", LAUNCH, days=-300))
            await until(lambda: len(receiver.got) >= 2)
            await until(lambda: desk.parts.poller.problem == "")
        message = receiver.got[0]
        assert search.webhook is not None
        assert all(each.is_signed_with(search.webhook.secret) for each in receiver.got)
        assert not message.is_signed_with("whsec_" + "A" * 44)
        assert posts(receiver) == ["1", "3"]
        assert message.content["type"] == "post.matched"
        assert message.content["data"]["search"] == {"id": "s1", "name": "Rockets"}
        assert message.content["data"]["post"]["mentions"][0]["text"] == "NASA"
        ledger = await desk.parts.ledgers.read("s1")
        assert (ledger.delivered, ledger.dead, ledger.gap) == (2, 0, None)


@pytest.mark.parametrize("failure", [500, 302, 404, "closes", "slow"])
async def test_a_failure_is_tried_again_with_the_same_id(
    desk_settings: Settings, receiver: Receiver, failure: int | str
) -> None:
    receiver.will([failure, failure])
    async with deliveries(desk_settings, receiver.host, timeout_s=0.5) as desk:
        search = await desk.save(receiver)
        async with desk.hook(search):
            await written(desk.index, post("1", LAUNCH))
            await until(lambda: len(receiver.got) == 3)
            while not (ledger := await desk.parts.ledgers.read("s1")).latest:
                await asyncio.sleep(0.02)
    assert len({message.id for message in receiver.got}) == 1
    assert (ledger.delivered, ledger.latest[0].tries, ledger.latest[0].delivered) == (1, 3, True)


async def test_a_message_is_given_up_and_the_webhook_paused_and_resumed(
    desk_settings: Settings, receiver: Receiver
) -> None:
    receiver.will([500] * 8)
    async with deliveries(desk_settings, receiver.host) as desk:
        async with desk.hook(await desk.save(receiver)) as running:
            await written(desk.index, *(post(str(number), LAUNCH) for number in range(3)))
            await running
        saved = desk.of()
        assert saved.webhook is not None
        assert saved.webhook.paused == "2 messages in a row were given up; the last time: HTTP 500"
        ledger = await desk.parts.ledgers.read("s1")
        assert (ledger.dead, [each.tries for each in ledger.latest]) == (2, [4, 4])
        assert posts(receiver) == ["0"] * 4 + ["1"] * 4
        resumed = saved.with_changes(webhook=saved.webhook.model_copy(update={"paused": ""}))
        await desk.parts.searches.put(resumed)
        async with desk.hook(resumed):
            await until(lambda: len(receiver.got) == 9)
        assert posts(receiver)[-1] == "2"


async def test_http_410_ends_the_webhook(desk_settings: Settings, receiver: Receiver) -> None:
    receiver.will([410])
    async with deliveries(desk_settings, receiver.host) as desk:
        async with desk.hook(await desk.save(receiver)) as running:
            await written(desk.index, post("1", LAUNCH))
            await running
        hook = desk.of().webhook
        assert hook is not None
        assert "410" in hook.paused
        assert len(receiver.got) == 1


async def test_a_removed_webhook_ends_although_its_cancellation_is_swallowed(
    desk_settings: Settings, receiver: Receiver
) -> None:
    receiver.will([500] * 8)
    async with deliveries(desk_settings, receiver.host) as desk:
        cancelled: list[float] = []

        async def stubborn(seconds: float) -> None:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                cancelled.append(seconds)
                if len(cancelled) > 1:
                    raise

        desk.parts = replace(desk.parts, sleep=stubborn)
        search = await desk.save(receiver)
        async with desk.all():
            await written(desk.index, post("1", LAUNCH))
            await until(lambda: len(receiver.got) == 1)
            await desk.parts.searches.put(search.with_changes(webhook=None))
            await until(lambda: len(cancelled) == 2)


class Killed(BaseException):
    """Stands for the end of the process."""


class DyingLedgers:
    """Dies between a delivery and the move of the place."""

    def __init__(self, ledgers: Ledgers) -> None:
        self._ledgers = ledgers

    def __getattr__(self, name: str) -> object:
        return getattr(self._ledgers, name)

    async def move(self, search_id: str, place: Place) -> None:
        raise Killed


async def test_a_desk_killed_after_a_delivery_repeats_it_and_loses_none(
    desk_settings: Settings, receiver: Receiver
) -> None:
    async with deliveries(desk_settings, receiver.host) as desk:
        search = await desk.save(receiver)
        await written(desk.index, *(post(str(number), LAUNCH) for number in range(3)))
        whole: Parts = desk.parts
        desk.parts = replace(whole, ledgers=DyingLedgers(whole.ledgers))  # type: ignore[arg-type]
        with pytest.raises(Killed):
            async with desk.hook(search) as running:
                await running
        assert posts(receiver) == ["0"]
        desk.parts = whole
        async with desk.hook(search):
            await until(lambda: len(receiver.got) == 4)
    assert posts(receiver) == ["0", "0", "1", "2"]
    assert receiver.got[0].id == receiver.got[1].id


async def test_a_post_erased_between_two_tries_is_not_sent_again(desk_settings: Settings, receiver: Receiver) -> None:
    async with deliveries(desk_settings, receiver.host) as desk:
        erased = asyncio.Event()

        async def erases(seconds: float) -> None:
            await written(desk.index, Document("1", ERASED, {"id": "1", "erased": True}))
            erased.set()

        desk.parts = replace(desk.parts, sleep=erases)
        receiver.will([500])
        async with desk.hook(await desk.save(receiver)):
            await written(desk.index, post("1", LAUNCH))
            await erased.wait()
            await written(desk.index, post("2", LAUNCH))
            await until(lambda: len(receiver.got) == 2)
    assert posts(receiver) == ["1", "2"]


async def test_a_post_arrives_without_the_text_that_its_source_keeps_back(
    desk_settings: Settings, receiver: Receiver
) -> None:
    terms = Terms(may_train=False, may_show_text=False, delete_within_hours=24)
    async with deliveries(desk_settings, receiver.host) as desk:
        desk.parts = replace(desk.parts, access=lambda: Access(Sources({"x": terms})))
        await desk.save(receiver, "")
        await desk.save(receiver, "q=nasa", "s2")
        async with desk.all():  # one poller serves both
            await written(desk.index, post("1", LAUNCH, ("NASA", "ORG"), source="x", author={"id": "nasa"}))
            await written(desk.index, post("2", LAUNCH))
            await until(lambda: len(receiver.got) >= 3)
    about = {(each.content["data"]["search"]["id"], each.content["data"]["post"]["id"]): each for each in receiver.got}
    assert set(about) == {("s1", "1"), ("s1", "2"), ("s2", "2")}  # words find no text that is kept back
    body = about["s1", "1"].body
    assert b"nasa" not in body.lower()
    assert about["s1", "1"].content["data"]["post"]["withheld"] is True
    assert b"NASA" in about["s1", "2"].body


async def test_a_lost_redis_goes_on_from_now_and_says_so(desk_settings: Settings, receiver: Receiver) -> None:
    async with deliveries(desk_settings, receiver.host) as desk:
        search = await desk.save(receiver)
        await written(desk.index, post("missed", LAUNCH))
        await desk.parts.ledgers.forget("s1")
        async with desk.hook(search):
            while not (await desk.parts.ledgers.read("s1")).gap:
                await asyncio.sleep(0.02)
            await written(desk.index, post("2", LAUNCH))
            await until(lambda: "2" in posts(receiver))
    assert posts(receiver) == ["2"]


async def test_of_two_desks_one_delivers_and_the_other_takes_over(desk_settings: Settings, receiver: Receiver) -> None:
    async with deliveries(desk_settings, receiver.host) as desk, deliveries(desk_settings, receiver.host) as other:
        await desk.save(receiver)
        async with desk.all():
            await written(desk.index, post("1", LAUNCH))
            await until(lambda: len(receiver.got) == 1)
            async with other.all():
                await written(desk.index, post("2", LAUNCH))
                await until(lambda: len(receiver.got) == 2)
        assert posts(receiver) == ["1", "2"]
        async with other.all():
            await written(desk.index, post("3", LAUNCH))
            await until(lambda: "3" in posts(receiver))
    # a desk that ends between a delivery and the move of its place leaves the message to be sent again
    assert list(dict.fromkeys(posts(receiver))) == ["1", "2", "3"]
    assert len({message.id for message in receiver.got}) == 3


async def test_nothing_is_sent_for_somebody_who_may_no_longer_see_posts(
    desk_settings: Settings, receiver: Receiver
) -> None:
    allowed = {"ana"}
    async with deliveries(desk_settings, receiver.host) as desk:
        search = await desk.save(receiver)
        desk.parts = replace(desk.parts, may_send=lambda owner: owner in allowed)
        async with desk.all():
            await written(desk.index, post("1", LAUNCH))
            await until(lambda: posts(receiver) == ["1"])
            allowed.discard(search.owner)
            await asyncio.sleep(3 * LOOK_S)
            await written(desk.index, post("2", LAUNCH))
            await asyncio.sleep(3 * LOOK_S)
            assert posts(receiver) == ["1"]
            allowed.add(search.owner)
            await until(lambda: posts(receiver) == ["1", "2"])
