"""How many decisions a minute a scripted reviewer makes at the desk: `python -m benchmarks.reviewers`.

Real servers, a worker with the shipped model, desks in processes of their own, and Chromium. The questions are those
that the model asks about the example posts. The reviewer has the pauses of `benchmarks.pauses`,
and only keys. Three ways:

- one by one: `/review`. Reads the whole post, thinks and answers. About a further question, reads its words only.
- by name, each line: `/review/words`. Reads each line and thinks about it, goes on by key, unticks some, and answers.
- by name, at a glance: the same, but thinks once for all lines of a name, as for the answer.

The machine's share is the time from the press that answers to the next question on the screen, measured in the browser.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from playwright.async_api import Browser, Page, async_playwright

from benchmarks.broker import Log, uncommitted
from benchmarks.command import main
from benchmarks.pauses import Person
from benchmarks.report import machine, percentile
from benchmarks.run import Wrong
from core.errors import UserError
from core.events import Decision, ReviewTask
from examples.desk_posts import posts
from local.server import free_ports
from local.stack import Stack
from sinks.queue.queue import ReviewQueue
from streams import topics
from streams.feed import feed
from streams.settings import Settings
from streams.worker_process import CommandProcess, WorkerProcess

LAST_DAY = datetime(2026, 11, 28, 12, tzinfo=UTC)
ONE = {"accept": 0.72, "reject": 0.13, "retype": 0.10, "edit": 0.05}
"""How often each answer comes in `/review`."""
MANY = {"accept": 0.80, "reject": 0.12, "retype": 0.08}
"""The same in `/review/words`."""
UNTICKED = 0.08
"""Share of the lines from which the tick is taken away."""
TYPES = {"PER": "1", "LOC": "2", "ORG": "3", "MISC": "4"}

WATCH = """
  // Notes how long after each press another question was painted. `desk()` says what is asked, or "" while it changes.
  window.answered = [];
  const PARTS = ["#post-text", ".why-head", "#group-title", ".words-line[data-post]"];
  const desk = () => {
    const root = document.getElementById("review") ?? document.getElementById("words");
    if (!root || ["loading", "busy"].includes(root.dataset.state)) return "";
    const parts = PARTS.map((part) => root.querySelector(part));
    return root.dataset.state + parts.map((part) => part?.dataset.post ?? part?.textContent).join("|");
  };
  window.desk = desk;
  const channel = new MessageChannel();
  let press = null;
  const look = () => {
    if (!press) return;
    const now = desk();
    if (now && now !== press.before) channel.port2.postMessage(press);
    else requestAnimationFrame(look);
  };
  channel.port1.onmessage = ({ data }) => {
    if (press?.at !== data.at) return;
    window.answered.push(performance.now() - data.at);
    press = null;
  };
  addEventListener("keydown", (event) => {
    if (!press) requestAnimationFrame(look);
    press = { at: event.timeStamp, before: desk() };
  }, true);
"""
TASK = """() => {
  const copy = document.getElementById("post-text").cloneNode(true);
  copy.querySelectorAll(".type").forEach((type) => type.remove());
  const badge = document.querySelector(".why-head .badge").textContent;
  return {
    post: copy.textContent, mention: document.querySelector(".why-head q").textContent,
    type: document.querySelector(".why-head h2 .type").textContent.replace("?", ""),
    number: Number(/Question ([0-9]+)/.exec(badge)?.[1] ?? 1),
  };
}"""
LINES = """() => [...document.querySelectorAll(".words-line")].map((line) => ({
  text: line.querySelector(".kwic").textContent, held: line.classList.contains("held"),
}))"""


@dataclass(frozen=True)
class Result:
    """What one reviewer did. `machine_ms`: for each answer, until the next question was painted."""

    seed: int
    seconds: float
    paused_s: float
    pressed: int
    answers: int
    decided: int  # decisions in the topic; a post with two names may have two by name
    machine_ms: Sequence[float]

    @property
    def a_minute(self) -> float:
        return 60 * self.decided / self.seconds


async def one_by_one(page: Page, person: Person, until: Callable[[], bool]) -> int:
    """Answers in `/review`. Returns the number of answers."""
    answers = 0
    while until() and await page.locator("#review").get_attribute("data-state") == "task":
        task = await page.evaluate(TASK)
        await person.read(task["post"] if task["number"] == 1 else task["mention"])
        await person.think()
        keys = _keys(person.choose(ONE), task["type"], person)
        for key in keys[:-1]:
            await _press(page, person, key)
        if not await _answer(page, person, keys[-1]):  # it overlaps one that stands
            await _press(page, person, "Escape")
            await _answer(page, person, "r")
        answers += 1
    return answers


async def each_line(page: Page, person: Person, until: Callable[[], bool]) -> int:
    return await _by_name(page, person, until, thinks=True)


async def at_a_glance(page: Page, person: Person, until: Callable[[], bool]) -> int:
    return await _by_name(page, person, until, thinks=False)


async def _by_name(page: Page, person: Person, until: Callable[[], bool], *, thinks: bool) -> int:
    """Answers in `/review/words`. Returns the number of answers."""
    answers = 0
    while until() and await page.locator("#words").get_attribute("data-state") == "lines":
        lines = await page.evaluate(LINES)
        for place, line in enumerate(lines):
            await person.read(line["text"])
            if thinks:
                await person.think()
            if len(lines) > 1 and person.dice.random() < UNTICKED:
                await person.think()
                await _press(page, person, " ")
            if place < len(lines) - 1:
                await _press(page, person, "j")
        if not await page.locator("[data-press=a]:enabled").count():
            await _answer(page, person, "]")
            continue
        await person.think()
        kind = (await page.locator("#group-title .type").inner_text()).strip()
        await _answer(page, person, _keys(person.choose(MANY), kind, person)[-1])
        answers += 1
    return answers


Way = Callable[[Page, Person, Callable[[], bool]], Awaitable[int]]
WAYS: dict[str, tuple[str, Way]] = {
    "one by one": ("/review", one_by_one),
    "by name, each line": ("/review/words", each_line),
    "by name, at a glance": ("/review/words", at_a_glance),
}


def _keys(action: str, kind: str, person: Person) -> list[str]:
    if action == "retype":
        return [person.dice.choice([key for name, key in TYPES.items() if name != kind])]
    return {"accept": ["a"], "reject": ["r"], "edit": ["e", "ArrowRight", "Enter"]}[action]


async def _press(page: Page, person: Person, key: str) -> None:
    await person.move()
    await page.keyboard.press(key)


async def _answer(page: Page, person: Person, key: str) -> bool:
    """Presses a key, and waits for the next question. Returns False if the page says that the answer makes no sense."""
    before = await page.evaluate("() => desk()")
    await _press(page, person, key)
    said = await page.wait_for_function(
        """before => {
             const message = document.querySelector(".review-message")?.textContent ?? "";
             const now = desk();
             return (now && now !== before && "moved") || message;
           }""",
        arg=before,
    )
    return bool(await said.json_value() == "moved")


def _decisions(settings: Settings) -> list[Decision]:
    """Returns all decisions of the topic."""
    with Log(str(settings.kafka), settings.name(topics.DECISIONS), settings.partitions) as log:
        return [Decision.model_validate_json(record.value) for record in log.records()]


async def _tasks(settings: Settings, number: int) -> list[ReviewTask]:
    """Lets a worker with the shipped model read example posts. Returns the tasks that it makes."""
    assert settings.kafka is not None
    topics.create(settings.kafka, topics.plan(settings))
    worker = WorkerProcess(settings, settings.home / "logs" / "worker.log")
    worker.start()
    queue = ReviewQueue(str(settings.redis), settings.name("review:"))
    try:
        await asyncio.to_thread(worker.ready)
        lines = [json.dumps(post).encode() for post in posts(number, LAST_DAY)]
        await asyncio.to_thread(feed, lines, settings.kafka, settings.name(topics.TWEETS))
        while await asyncio.to_thread(uncommitted, settings.kafka, settings):
            if worker.code is not None:
                raise UserError(f"the worker ended; its log ends:\n{worker.tail()}")
            await asyncio.sleep(1)
        counts = await queue.counts()
        while (now := await queue.counts()) != counts or not counts.open:  # the write agent is behind the extract agent
            counts = now
            await asyncio.sleep(3)
        return [entry.task for entry in await queue.list(limit=100_000)]
    finally:
        await queue.close()
        await asyncio.to_thread(worker.stop)


@asynccontextmanager
async def _desk(settings: Settings, tasks: Sequence[ReviewTask]) -> AsyncIterator[str]:
    """Yields the address of a desk of its own process, with these tasks."""
    assert settings.kafka is not None
    topics.create(settings.kafka, topics.plan(settings))
    queue = ReviewQueue(str(settings.redis), settings.name("review:"))
    await queue.add(tasks)
    await queue.close()
    listen = f"127.0.0.1:{free_ports(1)[0]}"
    changed = settings.changed(desk={"listen": listen})
    log = settings.home / "logs" / f"desk-{settings.prefix}log"
    process = CommandProcess(changed, log, ["desk"], "desk at ")
    process.start()
    try:
        await asyncio.to_thread(process.ready)
        yield f"http://{listen}"
    finally:
        await asyncio.to_thread(process.stop)


async def _review(browser: Browser, settings: Settings, name: str, seed: int, seconds: float) -> Result:
    """Lets one reviewer work. Checks that each answer became a decision."""
    path, way = WAYS[name]
    person = Person(seed)
    tasks = await _waiting(settings)
    own = settings.changed(prefix=f"{settings.prefix}{way.__name__}{seed}.")
    async with _desk(own, tasks) as address:
        context = await browser.new_context(viewport={"width": 1440, "height": 900})
        page = await context.new_page()
        await page.add_init_script(WATCH)
        await page.goto(address + path)
        await page.locator("[data-state=task], [data-state=lines]").first.wait_for()
        began = time.perf_counter()
        answers = await way(page, person, lambda: time.perf_counter() - began < seconds)
        took = time.perf_counter() - began
        await page.wait_for_function(
            "() => !Object.keys(localStorage).some(key => key.startsWith('mner.review.outbox'))"
        )
        times = await page.evaluate("() => answered")
        await context.close()
    made = await asyncio.to_thread(_decisions, own)
    settled = Counter(decision.task.tweet.id for decision in made if decision.kind == "settle")
    if twice := [post for post, times_settled in settled.items() if times_settled > 1]:
        raise Wrong(f"{name}, seed {seed}: posts {', '.join(twice)} were settled twice")
    return Result(seed, took, person.paused_s, person.pressed, answers, len(made), times)


async def _waiting(settings: Settings) -> list[ReviewTask]:
    queue = ReviewQueue(str(settings.redis), settings.name("review:"))
    try:
        return [entry.task for entry in await queue.list(limit=100_000)]
    finally:
        await queue.close()


def _row(name: str, found: Result) -> str:
    times = sorted(found.machine_ms)
    share = sum(times) / 1000 / found.seconds
    rest = 1 - share - found.paused_s / found.seconds
    return (
        f"| {name} | {found.seed} | {found.seconds:.0f} | {found.decided} | {found.answers} | {found.pressed} "
        f"| {found.a_minute:.1f} | {statistics.median(times):.0f} ms | {percentile(times, 0.95):.0f} ms "
        f"| {share:.1%} | {rest:.1%} |"
    )


def _summary(name: str, found: Sequence[Result]) -> str:
    times = [each for result in found for each in result.machine_ms]
    rates = [result.a_minute for result in found]
    deviation = statistics.stdev(rates) if len(rates) > 1 else 0
    return (
        f"{name}: {statistics.fmean(rates):.1f} ± {deviation:.1f} decisions a minute "
        f"({sum(each.decided for each in found)} decisions, {sum(each.answers for each in found)} answers); "
        f"machine p50 {statistics.median(times):.0f} ms, p95 {percentile(times, 0.95):.0f} ms ({len(times)} times)"
    )


async def measure(number: int, seeds: int, minutes: float, ways: Sequence[str]) -> None:
    """Prints a table with a row for each reviewer. Those of one way work at the same time, each at an own desk."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        raise UserError("no Chromium on the PATH: apt-get install chromium")
    this = machine()
    with tempfile.TemporaryDirectory(prefix="mner-reviewers-") as folder, Stack(Path(folder)) as stack:
        settings = Settings(_env_file=None, home=Path(folder), prefix="rev.", partitions=1, **stack.addresses)  # type: ignore[arg-type]
        tasks = await _tasks(settings, number)
        asked = [len(task.questions) for task in tasks]
        print(
            f"{len(tasks)} tasks with {sum(asked)} questions, from {number} example posts; {this.cpu}, "
            f"{this.cores} cores, load before {this.load_before:.1f}\n"
        )
        print("| way | seed | s | decisions | answers | presses | a minute | machine, p50 | p95 | share | rest |")
        print("|---|---|---|---|---|---|---|---|---|---|---|")
        summaries: list[str] = []
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            for name in ways:
                found = await asyncio.gather(
                    *(_review(browser, settings, name, seed, 60 * minutes) for seed in range(seeds))
                )
                for result in found:
                    print(_row(name, result), flush=True)
                summaries.append(_summary(name, found))
            await browser.close()
        print("\n" + "\n".join(summaries))


def reviewers(
    number: Annotated[int, typer.Option("--posts", min=50, help="Example posts that the worker reads.")] = 600,
    seeds: Annotated[int, typer.Option(min=1, help="Reviewers for each way to work.")] = 3,
    minutes: Annotated[float, typer.Option(min=0.1, help="How long each reviewer works.")] = 5,
    way: Annotated[str, typer.Option(help="One of the ways; by default, all.")] = "",
) -> None:
    """Measure how many decisions a minute a scripted reviewer with human-like pauses makes."""
    if way and way not in WAYS:
        raise UserError(f"--way {way}: there is no such way; use one of: {', '.join(WAYS)}")
    asyncio.run(measure(number, seeds, minutes, [way] if way else list(WAYS)))


if __name__ == "__main__":
    main(reviewers)
