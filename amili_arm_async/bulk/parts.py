"""Pure: which part of a shared run a document belongs to.

A document with a number is in one part, whichever process computes it: so what the journal knows of the part proves that the document is
sent once. The hash is SHA-256 of a text, so that a database can compute it too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from hashlib import sha256
from typing import Final

from msgspec import Struct

from ..config import check_int
from ..errors import RecordError
from .fingerprints import as_key, keyed_name, keyed_names
from .record_amounts import RecordAmounts

__all__ = [
    "HASH_KEY",
    "HASH_VERSION",
    "MOST_PARTS",
    "PartHash",
    "PartOfRun",
    "SharedPart",
    "own_places",
    "part_of",
    "part_of_name",
    "part_run_id",
    "refuse_foreign",
]

HASH_VERSION: Final = 1
"""Changes when a number may come into another part than before: a run is only resumed with the version that it was begun with."""

HASH_KEY: Final = "amili-arm-1"
"""What is hashed before each number."""

MOST_PARTS: Final = 10_000

NO_NUMBER: Final = 0
"""The part that names the documents without a number: one of them has to, and none sends them."""


class PartHash(Struct, frozen=True):
    """How the documents of a run are distributed to its parts.

    Attributes:
        parts: the number of parts.
        key: what is hashed before each number.
    """

    parts: int
    key: str = HASH_KEY

    def of_keys(self, keys: Sequence[str | None]) -> list[int]:
        """Returns the parts of documents.

        Args:
            keys: the number of each document, as `as_key` gives it; None where it has none.

        Returns:
            The part of each.
        """
        found = [self.of_name(name) for name in keyed_names(keys)]
        if len(found) == len(keys):
            return found
        numbered = iter(found)
        return [next(numbered) if key is not None else NO_NUMBER for key in keys]

    def of_name(self, name: str) -> int:
        """Returns the part of a document.

        Args:
            name: its number, as the journal has it.
        """
        return int.from_bytes(sha256(f"{self.key}{name}".encode("utf-8", "surrogatepass")).digest()[:4], "big") % self.parts


class SharedPart(Struct, frozen=True):
    """Which part of which shared run a run in the journal is.

    Attributes:
        run_id: the name of the whole run.
        part: the part.
        hash: tells the part of each document.
    """

    run_id: str
    part: int
    hash: PartHash


class PartOfRun(Struct, frozen=True):
    """One part of a shared run, as its journal needs it.

    Attributes:
        run_id: the name of the whole run.
        part: the part.
        hash: tells the part of each record.
        lease: seconds for which a process owns the part after each thing that it records.
        report: makes the report of an attempt when it ends; called with whether its source was read to the end.
        amounts: returns the money of records that were read and have no final state yet, by their indexes in the source; None where that
            of one is not known.
    """

    run_id: str
    part: int
    hash: PartHash
    lease: float
    report: Callable[[bool], bytes]
    amounts: Callable[[Sequence[int]], RecordAmounts | None]

    def is_sibling(self, run_id: str) -> bool:
        """Returns whether a run is another part of the same shared run.

        Args:
            run_id: its name in the journal.
        """
        found = part_of_name(run_id)
        return found is not None and found[0] == self.run_id and found[2] == self.hash.parts


def own_places(hash: PartHash, part: int, keys: Sequence[str | None]) -> list[int]:
    """Returns the positions of the records that belong to a part, or have no number.

    Args:
        hash: tells the part of each record.
        part: the part.
        keys: the number of each record; None where it has none.
    """
    return [place for place, other in enumerate(hash.of_keys(keys)) if other == part or keys[place] is None]


def refuse_foreign(hash: PartHash, part: int, keys: Sequence[str | None], indexes: Sequence[int]) -> None:
    """Refuses records that belong to another part of a shared run.

    Args:
        hash: tells the part of each record.
        part: the part that they are sent as.
        keys: the number of each record; None where it has none.
        indexes: the index of each record in its source.

    Raises:
        RecordError: one belongs to another part.
    """
    for index, key, other in zip(indexes, keys, hash.of_keys(keys), strict=True):
        if other != part and key is not None:
            raise RecordError(
                f"the document at index {index} of the source belongs to part {other} of {hash.parts}, and was given as one of part {part}:"
                " distribute the documents with part_of, or have those of other parts passed over (pass_over=True)"
            )


_NAME: Final = re.compile(r"(.*) \(part (0|[1-9][0-9]*) of ([1-9][0-9]*)\)", re.DOTALL)


def part_run_id(run_id: str, part: int, parts: int) -> str:
    """Returns the name of a part in the journal, where it is a run of its own.

    Args:
        run_id: the name of the whole run.
        part: the part.
        parts: their number.
    """
    return f"{run_id} (part {part} of {parts})"


def part_of_name(run_id: str) -> tuple[str, int, int] | None:
    """Returns the name of the whole run, the part and the number of parts; None where a run is no part.

    Args:
        run_id: its name in the journal.
    """
    found = _NAME.fullmatch(run_id)
    return (found[1], int(found[2]), int(found[3])) if found is not None else None


def part_of(number: str | int | Decimal, parts: int) -> int:
    """Returns the part of a shared run that a document belongs to.

    All ways to write a number that the journal takes for one number are in one part: `123`, `"123"`, `" 123 "`, `123.0`, and any case.

    Args:
        number: the `documentNo` of the document.
        parts: the number of parts of the run.

    Returns:
        The part, from 0 to `parts - 1`. It is the same in every process and on every machine.

    Raises:
        RecordError: this is no number of a document, such as an empty text or None.
        ConfigurationError: `parts` is no integer from 1 to 10,000.
    """
    check_int("parts", parts, least=1, most=MOST_PARTS)
    key = as_key(number)
    if key is None:
        raise RecordError("a document without a documentNo belongs to no part: documents of a shared run need a number")
    return PartHash(parts).of_name(keyed_name(key))
