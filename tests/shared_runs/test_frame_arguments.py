"""What can be said of frames of Spark without a Spark: what is refused, and where each part goes."""

from __future__ import annotations

import pickle
from functools import partial
from typing import Any

import pytest

from amili_arm_async import ArmClient, BulkOptions, ConfigurationError
from amili_arm_async.spark import send_frame, send_stream
from amili_arm_async.spark.driver import reason_of
from amili_arm_async.spark.tasks import slots_of

URL = "postgresql://sender:secret@127.0.0.1:1/billing"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"journal": "journal.sqlite"}, "PostgreSQL"),
        ({"parts": 0}, "parts"),
        ({"kind": "invoices"}, "kind"),
        ({"client": ArmClient(2218, auth="a", base_url="http://127.0.0.1:1")}, "a function that makes a client"),
        ({"options": BulkOptions(dead_letter="failed.jsonl")}, r"use report.failures\(\)"),
        ({"columns": {"number": "documentNumber"}}, "documentNo"),
        ({}, "frame must be a DataFrame of Spark, and is a builtins list"),
    ],
)
def test_what_is_refused_before_spark_is_asked(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said) as caught:
        send_frame([], **{"run_id": "1", "journal": URL, **settings})
    assert "secret" not in str(caught.value)


def test_a_stream_is_sent_by_a_function_that_can_be_pickled() -> None:
    with pytest.raises(ConfigurationError, match="parts"):
        send_stream(run_id="1", journal=URL, parts=0)
    settings = {"AMILI_ARM_TOKEN": "secret"}
    sender = send_stream(run_id="1", journal=URL, client=partial(ArmClient.from_env, settings))
    assert "secret" not in repr(sender)
    assert pickle.loads(pickle.dumps(sender)).args[0].url.conninfo == URL


@pytest.mark.parametrize("parts", [1, 7, 64])
def test_each_part_has_a_slot_of_its_own(parts: int) -> None:
    assert len(set(slots_of(parts))) == parts


def test_what_spark_says_is_told_without_its_traces() -> None:
    python = (
        "Job aborted: \nTraceback (most recent call last):\n  File x\nValueError: broken\n\n\tat org.apache.spark.X\nDriver stacktrace:\n"
    )
    assert reason_of(RuntimeError(python)) == "ValueError: broken"
    assert reason_of(RuntimeError("[TABLE] not found.\nJVM stacktrace:\njava.lang.Error: x")) == "[TABLE] not found"
    assert "not installed on the executors" in reason_of(RuntimeError("ModuleNotFoundError: No module named 'amili_arm_async'"))
    assert reason_of(KeyError()) == "KeyError"
