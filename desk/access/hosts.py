"""The names under which the desk answers.

A page of another site may give its own host name the address of the desk (DNS rebinding). The browser then takes the
desk for a part of that site. But it sends the other name in the header `Host`, so only names that we know are served.
"""

from __future__ import annotations

import ipaddress

from yarl import URL

from core.errors import UserError
from streams.settings import Desk

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


def listener(desk: Desk) -> tuple[str, int]:
    """Returns host and port that the desk listens on. The host is without brackets."""
    host, _, port = desk.listen.rpartition(":")
    return host.strip("[]"), int(port)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def is_behind_proxy(desk: Desk) -> bool:
    """Whether the settings say that other machines reach the desk, wherever it listens."""
    has_name = desk.url is not None and not is_loopback(URL(desk.url).host or "")
    return has_name or bool(desk.hosts or desk.proxies)


def has_unnamed_proxy(desk: Desk) -> bool:
    """Whether people reach the desk through a proxy that no setting names, so that all seem to have one address."""
    host, port = listener(desk)
    if desk.proxies:
        return False
    if is_loopback(host):
        return is_behind_proxy(desk)
    return desk.url is not None and (URL(desk.url).scheme == "https" or URL(desk.url).port != port)


def names(desk: Desk) -> list[str]:
    """Returns the host names to answer under, IPv6 addresses in brackets.

    Raises `UserError` if the desk listens on every address of the machine and no setting says its name.
    """
    host, _ = listener(desk)
    found = [*LOOPBACK, *desk.hosts]
    if desk.url is not None:
        found.append(URL(desk.url).host_subcomponent or "")
    if host in {"0.0.0.0", "::"}:
        if len(found) == len(LOOPBACK):
            raise UserError(
                f"MNER_DESK_LISTEN={desk.listen} is every address of this machine: set MNER_DESK_URL to the address "
                "that people open, such as https://desk.example"
            )
        return found
    return [*found, f"[{host}]" if ":" in host else host]
