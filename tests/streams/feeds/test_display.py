"""The live display of a feed: posts per second, and counts that are those of the records."""

from __future__ import annotations

import io
from datetime import datetime

import pytest
from rich.console import Console, RenderableType

from cli.feeds import display as module
from cli.feeds.display import WINDOW_S, Display
from core.events import Tweet
from core.lifecycle import Lifecycle
from streams.feeds.account import Account
from streams.feeds.runner import Runner
from streams.feeds.source import Adapted, Disconnected, Gap, Message, Received, Steps
from tests.streams.feeds.memory import TARGET, Clock, Topics
from tests.streams.feeds.test_parts import Scripted


def shown(renderable: RenderableType) -> dict[str, str]:
    """Returns the figures by their names."""
    console = Console(width=100, file=io.StringIO(), record=True)
    console.print(renderable)
    rows = [line.split("  ", 1) for line in console.export_text().splitlines()]
    return {name.strip(): figure.strip() for name, figure in rows}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def live(*, terminal: bool = True) -> Display:
    return Display(Console(width=100, file=io.StringIO(), force_terminal=terminal))


def test_posts_per_second_are_those_of_the_last_seconds(clock: Clock) -> None:
    account, display, rates = Account("a-feed"), live(), list[str]()
    for second in range(30):
        display.show(account)
        rates.append(shown(display._live.renderable)["posts"].partition(", ")[2])
        account.posts += 40 if second < 10 else 0
        clock.sleep(1.0)
    full = 10 + int(WINDOW_S)  # from then on, no post lies in the window
    assert rates[:2] == ["0.0/s", "40.0/s"]
    assert set(rates[1:11]) == {"40.0/s"}
    falling = [float(rate.removesuffix("/s")) for rate in rates[10 : full + 1]]
    assert falling == sorted(falling, reverse=True)
    assert falling[2] == pytest.approx(40 * (WINDOW_S - 2) / WINDOW_S, abs=0.1)
    assert set(rates[full + 1 :]) == {"0.0/s"}


def test_without_a_terminal_nothing_is_shown(clock: Clock) -> None:
    display = live(terminal=False)
    display.show(Account("a-feed", posts=7))
    assert display._live.renderable == ""


AT = datetime.fromisoformat("2026-11-29T12:00:00Z")


def script() -> list[Message | Exception]:
    """Returns 1,500 posts, 1,100 likes, 30 deletions, 4 dead letters, two gaps and three breaks."""
    posts = [Received(Adapted((Tweet(id=str(number), text="x"),)), str(number), 9.0) for number in range(1500)]
    events = [Received(Adapted(lifecycle=(Lifecycle(post=f"p{number}", at=AT),)), at=9.0) for number in range(30)]
    letters = [Received(Adapted(skipped="unreadable"), raw=b"%d" % number) for number in range(4)]
    network, silent = Disconnected("network", "x"), Disconnected("silent", "x")
    likes = [Received(Adapted(skipped="like"))] * 1100
    last = Received(Adapted(skipped="identity"), "1500", 1e9 - 2.5)
    return [*posts, Gap("x"), network, *events, network, *letters, *likes, silent, Gap("x"), last]


def test_the_figures_are_those_of_the_records(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    topics, display = Topics(monkeypatch), live()
    source = Scripted(*script())
    source.backoff = {"network": Steps(0.0, 0.0), "silent": Steps(0.0, 0.0)}
    feed = Runner(source, TARGET, None, on_look=display.show)
    feed.run()
    feed.account.saved_at = clock.now - 12.0
    display.show(feed.account)
    figures = shown(display._live.renderable)
    records = {name: len(topics.values(name)) for name in (TARGET.tweets, TARGET.tombstones, TARGET.dead, TARGET.gaps)}
    assert records == {TARGET.tweets: 1500, TARGET.tombstones: 30, TARGET.dead: 4, TARGET.gaps: 2}
    assert figures.pop("posts").startswith("1,500 sent, ")
    assert figures == {
        "source": "scripted",
        "received": "2,635",
        "lifecycle": "30",
        "lag": "2.5 s",
        "reconnects": "network 2, silent 1",
        "gaps": "2",
        "skipped": "like 1,100, identity 1",
        "dead letters": "4",
        "cursor saved": "12 s ago",
    }
