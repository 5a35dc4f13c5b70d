"""`mner import` brings an export into this deployment, through the topics `extractions` and `decisions`."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer

from core.errors import Reject, Retry, Stop, UserError
from core.text import printable
from streams.settings import Settings, load

if TYPE_CHECKING:
    from cli.exported_file import Block
    from core.events import Decision, Extraction
    from core.files.posts import Readable
    from core.files.split import Record
    from sinks.index.index import Index
    from streams.producer import Producer

BATCH = 200
"""Lines that are sent at once."""

REMEMBERED = 100_000
"""Number of posts, sent last, whose versions are remembered. They take about 20 MB."""

AGAIN = "import the file again when `mner doctor` shows no lag"
"""The remedy. The index then has what was sent, so it is not sent twice."""

MOST_TOLD = 20
"""Most bad lines that are named. The others are counted."""

BAD_LINES = 1
"""Exit code when a line could not be imported."""


def command(
    file: Annotated[Path, typer.Argument(help="File that `mner export` wrote; - reads standard input.")],
) -> None:
    """Bring an export into this deployment, as JSON Lines or in CoNLL layout.

    Sends mentions of the model as extractions, and decisions of people as decisions. A running worker takes both from
    their topics. So an erased post stays erased, and retention and terms apply. A line is left out if the index has the
    same or a newer version of its post. So run the command when the workers have no lag. Lines that cannot be read are
    named and counted by reason; the others are imported. The exit code is then 1.
    """
    raise typer.Exit(asyncio.run(_import(load(), file)))


@dataclass
class Tally:
    """What became of the lines so far."""

    extractions: int = 0
    decisions: int = 0
    #: Lines of posts of which the index has the same or a newer version.
    known: int = 0
    #: Lines that were exported without their text.
    silent: int = 0
    #: Reason -> lines that are left out for it.
    bad: Counter[str] = field(default_factory=Counter)

    def tell(self, place: str, reason: str, detail: str) -> None:
        """Counts a bad line, and names it unless many were named before."""
        self.bad[reason] += 1
        if self.bad.total() <= MOST_TOLD:
            told = printable(f"{place}: {detail}")
            typer.echo(f"mner: {told}; correct the line, and import the file again", err=True)

    @property
    def done(self) -> str:
        return f"{self.extractions + self.decisions} lines are imported"

    def __str__(self) -> str:
        told = [f"{self.extractions} extractions and {self.decisions} decisions imported"]
        told += [f"{self.known} lines left out, of which the index has the same or a newer version"] * bool(self.known)
        told += [f"{self.silent} lines without a text left out"] * bool(self.silent)
        reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(self.bad.items()))
        told += [f"{self.bad.total()} bad lines left out ({reasons})"] * bool(self.bad)
        return "; ".join(told)


async def _import(config: Settings, file: Path) -> int:
    from cli.exported_file import Block, lines_of
    from core.files.posts import Readable
    from sinks.index.index import Index
    from streams import servers, topics
    from streams.producer import Producer

    places, name = servers.addresses(config), str(file)
    brokers = places.kafka
    names = {kind: config.name(kind) for kind in (topics.EXTRACTIONS, topics.DECISIONS)}
    if lacking := sorted(set(topics.missing(brokers, topics.plan(config))) & set(names.values())):
        raise UserError(f"topics are missing: {', '.join(lacking)}; create them with `mner topics create`")
    tally = Tally()
    async with AsyncExitStack() as stack:
        try:
            source: IO[bytes] = sys.stdin.buffer if name == "-" else stack.enter_context(file.open("rb"))
        except OSError as error:
            raise UserError(f"{file}: {error.strerror or error}") from None
        lines = Readable(lines_of(source))
        index = Index(places.elasticsearch, config.name("mentions"))
        stack.push_async_callback(index.close)
        producer = await stack.enter_async_context(Producer(brokers))
        importer = _Importer(index, producer, names, tally)
        for number, part in _parts(lines):
            place = f"{name}:{number}"
            event = _of_conll(part, name, number, tally) if isinstance(part, Block) else _event(part, place, tally)
            if event is not None:
                await importer.add(place, event)
        await importer.flush()
    typer.echo(str(tally))
    if lines.problem is not None:
        raise UserError(f"{name}: cannot read on after line {lines.count}: {lines.problem}; the lines before are done")
    return BAD_LINES if tally.bad else 0


def _parts(lines: Readable) -> Iterator[tuple[int, Record | Block]]:
    """Yields each post with the number of its first line: a line of JSON, or all lines of a post in CoNLL layout."""
    from cli.exported_file import Block, begins_post
    from core.files.split import Oversized

    block: Block | None = None
    first = 0
    for line in lines:
        whole = b"" if isinstance(line, Oversized) else line
        begins = begins_post(whole)
        if block is not None and (begins or not whole.strip()):
            block.ended = not begins and line is whole
            yield first, block
            block = None
        if begins:
            block, first = Block(), lines.count
        if block is None:
            yield lines.count, line
        else:
            block.add(whole)
    if block is not None:
        yield first, block


def _of_conll(block: Block, name: str, first: int, tally: Tally) -> Extraction | Decision | None:
    """Returns the event of a post in CoNLL layout, or None, which is counted. `first`: the number of its first line."""
    from pydantic import ValidationError

    from cli.exported_file import of_words, too_long
    from core.events import explain

    rows: list[str] = []
    if block.is_too_long:
        tally.tell(f"{name}:{first}", "too long", too_long(block.size, "post"))
    elif not block.ended:
        tally.tell(f"{name}:{first}", "cut off", "the file was cut off in this post: no blank line ends it")
    else:
        try:
            rows.extend(row.decode() for row in block.rows)
            return of_words(rows).event
        except UnicodeDecodeError as error:
            wrong = f"is no UTF-8 (got the byte 0x{error.object[error.start]:02x})"
            tally.tell(f"{name}:{first + len(rows)}", "not UTF-8", wrong)
        except ValueError as error:
            told = explain(error) if isinstance(error, ValidationError) else str(error)
            tally.tell(f"{name}:{first}", "no post of an export", told)
    return None


def _event(line: Record, place: str, tally: Tally) -> Extraction | Decision | None:
    """Returns the event of a post. None for a blank line, and for one that cannot be imported, which is counted."""
    from pydantic import ValidationError

    from cli.exported_file import too_long
    from core.events import explain
    from core.files.split import NOT_JSON, Oversized, value_of
    from sinks.exchange import Exported, has_no_text

    if isinstance(line, Oversized):
        tally.tell(place, "too long", too_long(line.size))
        return None
    if not line.strip():
        return None
    try:
        return Exported.model_validate_json(line).event
    except ValidationError as error:
        detail = explain(error)
    fields = value_of(line)
    if isinstance(fields, dict) and has_no_text(fields):
        tally.silent += 1
    else:
        tally.tell(place, "not JSON" if fields is NOT_JSON else "no line of an export", detail)
    return None


@dataclass(frozen=True)
class _Line:
    """An event to import. `place`: file and line. `version`: that of its document."""

    place: str
    event: Extraction | Decision
    version: int


class _Importer:
    """Sends the events whose documents are newer than what the index has, and than what was sent before.

    The topics are compacted to the last record of a post. So a record must not be sent behind a newer one.
    """

    def __init__(self, index: Index, producer: Producer, names: dict[str, str], tally: Tally) -> None:
        """`names`: topic -> its name in this deployment."""
        self._index = index
        self._producer = producer
        self._names = names
        self._tally = tally
        self._waiting: dict[str, _Line] = {}  # by post
        self._sent: dict[str, int] = {}  # post -> version, the latest last

    async def add(self, place: str, event: Extraction | Decision) -> None:
        """Takes an event. Sends those before it if they are many, or if one is of the same post.

        Raises `UserError` when the index does not answer, or when the brokers do not take a record.
        """
        from core.events import Decision
        from sinks.index.document import from_decision, from_extraction

        document = from_decision(event) if isinstance(event, Decision) else from_extraction(event, ())
        if document.id in self._waiting or len(self._waiting) == BATCH:
            await self.flush()
        self._waiting[document.id] = _Line(place, event, document.version)

    async def flush(self) -> None:
        """Sends what waits, and returns when the brokers have it. Raises as `add` does."""
        waiting, self._waiting = self._waiting, {}
        try:
            held = await self._index.held(list(waiting), ["id"])
            indexed = {post: document.version for post, document in held.items()}
            newer = {
                post: line
                for post, line in waiting.items()
                if line.version > max(indexed.get(post, -1), self._sent.get(post, -1))
            }
            self._tally.known += len(waiting) - len(newer)
            await asyncio.gather(*(self._send(post, line) for post, line in newer.items()))
        except (Retry, Stop) as error:
            raise UserError(f"{error}; {self._tally.done}; {AGAIN}") from None
        for post in list(islice(self._sent, max(0, len(self._sent) - REMEMBERED))):
            del self._sent[post]

    async def _send(self, post: str, line: _Line) -> None:
        from core.events import Decision
        from streams.topics import DECISIONS, EXTRACTIONS

        decided = isinstance(line.event, Decision)
        name = self._names[DECISIONS if decided else EXTRACTIONS]
        try:
            await self._producer.send(name, post.encode(), line.event.model_dump_json().encode())
        except Reject as error:
            self._tally.tell(line.place, "refused by Kafka", str(error))
        else:
            self._sent.pop(post, None)
            self._sent[post] = line.version
            self._tally.decisions += decided
            self._tally.extractions += not decided
