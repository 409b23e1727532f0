"""Pure: which part of a shared run a document belongs to.

A document with a number is in one part, whichever process computes it: so what the journal knows of the part proves that the document is
sent once. The hash is SHA-256 of a text, so that a database can compute it too.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from hashlib import sha256
from typing import Final

from msgspec import Struct

from ..config import check_int
from ..errors import RecordError
from .fingerprints import as_key, keyed_name, keyed_names

__all__ = ["HASH_KEY", "HASH_VERSION", "MOST_PARTS", "PartHash", "part_of"]

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
        parts, prefix = self.parts, self.key.encode()
        found = [
            int.from_bytes(sha256(prefix + name.encode("utf-8", "surrogatepass")).digest()[:4], "big") % parts for name in keyed_names(keys)
        ]
        if len(found) == len(keys):
            return found
        numbered = iter(found)
        return [next(numbered) if key is not None else NO_NUMBER for key in keys]


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
    return int.from_bytes(sha256(f"{HASH_KEY}{keyed_name(key)}".encode("utf-8", "surrogatepass")).digest()[:4], "big") % parts
