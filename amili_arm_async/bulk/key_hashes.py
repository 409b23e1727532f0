"""The keys of a whole source, in constant memory: which are there twice, and which are not among others.

Of each key a hash of 64 bits is kept, in sorted runs in a temporary file, and the key itself in another one, both without a name. At
the end the runs are gone through in 256 parts by the first byte of the hash: a part is a slice of each run, and is looked at whole (ten
million keys make parts of 40,000). What is equal there is only a candidate, as two keys may have the same hash: the keys are read
again, and a key is reported as a duplicate only if the texts are equal. A key whose hash is not among those of others is surely not
among them; one that is not, and is taken for one that is, happens less than once in 10^11 keys against ten million others.

The hash is Python's own, seeded for each process, so keys with equal hashes can't be prepared. Keys are compared without case: "Data
values are not case-sensitive" (https://docs.amili.dev/about-355476m0).
"""

from __future__ import annotations

import os
import tempfile
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final, TypeAlias

from msgspec import Struct

from .keys import KeyRanges, without_case
from .spool import Spool

__all__ = ["KeyHashes", "Place", "absent", "repeats"]

RUN: Final = 131_072
"""Hashes that are sorted and written together; to sort them holds others up for some hundredths of a second."""

AT_ONCE: Final = 250_000
"""Candidates that are looked for together when the keys are read again."""

_PARTS: Final = 256
# What separates the parts: Python's hashes are signed.
_BOUNDS: Final = [(part << 56) - (1 << 63) for part in range(1, _PARTS)]

Place: TypeAlias = tuple[int, str]
"""The index of a record, and its key."""


class _KeyBlock(Struct, array_like=True, gc=False):
    """Keys that were added together, and what names their records, where that is something else."""

    keys: list[str | None]
    names: list[str | None] | None


class KeyHashes:
    """The hashes of keys, in sorted runs.

    Args:
        keep_keys: whether the keys are kept too, to be read again.

    Attributes:
        is_in_order: whether no key can have been there before, by the least and the greatest keys alone; so it is with a source in the
            order of its keys, and then nothing has to be compared.
    """

    def __init__(self, *, keep_keys: bool) -> None:
        self.is_in_order = True
        self._spans = KeyRanges()
        self._blocks: Spool[_KeyBlock] | None = Spool(_KeyBlock) if keep_keys else None
        self._hashes = array("q")
        self._runs: list[tuple[int, list[int]]] = []
        self._fd: int | None = None
        self._end = 0
        self._disk_is_full = False

    def add(self, keys: Sequence[str | None], names: Sequence[str | None] | None = None) -> None:
        """Takes in the keys of the next records, and what names each record, where that is not its key."""
        if self._blocks is not None:
            self._blocks.append(_KeyBlock(list(keys), list(names) if names is not None else None))
        folded = folded_keys(keys)
        if self.is_in_order:
            self.is_in_order = self._spans.add(folded)
        self._hashes.extend(map(hash, folded))
        if len(self._hashes) >= RUN and not self._disk_is_full:
            self._write()

    def _write(self) -> None:
        run = array("q", sorted(self._hashes))
        view = memoryview(run).cast("B")
        done = 0
        try:
            if self._fd is None:
                self._fd, path = tempfile.mkstemp(prefix="amili-arm-")
                Path(path).unlink()
            while done < len(view):
                done += os.pwrite(self._fd, view[done:], self._end + done)
        except OSError:
            # Then they stay in memory: more of it is better than to say nothing of duplicates.
            self._disk_is_full = True
            return
        places = [0, *(bisect_left(run, bound) for bound in _BOUNDS), len(run)]
        self._runs.append((self._end, places))
        self._end += len(view)
        self._hashes = array("q")

    def parts(self) -> Iterator[list[int]]:
        """The hashes, a part at a time, each part sorted; the same parts for all."""
        last = sorted(self._hashes)
        bounds = [0, *(bisect_left(last, bound) for bound in _BOUNDS), len(last)]
        for part in range(_PARTS):
            found = array("q")
            for begin, places in self._runs:
                assert self._fd is not None
                found.frombytes(os.pread(self._fd, 8 * (places[part + 1] - places[part]), begin + 8 * places[part]))
            made = found.tolist()
            made += last[bounds[part] : bounds[part + 1]]
            # Each run is in order already, which the sort makes use of.
            made.sort()
            yield made

    def read_again(self) -> Iterator[tuple[int, list[str | None], list[str | None]]]:
        """The keys as they were added, with the index of the first of each lot, and the names."""
        assert self._blocks is not None
        first = 0
        for block in self._blocks:
            yield first, block.keys, block.names if block.names is not None else block.keys
            first += len(block.keys)

    def close(self) -> None:
        """Gives the room on the disk back."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
        self._blocks = None


def folded_keys(keys: Sequence[str | None]) -> list[str]:
    """The keys that there are, as they are compared, each on its own."""
    given = [key for key in keys if key is not None]
    folded = without_case(given)
    # A key with a NUL in it is cut in two there.
    return folded if len(folded) == len(given) and "" not in folded else [key.casefold() for key in given]


def repeats(hashes: KeyHashes) -> Iterator[tuple[Place, int] | None]:
    """Each key that was there before, with the index of the first record that has it; None now and then, to let others have a turn."""
    if hashes.is_in_order:
        return
    for candidates in _blocks(_duplicate_hashes(hashes)):
        if candidates is None:
            yield None
            continue
        first: dict[str, int] = {}
        for start, keys, _ in hashes.read_again():
            yield None
            for index, key in _chosen(start, keys, candidates):
                folded = key.casefold()
                if (earlier := first.setdefault(folded, index)) != index:
                    yield (index, key), earlier


def absent(hashes: KeyHashes, known: KeyHashes) -> Iterator[tuple[int, str | None, str] | None]:
    """Each key of `hashes` that is not in `known`: index, what names the record, and the key; None now and then."""
    for candidates in _blocks(_missing_hashes(hashes, known)):
        if candidates is None:
            yield None
            continue
        for start, keys, names in hashes.read_again():
            yield None
            for index, key in _chosen(start, keys, candidates):
                yield index, names[index - start], key


def _chosen(start: int, keys: list[str | None], candidates: set[int]) -> list[Place]:
    """The keys whose hash is among the candidates, with their indexes."""
    # Nearly always there is none: that is seen for all at once.
    if candidates.isdisjoint(map(hash, folded_keys(keys))):
        return []
    return [(index, key) for index, key in enumerate(keys, start) if key is not None and hash(key.casefold()) in candidates]


def _duplicate_hashes(hashes: KeyHashes) -> Iterator[set[int]]:
    for part in hashes.parts():
        yield set() if len(set(part)) == len(part) else {one for one, other in pairwise(part) if one == other}


def _missing_hashes(hashes: KeyHashes, known: KeyHashes) -> Iterator[set[int]]:
    for part, others in zip(hashes.parts(), known.parts(), strict=True):
        yield set(part).difference(others)


def _blocks(parts: Iterable[set[int]]) -> Iterator[set[int] | None]:
    """The candidates, so many together that the keys need not be read again for each part; None after each part."""
    block: set[int] = set()
    for part in parts:
        yield None
        block |= part
        if len(block) >= AT_ONCE:
            yield block
            block = set()
    if block:
        yield block
