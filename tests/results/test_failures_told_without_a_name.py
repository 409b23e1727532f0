"""A failure that is told in plain words, flags or codes, and one that is told by what was not done, is evidence against all the same."""

from __future__ import annotations

import json
from typing import Any

import pytest

from amili_arm_async import BatchWords
from amili_arm_async.bulk.results import KEY_NAMES, read_all

pytestmark = pytest.mark.quick

_WHOLE = {"status": "PROCESSED", "result": "OK"}


def _states(body: dict[str, Any]) -> set[str]:
    keys = ["D1", "D2", "D3", "D4"]
    reading = read_all("a-batch", 200, json.dumps({**_WHOLE, **body}).encode(), BatchWords(), KEY_NAMES, len(keys))
    common, others = reading.outcomes(keys)
    return {others.get(place, common).state for place in range(len(keys))}


@pytest.mark.parametrize(
    "body",
    [
        {"results": ["OK", "ERROR", "OK", "OK"]},
        {"statuses": ["OK", "ERROR", "OK", "OK"]},
        {"results": [True, False, True, True]},
        {"results": [201, 400, 201, 201]},
        {"log": ["D2 failed"]},
        {"violations": [{"x": 1}]},
        {"problems": ["x"]},
        {"batch": {"rows": {"bad": 1}}},
        {"partial": True},
        {"complete": False},
        {"message": "No records were imported"},
        {"message": "0 of 4 processed"},
        {"message": "Processed: 0"},
        {"message": "ingen ble behandlet"},
        {"message": "not without errors"},
        {"message": "Batch OK. Mangler kunde for D2"},
        {"message": "Unknown customer in D2"},
    ],
    ids=json.dumps,
)
def test_no_record_is_succeeded_by_the_word_for_the_whole_alone(body: dict[str, Any]) -> None:
    assert "succeeded" not in _states(body)


@pytest.mark.parametrize(
    "body",
    [
        {"results": ["OK", "OK", "OK", "OK"]},
        {"results": [201, 201, 201, 201]},
        {"documents": [401, 402, 403, 404]},
        {"log": ["4 processed", "no errors"]},
        {"problems": []},
        {"violations": None},
        {"partial": False},
        {"complete": True},
        {"message": "0 created, 4 updated"},
        {"message": "0 errors, 4 processed"},
        {"message": "0 failed 4 succeeded"},
        {"message": "0 of 4 failed, 4 of 4 processed"},
        {"message": "Processed: 40"},
        {"message": "processed: 0 errors"},
        {"message": "No errors, processed in 0.5 s"},
        {"message": "No customers missing"},
    ],
    ids=json.dumps,
)
def test_what_tells_of_none_lowers_no_record(body: dict[str, Any]) -> None:
    assert _states(body) == {"succeeded"}
