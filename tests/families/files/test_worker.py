"""A real worker that meets a wrong file stays up. One whose own stage fails for every post stops."""

from __future__ import annotations

import asyncio
import json
from contextlib import closing

from kafka import KafkaProducer

from streams import topics
from streams.settings import Settings
from tests.streams.account import books, fed, tweets, until_caught_up
from tests.streams.conftest import Start, start, stubbed
from tests.streams.test_faults import until_ended
from tests.streams.test_metrics import free_port, scraped

__all__ = ["start", "stubbed"]  # the fixtures
BAD, GOOD = 300, 40


def produce(settings: Settings, values: list[bytes]) -> None:
    """Sends values as any other program may. `mner feed` would refuse them."""
    with closing(KafkaProducer(bootstrap_servers=str(settings.kafka))) as producer:
        for value in values:
            producer.send(settings.name(topics.TWEETS), value)
        producer.flush(60)


def utf_16(count: int) -> list[bytes]:
    """Returns the lines of a file in UTF-16, cut at each byte 0x0a."""
    posts = [json.dumps({"id": f"u{number}", "text": "Oslo"}) for number in range(count)]
    return "\n".join(posts).encode("utf-16").split(b"\n")


async def test_a_file_in_utf_16_does_not_stop_the_worker(stubbed: Settings, start: Start) -> None:
    listener = f"127.0.0.1:{free_port()}"
    worker = start(stubbed.changed(metrics=listener))
    lines = utf_16(BAD)
    await asyncio.to_thread(produce, stubbed, lines)
    await until_caught_up(stubbed)
    assert worker.code is None
    seen = await asyncio.to_thread(scraped, listener)
    assert seen['mner_bad_events_total{agent="extract"}'] == BAD
    assert seen['mner_dead_letters_total{agent="extract"}'] == BAD
    assert seen['mner_bad_events_run{agent="extract"}'] == BAD
    await asyncio.to_thread(fed, stubbed, tweets(range(GOOD)))
    await until_caught_up(stubbed)
    found = await books(stubbed)
    assert set(found.documents) == {f"t{number}" for number in range(GOOD)}
    assert len(found.dead) == BAD
    assert worker.code is None
    warnings = [line for line in worker.output().splitlines() if "became dead letters" in line]
    assert len(warnings) == 1
    assert f"of topic {stubbed.name(topics.TWEETS)} became dead letters" in warnings[0]
    assert "`mner dead-letters list`" in warnings[0]
    assert worker.output().count("\n") < BAD, "there is no line for each event"
    assert (await asyncio.to_thread(scraped, listener))['mner_bad_events_run{agent="extract"}'] == 0


async def test_a_model_that_fails_for_each_post_stops_the_worker(stubbed: Settings, start: Start) -> None:
    worker = start(stubbed.changed(dead_letter={"run": 20}))
    raising = [b'{"id": "r%d", "text": "raiser post"}' % number for number in range(200)]
    mixed = [value for pair in zip(raising, utf_16(200), strict=True) for value in pair]
    await asyncio.to_thread(produce, stubbed, mixed)
    await until_ended(worker)
    assert worker.code == 1
    assert "20 events in a row failed (MNER_DEAD_LETTER_RUN)" in worker.output()
    found = await books(stubbed)
    assert sum(letter.stage == "infer" for letter in found.dead) < 20
