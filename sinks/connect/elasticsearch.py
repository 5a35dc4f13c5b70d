"""What the client of Elasticsearch needs: the nodes, TLS, and how to log in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from elastic_transport.client_utils import parse_cloud_id

from sinks.connect.tls import Tls


@dataclass(frozen=True, eq=False)
class ElasticsearchServer:
    """Nodes of one cluster with TLS or a login. As text it is the addresses without passwords."""

    urls: tuple[str, ...] = field(default=(), repr=False)  # they may hold passwords. Empty with `cloud_id`
    cloud_id: str | None = None
    api_key: str | None = field(default=None, repr=False)
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: Tls | None = None

    def __str__(self) -> str:
        return ", ".join(map(address, self.nodes))

    @property
    def nodes(self) -> list[str]:
        """The URLs of the nodes."""
        if self.cloud_id is None:
            return list(self.urls)
        host, port = parse_cloud_id(self.cloud_id).es_address or ("", 443)
        return [f"https://{host}:{port}"]


Cluster = str | ElasticsearchServer
"""A plain text is URLs, separated by commas."""


def server(cluster: Cluster) -> ElasticsearchServer:
    """Returns the server that plain URLs name."""
    if isinstance(cluster, ElasticsearchServer):
        return cluster
    return ElasticsearchServer(tuple(url.strip() for url in cluster.split(",")))


def address(url: str) -> str:
    """Returns a URL without the user and the password."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def client_options(cluster: Cluster) -> dict[str, Any]:
    """Returns the options with which any client of Elasticsearch connects. Other nodes are tried if one is away.

    Raises `UserError` when a file of TLS cannot be used.
    """
    told = server(cluster)
    options: dict[str, Any] = {"hosts": list(told.urls)} if told.cloud_id is None else {"cloud_id": told.cloud_id}
    options |= {"max_retries": max(0, len(told.nodes) - 1), "retry_on_timeout": False, "retry_on_status": ()}
    if told.tls:
        options["ssl_context"] = told.tls.context()
    if told.api_key is not None:
        options["api_key"] = told.api_key
    elif told.user is not None:
        options["basic_auth"] = (told.user, told.password or "")
    return options
