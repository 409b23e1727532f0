"""The money of the report over all parts: each document once, with the state that it has in the journal, whichever attempt sent it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest

from amili_arm_async import ArmClient, ArmError
from amili_arm_async.nightly.report import Part
from amili_arm_async.sandbox import Fault, Sandbox

from ..support.postgres import Server
from ..support.sandbox_runs import BATCHES, plan, quick

RUN_ID = "2026-11"


def document(number: int, amount: Any = 100, **more: Any) -> dict[str, Any]:
    return {
        "documentNo": f"A-{number}",
        "documentType": "IN",
        "customerNo": "1",
        "currency": "NOK",
        "currencyAmounts": {"inclVat": amount},
        **more,
    }


TEN = [document(number) for number in range(10)]


def shared(arm: ArmClient, database: str, **settings: Any) -> Any:
    return arm.documents.shared_run(database, run_id=RUN_ID, parts=1, options=quick(**{"max_records": 2, "concurrency": 1, **settings}))


def money_of(part: Part) -> dict[str | None, dict[str, tuple[int, Decimal | None]]]:
    """Count and sum by currency and state; `read` for what was read."""
    assert part.money is not None
    return {
        one.currency: {
            name: (amount.count, Decimal(amount.total) if amount.total is not None else None)
            for name, amount in {"read": one.read, **one.states}.items()
        }
        for one in part.money.currencies
    }


async def reported(run: Any) -> tuple[bool, Part, list[tuple[str, int]]]:
    """Whether the report is ok, its documents, and what it calls at risk."""
    report = await run.report()
    schema = report.to_schema()
    assert schema.parts[0].money.adds_up or not report.ok
    return report.ok, schema.parts[0], [(one.state, one.count) for one in schema.money_at_risk]


ALL = {"NOK": {"read": (10, Decimal(1000)), "succeeded": (10, Decimal(1000))}}


async def test_what_an_interrupted_attempt_left_counts_once(arm: ArmClient, sandbox: Sandbox, database: str) -> None:
    """As when a stream repeats the micro-batch that failed."""

    def withdrawn() -> Iterator[dict[str, Any]]:
        yield from TEN[4:6]
        sandbox.inject(Fault.status(403), path=BATCHES, times=None)
        yield from TEN[6:]

    async with shared(arm, database) as run:
        await run.send_part(0, TEN[:4])
        with pytest.raises(ArmError):
            await run.send_part(0, withdrawn())
        sandbox.clear_faults()
        _, part, at_risk = await reported(run)
        assert money_of(part)["NOK"]["read"] == (10, Decimal(1000))
        assert at_risk == [("not_sent", part.counts["not_sent"])]
        await run.send_part(0, TEN[4:])
        assert await reported(run) == (True, part_like(ALL), [])


def part_like(money: Any) -> Any:
    """Equals a part with that money."""

    class Like:
        def __eq__(self, other: object) -> bool:
            return isinstance(other, Part) and money_of(other) == money and other.money is not None and other.money.adds_up

        __hash__ = None  # type: ignore[assignment]

    return Like()


@pytest.mark.parametrize("is_sent_again", [False, True])
async def test_after_a_reconcile_the_sums_are_those_of_the_new_states(
    arm: ArmClient, sandbox: Sandbox, database: str, is_sent_again: bool
) -> None:
    async with shared(arm, database) as run:
        await run.send_part(0, TEN[:4])
        plan(sandbox, [Fault.reset_after()])
        await run.send_part(0, TEN[4:])
        ok, part, at_risk = await reported(run)
        assert (ok, at_risk) == (False, [("unknown", 2)])
        assert money_of(part)["NOK"]["unknown"] == (2, Decimal(200))
        await arm.documents.reconcile(database, run_id=RUN_ID, settle=0)
        if is_sent_again:
            await run.send_part(0, TEN[4:])
        assert await reported(run) == (True, part_like(ALL), [])


async def test_what_failed_counts_as_what_became_of_it(arm: ArmClient, sandbox: Sandbox, database: str) -> None:
    """Only what failed is given again, as by a source that gives what is not done yet, one with another amount."""
    for number in range(3):
        sandbox.reject_record(f"A-{number}", "no such district")
    async with shared(arm, database) as run:
        await run.send_part(0, TEN)
        ok, part, at_risk = await reported(run)
        assert (ok, at_risk) == (False, [("failed", 3)])
        assert money_of(part)["NOK"] == {"read": (10, Decimal(1000)), "succeeded": (7, Decimal(700)), "failed": (3, Decimal(300))}
        sandbox._ledger().rejects.clear()
        await run.send_part(0, [document(0, "40.50"), *TEN[1:3]])
        paid = Decimal("940.50")
        assert await reported(run) == (True, part_like({"NOK": {"read": (10, paid), "succeeded": (10, paid)}}), [])


async def test_what_a_process_sent_that_was_killed_counts_too(arm: ArmClient, sandbox: Sandbox, database: str, postgres: Server) -> None:
    async with shared(arm, database) as run:
        await run.send_part(0, TEN[:7])
        # A process that is killed writes none.
        postgres.execute("DELETE FROM amili_arm.reports")
        await run.send_part(0, TEN[4:])
        assert await reported(run) == (True, part_like(ALL), [])
    assert sandbox.documents.total_taken == 10


ODD = [
    document(0, "0.00001"),
    document(1, 10**20),
    document(2, "12.50", currency="SEK"),
    document(3, "1.25", currency=None),
    document(4, None),
    {**document(5), "currencyAmounts": {}, "documentLines": [{"lineNo": 1, "currencyAmounts": {"inclVat": "2.50"}}] * 2},
    document(6),
    document(7, "7.00", currency="SEK"),
]


async def test_amounts_of_every_kind_follow_their_documents(arm: ArmClient, sandbox: Sandbox, database: str) -> None:
    """Batches are split, since they are too large, and hold documents of several states."""
    plan(sandbox, [Fault.status(413), Fault.status(413)])
    for number in (1, 2, 4):
        sandbox.reject_record(f"A-{number}", "no such district")
    async with shared(arm, database, max_records=8) as run:
        with suppress(ArmError):
            await run.send_part(0, ODD)
        _, part, _ = await reported(run)
        money = part.money
        assert money is not None
        assert money.adds_up
        assert (money.without_total, money.without_currency, money.made_from_lines) == (1, 1, 1)
        assert money_of(part) == {
            "NOK": {
                "read": (5, Decimal(10**20) + Decimal("105.00001")),
                "succeeded": (3, Decimal("105.00001")),
                "failed": (2, Decimal(10**20)),
            },
            "SEK": {"read": (2, Decimal("19.50")), "succeeded": (1, Decimal(7)), "failed": (1, Decimal("12.50"))},
            None: {"read": (1, Decimal("1.25")), "succeeded": (1, Decimal("1.25"))},
        }


async def test_what_a_reconcile_sends_again_keeps_its_amount(arm: ArmClient, sandbox: Sandbox, database: str) -> None:
    """Some of a batch are found, the others are absent and sent again."""
    async with shared(arm, database, deadline=0.5) as run:
        await run.send_part(0, [document(0, 1), document(1, 2)])
        plan(sandbox, [Fault.status(502)])
        await run.send_part(0, [document(2, 4), document(3, 8)])
        _, part, _ = await reported(run)
        assert money_of(part)["NOK"]["unknown"] == (2, Decimal(12))
        await arm.documents.reconcile(database, run_id=RUN_ID, settle=0.6, resend_absent=True, options=quick(deadline=0.5))
        assert await reported(run) == (True, part_like({"NOK": {"read": (4, Decimal(15)), "succeeded": (4, Decimal(15))}}), [])
    assert sandbox.documents.total_taken == 4
