"""A run that goes on: what a document is the same as, and what the source may change from one attempt to the next."""

from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from amili_arm_async import BulkReport, ConfigurationError, Document

from .accounts import account_of, check, check_once, make_client, quick
from .control import Tenant, Truth


async def attempt(tenant: Tenant, journal: Path, records: list[Any], *, kind: str = "documents", **options: Any) -> BulkReport:
    """One attempt of the run of this night."""
    async with make_client(tenant) as arm:
        settings = {"journal": str(journal), "run_id": "night", **options}
        return await getattr(arm, kind).create_many(records, options=quick(**settings))


def numbered(number: str, **more: Any) -> dict[str, Any]:
    return {"documentType": "IN", "customerNo": "1", "documentNo": number, **more}


def unnumbered(text: str) -> dict[str, Any]:
    return {"documentType": "IN", "customerNo": "1", "customerMessage": text, "currencyAmounts": {"exclVat": 12.5, "vat": 0}}


def taken(truth: Truth) -> Counter[str]:
    return Counter(line.key or json.loads(line.record)["customerMessage"] for line in truth.lines)


def reasons(report: BulkReport) -> Counter[tuple[str, str]]:
    return Counter((failure.state, failure.reason) for failure in report.failures())


AMOUNT = {"exclVat": Decimal("10.50"), "vat": Decimal("2.0"), "inclVat": Decimal("12.5")}
WRITTEN = [
    pytest.param(b'{"documentType":"IN","customerNo":"1","currencyAmounts":{"inclVat":12.5,"vat":2,"exclVat":10.5}%s}', id="numbers"),
    pytest.param(
        b'{"documentType":"IN","customerNo":"1","currencyAmounts":{"inclVat":1.25e1,"vat":2.00,"exclVat":10.50}%s}', id="exponent"
    ),
    pytest.param(
        b'{ "customerNo": "1", "documentType": "IN", "currencyAmounts": {"vat":2.0 ,"exclVat":10.50,\n"inclVat":12.5}%s }', id="blanks"
    ),
    pytest.param(
        b'{"customerNo":"\\u0031","documentType":"I\\u004e","currencyAmounts":{"vat":2.0,"exclVat":10.50,"inclVat":12.5}%s}', id="escapes"
    ),
]


@pytest.mark.parametrize("written", WRITTEN)
@pytest.mark.parametrize("number", ["", "D1"], ids=["unnumbered", "numbered"])
async def test_the_same_content_written_in_another_way(tenant: Tenant, tmp_path: Path, written: bytes, number: str) -> None:
    struct = Document(document_type="IN", customer_no="1", currency_amounts=_amounts(), **({"document_no": number} if number else {}))
    other = written % (b',"documentNo":"%s"' % number.encode() if number else b"")
    first = await attempt(tenant, tmp_path / "j", [struct])
    assert first.counts["succeeded"] == 1
    second = await attempt(tenant, tmp_path / "j", [other])
    assert len(tenant.truth().lines) == 1, "taken twice"
    assert second.counts["done_before"] == 1, reasons(second)


def _amounts() -> Any:
    from amili_arm_async import CurrencyAmounts

    return CurrencyAmounts(excl_vat=AMOUNT["exclVat"], vat=AMOUNT["vat"], incl_vat=AMOUNT["inclVat"])


async def test_equal_documents_without_number_are_a_multiset(tenant: Tenant, tmp_path: Path) -> None:
    """Two at first, three later; some unknown, some done: never more than the source has, whatever the order."""
    first = [unnumbered("a"), unnumbered("b"), unnumbered("a"), unnumbered("c"), unnumbered("a")]
    tenant.plan(faults=["ok", "taken_reset", "ok", "body_reset"])
    report = await attempt(tenant, tmp_path / "j", first, max_records=1)
    check("documents", first, account_of(report, 5), tenant.truth())
    assert report.counts["unknown"] == 2
    grown = [unnumbered("c"), unnumbered("a"), *first[1:], unnumbered("a"), unnumbered("d")]
    report = await attempt(tenant, tmp_path / "j", grown, max_records=2)
    check("documents", grown, account_of(report, 8), tenant.truth())
    check_once(grown, tenant.truth())
    # One of the two was taken, nobody knows which.
    assert len(tenant.truth().lines) == 7
    assert report.counts["unknown"] == 2
    again = await attempt(tenant, tmp_path / "j", grown[::-1])
    assert len(tenant.truth().lines) == 7
    assert again.counts["unknown"] == 2
    assert again.counts["done_before"] == 6


async def test_all_digits_count(tenant: Tenant, tmp_path: Path) -> None:
    """Two documents whose amounts differ where a float sees no difference are two documents."""
    text = b'{"documentType":"IN","customerNo":"1","currencyAmounts":{"exclVat":%s}}'
    records = [text % b"0.1000000000000000000000000001", text % b"0.1", text % b"9007199254740993", text % b"9007199254740992"]
    await attempt(tenant, tmp_path / "j", records[:1])
    report = await attempt(tenant, tmp_path / "j", records)
    assert report.counts["done_before"] == 1
    assert report.counts["succeeded"] == 3
    assert len({line.content for line in tenant.truth().lines}) == 4


@pytest.mark.parametrize("fault", ["ok", "taken_reset", "body_reset", "poll_word"])
async def test_other_content_under_a_number_that_was_sent(tenant: Tenant, tmp_path: Path, fault: str) -> None:
    tenant.plan(faults=[fault])
    await attempt(tenant, tmp_path / "j", [numbered("D1")])
    sent = len(tenant.truth().writes)
    report = await attempt(tenant, tmp_path / "j", [numbered("D1", customerMessage="other")])
    assert reasons(report) == {("invalid", "conflicts_with_journal"): 1}
    assert len(tenant.truth().writes) == sent


async def test_mended_content_after_a_refusal(tenant: Tenant, tmp_path: Path) -> None:
    first = await attempt(
        tenant, tmp_path / "j", [numbered("D1", buyerReference="bad-400"), numbered("D2", buyerReference="fails-once")], max_records=1
    )
    assert sorted(reasons(first)) == [("failed", "PROCESSED/FAILED"), ("rejected", "400")]
    second = await attempt(tenant, tmp_path / "j", [numbered("D2", buyerReference="fails-once"), numbered("D1")])
    assert second.counts["succeeded"] == 2
    assert (await attempt(tenant, tmp_path / "j", [numbered("D1"), numbered("D2", buyerReference="fails-once")])).counts["done_before"] == 2


@pytest.mark.parametrize("apart", [1, 7, 60], ids=["in one batch", "in two", "far apart"])
@pytest.mark.parametrize("other", [{}, {"customerMessage": "other"}], ids=["same content", "other content"])
async def test_a_number_twice_in_one_run(tenant: Tenant, tmp_path: Path, apart: int, other: dict[str, str]) -> None:
    records = [numbered("D1"), *[numbered(f"X{place:03}") for place in range(apart - 1)], numbered("D1", **other)]
    report = await attempt(tenant, tmp_path / "j", records)
    assert reasons(report) == {("invalid", "document_no_repeated"): 1}
    assert taken(tenant.truth())["D1"] == 1
    assert report.counts["succeeded"] == apart
    # And again, when the run goes on.
    report = await attempt(tenant, tmp_path / "j", records[::-1])
    assert taken(tenant.truth())["D1"] == 1
    assert report.counts["invalid"] >= 1


async def test_what_the_source_does_not_yield_any_more_is_named(tenant: Tenant, tmp_path: Path) -> None:
    records = [numbered(f"D{place}") for place in range(12)]
    tenant.plan(faults=["ok", "taken_reset", "poll_word"])
    first = await attempt(tenant, tmp_path / "j", records, max_records=3)
    assert first.counts["unknown"] == 3
    assert first.counts["accepted"] == 3
    second = await attempt(tenant, tmp_path / "j", [numbered("E1")])
    assert second.left_behind == {"unknown": 3, "accepted": 3}
    third = await attempt(tenant, tmp_path / "j", records)
    assert not any(third.left_behind.values())
    assert max(taken(tenant.truth()).values()) == 1


async def test_the_same_run_never_goes_elsewhere(tenant: Tenant, tmp_path: Path) -> None:
    await attempt(tenant, tmp_path / "j", [numbered("D1")])
    port = tenant.bad_port("close", times=0)
    async with make_client(tenant, base_url=f"http://127.0.0.1:{port}/arm/v1") as arm:
        with pytest.raises(ConfigurationError):
            await arm.documents.create_many([numbered("D2")], options=quick(journal=str(tmp_path / "j"), run_id="night"))
    assert len(tenant.truth().lines) == 1


async def test_documents_need_a_run_id(tenant: Tenant, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="run_id"):
        await attempt(tenant, tmp_path / "j", [numbered("D1")], run_id=None)
    assert not tenant.truth().lines


async def test_an_older_customer_does_not_overtake_a_newer_one(tenant: Tenant, tmp_path: Path) -> None:
    """The older one failed, the newer one succeeded: when the run goes on, the older one may not be the last that the server hears."""
    records = [
        {"customerNo": "1", "name": "old", "buyerReference": "fails-once"},
        {"customerNo": "1", "name": "new"},
    ]
    first = await attempt(tenant, tmp_path / "j", records, kind="customers", max_records=1)
    assert first.counts["failed"] == 1
    await attempt(tenant, tmp_path / "j", records, kind="customers", max_records=1)
    assert json.loads(tenant.truth().lines[-1].record)["name"] == "new"
