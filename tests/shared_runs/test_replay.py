"""The dead letter of a shared run: its lines are replayed as the part that they belong to, and what another part would send is not."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from amili_arm_async import part_of
from amili_arm_async.blocking import BlockingClient
from amili_arm_async.bulk.journal.postgres import replay
from amili_arm_async.sandbox import Fault, Sandbox

from ..support.postgres import Server
from ..support.sandbox_runs import client_of, plan, quick
from .samples import DOCUMENTS, PARTS, RUN_ID, own

NIGHT = "2026-11-21"


class Letters:
    """A source, its dead letter, and the commands that write and replay it."""

    def __init__(self, call: Any, folder: Path, database: str, server: Sandbox) -> None:
        self.path = folder / "failed.jsonl"
        self.database = database
        self._call = call
        self._source = folder / "documents.jsonl"
        self._customers = folder / "customers.jsonl"
        self._server = server
        self.source = list(DOCUMENTS)

    def reject(self, *numbers: str) -> None:
        for number in numbers:
            self._server.reject_record(number, "no such district")

    def mend(self) -> None:
        """The service refuses nothing any more."""
        self._server.clear_faults()
        self._server._ledger().rejects.clear()

    def push(self, *parts: int, with_letter: bool = True) -> list[int]:
        self._source.write_text("".join(json.dumps(document) + "\n" for document in self.source))
        given = ["--journal", self.database, "--run-id", RUN_ID, "--parts", PARTS, "--max-records", 5, "--concurrency", 1]
        given += ["--dead-letter", self.path] if with_letter else []
        return [self._call("push", "documents", self._source, *given, "--part", part).exit_code for part in parts or range(PARTS)]

    def night(self, *refused: str) -> None:
        for number in refused:
            self._server.reject_record(number, "no such country", kind="customers")
        self._customers.write_text("".join(json.dumps({"customerNo": number, "name": "Kari"}) + "\n" for number in ("1", "2", "3")))
        self._source.write_text("".join(json.dumps(document) + "\n" for document in self.source))
        given = ["--customers", self._customers, "--documents", self._source, "--journal", self.database, "--run-id", NIGHT]
        for part in range(PARTS):
            self._call("nightly", *given, "--parts", PARTS, "--part", part, "--dead-letter-documents", self.path)

    def replay(self, *more: object) -> tuple[int, dict[str, int]]:
        result = self._call("replay", self.path, "--json", *more)
        self.said = " ".join(result.stderr.split())
        told = json.loads(result.stdout)
        return told["succeeded"], told["left"]

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.path.read_bytes().splitlines()]

    def change(self, number: str | None, **fields: Any) -> None:
        """Edits the payload of a line by hand."""
        lines = self.lines
        for line in lines:
            if line["key"] == number:
                line["payload"] |= fields
        self.path.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))

    def report(self, run_id: str = RUN_ID) -> dict[str, Any]:
        report: dict[str, Any] = json.loads(self._call("report", self.database, "--run-id", run_id, "--json").stdout)
        return report

    def documents(self, run_id: str = RUN_ID) -> tuple[dict[str, int], dict[str, Decimal]]:
        """The counts, and the money by state, as the report over all parts has them."""
        part = self.report(run_id)["parts"][-1]
        (currency,) = part["money"]["currencies"]
        return part["counts"], {state: Decimal(amount["total"]) for state, amount in currency["states"].items()}


@pytest.fixture
def letters(call: Any, tmp_path: Path, database: str, server: Sandbox) -> Letters:
    return Letters(call, tmp_path, database, server)


TOTAL = Decimal(sum(range(1, 61)))
FAILED = [own(0)[0]["documentNo"], own(2)[1]["documentNo"]]


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


# --- what is sent ---------------------------------------------------------------------------------------------------------


def test_what_failed_is_sent_by_the_part_that_it_belongs_to(letters: Letters, server: Sandbox) -> None:
    letters.reject(*FAILED)
    assert letters.push() == [1, 0, 1, 0]
    assert {line["run_id"] for line in letters.lines} == {f"{RUN_ID} (part {part} of {PARTS})" for part in (0, 2)}
    letters.mend()
    before = server.documents.total_taken
    assert letters.replay() == (2, {})
    assert (server.documents.total_taken - before, letters.lines) == (2, [])
    report = letters.report()
    assert (report["ok"], report["error"]) == (True, None)
    assert letters.documents() == ({"succeeded": 60}, {"succeeded": TOTAL})
    # Again, and by the parts.
    assert letters.replay() == (0, {})
    assert letters.push() == [0] * PARTS
    assert server.documents.total_taken - before == 2


def test_a_line_that_was_sent_since_is_not_sent_again(letters: Letters, server: Sandbox) -> None:
    letters.reject(*FAILED)
    letters.push()
    letters.mend()
    kept = letters.path.read_bytes()
    letters.push(0, with_letter=False)
    assert letters.replay() == (2, {})
    # A copy of the file as it was.
    letters.path.write_bytes(kept)
    before = server.documents.total_taken
    assert letters.replay() == (2, {})
    assert server.documents.total_taken == before


def test_a_corrected_amount_is_that_of_the_report(letters: Letters, server: Sandbox) -> None:
    letters.reject(FAILED[0])
    letters.push()
    letters.mend()
    letters.change(FAILED[0], currencyAmounts={"inclVat": 1000})
    (line,) = letters.lines
    was = Decimal(next(document for document in DOCUMENTS if document["documentNo"] == line["key"])["currencyAmounts"]["inclVat"])
    assert letters.replay() == (1, {})
    assert letters.report()["ok"]
    assert letters.documents() == ({"succeeded": 60}, {"succeeded": TOTAL - was + 1000})


def test_what_is_unknown_is_looked_up(letters: Letters, server: Sandbox) -> None:
    plan(server, [Fault.reset_after(), Fault.reset_before()])
    letters.push()
    assert {line["state"] for line in letters.lines} == {"unknown"}
    there = [line["key"] for line in letters.lines if server.documents.taken(line["key"])]
    before = server.documents.total_taken
    succeeded, left = letters.replay()
    assert (succeeded, set(left)) == (len(there), {"unknown"})
    assert {line["key"] for line in letters.lines}.isdisjoint(there)
    assert server.documents.total_taken == before
    counts, _ = letters.documents()
    assert counts == {"succeeded": 60 - left["unknown"], "unknown": left["unknown"]}


def test_a_part_that_was_cut_off_stays_so(letters: Letters, server: Sandbox) -> None:
    server.inject(Fault.status(403), path="documents/batches", skip=1, times=None)
    letters.push(0)
    unsent = [line["key"] for line in letters.lines if line["state"] == "not_sent"]
    letters.mend()
    # All but one of the lines are gone.
    letters.path.write_text(json.dumps(letters.lines[0]) + "\n")
    assert letters.replay() == (1, {})
    report = letters.report()
    assert report["error"] == "0 of 4 parts are done; not done: 0, 1, 2, 3"
    counts, money = letters.documents()
    assert counts == {"succeeded": len(own(0)) - len(unsent) + 1, "not_sent": len(unsent) - 1}
    assert sum(money.values()) == sum(document["currencyAmounts"]["inclVat"] for document in own(0))
    letters.push()
    assert letters.report()["ok"]
    assert letters.documents() == ({"succeeded": 60}, {"succeeded": TOTAL})
    assert server.documents.total_taken == 60


def test_what_is_too_large_again_counts_once(letters: Letters, server: Sandbox) -> None:
    letters.source[0] = {**letters.source[0], "note": "x" * 1_100_000}
    part = part_of(letters.source[0]["documentNo"], PARTS)
    letters.push()
    assert [(line["state"], line["reason"]) for line in letters.lines] == [("invalid", "too_large")]
    assert letters.replay("--extra-fields") == (0, {"invalid": 1})
    assert letters.documents() == ({"succeeded": 59, "invalid": 1}, {"succeeded": TOTAL - 1, "invalid": Decimal(1)})
    letters.source[0] = DOCUMENTS[0]
    letters.push(part)
    assert letters.documents() == ({"succeeded": 60}, {"succeeded": TOTAL})


# --- what is not ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_own", [True, False])
def test_a_number_that_is_given_by_hand_is_sent_where_it_belongs_alone(letters: Letters, server: Sandbox, is_own: bool) -> None:
    """A document without a number is named by part 0. The number that it gets may be of another part, which does not see it there."""
    letters.source.append({name: value for name, value in DOCUMENTS[7].items() if name != "documentNo"})
    letters.push()
    number = next(f"N-{place}" for place in range(100) if (part_of(f"N-{place}", PARTS) == 0) is is_own)
    letters.change(None, documentNo=number)
    assert letters.replay() == ((1, {}) if is_own else (0, {"invalid": 1}))
    assert server.documents.taken(number) == int(is_own)
    if not is_own:
        part = part_of(number, PARTS)
        remedy = "correct the document in the source, and send the parts again"
        assert f"its number belongs to part {part} of {PARTS} of its run, and the line is one of part 0: {remedy}" in letters.said
        assert len(letters.lines) == 1
        assert letters.replay() == (0, {"invalid": 1})
    letters.source[-1]["documentNo"] = number
    assert letters.push() == [0] * PARTS
    assert server.documents.taken(number) == 1
    assert server.documents.total_taken == 61
    assert letters.report()["ok"]
    assert letters.lines == []


def test_a_line_that_lost_its_number_is_not_sent(letters: Letters, server: Sandbox) -> None:
    letters.reject(FAILED[0])
    letters.push()
    letters.mend()
    letters.change(FAILED[0], documentNo=None)
    before = server.documents.total_taken
    succeeded, left = letters.replay()
    assert (succeeded, sum(left.values())) == (0, 1)
    assert server.documents.total_taken == before


def test_documents_of_a_customer_who_failed_are_not_sent(letters: Letters, server: Sandbox) -> None:
    failed, blocked = own(1)[0]["documentNo"], own(3)[0]["documentNo"]
    letters.source = [{**document, "customerNo": "3" if document["documentNo"] == blocked else "1"} for document in DOCUMENTS]
    letters.reject(failed)
    letters.night("2", "3")
    assert {line["key"]: line["state"] for line in letters.lines} == {failed: "failed", blocked: "blocked"}
    # Whoever corrects the line gives it to another customer who failed.
    letters.change(failed, customerNo="2")
    letters.mend()
    before = server.documents.total_taken
    assert letters.replay() == (0, {"blocked": 2})
    assert server.documents.total_taken == before
    assert "run the night again with the same --run-id, and the document follows" in letters.said
    counts, money = letters.documents(NIGHT)
    assert (counts, sum(money.values())) == ({"succeeded": 58, "blocked": 2}, TOTAL)
    letters.night()
    assert letters.lines == []
    assert letters.report(NIGHT)["ok"]
    assert {server.documents.taken(document["documentNo"]) for document in DOCUMENTS if document["documentNo"] != failed} == {1}


def test_nothing_is_sent_whose_customers_were_not_sent_to_their_end(letters: Letters, server: Sandbox, postgres: Server) -> None:
    letters.reject(FAILED[0])
    letters.night()
    letters.mend()
    postgres.execute("UPDATE amili_arm.nights SET sent = 0, report = NULL")
    before = server.documents.total_taken
    assert letters.replay() == (0, {"failed": 1})
    assert "were not sent to their end" in letters.said
    assert server.documents.total_taken == before


def test_nothing_is_sent_of_a_run_that_was_pruned(letters: Letters, call: Any, server: Sandbox) -> None:
    letters.reject(*FAILED)
    letters.push()
    letters.mend()
    assert call("prune", letters.database, "--older-than-days", 0, "--with-failures").stdout == "1 run removed\n"
    before = server.documents.total_taken
    assert letters.replay() == (0, {"failed": 2})
    assert "was pruned on" in letters.said
    assert server.documents.total_taken == before


# --- another process has the part -----------------------------------------------------------------------------------------


class Holder:
    """Another process that has a part, and reads a source that goes on when it is told to."""

    def __init__(self, server: Sandbox, database: str, part: int) -> None:
        self.is_read, self.goes_on = threading.Event(), threading.Event()
        self._of = (server, database, part)

    def __call__(self) -> None:
        server, database, part = self._of

        def source() -> Iterator[dict[str, Any]]:
            self.is_read.set()
            assert self.goes_on.wait(60)
            yield from own(part)

        options = quick()
        with (
            BlockingClient(client_of(server)) as client,
            client.shared_run(database, run_id=RUN_ID, parts=PARTS, options=options) as run,
        ):
            run.send_part(part, source())


def test_a_part_that_is_being_sent_is_left_alone(letters: Letters, server: Sandbox, database: str) -> None:
    letters.reject(FAILED[0])
    letters.push()
    letters.mend()
    before = server.documents.total_taken
    other = Holder(server, database, 0)
    with ThreadPoolExecutor() as pool:
        sending = pool.submit(other)
        assert other.is_read.wait(60)
        assert letters.replay() == (0, {"failed": 1})
        assert "is in progress: wait until it ends" in letters.said
        assert server.documents.total_taken == before
        other.goes_on.set()
        sending.result()
    assert letters.replay() == (1, {})
    assert server.documents.total_taken == before + 1


def test_a_part_that_another_process_takes_first_is_waited_for(
    letters: Letters, server: Sandbox, database: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    letters.reject(FAILED[0])
    letters.push()
    letters.mend()
    before = server.documents.total_taken
    other = Holder(server, database, 0)
    with ThreadPoolExecutor() as pool:
        sending = pool.submit(other)
        assert other.is_read.wait(60)
        # It took it after the replay had looked.
        monkeypatch.setattr(replay, "is_owned", lambda *_: False)
        replaying = pool.submit(letters.replay)
        until(lambda: "this process waits until it has ended" in caplog.text)
        assert server.documents.total_taken == before
        other.goes_on.set()
        sending.result()
        assert replaying.result() == (1, {})
    assert server.documents.total_taken == before + 1
    assert letters.report()["ok"]
