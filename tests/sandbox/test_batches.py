"""Batches: from the 202 to the result, and the switches for what the pages don't say."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from amili_arm_async.sandbox import Sandbox

pytestmark = pytest.mark.quick

if TYPE_CHECKING:
    from collections.abc import Callable


async def test_a_batch_is_accepted_kept_and_processed_later(sandbox: Sandbox, call: Any) -> None:
    status, accepted = await call("POST", "customers/batches", {"customers": [call.customer("1")]})

    assert status == 202
    uuid = accepted["batchUuid"]
    assert len(uuid) == 22
    assert accepted == {
        "status": "NOT-PROCESSED",
        "result": "PENDING",
        "message": "Document batch accepted for processing",
        "batchUuid": uuid,
        "getResult": f"{sandbox.base_url}/clients/2218/batches/{uuid}",
    }
    status, waiting = await call("GET", accepted["getResult"])
    assert (status, waiting["status"], waiting["result"]) == (202, "NOT-PROCESSED", "PENDING")
    assert (sandbox.customers.taken("1"), sandbox.customers.stored("1"), sandbox.open_batches) == (1, 0, 1)

    await sandbox.process_now()

    status, result = await call("GET", f"batches/{uuid}")
    assert status == 200
    assert (result["status"], result["result"], result["batchUuid"]) == ("PROCESSED", "SUCCESS", uuid)
    assert result["customers"] == [{"customerNo": "1", "status": "PROCESSED", "result": "SUCCESS", "message": ""}]
    assert (sandbox.customers.stored("1"), sandbox.open_batches) == (1, 0)


async def test_batches_are_processed_by_themselves(calling: Callable[[Sandbox], Any]) -> None:
    async with Sandbox(process_delay=0.0) as sandbox:
        call = calling(sandbox)
        for number in range(5):
            assert (await call("POST", "customers/batches", {"customers": [call.customer(str(number))]}))[0] == 202
        await sandbox.settled()
        assert len(sandbox.customers) == 5


async def test_what_is_held_is_processed_after_the_release(sandbox: Sandbox, call: Any) -> None:
    await call("POST", "customers/batches", {"customers": [call.customer("1")]})
    sandbox.release_processing()
    await sandbox.settled()
    assert "1" in sandbox.customers


async def test_a_batch_larger_than_a_chunk_is_processed_whole(sandbox: Sandbox, call: Any) -> None:
    status, result = await call.batch("customers", *(call.customer(str(number)) for number in range(1203)))
    assert status == 200
    assert [entry["customerNo"] for entry in result["customers"]] == [str(number) for number in range(1203)]
    assert len(sandbox.customers) == 1203
    assert sandbox.customers.total_taken == 1203


async def test_the_last_of_equal_keys_in_a_batch_wins(sandbox: Sandbox, call: Any) -> None:
    status, result = await call.batch(
        "customers",
        call.customer("1", phoneNo="1", sellerReference="A"),
        {"customerNo": "1", "phoneNo": "2"},
        call.customer("2"),
    )
    assert (status, len(result["customers"])) == (200, 3)
    stored = sandbox.customers.get("1")
    assert stored is not None
    assert (stored["phoneNo"], stored["sellerReference"]) == ("2", "A")
    assert sandbox.customers.taken("1") == 2
    assert [record.key for record in sandbox.customers.doubles()] == ["1"]


async def test_records_that_fail_are_named_in_the_result(sandbox: Sandbox, call: Any) -> None:
    sandbox.customers.seed([call.customer("1")])
    sandbox.reject_record("d2", "not today")
    status, result = await call.batch(
        "documents",
        call.document("d1"),
        call.document("d2"),
        call.document("d3", "nobody"),
        {"documentNo": "d4", "customerNo": "1"},
        7,
    )
    assert status == 206
    assert (result["status"], result["result"]) == ("PROCESSED", "PARTIAL")
    assert [(entry.get("documentNo"), entry["result"], entry["message"]) for entry in result["documents"]] == [
        ("d1", "SUCCESS", ""),
        ("d2", "FAILED", "not today"),
        ("d3", "FAILED", "customer does not exist"),
        ("d4", "FAILED", "documentType is missing"),
        (None, "FAILED", "document must be an object"),
    ]
    assert (sandbox.documents.taken("d2"), sandbox.documents.stored("d2")) == (1, 0)


async def test_a_batch_that_fails_whole_is_answered_200(sandbox: Sandbox, call: Any) -> None:
    status, result = await call.batch("documents", call.document("d1", "nobody"))
    assert (status, result["result"]) == (200, "FAILED")


async def test_results_can_be_a_summary_in_other_words(calling: Callable[[Sandbox], Any]) -> None:
    words = {"processed": "DONE", "partial": "SOME", "unprocessed": "QUEUED", "pending": "WAIT"}
    async with Sandbox(result_style="summary", partial_status=200, words=words) as sandbox:
        call = calling(sandbox)
        sandbox.reject_record("2")
        sandbox.hold_processing()
        _, accepted = await call("POST", "customers/batches", {"customers": [call.customer("1"), call.customer("2")]})
        assert (accepted["status"], accepted["result"]) == ("QUEUED", "WAIT")
        await sandbox.process_now()
        status, result = await call("GET", accepted["getResult"])
        assert (status, result["status"], result["result"]) == (200, "DONE", "SOME")
        assert "customers" not in result
    with pytest.raises(ValueError, match="no such word: sucess"):
        Sandbox(words={"sucess": "OK"})


async def test_a_record_can_be_left_out_of_the_result(sandbox: Sandbox, call: Any) -> None:
    sandbox.omit_result("2")
    status, result = await call.batch("customers", call.customer("1"), call.customer("2"))
    assert (status, result["result"]) == (200, "SUCCESS")
    assert [entry["customerNo"] for entry in result["customers"]] == ["1"]
    assert "2" in sandbox.customers


async def test_an_update_batch_fails_for_customers_that_do_not_exist(sandbox: Sandbox, call: Any) -> None:
    sandbox.customers.seed([call.customer("1")])
    changes = ({"customerNo": "1", "phoneNo": "5"}, call.customer("2"))
    status, result = await call.batch("customers", *changes, method="PUT")
    assert (status, [entry["result"] for entry in result["customers"]]) == (206, ["SUCCESS", "FAILED"])
    assert "2" not in sandbox.customers


async def test_batches_belong_to_their_client_and_their_case(sandbox: Sandbox, call: Any) -> None:
    _, accepted = await call("POST", "customers/batches", {"customers": [call.customer("1")]})
    uuid = accepted["batchUuid"]
    assert (await call("GET", f"batches/{uuid.swapcase()}"))[0] == 404
    call.client_no = 2219
    assert (await call("GET", f"batches/{uuid}"))[0] == 404


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"customers":null}',
        b'{"customers":[]}',
        b'{"customers":{}}',
        b'{"customers":["\xff"]}',
    ],
)
async def test_a_batch_body_that_is_none_is_answered_400(sandbox: Sandbox, call: Any, body: bytes) -> None:
    assert (await call("POST", "customers/batches", body))[0] == 400
    assert sandbox.open_batches == 0


async def test_one_poisoned_record_refuses_the_whole_batch(sandbox: Sandbox, call: Any) -> None:
    sandbox.poison_record("2")
    records = [call.customer("1"), call.customer("2")]
    assert (await call("POST", "customers/batches", {"customers": records}))[0] == 400
    assert (await call("POST", "customers/batches", {"customers": records[:1]}))[0] == 202
    assert (await call("POST", "customers", records[1]))[0] == 400
    assert (sandbox.customers.delivered("1"), sandbox.customers.taken("1")) == (2, 1)
    assert (sandbox.customers.delivered("2"), sandbox.customers.taken("2")) == (2, 0)


async def test_too_large_is_answered_413(calling: Callable[[Sandbox], Any]) -> None:
    async with Sandbox(max_body_bytes=3000, max_batch_records=2) as sandbox:
        call = calling(sandbox)
        fits = [call.customer("1"), call.customer("2")]
        assert (await call("POST", "customers/batches", {"customers": fits}))[0] == 202
        assert (await call("POST", "customers/batches", {"customers": [*fits, call.customer("3")]}))[0] == 413
        wide = {"customers": [call.customer("4", customerMessage="x" * 4000)]}
        assert (await call("POST", "customers/batches", wide))[0] == 413
        huge = {"customers": [call.customer("4", customerMessage="x" * 4_000_000)]}
        assert (await call("POST", "customers/batches", huge))[0] == 413
        assert sandbox.customers.taken("1") == 1
        assert sandbox.customers.delivered("4") == 0, "a body that is too large is not read as records"


async def test_documents_with_a_number_that_exists_are_stored_again_or_fail(
    calling: Callable[[Sandbox], Any],
) -> None:
    async with Sandbox(require_customers=False) as sandbox:
        call = calling(sandbox)
        assert (await call.batch("documents", call.document("D1"), call.document("d1")))[0] == 200
        assert (sandbox.documents.taken("d1"), sandbox.documents.stored("d1"), len(sandbox.documents)) == (
            2,
            2,
            2,
        )
        assert (await call("POST", "documents", call.document("d1")))[0] == 200
    async with Sandbox(require_customers=False, duplicate_documents="fail") as sandbox:
        call = calling(sandbox)
        status, result = await call.batch("documents", call.document("D1"), call.document("d1"))
        assert (status, [entry["result"] for entry in result["documents"]]) == (206, ["SUCCESS", "FAILED"])
        assert (await call("POST", "documents", call.document("d1")))[0] == 400
        assert sandbox.documents.stored("d1") == 1


async def test_documents_without_a_number_are_counted_by_content(sandbox: Sandbox, call: Any) -> None:
    sandbox.customers.seed([call.customer("1")])
    first = b'{"documentType":"IN","customerNo":"1","documentLines":[{"price":10.50,"quantity":1}]}'
    same = b'{"customerNo":"1","documentLines":[{"quantity":1.0,"price":10.5}],"documentType":"IN"}'
    other = b'{"customerNo":"1","documentLines":[{"quantity":1.0,"price":10.6}],"documentType":"IN"}'
    status, _ = await call("POST", "documents/batches", b'{"documents":[' + b",".join((first, same, other)) + b"]}")
    assert status == 202
    await sandbox.process_now()
    assert sandbox.documents.taken(json.loads(first)) == 2
    assert sandbox.documents.stored(json.loads(same)) == 2
    assert sandbox.documents.taken(json.loads(other)) == 1
    stored = sandbox.documents.get(json.loads(other))
    assert stored is not None
    assert stored["documentLines"] == [{"quantity": Decimal("1.0"), "price": Decimal("10.6")}]


async def test_documents_can_be_given_numbers(calling: Callable[[Sandbox], Any]) -> None:
    async with Sandbox(require_customers=False, number_documents=True) as sandbox:
        call = calling(sandbox)
        _, result = await call.batch("documents", call.document(None), call.document("d1"))
        made, given = (entry["documentNo"] for entry in result["documents"])
        assert (made, given) == ("90000001", "d1")
        status, shown = await call("GET", f"documents/{made}")
        assert (status, shown["documentNo"]) == (200, made)


async def test_one_document_is_validated_and_stored_at_once(sandbox: Sandbox, call: Any) -> None:
    assert (await call("POST", "documents", call.document("d1")))[0] == 400
    sandbox.customers.seed([call.customer("1")])
    status, body = await call("POST", "documents", call.document("d1", ledgerNote="x"))
    assert (status, body["documentNo"], body["message"]) == (200, "d1", "Document created")
    assert await call("GET", "documents/D1") == (
        200,
        {"clientNo": 2218, "documentType": "IN", "customerNo": "1", "documentNo": "d1", "ledgerNote": "x"},
    )
    assert (await call("GET", "documents/d2"))[0] == 404
    assert (await call("PUT", "documents", call.document("d1")))[0] == 405
    assert (sandbox.documents.delivered("d1"), sandbox.documents.taken("d1")) == (2, 1)


async def test_a_worker_that_breaks_is_heard_of(calling: Callable[[Sandbox], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise LookupError("broken")

    monkeypatch.setattr("amili_arm_async.sandbox.worker.split_batch", broken)
    sandbox = Sandbox(process_delay=0.0)
    await sandbox.start()
    assert (await calling(sandbox)("POST", "customers/batches", {"customers": [{"customerNo": "1"}]}))[0] == 202
    with pytest.raises(LookupError, match="broken"):
        await sandbox.settled()
    with pytest.raises(LookupError, match="broken"):
        await sandbox.close()
    await sandbox.close()
