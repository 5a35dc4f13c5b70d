"""What may be dialled: the rules for a URL, and for the addresses that its host name turned out to have.

Follows the IANA special-purpose address registries (RFC 6890 and its updates). `ipaddress.is_global` alone is not
enough: it passes multicast, addresses that carry an IPv4 one inside (NAT64, 6to4), and what was registered late.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from yarl import URL

from streams.images.errors import ImageError
from streams.settings import ImageLimits

IPAddress = IPv4Address | IPv6Address

SCHEMES = ("http", "https")

MAX_URL = 8192
"""Characters; servers take no longer ones either."""

MAX_ADDRESSES = 64
"""Of one name; judging thousands would take the event loop's time."""

_NAT64 = ip_network("64:ff9b::/96")  # RFC 6052: the last 32 bits are the IPv4 address that is reached
_UNICAST = ip_network("2000::/3")  # RFC 4291: the only IPv6 space handed out for global unicast
_REFUSED = tuple(
    ip_network(network)
    for network in (
        "192.0.0.0/24",  # IETF protocol assignments; a cloud keeps its metadata at 192.0.0.192
        "192.88.99.0/24",  # 6to4 relays, RFC 7526
        "168.63.129.16/32",  # a cloud's host agent on an address that looks public
        "2001::/23",  # Teredo and other protocol assignments
        "2002::/16",  # 6to4 leads to whatever IPv4 address stands inside it
        "3fff::/20",  # documentation, RFC 9637
    )
)


def is_public(address: IPAddress) -> bool:
    """Whether anybody on the internet could mean this address: unicast, global, and no IPv4 address hidden in it."""
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            return False
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if address in _NAT64:
            return is_public(IPv4Address(int(address) & 0xFFFF_FFFF))
        if address not in _UNICAST:
            return False
    if address.is_multicast or any(address in network for network in _REFUSED if network.version == address.version):
        return False
    return address.is_global


def is_own(address: IPAddress) -> bool:
    """Whether it is an address of this machine, where what is closed to the internet may be open to ourselves.

    Asks the routing table, by a datagram socket that sends nothing: to itself a machine speaks from the same address.
    Raises `ImageError` (internal) when it cannot ask.
    """
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        probe = socket.socket(family, socket.SOCK_DGRAM)
    except OSError as error:
        if error.errno == errno.EAFNOSUPPORT:  # a machine without this family has no address of it
            return False
        raise ImageError("internal", f"no socket: {error}") from None
    with probe:
        try:
            probe.connect((str(address), 9))
        except OSError:  # no way there
            return False
        return ip_address(probe.getsockname()[0]) == address


def literal(host: str) -> IPAddress | None:
    """The address that `host` spells, also in the old forms (decimal, octal, hex, short) that resolvers accept."""
    try:
        return ip_address(host)
    except ValueError:
        pass
    try:
        return IPv4Address(socket.inet_aton(host))
    except OSError:
        return None


@dataclass(frozen=True)
class Gate:
    """Decides on URLs and addresses. `allow` holds `host:port` entries that are exempt from the port and address rules.

    An entry is compared with the URL's host as yarl writes it, an IPv6 one in brackets; the settings see to that.
    """

    ports: frozenset[int]
    allow: frozenset[str]

    @classmethod
    def of(cls, limits: ImageLimits) -> Gate:
        return cls(frozenset(limits.ports), frozenset(limits.allow))

    def exempt(self, host: str, port: int) -> bool:
        return (f"[{host}]:{port}" if ":" in host else f"{host}:{port}") in self.allow

    def check_url(self, text: str, base: URL | None = None) -> URL:
        """The URL to ask for; `base` is the page that redirected here. Raises `ImageError`. No look-up is made."""
        if len(text) > MAX_URL:
            raise ImageError("bad_url", f"{len(text)} characters, {MAX_URL} allowed")
        try:
            url = URL(text) if base is None else base.join(URL(text))
            host, port = url.raw_host, url.port
        except ValueError as error:
            raise ImageError("bad_url", str(error)) from None
        if url.scheme not in SCHEMES:
            raise ImageError("scheme", f"{url.scheme or 'none'} is not one of {', '.join(SCHEMES)}")
        if not host or not port or "%" in host:
            raise ImageError("bad_url", "no usable host and port in it")
        if url.user is not None or url.password is not None:
            raise ImageError("credentials", "the URL carries a user or a password")
        if self.exempt(host, port):
            return url
        if port not in self.ports:
            raise ImageError("port", f"{port} is not one of {', '.join(map(str, sorted(self.ports)))}")
        self._check_literal(host, port)
        return url

    def _check_literal(self, host: str, port: int) -> None:
        address = literal(host)
        if address is None:
            return
        self.check_addresses(host, port, [str(address)])
        if isinstance(address, IPv4Address) and host != str(address):
            raise ImageError("bad_url", f"{host} is an unusual way to write {address}")

    def check_addresses(self, host: str, port: int, addresses: Sequence[str]) -> None:
        """Raises `ImageError` unless every one of the host's addresses may be dialled."""
        if not 0 < len(addresses) <= MAX_ADDRESSES:
            raise ImageError("unresolvable", f"{host} has {len(addresses)} addresses, 1 to {MAX_ADDRESSES} wanted")
        if self.exempt(host, port):
            return
        for address in addresses:
            what = host if address == host else f"{host} ({address})"
            if not is_public(ip_address(address)):
                raise ImageError("private_address", f"{what} is not a public address")
            if is_own(ip_address(address)):
                raise ImageError("private_address", f"{what} is an address of this very machine")
