"""The pure rules, without a server."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amili_arm_async.sandbox import processing

SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=5), st.decimals(-9999, 9999, places=3))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)
OBJECTS = st.dictionaries(st.text(max_size=6), VALUES, max_size=6)


@given(OBJECTS)
def test_what_is_stored_comes_back(value: dict[str, Any]) -> None:
    assert processing.decode_object(processing.encode(value)) == value


@given(OBJECTS, st.randoms(use_true_random=False))
def test_the_key_of_content_knows_no_order(value: dict[str, Any], chance: Any) -> None:
    names = list(value)
    chance.shuffle(names)
    assert processing.content_key({name: value[name] for name in names}) == processing.content_key(value)


@given(st.decimals(-99999, 99999, places=2))
def test_the_key_of_content_knows_no_way_of_writing(number: Decimal) -> None:
    longer = Decimal(f"{number:f}0")
    assert processing.content_key({"a": number}) == processing.content_key({"a": longer})
    assert processing.content_key({"a": number}) != processing.content_key({"a": number + 1})
    assert processing.content_key({"a": number}) != processing.content_key({"a": str(number)})
    assert processing.content_key({"a": number}) == processing.content_key({"a": float(number)})


@given(OBJECTS, OBJECTS)
def test_an_update_twice_is_an_update_once(stored: dict[str, Any], change: dict[str, Any]) -> None:
    once = processing.merge_customer(stored, change)
    assert processing.merge_customer(once, change) == once
    assert set(stored) <= set(once)


@given(OBJECTS)
def test_an_update_of_nothing_changes_nothing(stored: dict[str, Any]) -> None:
    assert processing.merge_customer(stored, dict.fromkeys(stored)) == stored


@pytest.mark.parametrize(("asked", "size"), [(None, 100), (-1, 10), (4, 10), (5, 5), (1000, 1000), (5000, 1000)])
def test_page_sizes(asked: int | None, size: int) -> None:
    assert processing.page_size(asked) == size


@pytest.mark.parametrize(("value", "shown"), [("aB", "ab"), (12, "12"), (True, ""), (None, ""), (1.5, ""), (["a"], "")])
def test_keys_are_text_and_compare_without_case(value: object, shown: str) -> None:
    assert processing.fold(value) == shown


def test_the_key_of_content_that_is_nested_deep() -> None:
    nested: list[Any] = []
    for _ in range(700):
        nested = [nested]
    assert processing.content_key({"a": nested}) == processing.content_key({"a": nested})
    assert processing.content_key({"a": nested}) != processing.content_key({"a": [nested]})


def test_a_body_that_only_just_can_be_read_is_refused() -> None:
    def nested(levels: int) -> bytes:
        return b"[" * levels + b"]" * levels

    def readable(levels: int) -> bool:
        try:
            processing.decode(nested(levels))
        except processing.TooDeep:
            return False
        return True

    low, high = 1, 1_000_000
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if readable(middle) else (low, middle)
    with pytest.raises(ValueError, match="too deep"):
        processing.refuse_depth(nested(low))
    processing.refuse_depth(nested(low // 2))
    with pytest.raises(ValueError, match="not JSON"):
        processing.refuse_depth(b"1 2")
