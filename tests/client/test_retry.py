"""What an answer proves, whether a request may be sent again, and when."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amili_arm_async import RetryPolicy
from amili_arm_async.retry import (
    Proof,
    after_batch,
    backoff,
    is_transient,
    may_repeat,
    needs_new_token,
    proof_of_status,
    retry_after_seconds,
    retry_delay,
    rule_of,
)

pytestmark = pytest.mark.quick

PROVES_NOT_TAKEN = {301, 307, 308, 400, 401, 403, 404, 405, 406, 411, 413, 414, 415, 422, 429, 431}
WORTH_ANOTHER_TRY = {408, 409, 425, 499, *range(500, 600)}
NEVER_LAST = set(range(100, 200))
STATUSES = range(100, 600)


def repeated(*, safe: bool) -> set[int]:
    return {status for status in STATUSES if may_repeat(proof_of_status(status), safe=safe, status=status)}


def test_what_each_status_proves() -> None:
    assert {status for status in STATUSES if proof_of_status(status) is Proof.DONE} == set(range(200, 300))
    assert {status for status in STATUSES if proof_of_status(status) is Proof.NOT_TAKEN} == PROVES_NOT_TAKEN
    assert {status for status in STATUSES if proof_of_status(status) is Proof.AMBIGUOUS} == set(STATUSES) - PROVES_NOT_TAKEN - set(
        range(200, 300)
    )


def test_an_unsafe_write_is_repeated_after_429_alone() -> None:
    assert repeated(safe=False) == {429}


def test_a_safe_one_is_repeated_where_a_later_try_may_be_answered_otherwise() -> None:
    assert repeated(safe=True) - NEVER_LAST == WORTH_ANOTHER_TRY | {429}


@pytest.mark.parametrize("safe", [True, False])
def test_what_did_not_leave_may_always_be_repeated(safe) -> None:
    assert may_repeat(Proof.NOT_SENT, safe=safe, status=None)


def test_without_an_answer_only_what_is_safe_is_repeated() -> None:
    assert may_repeat(Proof.AMBIGUOUS, safe=True, status=None)
    assert not may_repeat(Proof.AMBIGUOUS, safe=False, status=None)


@pytest.mark.parametrize("safe", [True, False])
def test_what_is_done_is_not_repeated(safe) -> None:
    assert not any(may_repeat(Proof.DONE, safe=safe, status=status) for status in range(200, 300))


STOPS = {401, 403, 404, 405, 415}
REDIRECTS = {301, 302, 303, 307, 308}


def after(action: str, *, safe: bool = False) -> set[int]:
    """The statuses after which a bulk write does this with a batch, as the status line alone has it."""
    statuses = set(STATUSES) - set(range(200, 300))
    return {status for status in statuses if after_batch(proof_of_status(status), safe=safe, status=status) == action}


@pytest.mark.parametrize("safe", [True, False])
def test_what_a_bulk_write_does_with_a_batch_that_was_refused(safe) -> None:
    assert after("stop", safe=safe) == STOPS | REDIRECTS
    assert after("bisect", safe=safe) == {400, 422}
    assert after("split", safe=safe) == {413}
    assert after("reject", safe=safe) == PROVES_NOT_TAKEN - STOPS - REDIRECTS - {400, 413, 422, 429}


def test_a_bulk_write_sends_an_unsafe_batch_again_after_429_alone() -> None:
    assert after("repeat", safe=False) == {429}
    assert after("repeat", safe=True) - NEVER_LAST == WORTH_ANOTHER_TRY | {429}


@given(st.sampled_from(STATUSES) | st.none(), st.booleans())
def test_a_batch_that_may_have_been_taken_is_never_rejected_and_only_sent_again_where_that_is_safe(status, safe) -> None:
    action = after_batch(Proof.AMBIGUOUS, safe=safe, status=status)
    assert action == "stop" if status in REDIRECTS else action in ({"repeat", "unknown"} if safe else {"unknown"})


@pytest.mark.parametrize("safe", [True, False])
def test_a_batch_that_was_not_sent_may_always_be_sent(safe) -> None:
    assert after_batch(Proof.NOT_SENT, safe=safe, status=None) == "repeat"


def test_a_new_token_is_for_a_401_that_proves_that_nothing_was_done() -> None:
    assert {status for status in STATUSES if needs_new_token(proof_of_status(status), status)} == {401}
    assert not needs_new_token(Proof.AMBIGUOUS, 401)
    assert not needs_new_token(Proof.NOT_SENT, None)


def having(column: str, *values: object) -> set[int]:
    return {status for status in STATUSES if getattr(rule_of(status), column) in values}


def test_what_a_question_for_a_result_does() -> None:
    assert having("poll", "read", "pending", "partial") == set(range(200, 300))
    assert having("poll", "pending") == {202}
    assert having("poll", "partial") == {206}
    assert having("poll", "stop") == {401}
    assert having("poll", "gone") == {status for status in PROVES_NOT_TAKEN if status >= 400} - {401, 429}


def test_a_service_is_up_again_when_it_answers_anything_but_later_or_an_error_of_its_own() -> None:
    assert having("probe", "wait") == {429, *range(500, 600)}


def test_what_a_look_up_of_a_document_does() -> None:
    assert having("look_up", "read") == set(range(200, 300))
    assert having("look_up", "absent") == {404}
    assert having("look_up", "stop") == {401, 403, 405}


def test_which_answers_of_the_token_service_and_of_a_proxy_last() -> None:
    assert having("identity", "no") == WORTH_ANOTHER_TRY | {429}
    assert having("identity", "perhaps") == {404}
    assert having("proxy", "no") == {408, 429, *range(500, 600)}
    assert having("proxy", "yes") == {407}


def test_the_server_asks_for_fewer_requests_with_429_and_503() -> None:
    assert having("is_overload", True) == {429, 503}


def test_the_transient_ones_are_those_that_pass() -> None:
    assert {status for status in STATUSES if is_transient(status)} == WORTH_ANOTHER_TRY | {429}


# --- when -------------------------------------------------------------------------------------------------------------------


@given(st.floats(0.001, 60) | st.just(0.0), st.floats(0, 600), st.integers(1, 10_000))
def test_a_wait_is_between_half_and_all_of_its_ceiling(base, longest, failures) -> None:
    policy = RetryPolicy(base_delay=base, max_delay=longest)
    ceiling = min(longest, base * 2.0 ** min(failures - 1, 100))
    assert 0.5 * ceiling <= backoff(policy, failures) <= ceiling


def test_waits_are_not_all_alike() -> None:
    assert len({backoff(RetryPolicy(), 3) for _ in range(20)}) > 1


@given(st.none() | st.floats(0, 86_400), st.integers(1, 100))
def test_the_server_is_given_the_time_it_asks_for_and_never_none_at_all(asked, failures) -> None:
    policy = RetryPolicy(base_delay=0.5, max_delay=30.0)
    waited = retry_delay(policy, failures, asked)
    assert waited >= max(asked or 0.0, 0.25)
    assert waited <= max(asked or 0.0, 0.5 if asked is not None else 30.0)


def test_a_success_that_could_not_be_read_is_worth_another_try_where_that_is_safe() -> None:
    assert may_repeat(Proof.AMBIGUOUS, safe=True, status=202)
    assert not may_repeat(Proof.AMBIGUOUS, safe=False, status=202)


NOW = 784_111_777.0  # Sun, 06 Nov 1994 08:49:37 GMT


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("7", 7.0),
        (" 120 ", 120.0),
        ("1.5", 1.5),
        ("-5", 0.0),
        ("999999999", 86_400.0),
        ("9" * 400, 86_400.0),
        ("inf", 86_400.0),
        ("Sun, 06 Nov 1994 08:50:37 GMT", 60.0),
        ("Sun, 06 Nov 1994 09:50:37 +0100", 60.0),
        ("Sunday, 06-Nov-94 08:50:37 GMT", 60.0),
        ("Sun, 06 Nov 1994 08:00:00 GMT", 0.0),
        ("Sun, 06 Nov 2094 08:00:00 GMT", 86_400.0),
        (None, None),
        ("", None),
        ("nan", None),
        ("soon", None),
        ("7 seconds", None),
        ("Sun, 99 Nov 1994 08:50:37 GMT", None),
        ("\u0661\u0662\ufffd", None),
    ],
)
def test_retry_after_in_seconds_as_a_date_and_as_neither(value, seconds) -> None:
    assert retry_after_seconds(value, NOW) == seconds


@pytest.mark.parametrize("value", ["Sun Nov  6 08:50:37 1994", "Sun, 06 Nov 1994 08:50:37 -0000"])
def test_a_date_without_a_zone_is_utc_wherever_the_machine_stands(value, monkeypatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        assert retry_after_seconds(value, NOW) == 60.0
    finally:
        monkeypatch.undo()
        time.tzset()


@given(st.text(max_size=30) | st.floats().map(str) | st.integers().map(str))
def test_no_header_raises_or_asks_for_more_than_a_day(value) -> None:
    seconds = retry_after_seconds(value, NOW)
    assert seconds is None or 0 <= seconds <= 86_400
