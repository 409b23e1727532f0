"""A user's program over the whole face: it is never run, only read by type checkers, strictly."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, assert_type

import aiohttp

from amili_arm_async import (
    DEFAULT,
    STAGING,
    ArmClient,
    ArmError,
    BatchEntry,
    BatchLog,
    BatchOutcome,
    BatchReader,
    BatchReceipt,
    BatchResult,
    BatchSummary,
    BatchWords,
    BulkError,
    BulkOptions,
    BulkReport,
    BulkRun,
    CheckError,
    CheckReport,
    CheckRun,
    ClientCredentials,
    CurrencyAmounts,
    Customer,
    CustomerRecord,
    Distribution,
    Document,
    DocumentLine,
    DocumentRecord,
    EinvoiceAddress,
    Finding,
    Limits,
    OutcomeUnknownError,
    Page,
    Pager,
    PageSummary,
    PostalAddress,
    Progress,
    RateLimitedError,
    Receipt,
    RecordOutcome,
    Response,
    RetryPolicy,
    State,
    StatusError,
    SyncReport,
    SyncRun,
    Timeout,
    TokenSource,
    Totals,
    TruncatedListError,
)


class Vault:
    """A token source of the user's own: the protocol is enough."""

    async def acquire(self) -> str:
        return "token"

    def invalidate(self, token: str) -> None:
        """Forget it."""


async def fetch_token() -> str:
    return "token"


async def clients(session: aiohttp.ClientSession, context: ssl.SSLContext) -> None:
    auth = ClientCredentials(client_id="id", client_secret="secret", identity_url="https://auth.staging.amili.no")
    async with ArmClient(2218, auth=auth, base_url=STAGING) as arm:
        assert_type(arm, ArmClient)
        assert_type(arm.for_client(2219), ArmClient)
        assert_type(arm.client_no, int)
    ArmClient(2218, auth="a bearer token", base_url=STAGING)
    ArmClient(2218, auth=fetch_token, base_url=STAGING, session=session)
    ArmClient(2218, auth=Vault(), base_url=STAGING, ssl=context, proxy="http://127.0.0.1:3128")
    ArmClient(2218, auth=Vault(), base_url=STAGING, timeout=Timeout(total=DEFAULT))
    source: TokenSource = Vault()
    client = ArmClient(
        2218,
        auth=source,
        base_url=STAGING,
        user_id="TestUser",
        language="no",
        timeout=Timeout(connect=5, read=30.5, total=None),
        retry=RetryPolicy(attempts=3, base_delay=0.1, max_delay=5),
        limits=Limits(connections=4, bytes_in_flight=1_000_000, open_batches=10),
        batch_words=BatchWords(succeeded=frozenset({"FERDIG"}), done=frozenset({"KLAR"})),
        batch_reader=read_batch,
    )
    assert_type(ArmClient.from_env(), ArmClient)
    assert_type(ArmClient.from_env({"AMILI_ARM_TOKEN": "t"}, client_no=1), ArmClient)
    await client.aclose()


def read_batch(status: int, body: bytes, keys: Sequence[str | None]) -> list[RecordOutcome] | None:
    reader: BatchReader = read_batch
    assert reader is not None
    return [RecordOutcome(n, key, "succeeded") for n, key in enumerate(keys)] if status == 200 else None


def records() -> tuple[Customer, Document]:
    customer = Customer(
        customer_no="543210",
        name="Owe Armstrong",
        postal_address=PostalAddress(address_line1="707 Arm street", city_name=""),
        distribution=Distribution(type="M", einvoice_code=0),
        email_address_document=[],
        date_of_birth=date(1999, 1, 1),
        stop_reminder_until="",
        limit_amount=Decimal(2000),
        vat_liable=True,
        phone_no=None,
    )
    customer.name = "New"
    customer.stop_interest_calc_until = ""
    document = Document(
        document_type="IN",
        document_no="88776655",
        document_date=date(2025, 2, 27),
        currency_amounts=CurrencyAmounts(excl_vat=Decimal(5200), vat=Decimal(1300), incl_vat=Decimal(6500)),
        einvoice_address=EinvoiceAddress(address="test@armresttest.no"),
        document_lines=[DocumentLine(line_no=1, price=Decimal("0.10"))],
    )
    return customer, document


async def one_record(arm: ArmClient) -> None:
    customer, document = records()
    assert_type(await arm.customers.create(customer), Receipt)
    assert_type(
        await arm.customers.create({"customerNo": "543210"}, user_id="u", timeout=Timeout(total=3), retry=RetryPolicy(attempts=1)), Receipt
    )
    assert_type(await arm.customers.update(b'{"customerNo":"543210"}'), Receipt)
    record = await arm.customers.get("543210", language="en")
    assert_type(record, CustomerRecord)
    assert_type(record.name, str | None)
    assert_type(record.balance_total, Decimal | None)
    assert_type(record.date_of_birth, date | None)
    assert_type(record.ar_rules, list[str] | None)
    assert_type(record.unread, dict[str, Any] | None)
    assert_type(record.to_input(), Customer)
    receipt = await arm.customers.delete("543210")
    assert_type(receipt.status, str | None)
    assert_type(receipt.http_status, int)
    assert_type(await arm.documents.create(document), Receipt)
    found = await arm.documents.get("88776655")
    assert_type(found, DocumentRecord)
    assert_type(found.to_input(), Document)
    assert_type(found.other, dict[str, Any])


async def lists(arm: ArmClient, numbers: list[str]) -> None:
    pager = arm.customers.list(customer_category="CONS", page_size=1000, account_no=5, maximum_count=10, allow_truncated=True)
    assert_type(pager, Pager[CustomerRecord])
    async for record in pager:
        assert_type(record, CustomerRecord)
    async for page in arm.customers.list().pages():
        assert_type(page, Page[CustomerRecord])
        assert_type(page.summary, PageSummary)
        assert_type(page.items, list[CustomerRecord])
        assert_type(page.summary.total_count, int | None)
    assert_type(await arm.customers.list().first(), Page[CustomerRecord])
    assert_type(await arm.customers.list().collect(), list[CustomerRecord])
    async with arm.customers.list(page_size=1000).prefetch(8) as records_ahead:
        async for ahead in records_ahead:
            assert_type(ahead, CustomerRecord)
    async with arm.customers.get_many(numbers, concurrency=4) as found:
        async for number, maybe in found:
            assert_type(number, str)
            assert_type(maybe, CustomerRecord | None)
    async for document in arm.documents.list(parameters={"customerno": "7"}):
        assert_type(document, DocumentRecord)


async def batches(arm: ArmClient, uuids: AsyncIterator[str]) -> None:
    customer, document = records()
    receipt = await arm.customers.create_batch([customer])
    assert_type(receipt, BatchReceipt)
    assert_type(await arm.customers.update_batch([customer, {"customerNo": "7"}, b"{}"]), BatchReceipt)
    assert_type(await arm.documents.create_batch(iter([document])), BatchReceipt)
    result = await arm.batches.get(receipt.batch_uuid)
    assert_type(result, BatchResult)
    assert_type(result.entries, tuple[BatchEntry, ...])
    assert_type(result.is_final, bool)
    assert_type(await arm.batches.wait(receipt.batch_uuid, deadline=60.0), BatchResult)
    async with arm.batches.wait_many(uuids, concurrency=2) as results:
        async for one in results:
            assert_type(one, BatchResult)


def generated() -> Iterator[Customer]:
    yield records()[0]


async def generated_later() -> AsyncIterator[Customer | dict[str, Any] | bytes]:
    yield records()[0]
    yield {"customerNo": "7"}
    yield b"{}"


def show(progress: Progress) -> None:
    assert_type(progress.counts, Mapping[State, int])
    assert_type(progress.totals, Totals)


async def bulk(arm: ArmClient, lines: list[bytes]) -> None:
    report = await arm.customers.create_many(generated())
    assert_type(report, BulkReport)
    assert_type(report.counts, Mapping[State, int])
    assert_type(report.counts["succeeded"], int)
    assert_type(report.batches, BatchLog)
    for summary in report.batches:
        assert_type(summary, BatchSummary)
    assert_type(report.failures(), Iterator[RecordOutcome])
    for failure in report.failures():
        assert_type((failure.index, failure.key, failure.state, failure.reason), tuple[int, str | None, State, str])
    assert_type(report.totals, Totals)
    assert_type(report.elapsed, float)
    report.raise_for_failures()
    assert_type(await arm.customers.update_many(generated_later(), options=BulkOptions(concurrency=16)), BulkReport)
    await arm.customers.create_many(lines, options=BulkOptions(results="accepted", bisect="all", on_progress=show), user_id="u")
    synced = arm.customers.sync(generated(), state="customers.sqlite", full=True)
    assert_type(synced, SyncRun)
    assert_type(await synced, SyncReport)
    async with synced:
        async for outcome in synced:
            assert_type(outcome, BatchOutcome)
    assert_type((synced.report.new, synced.report.gone), tuple[int, int | None])
    assert_type(synced.report.gone_keys(), Iterator[str])
    assert_type(await synced.report.forget(["1"]), int)
    run = arm.documents.create_many([records()[1]])
    assert_type(run, BulkRun)
    async with run:
        async for outcome in run:
            assert_type(outcome, BatchOutcome)
            for record in outcome:
                assert_type(record, RecordOutcome)
    assert_type(run.report, BulkReport)


async def check(arm: ArmClient, lines: list[bytes]) -> None:
    assert_type(await arm.customers.check(generated()), CheckReport)
    run = arm.documents.check(lines, customers=["1"], max_findings=10, max_bytes=500_000)
    assert_type(run, CheckRun)
    try:
        (await run).raise_for_faults()
    except CheckError as error:
        assert_type(error.report, CheckReport)
    for fault in run.report.faults:
        assert_type(fault, Finding)
        assert_type((fault.index, fault.key, fault.path, fault.code, fault.message), tuple[int, str | None, str, str, str])
        assert_type(fault.severity, Literal["error", "warning"])
    assert_type(run.report.counts, dict[str, int])


async def anything_else(arm: ArmClient) -> None:
    response = await arm.request("GET", "codes", params={"userid": "x"})
    assert_type(response, Response)
    assert_type(response.status, int)
    assert_type(response.headers, Mapping[str, str])
    assert_type(response.request_id, str | None)
    assert_type(response.body, bytes)
    await arm.request("POST", "actions", json={"a": 1}, timeout=Timeout(), retry=RetryPolicy())


async def errors(arm: ArmClient, path: Path) -> None:
    try:
        await arm.documents.create(path.read_bytes())
    except RateLimitedError as error:
        assert_type(error.retry_after, float | None)
    except StatusError as error:
        assert_type(error.status, int)
        assert_type(error.request_id, str | None)
    except OutcomeUnknownError:
        raise
    except TruncatedListError as error:
        assert_type(error.cap, int)
    except BulkError as error:
        assert_type(error.report, BulkReport)
    except ArmError:
        raise


def wrong(arm: ArmClient) -> None:
    """What a type checker must refuse: an ignore that is not needed is an error too."""
    ArmClient(2218, auth="t")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    ArmClient(2218, auth=5, base_url=STAGING)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Customer(customer_no=5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Customer(date_of_birth="1999-01-01")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Customer("543210")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    BulkOptions(results="later")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    arm.documents.create_many([Customer()])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    arm.customers.list(pagesize=5)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    CustomerRecord().name.upper()  # type: ignore[union-attr]  # pyright: ignore[reportOptionalMemberAccess]
