"""Stories of nights: customers, then the documents of those who succeeded; ended at any point, and done again with the same run id."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

from amili_arm_async import ArmClient, BulkReport, Reconcile
from amili_arm_async.bulk.outcomes import SUCCESS
from amili_arm_async.bulk.run import BulkRun
from amili_arm_async.nightly.run import NightlyReport

from .books import money_is_lost, read_runs, total_of, what_a_journal_says_otherwise
from .customer_source import given_as, number_of
from .plan import Act, Plan
from .registry import FAULTS, customer_name, text_of
from .service import name_of
from .story import Begun, Story
from .sync_story import ODD, draw_act

__all__ = ["NightlyStory", "draw"]


def draw(seed: int) -> Plan:
    """Draws the story of a seed."""
    drawn, rng = _draw(seed), random.Random(f"{seed}/more of a night")
    if rng.random() < _NARROW:
        return _late_results(rng, drawn)
    # By themselves, so that all else stays what it is.
    is_logged, is_expected = rng.random() < 0.25, rng.random() < 0.25

    def with_more(act: Act) -> Act:
        enough = rng.choice((0.0, 0.5, 1.0, 1.25)), rng.choice((0.0, 0.5, 1.0, 1.25))
        logged = is_logged and rng.random() < 0.8
        if act.what != "night":
            return act
        return replace(act, logged=logged, at_least=enough[0] * is_expected, enough=enough[1] * is_expected)

    return replace(drawn, acts=tuple(map(with_more, drawn.acts)))


_NARROW = 0.1
"""How many stories have nothing but what together leads to a place that others hardly ever reach."""


def _late_results(rng: random.Random, drawn: Plan) -> Plan:
    """Makes a story of customers that come several times, and of results that come late: what is settled last is not the last record."""
    night = Act("night", documents=18, journal=rng.random() < 0.5)
    if rng.random() < 0.5:
        # The first and the last record of a customer can't be sent, and are settled before the one between them.
        night = replace(night, thrice=drawn.seed + 1, journal=False, form=rng.choice(("dicts", "async")))
        return replace(drawn, acts=(night,), faults=("slow_processing",), odds=0.6, customers=12, branch=None)
    # A night that was killed comes back in another order: the result of an older record comes after that of the last one.
    night = replace(night, logged=True, journal=rng.random() < 0.2, again=2 * drawn.seed + 1)
    acts = (replace(night, kill_at=int(rng.expovariate(1 / 60)) + 40), replace(night, order=rng.randrange(1, 1000)))
    faults = ("slow_processing", "record_fails")
    return replace(drawn, acts=acts, faults=faults, odds=0.4, customers=12, batch=rng.choice((1, 2)), branch=None)


def _draw(seed: int) -> Plan:
    rng = random.Random(f"{seed}/nightly")
    share = rng.choice((0.1, 0.3, 0.6))
    customers = rng.choice((4, 8, 12))
    odd = frozenset(kind for kind in ODD if rng.random() < 0.35)
    acts = []
    for _ in range(rng.choice((1, 2, 2, 3))):
        act = draw_act(rng, rng.choices(("night", "jump", "wait"), (80, 6, 6))[0], customers, odd)
        own = {"documents": customers * 3 // 2, "reconcile": rng.random() < 0.3, "resend": rng.random() < 0.4}
        # A document of a night has the same number whatever happens to its customer.
        own |= {"dry": rng.random() < 0.07, "leaves": rng.randrange(1, 5) if rng.random() < 0.2 else 0}
        acts.append(replace(act, **own, forget=False, power_cut=False) if act.what == "night" else act)  # type: ignore[arg-type]
    faults = tuple(fault for fault in FAULTS if rng.random() < share)
    return Plan(
        "nightly", seed, tuple(acts), faults, rng.choice((0.02, 0.1, 0.3)), customers, rng.choice((1, 2, 3, 5)), rng.choice((1, 3, 8))
    )


def _referred(customer: int, document: int) -> str | int:
    """The number of a customer as a document has it: written in other letters, or as a number, where it can be."""
    number = number_of(customer)
    if document % 2 == 0:
        return number
    return int(number) if number.isdigit() else number.swapcase()


async def _leave(after: int, run: BulkRun) -> None:
    """Takes some outcomes of a part, and leaves it."""
    async with run:
        async for _ in run:
            after -= 1
            if not after:
                break


class NightlyStory(Story):
    """Nights with one state and one journal."""

    files: ClassVar[tuple[str, ...]] = ("state", "journal", "customers")
    memory: ClassVar[tuple[str, ...]] = ("_taken",)

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        # What was taken before the last night.
        self._taken = Counter[str]()

    def before(self, act: Act) -> None:
        self._taken = self.service.taken.copy()

    def _documents(self, act: Act) -> list[dict[str, Any]]:
        return [
            {
                "documentNo": f"D{one:03}",
                "documentType": "IN",
                "customerNo": _referred(one % self.plan.customers, one),
                "currency": ("NOK", "SEK")[one % 2],
                "currencyAmounts": {"inclVat": total_of(one)},
            }
            for one in range(act.documents)
        ]

    async def main(self, arm: ArmClient, begun: Begun) -> None:
        act = begun.act
        others = {"reconcile": Reconcile(resend_absent=act.resend)} if act.reconcile else {}
        logged: dict[str, Any] = {"journal": self.folder / "customers", "run_id": "night"} if act.logged else {}
        run = arm.nightly(
            customers=given_as(act.form, begun.source),
            documents=self._documents(act),
            state=self.folder / "state" if act.journal else None,
            full=act.full and act.journal,
            at_least_customers=self._expected(act)["customers"],
            at_least_documents=self._expected(act)["documents"],
            customer_options=self.options(act, **logged),
            document_options=self.options(act, journal=self.folder / "journal", run_id="night", **others),
        )
        begun.made.append(run.report)
        await (run.run_with(partial(_leave, act.leaves)) if act.leaves else run)

    def _expected(self, act: Act) -> dict[str, int]:
        return {"customers": int(act.at_least * self.plan.customers), "documents": int(act.enough * act.documents)}

    def check(self) -> None:
        for name, number in self.service.taken.items():
            if number > 1:
                self.violate("taken twice", f"{name}: {number} times")

    def after(self, begun: Begun) -> None:
        if not begun.made:
            return
        report: NightlyReport = begun.made[0]
        if begun.act.leaves:
            # Who leaves a run has not read all.
            begun = replace(begun, is_cut=True)
        if report.customers is not None:
            # With a journal, what an earlier night heard of a customer counts, too.
            knows_more = begun.act.journal or begun.act.logged
            self.is_true(report.customers, replace(begun, act=replace(begun.act, journal=knows_more)))
        self._has_enough(begun, report)
        self._says_how_it_ended(begun, report)
        if report.documents is None:
            if self._documents_of(begun):
                self.violate("gating", "documents were sent in a night that has no run of them")
            return
        if report.customers is None:
            self.violate("gating", "the documents were begun before the customers")
            return
        if not report.customers.source_exhausted and report.customers.limited_to is None:
            self.violate("gating", "the documents were begun, and not all customers were read")
        self._documents_are_true(begun, report, report.documents)

    def _documents_are_true(self, begun: Begun, report: NightlyReport, found: BulkReport) -> None:
        """Holds the report of the documents, their money and the journal against each other."""
        documents = self._documents(begun.act)
        self.is_true(found, replace(begun, source=documents), key="documentNo")
        failures = {failure.index: failure.state for failure in found.failures()}
        if report.money is not None:
            for lost in money_is_lost(report.money, found.totals.records_read, documents, failures, SUCCESS):
                self.violate("money", lost)
        self._gated(begun, report, documents)
        if begun.is_cut or self._act.beside or begun.act.dry:
            # Of two at once, the other one may have sent more.
            return
        # Those that were blocked are written down, so that the dead letter has them.
        for run in read_runs(self.folder / "journal"):
            if run.counts.get("blocked", 0) != found.counts["blocked"]:
                self.violate("journal", f"{run.counts} in the journal, and {found.summary()}")
            if not begun.act.limit and (what := what_a_journal_says_otherwise(run, found, is_all=False)):
                self.violate("journal", what)

    def _says_how_it_ended(self, begun: Begun, report: NightlyReport) -> None:
        """The report says what was not begun, why the night ended, and when its records were settled."""
        is_good = all(part.report.ok for part in report.parts) and report.documents is not None
        if report.ok and not is_good:
            self.violate("ok", f"the night is said to be good: {report.summary()}")
        if not begun.is_cut and (report.error is not None or report.ok != is_good):
            self.violate("ok", f"{report.ok}, {report.error!r}, and the night came to its end: {report.summary()}")
        if report.customers is not None and (report.not_begun == ("documents",)) != (report.documents is None):
            self.violate("ok", f"{report.not_begun} were not begun, and the documents: {report.documents!r}")
        if report.documents is None and report.customers is not None and report.error is None:
            self.violate("ok", "the documents were not begun, and the report does not say why")
        for part in report.parts:
            settled, said = sum(one.settled for one in part.timeline.intervals), sum(part.report.counts.values())
            if settled != said:
                self.violate("timeline", f"{settled} of {said} {part.name} are in it")

    def _has_enough(self, begun: Begun, report: NightlyReport) -> None:
        """A part says so where its source holds too little, and then the night is not good."""
        if begun.is_cut:
            return
        wanted, there = self._expected(begun.act), {"customers": len(begun.source), "documents": begun.act.documents}
        short = {part.name for part in report.parts if part.report.limited_to is None and there[part.name] < wanted[part.name]}
        if report.shortfalls.keys() != short or (short and report.ok):
            self.violate("shortfall", f"{report.shortfalls}, {report.ok}: {there} are there, and {wanted} were expected")

    def _documents_of(self, begun: Begun) -> set[str]:
        sent = self.service.sent[begun.process.pid]
        return {record["documentNo"] for record in self._documents(begun.act) if sent[text_of(record)]}

    def _gated(self, begun: Begun, report: NightlyReport, documents: list[dict[str, Any]]) -> None:
        """The documents of those who did not succeed are blocked and not sent; the others are not blocked."""
        assert report.customers is not None
        assert report.documents is not None
        bad = {failure.index for failure in report.customers.failures()}
        last = {customer_name(record): index for index, record in enumerate(begun.source[: report.customers.totals.records_read])}
        failed = {name for name, index in last.items() if index in bad}
        failures = {failure.index: failure for failure in report.documents.failures()}
        sent = self._documents_of(begun)
        for index in range(report.documents.totals.records_read):
            document = documents[index]
            number, state = document["documentNo"], failures[index].state if index in failures else "succeeded"
            is_failed = str(document["customerNo"]).casefold() in failed
            if is_failed and number in sent:
                self.violate("gating", f"{number} was sent, and its customer did not succeed")
            if state == "blocked" and not is_failed:
                self.violate("gating", f"{number} is blocked, and its customer did not fail")
            if state in {"blocked", "not_sent", "rejected"} and (number in sent or self._taken[name_of(document)]):
                # All nights are one run: what an earlier one has sent is in its journal.
                self.violate("contradiction", f"{number} is {state}, and was sent")
            if state in SUCCESS and not begun.act.dry and not self.service.taken[name_of(document)]:
                self.violate("contradiction", f"{number} succeeded, and was never taken")

    def morning(self) -> None:
        act = Act("night", documents=max((act.documents for act in self.plan.acts), default=6) or 6, journal=True)
        for _ in range(4):
            begun = self.do(act)[0]
            if self.violations:
                return
            if begun.is_cut:
                self.violate("all is sent", f"{begun.failure!r}")
                return
            left = {failure.state for failure in begun.made[0].documents.failures()}
            if not left & {"failed", "blocked", "not_sent"}:
                break
        else:
            self.violate("all is sent", f"{left} after four nights")
        # Customers of whom something may be processed late are sent once more.
        taken = sum(self.service.taken.values())
        self.do(act)
        self.do(replace(act, order=3))
        if sum(self.service.taken.values()) != taken:
            self.violate("nothing again", "a night after a night of everything sends a document")
