"""Pure: the one table of reasons: what each means, in a sentence, and what a person does about it.

The terminal, the JSON report (`meaning`, `remedy`), the CSV of failures, the HTML page and the documentation take their words from here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final, Literal, NamedTuple, TypeAlias

from ..values.findings import SEVERITIES
from .outcomes import STATE_RULES, State

__all__ = ["REASONS", "Explanation", "Kind", "cause_of", "explain", "says_more"]

Kind: TypeAlias = Literal["customers", "documents"]


class Explanation(NamedTuple):
    """A reason in plain words.

    Attributes:
        meaning: what happened, without a capital and a full stop.
        remedy: what a person does about it, in a sentence or two.
    """

    meaning: str
    remedy: str


_RECONCILE: Final = STATE_RULES["unknown"].advice
_AGAIN: Final = "run the same job with the same run id."
_CALL: Final = f"The call was refused, not the record. Fix that, then {_AGAIN}"

REASONS: Final[Mapping[tuple[State, str], Explanation]] = MappingProxyType(
    {
        # --- the server has it, and more is not known -------------------------------------------------------------------------
        ("accepted", "not_awaited"): Explanation(
            "accepted; the run did not wait for the result", "To ask for the result, run again with the same run id, or reconcile."
        ),
        ("accepted", "deadline"): Explanation(
            "accepted, and not processed before the deadline",
            "Reconcile later: it asks for the result again. If this is common, raise the deadline.",
        ),
        ("accepted", "unrecognised"): Explanation(
            "accepted; the result uses a status word that is not known",
            "Reconcile looks documents up by their numbers; add the word to BatchWords.",
        ),
        ("accepted", "unmapped"): Explanation(
            "accepted and processed; the result does not say how this record ended",
            "Reconcile looks documents up; don't resend one before that.",
        ),
        ("accepted", "result_gone"): Explanation(
            "accepted; the server no longer has the result of its batch", "Reconcile looks documents up by their numbers."
        ),
        ("accepted", "key_conflict"): Explanation(
            "the server has a document with this number and other content", "Compare the two; a correction needs a number of its own."
        ),
        # --- it is not known whether the server has it ----------------------------------------------------------------------------
        ("unknown", "batch_uuid_repeated"): Explanation(
            "the answer named a batch that was accepted before, so it is not known whether this one was",
            f"A cache may be in between: make sure that no POST is cached. {_RECONCILE}",
        ),
        ("unknown", "crashed"): Explanation("the process ended while it was being sent", _RECONCILE),
        ("unknown", "in_progress"): Explanation(
            "the run is in progress: its process is sending it now", "Wait until that run has ended; then look at it again."
        ),
        ("unknown", "journal"): Explanation(
            "it was not compared with the journal: an earlier attempt may have sent it",
            f"If the journal can't be read, fix its disk or its path. Then {_AGAIN}",
        ),
        ("unknown", "cut_off"): Explanation("the run was cut off while it was being sent", _RECONCILE),
        ("unknown", "not_repeated"): Explanation("an attempt may have been accepted, and it was not repeated", _RECONCILE),
        ("unknown", "key_conflict"): Explanation(
            "the server has a document with this number and other content", "Compare the two; a correction needs a number of its own."
        ),
        ("unknown", "absent"): Explanation(
            "looked up, and there is no such document",
            "Reconcile with --resend-absent sends it, once it is proved that such numbers can be found.",
        ),
        ("unknown", "batch_taken"): Explanation(
            "there is no such document, but others of its batch are there, so it was probably accepted",
            "Ask Amili about it before it is sent again.",
        ),
        ("unknown", "stale_journal"): Explanation(
            "the journal is a copy, or older than what was sent with it, so this document was not sent",
            f"After the settle time, {_AGAIN} If the file was moved on purpose, run amili-arm adopt first.",
        ),
        ("unknown", "not_looked_up"): Explanation(
            "the look-up was not answered, or not by the API", "Reconcile again when the service is back."
        ),
        ("unknown", "sent_in_run"): Explanation(
            "there is no such document, but another run has sent its number", "Reconcile that run first: without --run-id, all are."
        ),
        # --- never sent: the record is wrong --------------------------------------------------------------------------------------
        ("invalid", "not_encodable"): Explanation(
            "it can't be read, or not be written as JSON: a wrong cell, invalid JSON, a wrong type", "Fix the source at the place named."
        ),
        ("invalid", "misnamed_field"): Explanation(
            "the name of a field differs from the API's by upper and lower case", "Use the name in the message."
        ),
        ("invalid", "duplicate_field"): Explanation("a field occurs twice in one object", "Remove one of the two."),
        ("invalid", "too_large"): Explanation(
            "this record alone is larger than a request may be", "Make it smaller, or raise max_bytes if the server allows it."
        ),
        ("invalid", "no_document_no"): Explanation(
            "the document has no number, and this run requires one", "Give it a number: without one it can't be looked up."
        ),
        ("invalid", "conflicts_with_journal"): Explanation(
            "document number already sent in this run, with other content",
            "If it is a correction, give it a number of its own; if it is a copy, remove it.",
        ),
        ("invalid", "document_no_repeated"): Explanation(
            "two documents in the source have this number: only the first is sent",
            "Give the second a number of its own, or remove it if it is a copy.",
        ),
        ("invalid", "sent_in_run"): Explanation(
            "document number already sent in another run",
            "If it is a new document, give it a number of its own; if it is a copy, remove it. --resend-known sends it anyway.",
        ),
        # --- not accepted, and may be sent ----------------------------------------------------------------------------------------
        ("not_sent", "stopped"): Explanation("the run was stopped before its turn", f"To send it, {_AGAIN}"),
        ("not_sent", "patience"): Explanation("the server accepted nothing for too long", f"When it is back, {_AGAIN}"),
        ("not_sent", "journal"): Explanation("the journal could not be written", f"Fix its disk or its path, then {_AGAIN}"),
        ("not_sent", "too_many_failures"): Explanation(
            "too many records failed, so the run stopped", f"Look at the largest group of failures first. Then {_AGAIN}"
        ),
        ("not_sent", "source_raised"): Explanation("reading the source failed before it was sent", f"Fix the source, then {_AGAIN}"),
        ("not_sent", "crashed"): Explanation("the process ended before its turn", f"To send it, {_AGAIN}"),
        ("not_sent", "settings"): Explanation("the program or its settings are wrong", f"Fix what the report says about it, then {_AGAIN}"),
        ("not_sent", "client_closed"): Explanation("the program closed the client during the run", "Fix the program."),
        ("not_sent", "no_token"): Explanation(
            "the identity service gave no token", f"Check its address and the credentials, then {_AGAIN}"
        ),
        ("not_sent", "certificate_not_trusted"): Explanation(
            "the certificate of the service is not trusted", f"Configure its authority, or check the address; then {_AGAIN}"
        ),
        ("not_sent", "client_certificate_refused"): Explanation(
            "the service requires another client certificate", f"Configure it, then {_AGAIN}"
        ),
        ("not_sent", "host_name_not_found"): Explanation(
            "the host name of the service was not found", f"Check base_url and the network, then {_AGAIN}"
        ),
        ("not_sent", "TLS_failed"): Explanation("the TLS connection failed", f"Check base_url, then {_AGAIN}"),
        ("not_sent", "401"): Explanation("the token was refused (401)", f"Check client id and secret. {_CALL}"),
        ("not_sent", "403"): Explanation("the token lacks the permission (403)", f"Check the client number and the permissions. {_CALL}"),
        ("not_sent", "404"): Explanation(
            "no such address, or no such client number (404)", f"Check base_url and the client number. {_CALL}"
        ),
        ("not_sent", "405"): Explanation("the address does not support this call (405)", f"Check base_url. {_CALL}"),
        ("not_sent", "415"): Explanation(
            "the content type or encoding was refused (415)", f"Turn compression off, or check base_url. {_CALL}"
        ),
        # --- refused ----------------------------------------------------------------------------------------------------------------
        ("rejected", "400"): Explanation(
            "the server refuses the batch or the record as it is (400)",
            "Fix the record; with bisect=all the other documents of its batch are sent.",
        ),
        ("rejected", "406"): Explanation(
            "the server refuses it, and its documentation does not say why (406)", "Read its message, or ask Amili."
        ),
        ("rejected", "411"): Explanation("a proxy or the server requires a Content-Length (411)", "Ask who runs the proxy."),
        ("rejected", "413"): Explanation(
            "this record alone is too large for the server (413)", "Make it smaller: fewer lines, shorter texts."
        ),
        ("rejected", "414"): Explanation("the URL is too long for the server (414)", "Check base_url."),
        ("rejected", "422"): Explanation(
            "the server understands it and refuses its content (422)", "Fix the record by the server's message (--server-messages)."
        ),
        ("rejected", "431"): Explanation("the headers are too large for the server (431)", "Check token and proxy."),
        ("blocked", "customer_failed"): Explanation("its customer did not succeed", STATE_RULES["blocked"].advice),
    }
)
"""The reasons that this library gives, by state. `explain` also knows those of the check, of the network, and HTTP statuses."""

_NETWORK: Final[Mapping[str, str]] = MappingProxyType(
    {
        "answer_cut_off": "the answer of the server was cut off",
        "answer_too_large": "the answer of the server was too large",
        "answer_not_readable": "the answer can't be read as HTTP",
        "answered_too_early": "the server answered before it had the whole request",
        "no_batchUuid_in_the_answer": "the server answered with success, and without a batchUuid",
        "connection_broken": "the connection broke",
        "connection_refused": "nothing listens at the address of the service",
        "no_connection": "there was no connection to the service",
        "connect_timeout": "there was no connection to the service in time",
        "timeout": "the service did not answer in time",
        "too_late": "the connection took longer than a batch may wait once it is recorded as about to be sent",
        "proxy_not_found": "the host name of the proxy was not found",
        "proxy_not_reached": "there was no connection to the proxy",
        "no_connection_through_the_proxy": "the proxy gave no connection to the service",
        "host_name_not_found": "the host name of the service was not found",
        "TLS_failed": "the TLS connection failed",
        "certificate_not_trusted": "the certificate of the service is not trusted",
        "client_certificate_refused": "the service requires another client certificate",
        "no_token": "the identity service gave no token",
        "settings": "the program or its settings are wrong",
        "client_closed": "the program closed the client during the run",
    }
)

_CHECKS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "amounts": "the amounts do not add up",
        "boolean": "a value is neither true nor false",
        "broken_neighbour": "a row beside it can't be read, and may be a line of it",
        "control_characters": "a text has control characters",
        "country": "no such country code",
        "currency": "no such currency code",
        "date": "no such date, or not written as YYYY-MM-DD",
        "due_before_date": "the due date is before the date of the document",
        "duplicate": "two records in the source have this number",
        "duplicate_field": "a field occurs twice in one object",
        "email": "an e-mail address is not plausible",
        "error_word": "a value is the error of a spreadsheet, such as #N/A",
        "formula": "a value is the formula of a spreadsheet",
        "instant": "a date is a moment with a time zone, and not a day",
        "invisible_characters": "a number, code or address has invisible characters",
        "kid": "a KID is not 2 to 25 digits",
        "kid_check_digit": "the check digit of a KID is wrong",
        "language": "a language is not two letters",
        "lines": "the amounts of the lines do not add up to those of the document",
        "lost_zeros": "a number has lost zeros in front",
        "misnamed_field": "the name of a field differs from the API's by upper and lower case",
        "missing": "a required field is missing",
        "no_document": "no such document: lines of the second file belong to none",
        "no_document_no": "the document has no number",
        "no_lines": "no lines: the second file has none for this document",
        "no_record": "the row is no record, but a header, an underline or a sum",
        "not_encodable": "a value can't be written as JSON",
        "not_finite": "a number is NaN or Infinity",
        "not_json": "the line is not JSON",
        "not_object": "the record is not a JSON object",
        "not_readable": "the row or line can't be read as a record",
        "not_together": "the rows of the document do not follow each other",
        "not_utf8": "the bytes are not UTF-8",
        "null_word": "a value is the word of a tool for a missing value, such as NULL",
        "number": "a value is not a number, or not written as one",
        "number_as_identifier": "an identifier was made a number by a tool, such as 10001.0",
        "odd_key": "the number has white space around it, or characters that can't be printed",
        "organization_no": "the check digit of an organisation number is wrong",
        "out_of_range": "a year or a number is not plausible",
        "possible_lost_zeros": "a number may have lost zeros in front",
        "possible_null_word": "a text may be the word of a tool for a missing value",
        "repeated_column": "two columns have the same name, and both have a value",
        "rows_differ": "the rows of the document differ in the fields of the document",
        "several_addresses": "a field has several e-mail addresses",
        "shortened_number": "a spreadsheet has shortened a number, such as 4,79E+09",
        "source_error": "the file can't be read to its end",
        "time_of_day": "a date has a time of day",
        "too_large": "this record alone is larger than a request may be",
        "two_meanings": "a number has two meanings, such as 12.000",
        "unknown_customer": "no such customer in the file of customers, or in the state",
        "unknown_field": "no such field in the API",
        "wrong_type": "a value is not of the type of its field",
        "wrongly_decoded": "a text was read in the wrong encoding",
    }
)
"""The codes of `SEVERITIES`."""

_AT_THE_PLACE: Final = f"Fix the value at the place named; the message of each record says how (docs/sources.md). Then {_AGAIN}"
_SAFE_AGAIN: Final = "May be sent again as it is: an existing customer is updated, not duplicated."
_OTHER: Final = Explanation(
    "all further reasons",
    "There are too many reasons to show all of them here: the failures file of the run (--failures) lists every record.",
)


# --- what the server says ---------------------------------------------------------------------------------------------------

_CAUSES: Final[Mapping[str, Explanation]] = MappingProxyType(
    {
        "no_such_customer": Explanation(
            "no such customer: the server does not know it", f"Send the customer first (is it in the file of customers?), then {_AGAIN}"
        ),
        "duplicate": Explanation(
            "the number exists already at the server",
            "If it is a new record, give it a number of its own; if the server has the same record already, remove it from the source.",
        ),
        "no_such_record": Explanation(
            "the server does not know something that the record refers to",
            f"Correct the reference; the server's message names it (--server-messages). Then {_AGAIN}",
        ),
    }
)
"""What a message of the server is about. The message itself may hold personal data; this word does not."""

_LONGEST: Final = 2000
_CUSTOMER: Final = r"\b(?:customer|kunde)\w*"
# At most a number stands between a customer and what is said of it: "customer: the country is unknown" is about something else.
_NUMBER: Final = r"(?:[\s:#'\"(]*(?:no|nr|number|nummer|id)\b\.?)?[\s:#'\"(]*(?:[\w./-]{1,60}['\")]*\s+)?"
_ABSENT: Final = (
    r"(?:do(?:es)?(?: no|n')t exist|(?:was |is |could )?not (?:be )?(?:found|known|registered)|is unknown|(?:er )?ukjent"
    r"|(?:ble )?ikke (?:funnet|registrert)|finnes ikke|eksisterer ikke)"
)
_NO_SUCH: Final = r"\b(?:no such|unknown|non-?existent|ukjent)\s+"
_ABOUT: Final = tuple(
    (cause, re.compile(pattern, re.IGNORECASE))
    for cause, pattern in (
        ("duplicate", r"\balready (?:exists?|been|in use|registered|received|sent|used|taken|booked|posted)\b|\bexists already\b"),
        ("duplicate", r"\bduplicat\w*|\bduplikat\w*|\bnot unique\b|\b(?:finnes|eksisterer) (?:allerede|fra før)\b|\ballerede \w+"),
        ("no_such_customer", rf"{_NO_SUCH}{_CUSTOMER}"),
        ("no_such_customer", rf"{_CUSTOMER}{_NUMBER}{_ABSENT}\b"),
        ("no_such_record", rf"{_NO_SUCH}\w|\b(?:do(?:es)? not exist|doesn't exist|not found|finnes ikke|ikke funnet)\b"),
    )
)


def cause_of(state: str, reason: str, message: str | None) -> str:
    """Returns what a message of the server is about, in one word that holds nothing of the record.

    Args:
        state: final state of the record.
        reason: of the state.
        message: the message, or None.

    Returns:
        `no_such_customer`, `no_such_record` or `duplicate`; empty where the message is not the server's, or about something else.
    """
    rule = STATE_RULES.get(state)  # type: ignore[call-overload]
    if not message or rule is None or rule.server_message is not True:
        return ""
    return next((cause for cause, pattern in _ABOUT if pattern.search(message[:_LONGEST])), "")


def says_more(state: str, reason: str | None) -> bool:
    """Says whether the message of a record may say more than its reason does in words.

    Args:
        state: final state of the record.
        reason: of the state.

    Returns:
        False where the message is only what to do about all that is unknown.
    """
    return state != "unknown" or (state, reason) in REASONS


# --- a reason in words ------------------------------------------------------------------------------------------------------


@lru_cache(4096)
def explain(state: State | Literal["other"], reason: str, kind: Kind = "documents", cause: str = "") -> Explanation:
    """Returns what a state and its reason mean, and what to do.

    Args:
        state: final state of the record; `other` stands for several.
        reason: of the state; may be empty.
        kind: what the record is.
        cause: what `cause_of` made of the server's message.

    Returns:
        Both in words.
    """
    if state == "other":
        return _OTHER
    found = _CAUSES.get(cause) or REASONS.get((state, reason)) or _general(state, reason)
    if kind == "customers" and state == "unknown":
        return Explanation(found.meaning, _SAFE_AGAIN)
    return found


def _general(state: State, reason: str) -> Explanation:
    """Returns the words for a reason of a kind: of the check, of the network, an HTTP status; else those of the state."""
    rule = STATE_RULES[state]
    if state == "invalid" and reason in SEVERITIES:
        return Explanation(_CHECKS[reason], _AT_THE_PLACE)
    if reason in _NETWORK:
        return Explanation(_NETWORK[reason], rule.advice)
    status = reason.removeprefix("proxy_answered_")
    if len(status) == 3 and status.isascii() and status.isdecimal():
        return _of_status(state, status, is_proxy=status != reason)
    if not rule.server_message and reason.isidentifier() and reason[:1].isupper():
        # The name of an exception.
        return Explanation(f"the connection broke ({reason})", rule.advice)
    return Explanation(rule.meaning, rule.advice)


def _of_status(state: State, status: str, *, is_proxy: bool) -> Explanation:
    if is_proxy:
        return Explanation(f"the proxy answered {status}", f"Check the address and the credentials of the proxy, then {_AGAIN}")
    if STATE_RULES[state].on_server == "maybe":
        return Explanation(f"the server answered {status}, which does not show whether it was accepted", _RECONCILE)
    if status.startswith("3"):
        return Explanation(f"the server redirects ({status})", f"Check base_url. {_CALL}")
    return Explanation(f"the server answered {status}", STATE_RULES[state].advice)
