"""`amili-arm demo`: the library's main job against a sandbox in the same process, and what came of it checked on both sides."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import typer

from .. import clock
from ..auth import ClientCredentials
from ..bulk.report import BulkReport
from ..client import ArmClient
from ..config import BulkOptions, Limits
from ..models.customers import CustomerRecord
from ..sandbox import Sandbox
from . import generate, output
from .progress import Show, bar
from .runner import on_progress, send

__all__ = ["Demo", "ReadBack", "is_as_sent"]

CLIENT_NO: Final = 2218
_CAP: Final = 10_000
_PICKED: Final = 1000
_PAGE_SIZE: Final = 1000
_PREFETCH: Final = 4
_OPEN_BATCHES: Final = 32
"""The sandbox works in this process: to run far ahead of it would gain nothing and cost memory."""


@dataclass
class ReadBack:
    """What came back of the customers.

    Attributes:
        sent: customers that were sent.
        listed: customers that the list gave.
        picked: customers that were asked for by key, because the list ends at the API's cap.
        wrong: customers that came back other than they were sent, twice, or not at all.
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
        """For a program."""
        return {
            "sent": self.sent,
            "listed": self.listed,
            "capped": self.sent > _CAP,
            "picked": self.picked,
            "wrong": self.wrong,
            "elapsed": round(self.seconds, 3),
        }

    def describe(self) -> str:
        """In words."""
        words = f"read back {self.listed:,} of {self.sent:,}"
        if self.sent > _CAP:
            words += f" (the API's cap), and {self.picked:,} picked by key with get_many"
        return f"{words}; {'all as sent' if not self.wrong else f'{self.wrong:,} not as sent'}"


@dataclass
class Demo:
    """One demo: its settings, and what happened so far, right at any time.

    Attributes:
        customer_count: customers to send.
        document_count: documents to send.
        seed: makes the generated records repeatable.
        customers, documents: the reports of the two bulk runs, from when they begin.
        read: what came back.
        not_taken_once: documents that the sandbox took twice, or not at all; None until it was asked.
    """

    customer_count: int
    document_count: int
    seed: int
    customers: BulkReport | None = None
    documents: BulkReport | None = None
    read: ReadBack | None = None
    not_taken_once: int | None = None
    _started: float = field(default_factory=clock.monotonic)

    async def run(self) -> None:
        """Sends, reads back and checks."""
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
            self.not_taken_once = self.document_count - sum(document.taken == 1 for document in sandbox.documents)

    async def _send_customers(self, arm: ArmClient) -> None:
        with bar("customers", self.customer_count) as show:
            run = arm.customers.create_many(generate.customers(self.seed, self.customer_count), options=_options(show))
            self.customers = run.report
            await send(run)

    async def _send_documents(self, arm: ArmClient) -> None:
        with bar("documents", self.document_count) as show:
            documents = generate.documents(self.seed, self.document_count, self.customer_count)
            run = arm.documents.create_many(documents, options=_options(show))
            self.documents = run.report
            await send(run)

    async def _read_back(self, arm: ArmClient) -> None:
        self.read = read = ReadBack(self.customer_count)
        began = clock.monotonic()
        beyond_cap = self.customer_count > _CAP
        picks = random.Random(self.seed).sample(range(self.customer_count), _PICKED) if beyond_cap else []  # noqa: S311
        with bar("read back", min(self.customer_count, _CAP) + len(picks)) as show:
            await self._read_list(arm, read, show)
            async with arm.customers.get_many(map(generate.customer_no, picks)) as found:
                async for number, record in found:
                    read.picked += 1
                    read.wrong += record is None or not is_as_sent(self.seed, number, record)
                    if show is not None:
                        show(read.listed + read.picked, "")
        read.seconds = clock.monotonic() - began

    async def _read_list(self, arm: ArmClient, read: ReadBack, show: Show | None) -> None:
        numbers: set[str] = set()
        # A list that reaches the cap is an error, as there may be more than it gives; here it is known that there is.
        pager = arm.customers.list(page_size=_PAGE_SIZE, allow_truncated=self.customer_count >= _CAP)
        async with pager.prefetch(_PREFETCH) as records:
            async for record in records:
                number = record.customer_no or ""
                read.listed += 1
                read.wrong += number in numbers or not is_as_sent(self.seed, number, record)
                numbers.add(number)
                if show is not None:
                    show(read.listed, "")
        read.wrong += max(0, min(self.customer_count, _CAP) - read.listed)

    # --- what happened ----------------------------------------------------------------------------------------------------

    @property
    def ok(self) -> bool:
        """Whether every record made it, every document was taken once, and all that was read back is as it was sent."""
        success_states = all(
            report is not None and report.counts["succeeded"] == count
            for report, count in ((self.customers, self.customer_count), (self.documents, self.document_count))
        )
        return success_states and self.not_taken_once == 0 and self.read is not None and self.read.is_complete and not self.read.wrong

    def as_json(self) -> dict[str, Any]:
        """For a program."""
        reports = self._reports()
        return {
            "customers": dict(self.customers.counts) if self.customers is not None else {},
            "documents": dict(self.documents.counts) if self.documents is not None else {},
            "batches": sum(report.totals.batches_sent for report in reports),
            "requests": sum(report.totals.requests for report in reports),
            "megabytes": output.megabytes(sum(report.totals.bytes_sent for report in reports)),
            "list": self.read.as_json() if self.read is not None else {},
            "documents_not_taken_once": self.not_taken_once,
            "elapsed": round(clock.monotonic() - self._started, 3),
            "records_per_second": self._rate(reports),
            "peak_memory_mb": output.peak_memory_mb(),
            "ok": self.ok,
        }

    def print_table(self) -> None:
        """For a person."""
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
        if self.not_taken_once is not None:
            yield f"Documents: {'each was taken once.' if not self.not_taken_once else f'{self.not_taken_once:,} were not taken once!'}"
        memory = output.peak_memory_mb()
        total = f"In all {clock.monotonic() - self._started:.1f} s, {self._rate(self._reports()):,} records/s"
        yield total + (f", peak memory {memory:,.0f} MB (the sandbox included)." if memory is not None else ".")

    def _reports(self) -> list[BulkReport]:
        return [report for report in (self.customers, self.documents) if report is not None]

    def _rate(self, reports: list[BulkReport]) -> int:
        """Records a second, from the first that was read to the last result."""
        return output.per_second(sum(report.totals.records_read for report in reports), sum(report.elapsed for report in reports))


def _options(show: Show | None) -> BulkOptions:
    # The sandbox processes a batch at once: it would be idle if it were asked for the result as late as the service is.
    return BulkOptions(poll_first=0.1, poll_max=2.0, on_progress=on_progress(show))


def is_as_sent(seed: int, number: str, record: CustomerRecord) -> bool:
    """Whether a customer that was read holds all that was sent of it; the service may have added to it."""
    try:
        sent = generate.customer(seed, generate.place_of(number))
    except ValueError:
        return False
    return _holds(msgspec.to_builtins(record.to_input()), msgspec.to_builtins(sent))


def _holds(found: Any, sent: Any) -> bool:
    if isinstance(sent, Mapping):
        return isinstance(found, Mapping) and all(_holds(found.get(name), value) for name, value in sent.items())
    return bool(found == sent)
