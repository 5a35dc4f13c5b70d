"""The rules of the filtered stream: which posts X sends. A file says which rules the app shall have."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from core.errors import UserError
from core.text import one_line, shorten
from core.yaml_text import read_yaml
from streams.feeds.adapters.x import fields
from streams.feeds.x.answers import detail

MAX_RULES, MAX_VALUE, MAX_TAG = 1000, 2048, 256
"""X's own limits, of the largest plan. Those of smaller plans are lower, and X tells them when it checks the rules."""
MAX_FILE = 4_000_000
"""Largest file, in bytes. The largest plan's rules have some two million characters."""

EXAMPLE = "- {value: 'Hamburg lang:de', tag: hamburg}"


@dataclass(frozen=True)
class Rule:
    """`value`: the query. `tag`: a name for people. `id`: X's name, of a rule that the app has."""

    value: str
    tag: str | None = None
    id: str | None = None

    def __str__(self) -> str:
        return one_line(shorten(self.value, 100)) + (f" ({one_line(self.tag)})" if self.tag else "")


class Api(Protocol):
    """The requests to X that change rules. `streams.feeds.x.api` makes them."""

    def add_rules(self, rules: list[Rule], *, dry_run: bool = False) -> list[Any]: ...
    def delete_rules(self, rules: list[Rule]) -> None: ...


@dataclass(frozen=True)
class Change:
    """What makes the app's rules equal to those of a file."""

    keep: tuple[Rule, ...]
    add: tuple[Rule, ...]
    delete: tuple[Rule, ...]

    def lines(self) -> Iterator[str]:
        """Yields one line for each rule."""
        for sign, rules in (("=", self.keep), ("+", self.add), ("-", self.delete)):
            yield from (f"{sign} {rule}" for rule in rules)


def read_rules(path: Path) -> list[Rule]:
    """Reads a file of rules. Raises `UserError` that names the file, the rule and what is wrong with it."""
    listed = read_yaml(path, MAX_FILE)
    if not isinstance(listed, list) or not listed:
        raise UserError(f"{path} holds no list of rules; write one rule a line, such as {EXAMPLE}")
    if len(listed) > MAX_RULES:
        raise UserError(f"{path} has {len(listed)} rules; X takes {MAX_RULES} at most")
    rules = [_rule(entry, f"{path}: rule {number}") for number, entry in enumerate(listed, start=1)]
    seen: dict[str, int] = {}
    for number, rule in enumerate(rules, start=1):
        first = seen.setdefault(rule.value, number)
        if first != number:
            raise UserError(f"{path}: rule {number} has the same value as rule {first}; delete one of them")
    return rules


def _rule(entry: Any, where: str) -> Rule:
    if not isinstance(entry, dict) or "value" not in entry:
        raise UserError(f"{where} has no value; write it as {EXAMPLE}")
    if unknown := [str(name) for name in entry if name not in ("value", "tag")]:
        raise UserError(f"{where} has the field {one_line(unknown[0])!r}; a rule has only value and tag")
    value, tag = entry["value"], entry.get("tag")
    if not isinstance(value, str) or not value.strip():
        raise UserError(f"{where}: value is {shorten(repr(value), 60)}, but must be a text; put it in quotation marks")
    if tag is not None and (not isinstance(tag, str) or len(tag) > MAX_TAG):
        raise UserError(f"{where}: tag is {shorten(repr(tag), 60)}, but must be a text of up to {MAX_TAG} characters")
    value = " ".join(value.split())
    if len(value) > MAX_VALUE:
        raise UserError(f"{where}: value has {len(value)} characters; X takes {MAX_VALUE} at most")
    if fault := _unbalanced(value):
        raise UserError(f"{where}: value {shorten(one_line(value), 60)!r} {fault}")
    return Rule(value, tag)


def _unbalanced(value: str) -> str | None:
    """Returns what is not closed in a query, or None."""
    depth, quoted = 0, False
    for char in value:
        if char == '"':
            quoted = not quoted
        elif not quoted:
            depth += (char == "(") - (char == ")")
            if depth < 0:
                return "closes a bracket that is not open"
    return "leaves a quotation mark open" if quoted else "leaves a bracket open" if depth else None


def change(current: list[Rule], wanted: list[Rule]) -> Change:
    """Returns what to add and to delete, so that the app has the wanted rules and no other one."""
    kept = {(rule.value, rule.tag) for rule in current} & {(rule.value, rule.tag) for rule in wanted}
    keep: dict[tuple[str, str | None], Rule] = {}
    delete = []
    for rule in current:
        if (rule.value, rule.tag) in kept and (rule.value, rule.tag) not in keep:
            keep[rule.value, rule.tag] = rule
        else:
            delete.append(rule)
    return Change(
        tuple(keep.values()), tuple(rule for rule in wanted if (rule.value, rule.tag) not in kept), tuple(delete)
    )


def apply(api: Api, planned: Change) -> None:
    """Changes the app's rules. X checks the new ones before any old one is deleted.

    Raises `UserError` that names the rule which X refuses. The app then has its old rules.
    """
    added = {rule.value for rule in planned.add}
    replaced = [rule for rule in planned.delete if rule.value in added]  # X has each value once
    others = [rule for rule in planned.delete if rule.value not in added]
    check(api, planned)
    if replaced:
        api.delete_rules(replaced)
    if planned.add and (errors := api.add_rules(list(planned.add))):
        if replaced:  # only their tags were to change, so X could not check these
            api.add_rules(replaced)
        _raise_first(errors)
    if others:
        api.delete_rules(others)


def check(api: Api, planned: Change) -> None:
    """Has X check the rules to add. Raises `UserError` that names the rule which X refuses."""
    replaced = {rule.value for rule in planned.delete}
    new = [rule for rule in planned.add if rule.value not in replaced]  # X would call the others duplicates
    if new:
        _raise_first(api.add_rules(new, dry_run=True))


def _raise_first(errors: list[Any]) -> None:
    if errors:
        value = fields.as_object(errors[0]).get("value")
        named = f" {shorten(one_line(value), 100)!r}" if isinstance(value, str) else "s"
        raise UserError(f"X refuses the rule{named}: {detail({'errors': errors[:1]}) or 'it does not say why'}")
