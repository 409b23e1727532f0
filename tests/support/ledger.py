"""The truth: a log that outlives every process, with a line for each record that the server took; no code of the library is in here."""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

__all__ = ["Identity", "Ledger", "Line", "content_hash", "identity_of", "key_name", "key_of", "read_lines", "split_records"]

KEY_NAMES = {"documents": "documentNo", "customers": "customerNo"}


def content_hash(value: Any) -> str:
    """A hash of what a record says: neither the order of its keys nor the way a number is written counts."""
    return hashlib.sha256(_canonical(value).encode("utf-8", "surrogatepass")).hexdigest()[:20]


def _canonical(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(name)}:{_canonical(value[name])}" for name in sorted(value)) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_canonical, value)) + "]"
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return json.dumps(value)
    number = Decimal(value) if isinstance(value, (int, Decimal)) else Decimal(repr(value))
    return "0" if not number else f"{number.normalize():f}"


def parse(text: str | bytes) -> Any:
    """JSON whose numbers keep every digit."""
    return json.loads(text, parse_float=Decimal)


def key_name(kind: str, record: dict[str, Any]) -> str:
    """What the number of a record is called; a record of another kind may be about a document or a customer."""
    return KEY_NAMES.get(kind) or ("documentNo" if "documentNo" in record else "customerNo")


def key_of(kind: str, record: dict[str, Any]) -> str | None:
    """The number of a record, or None."""
    value = record.get(key_name(kind, record))
    return None if value is None or value == "" else str(value)


@dataclass(frozen=True, order=True)
class Identity:
    """What makes two records the same one: the number where there is one, else the content."""

    kind: str
    key: str
    content: str

    @property
    def numbered(self) -> bool:
        """Whether it has a number."""
        return bool(self.key)


def identity_of(kind: str, record: dict[str, Any]) -> Identity:
    """The identity of a record; with a number its content does not count."""
    key = key_of(kind, record)
    return Identity(kind, key, "") if key is not None else Identity(kind, "", content_hash(record))


def split_records(kind: str, body: bytes) -> list[str]:
    """The texts of the records in the body of a batch, byte for byte; a body without a list is one record."""
    text = body.decode()
    start = re.search(rf'"{kind}"\s*:\s*\[', text)
    if start is None:
        return [text]
    decoder = json.JSONDecoder()
    place, texts = start.end(), []
    while True:
        while text[place] in " \r\n\t,":
            place += 1
        if text[place] == "]":
            return texts
        _, end = decoder.raw_decode(text, place)
        texts.append(text[place:end])
        place = end


@dataclass(frozen=True)
class Line:
    """One record that was taken.

    Attributes:
        client: the client number.
        batch: the batchUuid, or "" for a single write.
        kind, key, content: what it was.
        succeeded: False where its processing failed: then it is no invoice.
        user: `metadata.userId` of the request: which attempt sent it.
        time: when, in Unix seconds.
        record: its text as it came.
    """

    client: int
    batch: str
    kind: str
    key: str | None
    content: str
    is_success: bool
    user: str
    time: float
    record: str

    @property
    def identity(self) -> Identity:
        """What it is the same as."""
        return Identity(self.kind, self.key, "") if self.key is not None else Identity(self.kind, "", self.content)


class Ledger:
    """Appends what is taken to a file before anybody is told, and reads back what is there; without a path it is in memory alone."""

    def __init__(self, path: Path | None) -> None:
        self.lines: list[Line] = list(read_lines(path)) if path is not None else []
        self._fd = os.open(path or os.devnull, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def take(self, client: int, batch: str, kind: str, user: str, texts: Iterable[str]) -> list[Line]:
        """Takes records, all or none of them: one write, which is in the hands of the kernel when this returns."""
        lines = [self._line(client, batch, kind, user, text) for text in texts]
        data = "".join(json.dumps(asdict(line)) + "\n" for line in lines).encode()
        if os.write(self._fd, data) != len(data):
            raise OSError("the ledger is full: the truth would be lost")
        self.lines += lines
        return lines

    def _line(self, client: int, batch: str, kind: str, user: str, text: str) -> Line:
        record = parse(text)
        key, content = key_of(kind, record), content_hash(record)
        fails = record.get("buyerReference") == "fails-once" and not any(
            line.client == client and (line.key, line.content) == (key, content) for line in self.lines
        )
        return Line(client, batch, kind, key, content, not fails, user, time.time(), text)

    def close(self) -> None:
        """Closes the file."""
        os.close(self._fd)


def read_lines(path: Path) -> Iterator[Line]:
    """What a log holds; a last line that was torn counts as not written: nobody was told of it."""
    if not path.exists():
        return
    with path.open("rb") as file:
        for text in file:
            if text.endswith(b"\n"):
                yield Line(**json.loads(text))


def times_taken(lines: Iterable[Line]) -> Counter[Identity]:
    """How often each record was taken and succeeded."""
    return Counter(line.identity for line in lines if line.is_success)
