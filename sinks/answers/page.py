"""Writes the tables of answers as a page: `python -m sinks.answers.page > docs/servers.md`."""

from __future__ import annotations

from collections.abc import Iterable

from sinks.answers import elasticsearch, kafka, redis

INTRODUCTION = """\
# Answers of the servers

Each answer of Elasticsearch, Redis and Kafka has one class. The tables below say what the worker does about it. Each
table is read from the top, and the first row that matches counts. The page is written from `sinks/answers/`.

| class | the worker |
|---|---|
| done, stale | goes on: the server has the document, or a newer one |
| retry | waits and sends the same again, without limit ([errors](delivery.md#errors)) |
| retry smaller | does the same, with smaller requests. They grow again when they pass |
| retry, with a new session | replaces its producer, and sends the same again |
| split | sends the two halves of the request. A document that is refused alone is rejected |
| split, counted | does the same. Many rejected in a row [stop the worker](delivery.md#limits-on-dead-letters) |
| reject | makes a [dead letter](dead-letters.md) of this one event |
| reject, counted | does the same. Many in a row [stop the worker](delivery.md#limits-on-dead-letters) |
| stop | ends with an error. Only a person can help, with other settings or another program |

In the column "what is true", "we" and "our" mean the worker. `NAME` is the name of the index, and `TOPIC` that of the
topic.

If a proxy limits the size of requests, the worker makes its requests smaller, down to one document or task. One that
breaks the connection alone is rejected in the end. It must do so at least five times in a row, and a small write must
pass each time. One of more than 64 KB is rejected after a minute, a smaller one after half an hour. Breaks that are
more than ten minutes apart are not in a row.
"""

REQUESTS = """\
The sender is Elasticsearch, or a proxy or firewall before it. An empty cell matches both. An answer counts as
Elasticsearch's own if it has the form of its errors. It also counts if it has the header `X-Elastic-Product` and its
body is not an HTML page or other text.

The row of a missing index concerns commands that only read, such as a search. For a write, the table above counts.

What a proxy answers never stops the worker, and rejects a document only for its size. There is one exception: a
redirect, or another program at the address, stops a worker that Elasticsearch has never answered.
"""


def page() -> str:
    """Returns the page."""
    return "\n".join(
        [
            INTRODUCTION,
            "## Elasticsearch, for one document of a request\n",
            *_elasticsearch(elasticsearch.ITEM, "status"),
            "\n## Elasticsearch, for a whole request\n",
            REQUESTS,
            *_elasticsearch(elasticsearch.REQUEST, "status", sender=True),
            "\n## Elasticsearch, without an answer\n",
            *_elasticsearch(elasticsearch.CONNECTION, ""),
            "\n## Redis\n",
            "An error inside a script counts as if the command had been sent alone.\n",
            *_table(
                ("first word", "reason contains", "class", "what is true", "source"),
                (
                    (_code(row.codes), _regex(row.reason), row.reaction, _says(row.says, "Redis"), _source(row.source))
                    for row in redis.TABLE
                ),
            ),
            "\n## Kafka\n",
            "The class `split` means: the worker sends each record of the batch alone.\n",
            *_table(
                ("codes", "errors of the clients", "class", "what is true", "source"),
                (
                    (
                        ", ".join(map(str, row.codes)),
                        _code(row.names),
                        row.reaction + ", with a new session" * row.renew + ", counted" * row.general,
                        _says(row.says, "Kafka"),
                        _source(row.source),
                    )
                    for row in kafka.TABLE
                ),
            ),
            "",
        ]
    )


def _elasticsearch(rows: Iterable[elasticsearch.Row], status: str, *, sender: bool = False) -> list[str]:
    senders = {True: "Elasticsearch", False: "a proxy", None: ""}
    lines = (
        [
            *([_statuses(row.status)] if status else []),
            _code(row.types),
            *([_regex(row.reason)] if status else []),
            *([senders[row.ours]] if sender else []),
            row.reaction + (", counted" if row.general else ""),
            _says(row.says, "Elasticsearch"),
            _source(row.source),
        ]
        for row in rows
    )
    kind = "type of error" if status else "fault"
    heads = [*([status] if status else []), kind, *(["reason contains"] if status else [])]
    return _table([*heads, *(["sender"] if sender else []), "class", "what is true", "source"], lines)


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    heads = list(heads)
    return [_line(heads), "|" + "---|" * len(heads), *(_line(row) for row in rows)]


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _says(says: str, server: str) -> str:
    return says.format(server=server, name="`NAME`", topic="`TOPIC`")


def _statuses(statuses: tuple[int, ...]) -> str:
    parts: list[str] = []
    for place, status in enumerate(statuses):
        if place and statuses[place - 1] == status - 1:
            parts[-1] = f"{parts[-1].partition('-')[0]}-{status}"
        else:
            parts.append(str(status))
    return ", ".join(parts)


def _code(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _regex(pattern: str) -> str:
    return f"`{pattern}`" if pattern else ""


def _source(url: str) -> str:
    return f"[{url.partition('//')[2].partition('/')[0]}]({url})"


if __name__ == "__main__":
    print(page(), end="")
