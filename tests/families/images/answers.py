"""What servers answer: the same image under many labels, lengths and encodings, and addresses in many spellings."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import brotli
from backports import zstd

CORPUS = Path(__file__).with_name("corpus")
PNG = (CORPUS / "png-rgb.png").read_bytes()
JPEG = (CORPUS / "jpeg-baseline.jpg").read_bytes()


def answer(body: bytes, *headers: str, status: str = "200 OK", length: int | None = None) -> bytes:
    """Returns an HTTP response. `length` replaces the true Content-Length."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def labelled(encoding: str, body: bytes = PNG) -> bytes:
    return answer(body, "Content-Type: image/png", f"Content-Encoding: {encoding}")


def raw_deflate(body: bytes) -> bytes:
    squeezer = zlib.compressobj(wbits=-15)
    return squeezer.compress(body) + squeezer.flush()


def chunked(body: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    half = len(body) // 2
    return head + b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:half], body[half:])) + end


ANSWERS: dict[str, bytes] = {
    "plain": answer(PNG, "Content-Type: image/png"),
    # types
    "no type": answer(PNG),
    "empty type": answer(PNG, "Content-Type:"),
    "type of text": answer(PNG, "Content-Type: text/plain; charset=utf-8"),
    "type of text, not to be sniffed": answer(PNG, "Content-Type: text/plain", "X-Content-Type-Options: nosniff"),
    "type of a page": answer(PNG, "Content-Type: text/html"),
    "type of anything": answer(PNG, "Content-Type: application/octet-stream"),
    "type of another image": answer(PNG, "Content-Type: image/jpeg"),
    "type of an SVG": answer(PNG, "Content-Type: image/svg+xml"),
    "two types": answer(PNG, "Content-Type: text/html", "Content-Type: image/png"),
    "to be saved": answer(PNG, "Content-Disposition: attachment; filename=a.exe"),
    # labels on intact bytes
    "labelled aws-chunked": labelled("aws-chunked"),
    "labelled with nothing": labelled(""),
    "labelled identity": labelled("identity"),
    "labelled IDENTITY": labelled("IDENTITY"),
    "labelled none": labelled("none"),
    "labelled utf-8": labelled("utf-8"),
    "labelled binary": labelled("binary"),
    "labelled base64": labelled("base64"),
    "labelled image/png": labelled("image/png"),
    "labelled x-rot13": labelled("x-rot13"),
    "labelled gzip though it is not": labelled("gzip"),
    "labelled deflate though it is not": labelled("deflate"),
    "labelled br though it is not": labelled("br"),
    "labelled aws-chunked and identity": labelled("aws-chunked, identity"),
    "labelled with a comma": labelled(","),
    # compressed
    "gzip": labelled("gzip", gzip.compress(PNG)),
    "GZIP": labelled("GZIP", gzip.compress(PNG)),
    "x-gzip": labelled("x-gzip", gzip.compress(PNG)),
    "gzip in two members": labelled("gzip", gzip.compress(PNG[:700]) + gzip.compress(PNG[700:])),
    "gzip, garbage behind": labelled("gzip", gzip.compress(PNG) + b"garbage" * 9),
    "gzip, truncated": labelled("gzip", gzip.compress(JPEG)[:-600]),
    "gzip, wrong checksum": labelled("gzip", gzip.compress(PNG)[:-8] + bytes(8)),
    "gzip twice": labelled("gzip, gzip", gzip.compress(gzip.compress(PNG))),
    "gzip in chunks": chunked(gzip.compress(PNG)).replace(b"\r\n", b"\r\nContent-Encoding: gzip\r\n", 1),
    "gzip with aws-chunked": labelled("gzip,aws-chunked", gzip.compress(PNG)),
    "aws-chunked with gzip": labelled("aws-chunked,gzip", gzip.compress(PNG)),
    "deflate": labelled("deflate", zlib.compress(PNG)),
    "deflate without zlib's head": labelled("deflate", raw_deflate(PNG)),
    "br": labelled("br", brotli.compress(PNG)),
    "zstd": labelled("zstd", zstd.compress(PNG)),
    "gzip, not labelled": answer(gzip.compress(PNG), "Content-Type: image/png"),
    # lengths
    "no length": b"HTTP/1.1 200 OK\r\n\r\n" + PNG,
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\n\r\n" + PNG,
    "length too short": answer(JPEG, length=len(JPEG) * 7 // 10),
    "length too short by two": answer(JPEG, length=len(JPEG) - 2),
    "length too long": answer(JPEG, length=len(JPEG) + 9),
    "length twice": answer(PNG, f"Content-Length: {len(PNG)}"),
    "garbage behind": answer(PNG) + b"garbage" * 9,
    "another answer behind": answer(PNG) + answer(b"<p>another"),
    "in chunks": chunked(PNG),
    "in chunks, with a trailer": chunked(PNG, b"0\r\nX-Checksum: abc\r\n\r\n"),
    "in chunks, garbage behind": chunked(PNG) + b"garbage" * 9,
    "in chunks that break off": chunked(PNG, b""),
    "chunked and a length": chunked(PNG).replace(b"\r\n", b"\r\nContent-Length: 7\r\n", 1),
    "lines that end without CR": answer(PNG).replace(b"\r\n", b"\n", 3),
    # statuses
    "203": answer(PNG, status="203 Non-Authoritative Information"),
    "206, the whole": answer(PNG, f"Content-Range: bytes 0-{len(PNG) - 1}/{len(PNG)}", status="206 Partial Content"),
    "206, a part": answer(JPEG[:2000], f"Content-Range: bytes 0-1999/{len(JPEG)}", status="206 Partial Content"),
    "404 with an image": answer(PNG, status="404 Not Found"),
    "500 with an image": answer(PNG, status="500 Oops"),
}
"""Name -> the bytes of the response."""

TARGETS: tuple[str, ...] = (
    "/plain.jpg",
    "/a%2Fb%3Ac.jpg",
    "/a%2fb%3ac.jpg",
    "/%7Euser/a%2Db%5F.jpg",
    "/signed.jpg?key=a%2Fb%3Ac&Signature=x%2By%3D%3D&Expires=1",
    "/signed.jpg?X-Amz-Credential=AK%2F20261129%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-SignedHeaders=host",
    "/signed.jpg?sv=2024&se=2026-11-29T07%3A00%3A00Z&sig=a%2fb%3d",
    "/a.jpg?a=1&b=&c&&d",
    "/a.jpg?",
    "/a.jpg??a",
    "/a.jpg?a=b=c",
    "/a.jpg?a=b+c%20d%2Be",
    "/a.jpg?url=https://example.org/b.jpg?x=1",
    "/a.jpg?it's",
    "/it's.jpg",
    "/a+b.jpg",
    "/a,b;c=d@e:f!g$h&i*(j).jpg",
    "/a[1].jpg?b[]=2",
    "/a%.jpg?100%",
    "/a%zz.jpg",
    "/a b.jpg?c d",
    "/münchen.jpg?straße=ü",
    "/%E4%BD%A0/你好.jpg",
    "/m%FCnchen.jpg",
    "/😀.jpg",
    "/a|b.jpg?c|d",
    "/a{1}^`.jpg?b{2}^`",
    '/a"<b>.jpg?"<c>',
    "/a\\b.jpg?c\\d",
    "//double//slash.jpg",
    "/a/./b/../c.jpg",
    "/a/%2e%2E/b.jpg",
    "/a/%2E/b.jpg",
    "/a/b/..",
    "/a/...jpg",
    "/a%00b.jpg",
    "/a.jpg#fragment",
    "/a.jpg?b#c?d",
    "/a%23b%3Fc.jpg",
    "/a\tb\n.jpg",
    "/a.jpg  ",
    "/a\u00a0b.jpg",
    "/a\x7fb.jpg",
    "?a=b",
    "",
)
"""What stands in an address behind the host."""

LOCATIONS: tuple[bytes, ...] = (
    b"/moved.jpg?key=a%2Fb%3Ac",
    b"/moved.jpg?sig=%2b%2f%3d",
    b"moved.jpg",
    b"../moved.jpg",
    b"./a/../moved.jpg?x",
    b"?moved=1",
    b"/a b.jpg",
    "/münchen.jpg".encode(),
    "/münchen.jpg".encode("latin-1"),
    b"/moved%20here.jpg#fragment",
    b"//{authority}/moved.jpg",
    b"HTTP://{authority}/moved.jpg?key=a%2Fb",
    b"/a\\b.jpg",
    b"  /moved.jpg  ",
    b"/moved.jpg?it's|{}",
)
"""Location headers in answer to `/folder/start?name`. `{authority}` stands for the server."""

HOSTS: tuple[str, ...] = (
    "http://EXAMPLE.org/a.jpg",
    "HTTPS://example.org:443/a.jpg",
    "http://example.org:80/a.jpg",
    "http://bücher.example/a.jpg",
    "http://xn--bcher-kva.example/a.jpg",
    "http://BÜCHER.example/a.jpg",
    "http://straße.example/a.jpg",
    "http://例え.テスト/a.jpg",
    "http://☃.example/a.jpg",
    "http://a_b.example.org/a.jpg",
    "http://example.org./a.jpg",
    "http://ex%61mple.org/a.jpg",
    "http://a--b.example/a.jpg",
    "http://-a.example/a.jpg",
    "  http://example.org/a.jpg  ",
    "http://exa\nmple.org/a.jpg",
    "http://[2606:4700:0:0::6810:85e5]/a.jpg",
)
"""Whole addresses, of which only the reading is compared."""
