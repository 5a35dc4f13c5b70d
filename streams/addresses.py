"""Checks the addresses of servers as their clients do, and shows them without their secrets.

Each check returns the value, and raises `ValueError` for a wrong one. A message about a wrong URL never quotes it, as
any part of it may be a password.
"""

from __future__ import annotations

import re
from ipaddress import ip_network
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from yarl import URL

URL_AUTHORITY = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^\s\[\]:/?#@%\\]+):([0-9]{1,5})")
"""host:port as in a URL, with an IPv6 address in brackets."""

AUTHORITY = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})")
"""Like `URL_AUTHORITY`, but without international names, which only URLs may have."""

SEVERAL = re.compile(r"rediss?\+(sentinel|cluster)")
NODE = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?")
"""The scheme of a URL with several nodes of Redis, and a node there."""

REDIS_SCHEMES = ("redis", "rediss", "unix")
REDIS_OPTIONS = {
    "db",
    "username",
    "password",
    "client_name",
    "socket_timeout",
    "socket_connect_timeout",
    "health_check_interval",
    "max_connections",
    "ssl_cert_reqs",
    "ssl_ca_certs",
    "ssl_certfile",
    "ssl_keyfile",
}
"""Options of redis-py that a URL may set. The others connect elsewhere (host), change the type of replies
(decode_responses), or take Python objects, which a URL cannot hold: the client would fail only when it connects."""

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


def host_names(entries: tuple[str, ...]) -> tuple[str, ...]:
    """Returns each host name or IP address as yarl writes it in a URL. Each is without a port."""
    for entry in entries:
        if not re.fullmatch(r"\[[0-9a-fA-F:.]+\]|[^\s\[\]:/?#@%\\*]+", entry):
            raise ValueError(f"{masked(entry)!r} is not a host name without a port, such as desk.example or [::1]")
    return tuple(_url_authority(f"{entry}:80").removesuffix(":80") for entry in entries)


def networks(entries: tuple[str, ...]) -> tuple[str, ...]:
    """Checks IP addresses and networks."""
    for entry in entries:
        try:
            ip_network(entry, strict=False)
        except ValueError:
            raise ValueError(f"{masked(entry)!r} is not an IP address or network, such as 10.0.0.0/24") from None
    return entries


def origin(value: str) -> str:
    """Returns scheme, host and port of a URL as a browser sends them in the header `Origin`."""
    try:
        url = URL(value)
        bare = url.raw_path == "/" and not (url.raw_query_string or url.raw_fragment or url.user or url.password)
        if url.scheme in ("http", "https") and url.host and bare:
            return str(url.origin())
    except ValueError:
        pass
    raise ValueError("expected a URL without a path, such as https://desk.example")


def issuer(value: str) -> str:
    """Checks the URL of an OpenID Connect issuer (OpenID Connect Discovery 1.0, section 3)."""
    try:
        url = URL(value)
        known = url.scheme in ("http", "https") and bool(url.host) and not (url.user or url.password)
        is_wrong = not known or bool(url.raw_query_string or url.raw_fragment)
    except ValueError:
        is_wrong = True
    if is_wrong:
        raise ValueError("expected the issuer's URL, such as https://login.example/realms/mine, without a query")
    return value


def elasticsearch(value: str) -> str:
    """Checks URLs, separated by commas."""
    for url in value.split(","):
        _node(url.strip())
    return value


def cloud_id(value: str) -> str:
    from elastic_transport.client_utils import parse_cloud_id

    try:
        host, _ = parse_cloud_id(value).es_address or ("", 0)
    except ValueError:
        host = ""
    if not host:
        raise ValueError("expected the Cloud ID that the console of Elastic Cloud shows, such as name:ZXUtd2Vz...")
    return value


def _node(value: str) -> None:
    from elastic_transport.client_utils import url_to_node_config

    try:
        scheme = url_to_node_config(value, use_default_ports_for_scheme=True).scheme
        url = URL(value)
    except ValueError:
        raise ValueError(ELASTICSEARCH_EXAMPLE) from None
    if scheme not in ("http", "https"):
        raise ValueError(ELASTICSEARCH_EXAMPLE)
    if url.raw_query_string or url.raw_fragment:
        raise ValueError(f"{ELASTICSEARCH_EXAMPLE}, without a query (`?`) or a fragment (`#`)")


def redis(value: str) -> str:
    from redis.asyncio.connection import ConnectionPool

    from sinks.connect.redis import nodes

    if nodes(value) is not None:
        return value
    try:
        parts = urlsplit(value)
        query = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
        is_socket, port = parts.scheme == "unix", parts.port
    except ValueError:
        raise ValueError(REDIS_EXAMPLE) from None
    if parts.scheme not in REDIS_SCHEMES or not (parts.path if is_socket else parts.hostname) or port == 0:
        raise ValueError(REDIS_EXAMPLE)
    if not is_socket and not re.fullmatch(r"(/[0-9]{0,5})?", parts.path):  # redis-py reads /1/2 as database 12
        raise ValueError("the path of a Redis URL must be the database's number")
    if "#" in value or "@" in parts.query:
        raise ValueError("escape a `#`, `?`, `/` or `@` in the user or password, such as %23 for `#`")
    for name, given in query:
        if name not in REDIS_OPTIONS:
            raise ValueError(f"a Redis URL takes no options but {', '.join(sorted(REDIS_OPTIONS))}")
        if name == "db" and not re.fullmatch(r"[0-9]{1,5}", given):
            raise ValueError("db must be the database's number")
    try:
        ConnectionPool.from_url(value).make_connection()  # type: ignore[no-untyped-call]
    except Exception as error:  # redis-py checks each option in its own way, so the types differ
        known = str(error).startswith("Invalid value for")  # the other messages may quote the URL
        raise ValueError(str(error) if known else "redis-py does not accept an option after the `?`") from None
    return value


def masked(value: Any) -> str:
    """Returns a setting as it may be shown: stars replace what may be secret in a URL.

    The user, the host, a numeric port, the path and the database stay visible. Everything before the last `@` counts
    as user and password, even characters that RFC 3986 requires to be escaped there.
    """
    if isinstance(value, tuple):
        return ",".join(masked(part) for part in value)
    if not isinstance(value, str):
        return str(value)
    if value.count("://") > 1:  # several nodes
        return ",".join(map(masked, re.split(r",\s*(?=\w+://)", value)))
    scheme, mark, rest = value.partition("://")
    if not mark:
        return f"***@{value.rpartition('@')[2]}" if "@" in value else value
    login, at, address = rest.rpartition("@")
    place, asked, query = address.partition("?")
    user, colon, _ = login.partition(":")
    shown = f"{user}:***@" if colon else "***@" if at else ""
    if (
        SEVERAL.fullmatch(scheme)
        and not asked
        and all(NODE.fullmatch(node.strip()) for node in place.partition("/")[0].split(","))
    ):
        return f"{scheme}{mark}{shown}{place}"
    place = re.sub(r"^([^/:\[]*|\[[^\]]*\]):(?!\d*(/|$))[^/]*", r"\1:***", place)
    return f"{scheme}{mark}{shown}{place}{asked}{'&'.join(map(_masked_option, query.split('&'))) if asked else ''}"


def _masked_option(option: str) -> str:
    if re.fullmatch(r"db=\d+", option):
        return option
    name = option.partition("=")[0]
    return f"{name}=***" if name in ("username", "password") else "***"


def _authority(text: str, pattern: re.Pattern[str] = AUTHORITY) -> tuple[str, int] | None:
    match = pattern.fullmatch(text)
    return (match[1], int(match[2])) if match and 0 < int(match[2]) < 65536 else None


def _url_authority(entry: str) -> str:
    parts = _authority(entry, URL_AUTHORITY)
    try:
        host = URL(f"http://{entry}").host_subcomponent if parts else None
    except ValueError:
        host = None
    if parts is None or not host:
        raise ValueError(f"{masked(entry)!r} is not host:port, such as intranet.example:80 or [::1]:8080")
    return f"{host}:{parts[1]}"
