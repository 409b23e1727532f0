"""The table of reasons: each reason that the code can give has a sentence and a remedy of its own."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import amili_arm_async
from amili_arm_async.attempts import Attempt
from amili_arm_async.bulk.control import reason_of
from amili_arm_async.bulk.outcomes import STATES, UNCERTAIN
from amili_arm_async.bulk.reasons import REASONS, cause_of, explain
from amili_arm_async.retry import Proof
from amili_arm_async.values.findings import SEVERITIES

PACKAGE = Path(amili_arm_async.__file__).parent


def calls() -> Iterator[tuple[Path, ast.Call, str]]:
    for file in [*PACKAGE.glob("*.py"), *PACKAGE.joinpath("bulk").rglob("*.py"), *PACKAGE.joinpath("nightly").rglob("*.py")]:
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Call):
                yield file, node, ast.unparse(node.func)


def texts(node: ast.expr) -> list[str]:
    """Every text that an argument may be: `a if b else c` is two."""
    if isinstance(node, ast.IfExp):
        return texts(node.body) + texts(node.orelse)
    return [node.value] if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value else []


def reasons_of_records() -> set[tuple[str, str]]:
    """Every `Outcome("state", "reason", ...)` that the library makes."""
    found = set()
    for _, call, name in calls():
        if name == "Outcome" and len(call.args) >= 2:
            found |= {(state, reason) for state in texts(call.args[0]) for reason in texts(call.args[1])}
    return found


def reasons_of_attempts() -> set[str]:
    """Every reason of an attempt, or of a request without a response, as it stands in a report."""
    places = {"SendFailure": 0, "Attempt": 1}
    found = {
        text for _, call, name in calls() if name in places and len(call.args) > places[name] for text in texts(call.args[places[name]])
    }
    # This one is not given to a record as it is: it has the state of an outcome of its own.
    return {reason_of(Attempt(Proof.AMBIGUOUS, text)) for text in found} - {"batch_uuid_repeated"}


def is_of_its_own(state, reason) -> bool:
    return explain(state, reason).meaning != explain(state, "").meaning


def test_every_reason_of_a_record_has_a_sentence_and_a_remedy() -> None:
    named = reasons_of_records()
    assert len(named) > 20
    assert sorted(pair for pair in named if not is_of_its_own(*pair)) == []
    assert sorted(pair for pair in named if not explain(*pair).remedy) == []


def test_every_reason_of_the_network_has_a_sentence_in_each_state_that_it_may_have() -> None:
    named = reasons_of_attempts() | {"connection_broken", "RuntimeError", "proxy_answered_407", "500", "302", "429", "599"}
    assert {"host_name_not_found", "timeout", "no_batchUuid_in_the_answer", "client_closed"} <= named
    assert sorted((state, reason) for reason in named for state in ("unknown", "not_sent") if not is_of_its_own(state, reason)) == []


def test_every_code_of_the_check_has_a_sentence() -> None:
    assert sorted(code for code in SEVERITIES if not is_of_its_own("invalid", code)) == []


def test_every_state_has_both() -> None:
    assert all(all(explain(state, "something new", kind)) for state in STATES for kind in ("customers", "documents"))
    assert all(meaning and remedy.endswith((".", ")")) and not meaning.endswith(".") for meaning, remedy in REASONS.values())


def test_no_two_reasons_of_a_state_mean_the_same() -> None:
    for state in STATES:
        meanings = [words.meaning for (other, _), words in REASONS.items() if other == state]
        assert len(set(meanings)) == len(meanings)


def test_an_unknown_document_is_never_just_sent_again_and_an_unknown_customer_may_be() -> None:
    for code in ("502", "no_batchUuid_in_the_answer", "crashed", "cut_off", "connection_broken"):
        assert "Reconcile before it is sent again" in explain("unknown", code).remedy
        assert explain("unknown", code, "customers").remedy.startswith("May be sent again")


@pytest.mark.parametrize(
    ("message", "cause"),
    [
        ("customer does not exist", "no_such_customer"),
        ("No such customer: 4711", "no_such_customer"),
        ("Customer 4711 was not found", "no_such_customer"),
        ("customerNo '4711' not found", "no_such_customer"),
        ("Unknown customer", "no_such_customer"),
        ("Kunde 4711 finnes ikke", "no_such_customer"),
        ("Ukjent kunde", "no_such_customer"),
        ("documentNo already exists", "duplicate"),
        ("Duplicate document number", "duplicate"),
        ("Fakturaen er allerede mottatt", "duplicate"),
        ("Dokumentet finnes fra før", "duplicate"),
        ("No such currency", "no_such_record"),
        ("Price list 7 not found", "no_such_record"),
        ("customerNo is missing", ""),
        ("Customer: the country is unknown", ""),
        ("Owe Armstrong has no address", ""),
        ("", ""),
        (None, ""),
    ],
)
def test_what_the_server_says_is_called_what_it_is(message, cause) -> None:
    assert cause_of("failed", "FAILED", message) == cause
    assert cause_of("rejected", "400", message) == cause
    assert {cause_of(state, "502", message) for state in UNCERTAIN} == {""}
    if cause:
        assert explain("failed", "FAILED", "documents", cause) == explain("rejected", "400", "documents", cause)
        assert "Owe" not in explain("failed", "FAILED", "documents", cause).meaning


def test_a_long_message_takes_no_time_to_read() -> None:
    assert cause_of("failed", "", "customer " * 100_000) == ""
    assert cause_of("failed", "", "customer" + " " * 100_000 + "x") == ""
    assert cause_of("failed", "", "customer" + "a-/." * 100_000) == ""
