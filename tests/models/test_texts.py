"""Records that stand in one text, told apart again; and what a Struct may hold where a number belongs."""

from __future__ import annotations

from decimal import Decimal
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amili_arm_async import Customer, Document
from amili_arm_async.bulk.chunking import Chunker, RecordType, split_json_objects

WORDS = st.text(alphabet='{}[]",:\\ aå')
OBJECTS = st.dictionaries(WORDS, st.one_of(WORDS, st.integers(), st.lists(WORDS), st.dictionaries(WORDS, WORDS)))


@given(st.lists(OBJECTS))
def test_texts_are_told_apart(records: list[dict[str, Any]]) -> None:
    texts = [msgspec.json.encode(record) for record in records]
    assert split_json_objects(b",".join(texts)) == texts


@given(st.lists(OBJECTS, min_size=1), st.sampled_from(["NaN", "-Infinity", "sNaN12"]))
def test_also_around_a_bare_word(records: list[dict[str, Any]], word: str) -> None:
    encoder = msgspec.json.Encoder(decimal_format="number")
    texts = [encoder.encode({**record, "name": Decimal(word), "lines": [{"a": Decimal(word)}]}) for record in records]
    assert split_json_objects(b",".join(texts)) == texts


@pytest.mark.parametrize("body", [b"{", b'{"a":NaN}{"a":1}', b'{"a":NaN},1', b"NaN", b'{"a":"NaN'])
def test_what_is_no_list_of_objects_is_refused(body: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        split_json_objects(body)


def numbers_of(cls: type[msgspec.Struct], path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """The places of all fields that are numbers, or may be anything."""
    found: list[tuple[str | int, ...]] = []
    for name, hint in get_type_hints(cls).items():
        if name.startswith("_"):
            continue
        for kind in get_args(hint) if get_origin(hint) in {Union, UnionType} else (hint,):
            inner = get_args(kind)[0] if get_origin(kind) is list else kind
            here = (*path, name, 0) if get_origin(kind) is list else (*path, name)
            if isinstance(inner, type) and issubclass(inner, msgspec.Struct):
                found += numbers_of(inner, here)
            elif inner in {int, Decimal, Any}:
                found.append(here)
    return found


def with_value(cls: type[msgspec.Struct], path: tuple[str | int, ...], value: Any) -> Any:
    """A record with a value at a place, and nothing else."""
    name, *rest = path
    hint = get_type_hints(cls)[str(name)]
    options = get_args(hint)
    deeper = [one for one in options if rest and rest[0] != 0 and isinstance(one, type) and issubclass(one, msgspec.Struct)]
    if not rest:
        return cls(**{str(name): value})
    if deeper:
        return cls(**{str(name): with_value(deeper[0], tuple(rest), value)})
    inner = next(get_args(one)[0] for one in options if get_origin(one) is list)
    return cls(**{str(name): [with_value(inner, tuple(rest[1:]), value) if rest[1:] else value]})


PLACES = [(cls, path) for cls in (Customer, Document) for path in numbers_of(cls)]


@pytest.mark.parametrize("bad", [float("nan"), float("-inf"), Decimal("NaN"), Decimal("Infinity"), Decimal("sNaN")], ids=repr)
@pytest.mark.parametrize(("cls", "path"), PLACES, ids=str)
def test_no_place_for_a_number_is_forgotten(cls: type[Any], path: tuple[str | int, ...], bad: Any) -> None:
    cutter = Chunker(RecordType(cls, "customer_no"), overhead=0, max_records=100, max_bytes=100_000)
    good = [cls(customer_no=str(number)) for number in range(3)]
    cutter.feed([*good, with_value(cls, path, bad), *good])
    batch = cutter.finish()
    assert batch is not None
    assert list(batch.indexes) == [0, 1, 2, 4, 5, 6]
    [invalid] = cutter.take_invalid()
    assert "NaN or Infinity" in (invalid.outcome.common.message or "")


def test_there_are_such_places() -> None:
    assert len(PLACES) > 15
