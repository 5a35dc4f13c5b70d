"""Which addresses are public, and which URLs may be looked up."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.images.address import UrlPolicy, is_public
from streams.images.errors import ImageError
from streams.settings import ImageLimits

GATE = UrlPolicy.of(ImageLimits(allow=("intranet.example:8080", "[::1]:9000")))


@pytest.mark.parametrize(
    "address",
    [
        pytest.param("127.0.0.1", id="loopback"),
        pytest.param("0.0.0.0", id="this host"),
        pytest.param("10.0.0.7", id="private, 10/8"),
        pytest.param("172.16.0.1", id="private, 172.16/12"),
        pytest.param("192.168.1.1", id="private, 192.168/16"),
        pytest.param("169.254.169.254", id="link-local, cloud metadata"),
        pytest.param("100.100.100.200", id="carrier-grade NAT, another cloud's metadata"),
        pytest.param("192.0.0.192", id="protocol assignments, a third cloud's metadata"),
        pytest.param("168.63.129.16", id="a cloud's host agent on a public-looking address"),
        pytest.param("192.0.2.1", id="documentation"),
        pytest.param("198.18.0.1", id="benchmarking"),
        pytest.param("192.88.99.1", id="6to4 relay"),
        pytest.param("224.0.0.1", id="multicast"),
        pytest.param("240.0.0.1", id="reserved"),
        pytest.param("255.255.255.255", id="broadcast"),
        pytest.param("::", id="IPv6 unspecified"),
        pytest.param("::1", id="IPv6 loopback"),
        pytest.param("::127.0.0.1", id="IPv4-compatible"),
        pytest.param("::ffff:127.0.0.1", id="IPv4-mapped loopback"),
        pytest.param("::ffff:169.254.169.254", id="IPv4-mapped metadata"),
        pytest.param("64:ff9b::7f00:1", id="NAT64 to loopback"),
        pytest.param("64:ff9b::a9fe:a9fe", id="NAT64 to metadata"),
        pytest.param("64:ff9b:1::1", id="NAT64 for local use"),
        pytest.param("2002:7f00:1::", id="6to4 to loopback"),
        pytest.param("2002:808:808::", id="6to4, wherever it leads"),
        pytest.param("2001:0:4136:e378:8000:63bf:3fff:fdd2", id="Teredo"),
        pytest.param("fe80::1", id="IPv6 link-local"),
        pytest.param("2606:4700::1%eth0", id="an address with a zone"),
        pytest.param("fc00::1", id="unique local"),
        pytest.param("fd00:ec2::254", id="unique local, cloud metadata"),
        pytest.param("fec0::1", id="site-local"),
        pytest.param("ff0e::1", id="IPv6 multicast"),
        pytest.param("2001:db8::1", id="IPv6 documentation"),
        pytest.param("3fff::1", id="IPv6 documentation, the newer one"),
        pytest.param("5f00::1", id="segment routing"),
    ],
)
def test_special_addresses_are_not_public(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "93.184.216.34", "2606:4700::6810:85e5", "64:ff9b::808:808"])
def test_global_unicast_addresses_are_public(address: str) -> None:
    assert is_public(ip_address(address))


def test_an_address_of_this_machine_is_refused_even_if_it_is_public(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loopback stands in for the machine's public address, where services may be open only to the machine itself."""
    monkeypatch.setattr("streams.images.address.is_public", lambda address: True)
    with pytest.raises(ImageError, match=r"^private_address: us.example \(127.0.0.1\) is an address of this machine"):
        GATE.check_addresses("us.example", 80, ["8.8.8.8", "127.0.0.1"])
    GATE.check_addresses("others.example", 80, ["8.8.8.8", "2606:4700::1111"])


@pytest.fixture
def no_socket(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], None]:
    """Makes every new socket of this family fail."""
    real = socket.socket

    def refuse(family: int, error: int) -> None:
        def make(*arguments: Any, **options: Any) -> socket.socket:
            if arguments[:1] == (family,) or options.get("family") == family:
                raise OSError(error, os.strerror(error))
            return real(*arguments, **options)

        monkeypatch.setattr(socket, "socket", make)

    return refuse


def test_a_host_with_both_kinds_of_addresses_works_without_ipv6(
    no_socket: Callable[[int, int], None],
) -> None:
    no_socket(socket.AF_INET6, errno.EAFNOSUPPORT)
    GATE.check_addresses("both.example", 80, ["8.8.8.8", "2606:4700::1111"])


def test_a_lack_of_sockets_is_not_the_hosts_fault(no_socket: Callable[[int, int], None]) -> None:
    no_socket(socket.AF_INET, errno.EMFILE)
    with pytest.raises(ImageError, match=r"^internal: cannot make a socket: .*Too many open files"):
        GATE.check_addresses("others.example", 80, ["8.8.8.8"])


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_inside_an_ipv6_address_gets_the_same_verdict(address: IPv4Address) -> None:
    mapped = IPv6Address(int(IPv6Address("::ffff:0:0")) + int(address))
    translated = IPv6Address(int(IPv6Address("64:ff9b::")) + int(address))
    assert is_public(mapped) == is_public(translated) == is_public(address)


@given(st.ip_addresses(network="10.0.0.0/8"), st.sampled_from(["{0}", "{0:#x}", "{1:#o}.{2}", "{1:#x}.{2:#x}"]))
def test_a_private_address_is_recognised_in_every_spelling(address: IPv4Address, form: str) -> None:
    number = int(address)
    host = form.format(number, number >> 24, number & 0xFFFFFF).replace("0o", "0")
    with pytest.raises(ImageError, match=r"^private_address: "):
        GATE.check_url(f"http://{host}/")


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        pytest.param("file:///etc/passwd", "scheme: file", id="file"),
        pytest.param("ftp://example.com/a.jpg", "scheme: ftp", id="ftp"),
        pytest.param("data:image/png;base64,AAAA", "scheme: data", id="data"),
        pytest.param("example.com/a.jpg", "scheme: none", id="no scheme"),
        pytest.param("http:///a.jpg", "bad_url: ", id="no host"),
        pytest.param("http://[::1/", "bad_url: ", id="broken brackets"),
        pytest.param("http://example.com:99999/", "bad_url: ", id="impossible port"),
        pytest.param("http://example.com:0/", "bad_url: ", id="port zero"),
        pytest.param("http://example.com\\@127.0.0.1/", "bad_url: ", id="backslash before the host"),
        pytest.param("http://[fe80::1%25eth0]/", "bad_url: ", id="zone in the host"),
        pytest.param("http://me@example.com/", "credentials: ", id="user"),
        pytest.param("http://me:secret@example.com/", "credentials: ", id="user and password"),
        pytest.param("http://example.com@127.0.0.1/", "credentials: ", id="a host that is a user"),
        pytest.param("http://example.com:22/", "port: 22 ", id="a port that is not for the web"),
        pytest.param("http://intranet.example:6379/", "port: 6379 ", id="another port of an allowed host"),
        pytest.param("http://134744072/", "bad_url: ", id="a public address as one number"),
    ],
)
def test_a_url_is_refused_before_any_look_up(url: str, reason: str) -> None:
    with pytest.raises(ImageError) as refused:
        GATE.check_url(url)
    assert refused.value.reason.startswith(reason)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/a.jpg?size=big#top",
        "http://example.com:443/",
        "http://8.8.8.8/",
        "http://[2606:4700::6810:85e5]/",
        "http://intranet.example:8080/",
        "http://INTRANET.example:8080/",
        "http://[::1]:9000/",
    ],
)
def test_an_ordinary_or_allowed_url_passes(url: str) -> None:
    assert GATE.check_url(url).host


@pytest.mark.parametrize(
    ("entry", "url"),
    [
        pytest.param("[0:0:0:0:0:0:0:1]:8080", "http://[::1]:8080/", id="IPv6 in long"),
        pytest.param("[::1]:8080", "http://[0:0:0:0:0:0:0:1]:8080/", id="IPv6 in short"),
        pytest.param("bücher.example:8080", "http://xn--bcher-kva.example:8080/", id="a name in letters"),
        pytest.param("xn--bcher-kva.example:8080", "http://BÜCHER.example:8080/", id="a name in IDNA"),
        pytest.param("INTRANET.example:08080", "http://intranet.example:8080/", id="capitals, a zero too many"),
    ],
)
def test_an_allowed_host_is_recognised_in_every_spelling(entry: str, url: str) -> None:
    assert UrlPolicy.of(ImageLimits(allow=(entry,))).check_url(url).host


def test_a_reason_is_one_printable_line_of_bounded_length() -> None:
    reason = ImageError("unresolvable", "a\nb\x1b[31m" + "x" * 10_000).reason
    assert reason.isprintable()
    assert len(reason) <= 300
