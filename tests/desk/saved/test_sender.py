"""A webhook reaches public https addresses only, and reads little of an answer."""

from __future__ import annotations

import asyncio

import pytest

from core.errors import UserError
from desk.saved.sender import Sender
from desk.saved.signature import headers
from tests.desk.saved.receiver import Receiver

SIGNED = headers("whsec_" + "A" * 44, "msg_1", 1, b"{}")


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("http://example.com/hook", id="no https"),
        pytest.param("https://example.com:8443/hook", id="another port"),
        pytest.param("https://127.0.0.1/hook", id="loopback"),
        pytest.param("https://[::1]/hook", id="loopback of IPv6"),
        pytest.param("https://10.0.0.1/", id="private"),
        pytest.param("https://169.254.169.254/latest/meta-data/", id="metadata of a cloud"),
        pytest.param("https://[::ffff:127.0.0.1]/", id="IPv4 in IPv6"),
        pytest.param("https://2130706433/", id="decimal"),
        pytest.param("https://0x7f.1/", id="hexadecimal"),
        pytest.param("https://user:secret@example.com/", id="credentials"),
        pytest.param("ftp://example.com/", id="another scheme"),
        pytest.param("https://", id="no host"),
        pytest.param("gopher://127.0.0.1:6379/_FLUSHALL", id="gopher"),
    ],
)
async def test_an_address_is_refused(url: str) -> None:
    async with Sender(()) as sender:
        with pytest.raises(UserError, match=r"^url: "):
            sender.check(url)
        assert not (await sender.send(url, b"{}", SIGNED)).delivered


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["93.184.216.34", "10.0.0.1"], ["::1"], ["169.254.169.254"]])
async def test_a_name_with_a_private_address_gets_no_connection(addresses: list[str]) -> None:
    async def look_up(host: str, port: int) -> list[str]:
        return addresses

    async with Sender((), look_up=look_up) as sender:
        outcome = await sender.send("https://hooks.example/", b"{}", SIGNED)
    assert outcome.said.startswith("private_address:")


async def test_an_allowed_server_may_be_private_and_without_tls(receiver: Receiver) -> None:
    async with Sender((receiver.host,)) as sender:
        assert (await sender.send(receiver.url, b"{}", SIGNED)).delivered
    assert len(receiver.got) == 1


async def test_tests_that_hang_keep_no_place_from_a_post(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("desk.saved.sender.AT_ONCE", 1)
    monkeypatch.setattr("desk.saved.sender.TESTS_AT_ONCE", 1)
    async with Sender((receiver.host,)) as sender:
        await sender._test_slots.acquire()  # a test hangs
        waiting = asyncio.create_task(sender.send(receiver.url, b"{}", SIGNED, is_test=True))
        assert (await sender.send(receiver.url, b"{}", SIGNED)).delivered
        assert not waiting.done()
        sender._test_slots.release()
        assert (await waiting).delivered


@pytest.mark.parametrize(
    ("answer", "said", "delivered"),
    [
        (204, "HTTP 204", True),
        ("huge", "HTTP 200", True),
        (302, "HTTP 302: the desk follows no redirects; enter the final address", False),
        (500, "HTTP 500", False),
        ("slow", "no answer within 0.3 s", False),
    ],
)
async def test_an_answer_is_read_in_bounds(receiver: Receiver, answer: int | str, said: str, delivered: bool) -> None:
    receiver.will([answer])
    async with Sender((receiver.host,), timeout_s=0.3) as sender:
        outcome = await sender.send(receiver.url, b"{}", SIGNED)
    assert (outcome.said, outcome.delivered) == (said, delivered)
    assert len(receiver.got) == 1
