"""A night with faults that is killed and started again until it ends, and the morning: is what the report says what the server knows?

`python -m tests.nightly.night --customers 300000 --documents 100000` does it at full size, on this machine alone, and prints figures.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from amili_arm_async.sandbox import Fault, Sandbox

from .book import GONE, NEW, Book

__all__ = ["KILLS", "Kill", "Night", "check", "main"]

SUCCESS = ("succeeded", "done_before")
MOST_SECONDS = 1800.0


class Kill(NamedTuple):
    """When the process is killed: when this fault meets a request, and that request hangs."""

    fault: Fault
    method: str
    path: str
    skip: int


KILLS = (
    Kill(Fault.hang_after(), "POST", "customers/batches", 0),
    Kill(Fault.hang_before(), "GET", "batches", 0),
    Kill(Fault.hang_after(), "POST", "documents/batches", 2),
    Kill(Fault.hang_before(), "POST", "documents/batches", 3),
    Kill(Fault.hang_before(), "GET", "batches", 4),
)


@dataclass
class Night:
    """A night in a folder of its own, against a sandbox that runs in this process.

    Attributes:
        book: what is sent.
        sandbox: where to.
        folder: where all files are.
        poll: seconds from the answer to a batch until its result is asked for.
        max_records: in a batch.
        extra: further words of the command.
        attempts: exit codes of the attempts at tonight; a signal's are negative.
        peaks: the most memory of those that were not killed, in KB.
    """

    book: Book
    sandbox: Sandbox
    folder: Path
    poll: float = 0.01
    max_records: int = 40
    extra: tuple[str, ...] = ()
    attempts: list[int] = field(default_factory=list)
    peaks: list[int] = field(default_factory=list)
    before: Counter[str] = field(default_factory=Counter)

    def path(self, name: str) -> Path:
        """Of a file."""
        return self.folder / name

    async def yesterday(self) -> None:
        """All customers are sent, without trouble."""
        self.book.write_customers(self.path("customers.jsonl"), yesterday=True)
        bulk = f"[bulk]\nmax_records = {self.max_records}\n[connection.retry]\nbase_delay = 0.01\nmax_delay = 0.1\n[nightly]\n"
        yesterday = {"customers": "customers.jsonl", "state": "state"}
        tonight = {"documents": "documents.jsonl", "journal": "journal", "report": "report.json", "html": "page.html"}
        for name, paths in (("yesterday.toml", yesterday), ("tonight.toml", {**yesterday, **tonight, "failures": "failures.csv"})):
            self.path(name).write_text(bulk + "".join(f'{key} = "{self.path(file)}"\n' for key, file in paths.items()))
        process = await self._start("yesterday.toml")
        assert await self._end(process) == 0, self._said()
        self.before = Counter({customer.key: customer.delivered for customer in self.sandbox.customers})
        self.book.write_customers(self.path("customers.jsonl"), yesterday=False)
        self.book.write_documents(self.path("documents.jsonl"))

    def trouble(self) -> None:
        """What goes wrong tonight."""
        for number in self.book.refused:
            self.sandbox.reject_record(str(number), kind="customers")
        for place in filter(self.book.is_rejected, range(self.book.documents)):
            self.sandbox.reject_record(f"D{place}", kind="documents")
        for skip, fault in enumerate((Fault.status(429, retry_after=0.05), Fault.reset_before(), Fault.status(503), Fault.latency(0.05))):
            for path in ("customers/batches", "documents/batches"):
                self.sandbox.inject(fault, method="POST", path=path, skip=skip)
        unknown = (Fault.status(500, taken=True), Fault.reset_after(), Fault.status(502), Fault.cut(), Fault.garbage())
        for skip, fault in enumerate(unknown, 5):
            self.sandbox.inject(fault, method="POST", path="documents/batches", skip=skip)
        self.sandbox.inject(Fault.status(500), method="GET", path="batches", times=3, skip=2)
        self.sandbox.inject(Fault.reset_before(), method="GET", path="batches", times=2, skip=6)

    async def tonight(self, kills: tuple[Kill, ...] = KILLS) -> int:
        """The same command until it ends by itself; it is killed at each of these moments. Gives its exit code."""
        for kill in kills:
            hanging = self.sandbox.inject(kill.fault, method=kill.method, path=kill.path, skip=kill.skip)
            process = await self._tonight()
            ending = asyncio.ensure_future(self._end(process))
            while not hanging.fired and not ending.done():
                await asyncio.sleep(0.005)
            if not ending.done():
                process.send_signal(signal.SIGKILL)
            self.attempts.append(await ending)
            hanging.times = hanging.fired
        return await self.again()

    async def again(self) -> int:
        """The same command, left alone."""
        self.attempts.append(await self._end(await self._tonight()))
        return self.attempts[-1]

    async def _tonight(self) -> asyncio.subprocess.Process:
        return await self._start("tonight.toml", "--run-id", "tonight", *self.extra)

    async def _start(self, config: str, *words: str) -> asyncio.subprocess.Process:
        command = ["nightly", "--config", str(self.path(config)), "--quiet", *words]
        with self.path("said").open("ab") as said:
            return await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.nightly.child", str(self.poll), str(self.path("peak")), *command, stdout=said, stderr=said,
                env={
                    **os.environ,
                    "AMILI_ARM_BASE_URL": self.sandbox.base_url,
                    "AMILI_ARM_CLIENT_NO": "2218",
                    "AMILI_ARM_TOKEN": self.sandbox.token,
                },
            )  # fmt: skip

    async def _end(self, process: asyncio.subprocess.Process) -> int:
        try:
            code = await asyncio.wait_for(process.wait(), MOST_SECONDS)
        finally:
            if process.returncode is None:
                process.kill()
        if self.path("peak").exists():
            self.peaks.append(int(self.path("peak").read_text()))
            self.path("peak").unlink()
        return code

    def _said(self) -> str:
        return self.path("said").read_text()[-3000:]


# --- the morning ----------------------------------------------------------------------------------------------------------


def check(night: Night) -> dict[str, Any]:
    """Compares the report with the book and with what the server knows; gives the counts.

    Raises:
        AssertionError: something is not true.
    """
    report = msgspec.json.decode(night.path("report.json").read_bytes())
    rows = list(csv.DictReader(night.path("failures.csv").read_text("utf-8-sig").splitlines(), delimiter=";"))
    assert report["error"] is None, night._said()
    assert (report["ok"], report["run_id"]) == (False, "tonight")
    assert night.path("page.html").stat().st_size > 1000
    customers, documents = report["parts"]
    for part in report["parts"]:
        assert sum(part["counts"].values()) == part["read"]
        named = Counter(row["state"] for row in rows if row["part"] == part["name"])
        assert named == {state: number for state, number in part["counts"].items() if state in named}
        # Lines count from 1, and each line is a record here.
        assert all(int(row["line"]) == int(row["index"]) + 1 for row in rows)
    _check_customers(night, customers, {int(row["index"]): row["state"] for row in rows if row["part"] == "customers"})
    states = {int(row["index"]): row["state"] for row in rows if row["part"] == "documents"}
    _check_documents(night, documents, states)
    _check_money(night.book, documents["money"], documents["counts"], states)
    return {part["name"]: {state: number for state, number in part["counts"].items() if number} for part in report["parts"]}


def _check_customers(night: Night, part: dict[str, Any], failed: dict[int, str]) -> None:
    book, server = night.book, night.sandbox.customers
    assert part["read"] == len(book.tonight)
    assert failed == dict.fromkeys(book.refused, "failed")
    sync = part["sync"]
    assert (sync["failed"], sync["gone"]) == (len(book.refused), GONE)
    assert sync["new"] + sync["changed"] + sync["unchanged"] + sync["failed"] == part["read"]
    sent = {int(customer.key) for customer in server if customer.delivered > night.before[customer.key]}
    assert sent == book.sent
    for number in book.sent:
        stored = server.get(str(number))
        assert stored is not None
        assert stored["name"] == (f"Åse Gammel {number}" if number in failed else book.name(number))


def _check_documents(night: Night, part: dict[str, Any], states: dict[int, str]) -> None:
    book, known = night.book, {document.key: document for document in night.sandbox.documents}
    assert part["read"] == book.documents
    refused = set(book.refused)
    for place in range(book.documents):
        state, server = states.get(place, "success"), known.get(f"d{place}")
        stored, taken = (server.stored, server.taken) if server is not None else (0, 0)
        about = f"document {place}: {state}, stored {stored}, taken {taken}"
        # Who is rejected is stored nowhere, and may be sent again.
        assert taken <= 1 or book.is_rejected(place), about
        assert stored <= 1, about
        if book.is_broken(place):
            assert (state, taken) == ("invalid", 0), about
        elif book.owner(place) in refused:
            assert (state, taken) == ("blocked", 0), about
        elif state == "success":
            assert stored == 1, about
        elif state == "failed":
            assert book.is_rejected(place), about
            assert stored == 0, about
        else:
            assert state == "unknown", about
    assert part["counts"]["succeeded"] + part["counts"]["done_before"] == book.documents - len(states)


def _check_money(book: Book, money: dict[str, Any], counts: dict[str, int], states: dict[int, str]) -> None:
    assert money["adds_up"] is True
    read: dict[str | None, Counter[str]] = {}
    cents: dict[str | None, Counter[str]] = {}
    for place in range(book.documents):
        currency = book.currency(place)
        for word in ("read", states.get(place, "success")):
            read.setdefault(currency, Counter())[word] += 1
            cents.setdefault(currency, Counter())[word] += book.cents(place) or 0
    assert {one["currency"] for one in money["currencies"]} == set(read)
    told: Counter[str] = Counter()
    for one in money["currencies"]:
        number, total = Counter({"read": one["read"]["count"]}), Counter({"read": _cents(one["read"])})
        for state, amount in one["states"].items():
            told[state] += amount["count"]
            number["success" if state in SUCCESS else state] += amount["count"]
            total["success" if state in SUCCESS else state] += _cents(amount)
        assert {word: count for word, count in number.items() if count} == read[one["currency"]]
        assert {word: total[word] for word in read[one["currency"]]} == dict(cents[one["currency"]])
        assert sum(total.values()) == 2 * total["read"]
    assert told == {state: count for state, count in counts.items() if count}
    places = range(book.documents)
    assert money["without_total"] == sum(book.cents(place) is None for place in places)
    assert money["without_currency"] == sum(book.currency(place) is None for place in places)
    assert money["made_from_lines"] == sum(map(book.is_from_lines, places))


def _cents(amount: dict[str, Any]) -> int:
    cents = Decimal(amount["total"] or 0) * 100
    assert cents == int(cents)
    return int(cents)


# --- by hand --------------------------------------------------------------------------------------------------------------


async def _by_hand(customers: int, documents: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with Sandbox() as sandbox:
            night = Night(Book(customers, documents), sandbox, Path(folder), poll=1.0, max_records=1000)
            began = time.perf_counter()
            await night.yesterday()
            took, peak = time.perf_counter() - began, night.peaks[-1] / 1024
            print(f"yesterday: {customers + GONE:,} customers, {took:.1f} s, peak {peak:.0f} MB", flush=True)
            night.trouble()
            began = time.perf_counter()
            code = await night.tonight()
            print(f"tonight: {len(night.attempts)} attempts {night.attempts}, {time.perf_counter() - began:.1f} s", flush=True)
            print(f"the last one: exit code {code}, peak {night.peaks[-1] / 1024:.0f} MB")
            print(check(night))
            print(f"sent tonight: {len(night.book.sent):,} customers of {customers + NEW:,}; the report agrees with the server to the øre")


def main() -> None:
    """The whole night at a size of one's choice."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=300_000)
    parser.add_argument("--documents", type=int, default=100_000)
    arguments = parser.parse_args()
    asyncio.run(_by_hand(arguments.customers, arguments.documents))


if __name__ == "__main__":
    main()
