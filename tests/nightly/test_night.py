"""The night at a small size: faults, kills, the same command until it ends, and the accounts in the morning."""

from __future__ import annotations

import json
import signal
import sys

import pytest

from amili_arm_async.sandbox import Sandbox

from .book import Book
from .night import KILLS, Night, check

pytestmark = [pytest.mark.proof, pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")]

BOOK = Book(customers=6000, documents=2000)


@pytest.mark.parametrize("extra", [(), ("--reconcile", "--settle", "0.1")], ids=["unknown", "looked up"])
async def test_killed_again_and_again_the_report_is_right_in_the_morning(tmp_path, extra) -> None:
    async with Sandbox(process_delay=0.0) as sandbox:
        night = Night(BOOK, sandbox, tmp_path, extra=extra)
        await night.yesterday()
        night.trouble()
        assert await night.tonight() == 1
        assert night.attempts[:-1] == [-signal.SIGKILL] * len(KILLS)
        counts = check(night)
        assert counts["customers"].keys() == {"failed", "unchanged"}
        # The other way round: a check that sees no difference would be worth nothing.
        report = json.loads(night.path("report.json").read_text())
        for spoil in (_an_ore, _a_count, _a_state):
            spoilt = json.loads(json.dumps(report))
            spoil(spoilt)
            night.path("report.json").write_text(json.dumps(spoilt))
            with pytest.raises(AssertionError):
                check(night)
        # Whoever does it once more sends nobody a second invoice.
        assert await night.again() == 1
        assert check(night)["documents"]["done_before"] == counts["documents"]["done_before"] + counts["documents"].get("succeeded", 0)


def _an_ore(report) -> None:
    amount = report["parts"][1]["money"]["currencies"][0]["states"]["done_before"]
    amount["total"] = f"{amount['total'][:-1]}{9 - int(amount['total'][-1])}"


def _a_count(report) -> None:
    for amount in (report["parts"][1]["counts"], report["parts"][0]["counts"]):
        amount["failed"] += 1


def _a_state(report) -> None:
    states = report["parts"][1]["money"]["currencies"][0]["states"]
    states["done_before"], states["blocked"] = states["blocked"], states["done_before"]
