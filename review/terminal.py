"""`mner review`: turns keys into actions on the session and shows the result. Other modules decide and draw."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from rich.console import Console

from core.errors import Reject, Retry
from core.events import Decision
from review.drawing import TYPE_KEYS, draw
from review.keys import Keys
from review.screen import Screen
from review.session import Session
from review.span import Span, first_free
from review.view import Mode, Tone, View
from review.work import InvalidAction, Work
from sinks.queue.values import LeaseLost

STEPS = {"tab": 1, "down": 1, "right": 1, "shift-tab": -1, "up": -1, "left": -1}
#: Seconds between two looks at the queue while a reviewer waits for tasks, and between two attempts to reach Redis.
WAIT_S = 1.0

#: Events in the queue of keys: a signal to end, time to renew the lease or to look again, and a resized terminal.
QUIT, TICK, RESIZED = "quit", "tick", "resized"
#: SIGQUIT is what Ctrl-\\ sends.
SIGNALS = {
    **dict.fromkeys((signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT), QUIT),
    signal.SIGWINCH: RESIZED,
}


class Terminal:
    """One reviewer at a terminal. Actions run one after another; the lease is renewed between them."""

    def __init__(self, session: Session, console: Console) -> None:
        self._session = session
        self._events: asyncio.Queue[str] = asyncio.Queue()
        self._screen = Screen(console)
        self._keys = Keys(self._events.put_nowait)
        self._view = View(session.reviewer)
        self._due = 0.0

    async def run(self) -> None:
        """Runs until the person quits or a signal to end arrives. Then gives the claimed task back."""
        with self._signals():  # outermost, so that a second signal does not interrupt the clean-up
            try:
                with self._screen, self._keys, self._stops():
                    await self._guarded(self._next())
                    while True:
                        size = self._screen.size
                        self._screen.show(draw(self._view, *size), size)
                        event = await self._event()
                        if event == QUIT or (event == "q" and self._view.mode not in {"span", "help"}):
                            return
                        await self._guarded(self._handle(event))
            finally:
                with contextlib.suppress(Retry):
                    await self._session.end()

    async def _event(self) -> str:
        """Returns the next key or signal. Returns a tick when the lease is due or, while waiting, after `WAIT_S`."""
        pause = None
        if self._session.claimed:
            pause = max(0.0, self._due - asyncio.get_running_loop().time())
        elif self._view.mode == "waiting":
            pause = WAIT_S
        try:
            async with asyncio.timeout(pause):
                return await self._events.get()
        except TimeoutError:
            return TICK

    async def _guarded(self, action: Awaitable[None]) -> None:
        """Runs an action and shows its error as a line on the screen. After `LeaseLost`, goes on with the next task."""
        try:
            await action
        except (InvalidAction, Reject) as error:
            self._say(str(error), "bad")
        except LeaseLost as error:
            self._show("empty", None)
            await self._guarded(self._next())
            self._say(str(error), "bad")
        except Retry as error:
            self._due = asyncio.get_running_loop().time() + WAIT_S
            again = "; press enter to send your answers again" if self._view.work and self._view.work.done else ""
            self._say(f"{error}{again}", "bad")

    async def _handle(self, event: str) -> None:
        if event == TICK:
            await self._tick()
        elif event != RESIZED:
            handlers = {
                "task": self._on_task,
                "span": self._on_span,
                "help": self._on_help,
                "empty": self._on_empty,
                "waiting": self._on_waiting,
            }
            self._say("")
            await handlers[self._view.mode](event)

    async def _tick(self) -> None:
        if self._session.claimed:
            await self._session.renew()
            self._leased()
            await self._count()
        elif self._view.mode == "waiting":
            await self._next(otherwise="waiting")

    async def _on_task(self, key: str) -> None:
        work = self._work
        if key in TYPE_KEYS:
            await self._answered(work.retype(TYPE_KEYS[key]))
        elif key == "a":
            await self._answered(work.accept())
        elif key == "r":
            await self._answered(work.reject())
        elif key == "enter" and work.done:
            await self._answered(work)
        elif key in STEPS:
            self._show("task", work.move(STEPS[key]))
        elif key == "e":
            mention = work.current.mention
            self._show("span", work, Span(work.task.tweet.text, mention.start, mention.end))
        elif key == "n":
            taken = [(item.mention.start, item.mention.end) for item in work.items]
            self._show("span", work, first_free(work.task.tweet.text, taken), adding=True)
        elif key == "s":
            await self._session.skip()
            await self._next("skipped")
        elif key == "u":
            await self._undo()
        elif key == "?":
            self._show("help", work)

    async def _on_span(self, key: str) -> None:
        span = self._view.span
        assert span is not None
        moves = {
            "right": lambda: span.by_word(1),
            "left": lambda: span.by_word(-1),
            "shift-right": lambda: span.by_character(1),
            "shift-left": lambda: span.by_character(-1),
            ">": lambda: span.by_character(1),
            "<": lambda: span.by_character(-1),
            "tab": span.switch,
        }
        if key in moves:
            self._show("span", self._work, moves[key](), self._view.adding)
        elif key == "escape":
            self._show("task", self._work)
        elif self._view.adding and key in TYPE_KEYS:
            await self._answered(self._work.add(span.start, span.end, TYPE_KEYS[key]))
        elif self._view.adding and key == "enter":
            raise InvalidAction(f"press {', '.join(TYPE_KEYS)} to choose a type")
        elif key == "enter" or key in TYPE_KEYS:
            await self._answered(self._work.respan(span.start, span.end, TYPE_KEYS.get(key)))

    async def _on_help(self, key: str) -> None:
        self._show("task", self._view.work)

    async def _on_empty(self, key: str) -> None:
        if key == "w":
            await self._next(otherwise="waiting")
        elif key == "s":
            await self._session.unskip()
            await self._next()
        elif key == "u":
            await self._undo()

    async def _on_waiting(self, key: str) -> None:
        self._show("empty", None)

    async def _answered(self, work: Work) -> None:
        """Shows the answer. The last answer settles the task and fetches the next one."""
        self._show("task", work)
        if work.done:
            decision = await self._session.settle(work)
            self._show("empty", None)
            await self._next(_summary(decision))

    async def _undo(self) -> None:
        work = self._view.work
        if work is not None and work.previous is not None:
            self._show("task", work.undo())
            return
        work = await self._session.take_back()
        self._begin(work, "decision taken back; the index shows the model's mentions until the post is settled")
        await self._count()

    async def _next(self, message: str = "", otherwise: Mode = "empty") -> None:
        """Shows the next task, or the screen `otherwise` when there is none."""
        if self._view.mode != otherwise:
            self._show("empty", None)
        work = await self._session.next()
        if work is not None:
            self._begin(work, message)
        else:
            self._show(otherwise, None)
            self._say(message, "good")
        await self._count()

    async def _count(self) -> None:
        """Updates the counts of the header."""
        counts = await self._session.counts()
        self._view = replace(self._view, counts=counts, skipped=self._session.skipped)

    def _begin(self, work: Work, message: str) -> None:
        """Shows a new task. Drops the keys typed before it was on the screen, since they were not meant for it."""
        self._show("task", work)
        self._say(message, "good")
        self._leased()
        waiting = [self._events.get_nowait() for _ in range(self._events.qsize())]
        for event in waiting:
            if event in {QUIT, RESIZED}:
                self._events.put_nowait(event)

    def _leased(self) -> None:
        self._due = asyncio.get_running_loop().time() + self._session.lease_s / 3

    def _show(self, mode: Mode, work: Work | None, span: Span | None = None, adding: bool = False) -> None:
        self._view = replace(self._view, mode=mode, work=work, span=span, adding=adding)

    def _say(self, message: str, tone: Tone = "plain") -> None:
        self._view = replace(self._view, message=message, tone=tone)

    @property
    def _work(self) -> Work:
        assert self._view.work is not None
        return self._view.work

    @contextmanager
    def _signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number, event in SIGNALS.items():
            loop.add_signal_handler(number, self._events.put_nowait, event)
        try:
            yield
        finally:
            for number in SIGNALS:
                loop.remove_signal_handler(number)

    @contextmanager
    def _stops(self) -> Iterator[None]:
        """Gives the terminal to the shell while Ctrl-Z stops this process, and takes it when the process goes on."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTSTP, self._stop)
        loop.add_signal_handler(signal.SIGCONT, self._go_on)
        try:
            yield
        finally:
            loop.remove_signal_handler(signal.SIGTSTP)
            loop.remove_signal_handler(signal.SIGCONT)

    def _stop(self) -> None:
        loop = asyncio.get_running_loop()
        self._keys.suspend()
        self._screen.leave()
        loop.remove_signal_handler(signal.SIGTSTP)
        signal.raise_signal(signal.SIGTSTP)  # returns when the process goes on
        loop.add_signal_handler(signal.SIGTSTP, self._stop)
        self._go_on()

    def _go_on(self) -> None:
        """Also after SIGSTOP, which gives no time to leave the screen."""
        self._keys.resume()
        self._screen.enter()
        self._events.put_nowait(RESIZED)


def _summary(decision: Decision) -> str:
    is_settled = decision.kind == "settle"
    marked = decision.mentions if is_settled else decision.votes[-1].mentions
    mentions = ", ".join(f"{mention.text} {mention.type}" for mention in marked) or "no mention"
    return f"{'settled' if is_settled else 'your vote'}: {mentions} (u takes it back)"
