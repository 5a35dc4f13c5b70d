"""Decides which URLs and addresses the worker may connect to.

Follows the IANA special-purpose address registries (RFC 6890 and its updates). `ipaddress.is_global` alone is not
enough. It accepts multicast, IPv6 addresses that contain an IPv4 address (NAT64, 6to4), and special-purpose blocks that
Python's tables do not have yet.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from yarl import URL

from streams.images.errors import ImageError
from streams.images.outgoing import outgoing_url, stripped
from streams.settings import ImageLimits

IPAddress = IPv4Address | IPv6Address

SCHEMES = ("http", "https")

MAX_URL = 8192
"""Longest URL, in characters. Servers refuse longer URLs too."""

MAX_ADDRESSES = 64
"""Largest number of addresses of one name. Checking thousands would block the event loop."""

_NAT64 = ip_network("64:ff9b::/96")  # RFC 6052: the last 32 bits are an IPv4 address
_UNICAST = ip_network("2000::/3")  # RFC 4291: the only IPv6 block assigned for global unicast
_REFUSED = tuple(
    ip_network(network)
    for network in (
        "192.0.0.0/24",  # IETF protocol assignments; one cloud serves its metadata at 192.0.0.192
        "192.88.99.0/24",  # 6to4 relays, RFC 7526
        "168.63.129.16/32",  # one cloud's host agent, on an address that looks public
        "2001::/23",  # Teredo and other protocol assignments
        "2002::/16",  # 6to4 leads to the IPv4 address inside it
        "3fff::/20",  # documentation, RFC 9637
    )
)


def is_public(address: IPAddress) -> bool:
    """Returns whether the address is global unicast, and any IPv4 address inside it is public too."""
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


def is_this_machine(address: IPAddress) -> bool:
    """Returns whether the address belongs to this machine.

    Services of this machine may be closed to the internet, but open to the machine itself.

    Asks the routing table through a datagram socket that sends nothing. When a machine connects to itself, source and
    target address are the same. Raises `ImageError` (internal) if no socket can be made.
    """
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        probe = socket.socket(family, socket.SOCK_DGRAM)
    except OSError as error:
        if error.errno == errno.EAFNOSUPPORT:  # without this address family, the machine has no such address
            return False
        raise ImageError("internal", f"cannot make a socket: {error}") from None
    with probe:
        try:
            probe.connect((str(address), 9))
        except OSError:  # no route to it
            return False
        return ip_address(probe.getsockname()[0]) == address


def parse_address(host: str) -> IPAddress | None:
    """Returns the address that `host` spells, also in the old forms (decimal, octal, hex, short). None for a name."""
    try:
        return ip_address(host)
    except ValueError:
        pass
    try:
        return IPv4Address(socket.inet_aton(host))
    except OSError:
        return None


@dataclass(frozen=True)
class UrlPolicy:
    """The rules for URLs and addresses."""

    #: The allowed ports.
    ports: frozenset[int]
    #: `host:port` entries that are exempt from the rules for ports and addresses. They are written as yarl writes
    #: hosts, with IPv6 addresses in brackets. The settings normalise them.
    allow: frozenset[str]

    @classmethod
    def of(cls, limits: ImageLimits) -> UrlPolicy:
        return cls(frozenset(limits.ports), frozenset(limits.allow))

    def is_exempt(self, host: str, port: int) -> bool:
        """Whether an entry of `allow` names this host and port."""
        return (f"[{host}]:{port}" if ":" in host else f"{host}:{port}") in self.allow

    def check_url(self, text: str, base: URL | None = None) -> URL:
        """Returns the URL as it goes out (see `outgoing`). `base` is the URL that redirected to it.

        Does not resolve the host name. Two libraries read the address. yarl's reading keeps an unusual spelling of the
        host, so it is the one that is checked; if the URL standard gives another host, the address is refused. Raises
        `ImageError` if the URL may not be fetched.
        """
        text = stripped(text)
        if len(text) > MAX_URL:
            raise ImageError("bad_url", f"the URL has {len(text)} characters; {MAX_URL} are allowed")
        try:
            url = URL(text) if base is None else base.join(URL(text))
            host, port = url.raw_host, url.port
        except (ValueError, IndexError) as error:  # yarl 1.25 looks for a first letter where the host is empty
            raise ImageError("bad_url", f"the URL cannot be read: {error}") from None
        if url.scheme not in SCHEMES:
            raise ImageError("scheme", f"{url.scheme or 'none'} is not allowed; only {', '.join(SCHEMES)}")
        if not host or not port or "%" in host:
            raise ImageError("bad_url", "the URL has no usable host and port")
        if url.user is not None or url.password is not None:
            raise ImageError("credentials", "the URL contains a user name or a password")
        if self.is_exempt(host, port):
            return _outgoing(text, base, url)
        if port not in self.ports:
            allowed = ", ".join(map(str, sorted(self.ports)))
            raise ImageError("port", f"{port} is not allowed; only {allowed}")
        self._check_literal(host, port)
        return _outgoing(text, base, url)

    def _check_literal(self, host: str, port: int) -> None:
        address = parse_address(host)
        if address is None:
            return
        self.check_addresses(host, port, [str(address)])
        if isinstance(address, IPv4Address) and host != str(address):
            raise ImageError("bad_url", f"{host} is an unusual spelling of {address}")

    def check_addresses(self, host: str, port: int, addresses: Sequence[str]) -> None:
        """Raises `ImageError` unless the worker may connect to every address of the host."""
        if not 0 < len(addresses) <= MAX_ADDRESSES:
            raise ImageError("unresolvable", f"{host} has {len(addresses)} addresses; 1 to {MAX_ADDRESSES} are allowed")
        if self.is_exempt(host, port):
            return
        for address in addresses:
            name = host if address == host else f"{host} ({address})"
            if not is_public(ip_address(address)):
                raise ImageError("private_address", f"{name} is not a public address")
            if is_this_machine(ip_address(address)):
                raise ImageError("private_address", f"{name} is an address of this machine")


def _outgoing(text: str, base: URL | None, checked: URL) -> URL:
    """Returns the URL as it goes out. Raises `ImageError` (bad_url) unless it leads to the host that was checked."""
    try:
        url = outgoing_url(text, base)
        same = (url.scheme, url.raw_host, url.port) == (checked.scheme, checked.raw_host, checked.port)
    except ValueError as error:
        raise ImageError("bad_url", str(error)) from None
    if not same:
        raise ImageError("bad_url", f"the host can be read as {url.raw_host} and as {checked.raw_host}")
    return url
