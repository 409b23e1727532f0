"""The time to settle has passed when two clocks say so and none denies it: a clock that was set sends nothing twice."""

from __future__ import annotations

import asyncio
import json
import sys

import pytest

from amili_arm_async import Reconcile, clock

from ..support.gateway import Gateway
from ..support.http_server import Answer
from ..support.sandbox_runs import invoice, outcome_of, quick, read_journal, send, the_run

RUN = {"run_id": "night"}
DEADLINE, SETTLE = 1000.0, 1100.0
HOUR, YEARS = 3600.0, 315_360_000.0


class Clocks:
    """The clocks of this machine and of the service, each of which can be set, over a true time that leaps where it is waited for long."""

    def __init__(self, monkeypatch) -> None:
        self.true = 0.0
        self.wall = self.boot = self.service = 0.0
        self.boot_id: str | None = "first boot"
        self.has_date = True
        self.waits: list[float] = []
        now, started, monotonic, wait = clock.unix_time, clock.boot_time, clock.monotonic, clock.wait

        async def leap(event, seconds):
            if seconds is None or seconds < 30:
                return await wait(event, seconds)
            self.waits.append(seconds)
            self.true += seconds
            return event.is_set()

        monkeypatch.setattr(clock, "unix_time", lambda: now() + self.true + self.wall)
        monkeypatch.setattr(clock, "boot_time", lambda: started() + self.true + self.boot)
        monkeypatch.setattr(clock, "boot_id", lambda: self.boot_id)
        monkeypatch.setattr(clock, "monotonic", lambda: monotonic() + self.true)
        monkeypatch.setattr(clock, "wait", leap)
        self._now = now

    def date(self) -> float | None:
        """What the service writes into its answers."""
        return self._now() + self.true + self.service if self.has_date else None


@pytest.fixture
def clocks(monkeypatch):
    return Clocks(monkeypatch)


def set_forward(clocks):
    clocks.wall += HOUR


def set_forward_after_a_restart(clocks):
    clocks.wall += HOUR
    clocks.boot_id, clocks.boot = "second boot", -500.0


def set_forward_after_a_restart_and_no_date_now(clocks):
    set_forward_after_a_restart(clocks)
    clocks.has_date = False


def set_forward_and_no_boot_clock(clocks):
    clocks.wall += HOUR
    clocks.boot_id = None


def set_back_by_years(clocks):
    clocks.wall -= YEARS


def the_service_was_set_forward(clocks):
    clocks.service += HOUR


def the_service_was_set_back(clocks):
    clocks.service -= YEARS


def both_machines_were_set_forward(clocks):
    clocks.wall += HOUR
    clocks.service += HOUR


def restarted(clocks):
    clocks.boot_id, clocks.boot = "second boot", -500.0


def nothing(clocks):
    del clocks


@pytest.mark.parametrize(
    "happens",
    [
        nothing,
        set_forward,
        set_forward_after_a_restart,
        set_forward_after_a_restart_and_no_date_now,
        set_forward_and_no_boot_clock,
        set_back_by_years,
        the_service_was_set_forward,
        the_service_was_set_back,
        both_machines_were_set_forward,
        restarted,
    ],
)
@pytest.mark.parametrize("way", ["in the next run", "alone"])
async def test_a_clock_that_was_set_sends_nothing_twice_and_makes_nobody_wait_longer_than_once(journal, clocks, happens, way):
    """Two batches get no answer. One was taken, and is there 1000 seconds later; the other one was lost."""
    numbers = [f"D{place:03}" for place in range(6)]
    source = [invoice(number, place) for place, number in enumerate(numbers)]
    gateway = Gateway(faults=["ok", "taken_reset", "body_reset"], date=clocks.date)
    gateway.hides_number = lambda raw: clocks.true < DEADLINE and raw not in {"D000", "D001"}
    async with gateway:
        async with gateway.client() as arm:
            await send(arm, source, journal=journal, max_records=2, concurrency=1, deadline=DEADLINE, **RUN)
        happens(clocks)
        async with gateway.client() as arm:
            if way == "alone":
                outcome = outcome_of(await arm.documents.reconcile(journal, resend_absent=True, options=quick()))
            else:
                outcome = await send(arm, source, journal=journal, deadline=DEADLINE, reconcile=Reconcile(resend_absent=True), **RUN)

    assert not gateway.doubles
    assert gateway.taken == dict.fromkeys(numbers, 1), "what was lost is sent again, once"
    assert not outcome.failures
    assert sum(clocks.waits) == pytest.approx(SETTLE, abs=5)


@pytest.mark.parametrize("boot", ["the same boot", "another boot"])
@pytest.mark.parametrize("passed", [600.0, 5000.0])
async def test_time_that_has_passed_by_all_clocks_is_not_waited_again(journal, clocks, boot, passed):
    gateway = Gateway(faults=["ok", "body_reset"], date=clocks.date)
    async with gateway:
        async with gateway.client() as arm:
            await send(
                arm, [invoice(f"D{n}", n) for n in range(4)], journal=journal, max_records=2, concurrency=1, deadline=DEADLINE, **RUN
            )
        clocks.true += passed
        if boot == "another boot":
            restarted(clocks)
        async with gateway.client() as arm:
            outcome = outcome_of(await arm.documents.reconcile(journal, resend_absent=True, options=quick()))
    assert outcome.counts == {"succeeded": 2}
    assert sum(clocks.waits) == pytest.approx(max(0.0, SETTLE - passed), abs=5)


async def test_a_service_whose_date_stands_still_does_not_make_it_endless(journal, clocks):
    gateway = Gateway(faults=["ok", "body_reset"], date=lambda: 1_700_000_000.0)
    async with gateway, gateway.client() as arm:
        await send(arm, [invoice(f"D{n}", n) for n in range(4)], journal=journal, max_records=2, concurrency=1, deadline=DEADLINE, **RUN)
        clocks.true += 5000
        outcome = outcome_of(await arm.documents.reconcile(journal, resend_absent=True, options=quick()))
    assert outcome.counts == {"succeeded": 2}
    assert sum(clocks.waits) <= SETTLE + 5


@pytest.mark.parametrize("happens", [set_forward_after_a_restart_and_no_date_now, set_back_by_years, restarted, nothing])
async def test_a_wait_that_was_interrupted_goes_on(journal, clocks, monkeypatch, happens):
    """After 600 seconds of the wait the reconcile is cut off. The next one waits only for the rest."""
    gateway = Gateway(faults=["ok", "body_reset"], date=clocks.date)
    sent = [invoice(f"D{n}", n) for n in range(4)]
    async with gateway:
        async with gateway.client() as arm:
            await send(arm, sent, journal=journal, max_records=2, concurrency=1, deadline=DEADLINE, **RUN)
        happens(clocks)
        waits, leap = asyncio.Event(), clock.wait

        async def wait(event, seconds):
            if seconds is not None and seconds > 30:
                waits.set()
            return await event.wait() if waits.is_set() else await leap(event, seconds)

        async with gateway.client() as arm:
            with monkeypatch.context() as patched:
                patched.setattr(clock, "wait", wait)
                first = asyncio.create_task(arm.documents.reconcile(journal, resend_absent=True, options=quick()))
                await waits.wait()
                clocks.true += 600
                first.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await first
        async with gateway.client() as arm:
            outcome = outcome_of(await arm.documents.reconcile(journal, resend_absent=True, options=quick()))
    assert outcome.counts == {"succeeded": 2}
    assert not gateway.doubles
    assert sum(clocks.waits) == pytest.approx(SETTLE - 600, abs=5)


async def test_it_says_until_when_it_waits_and_why(journal, clocks, caplog):
    gateway = Gateway(faults=["ok", "body_reset"], date=clocks.date)
    said: list[str] = []
    caplog.set_level("INFO")
    async with gateway, gateway.client() as arm:
        await send(arm, [invoice(f"D{n}", n) for n in range(4)], journal=journal, max_records=2, concurrency=1, deadline=DEADLINE, **RUN)
        set_forward(clocks)
        options = quick(on_progress=lambda progress: said.append(progress.trouble or ""))
        await arm.documents.reconcile(journal, resend_absent=True, options=options)
    for text in (" ".join(said), caplog.text):
        assert "UTC before documents are looked up: the time to settle is 1100 s" in text
        assert "the clock of this machine may have been set forward" in text


async def test_a_result_is_waited_for_as_long_as_ever_after_the_clock_was_set(journal, clocks):
    """A batch that is still open: its deadline has not passed because somebody set the clock."""
    gateway = Gateway(date=clocks.date)
    pending = 3

    def later(seen):
        nonlocal pending
        pending -= seen.kind == "batches"
        return Answer(202, {"status": "PENDING"}) if seen.kind == "batches" and pending >= 0 else None

    gateway.answer_read = later
    options = {"journal": journal, "deadline": DEADLINE, **RUN}
    async with gateway, gateway.client() as arm:
        await send(arm, [invoice("D1", 1)], results="accepted", **options)
        set_forward_after_a_restart(clocks)
        outcome = await send(arm, [invoice("D1", 1)], **options)
    assert outcome.counts == {"done_before": 1}
    assert pending < 0


async def test_the_slowest_batch_is_measured_by_a_clock_that_nobody_can_set(journal, clocks):
    """A clock set forward while a batch is processed makes no batch slow, or the next reconcile would wait for years."""
    gateway = Gateway(faults=["ok", "body_reset"], date=clocks.date)

    def sets_the_clock(seen):
        if seen.kind == "batches":
            clocks.wall += YEARS

    gateway.answer_read = sets_the_clock
    async with gateway, gateway.client() as arm:
        await send(arm, [invoice(f"D{n}", n) for n in range(4)], journal=journal, max_records=2, concurrency=1, deadline=DEADLINE, **RUN)
        clocks.wall = 0.0
        await arm.documents.reconcile(journal, resend_absent=True, options=quick())
    assert sum(clocks.waits) <= SETTLE + 5


PROGRAM = """
import asyncio, json, sys
from amili_arm_async import ArmClient, BulkOptions, Reconcile, RetryPolicy, clock

base_url, journal, boot_id, ahead, source = sys.argv[1:]
now = clock.unix_time
clock.boot_id = lambda: boot_id
clock.unix_time = lambda: now() + float(ahead)

async def main():
    async with ArmClient(2218, auth="token", base_url=base_url, retry=RetryPolicy(base_delay=0.005, max_delay=0.02)) as arm:
        options = {"poll_first": 0.005, "poll_max": 0.02, "deadline": 0.5}
        if source:
            reconcile = Reconcile(settle=0.6, resend_absent=True)
            options = BulkOptions(journal=journal, run_id="night", reconcile=reconcile, **options)
            await arm.documents.create_many(json.loads(source), options=options)
        else:
            await arm.documents.reconcile(journal, settle=0.6, resend_absent=True, options=BulkOptions(**options))

asyncio.run(main())
"""


async def reconciled_elsewhere(gateway, journal, boot_id, ahead, source=None):
    """A reconcile in another process, after so many seconds by its wall clock; at the end of the run where it has the source."""
    arguments = (gateway.base_url, str(journal), boot_id, str(ahead), json.dumps(source) if source is not None else "")
    return await asyncio.create_subprocess_exec(sys.executable, "-c", PROGRAM, *arguments)


async def test_another_process_after_a_restart_with_its_clock_ahead(journal):
    """The batch is there half a second after it was sent; the other process thinks that this was an hour ago."""
    numbers = [f"D{n}" for n in range(4)]
    gateway = Gateway(faults=["ok", "taken_reset"])
    async with gateway:
        async with gateway.client() as arm:
            source = [invoice(number, place) for place, number in enumerate(numbers)]
            await send(arm, source, journal=journal, max_records=2, concurrency=1, deadline=0.5, **RUN)
        shown = clock.monotonic() + 0.5
        gateway.hides_number = lambda raw: clock.monotonic() < shown and raw in {"D2", "D3"}
        process = await reconciled_elsewhere(gateway, journal, "second boot", 3600)
        assert await process.wait() == 0
    assert not gateway.doubles
    assert (await the_run(journal)).counts == {"succeeded": 4}


@pytest.mark.proof
@pytest.mark.parametrize("event", ["looked up", "read", "taken"])
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("way", ["alone", "in the run"])
async def test_killed_on_an_event_of_the_server_and_begun_again(journal, event, count, way):
    """Killed with SIGKILL while a look-up or a batch that is sent again is at the server: nothing is sent twice, all is settled."""
    numbers = [f"D{n}" for n in range(8)]
    gateway = Gateway(faults=["ok", "body_reset", "taken_reset", "body_reset"])
    async with gateway:
        async with gateway.client() as arm:
            source = [invoice(number, place) for place, number in enumerate(numbers)]
            await send(arm, source, journal=journal, max_records=2, concurrency=1, deadline=0.5, **RUN)
        process = None
        left = count
        again = source[::-1] if way == "in the run" else None

        def kill(word):
            nonlocal left
            left -= word == event
            if word == event and left == 0 and process is not None:
                process.kill()

        gateway.on_event = kill
        process = await reconciled_elsewhere(gateway, journal, "first boot", 0, again)
        status = await process.wait()
        assert status == (-9 if left <= 0 else 0)
        gateway.on_event = lambda _: None
        process = await reconciled_elsewhere(gateway, journal, "second boot", 3600, again)
        assert await process.wait() == 0

    assert not gateway.doubles
    (run,) = await read_journal(journal)
    assert run.counts == {"succeeded": 8}
    assert gateway.taken == dict.fromkeys(numbers, 1)
