"""Frames without a Spark: what its two jobs give to the tasks, with its shuffle done by hand."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from amili_arm_async.spark.job import HEADS, LINES, FrameJob, Reading, TableOfFrame

__all__ = ["PARTS", "SLOTS", "labelled_batches", "no_spark", "task_of"]

PARTS = 3
SLOTS = [7, 11, 13]
"""What stands for each part."""


@pytest.fixture(scope="module")
def no_spark() -> Iterator[None]:
    """The tasks ask Spark which partition they have; here, there is one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "pyspark", SimpleNamespace(TaskContext=SimpleNamespace(get=lambda: None)))
        yield


def _labelled(reading: Reading, which: TableOfFrame, table: Any, slots: list[int]) -> list[dict[str, Any]]:
    from amili_arm_async.spark.tasks import RowLabeller

    plain = table.rename_columns([f"_{which}_{place}" for place in range(table.num_columns)])
    batches = RowLabeller(reading, which, table.column_names, slots)(iter(plain.to_batches(max_chunksize=2)))
    return [row for batch in batches for row in batch.to_pylist()]


def labelled_batches(reading: Reading, table: Any, lines: Any = None, slots: list[int] = SLOTS) -> Iterator[Any]:
    """Gives the rows of all parts as one task gets them, in batches of three."""
    import pyarrow as pa

    from amili_arm_async.spark.tasks import ADDED

    columns = {f"_{HEADS}_{place}": table.schema.field(place).type for place in range(table.num_columns)} | ADDED
    rows = _labelled(reading, HEADS, table, slots)
    if lines is not None:
        columns |= {f"_{LINES}_{place}": lines.schema.field(place).type for place in range(lines.num_columns)}
        rows += _labelled(reading, LINES, lines, slots)
    slot, frame, number, place = ADDED
    rows.sort(key=lambda row: (row[slot], row[frame], row[number] is not None, row[number] or "", row[place]))
    schema = pa.schema(list(columns.items()))
    return (pa.RecordBatch.from_pylist(rows[first : first + 3], schema) for first in range(0, len(rows), 3))


def task_of(job: FrameJob, address: tuple[int, str], names: list[str], line_names: list[str] | None = None) -> Any:
    """What a task that sends needs to know."""
    from amili_arm_async.spark.tasks import SendTask

    return SendTask(job, address, names, line_names or [], {slot: part for part, slot in enumerate(SLOTS)})
