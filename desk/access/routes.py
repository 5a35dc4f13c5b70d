"""The pages `/login` and `/audit`, and signing out."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Form, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from core.errors import UserError
from desk import failures
from desk.access import audit
from desk.access.access import Access
from desk.access.gate import FOR_ANYBODY, LOGIN, too_many
from desk.access.limits import PER_ADDRESS, PER_NAME, by_address, by_device, by_name
from desk.access.people import Admin, Person, Somebody
from desk.pages import render

router = APIRouter(include_in_schema=False)

SHOWN = 200
"""Number of entries on the page of the audit log."""

CHECKS = 2
"""Number of passwords that are checked at the same time. Each takes 64 MiB of memory."""

_checks = CapacityLimiter(CHECKS)


@router.get(LOGIN, response_class=HTMLResponse)
async def login_page(request: Request, next: str = "/") -> Response:
    if request.state.person is not None:
        return RedirectResponse(safe_next(next), 303)
    return await _login(request, 200, next=next)


@router.post(LOGIN)
async def login(
    request: Request,
    name: Annotated[str, Form()] = "",
    password: Annotated[str, Form()] = "",
    next: Annotated[str, Form()] = "/",
) -> Response:
    access = _access(request)
    device = access.devices.known(request, name)
    for key, most in _limits(access, _address(request), name, device):
        if wait_s := await access.attempts.count(key, most):
            return too_many(request, wait_s)
    user = await to_thread.run_sync(access.users.verify, name, password, limiter=_checks)
    if user is None:
        known = await access.files.run(access.users.get, name)  # another name may be a password in the wrong field
        await audit.note(request, "login failed", name=name if known else "unknown")
        return await _login(request, 403, name=name, next=next, message="Name or password is wrong.")
    await access.attempts.forget(by_device(device) if device else by_name(name))
    if device is None and access.has_addresses:
        await access.attempts.withdraw(by_address(_address(request)))
    request.state.person = Person(name, frozenset(user.roles), "password")
    await audit.note(request, "login")  # if this fails, nobody is signed in
    access.sessions.begin_with_password(request.session, name, user.password_id)
    response = RedirectResponse(safe_next(next), 303)
    access.devices.remember(request, response, name)
    return response


def _limits(access: Access, address: str, name: str, device: str | None) -> list[tuple[str, int]]:
    """Returns which tries to sign in count together, and how many there may be. A known browser counts apart."""
    if device is not None:
        return [(by_device(device), PER_NAME)]
    of_address = [(by_address(address), PER_ADDRESS)] if access.has_addresses else []
    return [*of_address, (by_name(name), PER_NAME)]


@router.get("/login/oidc")
async def login_with_oidc(request: Request, next: str = "/") -> Response:
    oidc = _access(request).oidc
    if oidc is None:
        return failures.answer(request, 404, "no provider of identities is set: set MNER_DESK_OIDC_ISSUER")
    request.session["next"] = safe_next(next)
    return await oidc.redirect(request, _own_address(request) + "/login/callback")


@router.get("/login/callback")
async def login_callback(request: Request) -> Response:
    access = _access(request)
    if access.oidc is None:
        return failures.answer(request, 404, "no provider of identities is set: set MNER_DESK_OIDC_ISSUER")
    found = await access.oidc.identity(request)
    if await access.files.run(access.users.get, found.name) is not None:
        raise UserError(f"the name {found.name!r} belongs to a user with a password here; ask an admin")
    if not found.roles:
        request.state.person = None
        await audit.note(request, "login failed", name=found.name, reason="no role")
        message = f"{found.name}, your account has no role here; ask for reviewer, analyst or admin"
        return failures.answer(request, 403, message)
    to = safe_next(request.session.get("next", "/"))
    request.state.person = Person(found.name, found.roles, "oidc")
    await audit.note(request, "login")
    access.sessions.begin_with_oidc(request.session, found.name, found.roles)
    return RedirectResponse(to, 303)


@router.post("/logout")
async def logout(request: Request, person: Somebody) -> Response:
    access = _access(request)
    await access.files.run(access.sessions.end, request.session)
    await audit.note(request, "logout")
    return RedirectResponse(LOGIN, 303)


@router.get("/audit", response_class=HTMLResponse)
async def audit_page(request: Request, admin: Admin, person: str = "", action: str = "") -> Response:
    await audit.note(request, "audit")
    page = await _access(request).audit.page(SHOWN, person.strip(), action.strip())
    searched = None if page.is_whole else audit.MOST_SEARCHED // 1_000_000
    return render(request, "audit.html", entries=page.entries, by=person, action=action, shown=SHOWN, searched=searched)


def safe_next(address: str) -> str:
    """Returns the address if it is a page of ours, or "/". A browser would drop control characters from it."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return "/"
    is_ours = (
        address.startswith("/")
        and not address.startswith("//")
        and not parts.scheme
        and not parts.netloc
        and "\\" not in address
        and address.isascii()
        and address.isprintable()
        and parts.path not in {*FOR_ANYBODY, "/logout"}
    )
    return address if is_ours else "/"


async def _login(request: Request, status: int, name: str = "", next: str = "/", message: str = "") -> Response:
    access = _access(request)
    return render(
        request,
        "login.html",
        status,
        name=name,
        next=safe_next(next),
        message=message,
        has_passwords=await access.files.run(lambda: access.has_passwords),
        has_oidc=access.oidc is not None,
    )


def _access(request: Request) -> Access:
    access: Access = request.app.state.access
    return access


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


def _own_address(request: Request) -> str:
    return _access(request).desk.url or str(request.base_url).rstrip("/")
