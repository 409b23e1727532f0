"""Masking: the shape of a reply stays, and nothing of a person."""

from __future__ import annotations

import re
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from amili_arm_async import codec
from amili_arm_async.cli.probe.masking import field_name, is_word, mask, masked_body, masked_headers, masked_text

FIELDS = st.sampled_from(
    [
        "name",
        "customerNo",
        "postalAddress",
        "addressLine1",
        "summary",
        "status",
        "result",
        "resultType",
        "customers",
        "type",
        "message",
        "note",
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.decimals(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(FIELDS | st.text(max_size=12), inner, max_size=5),
    max_leaves=25,
)
MASKED = re.compile(r"[x0!-/:-@\[-`{-~ \t\r\n]*", re.ASCII)


def texts(value):
    """Every text in a value, as (its field, it)."""
    for name, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        if isinstance(item, str):
            yield name, item
        yield from texts(item)


def names(value):
    for name, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        if isinstance(name, str):
            yield name
        yield from names(item)


@given(VALUES)
@example({"name": {"status": "OLA"}})
@example({"Kari Nordmann": {"status": "Kari"}})
def test_every_text_that_is_left_is_masked_or_the_word_of_a_status(value) -> None:
    for field, text in texts([mask([value])]):
        assert MASKED.fullmatch(text) or (is_word(text) and str(field).lower().endswith(("status", "result", "type")))


@given(VALUES, st.text(st.characters(categories=["L", "N", "M"]), min_size=4, max_size=20), FIELDS)
@example({}, "NORDMANN", "name")
@example({}, "Ærlig", "status")
@example({}, "१२३४", "ssn")
def test_no_four_signs_of_a_personal_value_survive(value, personal, field) -> None:
    if is_word(personal) and field in {"status", "result", "resultType", "type"}:
        # That is how the word of a status looks: these fields are for no person.
        field = "name"
    whole = {"value": value, "more": [{field: personal}, {"name": {field: [personal]}}], field: personal, "summary": {field: personal}}
    left = [text for name, text in texts(mask(whole)) if not is_word(text)]
    windows = {personal[start : start + 4] for start in range(len(personal) - 3)}
    # A text of nothing but x and 0 looks the same when it is masked.
    windows = {window for window in windows if set(window) - set("x0")}
    assert not [text for text in left for window in windows if window in text]


@given(st.text())
def test_a_text_keeps_its_length(text) -> None:
    assert len(masked_text(text)) == len(text)
    assert masked_text(masked_text(text)) == masked_text(text)


def test_a_name_that_does_not_look_like_one_is_data() -> None:
    assert list(names(mask({"Kari Nordmann": 1, "kari@example.com": 2, "ærlig": 3, "customerNo": 4}))) == [
        "xxxx xxxxxxxx",
        "xxxx@xxxxxxx.xxx",
        "xxxxx",
        "customerNo",
    ]
    assert field_name("a" * 42) == "x" * 42
    # Two that look alike stay two.
    assert mask({"å": 1, "ø": 2}) == {"x": 0, "x_": 0}


def test_what_is_kept_is_kept() -> None:
    given = {
        "summary": {"pageNo": 2, "totalCount": 31, "queryId": "8NlwdOIM1Y", "more": {"customerNo": 7}, "list": [7]},
        "status": "NOT-PROCESSED",
        "postalReturnStatus": "FICTITIOUS",
        "customers": [{"customerNo": "543210", "result": "FAILED", "resultType": "BATCH-REJECTED", "dueDays": 14, "rate": Decimal("5.5")}],
        "flag": True,
        "nothing": None,
    }
    assert mask(given) == {
        "summary": {"pageNo": 2, "totalCount": 31, "queryId": "0xxxxxxx0x", "more": {"customerNo": 0}, "list": [0]},
        "status": "NOT-PROCESSED",
        "postalReturnStatus": "FICTITIOUS",
        "customers": [{"customerNo": "000000", "result": "FAILED", "resultType": "BATCH-REJECTED", "dueDays": 0, "rate": Decimal("0.0")}],
        "flag": True,
        "nothing": None,
    }


@pytest.mark.parametrize("text", ["Processed", "KARI NORDMANN", "FAILED1", "A" * 32, "ÆRLIG", "", "-OK"])
def test_what_is_no_short_word_in_upper_case_is_masked_everywhere(text) -> None:
    assert mask({"status": text}) == {"status": masked_text(text)}


@pytest.mark.parametrize("outer", ["name", "postalAddress", "customerMessage", "contactPersons", "emailAddressDocument", "buyerReference"])
def test_below_a_personal_field_no_word_is_kept(outer) -> None:
    assert mask({outer: {"status": "OLA", "in": [{"result": "OLA"}]}}) == {outer: {"status": "xxx", "in": [{"result": "xxx"}]}}
    assert mask({"summary": {outer: {"status": "OLA", "age": 41}}}) == {"summary": {outer: {"status": "xxx", "age": 0}}}


def test_bodies() -> None:
    assert masked_body(b"") is None
    assert masked_body(b"null") is None
    assert masked_body(b"17") == 0
    assert masked_body(b"1.5") == Decimal("0.0")
    assert masked_body(b"<p>Kari 17</p>" + b"a" * 1000) == {"no_json": ("<x>xxxx 00</x>" + "x" * 1000)[:200], "bytes": 1014}
    assert masked_body(b"\xff\xfe") == {"no_json": "xx", "bytes": 2}
    assert masked_body(b"[" * 5000)["bytes"] == 5000
    deep = b"[" * 200 + b'"Kari"' + b"]" * 200
    assert b"Kari" not in codec.ENCODER.encode(masked_body(deep))


def test_headers() -> None:
    assert masked_headers(
        {
            "content-type": "application/json; charset=utf-8",
            "x-request-id": "ab-17",
            "x-ratelimit-remaining": "99",
            "retry-after": "Sat, 21 Nov 2026 11:53:18 GMT",
            "set-cookie": "session=secret",
            "authorization": "Bearer token",
            "location": "https://host/customers/543210",
            "x-correlation-id": "Kåre",
        }
    ) == {
        "content-type": "application/json; charset=utf-8",
        "x-request-id": "ab-17",
        "x-ratelimit-remaining": "99",
        "retry-after": "Sat, 21 Nov 2026 11:53:18 GMT",
        "set-cookie": "(not shown)",
        "authorization": "(not shown)",
        "location": "(not shown)",
        "x-correlation-id": "(not shown)",
    }
