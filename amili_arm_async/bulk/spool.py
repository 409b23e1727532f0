"""Rows that are read again later: in memory while they are few, then in an unnamed temporary file that only this user can read."""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Generic, TypeVar

import msgspec

__all__ = ["Spool"]

RowT = TypeVar("RowT")

IN_MEMORY: Final = 262_144
"""Bytes of rows that are kept in memory."""

_READ: Final = 65_536


class Spool(Generic[RowT]):
    """Rows of one type. They can be read from the first as often as wanted, also while more are appended.

    Where the disk is full, the rows stay in memory.

    Args:
        row: the type of a row, which msgspec can encode.
    """

    def __init__(self, row: type[RowT]) -> None:
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder(row)
        self._length = 0
        self._on_disk = 0
        self._memory: list[bytes] = []
        self._memory_size = 0
        self._fd: int | None = None
        self._disk_is_full = False

    def __len__(self) -> int:
        return self._length

    def append(self, row: RowT) -> None:
        """Appends a row.

        Args:
            row: the row.
        """
        text = self._encoder.encode(row)
        self._memory.append(len(text).to_bytes(4, "big") + text)
        self._memory_size += len(text) + 4
        self._length += 1
        if self._memory_size > IN_MEMORY and not self._disk_is_full:
            self._spill()

    def _spill(self) -> None:
        try:
            if self._fd is None:
                self._fd, path = tempfile.mkstemp(prefix="amili-arm-")
                weakref.finalize(self, os.close, self._fd)
                Path(path).unlink()
            view = memoryview(b"".join(self._memory))
            done = 0
            while done < len(view):
                done += os.pwrite(self._fd, view[done:], self._on_disk + done)
        except OSError:
            self._disk_is_full = True
            return
        self._on_disk += len(view)
        self._memory, self._memory_size = [], 0

    def __iter__(self) -> Iterator[RowT]:
        """Gives the rows that are there when it begins, in order."""
        on_disk, memory = self._on_disk, list(self._memory)
        offset = 0
        while offset < on_disk:
            texts, offset = self._from_disk(offset, on_disk)
            yield from map(self._decoder.decode, texts)
        for text in memory:
            yield self._decoder.decode(memoryview(text)[4:])

    def _from_disk(self, offset: int, end: int) -> tuple[list[bytes], int]:
        assert self._fd is not None
        data = os.pread(self._fd, min(_READ, end - offset), offset)
        size = int.from_bytes(data[:4], "big")
        if len(data) < size + 4:
            data = os.pread(self._fd, size + 4, offset)
        texts: list[bytes] = []
        start = 0
        while start + 4 <= len(data):
            size = int.from_bytes(data[start : start + 4], "big")
            if start + 4 + size > len(data):
                break
            texts.append(data[start + 4 : start + 4 + size])
            start += 4 + size
        return texts, offset + start
