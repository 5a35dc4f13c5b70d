"""Cases of the corpus: compressed files, intact and damaged."""

from __future__ import annotations

import bz2
import lzma
import zipfile

from backports import zstd

from tests.families.files.case import (
    ALL,
    ARRAY,
    CHECKSUM,
    DATA,
    MEMORY,
    ONE,
    SKIPPABLE,
    THREE,
    TWO,
    WIDE_XZ,
    ZIPPED,
    Case,
    array,
    changed,
    lines,
    packed,
    summed,
    wide,
    zipped,
)

COMPRESSED: dict[str, Case] = {
    # compressions
    "plain.gz": Case(packed(DATA), lines("UTF-8, compressed with gzip"), ALL),
    "members.gz": Case(
        packed(f"{ONE}\n{TWO[:9]}".encode()) + packed(f"{TWO[9:]}\n{THREE}".encode()),
        lines("UTF-8, compressed with gzip"),
        ALL,
    ),
    "padded.gz": Case(packed(DATA) + b"\0" * 600, lines("UTF-8, compressed with gzip"), ALL),
    "trailing.gz": Case(
        packed(DATA) + b"trash",
        lines("UTF-8, compressed with gzip"),
        ALL,
        remarks=("the last 5 bytes of the file are no gzip data; they were ignored",),
    ),
    "trailing.zst": Case(
        zstd.compress(DATA) + b"\0\0trash\n",
        lines("UTF-8, compressed with zstd"),
        ALL,
        remarks=("the last 6 bytes of the file are no zstd data; they were ignored",),
    ),
    "other-member.gz": Case(
        packed(DATA) + bz2.compress(DATA),
        lines("UTF-8, compressed with gzip"),
        ALL,
        ends="bzip2 data follow the gzip data; decompress each of them, and give them one by one",
    ),
    "stray.gz": Case(
        packed(DATA) + b"\x1f",
        lines("UTF-8, compressed with gzip"),
        ALL,
        remarks=("the last 1 bytes of the file are no gzip data; they were ignored",),
    ),
    "stray.bz2": Case(
        bz2.compress(DATA) + b"BZ",
        lines("UTF-8, compressed with bzip2"),
        ALL,
        remarks=("the last 2 bytes of the file are no bzip2 data; they were ignored",),
    ),
    "cut-member.gz": Case(
        packed(DATA) + packed(DATA)[:3],
        lines("UTF-8, compressed with gzip"),
        ALL,
        ends="the gzip data end early; the file is incomplete",
    ),
    "cut-member.xz": Case(
        lzma.compress(DATA) + lzma.compress(DATA)[:3],
        lines("UTF-8, compressed with xz"),
        ALL,
        ends="the xz data end early; the file is incomplete",
    ),
    "bad-sum.gz": Case(
        changed(packed(DATA), -8),
        refused="cannot be read: the gzip data are damaged: Error -3 while decompressing data: incorrect data check",
    ),
    "bad-sum.zst": Case(
        changed(summed(DATA), -1),
        refused="cannot be read: the zstd data are damaged: "
        "Unable to decompress Zstandard data: Restored data doesn't match checksum",
    ),
    "bad-sum.bz2": Case(
        changed(bz2.compress(DATA), -3),
        refused="cannot be read: the bzip2 data are damaged: Invalid data stream",
    ),
    "bad-sum.xz": Case(
        changed(lzma.compress(DATA), -25),
        refused="cannot be read: the xz data are damaged: Corrupt input data",
    ),
    "bad-sum.zip": Case(
        ZIPPED.replace(CHECKSUM, b"abcd"),
        lines("UTF-8, compressed with zip"),
        ALL,
        ends="the zip data are damaged: the checksum is wrong",
        seekable=True,
    ),
    "pzstd.zst": Case(
        b"".join(SKIPPABLE + zstd.compress(f"{post}\n".encode()) for post in ALL) + SKIPPABLE,
        lines("UTF-8, compressed with zstd"),
        ALL,
    ),
    "memory.xz": Case(WIDE_XZ, refused="cannot be read: the xz data " + MEMORY),
    "memory.zst": Case(wide(DATA), refused="cannot be read: the zstd data " + MEMORY),
    "bzip2.zip": Case(
        zipped(("a", DATA), method=zipfile.ZIP_BZIP2), lines("UTF-8, compressed with zip"), ALL, seekable=True
    ),
    "stored.zip": Case(
        zipped(("a", DATA), method=zipfile.ZIP_STORED), lines("UTF-8, compressed with zip"), ALL, seekable=True
    ),
    "lzma.zip": Case(
        zipped(("a", DATA), method=zipfile.ZIP_LZMA),
        refused="is a zip archive compressed with LZMA, which is not read; unzip it first",
        seekable=True,
    ),
    "zip.gz": Case(packed(ZIPPED), refused="is a zip archive, compressed with gzip; decompress it, then unzip it"),
    "name.zip": Case(
        zipped(("é.jsonl", DATA)).replace("é".encode(), b"\xff\xff"),
        refused="is a zip archive that cannot be read: "
        "'utf-8' codec can't decode byte 0xff in position 0: invalid start byte",
        seekable=True,
    ),
    "twice.gz": Case(packed(packed(DATA)), lines("UTF-8, compressed with gzip, compressed with gzip"), ALL),
    "array-utf-16.gz": Case(
        packed(b"\xff\xfe" + ARRAY.encode("utf-16-le")),
        array("UTF-16 (little-endian) with a byte order mark, compressed with gzip"),
        ALL,
    ),
    "empty.gz": Case(packed(b""), "empty, compressed with gzip; it has 0 posts"),
    "plain.bz2": Case(bz2.compress(DATA), lines("UTF-8, compressed with bzip2"), ALL),
    "plain.xz": Case(lzma.compress(DATA), lines("UTF-8, compressed with xz"), ALL),
    "plain.zst": Case(zstd.compress(DATA), lines("UTF-8, compressed with zstd"), ALL),
    "frames.zst": Case(
        zstd.compress(f"{ONE}\n".encode()) + zstd.compress(f"{TWO}\n{THREE}".encode()),
        lines("UTF-8, compressed with zstd"),
        ALL,
    ),
    "one-file.zip": Case(
        zipped(("posts.jsonl", DATA), ("__MACOSX/._posts.jsonl", b"x")),
        lines("UTF-8, compressed with zip"),
        ALL,
        seekable=True,
    ),
    "two-files.zip": Case(
        zipped(("a.jsonl", DATA), ("b.jsonl", DATA)),
        refused="is a zip archive of 2 files; unzip it, and give one of them",
        seekable=True,
    ),
    "table.xlsx": Case(
        zipped(("[Content_Types].xml", b"<x/>"), ("xl/workbook.xml", b"<x/>")),
        refused="is a document of an office program; export its posts as JSON Lines",
        seekable=True,
    ),
    "damaged.xz": Case(
        b"\xfd7zXZ\0" + b"\xff" * 40,
        refused="cannot be read: the xz data are damaged: Corrupt input data",
    ),
}
