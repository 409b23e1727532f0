"""`amili-arm demo`: runs bulk writes and reads against a sandbox in the same process, and checks the result on both sides."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

import msgspec
import typer

from .. import clock
from ..auth import ClientCredentials
from ..bulk.report import BulkReport
from ..client import ArmClient
from ..config import BulkOptions, Limits
from ..models.customers import CustomerRecord
from . import generate, output
from .command import command
from .progress import UpdateBar, bar
from .runner import on_progress, run_to_end, send
from .signals import SignalHandler

__all__ = ["Demo", "ReadBack", "demo", "is_as_sent"]

CLIENT_NO: Final = 2218
_CAP: Final = 10_000
_PICKED: Final = 1000
_PAGE_SIZE: Final = 1000
_PREFETCH: Final = 4
_OPEN_BATCHES: Final = 32
"""The sandbox shares this process: running far ahead of it gains nothing and costs memory."""


@command
def demo(
    customers: Annotated[int, typer.Option(min=1, metavar="N", help="Number of customers to send.")] = 1000,
    documents: Annotated[int, typer.Option(min=0, metavar="N", help="Number of invoices to send to them.")] = 2000,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of the generated records: the same seed generates the same records.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON instead of a table.")] = False,
) -> None:
    """Starts a sandbox in this process, sends generated customers and invoices to it, and reads the customers back.

    Nothing leaves this machine.
    """
    job = Demo(customers, documents, seed)
    with SignalHandler() as signals:
        code = run_to_end(job.run(), signals)
        if as_json:
            output.print_json(job.as_json())
        else:
            job.print_table()
    raise typer.Exit(code or (0 if job.ok else 1))


@dataclass
class ReadBack:
    """What was read back of the customers.

    Attributes:
        sent: customers that were sent.
        listed: customers that the list returned.
        picked: customers that were read one by one, because the list ends at the API's limit.
        wrong: customers that came back different from what was sent, twice, or not at all.
        seconds: how long reading took.
    """

    sent: int
    listed: int = 0
    picked: int = 0
    wrong: int = 0
    seconds: float = 0.0

    @property
    def is_complete(self) -> bool:
        """Whether as much was read as there is to read."""
        return self.listed == min(self.sent, _CAP) and self.picked == (_PICKED if self.sent > _CAP else 0)

    def as_json(self) -> dict[str, Any]:
        """Returns the numbers for programs.

        Returns:
            A JSON object.
        """
        return {
            "sent": self.sent,
            "listed": self.listed,
            "capped": self.sent > _CAP,
            "picked": self.picked,
            "wrong": self.wrong,
            "elapsed": round(self.seconds, 3),
        }

    def describe(self) -> str:
        """Returns the numbers as a sentence.

        Returns:
            The sentence, without its period.
        """
        text = f"read back {self.listed:,} of {self.sent:,}"
        if self.sent > _CAP:
            text += f" (the API's limit), and {self.picked:,} read by number with get_many"
        return f"{text}; {'all as sent' if not self.wrong else f'{self.wrong:,} not as sent'}"


@dataclass
class Demo:
    """One demo: its settings, and what happened so far; correct at any time.

    Attributes:
        customer_count: customers to send.
        document_count: documents to send.
        seed: of the generated records.
        customers: report of the customers; None before they are sent.
        documents: report of the documents; None before they are sent.
        read: what was read back; None before that.
        not_accepted_once: documents that the sandbox accepted twice, or not at all; None before it was asked.
    """

    customer_count: int
    document_count: int
    seed: int
    customers: BulkReport | None = None
    documents: BulkReport | None = None
    read: ReadBack | None = None
    not_accepted_once: int | None = None
    _started: float = field(default_factory=clock.monotonic)

    async def run(self) -> None:
        """Sends, reads back and checks."""
        from ..sandbox import Sandbox  # noqa: PLC0415 - no other command needs the server of aiohttp

        async with (
            Sandbox() as sandbox,
            ArmClient(
                CLIENT_NO,
                auth=ClientCredentials(client_id=sandbox.client_id, client_secret=sandbox.client_secret, identity_url=sandbox.identity_url),
                base_url=sandbox.base_url,
                limits=Limits(open_batches=_OPEN_BATCHES),
            ) as arm,
        ):
            await self._send_customers(arm)
            await self._send_documents(arm)
            await self._read_back(arm)
            self.not_accepted_once = self.document_count - sum(document.taken == 1 for document in sandbox.documents)

    async def _send_customers(self, arm: ArmClient) -> None:
        with bar("customers", self.customer_count) as update:
            run = arm.customers.create_many(generate.customers(self.seed, self.customer_count), options=_options(update))
            self.customers = run.report
            await send(run)

    async def _send_documents(self, arm: ArmClient) -> None:
        with bar("documents", self.document_count) as update:
            documents = generate.documents(self.seed, self.document_count, self.customer_count)
            run = arm.documents.create_many(documents, options=_options(update))
            self.documents = run.report
            await send(run)

    async def _read_back(self, arm: ArmClient) -> None:
        self.read = read = ReadBack(self.customer_count)
        began = clock.monotonic()
        beyond_cap = self.customer_count > _CAP
        picks = random.Random(self.seed).sample(range(self.customer_count), _PICKED) if beyond_cap else []  # noqa: S311
        with bar("read back", min(self.customer_count, _CAP) + len(picks)) as update:
            await self._read_list(arm, read, update)
            async with arm.customers.get_many(map(generate.customer_no, picks)) as found:
                async for number, record in found:
                    read.picked += 1
                    read.wrong += record is None or not is_as_sent(self.seed, number, record)
                    if update is not None:
                        update(read.listed + read.picked, "")
        read.seconds = clock.monotonic() - began

    async def _read_list(self, arm: ArmClient, read: ReadBack, update: UpdateBar | None) -> None:
        numbers: set[str] = set()
        # A list that reaches the limit is an error, as there may be more records; here it is known that there are.
        pager = arm.customers.list(page_size=_PAGE_SIZE, allow_truncated=self.customer_count >= _CAP)
        async with pager.prefetch(_PREFETCH) as records:
            async for record in records:
                number = record.customer_no or ""
                read.listed += 1
                read.wrong += number in numbers or not is_as_sent(self.seed, number, record)
                numbers.add(number)
                if update is not None:
                    update(read.listed, "")
        read.wrong += max(0, min(self.customer_count, _CAP) - read.listed)

    # --- the result ------------------------------------------------------------------------------------------------------

    @property
    def ok(self) -> bool:
        """Whether every record succeeded, every document was accepted once, and all that was read back is as it was sent."""
        all_succeeded = all(
            report is not None and report.counts["succeeded"] == count
            for report, count in ((self.customers, self.customer_count), (self.documents, self.document_count))
        )
        return all_succeeded and self.not_accepted_once == 0 and self.read is not None and self.read.is_complete and not self.read.wrong

    def as_json(self) -> dict[str, Any]:
        """Returns the numbers for programs.

        Returns:
            A JSON object.
        """
        reports = self._reports()
        return {
            "customers": dict(self.customers.counts) if self.customers is not None else {},
            "documents": dict(self.documents.counts) if self.documents is not None else {},
            "batches": sum(report.totals.batches_sent for report in reports),
            "requests": sum(report.totals.requests for report in reports),
            "megabytes": output.megabytes(sum(report.totals.bytes_sent for report in reports)),
            "list": self.read.as_json() if self.read is not None else {},
            "documents_not_taken_once": self.not_accepted_once,
            "elapsed": round(clock.monotonic() - self._started, 3),
            "records_per_second": self._rate(reports),
            "peak_memory_mb": output.peak_memory_mb(),
            "ok": self.ok,
        }

    def print_table(self) -> None:
        """Prints the report for people, on standard output."""
        both = (self.customers, self.documents)

        def row(label: str, value: Callable[[BulkReport], str]) -> tuple[str, ...]:
            return (label, *(value(report) if report is not None else "" for report in both))

        rows = [
            *output.state_rows(*both),
            (),
            row("batches", lambda report: f"{report.totals.batches_sent:,}"),
            row("requests", lambda report: f"{report.totals.requests:,}"),
            row("MB sent", lambda report: f"{output.megabytes(report.totals.bytes_sent):,.1f}"),
            row("seconds", lambda report: f"{report.elapsed:,.2f}"),
            row("records/s", lambda report: f"{self._rate([report]):,}"),
        ]
        output.table("amili-arm demo", ("", "customers", "documents"), rows)
        typer.echo("\n".join(self._sentences()))

    def _sentences(self) -> Iterator[str]:
        if self.read is not None:
            yield f"Customers: {self.read.describe()} ({self.read.seconds:.2f} s)."
        if self.not_accepted_once is not None:
            wrong = self.not_accepted_once
            yield f"Documents: {'each was accepted once.' if not wrong else f'{wrong:,} were not accepted exactly once!'}"
        memory = output.peak_memory_mb()
        total = f"In all {clock.monotonic() - self._started:.1f} s, {self._rate(self._reports()):,} records/s"
        yield total + (f", peak memory {memory:,.0f} MB (the sandbox included)." if memory is not None else ".")

    def _reports(self) -> list[BulkReport]:
        return [report for report in (self.customers, self.documents) if report is not None]

    def _rate(self, reports: list[BulkReport]) -> int:
        """Returns records per second, from the first record read to the last result."""
        return output.per_second(sum(report.totals.records_read for report in reports), sum(report.elapsed for report in reports))


def _options(update: UpdateBar | None) -> BulkOptions:
    # The sandbox processes a batch at once: it would be idle if its result were requested as late as that of the service.
    return BulkOptions(poll_first=0.1, poll_max=2.0, on_progress=on_progress(update))


def is_as_sent(seed: int, number: str, record: CustomerRecord) -> bool:
    """Returns whether a customer that was read has all that was sent; the service may have added to it.

    Args:
        seed: of the generated records.
        number: customer number.
        record: what was read.

    Returns:
        Whether it is the same.
    """
    try:
        sent = generate.customer(seed, generate.place_of(number))
    except ValueError:
        return False
    return _holds(msgspec.to_builtins(record.to_input()), msgspec.to_builtins(sent))


def _holds(found: Any, sent: Any) -> bool:
    if isinstance(sent, Mapping):
        return isinstance(found, Mapping) and all(_holds(found.get(name), value) for name, value in sent.items())
    return bool(found == sent)
