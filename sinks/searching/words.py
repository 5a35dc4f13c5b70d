"""Builds Elasticsearch's queries for what a person typed: in the text of a post, and in its mentions. Pure."""

from __future__ import annotations

from typing import Any

from core.spelling import normalise
from sinks.searching.language import Query, Term

Clause = dict[str, Any]

TEXT_FIELDS = ("text", "folded", "described")
"""Fields whose words are the words of a post: its text, and its alt texts."""

EXPANSIONS = 128
"""Most endings that are tried for the last word of a name such as `jean-cl*`."""


def in_post(query: Query, options: Clause | None = None) -> Clause:
    """Finds posts that have all wanted words, in the text or in a mention, and no unwanted one.

    Posts with a mention that has all words come first. `options`: those of the nested query for these mentions.
    """
    mentioned = _nested(in_mention(query), options)
    if query.signs:
        return mentioned
    signs = _wordless(query)
    written = [_any(_in_texts(term, signs), _nested(_of_name(term))) for term in query.wanted]
    return {
        "bool": {
            "must": [_any({"bool": {"must": written}}, mentioned)] if written else [],
            "must_not": unwanted(query),
        }
    }


def unwanted(query: Query) -> list[Clause]:
    """Finds the posts that have one of the unwanted words."""
    return [_any(_in_texts(term, "none"), _nested(_of_name(term))) for term in query.unwanted]


def in_mention(query: Query) -> Clause:
    """Finds mentions that have all wanted words. For use in a nested query on `mentions`."""
    if query.signs:
        return _named(query.signs)
    fields = ("mentions.text",)
    worded = [_any(_of_name(term), *_spelled(term, fields, _wordless(query))) for term in query.wanted]
    return _any(_named(query.name), {"bool": {"must": worded}}) if worded else MATCH_ALL


def highlighted(query: Query) -> Clause:
    """Finds the wanted words in the text. Elasticsearch marks what it finds."""
    if not query.wanted:
        return {"match_none": {}}
    return {"bool": {"should": [_any(*_spelled(term, TEXT_FIELDS, "none")) for term in query.wanted]}}


MATCH_ALL: Clause = {"match_all": {}}


def _any(*clauses: Clause) -> Clause:
    return {"bool": {"should": list(clauses), "minimum_should_match": 1}}


def _nested(mention: Clause, options: Clause | None = None) -> Clause:
    return {"nested": {"path": "mentions", "query": mention} | (options or {})}


def _wordless(query: Query) -> str:
    """Returns what a term without a word finds. Beside other words it finds all posts, as if it were not there."""
    return "all" if any(term.has_words for term in query.wanted) else "none"


def _named(name: str) -> Clause:
    return {"term": {"mentions.name": {"value": normalise(name)[:MAX_NAME], "boost": 3.0}}}


MAX_NAME = 8_000
"""Characters of a name that are looked up. Elasticsearch refuses a term of more than 32,766 bytes."""


def _of_name(term: Term) -> Clause:
    """Finds mentions by the words of their names, which lack the dots of initials."""
    return _any(*_phrases("mentions.name.words", normalise(term.raw), term, "none"))


def _in_texts(term: Term, signs: str) -> Clause:
    return {"dis_max": {"queries": _spelled(term, TEXT_FIELDS, signs)}}


def _spelled(term: Term, fields: tuple[str, ...], signs: str) -> list[Clause]:
    """Finds the term in its folded spelling, and as it was typed in texts that were never folded."""
    found = [clause for field in fields for clause in _phrases(field, term.folded, term, signs)]
    if term.raw.lower() != term.folded and any(map(str.isalnum, term.raw)):
        found += _phrases(fields[0], term.raw, term, signs)
    return found


def _phrases(field: str, words: str, term: Term, signs: str) -> list[Clause]:
    """Finds these words side by side. `signs`: what a term without a word finds, `all` posts or `none`."""
    if not term.is_prefix:
        return [{"match_phrase": {field: {"query": words, "zero_terms_query": _if_wordless(term, signs)}}}]
    start = words.lstrip("#@").lower()
    beginning: Clause = {"prefix": {field: start}}
    if start.isalnum() and start.isascii():
        return [beginning]
    return [beginning, {"match_phrase_prefix": {field: {"query": words, "max_expansions": EXPANSIONS}}}]


def _if_wordless(term: Term, signs: str) -> str:
    return "none" if term.has_words else signs
