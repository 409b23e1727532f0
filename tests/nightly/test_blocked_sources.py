"""Blocked documents of a night that goes on, from files and from programs: what was sent is done, however it is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from amili_arm_async import open_records
from amili_arm_async.bulk.journal.sqlite import store

from ..support.sandbox_runs import outcome_of
from .test_blocked import blocks_customer_1, run_of

DAY = {"documentType": "IN", "customerNo": "1", "dueDate": "20.12.2026", "currencyAmounts": {"exclVat": 5, "vat": 1}}


@pytest.fixture(params=["no text kept", "text kept"])
def kept(request, monkeypatch) -> None:
    monkeypatch.setattr(store, "KEPT_BYTES", 0 if request.param == "no text kept" else 10**9)


def file_of(folder: Path, documents: list[dict[str, Any]]) -> Path:
    path = folder / "documents.jsonl"
    path.write_text("".join(json.dumps(document) + "\n" for document in documents))
    return path


@pytest.mark.parametrize("numbered", [True, False])
async def test_a_day_that_is_written_anew_makes_no_other_document(numbered, kept, arm, tmp_path) -> None:
    numbers = ({"documentNo": f"D{number}"} if numbered else {"invoiceNote": str(number)} for number in range(4))
    path = file_of(tmp_path, [{**DAY, **number} for number in numbers])
    settings = {"journal": tmp_path / "journal", "run_id": "night"}
    first = await run_of(arm.documents, "documents.create_batch", open_records(path, "documents"), **settings)
    assert outcome_of(first).counts == {"succeeded": 4}
    again = await run_of(arm.documents, "documents.create_batch", open_records(path, "documents"), blocks_customer_1(), **settings)
    assert outcome_of(again).counts == {"done_before": 4}


async def test_the_dead_letter_has_what_would_have_been_sent(arm, tmp_path) -> None:
    path = file_of(tmp_path, [{**DAY, "documentNo": "1"}, {**DAY, "documentNo": "2", "dueDate": "nonsense"}, {**DAY, "documentNo": "3"}])
    letter = tmp_path / "failed.jsonl"
    settings = {"journal": tmp_path / "journal", "run_id": "night", "dead_letter": letter}
    for _ in range(2):
        report = await run_of(arm.documents, "documents.create_batch", open_records(path, "documents"), blocks_customer_1(), **settings)
        assert outcome_of(report).counts == {"blocked": 3}
        lines = [json.loads(line) for line in letter.read_text().splitlines()]
        assert [line["payload"] and line["payload"]["dueDate"] for line in lines] == ["2026-12-20", None, "2026-12-20"]


@pytest.mark.parametrize("number", [1e22, 5e16, -0.0, [1e-9]], ids=str)
async def test_a_number_in_a_dict_makes_no_other_document(number, kept, arm, tmp_path) -> None:
    settings = {"journal": tmp_path / "journal", "run_id": "night"}
    documents = [{**DAY, "documentNo": "1", "dueDate": "2026-12-20", "ourOwn": number}]
    await run_of(arm.documents, "documents.create_batch", documents, **settings)
    again = await run_of(arm.documents, "documents.create_batch", documents, blocks_customer_1(), **settings)
    assert outcome_of(again).counts == {"done_before": 1}


async def test_a_number_that_is_no_text_ends_no_night(arm, tmp_path) -> None:
    settings = {"journal": tmp_path / "journal", "run_id": "night"}
    documents = [{**DAY, "documentNo": "\ud800"}, {**DAY, "documentNo": "1", "dueDate": "2026-12-20"}]
    first = await run_of(arm.documents, "documents.create_batch", documents, **settings)
    assert outcome_of(first).counts == {"invalid": 1, "succeeded": 1}
    for _ in range(2):
        again = await run_of(arm.documents, "documents.create_batch", documents, blocks_customer_1(), **settings)
        assert outcome_of(again).counts == {"blocked": 1, "done_before": 1}
