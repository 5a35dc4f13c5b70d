"""What the clients of Redis need: one server, a master that Sentinels know, or a cluster; TLS, and how to log in.

| URL                                      | connects to                                    |
|------------------------------------------|------------------------------------------------|
| `redis://HOST:PORT/DB`, `unix://PATH`    | this server                                    |
| `redis+sentinel://H:P,H:P/NAME/DB`       | the master that these Sentinels call `NAME`    |
| `redis+cluster://H:P,H:P`                | the cluster that these nodes belong to         |

With `rediss` in place of `redis`, the connections use TLS, those to Sentinels as well.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from sinks.connect.tls import Tls

REFUSALS = "refusals"
"""Attribute of `MasterNotFoundError`: the errors of the Sentinels. The client shows only their names."""

ANSWERED = "answered"
"""Attribute of `MasterNotFoundError`: the number of Sentinels that answered, and know no master that works."""

SCHEME = re.compile(r"(redis|rediss)\+(sentinel|cluster)")
EXAMPLES = (
    "expected a URL such as redis+sentinel://h1:26379,h2:26379/mymaster/0 or redis+cluster://h1:6379,h2:6379, "
    "without user and password"
)


@dataclass(frozen=True, eq=False)
class RedisServer:
    """A server with TLS or a login of its own. `url` may hold a password, so show `where` instead."""

    url: str = field(repr=False)
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: Tls | None = None  # None still uses TLS where the URL says so, and trusts the authorities of this machine
    sentinel_user: str | None = None
    sentinel_password: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return where(self.url)


Store = str | RedisServer
"""A plain text is a URL."""


@dataclass(frozen=True)
class Nodes:
    """A URL of several servers. `master` is the name that Sentinels use; None for a cluster."""

    hosts: tuple[tuple[str, int], ...]
    secure: bool
    master: str | None = None
    db: int = 0


def nodes(url: str) -> Nodes | None:
    """Returns what a URL of Sentinels or a cluster says, None for a URL of one server. Raises `ValueError`."""
    scheme, _, rest = url.partition("://")
    if (kind := SCHEME.fullmatch(scheme)) is None:
        return None
    listed, _, path = rest.partition("/")
    hosts = tuple(_host(one.strip(), 26379 if kind[2] == "sentinel" else 6379) for one in listed.split(","))
    secure = kind[1] == "rediss"
    if kind[2] == "cluster":
        if path:
            raise ValueError(EXAMPLES)
        return Nodes(hosts, secure)
    named = re.fullmatch(r"([\w.-]+)(?:/(\d{1,5}))?", path)
    if named is None:
        raise ValueError(EXAMPLES)
    return Nodes(hosts, secure, named[1], int(named[2] or 0))


def _host(text: str, port: int) -> tuple[str, int]:
    found = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?", text)
    if found is None or not 0 < int(found[2] or port) < 65536:
        raise ValueError(EXAMPLES)
    return found[1].strip("[]"), int(found[2] or port)


def server(store: Store) -> RedisServer:
    """Returns the server that a plain URL names."""
    return store if isinstance(store, RedisServer) else RedisServer(store)


def where(url: str) -> str:
    """Returns the address without user and password."""
    if SCHEME.match(url):
        return url.partition("://")[2]
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port or 6379}" if parts.hostname else parts.path


def is_cluster(store: Store) -> bool:
    found = nodes(server(store).url)
    return found is not None and found.master is None


def key_prefix(store: Store, prefix: str) -> str:
    """Returns the prefix of the keys. In a cluster, braces keep all keys in one slot, as a script requires.

    See redis.io, "Redis cluster specification", hash tags.
    """
    return f"{{{prefix.rstrip(':')}}}:" if is_cluster(store) and "{" not in prefix else prefix


def open_async(store: Store, **options: Any) -> tuple[Any, Callable[[], Awaitable[None]]]:
    """Returns a client for asyncio, and what closes it. Connects later.

    `options` are those of the client. Raises `ValueError` for a URL that it does not take, and `UserError` when a file
    of TLS cannot be used.
    """
    from redis.asyncio import Redis, RedisCluster, sentinel
    from redis.asyncio.cluster import ClusterNode

    told = server(store)
    found = nodes(told.url)
    if found is None:
        client = Redis.from_url(told.url, **_login(told), **_tls(told, told.url.startswith("rediss:")), **options)
        return client, client.aclose
    if found.master is None:
        started = [ClusterNode(host, port) for host, port in found.hosts]
        cluster = RedisCluster(startup_nodes=started, **_login(told), **_tls(told, found.secure, flag=True), **options)
        return cluster, cluster.aclose
    refusals: dict[int, Exception] = {}

    class RefusalSentinel(sentinel.Sentinel):
        """Puts into the error what the Sentinels answered."""

        async def discover_master(self, service_name: str) -> Any:
            try:
                return await super().discover_master(service_name)
            except sentinel.MasterNotFoundError as error:
                _explain(error, refusals, len(self.sentinels))
                raise

    watchers = _sentinels(RefusalSentinel, told, found, options)
    for number, watcher in enumerate(watchers.sentinels):
        watcher.sentinel_masters = _noting_async(watcher.sentinel_masters, number, refusals)
    master = watchers.master_for(found.master)

    async def close() -> None:
        await master.aclose()
        await watchers.aclose()

    return master, close


def open_sync(store: Store, prefix: str = "", **options: Any) -> Any:
    """Returns a blocking client of one server. In a cluster, this is the node that holds the keys with this prefix.

    Raises as `open_async` does. In a cluster it connects, so it may also raise the errors of the client.
    """
    from redis import Redis, RedisCluster, cluster, sentinel

    told = server(store)
    found = nodes(told.url)
    if found is None:
        return Redis.from_url(told.url, **_login(told), **_tls(told, told.url.startswith("rediss:")), **options)
    if found.master is None:
        node: Any = cluster.ClusterNode  # redis-py has no types here
        started = [node(host, port) for host, port in found.hosts]
        secured = _tls(told, found.secure, flag=True)
        whole: Any = RedisCluster(startup_nodes=started, **_login(told), **secured, **options)
        return whole.get_redis_connection(whole.get_node_from_key(key_prefix(told, prefix)))
    refusals: dict[int, Exception] = {}

    class RefusalSentinel(sentinel.Sentinel):
        """Puts into the error what the Sentinels answered."""

        def discover_master(self, service_name: str) -> Any:
            try:
                return super().discover_master(service_name)  # type: ignore[no-untyped-call]
            except sentinel.MasterNotFoundError as error:
                _explain(error, refusals, len(self.sentinels))
                raise

    watchers = _sentinels(RefusalSentinel, told, found, options)
    for number, watcher in enumerate(watchers.sentinels):
        watcher.sentinel_masters = _noting(watcher.sentinel_masters, number, refusals)
    return watchers.master_for(found.master)


def _explain(error: Exception, refusals: dict[int, Exception], count: int) -> None:
    """Puts into the error what `count` Sentinels answered."""
    setattr(error, REFUSALS, list(refusals.values()))
    setattr(error, ANSWERED, count - len(refusals))


def _noting(ask: Callable[[], Any], number: int, refusals: dict[int, Exception]) -> Callable[[], Any]:
    """Notes under `number` what the last answer failed with."""

    def asked() -> Any:
        try:
            answer = ask()
        except Exception as error:
            refusals[number] = error
            raise
        refusals.pop(number, None)
        return answer

    return asked


def _noting_async(ask: Callable[[], Any], number: int, refusals: dict[int, Exception]) -> Callable[[], Awaitable[Any]]:
    async def asked() -> Any:
        try:
            answer = await ask()
        except Exception as error:
            refusals[number] = error
            raise
        refusals.pop(number, None)
        return answer

    return asked


def _sentinels(kind: Any, told: RedisServer, found: Nodes, options: dict[str, Any]) -> Any:
    """Returns a client of the Sentinels, which have a login of their own, and the options of the master with it."""
    secured = _tls(told, found.secure, flag=True)
    login = {"username": told.sentinel_user, "password": told.sentinel_password}
    given = {name: value for name, value in login.items() if value is not None}
    return kind(
        list(found.hosts),
        sentinel_kwargs={**given, **secured, **options},
        db=found.db,
        **_login(told),
        **secured,
        **options,
    )


def _login(told: RedisServer) -> dict[str, Any]:
    given = {"username": told.user, "password": told.password}
    return {name: value for name, value in given.items() if value is not None}


def _tls(told: RedisServer, secure: bool, *, flag: bool = False) -> dict[str, Any]:
    """Returns the options of TLS. `flag`: whether the client needs to be told to use it, since no URL does."""
    if not secure:
        return {}
    options: dict[str, Any] = {"ssl": True} if flag else {}
    if told.tls is None:
        return options
    told.tls.context()  # the client would tell of a wrong file only when it connects
    files = {"ssl_ca_certs": told.tls.ca, "ssl_certfile": told.tls.certificate, "ssl_keyfile": told.tls.key}
    options |= {name: str(path) for name, path in files.items() if path is not None}
    return options if told.tls.key_password is None else {**options, "ssl_password": told.tls.key_password}
