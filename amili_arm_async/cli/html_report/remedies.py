"""What to do about a failed record, by its state and reason. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from ...bulk.outcomes import STATE_RULES, STATES, SUCCESS, State
from ...values.findings import SEVERITIES

__all__ = ["ORDER", "remedy"]

ORDER: Final[tuple[State, ...]] = (
    *(state for state in STATES if state in SUCCESS),
    *(state for state in STATES if state not in SUCCESS),
)
"""The order in which the page shows the states: successes first."""

_RECONCILE: Final = STATE_RULES["unknown"].advice
_AGAIN: Final = "run the same job with the same run id."
_CALL: Final = f"The call was refused, not the record. Fix that, then {_AGAIN}"

_BY_REASON: Final[Mapping[tuple[State, str], str]] = {
    ("accepted", "not_awaited"): "The run did not wait for the result. To ask for it, run again with the same run id, or reconcile.",
    (
        "accepted",
        "deadline",
    ): "The server accepted it and took longer than the deadline. Reconcile later; if this is common, raise the deadline.",
    ("accepted", "unrecognised"): "The result contains an unknown status word. Reconcile looks documents up; add the word to BatchWords.",
    ("accepted", "unmapped"): "The batch was processed, but its result does not mention this record. Reconcile looks documents up; "
    "don't resend one before that.",
    ("accepted", "result_gone"): "The server no longer has the result of this batch. Reconcile looks documents up by their numbers.",
    ("accepted", "key_conflict"): "The server has a document with this number and other content. Compare the two.",
    (
        "unknown",
        "batch_uuid_repeated",
    ): f"The answer named a batch that was accepted before: a cache may be in between. Make sure that no POST is cached. {_RECONCILE}",
    ("unknown", "crashed"): f"The process ended while it was in flight. {_RECONCILE}",
    ("unknown", "cut_off"): f"The run was cut off while it was in flight. {_RECONCILE}",
    ("unknown", "key_conflict"): "The server has a document with this number and other content. Compare the two.",
    (
        "unknown",
        "absent",
    ): "Looked up, and not found. Reconcile with --resend-absent sends it, once it is proved that such numbers can be found.",
    ("unknown", "batch_taken"): "Not found, but others of its batch were: it was probably accepted. Check by hand before it is sent again.",
    (
        "unknown",
        "stale_journal",
    ): "The journal is older than what was sent with it, or a copy, so this was not sent. After the settle time, "
    f"{_AGAIN} If the file was moved on purpose, run amili-arm adopt first.",
    ("unknown", "not_looked_up"): "The look-up was not answered, or not by the API. Reconcile again later.",
    ("unknown", "sent_in_run"): "Looked up, and not found; but another run has sent its number. Reconcile that run first.",
    (
        "invalid",
        "not_encodable",
    ): "It can't be read, or not be written as the API expects: a wrong cell, invalid JSON, a wrong type. Fix the "
    "source at the place named.",
    ("invalid", "misnamed_field"): "The case of a field name differs from the API's: the message has the right name.",
    ("invalid", "duplicate_field"): "A field occurs twice in one object: remove one.",
    (
        "invalid",
        "too_large",
    ): "This record alone is larger than a request may be. Make it smaller, or raise max_bytes if the server allows it.",
    ("invalid", "no_document_no"): "Give the document a number: this run requires one, because without it the document can't be looked up.",
    (
        "invalid",
        "conflicts_with_journal",
    ): "A document with this number was sent with other content. It needs its own number, or is a copy.",
    (
        "invalid",
        "document_no_repeated",
    ): "An earlier document has the same number: only that one is sent. It needs its own number, or is a copy.",
    (
        "invalid",
        "sent_in_run",
    ): "Another run has sent a document with this number. Give a new document its own number; --resend-known sends it anyway.",
    ("not_sent", "stopped"): f"The run was stopped before its turn: {_AGAIN}",
    ("not_sent", "patience"): f"The server accepted nothing for too long. When it is back, {_AGAIN}",
    ("not_sent", "journal"): f"The journal could not be written. Fix its disk or its path, then {_AGAIN}",
    ("not_sent", "too_many_failures"): "Too many records failed, so the run stopped. Look at the largest group of failures first.",
    ("not_sent", "source_raised"): f"Reading the source failed. Fix it, then {_AGAIN}",
    ("not_sent", "crashed"): f"The process ended before its turn: {_AGAIN}",
    ("not_sent", "no_token"): f"The identity service gave no token: check its address and the credentials. Then {_AGAIN}",
    (
        "not_sent",
        "certificate_not_trusted",
    ): "The certificate of the service is not trusted: configure its authority, or check the address.",
    ("not_sent", "client_certificate_refused"): "The service requires another client certificate: configure it with ssl=.",
    ("not_sent", "host_name_not_found"): f"The host name was not found: check base_url and the network. Then {_AGAIN}",
    ("not_sent", "TLS_failed"): f"The TLS connection failed: check base_url. Then {_AGAIN}",
    ("not_sent", "settings"): "The program or its settings are wrong: the report says how.",
    ("not_sent", "client_closed"): "The program closed the client during the run. Fix the program.",
    ("not_sent", "401"): f"The token was refused: check client id and secret. {_CALL}",
    ("not_sent", "403"): f"The token lacks permission: check the client number and the permissions. {_CALL}",
    ("not_sent", "404"): f"The address does not exist: check base_url and the client number. {_CALL}",
    ("not_sent", "405"): f"The address does not support this call: check base_url. {_CALL}",
    ("not_sent", "415"): f"The content type or encoding was refused: turn compression off, or check base_url. {_CALL}",
    ("rejected", "400"): "The server refuses it as it is. Fix the record; with bisect=all the other documents of its batch are sent.",
    ("rejected", "406"): "The server refuses it, and its documentation does not say why. Read its message, or ask Amili.",
    ("rejected", "411"): "A proxy or the server requires a Content-Length: ask who runs the proxy.",
    ("rejected", "413"): "This record alone is too large for the server. Make it smaller: fewer lines, shorter texts.",
    ("rejected", "414"): "The URL is too long for the server: check base_url.",
    ("rejected", "422"): "The server understands it and refuses its content. Fix the record by the server's message.",
    ("rejected", "431"): "The headers are too large for the server: check token and proxy.",
    ("blocked", "customer_failed"): STATE_RULES["blocked"].advice,
}

_OTHER: Final = "There are too many reasons to show all of them here: the failures file of the run (--failures) lists every record."
_SAFE_AGAIN: Final = "May be sent again as it is: an existing customer is updated, not duplicated."


def remedy(state: State | Literal["other"], reason: str, part: str) -> str:
    """Returns what to do, in a sentence or two.

    Args:
        state: final state of the record.
        reason: of the state; may be empty.
        part: "customers" or "documents".

    Returns:
        The advice.
    """
    if state == "other":
        return _OTHER
    if part == "customers" and state == "unknown":
        return _SAFE_AGAIN
    if (state, reason) in _BY_REASON:
        return _BY_REASON[state, reason]
    if state == "invalid" and reason in SEVERITIES:
        return "A value in the source is wrong: the message of each record names the place and what to do (docs/sources.md)."
    if reason.isascii() and reason.isdecimal() and len(reason) == 3:
        if state == "unknown":
            return f"The server answered {reason}, which does not show whether it was accepted. {_RECONCILE}"
        if state == "not_sent" and reason.startswith("3"):
            return f"The server redirects: check base_url. {_CALL}"
    return STATE_RULES[state].advice
