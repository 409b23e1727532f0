"""`amili-arm replay` looks up what was accepted and what its result does not explain; with the run's journal, and without any."""

from __future__ import annotations

import pytest

from amili_arm_async.sandbox import Fault

from .test_replay import Letters, document, letters, with_or_without

__all__ = ["letters"]

UNEXPLAINED = {
    "unmapped": Fault.garbage(b'{"status": "PROCESSED", "result": "PARTIAL"}'),
    "unrecognised": Fault.garbage(b'{"status": "HMM"}'),
    "result_gone": Fault.status(404),
}
AGAIN = ["--resend-absent", "--deadline", 0.1, "--settle", 0.2]


def accepted(letters: Letters, run_id: str | None, reason: str, *records: dict[str, str]) -> None:
    """Lines of documents that were accepted, and whose results say nothing."""
    letters.served.ask(lambda sandbox: sandbox.inject(UNEXPLAINED[reason], method="GET", path="/batches/", times=None))
    letters.push(*records, run_id=run_id, more=["--deadline", 0.1])
    assert {(state, why) for _, state, why in letters.states} == {("accepted", reason)}


@with_or_without
@pytest.mark.parametrize("reason", UNEXPLAINED)
def test_found_it_is_taken_out(letters, run_id, reason):
    accepted(letters, run_id, reason, document(1), document(2), document())
    assert letters.replay("--deadline", 0.1) == 1
    assert letters.states == [(None, "accepted", reason)], "what has no number can't be looked up"
    assert letters.delivered("1", "2", document()) == [1, 1, 1]


@with_or_without
@pytest.mark.parametrize("reason", UNEXPLAINED)
def test_not_found_it_stays_and_is_not_sent(letters, run_id, reason):
    accepted(letters, run_id, reason, document(1), document(2))
    letters.served.ask(lambda sandbox: sandbox.inject(Fault.status(404), method="GET", path="/documents/2", times=None))
    assert letters.replay(*AGAIN) == 1
    assert letters.states == [("2", "accepted", reason)]
    assert letters.delivered("1", "2") == [1, 1]


@with_or_without
def test_found_with_other_content_it_stays(letters, run_id):
    accepted(letters, run_id, "result_gone", document(1))
    other = Fault.garbage(b'{"documentNo": "1", "documentType": "CN"}')
    letters.served.ask(lambda sandbox: sandbox.inject(other, method="GET", path="/documents/1", times=None))
    assert letters.replay(*AGAIN) == 1
    assert letters.states == [("1", "accepted", "key_conflict")]
    assert letters.delivered("1") == [1]
