"""Makes and reads what the tests of the review need: tasks in the queue, decisions in the topic."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress

from kafka import KafkaConsumer, TopicPartition
from playwright.async_api import Page, Route
from playwright.async_api import TimeoutError as PageTimeoutError
from redis.asyncio import Redis

from core.events import Decision, EntityType, Mention, Question, Reason, ReviewTask, Tweet
from sinks.queue.queue import ReviewQueue
from streams import topics
from streams.settings import Settings


def named(text: str, words: str, entity_type: EntityType = "PER", probability: float = 0.5) -> Mention:
    start = text.index(words)
    return Mention(
        start=start,
        end=start + len(words),
        text=words,
        type=entity_type,
        probability=probability,
        aleatoric=0.3,
        epistemic=0.12,
    )


def task_of(post: str, text: str, *asked: Mention, uncertainty: float = 0.5, **tweet: object) -> ReviewTask:
    reason = Reason(kind="low_probability", sentence="the model is 50% sure that this is PER; the threshold is 80%")
    return ReviewTask(
        id=f"{post}:0:tiny:1",
        tweet=Tweet.model_validate({"id": post, "text": text, **tweet}),
        questions=tuple(Question(mention=mention, reasons=(reason,)) for mention in asked),
        model="tiny",
        model_version=1,
        threshold=0.8,
        uncertainty=uncertainty,
    )


@asynccontextmanager
async def queue_of(settings: Settings) -> AsyncIterator[ReviewQueue]:
    queue = ReviewQueue(str(settings.redis), settings.name("review:"))
    yield queue
    await queue.close()


async def put(settings: Settings, tasks: Sequence[ReviewTask]) -> None:
    queue = ReviewQueue(str(settings.redis), settings.name("review:"))
    await queue.add(tasks)
    await queue.close()


async def take_away(settings: Settings, post: str) -> None:
    """Ends whatever lease there is, and lets somebody else decide the task."""
    queue = ReviewQueue(str(settings.redis), settings.name("review:"))
    task = (await queue.tasks([post]))[post]
    await queue.settle(task, 1_900_000_000_000)
    await queue.close()


async def end_leases(settings: Settings) -> None:
    """Lets the time of all leases be over, as after a long outage."""
    async with Redis.from_url(str(settings.redis)) as redis:
        leases = settings.name("review:") + "leases"
        for leased in await redis.zrange(leases, 0, -1):
            await redis.zadd(leases, {leased: 1.0})  # type: ignore[type-var, misc, unused-ignore]


def decisions(settings: Settings) -> list[Decision]:
    """Returns all decisions in the topic, those on one post in their order."""
    topic = settings.name(topics.DECISIONS)
    consumer = KafkaConsumer(bootstrap_servers=settings.kafka, enable_auto_commit=False)
    partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)]
    consumer.assign(partitions)
    consumer.seek_to_beginning()
    total, found = sum(consumer.end_offsets(partitions).values()), list[Decision]()
    while len(found) < total:
        for records in consumer.poll(timeout_ms=5000).values():
            found += [Decision.model_validate_json(record.value) for record in records]
    consumer.close()
    return found


def outcome(decision: Decision) -> list[tuple[str, str]]:
    """Returns words and type of each mention in the final list."""
    return [(mention.text, mention.type) for mention in decision.mentions]


async def opened(page: Page, desk: str) -> Page:
    """Opens the review and waits for a post."""
    await page.goto(f"{desk}/review")
    await page.locator("#review[data-state=task]").wait_for()
    return page


SHOWN = """() => {
  if (document.getElementById("review").dataset.state !== "task") return "";
  const copy = document.getElementById("post-text").cloneNode(true);
  copy.querySelectorAll(".type").forEach((type) => type.remove());
  return copy.textContent;
}"""


SENT = """() => {
  const isSent = !Object.keys(localStorage).some(key => key.startsWith("mner.review.outbox"));
  window.framesSent = isSent ? (window.framesSent ?? 0) + 1 : 0;
  if (window.framesSent < 5) return false;
  window.framesSent = 0;
  return true;
}"""


async def shown(page: Page) -> str:
    """Returns the text of the post on the screen, without the letters of types; empty if there is no post."""
    text: str = await page.evaluate(SHOWN)
    return text


async def shows(page: Page, text: str) -> None:
    """Waits until this post is on the screen."""
    with suppress(PageTimeoutError):
        await page.wait_for_function(f"text => ({SHOWN})() === text", arg=text, timeout=20_000)
    assert await shown(page) == text


async def moved_on(page: Page, text: str) -> None:
    """Waits until another post is on the screen, or none is left."""
    await page.wait_for_function(
        f"""text => document.getElementById("review").dataset.state !== "loading" && ({SHOWN})() !== text""", arg=text
    )


async def sent(page: Page) -> None:
    """Waits until nothing has waited to be sent for five frames. A press is applied a frame or two after it."""
    await page.wait_for_function(SENT, timeout=20_000)


def numbered(count: int) -> list[str]:
    return [f"Post {number:02} is about Person{number:02} in Town{number:02}" for number in range(count)]


async def fill(settings: Settings, count: int, questions: int = 1) -> list[str]:
    """Puts tasks into the queue, the first text first."""
    made = numbered(count)
    tasks = []
    for number, text in enumerate(made):
        asked = [named(text, f"Person{number:02}"), named(text, f"Town{number:02}", "LOC")][:questions]
        tasks.append(task_of(f"{number:02}", text, *asked, uncertainty=0.9 - number / 100))
    await put(settings, tasks)
    return made


def answering(status: int, error: str = "as the server said") -> Callable[[Route], object]:
    """Answers requests in place of the server."""
    return lambda route: route.fulfill(status=status, json={"error": error})


async def lose(route: Route) -> None:
    """Lets the server do what it is asked for, and loses its answer."""
    await route.fetch()
    await route.abort()


async def look_again(page: Page) -> None:
    """Looks at the tab again, after another one."""
    await page.evaluate("() => document.dispatchEvent(new Event('visibilitychange'))")


def texts(decided: Iterable[Decision]) -> list[str]:
    return [decision.task.tweet.text for decision in decided]
