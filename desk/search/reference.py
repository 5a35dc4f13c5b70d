"""The page `/api`: the REST API as its OpenAPI description has it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse

from desk.access.people import Somebody
from desk.pages import render

PREFIX = "/api/v1/"
"""Operations below this path are for programs. Others serve the pages, and change with them."""

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True)
class Field:
    """A parameter, or a field of an answer."""

    name: str
    kind: str
    description: str
    default: str = ""
    value: str = ""  # name of the value that it holds, if that is described as well


@dataclass(frozen=True)
class Operation:
    """What a program can ask for."""

    anchor: str
    method: str
    path: str
    summary: str
    description: str
    parameters: tuple[Field, ...]
    answers: tuple[tuple[str, str], ...]  # status, what it means
    value: str  # name of the value that is returned, or an empty text
    body: str  # name of the value that is sent, or an empty text
    example: str  # path with a query


@router.get("/api", response_class=HTMLResponse)
async def reference(request: Request, person: Somebody) -> HTMLResponse:
    """Shows how to use the REST API."""
    description = request.app.openapi()
    return render(
        request,
        "api.html",
        operations=list(operations(description)),
        values=values(description),
        address=str(request.base_url).rstrip("/"),
    )


def operations(description: Mapping[str, Any]) -> Iterator[Operation]:
    """Yields the operations for programs."""
    for path, methods in description["paths"].items():
        for method, about in methods.items() if path.startswith(PREFIX) else ():
            fields = about.get("parameters", [])
            answers = sorted((status, answer.get("description", "")) for status, answer in about["responses"].items())
            yield Operation(
                about["operationId"],
                method.upper(),
                path,
                about.get("summary", ""),
                about.get("description", ""),
                tuple(_field(each["name"], each["schema"], each.get("description", "")) for each in fields),
                tuple(answers),
                _returned(about),
                _kind(_json(about.get("requestBody", {})))[1],
                _example(path, fields),
            )


def values(description: Mapping[str, Any]) -> dict[str, tuple[str, tuple[Field, ...]]]:
    """Returns the values that the operations take and return, by name: what each is, and its fields."""
    schemas = description.get("components", {}).get("schemas", {})
    named = (name for operation in operations(description) for name in (operation.body, operation.value))
    waiting, found = list(named), {}
    while waiting:
        name = waiting.pop(0)
        if name in found or name not in schemas:
            continue
        fields = tuple(
            _field(field, schema, schema.get("description", ""))
            for field, schema in schemas[name].get("properties", {}).items()
        )
        found[name] = schemas[name].get("description", ""), fields
        waiting += [field.value for field in fields if field.value]
    return found


def _returned(about: Mapping[str, Any]) -> str:
    return next((_kind(_json(answer))[1] for status, answer in about["responses"].items() if status < "300"), "")


def _json(part: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the schema of a body in JSON."""
    schema: Mapping[str, Any] = part.get("content", {}).get("application/json", {}).get("schema", {})
    return schema


def _field(name: str, schema: Mapping[str, Any], description: str) -> Field:
    kind, value = _kind(schema)
    default = schema.get("default")
    shown = "" if default in (None, "", [], {}) else str(default)
    return Field(name, kind, description, shown, value)


def _kind(schema: Mapping[str, Any]) -> tuple[str, str]:
    """Returns the type in words, and the name of the value in it."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return name, name
    if choices := [choice for choice in schema.get("anyOf", ()) if choice.get("type") != "null"]:
        inner, around = choices[0], "{} or null"
    elif isinstance(schema.get("items"), dict):
        inner, around = schema["items"], "list of {}"
    elif isinstance(schema.get("additionalProperties"), dict):
        inner, around = schema["additionalProperties"], "map to {}"
    else:
        return _plain_kind(schema), ""
    kind, value = _kind(inner)
    return around.format(kind), value


def _plain_kind(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    if "prefixItems" in schema:
        return f"[{', '.join(_kind(item)[0] for item in schema['prefixItems'])}]"
    return str(schema.get("const") or schema.get("format") or schema.get("type") or "any")


def _example(path: str, fields: list[dict[str, Any]]) -> str:
    examples = {each["name"]: each["schema"]["examples"][0] for each in fields if each["schema"].get("examples")}
    for each in fields:
        if each["in"] == "path":
            path = path.replace("{" + each["name"] + "}", str(examples.pop(each["name"], "1")))
    return f"{path}?{urlencode(examples)}" if examples else path
