"""Writes an address as it goes out to a server.

The URL standard (https://url.spec.whatwg.org) says how browsers do it: percent-encodings stay as they are, spaces and
letters beyond ASCII are encoded, dot segments are resolved. Here a query that is a valid one (RFC 3986, 3.4) stays
byte for byte, since it may be signed; browsers would encode its apostrophes.
"""

from __future__ import annotations

import re

import ada_url
from yarl import URL

_SPACE = "".join(map(chr, range(0x21)))
"""What the standard strips from both ends of an address."""

_VALID_QUERY = re.compile(r"[A-Za-z0-9\-._~!$&'()*+,;=:@/?%]*")


def stripped(text: str) -> str:
    return text.strip(_SPACE)


def outgoing_url(text: str, base: URL | None = None) -> URL:
    """Returns the URL whose `raw_path_qs` goes out as it is. Raises `ValueError` if a browser would refuse the address.

    The whole request target stands in the path. yarl would take a query apart, and drop an empty one.
    """
    read = ada_url.URL(text, base=None if base is None else str(base))
    target = read.pathname
    if read.search or read.href.partition("#")[0].endswith("?"):
        query = re.sub(r"[\t\n\r]", "", text).partition("#")[0].partition("?")[2]
        target += f"?{query}" if query and _VALID_QUERY.fullmatch(query) else read.search or "?"
    return URL.build(scheme=read.protocol.rstrip(":"), authority=read.host, path=target, encoded=True)


def location_text(header: str) -> str:
    """Returns a Location header as text. Bytes that are not UTF-8 are percent-encoded, as in Chromium.

    aiohttp gives such bytes as surrogates (PEP 383).
    """
    return re.sub(r"[\udc80-\udcff]", lambda match: f"%{ord(match[0]) - 0xDC00:02X}", header)
