"""Renders the pages. A template gets its own values, and what every page shows: person, navigation, theme."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, Literal

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse

from core.events import ENTITY_TYPES
from core.text import plain
from desk.access.people import Person, Role

FOLDER = Path(__file__).parent
STATIC = FOLDER / "static"

PAGES: tuple[tuple[str, str, str, Role | None], ...] = (
    ("/", "Overview", "overview", None),
    ("/review", "Review", "review", "reviewer"),
    ("/search", "Search", "search", "analyst"),
    ("/entities", "Entities", "entities", "analyst"),
)
"""Path, name, icon, and the role that a page of the navigation needs."""

PARENTS = {"/posts/": "/search", "/saved": "/search", "/live": "/search"}
"""How paths begin that belong to a page of the navigation, and that page."""

Theme = Literal["light", "dark", ""]


def render(request: Request, template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """Returns a page as a response. Missing values are errors, and all text is escaped."""
    person: Person | None = getattr(request.state, "person", None)
    path = next((parent for start, parent in PARENTS.items() if request.url.path.startswith(start)), request.url.path)
    navigation = [
        (address, name, icon, path == address or (address != "/" and path.startswith(address)))
        for address, name, icon, role in PAGES
        if person and (role is None or person.may(role))
    ]
    shared = {
        "request": request,
        "person": person,
        "navigation": navigation,
        "theme": theme(request),
        "csrf": getattr(request.state, "csrf", ""),
    }
    page = _environment().get_template(template).render(shared | values)
    return HTMLResponse(page, status)


def theme(request: Request) -> Theme:
    """Returns the theme that the person chose, or "" for that of the system."""
    chosen = request.cookies.get("theme")
    return chosen if chosen in ("light", "dark") else ""  # type: ignore[return-value]


def static(name: str) -> str:
    """Returns the address of a static file. It changes with the files, so browsers may keep the file for ever.

    All files share one folder of the address. So a module that imports `./page.js` gets the one that the page loaded.
    """
    return f"/static/{release()}/{name}"


@cache
def release() -> str:
    """Returns the folder in the addresses of static files: a hash of all of them."""
    digest = hashlib.sha256()
    for file in sorted(STATIC.iterdir()):
        digest.update(file.name.encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:12]


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"static": static, "entity_types": ENTITY_TYPES}
    environment.filters |= {
        "number": number,
        "percent": percent,
        "moment": moment,
        "rate": rate,
        "age": age,
        "signed": signed,
        "unix_day": lambda seconds: f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d}",
        "zip": lambda first, second: list(zip(first, second, strict=True)),
        "one_line": lambda text, length=200: plain(str(text), length),
    }
    return environment


def number(value: float) -> str:
    """Returns a number with thousands apart: 12 345."""
    text = f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:,.1f}"
    return text.replace(",", "\N{NARROW NO-BREAK SPACE}")


def percent(share: float | None, digits: int = 0) -> str:
    """Returns a share as a percentage, or a dash if there is none."""
    return "–" if share is None else f"{share:.{digits}%}"


def moment(when: datetime | str | None) -> str:
    """Returns a moment in UTC, to the minute."""
    if when is None:
        return ""
    parsed = datetime.fromisoformat(when) if isinstance(when, str) else when
    return f"{parsed.astimezone(UTC):%Y-%m-%d %H:%M}"


def age(passed: timedelta) -> str:
    """Returns a time that has passed in its two largest units: 3 d 4 h."""
    minutes = max(0, int(passed.total_seconds() // 60))
    days, hours = minutes // 1440, minutes // 60 % 24
    if days:
        return f"{number(days)} d {hours} h"
    return f"{hours} h {minutes % 60} min" if hours else f"{minutes} min"


def signed(value: float) -> str:
    """Returns a number with two decimals, and with a minus that is as wide as a digit."""
    return f"{value:.2f}".replace("-", "\N{MINUS SIGN}")


def rate(per_second: float | None) -> str:
    """Returns a pace with two digits that count, or a dash if it is not known."""
    if per_second is None:
        return "–"
    return number(per_second) if per_second >= 10 or per_second == 0 else f"{per_second:.2g}"
