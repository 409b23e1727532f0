"""Prints, for each fault, what the caller gets: the table of docs/faults.md, from the cases that the tests hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from .cases import CASES, Case, Gets

__all__ = ["table"]

_HEAD = "| where | what happens | documents | customers, create and update | the next run with the same `run_id` |"


def table() -> Iterator[str]:
    """The lines of the table; cases that differ in nothing but a status share one."""
    yield _HEAD
    yield "|---|---|---|---|---|"
    for (point, says, *cells), cases in groupby(sorted(CASES, key=_place), _row):
        statuses = [case.name.removeprefix("taken_") for case in cases]
        yield f"| {point} | {says.format(status=_joined(statuses))} | {' | '.join(cells)} |"


def _place(case: Case) -> tuple[int, int]:
    first = next(other for other in CASES if _row(other) == _row(case))
    return CASES.index(first), CASES.index(case)


def _row(case: Case) -> tuple[str, ...]:
    documents, customers = _cell(case.documents, "documents"), _cell(case.customers, "customers")
    return case.fault.point, case.fault.says, documents, "the same" if customers == documents else customers, _next(case)


def _joined(words: Sequence[str]) -> str:
    return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def _cell(gets: Gets, kind: str) -> str:
    if "unknown" in gets.states and "succeeded" in gets.states:
        return "`unknown`; or `succeeded`, where the first byte had not left"
    state = f"`{gets.states[0]}`"
    if gets.states == ("accepted",):
        state += f" (`{gets.reasons[0]}`)"
    if gets.marked is not None:
        return f"that one `{gets.marked}`, the others {state}"
    if gets.states == ("unknown",):
        text = f"{state}, never sent again" if kind == "documents" else state
    else:
        text = f"{state}, sent again" if gets.repeats is not False else state
    return f"{text}; the run ends, the rest is `not_sent`" if gets.ends_run else text


def _next(case: Case) -> str:
    words = [_word(gets) for gets in (case.documents, case.customers)]
    return words[0] if words[0] == words[1] else f"documents: {words[0]}; customers: {words[1]}"


def _word(gets: Gets) -> str:
    if "unknown" in gets.again:
        return "still `unknown`" if gets.again == ("unknown",) else "as it was"
    if gets.again == ("not_sent",):
        return "the same, until that is fixed"
    if gets.again == ("succeeded",):
        return "sent"
    if gets.states == ("accepted",) or gets.marked == "accepted":
        return "asked for again, not sent"
    if gets.marked is not None:
        return "that one is sent again"
    return "`done_before`"


def main() -> None:
    """Prints it."""
    print("\n".join(table()))


if __name__ == "__main__":
    main()
