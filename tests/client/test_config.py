"""Settings: each that can't work is refused when it is made, and the refusal names it."""

from __future__ import annotations

import re
from dataclasses import FrozenInstanceError, fields, replace

import pytest

from amili_arm_async import (
    DEFAULT,
    STAGING,
    ArmClient,
    BatchWords,
    BulkOptions,
    ClientCredentials,
    ConfigurationError,
    Limits,
    Reconcile,
    RetryPolicy,
    Timeout,
)
from amili_arm_async.config import check_origin, is_loopback

pytestmark = pytest.mark.quick

NO_NUMBER = ["1", None, True, float("nan"), float("inf"), 1j]
NO_INTEGER = ["1", None, True, 1.0, 1.5, float("nan")]
NO_CHOICE = ["", "WAIT", None, 1]

REFUSED = [
    (Timeout, "connect", [*NO_NUMBER, 0, -1]),
    (Timeout, "read", [*NO_NUMBER, 0, -1]),
    (Timeout, "total", [*(value for value in NO_NUMBER if value is not None), 0, -1]),
    (Timeout, "exchange", [*(value for value in NO_NUMBER if value is not None), 0, -1]),
    (RetryPolicy, "attempts", [*NO_INTEGER, 0, -1]),
    (RetryPolicy, "base_delay", [*NO_NUMBER, -0.1]),
    (RetryPolicy, "max_delay", [*NO_NUMBER, -0.1]),
    (Limits, "connections", [*NO_INTEGER, 0]),
    (Limits, "bytes_in_flight", [*NO_INTEGER, 0]),
    (Limits, "open_batches", [*NO_INTEGER, 0]),
    (Limits, "requests_per_second", [*(value for value in NO_NUMBER if value is not None), 0, -1]),
    (BulkOptions, "max_records", [*NO_INTEGER, 0]),
    (BulkOptions, "max_bytes", [*NO_INTEGER, 0, 255]),
    (BulkOptions, "concurrency", [*(value for value in NO_INTEGER if value is not None), 0]),
    (BulkOptions, "limit", [*(value for value in NO_INTEGER if value is not None), 0]),
    (BulkOptions, "results", NO_CHOICE),
    (BulkOptions, "poll_first", [*NO_NUMBER, -1]),
    (BulkOptions, "poll_max", [*NO_NUMBER, 0]),
    (BulkOptions, "deadline", [*NO_NUMBER, 0]),
    (BulkOptions, "patience", [*NO_NUMBER, -1]),
    (BulkOptions, "bisect", NO_CHOICE),
    (BulkOptions, "journal", [1, "", True, b""]),
    (BulkOptions, "run_id", [1, "", "  ", "a\0b"]),
    (BulkOptions, "dead_letter", [1, "", True]),
    (BulkOptions, "reconcile", [None, "yes", 5]),
    (BulkOptions, "require_document_no", [None, "yes", 1]),
    (BulkOptions, "resend_known", [None, "yes", 1]),
    (BulkOptions, "dry_run", [None, "yes", 1]),
    (BulkOptions, "stop_after_failures", ["5", 0, -1, True, 0.0, 1.0, 1.5, float("nan")]),
    (BulkOptions, "compression", ["", "GZIP", "br", 1, True]),
    (BulkOptions, "on_progress", ["print", 1]),
    (Reconcile, "settle", ["5", -1, True, float("inf")]),
    (Reconcile, "resend_absent", [None, 1, "yes"]),
    (Reconcile, "concurrency", [*NO_INTEGER, 0]),
    (BatchWords, "pending", ["PENDING", None, 1]),
    (BatchWords, "succeeded", ["OK", None, 1]),
    (BatchWords, "failed", ["FAILED", None, 1]),
    (BatchWords, "partial", ["PARTIAL", None, 1]),
    (BatchWords, "done", ["DONE", None, 1]),
]


def test_a_setting_that_cannot_work_is_refused_by_name() -> None:
    accepted = {}
    for cls, name, values in REFUSED:
        for value in values:
            try:
                cls(**{name: value})
            except ConfigurationError as exc:
                if re.search(rf"{cls.__name__}\.{name}\b", str(exc)):
                    continue
                accepted[f"{cls.__name__}.{name}={value!r}"] = str(exc)
            else:
                accepted[f"{cls.__name__}.{name}={value!r}"] = "no error"
    assert accepted == {}


def test_every_setting_is_checked() -> None:
    settings = {(cls, field.name) for cls in (Timeout, RetryPolicy, Limits, Reconcile, BulkOptions, BatchWords) for field in fields(cls)}
    assert settings == {(cls, name) for cls, name, _ in REFUSED}


def test_settings_are_frozen_and_equal_by_value() -> None:
    for cls in (Timeout, RetryPolicy, Limits, Reconcile, BulkOptions, BatchWords):
        made = cls()
        assert made == cls()
        with pytest.raises(FrozenInstanceError):
            setattr(made, fields(cls)[0].name, 1)


def test_the_defaults_are_those_of_the_face() -> None:
    assert (Timeout().connect, Timeout().read, Timeout().total) == (10.0, 60.0, DEFAULT)
    assert (RetryPolicy().attempts, RetryPolicy().base_delay, RetryPolicy().max_delay) == (5, 0.5, 30.0)
    assert (Limits().connections, Limits().bytes_in_flight, Limits().open_batches) == (32, 64_000_000, 200)
    options = BulkOptions()
    assert (options.max_records, options.max_bytes, options.concurrency, options.results) == (1000, 1_000_000, None, "wait")
    assert (options.poll_first, options.poll_max, options.deadline, options.patience, options.bisect) == (1.0, 30.0, 3600.0, 1800.0, "safe")


# --- words ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", [str.lower, str.upper, str.title])
def test_words_are_compared_without_case(case) -> None:
    assert BatchWords().meaning(case("not-processed")) == "pending"
    assert BatchWords().meaning(case("pending")) == "pending"


def test_a_word_in_two_sets_is_refused_whatever_its_case() -> None:
    with pytest.raises(ConfigurationError, match="'ok' is both succeeded and failed"):
        BatchWords(succeeded={"Ok"}, failed={"OK"})
    with pytest.raises(ConfigurationError, match="'done' is both pending and done"):
        BatchWords(pending={"done"}, done={"DONE", "ready"})


def test_a_word_that_is_given_in_one_set_leaves_the_defaults_of_the_others() -> None:
    words = BatchWords(succeeded={"PROCESSED"}, failed=BatchWords().failed | {"done"})
    assert {word: words.meaning(word) for word in ("processed", "DONE", "COMPLETED", "SUCCESS", "REJECTED")} == {
        "processed": "succeeded",
        "DONE": "failed",
        "COMPLETED": "done",
        "SUCCESS": None,
        "REJECTED": "failed",
    }
    assert replace(words, pending={"x"}).meaning("PROCESSED") == "succeeded"


def test_that_a_batch_is_done_says_nothing_of_how_it_ended() -> None:
    assert {BatchWords().meaning(word) for word in ("PROCESSED", "Completed", "complete", "FINISHED", "done")} == {"done"}


def test_a_word_in_no_set_means_nothing() -> None:
    assert BatchWords().meaning("WUNDERBAR") is None
    assert BatchWords().meaning("") is None


def test_the_default_words_do_not_overlap_and_are_all_known() -> None:
    words = BatchWords()
    for name in ("pending", "succeeded", "failed", "partial", "done"):
        assert {words.meaning(word) for word in getattr(words, name)} == {name}


# --- addresses --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "https://api.staging.amili.no/arm/v1",
        "https://h:8443/x",
        "http://127.0.0.1:8080/arm/v1",
        "http://127.8.8.8",
        "http://[::1]:8080",
        "http://localhost:1",
        "http://arm.localhost",
        "http://LOCALHOST",
    ],
)
def test_addresses_that_are_taken(url) -> None:
    assert check_origin("base_url", url) == url.lower()


def test_a_slash_at_the_end_is_dropped() -> None:
    assert check_origin("base_url", STAGING + "//") == STAGING


@pytest.mark.parametrize(
    "url",
    [
        "http://api.staging.amili.no/arm/v1",
        "http://127.0.0.1.evil.example",
        "http://localhost.evil.example",
        "http://evil.example/localhost",
        "http://0.0.0.0",
        "http://10.0.0.1",
    ],
)
def test_plain_http_is_refused_off_this_machine(url) -> None:
    with pytest.raises(ConfigurationError, match="base_url is plain http"):
        check_origin("base_url", url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        None,
        5,
        b"https://h",
        "h",
        "//h",
        "ftp://h",
        "https://",
        "https:///arm",
        "https://user:secret@h",
        "https://user@h",
        "https://h/?a=1",
        "https://h/#a",
        "https://h/?",
        "https://h/#",
        "https://[bad",
        "https://h:port",
        "https://h:99999",
        "https://a b/arm",
        "https://h/a b",
        "https://h/a\nb",
        "https://h/../x",
        " https://h",
        "https://h ",
    ],
)
def test_what_is_no_address_is_refused_by_name(url) -> None:
    with pytest.raises(ConfigurationError, match="base_url"):
        check_origin("base_url", url)


def test_a_refused_address_is_not_repeated_where_it_holds_a_secret() -> None:
    with pytest.raises(ConfigurationError) as raised:
        ClientCredentials(client_id="i", client_secret="s", identity_url="https://user:hunter2@h")
    assert "hunter2" not in str(raised.value)
    assert "identity_url" in str(raised.value)


@pytest.mark.parametrize("host", ["::ffff:8.8.8.8", "8.8.8.8", "", "localhost.", "xlocalhost"])
def test_not_this_machine(host) -> None:
    assert not is_loopback(host)


# --- the client's own ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [0, -1, "2218", 2218.0, None, True])
def test_a_client_number_is_a_positive_integer(number) -> None:
    with pytest.raises(ConfigurationError, match="client_no"):
        ArmClient(number, auth="token", base_url=STAGING)


def test_base_url_has_no_default() -> None:
    with pytest.raises(TypeError, match="base_url"):
        ArmClient(2218, auth="token")  # type: ignore[call-arg]


@pytest.mark.parametrize("auth", [None, 5, "", "Bearer x", "a b", "ab\r\n", "tøken"])
def test_auth_is_a_token_or_where_one_comes_from(auth) -> None:
    with pytest.raises(ConfigurationError):
        ArmClient(2218, auth=auth, base_url=STAGING)
