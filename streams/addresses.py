"""Addresses of servers: checked as their clients do, and shown without their secrets.

A message about a wrong URL never quotes it, as any part of it may be a password.
"""

from __future__ import annotations

import re
from typing import Any

from yarl import URL

AUTHORITY = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^\s\[\]:/?#@%\\]+):([0-9]{1,5})")
"""host:port as it stands in a URL; an IPv6 address stands in brackets."""

REDIS_EXAMPLE = "expected a URL such as redis://127.0.0.1:6379 or unix:///path, with a port of 1 to 65535"
ELASTICSEARCH_EXAMPLE = "expected a URL such as http://127.0.0.1:9200"


def brokers(value: str) -> str:
    """Checks host:port addresses, separated by commas."""
    for address in value.split(","):
        if _authority(address.strip()) is None:
            raise ValueError(f"{masked(address)!r} is not host:port; separate several with commas")
    return value


def listener(value: str) -> str:
    if _authority(value) is None:
        raise ValueError(f"{masked(value)!r} is not host:port, such as 127.0.0.1:9464")
    return value


def url_authorities(entries: tuple[str, ...]) -> tuple[str, ...]:
    """Returns each host:port as yarl writes it in a URL: lower case, IDNA, the short form of an IPv6 address."""
    return tuple(map(_url_authority, entries))


def elasticsearch(value: str) -> str:
    from elastic_transport.client_utils import url_to_node_config

    try:
        scheme = url_to_node_config(value, use_default_ports_for_scheme=True).scheme
        url = URL(value)
    except ValueError:
        raise ValueError(ELASTICSEARCH_EXAMPLE) from None
    if scheme not in ("http", "https"):
        raise ValueError(ELASTICSEARCH_EXAMPLE)
    if url.raw_query_string or url.raw_fragment:
        raise ValueError(f"{ELASTICSEARCH_EXAMPLE}, with nothing behind a `?` or a `#`")
    return value


def redis(value: str) -> str:
    from redis.asyncio.connection import ConnectionPool, parse_url
    from redis.exceptions import RedisError

    try:
        options = parse_url(value)
    except ValueError as error:
        raise ValueError(str(error) if str(error).startswith("Invalid value for") else REDIS_EXAMPLE) from None
    if not options.get("path" if value.startswith("unix:") else "host"):
        raise ValueError(REDIS_EXAMPLE)
    if not value.startswith("unix:") and URL(value).path.strip("/") and "db" not in options:
        raise ValueError("the path of a Redis URL is the database's number")
    try:
        ConnectionPool.from_url(value).make_connection()  # type: ignore[no-untyped-call]
    except (TypeError, RedisError):
        raise ValueError("redis-py does not accept an option behind the `?`") from None
    return value


def masked(value: Any) -> str:
    """Returns a setting as it may be shown: stars replace what may be secret in a URL.

    The user, the host, a numeric port, the path and the database stay visible. Everything before the last `@` counts
    as user and password, even where RFC 3986 requires it to be escaped.
    """
    if isinstance(value, tuple):
        return ",".join(masked(part) for part in value)
    if not isinstance(value, str):
        return str(value)
    scheme, mark, rest = value.partition("://")
    if not mark:
        return f"***@{value.rpartition('@')[2]}" if "@" in value else value
    head, asked, query = rest.partition("?")
    login, at, place = head.rpartition("@")
    user, colon, _ = login.partition(":")
    shown = f"{user}:***@" if colon else "***@" if at else ""
    place = re.sub(r"^([^/:\[]*|\[[^\]]*\]):(?!\d*(/|$))[^/]*", r"\1:***", place)
    return f"{scheme}{mark}{shown}{place}{asked}{'&'.join(map(_masked_option, query.split('&'))) if asked else ''}"


def _masked_option(option: str) -> str:
    if re.fullmatch(r"db=\d+", option):
        return option
    name = option.partition("=")[0]
    return f"{name}=***" if name in ("username", "password") else "***"


def _authority(text: str) -> tuple[str, int] | None:
    match = AUTHORITY.fullmatch(text)
    return (match[1], int(match[2])) if match and 0 < int(match[2]) < 65536 else None


def _url_authority(entry: str) -> str:
    parts = _authority(entry)
    try:
        host = URL(f"http://{entry}").host_subcomponent if parts else None
    except ValueError:
        host = None
    if parts is None or not host:
        raise ValueError(f"{masked(entry)!r} is not host:port, such as intranet.example:80 or [::1]:8080")
    return f"{host}:{parts[1]}"
