"""Makes the pictures in docs/desk: the pages of `mner desk` on real servers, after a worker has read invented posts.

It starts the servers, a worker and a desk with three users. Scripted people decide, vote, flag, save a search and
correct a name. Chromium then looks at each page. Needs Chromium, and takes a few minutes:

    python -m examples.desk_screenshots            # --only review,search makes only these pictures
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from itertools import count
from pathlib import Path
from urllib.parse import quote

from kafka import KafkaProducer
from kafka.admin import ConfigResource, ConfigResourceType
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from core.errors import Retry
from core.events import ReviewTask, Tweet
from demo.examples import example_events, example_faults, image_server
from desk.access.access import users_of
from desk.access.people import Role
from examples.desk_posts import Made, Mark, make
from local import stack
from local.server import free_ports
from review.decision_topic import DecisionTopic
from review.session import Session
from review.work import InvalidAction, Work
from sinks.connect.kafka import client_options
from sinks.index.index import Index
from sinks.queue.queue import ReviewQueue
from streams import topics
from streams.servers import Addresses
from streams.servers import addresses as servers_of
from streams.settings import Settings
from streams.worker_process import CommandProcess, WorkerProcess

TARGET = Path(__file__).resolve().parent.parent / "docs" / "desk"
POSTS = 800
VOTED, DECIDED = 40, 160
"""Tasks on which two people vote, and tasks that one person decides alone."""

SLIPS = 0.14
"""How often a scripted person votes for something else than a careful reader would."""

USERS: dict[str, tuple[Role, ...]] = {
    "ada": ("admin", "analyst", "reviewer"),
    "kofi": ("reviewer",),
    "mira": ("analyst", "reviewer"),
}
PASSWORD = "a picture of a desk"
NOTES = {
    "grey cat": "Is a cat a person? Our guide does not say.",
    "Chelsea": "Is this the club or the place? I follow no football.",
}
"""Words of a post -> the note with which it is flagged."""

SAVED = {"q=launch": "Launches", "type=ORG&name=esa": "ESA", "q=%22signal+fault%22": "Signal faults"}
"""Query -> name of the search that is saved."""

CORRECTIONS = {"European Space Agency": "ESA", "CFC": "Chelsea"}
"""Name -> the name that it is the same as."""

WIDE, PHONE = (1440, 900), (390, 844)
LOADED = """() => Promise.all([document.fonts.ready, ...[...document.images]
  .filter((image) => image.loading !== "lazy").map((image) => image.decode().catch(() => null))])"""
QUALITY = 82


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="names of pictures, with commas between them")
    parser.add_argument("--keep", action="store_true", help="leave everything running until enter is pressed")
    options = parser.parse_args()
    random.seed(7)
    expect.set_options(timeout=60_000)
    with tempfile.TemporaryDirectory() as folder, desk(Path(folder)) as running:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            Camera(browser, running, frozenset(filter(None, options.only.split(",")))).shoot()
            browser.close()
        if options.keep:
            input(f"{running.address}: enter ends it")


@dataclass(frozen=True)
class Running:
    """A desk with its servers. `hook`: the address of a webhook. `posts`: two with images that wait for people."""

    address: str
    live: Live
    hook: str
    posts: tuple[str, ...]


@contextmanager
def desk(home: Path) -> Iterator[Running]:
    """Runs everything in `home`."""
    with (
        Images() as images,
        receiver() as hook,
        stack.Stack(home, on_progress=lambda name, what: say(f"{name}: {what}")) as servers,
    ):
        settings = Settings(_env_file=None).changed(
            home=home,
            **servers.addresses,
            spot_check_share=0.1,
            partitions=1,
            retention_hours=24 * 60,
            vision={"wait_s": 60.0, "timeout_s": 120.0},  # no image may be skipped, however slow the machine
            image={"allow": (images.removeprefix("http://"),)},
            desk={"listen": f"127.0.0.1:{free_ports(1)[0]}", "webhook_allow": (hook.split("/")[2],)},
        )
        for name, roles in USERS.items():
            users_of(settings).add(name, PASSWORD, roles)
        where = servers_of(settings)
        topics.create(where.kafka, topics.plan(settings))
        keep_times(settings, where)
        worker = WorkerProcess(settings, home / "logs" / "worker.log")
        worker.start()
        worker.ready()
        made = list(make(POSTS, datetime.now(UTC), images))
        live = Live(settings, where, images)
        try:
            say(f"a worker reads {POSTS} posts")
            live.send(made)
            live.send_faults()
            asyncio.run(arrived(settings, where, POSTS))
            say("people decide")
            posts = asyncio.run(decide(settings, where, made))
            server = CommandProcess(settings, home / "logs" / "desk.log", ["desk"], "desk at ")
            server.start()
            server.ready()
            try:
                yield Running(f"http://{settings.desk.listen}", live, hook, posts)
            finally:
                server.stop()
        finally:
            live.close()
            worker.stop()


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class Images:
    """Serves the example images while the block runs."""

    def __enter__(self) -> str:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = image_server()
        return asyncio.run_coroutine_threadsafe(self._server.__aenter__(), self._loop).result()

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._server.__aexit__(None, None, None), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)


@contextmanager
def receiver() -> Iterator[str]:
    """Accepts everything that a webhook sends. Yields its address."""

    class Accept(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Accept) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/posts"
        server.shutdown()


def keep_times(settings: Settings, where: Addresses) -> None:
    """Makes Kafka keep the time that a post is sent with: then two weeks of posts have been received over two weeks."""
    config = {"message.timestamp.type": "CreateTime", "segment.ms": str(60 * 24 * topics.HOUR_MS), "retention.ms": "-1"}
    with topics.administered(where.kafka) as client:
        client.alter_configs([ConfigResource(ConfigResourceType.TOPIC, settings.name(topics.TWEETS), config)])


class Live:
    """Sends posts, also while somebody looks."""

    def __init__(self, settings: Settings, where: Addresses, images: str) -> None:
        self._producer = KafkaProducer(**client_options(where.kafka))
        self._topic, self._images = settings.name(topics.TWEETS), images
        self._numbers = count(50_000)

    def send(self, made: Sequence[Made]) -> None:
        """Sends posts with their own times."""
        for each in made:
            value = Tweet.model_validate(each.post).model_dump_json().encode()
            at = int(datetime.fromisoformat(each.post["created_at"]).timestamp() * 1000)
            self._producer.send(self._topic, value, str(each.post["id"]).encode(), timestamp_ms=at)
        self._producer.flush()

    def send_faults(self) -> None:
        """Sends the broken events of the examples, and those with images that cannot be read."""
        lines = example_events(self._images)
        for fault in example_faults():
            self._producer.send(self._topic, lines[fault.line - 1], b"fault")
        self._producer.flush()

    def now(self, number: int, words: str = "") -> None:
        """Sends new posts whose text holds `words`."""
        now = datetime.now(UTC)
        found = [each for each in make(2000, now, self._images, seed=11) if words in each.post["text"]]
        for each in random.sample(found, number):
            each.post.update(id=str(next(self._numbers)), created_at=now.isoformat(timespec="seconds"))
            self.send([each])

    def close(self) -> None:
        self._producer.close()


async def arrived(settings: Settings, where: Addresses, number: int) -> None:
    """Waits until this many posts are in the index."""
    index = Index(where.elasticsearch, settings.name("mentions"))
    async with asyncio.timeout(600):
        while True:
            try:
                await index.refresh()
                if await index.count() >= number:
                    break
            except Retry:
                pass  # the worker has not made the index yet
            await asyncio.sleep(0.5)
    await index.close()


@dataclass
class Clock:
    """Stamps decisions some time after their post came, as if people had worked during these two weeks."""

    ms: int = 0

    def __call__(self) -> int:
        return self.ms

    def at(self, work: Work, chance: random.Random) -> None:
        received = work.task.tweet.received_at or datetime.now(UTC)
        now = datetime.now(UTC)
        moment = min(
            received + timedelta(hours=20 * 24 * chance.random() ** 2), now - timedelta(minutes=chance.randint(2, 900))
        )
        self.ms = int(moment.timestamp() * 1000)


async def decide(settings: Settings, where: Addresses, made: Sequence[Made]) -> tuple[str, ...]:
    """Votes on some tasks, decides others, and flags two. Returns two posts with images that wait."""
    marks = {each.post["id"]: each.marks for each in made}
    queue = ReviewQueue(where.redis, settings.name("review:"))
    decisions = DecisionTopic(where.kafka, settings.name(topics.DECISIONS))
    clock, chance = Clock(), random.Random(5)

    def session(name: str, reviewers: int) -> Session:
        return Session(queue, decisions, name, clock=clock, reviewers=reviewers)

    voters = [session(name, 2) for name in ("kofi", "mira", "ada")]
    for turn in range(2 * VOTED):
        await work_on(voters[0 if turn < VOTED else 1 + turn % 2], clock, chance, marks, SLIPS)
    waiting = [entry.task for entry in await queue.list(limit=POSTS)]
    for words, note in NOTES.items():
        claim = await queue.take(next((task.tweet.id for task in waiting if words in task.tweet.text), ""), "mira", 60)
        if claim is not None:
            await queue.flags.add(claim, note)
    for turn in range(DECIDED):
        await work_on(session("kofi" if turn % 3 == 0 else "ada", 1), clock, chance, marks)
    best = sorted([entry.task for entry in await queue.list(limit=POSTS)], key=worth_showing)[-2:]
    await decisions.close()
    await queue.close()
    return tuple(task.tweet.id for task in best)


def worth_showing(task: ReviewTask) -> tuple[bool, bool, int]:
    """Orders tasks by what there is to see: text in the image, doubt, and questions."""
    has_doubt = any(question.mention.probability < task.threshold for question in task.questions)
    return "The board" in task.tweet.text and task.context is not None, has_doubt, len(task.questions)


async def work_on(
    session: Session, clock: Clock, chance: random.Random, marks: Mapping[str, Sequence[Mark]], slips: float = 0.0
) -> None:
    """Decides the next task as a careful reader would. `slips`: see `answered`."""
    work = await session.next()
    if work is None:
        return
    clock.at(work, chance)
    truth = marks.get(work.task.tweet.id, ())
    while not work.done:
        work = answered(work, truth, chance, slips)
    await session.settle(work)


def answered(work: Work, truth: Sequence[Mark], chance: random.Random, slips: float) -> Work:
    """Answers the current question. `slips`: how often the answer is another than a careful reader's."""
    mention = work.current.mention
    found = next((mark for mark in truth if mark[0] < mention.end and mention.start < mark[1]), None)
    try:
        if found is None or chance.random() < slips / 2:
            return work.reject()
        start, end, kind = found
        if chance.random() < slips:
            kind = chance.choice(("PER", "LOC", "ORG", "MISC"))
        if (start, end) != (mention.start, mention.end):
            return work.respan(start, end, kind)
        return work.accept() if kind == mention.type else work.retype(kind)
    except InvalidAction:
        return work.reject()


@dataclass(frozen=True)
class Shot:
    """A picture. `look` waits until the page shows what must be seen."""

    name: str
    path: str
    look: Callable[[Page], None]
    size: tuple[int, int] = WIDE
    dark: bool = False


def both(name: str, path: str, look: Callable[[Page], None], height: int) -> tuple[Shot, ...]:
    """Returns a picture in light and in dark."""
    size = (WIDE[0], height)
    return Shot(name, path, look, size), Shot(f"{name}-dark", path, look, size, dark=True)


def seen(*selectors: str) -> Callable[[Page], None]:
    """Returns a look that waits for something at each of the selectors."""

    def look(page: Page) -> None:
        for selector in selectors:
            expect(page.locator(selector).first).to_be_visible()

    return look


def look_at_overview(page: Page) -> None:
    """Waits, for a while, until the worker has read the posts that have just come."""
    for _ in range(60):
        seen(".precision-row", ".heat td", "text=dead-letters list")(page)
        lag, pace = (page.locator(f"[aria-labelledby={stat}] strong").inner_text() for stat in ("s-lag", "s-flow"))
        if lag == "0" and pace not in {"0", "–"}:
            return
        page.wait_for_timeout(1000)
        page.reload()


def look_at_review(page: Page) -> None:
    expect(page.locator(".photo img")).to_be_visible()
    expect(page.locator(".boxes .box").first).to_be_attached()
    expect(page.locator(".past").first).to_be_visible()


def look_at_dispute(page: Page) -> None:
    page.locator(".case-list a", has_text="versions").first.click()
    expect(page.locator(".versions")).to_be_visible()


def look_at_agreement(page: Page) -> None:
    while not page.locator("#weeks-title").is_visible():
        page.get_by_role("link", name="Look again").click()  # the votes are being read
        page.wait_for_load_state()


def look_at_post(page: Page) -> None:
    page.locator(".hit:has(.hit-image img) .hit-head a").first.click()
    expect(page.get_by_role("heading", name="Facts")).to_be_visible()


def look_at_saved(page: Page) -> None:
    page.locator(".saved-search", has=page.locator(".hook .state.good")).last.locator(".hook > summary").click()
    expect(page.locator(".hook[open] .hook-body")).to_be_visible()


FOLLOWED = "type=ORG&name=esa"


def shots() -> tuple[Shot, ...]:
    """Returns the pictures of pages that do not change while somebody looks."""
    search = seen(".timeline", ".hits > li:nth-child(3)", ".facet")
    entity = "/entities/name?name=esa"
    return (
        *both("overview", "/", look_at_overview, 1630),
        *both("words", "/review/words", seen(".words-line:nth-of-type(4)"), 860),
        *both("disputed", "/review/disputed", look_at_dispute, 860),
        Shot("agreement", "/review/agreement", look_at_agreement, (WIDE[0], 760)),
        *both("search", f"/search?{FOLLOWED}", search, 1000),
        Shot("post", f"/search?{FOLLOWED}", look_at_post, (WIDE[0], 860)),
        *both("entities", "/entities", seen(".name-row:nth-child(4)", ".trend-row"), 1000),
        *both("entity", entity, seen("text=Seen together", ".chart", ".hit"), 1100),
        Shot("corrections", "/entities/corrections", seen(".told"), (WIDE[0], 480)),
        Shot("saved", "/saved", look_at_saved),
        Shot("audit", "/audit", seen(".log"), (WIDE[0], 760)),
        Shot("api", "/api", seen(".operation")),
        Shot("overview-phone", "/", seen(".precision-row"), PHONE),
        Shot("words-phone", "/review/words", seen(".words-line"), PHONE),
        Shot("search-phone", f"/search?{FOLLOWED}", seen(".hit"), PHONE),
        Shot("entities-phone", "/entities", seen(".name-row"), PHONE),
        Shot("disputed-phone", "/review/disputed", seen(".case"), PHONE),
    )


class Camera:
    """Looks at the pages and keeps what it sees."""

    def __init__(self, browser: Browser, running: Running, only: frozenset[str]) -> None:
        self._browser, self._running, self._only = browser, running, only
        self._state: str | None = None
        self._bytes = 0

    def shoot(self) -> None:
        """Makes all pictures."""
        TARGET.mkdir(exist_ok=True)
        self.sign_in()
        self.prepare()
        for shot in shots():
            if shot.path == "/":
                self._running.live.now(25)
            self.take(shot)
        self.review()
        self.live()
        say(f"{self._bytes / 1e6:.2f} MB in all")

    def take(self, shot: Shot) -> None:
        """Makes one picture, if it is wanted."""
        if self._only and shot.name not in self._only:
            return
        with self.page(shot.size, dark=shot.dark) as page:
            page.goto(self._running.address + shot.path)
            shot.look(page)
            self.keep(page, shot.name)

    @contextmanager
    def page(self, size: tuple[int, int] = WIDE, *, dark: bool = False, signed_in: bool = True) -> Iterator[Page]:
        """Yields a tab."""
        context = self._browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            locale="en-CA",  # dates as in ISO 8601
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce",
            device_scale_factor=2 if size == PHONE else 1,
            storage_state=self._state if signed_in else None,
        )
        context.set_default_timeout(60_000)
        page = context.new_page()
        yield page
        page.goto("about:blank")  # the page gives its tasks back
        context.close()

    def keep(self, page: Page, name: str) -> None:
        """Saves what is on the screen, after its images have come."""
        if self._only and name not in self._only:
            return
        page.evaluate(LOADED)
        file = TARGET / f"{name}.webp"
        with Image.open(BytesIO(page.screenshot(animations="disabled"))) as image:
            image.convert("RGB").save(file, quality=QUALITY, method=6)
        self._bytes += file.stat().st_size
        say(f"{file.name}: {file.stat().st_size / 1000:.0f} kB")

    def sign_in(self) -> None:
        """Signs ada in, as people do."""
        with self.page((WIDE[0], 560), signed_in=False) as page:
            page.goto(f"{self._running.address}/login")
            page.get_by_label("Name").fill("ada")
            self.keep(page, "login")
            page.get_by_label("Password").fill(PASSWORD)
            page.get_by_role("button", name="Sign in").click()
            expect(page.get_by_role("heading", name="Overview")).to_be_visible()
            self._state = page.context.storage_state()  # type: ignore[assignment]

    def prepare(self) -> None:
        """Saves searches, sets a webhook up, and corrects two names, as people do in the browser."""
        with self.page() as page:
            for query, name in SAVED.items():
                page.goto(f"{self._running.address}/search?{query}")
                page.locator("#save > summary").click()
                page.get_by_label("Name of the search").fill(name)
                page.get_by_role("button", name="Save this search").click()
                expect(page.get_by_role("heading", name="Saved searches")).to_be_visible()
            row = page.locator(".saved-search", has=page.get_by_role("link", name="ESA", exact=True)).first
            row.get_by_text("Add a webhook").click()
            row.get_by_label("Address").fill(self._running.hook)
            row.get_by_role("button", name="Set up").click()
            expect(page.get_by_text("The webhook is set up.")).to_be_visible()
            for one, other in CORRECTIONS.items():
                page.goto(f"{self._running.address}/entities/name?name={quote(one)}")
                page.get_by_label("It is the same as").fill(other)
                page.get_by_label("the other name").check()
                page.get_by_role("button", name="Join them").click()
                expect(page.get_by_text("Told so far")).to_be_visible()
        self._running.live.now(4, "ESA")

    def review(self) -> None:
        """Looks at the review. The first tab keeps its task, so the pictures of one post come from one tab."""
        for size, post, end in (
            ((WIDE[0], 940), self._running.posts[0], ""),
            (PHONE, self._running.posts[1], "-phone"),
        ):
            if self._only and not self._only & {f"review{end}", f"review{end}-dark"}:
                continue
            with self.page(size) as page:
                page.goto(f"{self._running.address}/review?post={post}")
                look_at_review(page)
                self.keep(page, f"review{end}")
                page.emulate_media(color_scheme="dark")
                self.keep(page, f"review{end}-dark")
                if not end:
                    page.emulate_media(color_scheme="light")
                    page.keyboard.press("?")
                    expect(page.get_by_role("heading", name="Keys")).to_be_visible()
                    self.keep(page, "keys")

    def live(self) -> None:
        """Waits on the live page for posts that come meanwhile."""
        if self._only and "live" not in self._only:
            return
        with self.page() as page:
            page.goto(f"{self._running.address}/live?{FOLLOWED}")
            expect(page.locator("#live[data-state=live]")).to_be_visible()
            self._running.live.now(14, "ESA")
            expect(page.locator("#live-hits .hit").nth(3)).to_be_visible(timeout=60_000)
            self.keep(page, "live")


if __name__ == "__main__":
    main()
