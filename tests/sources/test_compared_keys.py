"""Keys of rows as they are compared: those of many rows at once are those of each alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amili_arm_async.sources.table_records import compared_keys

pytestmark = pytest.mark.quick

cells = st.none() | st.text("1aAÅ \0\t'#=.,eE+-", max_size=5) | st.sampled_from(["NULL", "-", "\u200b1", "10001.0", "4,79E+09", "A-1"])


@given(st.lists(cells, max_size=6))
def test_many_keys_are_compared_as_each_alone(column):
    assert compared_keys(column) == [key for cell in column for key in compared_keys([cell])]


def test_blanks_around_a_key_and_its_case_do_not_count():
    assert compared_keys(["A1", " a1 ", "", None, "\t"]) == ["a1", "a1", None, None, None]
    assert compared_keys(["A1", "b2"]) == ["a1", "b2"]
