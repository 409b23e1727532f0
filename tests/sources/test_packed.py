"""Compressed files, other kinds of files, and files that are broken: what was before the damage is given, and the rest is named."""

from __future__ import annotations

import asyncio
import bz2
import gzip
import io
import lzma
import os
import random
import sys
import threading
import tracemalloc
import zipfile
import zlib

import pytest

from amili_arm_async import SourceError, UnreadableRecord, open_records
from amili_arm_async.sources import decompression

LINES = b"".join(b'{"customerNo":"%d","name":"%d"}\n' % (number, number * 7919) for number in range(20_000))


def zstd(content):
    if sys.version_info >= (3, 14):
        module = pytest.importorskip("compression.zstd", reason="this Python was built without zstd")
        return module.compress(content, options={module.CompressionParameter.checksum_flag: 1})
    return pytest.importorskip("zstandard").ZstdCompressor(write_checksum=True).compress(content)


PACKERS = [pytest.param(gzip.compress, id="gzip"), pytest.param(zstd, id="zstd")]


async def read(content, **options):
    return [record async for record in open_records(io.BytesIO(content), **options)]


async def broken(content, **options):
    """What was given before the file could not be read further, and what was said then."""
    records = open_records(io.BytesIO(content), **options)
    found = []
    with pytest.raises(SourceError) as raised:
        async for record in records:
            found.append(record)  # noqa: PERF401 - what came before the error is wanted
    return found, str(raised.value)


@pytest.mark.parametrize("pack", PACKERS)
async def test_what_is_packed_is_unpacked_by_its_first_bytes(pack, tmp_path):
    path = tmp_path / "any name"
    path.write_bytes(pack(LINES))
    async with open_records(path) as records:
        assert b"\n".join([record async for record in records]) + b"\n" == LINES
        assert records.place(19_999) == "line 20000"
    assert await read(pack(b"customerNo;name\n1;A")) == [{"customerNo": "1", "name": "A"}]


@pytest.mark.parametrize("pack", PACKERS)
async def test_members_one_after_the_other(pack):
    assert await read(pack(b'{"a":1}\n{"b"') + pack(b"") + pack(b":2}\n")) == [b'{"a":1}', b'{"b":2}']
    assert await read(pack(b"")) == []


async def test_zeros_behind_gzip_are_nothing():
    assert await read(gzip.compress(b'{"a":1}') + bytes(1000)) == [b'{"a":1}']


@pytest.mark.parametrize("pack", PACKERS)
async def test_a_file_that_is_cut_off_gives_what_is_there_and_says_how_far_it_came(pack):
    packed = pack(LINES)
    found, said = await broken(packed[: len(packed) // 2])
    assert len(found) > 1000
    assert b"\n".join(found) == LINES[: len(b"\n".join(found))]
    assert said.endswith(f"was cut off; {len(found):,} records were read before it, up to line {len(found)}")


@pytest.mark.parametrize("pack", PACKERS)
async def test_other_bytes_behind_a_member_are_damage(pack):
    found, said = await broken(pack(LINES) + b"rubbish that is no member")
    assert len(found) == 20_000
    assert "damaged" in said
    assert "up to line 20000" in said


async def test_gzip_that_is_damaged_gives_all_that_is_before_the_damage():
    packed = bytearray(gzip.compress(LINES))
    packed[-6] ^= 0xFF
    found, said = await broken(bytes(packed))
    assert len(found) == 20_000
    assert "incorrect" in said


async def test_zstd_that_is_damaged():
    packed = bytearray(zstd(LINES))
    packed[-1] ^= 0xFF
    found, said = await broken(bytes(packed))
    assert b"\n".join(found) == LINES[: len(b"\n".join(found))]
    assert "zstd data is damaged" in said


async def test_a_document_that_the_damage_cuts_is_not_given():
    content = b"documentNo;documentLines.lineNo\n1;1\n2;1\n2;2\n"
    # Whether the lines of a document stand together shows only at the end.
    found, said = await broken(gzip.compress(content)[:-8], format="csv", kind="documents")
    assert found == []
    assert "no record was read before it" in said


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="the frames are made with zstandard")
async def test_a_long_window_of_zstd_is_refused_by_name():
    zstandard = pytest.importorskip("zstandard")

    def packed(window_log):
        parameters = zstandard.ZstdCompressionParameters(window_log=window_log, enable_ldm=True, compression_level=1)
        stream = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
        return stream.compress(LINES) + stream.flush()

    assert len(await read(packed(27))) == 20_000
    found, said = await broken(zstd(LINES) + packed(31))
    assert len(found) == 20_000
    assert "a window of more than 128 MB (zstd --long=28 to 31)" in said
    assert "zstd -d --long=31" in said
    assert "damaged" not in said


async def test_without_zstd_it_is_said_what_to_install(monkeypatch):
    def absent(name):
        raise ImportError(name)

    monkeypatch.setattr(decompression, "import_module", absent)
    _, said = await broken(zstd(LINES))
    assert ("pip install zstandard" if sys.version_info >= (3, 14) else "pip install 'amili-arm-async[zstd]'") in said


@pytest.mark.parametrize("pack", PACKERS)
async def test_a_bomb_takes_no_more_memory_than_a_line_may(pack):
    packed = pack(b'{"customerNo":"1"}\n' + b"x" * 30_000_000)
    tracemalloc.start()
    try:
        first, second = await read(packed, longest=1000)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()
    assert first == b'{"customerNo":"1"}'
    assert isinstance(second, UnreadableRecord)
    assert second.fault == "line 2: more than 1000 bytes"


# --- other kinds of files -------------------------------------------------------------------------------------------------


def workbook():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (workbook(), "xlsx"),
        (b"\xd0\xcf\x11\xe0" + bytes(100), "xls"),
        ("customerNo;name".encode("utf-16-le"), "encoding utf-16-le"),
        ("customerNo;name".encode("utf-16-be"), "encoding utf-16-be"),
        ("customerNo;name".encode("utf-32"), "UTF-32"),
        (bytes(range(256)), "binary"),
        (bz2.compress(LINES), "unknown format"),
        (lzma.compress(LINES), "unknown format"),
        (b"no such header\n1;2", "no field of customers"),
    ],
)
async def test_other_kinds_of_files_are_refused_with_the_remedy(content, words):
    for packed in (content, gzip.compress(content)):
        found, said = await broken(packed)
        assert found == []
        assert words in said


async def test_what_can_not_be_opened():
    with pytest.raises(SourceError, match="no such file can't be read: No such file"):
        open_records("no such file")
    with pytest.raises(SourceError, match="can't be read"):
        open_records("a\0b")


async def test_blank_files_hold_no_records():
    for content in (b"", b"\n \n", b"\xef\xbb\xbf", b"\xff\xfe"):
        assert await read(content) == []
        assert await read(content, format="csv") == []


async def test_records_are_read_once():
    records = open_records(io.BytesIO(b"{}"))
    assert [record async for record in records] == [b"{}"]
    with pytest.raises(ValueError, match="read once"):
        async for _ in records:
            pass


# --- pipes ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pack", [*PACKERS, pytest.param(bytes, id="plain")])
async def test_a_pipe_is_sniffed_byte_by_byte(pack):
    content = pack(b"customerNo;name\n1;A\n2;B")
    receiving, sending = os.pipe()

    def write():
        for place in range(len(content)):
            os.write(sending, content[place : place + 1])
        os.close(sending)

    thread = threading.Thread(target=write)
    thread.start()
    with open(receiving, "rb", buffering=0) as file:
        assert [record["name"] async for record in open_records(file)] == ["A", "B"]
    thread.join()


async def test_a_pipe_gives_each_record_when_it_is_there():
    receiving, sending = os.pipe()
    with open(receiving, "rb", buffering=0) as file:
        os.write(sending, b'{"a":0}\n')
        found = []
        async for record in open_records(file):
            found.append(record)
            if len(found) == 3:
                os.close(sending)
                break
            os.write(sending, b'{"a":%d}\n' % len(found))
    assert found == [b'{"a":0}', b'{"a":1}', b'{"a":2}']


async def test_leaving_early_closes_the_file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(LINES)
    async with open_records(path) as records:
        async for _ in records:
            break
        file = records._file._file
    assert file.closed
    await asyncio.get_running_loop().shutdown_asyncgens()


# --- memory ---------------------------------------------------------------------------------------------------------------


def test_unpacking_gives_pieces_of_a_bounded_size():
    random.seed(1)
    content = bytes(5_000_000) + random.randbytes(100_000)
    for pack, unpacker in ((gzip.compress, decompression.GzipStream()), (zstd, decompression.ZstdStream())):
        pieces = list(unpacker.feed(pack(content)))
        unpacker.end()
        assert b"".join(pieces) == content
    assert max(map(len, decompression.GzipStream().feed(zlib.compress(content, 9, 31)))) <= 262_144


@pytest.mark.proof
@pytest.mark.parametrize(
    ("kind", "pack"),
    [pytest.param("json", bytes, id="json"), pytest.param("csv", gzip.compress, id="csv"), pytest.param("json", zstd, id="zstd")],
)
async def test_memory_does_not_grow_with_the_file(tmp_path, pack, kind):
    path = tmp_path / "file"
    if kind == "json":
        path.write_bytes(pack(b"".join(b'{"customerNo":"%d","name":"Kari Nordmann %d"}\n' % (n, n * 7919) for n in range(80_000))))
    else:
        path.write_bytes(pack(b"customerNo;name;dueDays\n" + b"".join(b"%d;Kari Nordmann %d;14\n" % (n, n * 7919) for n in range(80_000))))
    tracemalloc.start()
    try:
        async with open_records(path) as records:
            count = 0
            async for _ in records:
                count += 1
        assert tracemalloc.get_traced_memory()[1] < 6_500_000
    finally:
        tracemalloc.stop()
    assert count == 80_000
