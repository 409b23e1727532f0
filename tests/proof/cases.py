"""The table of cases: for each fault of the server, what the caller gets. The tests and docs/faults.md are both made from it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from ..support.wire_faults import WIRE_FAULTS, WireFault

__all__ = ["CASES", "MARKED", "OPERATIONS", "Case", "Gets"]

OPERATIONS = ("documents.create_many", "customers.create_many", "customers.update_many")

MARKED = 2
"""The record of the first batch that a fault about one record is about."""


@dataclass(frozen=True)
class Gets:
    """What becomes of the five records of the batch that is hit.

    Attributes:
        states: the states that they may all end in; more than one only where the network decides.
        reasons: the reasons that go with them; empty: none is looked at.
        marked: the state of the marked record, where it differs.
        ends_run: the run raises `BulkError`, and the next batch is `not_sent`.
        deliveries: how often each of them came in whole; None: the network decides, or the bisection does.
        repeats: whether there was more than one request for them; None: the network decides.
        again: the states in the next run with the same `run_id`, when the fault is over and the marked record is fixed.
        next_batch: the states that the next batch may end in.
    """

    states: tuple[str, ...]
    reasons: tuple[str, ...] = ()
    marked: str | None = None
    ends_run: bool = False
    deliveries: int | None = None
    repeats: bool | None = False
    again: tuple[str, ...] = ("done_before",)
    next_batch: tuple[str, ...] = ("succeeded",)


@dataclass(frozen=True)
class Case:
    """A fault and what it leads to.

    Attributes:
        name: of the fault.
        documents, customers: what the caller gets.
        mark: what the marked record says in `buyerReference`, so that the server picks it.
        options: of the run, where they matter.
    """

    name: str
    documents: Gets
    customers: Gets
    mark: str | None = None
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def fault(self) -> WireFault:
        """What happens on the wire."""
        return WIRE_FAULTS[self.name]

    def gets(self, operation: str) -> Gets:
        """What the caller of an operation gets."""
        return self.documents if operation.startswith("documents") else self.customers


ONCE = Gets(("succeeded",), deliveries=1)
"""Succeeded, and was sent once."""

TWICE = Gets(("succeeded",), deliveries=2, repeats=True)
"""Succeeded, and was sent again."""

BROKEN = ("connection_broken",)
"""The reason where the connection went."""


def _unknown(*reasons: str, deliveries: int | None = 1) -> Gets:
    return Gets(("unknown",), reasons, deliveries=deliveries, again=("unknown",))


def _accepted(reason: str) -> Gets:
    return Gets(("accepted",), (reason,), deliveries=1)


def _both(gets: Gets) -> tuple[Gets, Gets]:
    return gets, gets


def _ends(reason: str, deliveries: int | None = 1) -> Gets:
    nothing = ("not_sent",)
    return Gets(nothing, (reason,), ends_run=True, deliveries=deliveries, again=("succeeded",), next_batch=nothing)


def _moved(reason: str) -> Gets:
    return Gets(("unknown",), (reason, "not_repeated"), ends_run=True, deliveries=1, again=("unknown",), next_batch=("not_sent",))


def _rejected(reason: str) -> Gets:
    return Gets(("rejected",), (reason,), deliveries=1, again=("succeeded",))


def _ambiguous(name: str, *reasons: str, whole: bool = True) -> Case:
    """Bytes left and no answer proves anything: documents are unknown, customers are sent again."""
    return Case(name, _unknown(*reasons, deliveries=int(whole)), replace(TWICE, deliveries=1 + whole))


def _cases() -> list[Case]:
    cases = [
        # Nothing left: both try again.
        *(Case(name, *_both(ONCE)) for name in ("refused", "connect_stalls", "token_503")),
        # This one does not end.
        Case("tls_fails", *_both(replace(_ends("patience", deliveries=0), again=("not_sent",))), options={"patience": 0.15}),
        *(Case(f"token_{status}", *_both(_ends("no_token", deliveries=0))) for status in (401, 404)),
        # Whether the first byte had left when the reset came, the network decides.
        *(
            Case(
                name,
                Gets(("unknown", "succeeded"), repeats=None, again=("unknown", "done_before")),
                Gets(("succeeded",), repeats=None),
            )
            for name in ("accept_reset", "accept_close")
        ),
        _ambiguous("head_reset", *BROKEN, whole=False),
        _ambiguous("byte_reset", *BROKEN, whole=False),
        _ambiguous("byte_close", *BROKEN, whole=False),
        _ambiguous("byte_stall", "timeout", whole=False),
        _ambiguous("half_reset", *BROKEN, whole=False),
        *(Case(f"early_{status}", *_both(replace(ONCE, repeats=True))) for status in (401, 413, 429)),
        _ambiguous("early_503", "503", whole=False),
        *(_ambiguous(name, *BROKEN) for name in ("body_reset", "body_close", "taken_reset", "taken_close")),
        *(_ambiguous(name, "timeout") for name in ("body_stall", "taken_stall", "taken_late")),
        *(
            Case(
                status,
                _rejected(status),
                Gets(("succeeded",), marked="rejected", repeats=True),
                mark=f"bad-{status}",
            )
            for status in ("400", "422")
        ),
        *(Case(status, *_both(TWICE)) for status in ("401", "429", "429_bare")),
        Case("413", *_both(TWICE)),
        *(Case(status, *_both(_ends(status))) for status in ("403", "404", "405", "415", "301", "307", "308")),
        *(Case(status, *_both(_rejected(status))) for status in ("406", "411", "414", "431")),
        *(_ambiguous(status, status) for status in ("408", "409", "425", "499", "500", "501", "502", "503", "504")),
        _ambiguous("503_wait", "503"),
        *(_ambiguous(f"taken_{status}", status) for status in ("408", "409", "425", "499", "500", "502", "503", "504")),
        *(
            Case(name, _moved(status), replace(_moved(status), again=("succeeded",)))
            for name, status in (("302", "302"), ("303", "303"), ("taken_302", "302"), ("taken_303", "303"))
        ),
        *(_ambiguous(name, *BROKEN, "answer_not_readable", "timeout") for name in ("cut_status", "cut_headers")),
        *(_ambiguous(name, "202") for name in ("cut_body", "reset_body", "stall_body")),
        Case("drops", *_both(ONCE)),
        *(_ambiguous(name, "202") for name in ("no_uuid", "null_uuid", "list_202", "broken_json", "not_utf8", "empty_202", "bad_gzip")),
        _ambiguous("html_200", "200"),
        _ambiguous("204", "204"),
        _ambiguous("bad_chunk", "202", "answer_not_readable", *BROKEN),
        _ambiguous("not_http", *BROKEN, "answer_not_readable"),
        # The next batch may have gone out over the connection that was just ended.
        *(Case(name, replace(ONCE, next_batch=("succeeded", "unknown")), ONCE) for name in ("then_close", "then_reset")),
        Case("then_another", *_both(ONCE)),
        Case("poll_drops", *_both(_accepted("deadline")), options={"deadline": 0.3}),
        *(Case(f"poll_{word}", *_both(ONCE)) for word in ("404_once", "500", "429", "reset", "stall", "cut", "broken")),
        *(Case(f"poll_{status}", *_both(_accepted("result_gone"))) for status in ("404", "406")),
        Case("poll_202", *_both(_accepted("deadline")), options={"deadline": 0.3}),
        *(Case(f"poll_{word}", *_both(_accepted("unrecognised"))) for word in ("word", "empty", "huge")),
        *(Case(f"poll_{word}", *_both(_accepted("unmapped"))) for word in ("206", "done", "count")),
        Case("poll_partial", *_both(replace(ONCE, marked="failed")), mark="fails-once"),
        Case("poll_left_out", *_both(replace(ONCE, marked="accepted"))),
    ]
    assert {case.name for case in cases} == set(WIRE_FAULTS) - {"ok"}
    return sorted(cases, key=lambda case: list(WIRE_FAULTS).index(case.name))


CASES = _cases()
