"""Reads small YAML files of settings, without the parts of YAML that let a small file cost much or mean two things."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from core.errors import UserError
from core.text import plain

MAX_BYTES = 65_536
"""Largest file, in bytes, unless the caller takes more."""


class _Loader(yaml.SafeLoader):
    """Makes plain values only. Refuses aliases, which let a few lines stand for millions, and repeated keys."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(None, None, "an alias (*name) is not allowed; repeat the values", mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen = set()
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:str" or isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    problem = f"{plain(key.value, 80)!r} stands there twice; remove one of them"
                    raise yaml.MarkedYAMLError(None, None, problem, key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path, max_bytes: int = MAX_BYTES) -> Any:
    """Returns the values of a YAML file: mappings, lists, texts, numbers, dates. An empty file is None.

    Raises `UserError`, which names the file, the line and the remedy.
    """
    try:
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from None
    if len(data) > max_bytes:
        raise UserError(f"{path}: has more than {max_bytes} bytes; is it another file?")
    try:
        return yaml.load(data.decode("utf-8-sig"), _Loader)  # a subclass of `SafeLoader`
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8") from None
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise UserError(f"{path}{line}: {plain(error.problem or error.context or 'is no YAML', 200)}") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path}: is no YAML: {plain(str(error), 200)}") from None
    except RecursionError:
        raise UserError(f"{path}: is nested too deep") from None
    except (ValueError, TypeError) as error:  # such as a date with a thirteenth month
        raise UserError(f"{path}: holds a value that cannot be read: {plain(str(error), 200)}") from None
