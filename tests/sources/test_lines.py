"""The lines of a file: which are records, and on which line each of them was."""

from __future__ import annotations

import io
import os
import threading
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amili_arm_async import RecordError, SourceError, UnreadableRecord, open_records
from amili_arm_async.sources import blocks as module
from amili_arm_async.sources.numbers import LineNumbers

pytestmark = pytest.mark.quick


A, B = b'{"a":1}', b'{"b":2}'


def lines_of(file, longest):
    return open_records(file, format="jsonl", longest=longest)


def number(source, index):
    return int(source.place(index).removeprefix("line "))


@pytest.fixture
def read(tmp_path):
    async def records(content, longest=1_000_000):
        path = tmp_path / "file"
        path.write_bytes(content)
        with open(path, "rb", buffering=0) as file:
            source = lines_of(file, longest)
            return [(number(source, index), text) for index, text in enumerate([text async for text in source])], source

    return records


async def test_lines_with_and_without_an_end(read):
    assert (await read(A + b"\n" + B))[0] == [(1, A), (2, B)]
    assert (await read(A + b"\n" + B + b"\n"))[0] == [(1, A), (2, B)]
    assert (await read(b""))[0] == []
    assert (await read(b"\n\n"))[0] == []


async def test_bom_crlf_and_blank_lines_are_no_part_of_a_record(read):
    # Files that were put together have one further down, too.
    content = b"\xef\xbb\xbf %b\r\n\r\n \t \n%b \r\n\xef\xbb\xbf%b" % (A, B, A)
    assert (await read(content))[0] == [(1, A), (4, B), (5, A)]
    assert (await read(b"\xef\xbb\xbf\n\n" + A))[0] == [(3, A)]


async def test_lines_are_whole_across_blocks(read, monkeypatch):
    monkeypatch.setattr(module, "_BLOCK", 7)
    texts = [b'{"a":"%b"}' % (b"x" * size) if size else b"" for size in (1, 6, 7, 8, 20, 0, 3, 14)]
    found, _ = await read(b"\n".join(texts))
    assert found == [(number, text) for number, text in enumerate(texts, 1) if text]


async def test_of_a_line_that_is_too_long_nothing_is_kept(read, monkeypatch):
    monkeypatch.setattr(module, "_BLOCK", 16)
    longest = b'{"a":"%b"}' % (b"y" * 92)
    found, source = await read(A + b"\n" + b"x" * 101 + b"\n" + longest + b"\n\n" + B, longest=100)
    assert [line for line, _ in found] == [1, 2, 3, 5]
    assert [source.is_too_long(index) for index in range(4)] == [False, True, False, False]
    with pytest.raises(RecordError, match=r"^line 2: more than 100 bytes$"):
        dict(found[1][1])
    assert found[2][1] == longest


async def test_a_line_without_an_end_takes_no_more_memory_than_a_line_may(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"{}\n")
    with open(path, "rb", buffering=0) as file:
        # What is only imported where it is needed is no memory of the line.
        assert [record async for record in lines_of(file, 1000)] == [b"{}"]
    path.write_bytes(b"z" * 20_000_000)
    with open(path, "rb", buffering=0) as file:
        source = lines_of(file, 1000)
        tracemalloc.start()
        try:
            assert [type(record) async for record in source] == [UnreadableRecord]
            assert tracemalloc.get_traced_memory()[1] < 4_000_000
        finally:
            tracemalloc.stop()
    assert source.is_too_long(0)


async def test_how_far_a_file_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_BLOCK", 10)
    path = tmp_path / "file"
    path.write_bytes(b'{"a":"56"}' * 4)
    with open_records(path) as source:
        assert source.fraction_read() == 0.0
        assert [source.fraction_read() async for _ in source] == [1.0]
    path.write_bytes(b'{"a": 78}\n' * 4)
    with open_records(path) as source:
        assert [source.fraction_read() async for _ in source] == [0.25, 0.5, 0.75, 1.0]
        assert source.fraction_read() is None
    path.write_bytes(b"")
    with open_records(path) as source:
        assert source.fraction_read() is None


async def test_nobody_knows_how_long_a_pipe_is():
    ours, theirs = os.pipe()
    os.write(theirs, b"{}\n{}\n")
    os.close(theirs)
    with open(ours, "rb", buffering=0) as file:
        source = lines_of(file, 100)
        assert [source.fraction_read() async for _ in source] == [None, None]


async def test_a_pipe_is_read_as_it_comes():
    # Each line is written only when the one before it was received: to wait for a whole block would never end.
    receiving, sending = os.pipe()
    with open(receiving, "rb", buffering=0) as file:
        found = []
        os.write(sending, b'{"a":1}\n')
        async for text in lines_of(file, 100):
            found.append(text)
            if len(found) < 5:
                os.write(sending, b'{"a":%d}\n' % (len(found) + 1))
            else:
                os.close(sending)
        assert found == [b'{"a":%d}' % number for number in range(1, 6)]


async def test_a_pipe_that_says_nothing_leaves_no_thread_behind():
    import asyncio

    receiving, sending = os.pipe()
    try:
        with open(receiving, "rb", buffering=0) as file:
            before = set(threading.enumerate())
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    async for _ in lines_of(file, 100):
                        pass
            assert set(threading.enumerate()) <= before
    finally:
        os.close(sending)


async def test_a_file_that_can_not_be_read_raises():
    class Broken(io.FileIO):
        def read(self, size=-1):
            raise OSError(5, "Input/output error")

    with Broken(os.devnull) as file, pytest.raises(SourceError, match="Input/output"):
        async for _ in lines_of(file, 100):
            pass


@given(st.lists(st.integers(min_value=1, max_value=4)))
def test_every_record_s_line_is_found_again(steps):
    numbers, expected, line = LineNumbers(), [], 0
    for step in steps:
        line += step
        expected.append(line)
    numbers.extend(expected)
    assert [numbers[index] for index in range(len(expected))] == expected


@pytest.mark.parametrize("step", [1, 2, 3])
def test_an_even_file_needs_no_memory_for_its_lines(step):
    numbers = LineNumbers()
    for line in range(1, 3_000_000, 300 * step):
        numbers.extend(range(line, line + 300 * step, step))
    assert all(isinstance(steps, int) for steps in numbers._steps)


def test_an_uneven_file_needs_a_byte_for_a_line():
    numbers = LineNumbers()
    tracemalloc.start()
    try:
        for line in range(0, 3_000_000, 3000):
            numbers.extend([line + (place if place % 3 else place + 1) for place in range(0, 3000, 3)])
        assert tracemalloc.get_traced_memory()[1] < 1_700_000
    finally:
        tracemalloc.stop()
    assert len(numbers) == 1_000_000
