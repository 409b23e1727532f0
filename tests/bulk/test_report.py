"""The report: the counts add up, and the failures are every record that did not succeed."""

from __future__ import annotations

from types import GeneratorType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amili_arm_async import BatchOutcome, BulkError, BulkReport, clock
from amili_arm_async.bulk import spool as spool_module
from amili_arm_async.bulk.outcomes import STATES, Outcome

pytestmark = pytest.mark.quick

RECORD_OUTCOMES = st.builds(Outcome, st.sampled_from(STATES), st.sampled_from(["", "400", "deadline"]), st.none() | st.text(max_size=3))
OUTCOMES = st.lists(
    st.tuples(
        RECORD_OUTCOMES,
        st.lists(st.none() | RECORD_OUTCOMES, min_size=1, max_size=5),
        st.integers(0, 3),
        st.none() | st.sampled_from(["u1", "u2"]),
    ),
    max_size=12,
)


def outcomes_of(drawn) -> list[BatchOutcome]:
    made, first = [], 0
    for number, (common, own, attempts, uuid) in enumerate(drawn, 1):
        exceptions = {place: outcome for place, outcome in enumerate(own) if outcome is not None}
        keys = [None if place % 3 == 2 else str(first + place) for place in range(len(own))]
        made.append(BatchOutcome(number, uuid, attempts, None, range(first, first + len(own)), keys, common, exceptions))
        first += len(own)
    return made


def report_of(*outcomes: BatchOutcome, accepted_is_enough: bool = False) -> BulkReport:
    report = BulkReport(records_known=None, accepted_is_enough=accepted_is_enough, now=clock.monotonic)
    for outcome in outcomes:
        report.add(outcome)
        report.tally.records_read += len(outcome)
    return report


def one(
    state: str, *, number: int = 1, attempts: int = 1, reason: str = "", message: str | None = None, key: str | None = "7"
) -> BatchOutcome:
    return BatchOutcome(number, "uuid", attempts, None, range(1), [key], Outcome(state, reason, message))


@given(OUTCOMES, st.booleans(), st.sampled_from([0, 262_144]))
def test_counts_add_up_and_failures_are_the_rest(drawn, accepted_is_enough, in_memory) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spool_module, "IN_MEMORY", in_memory)
        outcomes = outcomes_of(drawn)
        report = report_of(*outcomes, accepted_is_enough=accepted_is_enough)
        records = [record for outcome in outcomes for record in outcome]
        successes = {"succeeded", "unchanged", "done_before", "would_be_sent", "other_part"} | (
            {"accepted"} if accepted_is_enough else set()
        )
        assert sum(report.counts.values()) == len(records) == report.totals.records_read
        assert {state: sum(record.state == state for record in records) for state in STATES} == dict(report.counts)
        failures = sorted(report.failures(), key=lambda record: record.index)
        assert failures == [record for record in records if record.state not in successes]
        assert report.failed_records == len(failures)


@given(OUTCOMES)
def test_the_batches_are_those_that_were_sent(drawn) -> None:
    outcomes = outcomes_of(drawn)
    batches = report_of(*outcomes).batches
    sent = [outcome for outcome in outcomes if outcome.attempts]
    assert len(batches) == len(sent)
    assert [(b.number, b.batch_uuid, b.first_index, b.records, b.attempts) for b in batches] == [
        (o.number, o.batch_uuid, o.indexes[0], len(o), o.attempts) for o in sent
    ]
    for batch, outcome in zip(batches, sent, strict=True):
        assert outcome.counts[batch.state] == max(outcome.counts.values())


def test_every_state_is_in_the_counts_and_they_can_only_be_read() -> None:
    counts = BulkReport(records_known=5, accepted_is_enough=False, now=clock.monotonic).counts
    assert list(counts) == list(STATES)
    with pytest.raises(TypeError):
        counts["succeeded"] = 1  # type: ignore[index]


def test_failures_are_read_lazily() -> None:
    report = report_of(one("failed"))
    failures = report.failures()
    assert isinstance(failures, GeneratorType)
    assert next(failures).state == "failed"


def test_failures_can_be_read_again_and_while_the_run_goes_on() -> None:
    report = report_of(one("failed", reason="400", message="words"))
    assert list(report.failures()) == list(report.failures())
    report.add(one("rejected"))
    assert [record.state for record in report.failures()] == ["failed", "rejected"]


@pytest.mark.parametrize("state", ["succeeded", "unchanged", "done_before"])
def test_what_made_it_raises_nothing(state) -> None:
    report_of(one(state)).raise_for_failures()


@pytest.mark.parametrize("state", sorted(set(STATES) - {"succeeded", "unchanged", "done_before", "would_be_sent", "other_part"}))
def test_what_did_not_make_it_raises_with_the_report(state) -> None:
    report = report_of(one("succeeded"), one(state))
    with pytest.raises(BulkError, match=f"1 of 2 records did not succeed: .*1 {state}") as raised:
        report.raise_for_failures()
    assert raised.value.report is report


def test_accepted_is_enough_where_that_was_asked_for() -> None:
    report_of(one("accepted"), accepted_is_enough=True).raise_for_failures()
    assert list(report_of(one("accepted"), accepted_is_enough=True).failures()) == []


def test_no_text_of_the_report_shows_a_message_or_a_key() -> None:
    report = report_of(one("failed", message="Owe Armstrong", key="01019921717"))
    shown = f"{report!r} {report.summary()} {report.batches!r} {report.totals!r} {report.progress(0)!r}"
    assert "Armstrong" not in shown
    assert "01019921717" not in shown


def test_a_key_with_half_a_surrogate_pair_is_a_failure_like_any_other() -> None:
    report = report_of(one("invalid", attempts=0, key="\ud800"), one("failed", message="\udfff"))
    assert report.counts["invalid"] == 1
    assert [record.state for record in report.failures()] == ["invalid", "failed"]


def test_elapsed_stands_still_before_and_after_the_run(fake_clock) -> None:
    report = BulkReport(records_known=None, accepted_is_enough=False, now=clock.monotonic)
    fake_clock.now += 5
    assert report.elapsed == 0
    report.begin()
    fake_clock.now += 5
    assert report.elapsed == 5
    report.end()
    fake_clock.now += 5
    assert report.elapsed == 5


def test_progress_is_a_picture_that_does_not_change() -> None:
    report = report_of(one("succeeded"), one("failed"))
    progress = report.progress(3)
    report.add(one("succeeded"))
    assert (progress.settled, progress.open_batches, progress.counts["succeeded"], progress.totals.records_read) == (2, 3, 1, 2)
