"""The examples: sixty events, in which each planted fault has the outcome that `faults.json` names."""

from __future__ import annotations

import asyncio

import pytest
from pydantic import ValidationError

from cli.doctor.terms import retention
from core.events import Media, Tweet, explain
from demo.examples import EXAMPLES, PLACEHOLDER, example_events, example_faults, image_server
from streams.images.loader import ImageLoader
from streams.settings import ImageLimits, Settings
from tests.waiting import until

FAULTS = {fault.line: fault for fault in example_faults()}
MISSING_HOST = "http://127.0.0.1:9"


def test_every_event_is_a_post_except_planted_faults_which_fail_for_the_named_reason() -> None:
    ids = []
    for line, event in enumerate(example_events(MISSING_HOST), start=1):
        fault = FAULTS.get(line)
        if fault and fault.outcome == "dead":
            with pytest.raises(ValidationError) as refused:
                Tweet.model_validate_json(event)
            assert explain(refused.value).startswith(fault.reason)
        else:
            ids.append(Tweet.model_validate_json(event).id)
    assert len(ids) == len(set(ids)) == 56
    assert sum(fault.outcome == "dead" for fault in FAULTS.values()) == 4


async def test_every_image_loads_except_planted_faults_and_only_the_server_is_contacted(
    dialled: list[str],
) -> None:
    seen = set()
    async with image_server() as url:
        address = url.removeprefix("http://")
        async with ImageLoader(ImageLimits(allow=(address,))) as loader:
            for line, event in enumerate(example_events(url), start=1):
                fault = FAULTS.get(line)
                if fault and fault.outcome == "dead":
                    continue
                tweet = Tweet.model_validate_json(event)
                result, _ = await loader.load_first_photo(tweet.media)
                if fault:
                    assert result.status == "failed"
                    assert (result.reason or "").startswith(fault.reason)
                    assert tweet.id == fault.id
                else:
                    assert result.status == ("ok" if tweet.media else "none"), result.reason
                    seen.add(result.format)
    assert seen == {None, "JPEG", "PNG", "WEBP", "GIF"}
    assert set(dialled) == {"127.0.0.1"}


async def test_a_client_that_hangs_up_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with image_server() as url:
        address = url.removeprefix("http://")
        async with ImageLoader(ImageLimits(allow=(address,), timeout_s=0.5)) as loader:
            for name in ("too-big.jpg", "slow.jpg"):
                result, _ = await loader.load_first_photo([Media(url=f"{url}/{name}")])
                assert result.status == "failed"
        await until(lambda: len(asyncio.all_tasks()) == 1)  # the server has noticed, and its handlers have ended
    assert not [record.getMessage() for record in caplog.records if record.name.startswith("aiohttp")]


async def test_a_slow_image_fails_at_the_deadline() -> None:
    async with image_server() as url:
        address = url.removeprefix("http://")
        async with ImageLoader(ImageLimits(allow=(address,), timeout_s=0.3)) as loader:
            tweet = Tweet.model_validate({"id": "1", "text": "slow", "media": [{"url": f"{url}/slow.jpg"}]})
            result, _ = await loader.load_first_photo(tweet.media)
            assert result.reason == "timeout: not fetched within 0.3 s"


def test_the_doctor_has_nothing_to_say_of_their_sources() -> None:
    dead = {line for line, fault in FAULTS.items() if fault.outcome == "dead"}
    events = [event for line, event in enumerate(example_events(MISSING_HOST), start=1) if line not in dead]
    sources = sorted({Tweet.model_validate_json(event).source for event in events})
    assert retention(sources, Settings(_env_file=None)) == []


def test_images_are_small_and_their_host_is_replaced() -> None:
    assert all(path.stat().st_size <= 100_000 for path in (EXAMPLES / "images").iterdir())
    assert not any(PLACEHOLDER.encode() in event for event in example_events(MISSING_HOST))
