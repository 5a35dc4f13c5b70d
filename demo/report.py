"""What the demo shows at its end: mentions, the review queue with its reasons, the faults, a search and the sums."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from core.events import Extraction, Mention, ReviewTask
from core.text import one_line
from demo.examples import Fault
from demo.tally import Tally
from demo.verdict import reason_given
from review.marks import COLOURS, draw_mentions, draw_work
from review.work import begin
from sinks.index.search import Results
from sinks.names.entities import Entity

SHOWN_POSTS = 14
SHOWN_TASKS = 8


@dataclass(frozen=True)
class Report:
    """The outcome of a demo. It is good when there are no `problems`."""

    tally: Tally
    tasks: Sequence[ReviewTask]
    entities: Sequence[Entity]
    query: str
    results: Results
    faults: Sequence[Fault]
    problems: Sequence[str]

    def numbers(self) -> dict[str, Any]:
        """Returns the numbers for `mner demo --json`."""
        tally = self.tally
        return {
            "fed": tally.fed,
            "extracted": tally.extracted,
            "indexed": tally.indexed,
            "queued": tally.queued,
            "dead": tally.dead,
            "questions": dict(zip(("uncertain", "candidates", "spot_checks"), self._questions(), strict=True)),
            "mentions": sum(len(extraction.mentions) for extraction in tally.extractions.values()),
            "images": {
                status: sum(extraction.image.status == status for extraction in tally.extractions.values())
                for status in ("none", "ok", "failed")
            },
            "tweets_per_s": round(tally.tweets_per_s, 1),
            "latency_ms": {"p50": round(tally.latency_ms(0.5), 1), "p99": round(tally.latency_ms(0.99), 1)},
            "faults": [
                {"line": fault.line, "what": fault.what, "outcome": fault.outcome, "named": reason_given(fault, tally)}
                for fault in self.faults
            ],
            "problems": list(self.problems),
        }

    def show(self, console: Console) -> None:
        console.print(self._mentions())
        console.print(self._queue())
        console.print(self._faults())
        console.print(self._search())
        self._sums(console)

    def _questions(self) -> tuple[int, int, int]:
        """Returns how many questions are about uncertain mentions, about candidates, and spot checks."""
        questions = [question for task in self.tasks for question in task.questions]
        candidates, audits = (sum(getattr(one, kind) for one in questions) for kind in ("is_candidate", "is_audit"))
        return len(questions) - candidates - audits, candidates, audits

    def _mentions(self) -> Table:
        table = Table(title="Indexed: confident mentions", title_justify="left", expand=True)
        table.add_column("post", ratio=3)
        table.add_column("mentions", ratio=2)
        extractions = [extraction for extraction in self.tally.extractions.values() if _confident(extraction)]
        for extraction in extractions[:SHOWN_POSTS]:
            mentions = _confident(extraction)
            names = [_name(mention).append(f" {mention.probability:.0%}") for mention in mentions]
            table.add_row(draw_mentions(extraction.tweet.text, mentions), Text("\n").join(names))
        if len(extractions) > SHOWN_POSTS:
            table.caption = f"and {len(extractions) - SHOWN_POSTS} more posts with mentions"
        return table

    def _queue(self) -> Table:
        table = Table(title="Review queue: uncertain and old posts first", title_justify="left", expand=True)
        table.add_column("uncertainty", justify="right")
        table.add_column("is it?", ratio=1)
        table.add_column("post", ratio=2)
        table.add_column("why a person decides", ratio=2)
        for task in self.tasks[:SHOWN_TASKS]:
            question = max(task.questions, key=lambda question: question.uncertainty)
            table.add_row(
                f"{task.uncertainty:.2f}",
                _name(question.mention).append("\ncandidate: not chosen by the model" * question.is_candidate, "dim"),
                draw_work(begin(task), show_current=False),
                Text("; ".join(one_line(reason.sentence) for reason in question.reasons)),
            )
        uncertain, candidates, audits = self._questions()
        table.caption = f"{uncertain} uncertain mentions, {candidates} candidates and {audits} spot checks in all"
        if len(self.tasks) > SHOWN_TASKS:
            table.caption = f"and {len(self.tasks) - SHOWN_TASKS} more tasks; {table.caption}"
        return table

    def _faults(self) -> Table:
        table = Table(title="Planted faults, each with the reason given", title_justify="left", expand=True)
        table.add_column("line", justify="right")
        table.add_column("planted", ratio=2)
        table.add_column("outcome", ratio=1)
        table.add_column("reason given", ratio=3)
        for fault in self.faults:
            reason = reason_given(fault, self.tally)
            outcome = "dead letter" if fault.outcome == "dead" else "extracted from text alone"
            shown = Text(one_line(reason)) if reason is not None else Text("none", "bold red")
            table.add_row(str(fault.line), fault.what, outcome, shown)
        return table

    def _search(self) -> Table:
        title = f"mner search {self.query}: {self.results.total} posts"
        table = Table(title=title, title_justify="left", expand=True)
        table.add_column("score", justify="right")
        table.add_column("post", ratio=1)
        for hit in self.results.hits:
            table.add_row(f"{hit.score:.1f}", draw_mentions(hit.text, hit.mentions, hit.matches))
        names = ", ".join(f"{one_line(entity.name)} ({entity.type}, {entity.tweets})" for entity in self.entities)
        table.caption = Text(f"most mentioned: {names}")
        return table

    def _sums(self, console: Console) -> None:
        tally = self.tally
        console.print(
            f"fed {tally.fed} = extracted {tally.extracted} + dead {tally.dead};  "
            f"indexed {tally.indexed}, in the review queue {tally.queued};  "
            f"{tally.tweets_per_s:.1f} posts/s, latency p50 {tally.latency_ms(0.5):.0f} ms, "
            f"p99 {tally.latency_ms(0.99):.0f} ms"
        )
        for problem in self.problems:
            console.print(Text(f"wrong: {one_line(problem)}", "bold red"))
        if not self.problems:
            console.print(Text("All numbers add up.", "bold green"))


def _name(mention: Mention) -> Text:
    return Text.assemble((one_line(mention.text), COLOURS[mention.type]), f" {mention.type}")


def _confident(extraction: Extraction) -> list[Mention]:
    return [mention for mention in extraction.mentions if mention.is_confident(extraction.threshold)]
