"""The summary of a report: one sentence, sums that do not add up, and what to do next. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta, tzinfo
from decimal import Context, Decimal
from typing import Final, Literal, NamedTuple, TypeAlias

from ...bulk.outcomes import FAILURES, NOT_ON_SERVER, State, success_states
from ...nightly.report import Amount, AtRisk, CurrencyMoney, Part, ReportSchema
from .markup import duration, money, number, plural

__all__ = [
    "Step",
    "Tone",
    "count_fault",
    "failed_records",
    "faults",
    "money_fault",
    "next_steps",
    "not_read",
    "shortfalls",
    "summed",
    "summed_at_risk",
    "verdict",
]

Tone: TypeAlias = Literal["good", "bad", "uncertain"]

_EXACT: Final = Context(prec=1000)


def failed_records(part: Part) -> int:
    """Returns the number of records that did not succeed.

    Args:
        part: of the report.

    Returns:
        The number; `accepted` is a success where results were not awaited.
    """
    success = success_states(accepted_is_enough=not part.results_awaited)
    return sum(count for state, count in part.counts.items() if state not in success)


def verdict(document: ReportSchema) -> tuple[Tone, str]:
    """Sums the report up.

    Args:
        document: the report.

    Returns:
        Whether it is good, and one sentence.
    """
    tone, text = _verdict(document)
    return tone, f"Dry run, nothing was sent. {text}" if document.dry_run else text


def _verdict(document: ReportSchema) -> tuple[Tone, str]:
    read = sum(part.read for part in document.parts)
    failed = sum(failed_records(part) for part in document.parts)
    unawaited = sum(part.counts.get("accepted", 0) for part in document.parts if not part.results_awaited)
    if document.error is not None:
        text = f"{number(failed)} of {plural(read, 'record')} did not succeed" if failed else f"{plural(read, 'record')} read until then"
        return "bad", f"The run {'was interrupted' if document.interrupted else 'ended early'}: {text}."
    if document.ended is not None and not failed and (document.not_begun or any(map(not_read, document.parts))):
        return "bad", f"Not every record was read: {plural(read, 'record')} read until then."
    if failed and document.dry_run:
        return "bad", f"{number(failed)} of {plural(read, 'record')} would not be sent."
    if failed:
        return "bad", f"{number(failed)} of {plural(read, 'record')} did not succeed."
    if faults(document):
        return "bad", "Every record succeeded, but the sums do not add up." if read else "The sums do not add up."
    if short := shortfalls(document):
        return "bad", f"Every record succeeded, but {' and '.join(short)} are fewer than expected."
    if document.ended is None:
        return "uncertain", f"This was written before the run ended: {plural(read, 'record')} so far."
    if not document.ok:
        return "bad", "Every record succeeded, but the run reports a problem." if read else "The run reports a problem."
    if not read:
        return "good", "There was nothing to send."
    if document.dry_run:
        would = sum(part.counts.get("would_be_sent", 0) for part in document.parts)
        return "good", f"{number(would)} of {plural(read, 'record')} would be sent, and the others need not be."
    if unawaited:
        return "good", f"All {plural(read, 'record')} were accepted; the run did not wait for the results of {number(unawaited)}."
    return "good", f"All {plural(read, 'record')} succeeded." if read > 1 else "The one record succeeded."


def not_read(part: Part) -> str | None:
    """Returns a sentence that the source was not read to its end.

    Args:
        part: of the report.

    Returns:
        The sentence; None where it was read to its end, or as far as the run was limited to.
    """
    if part.source_exhausted or part.limited_to is not None:
        return None
    rest = "it is not known how many records are left" if part.not_read is None else f"{plural(part.not_read, 'record')} not read"
    return f"The source was not read to its end: {rest}."


def shortfalls(document: ReportSchema) -> dict[str, str]:
    """Returns the parts whose source holds fewer records than expected.

    Args:
        document: the report.

    Returns:
        The reasons by part.
    """
    return {part.name: part.shortfall for part in document.parts if part.shortfall is not None}


def faults(document: ReportSchema) -> list[str]:
    """Returns every sum that does not add up.

    Args:
        document: the report.

    Returns:
        A sentence for each.
    """
    found_faults = []
    for part in document.parts:
        if text := count_fault(part):
            found_faults.append(f"{part.name.capitalize()}: {text}")
        if part.money is None:
            continue
        found = [(of.currency or "without currency", text) for of in part.money.currencies if (text := money_fault(of))]
        found_faults += [f"{part.name.capitalize()}, {name}: {text}" for name, text in found]
        if not found and not part.money.adds_up:
            found_faults.append(f"{part.name.capitalize()}: the run itself reports that its money does not add up.")
    return found_faults


def count_fault(part: Part) -> str | None:
    """Checks that the final states are as many as the records read.

    Args:
        part: of the report.

    Returns:
        What is wrong, or None.
    """
    settled = sum(part.counts.values())
    return None if settled == part.read else f"{number(part.read)} read, but {number(settled)} have a final state."


def money_fault(of: CurrencyMoney) -> str | None:
    """Checks that count and money of all final states equal what was read.

    Args:
        of: the money of one currency.

    Returns:
        What is wrong, or None.
    """
    together = summed(list(of.states.values()))
    if together.count != of.read.count:
        return f"{number(of.read.count)} documents read, but {number(together.count)} have a final state."
    difference = _EXACT.subtract(_decimal(of.read), _decimal(together))
    if difference:
        relation = "missing from" if difference > 0 else "too much in"
        return f"{money(format(abs(difference), 'f'))} {relation} the final states."
    return None


def summed(amounts: list[Amount]) -> Amount:
    """Adds amounts up, exactly.

    Args:
        amounts: of one currency.

    Returns:
        Their sum.
    """
    total = Decimal(0)
    for amount in amounts:
        total = _EXACT.add(total, _decimal(amount))
    known = any(amount.total is not None for amount in amounts)
    return Amount(sum(amount.count for amount in amounts), format(total, "f") if known else None)


def _decimal(amount: Amount) -> Decimal:
    return Decimal(amount.total or 0)


class Step(NamedTuple):
    """One thing to do now.

    Attributes:
        text: what to do.
        commands: the commands that do it.
    """

    text: str
    commands: tuple[str, ...] = ()


def summed_at_risk(amounts: list[AtRisk]) -> list[tuple[str, int, str | None]]:
    """Returns the money at risk of each currency.

    Args:
        amounts: by currency and state.

    Returns:
        Its name, the number of documents, and their sum.
    """
    of: dict[str, list[Amount]] = {}
    for one in amounts:
        of.setdefault(one.currency or "none", []).append(Amount(one.count, one.total))
    sums = {name: summed(some) for name, some in of.items()}
    return [(name, amount.count, amount.total) for name, amount in sums.items()]


def next_steps(document: ReportSchema, zone: tzinfo | None = None) -> list[Step]:
    """Returns what to do now, the most urgent first.

    Args:
        document: the report.
        zone: time zone of the times; None is that of this machine.

    Returns:
        The steps.
    """
    counts: Counter[State] = Counter()
    unknown, waiting = 0, 0
    for part in document.parts:
        counts.update(part.counts)
        unknown += part.counts.get("unknown", 0) if part.name != "customers" else 0
        waiting += part.counts.get("accepted", 0) if part.results_awaited else 0
    steps = [Step(text) for text in _causes(document)]
    reconcile, run_again, replay = (_commands(document, does) for does in ("reconcile", "run again", "replay"))
    if unknown:
        steps.append(_unknown(document, (unknown, waiting), reconcile, replay, zone))
    to_fix = sum(counts[state] for state in FAILURES & NOT_ON_SERVER)
    if to_fix:
        steps.append(Step(f"Fix {plural(to_fix, 'record')} in the source; their reasons say how."))
    if waiting and not (unknown and reconcile):
        text = f"Ask later for the results of {plural(waiting, 'record')} that the server accepted"
        does = ":" if reconcile else ": running the same job again does it." if run_again else "."
        steps.append(Step(text + does, reconcile))
    again = counts["blocked"] + counts["not_sent"] + (counts["unknown"] - unknown) + to_fix
    is_early = document.error is not None and bool(document.parts or document.commands)
    if again or shortfalls(document) or is_early or document.not_begun or run_again:
        steps.append(Step(_again(document), run_again))
        if replay:
            text = "What was read can also be corrected and sent without the source: edit the payloads in the dead letter, and replay it."
            steps.append(Step(text if run_again else "Send what the dead letter holds.", replay))
    return steps


def _unknown(
    document: ReportSchema, counts: tuple[int, int], reconcile: tuple[str, ...], replay: tuple[str, ...], zone: tzinfo | None
) -> Step:
    """Returns what to do about documents that may bill twice: the unknown ones, and those whose result is awaited."""
    unknown, waiting = counts
    if replay and not reconcile:
        return Step(
            "Replay the dead letter before anything is sent again: it looks up"
            f" {plural(unknown, 'document')} of which it is not known whether the server accepted them.",
            replay,
        )
    text = (
        f"Reconcile before sending again: it is not known whether the server accepted {plural(unknown, 'document')}."
        " Resent without that, they may bill twice."
    )
    also = f" It also asks for the results of {plural(waiting, 'record')} that the server accepted." if waiting and reconcile else ""
    return Step(f"{text}{_settle(document, zone)}{also}", reconcile)


def _causes(document: ReportSchema) -> Iterator[str]:
    """Yields what is wrong with the night as a whole."""
    if faults(document):
        yield "Find out why the sums do not add up before anything is sent again: keep this report, the journal and the source."
    for part in document.parts:
        if document.ended is not None and (text := not_read(part)) is not None:
            yield f"{part.name.capitalize()}: {text} What was not read is in no count."
    for name in document.not_begun:
        yield f"{name.capitalize()} were not started: none of their records was read or sent."
    if document.interrupted:
        yield "The run was interrupted: nothing has to be fixed for that."
    elif document.error is not None:
        yield f"Fix what ended the run: {document.error}"
    for short, words in shortfalls(document).items():
        yield f"Look at the source of the {short}: {words}."


def _commands(document: ReportSchema, does: str) -> tuple[str, ...]:
    return tuple(command.command for command in document.commands if command.does == does)


def _settle(document: ReportSchema, zone: tzinfo | None) -> str:
    """Returns until when a reconcile waits."""
    if document.settle is None or document.ended is None:
        return ""
    until = (document.ended + timedelta(seconds=math.ceil(document.settle))).astimezone(zone)
    return (
        f" A document is looked up {duration(document.settle)} after it was sent, because it may still appear until then (--settle):"
        f" before {until:%H:%M} the command waits, and says until when."
    )


def _again(document: ReportSchema) -> str:
    """Returns how to send the rest. Without a run id nothing records what was sent, and a document sent again bills twice."""
    if document.dry_run:
        return "Then give the same command again, to see what would be sent."
    if document.run_id is not None:
        return f"Then run the same job again with the same run id, {document.run_id}: what succeeded is not sent again."
    if any(part.name != "customers" for part in document.parts):
        return "Then send only the documents that did not succeed: this run had no run id, and sending all of them would bill twice."
    return "Then run the same job again: existing customers are updated, not duplicated."
