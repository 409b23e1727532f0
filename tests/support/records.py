"""Records of every kind that somebody may give to a bulk run, and what each of them is in JSON, said a second time and in another way."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from hypothesis import strategies as st
from msgspec import UNSET

from amili_arm_async import Customer, Document

INVALID = object()
"""What a record is that can't be sent."""

# --- the oracle ---------------------------------------------------------------------------------------------------------


def plain(value: Any) -> Any:
    """`value` as JSON has it: numbers with a fraction are Decimal. Raises ValueError where JSON has no word for it."""
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, str):
        value.encode()
        return value
    if isinstance(value, float):
        value = Decimal(repr(value))
    if isinstance(value, Decimal):
        if not value.is_finite():
            raise ValueError
        return value
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (Customer, Document)):
        names = zip(value.__struct_fields__, value.__struct_encode_fields__, strict=True)
        value = {wire: item for name, wire in names if (item := getattr(value, name)) is not UNSET}
    if isinstance(value, Mapping):
        if not all(isinstance(name, str) for name in value):
            raise ValueError
        return {plain(name): plain(item) for name, item in value.items()}
    raise ValueError


def strict_loads(text: bytes) -> Any:
    """The JSON value in `text`; anything that the standard does not allow raises ValueError."""

    def refuse(word: str) -> Any:
        raise ValueError(word)

    return json.loads(text.decode("utf-8"), parse_float=Decimal, parse_constant=refuse)


def as_json(record: Any) -> Any:
    """What a customers run sends for `record`, or INVALID."""
    try:
        if isinstance(record, (bytes, bytearray)):
            value = strict_loads(bytes(record))
            return value if isinstance(value, dict) else INVALID
        return plain(record) if isinstance(record, (Customer, Mapping)) else INVALID
    except (ValueError, ZeroDivisionError):
        return INVALID


def key_in(value: dict[str, Any]) -> str | None:
    """The key of a record, from what it is in JSON."""
    key = value.get("customerNo")
    if isinstance(key, str):
        return unicodedata.normalize("NFC", key).strip() or None
    return str(key) if isinstance(key, int) and not isinstance(key, bool) else None


# --- what is generated ----------------------------------------------------------------------------------------------------


class Row(Mapping[str, Any]):
    """A mapping that is no dict, as a database driver gives."""

    def __init__(self, values: dict[str, Any]) -> None:
        self._values = values

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Row({self._values!r})"


class BrokenRow(Row):
    """A mapping that raises when it is read, as one whose cursor is closed."""

    def __getitem__(self, name: str) -> Any:
        raise ZeroDivisionError

    def __iter__(self) -> Iterator[str]:
        raise ZeroDivisionError


class DictRow(dict[str, Any]):
    """A dict subclass, as OrderedDict and the rows of many readers are."""


INTEGERS = st.integers(-(2**63), 2**63 - 1)
GOOD_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
GOOD_LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    INTEGERS,
    st.floats(allow_nan=False, allow_infinity=False),
    GOOD_TEXT,
    st.dates(),
    st.decimals(-(10**9), 10**9),
)
BAD_LEAVES = st.one_of(
    st.sampled_from([float("nan"), float("inf"), -float("inf"), Decimal("NaN"), Decimal("sNaN"), Decimal("-Infinity"), object(), "\ud800"])
)
LEAVES = st.one_of(GOOD_LEAVES, GOOD_LEAVES, GOOD_LEAVES, BAD_LEAVES)
KEYS = st.one_of(st.none(), st.integers(0, 99), st.sampled_from(["", " ", " 7 ", "7", "A", "a", "ß", True, 1.5]), GOOD_TEXT)


def values(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """JSON values, a little nested."""
    return st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(GOOD_TEXT, inner, max_size=3), max_leaves=5)


def mappings(leaves: st.SearchStrategy[Any] = LEAVES) -> st.SearchStrategy[dict[str, Any]]:
    """Dicts with or without a customerNo, often with text that fills the batch."""
    return st.fixed_dictionaries({}, optional={"customerNo": KEYS, "name": values(leaves), "x": st.integers(0, 400).map(lambda n: "x" * n)})


def customers() -> st.SearchStrategy[Customer]:
    """Customers, also ones whose fields hold what they must not: a Struct does not look when it is made.

    All but one thing: a float in a field of text, which a type checker refuses. There, NaN would be written as null; to search each
    body for it would cost half as much again as to write it.
    """
    text = LEAVES.filter(lambda leaf: not isinstance(leaf, float))
    fields = {
        "customer_no": KEYS.filter(lambda key: not isinstance(key, float)),
        "name": text | st.integers(0, 400).map(lambda n: "x" * n),
        "date_of_birth": st.dates() | st.just(""),
        "due_days": LEAVES,
        "limit_amount": LEAVES,
        "ar_rules": st.lists(text, max_size=2),
    }
    return st.fixed_dictionaries({}, optional=fields).map(lambda given: Customer(**given))


def texts() -> st.SearchStrategy[bytes]:
    """Lines of a file: mostly one JSON object each, some spoilt by one byte, some no object at all."""
    good = mappings(st.one_of(st.none(), st.booleans(), INTEGERS, GOOD_TEXT)).map(_dump)
    spoilt = st.tuples(good, st.integers(0, 200), st.binary(max_size=1)).map(lambda p: p[0][: p[1]] + p[2] + p[0][p[1] + 1 :])
    odd = st.sampled_from(
        [b"", b"{}", b"[]", b"null", b'{"a":NaN}', b"\xef\xbb\xbf{}", b'{"a":1},{"b":2}', b' {"customerNo": 5}\n', b'{"a":1}}']
    )
    return st.one_of(good, good, spoilt, odd)


def _dump(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, default=str).encode()


RECORDS = st.one_of(
    mappings(GOOD_LEAVES),
    mappings(),
    mappings().map(Row),
    mappings().map(DictRow),
    mappings().map(MappingProxyType),
    mappings().map(BrokenRow),
    customers(),
    texts(),
    texts().map(bytearray),
    st.builds(Document, document_no=GOOD_TEXT),
    st.one_of(st.none(), st.integers(), GOOD_TEXT, st.lists(INTEGERS, max_size=2), st.builds(object)),
)

SOURCES = st.one_of(
    st.lists(RECORDS, max_size=25),
    st.lists(mappings(GOOD_LEAVES), max_size=60),
    st.lists(customers(), max_size=40),
    st.lists(texts(), max_size=40),
)
"""Mixed sources, and ones of a single kind: those take another way through the cutter."""
