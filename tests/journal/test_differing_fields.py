"""`differing_fields` names a field exactly where `same_content` finds a difference."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amili_arm_async.bulk.lookups import differing_fields, same_content

pytestmark = pytest.mark.quick

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from(["", "a", "A ", "1"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=2),
    max_leaves=6,
)
RECORDS = st.dictionaries(st.sampled_from("xyz"), VALUES, max_size=3)


@given(RECORDS, RECORDS)
def test_there_is_a_path_where_the_content_differs(ours, theirs) -> None:
    sent, found = json.dumps(ours).encode(), json.dumps(theirs).encode()
    assert same_content(sent, found) is not bool(differing_fields(sent, found))


@pytest.mark.parametrize(
    ("sent", "found", "paths"),
    [
        ('{"a": 1, "b": "x"}', '{"a": 1.0, "b": "X ", "c": 2}', []),
        ('{"a": 1, "b": "x"}', '{"a": 2, "b": "y"}', ["a", "b"]),
        ('{"a": {"b": [1, {"c": 2}]}}', '{"a": {"b": [1, {"c": 3}]}}', ["a.b[1].c"]),
        ('{"a": [1, 2]}', '{"a": [1]}', ["a"]),
        ('{"a": {"b": 1}}', '{"a": 1}', ["a"]),
        ('{"a": null, "b": ""}', "{}", []),
        ('{"a": true}', '{"a": 1}', ["a"]),
    ],
)
def test_paths(sent, found, paths) -> None:
    assert differing_fields(sent.encode(), found.encode()) == paths
