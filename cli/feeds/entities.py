"""What workers find in the posts of a live feed: the latest posts with their mentions, and the names most mentioned.

Bounded in memory, whatever the feed sends. Every function may be called from any thread.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.rule import Rule
from rich.text import Text

from core.events import Extraction, Tweet
from core.text import one_line

AWAITED = 10_000
"""Largest number of posts whose extractions are awaited. The oldest are given up first."""

KEPT = 20
"""Number of posts with mentions that are kept."""

NAMES = 5000
"""Number of names that are counted. When there are more, the rarer half is dropped."""

SHOWN_NAMES = 5
LIVE_LINES = 3
"""Largest number of lines of a post while the feed runs."""

LINES = 12
"""Largest number of lines of a post at the end."""

SLOW_S = 5.0
"""Time, in seconds, without an extraction after which the panel says how to start a worker."""

PATIENCE_S = 10.0
"""Time, in seconds, without an extraction after which a feed that has ended waits no longer."""

NO_WORKER = "No worker answers yet. Start one in another terminal: mner worker"

Name = tuple[str, str]
"""A name with its case folded, and its type."""


@dataclass(frozen=True)
class Post:
    """A post with mentions. `names`: the confident ones, as written."""

    drawn: Text
    names: dict[Name, str]
    asks: bool  # whether a person decides about one of them


class Entities:
    """The extractions of the posts that this feed sent."""

    def __init__(self, threshold: float | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        """`threshold` is `MNER_THRESHOLD`. None means the threshold of each extraction."""
        self._threshold, self._clock = threshold, clock
        self._lock = threading.Lock()
        self._awaited: dict[str, set[int]] = {}  # id -> edits, in the order in which they were sent
        self._posts: dict[str, Post] = {}
        self._counts: Counter[Name] = Counter()
        self._written: dict[Name, str] = {}
        self._sent = self._read = self._with_mentions = self._withheld = 0
        self._moved_at = clock()  # when an extraction came, or when one began to be awaited
        self._failure: str | None = None

    def sent(self, post: Tweet) -> None:
        """Awaits the extraction of this post."""
        with self._lock:
            if not self._awaited:
                self._moved_at = self._clock()
            edits = self._awaited.setdefault(post.id, set())
            self._sent += post.edit not in edits
            edits.add(post.edit)
            if len(self._awaited) > AWAITED:
                self._awaited.pop(next(iter(self._awaited)))

    def awaits(self, post_id: str) -> bool:
        """Whether an extraction of this post is awaited."""
        with self._lock:
            return post_id in self._awaited

    def take(self, extraction: Extraction, *, may_show: bool = True) -> None:
        """Takes an extraction, if it is awaited. `may_show`: whether the source allows to show its text."""
        tweet = extraction.tweet
        post = self._post(extraction) if may_show and extraction.mentions else None
        with self._lock:
            edits = self._awaited.get(tweet.id, set())
            if tweet.edit not in edits:
                return
            edits.remove(tweet.edit)
            if not edits:
                del self._awaited[tweet.id]
            self._moved_at = self._clock()
            self._read += 1
            self._withheld += not may_show
            self._with_mentions += post is not None
            if (before := self._posts.pop(tweet.id, None)) is not None:
                self._counts.subtract(before.names.keys())
            if post is not None:
                self._keep(tweet.id, post)

    def fail(self, reason: str) -> None:
        """Ends the panel. `reason`: one line."""
        with self._lock:
            self._failure = reason

    @property
    def is_due(self) -> bool:
        """Whether more extractions may come soon."""
        with self._lock:
            waited = self._clock() - self._moved_at
            return bool(self._awaited) and self._failure is None and waited < PATIENCE_S

    def panel(self, width: int, height: int) -> RenderableType:
        """Draws the latest posts in at most `height` lines of `width` cells."""
        from review.cells import cut

        with self._lock:
            posts, note, title = list(self._posts.values()), self._note(), self._title()
        lines = [cut(note, width)] if note else []
        shown: list[Text] = []
        for post in reversed(posts):
            drawn = _lines(post.drawn, width, LIVE_LINES)
            if len(lines) + len(shown) + len(drawn) + 1 > height:
                break
            shown = drawn + shown
        return Group(Rule(Text(title, "dim"), align="left", style="dim"), *shown, *lines) if height > 1 else Text()

    def summary(self, width: int) -> RenderableType:
        """Draws all that is kept: the posts, and the names that the most posts mention."""
        from review.cells import cut
        from review.marks import draw_entity

        with self._lock:
            posts, note = list(self._posts.values()), self._note()
            said = f"{self._title()}; the last {KEPT} are shown" if self._with_mentions > KEPT else self._title()
            names = [(self._written[name], name[1], count) for name, count in self._counts.most_common(SHOWN_NAMES)]
        parts = [line for post in posts for line in _lines(post.drawn, width, LINES)]
        if any(post.asks for post in posts):
            parts += [Text(), Text("a mention with ? waits for a person: mner review", "dim")]
        if top := [draw_entity(count, kind, name) for name, kind, count in names if count > 0]:
            parts += [Text(), Text("posts  most mentioned", "bold"), *(cut(line, width) for line in top), Text()]
        parts += [Text(said, "dim")] if self._read else []
        return Group(*parts, *([note] if note else []))

    def _post(self, extraction: Extraction) -> Post:
        from review.marks import draw_mentions, draw_work
        from review.work import begin
        from streams.routing import route

        routing = route(extraction, self._threshold, candidate_threshold=1)
        names: dict[Name, str] = {
            (" ".join(found.text.split()).casefold(), found.type): found.text for found in routing.confident
        }
        if routing.task is None:
            return Post(draw_mentions(extraction.tweet.text, routing.confident), names, asks=False)
        return Post(draw_work(begin(routing.task), show_current=False), names, asks=True)

    def _keep(self, post_id: str, post: Post) -> None:
        self._posts[post_id] = post
        if len(self._posts) > KEPT:
            self._posts.pop(next(iter(self._posts)))
        self._counts.update(post.names.keys())
        self._written |= post.names
        if len(self._counts) > NAMES:
            self._counts = Counter(dict(self._counts.most_common(NAMES // 2)))
            self._written = {name: self._written[name] for name in self._counts}

    def _title(self) -> str:
        title = f"{self._read:,} of {self._sent:,} posts read, {self._with_mentions:,} with mentions"
        return title + (f", {self._withheld:,} may not be shown" if self._withheld else "")

    def _note(self) -> Text | None:
        """Returns one line on what keeps extractions from coming."""
        if self._failure is not None:
            return Text(f"no entities are shown: {one_line(self._failure)}", "dim")
        if self._awaited and self._clock() - self._moved_at >= SLOW_S:
            return Text(NO_WORKER, "yellow")
        return None


def _lines(drawn: Text, width: int, most: int) -> list[Text]:
    """Returns a post as a list entry of at most `most` lines, with its first mention among them."""
    from review.cells import cut, wrap

    lines = [line for line in wrap(drawn, width - 2) if line.plain.strip()]
    at = next((place for place, line in enumerate(lines) if line.spans), 0)
    first = max(0, min(at - 1, len(lines) - most)) if at >= most else 0
    shown = lines[first : first + most]
    if first + most < len(lines):
        shown[-1] = cut(shown[-1].append(" " * width), width - 2)  # longer than a line, so that it is cut
    if first:
        shown[0] = cut(Text("…").append_text(shown[0]), width - 2)
    return [Text("• " if place == 0 else "  ").append_text(line) for place, line in enumerate(shown)]
