"""Pure: what to do about a record that did not make it, by its state and reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from ...bulk.outcomes import STATE_RULES, STATES, SUCCESS, State

__all__ = ["ORDER", "remedy"]

ORDER: Final[tuple[State, ...]] = (
    *(state for state in STATES if state in SUCCESS),
    *(state for state in STATES if state not in SUCCESS),
)
"""As the page shows them: what made it first."""

_RECONCILE: Final = STATE_RULES["unknown"].advice
_CALL: Final = "The call was refused, not the record. Mend that, then run the same job with the same run id."

_BY_REASON: Final[Mapping[tuple[State, str], str]] = {
    ("accepted", "not_awaited"): "The result was not waited for. Ask for it: run again with the same run id, or reconcile.",
    ("accepted", "deadline"): "The server took it and was not done in time. Reconcile later; where that happens often, raise the deadline.",
    (
        "accepted",
        "unrecognised",
    ): "The result uses a word that is not known here. Reconcile looks documents up; teach the word to BatchWords.",
    (
        "accepted",
        "unmapped",
    ): "The batch was processed, and its result leaves this record out. Reconcile looks documents up; don't send one again unseen.",
    ("accepted", "result_gone"): "The server has no result of this batch any more. Reconcile looks documents up by their numbers.",
    ("accepted", "key_conflict"): "The server has a document with this number and other content. A person must compare the two.",
    (
        "unknown",
        "batch_uuid_repeated",
    ): "The answer named a batch that was accepted before: a cache may stand in between. See to it that no POST is cached. " + _RECONCILE,
    ("unknown", "crashed"): "The process ended while it was on the wire. " + _RECONCILE,
    ("unknown", "cut_off"): "The run was cut off while it was on the wire. " + _RECONCILE,
    ("unknown", "key_conflict"): "The server has a document with this number and other content. A person must compare the two.",
    (
        "unknown",
        "absent",
    ): "Looked up, and not found. Reconcile with --resend-absent sends it, once it is proved that such numbers can be looked up.",
    (
        "unknown",
        "batch_taken",
    ): "Not found, but others of its batch were: it was probably taken. A person must look before it is sent again.",
    (
        "unknown",
        "stale_journal",
    ): "The journal is older than what was sent with it, or a copy, so this was not sent. Run the same job with the "
    "same run id after the settle time; where the file was moved on purpose, say amili-arm adopt first.",
    ("unknown", "not_looked_up"): "The look-up was not answered, or not by the API. Reconcile again when it is.",
    (
        "invalid",
        "not_encodable",
    ): "It can't be read, or not be written as the API wants it: a wrong cell, not JSON, a wrong type. Mend the source at the place named.",
    ("invalid", "misnamed_field"): "A field is written in another case than the API's: the message names it and the right name.",
    ("invalid", "duplicate_field"): "A field stands twice in one object: leave one out.",
    (
        "invalid",
        "too_large",
    ): "This record alone is larger than a request may be. Make it smaller, or raise max_bytes if the server takes that.",
    ("invalid", "no_document_no"): "Give the document a number: this run requires one, because without it nothing can be looked up.",
    (
        "invalid",
        "conflicts_with_journal",
    ): "A document with this number was sent with other content. It needs a number of its own, or is a copy.",
    (
        "invalid",
        "document_no_repeated",
    ): "Another document before it has the same number: only that one is sent. It needs a number of its own, or is a copy.",
    (
        "invalid",
        "sent_in_run",
    ): "Another run has sent a document with this number. Give what is new its own number; --resend-known sends it all the same.",
    ("unknown", "sent_in_run"): "Looked up, and not there; but another run has sent its number. Reconcile that run first.",
    ("not_sent", "stopped"): "The run was ended before its turn. Run the same job with the same run id.",
    ("not_sent", "patience"): "The server took nothing for too long. When it is well again, run the same job with the same run id.",
    ("not_sent", "journal"): "The journal could not be written. Mend its disk or its place, then run with the same run id.",
    ("not_sent", "too_many_failures"): "Too much failed, and the run stopped itself. Look at the largest group of failures first.",
    ("not_sent", "source_raised"): "The source broke off. Mend it, then run the same job with the same run id.",
    ("not_sent", "crashed"): "The process ended before its turn. Run the same job with the same run id.",
    ("not_sent", "no_token"): "The identity service gave no token: check its address and the credentials. Then run with the same run id.",
    ("not_sent", "certificate_not_trusted"): "The certificate of the service is not trusted: give its authority, or check the address.",
    ("not_sent", "client_certificate_refused"): "The service wants another client certificate: give it with ssl=.",
    ("not_sent", "host_name_not_found"): "The host name was not found: check base_url and the network. Then run with the same run id.",
    ("not_sent", "TLS_failed"): "No TLS connection came about: check base_url. Then run with the same run id.",
    ("not_sent", "settings"): "A fault of the program or its settings: the report says which.",
    ("not_sent", "client_closed"): "The client was closed while the run went on: a fault of the program.",
    ("not_sent", "401"): "The token was refused: check client id and secret. " + _CALL,
    ("not_sent", "403"): "The token may not do this: check the client number and the permissions. " + _CALL,
    ("not_sent", "404"): "The address does not exist: check base_url and the client number. " + _CALL,
    ("not_sent", "405"): "The address does not take this call: check base_url. " + _CALL,
    ("not_sent", "415"): "The kind of body was refused: turn compression off, or check base_url. " + _CALL,
    ("rejected", "400"): "The server does not take it as it is written. Mend the record; a document's neighbours go with bisect=all.",
    ("rejected", "406"): "The server refuses it, and its pages do not say why. Look at its words, or ask Amili.",
    ("rejected", "411"): "Something between here and the server wants a length: ask who runs the proxy.",
    ("rejected", "413"): "This record alone is too large for the server. Make it smaller: fewer lines, shorter texts.",
    ("rejected", "414"): "The address is too long for the server: check base_url.",
    ("rejected", "422"): "Understood, and refused for what it says. Mend the record by the server's words.",
    ("rejected", "431"): "The headers are too large for the server: check token and proxy.",
    (
        "blocked",
        "customer_failed",
    ): "Its customer did not make it. Mend the customer, run the same job with the same run id, and the document follows.",
}

_OTHER: Final = (
    "There are too many different reasons to show all of them here: the failures file of the run (--failures) lists every record."
)
_SAFE_AGAIN: Final = "May be sent again as it is: a customer that exists is updated, not doubled."


def remedy(state: State | Literal["other"], reason: str, part: str) -> str:
    """What to do, in a sentence or two; `part` is "customers" or "documents"."""
    if state == "other":
        return _OTHER
    if part == "customers" and state == "unknown":
        return _SAFE_AGAIN
    if (state, reason) in _BY_REASON:
        return _BY_REASON[state, reason]
    if reason.isascii() and reason.isdecimal() and len(reason) == 3:
        if state == "unknown":
            return f"The server answered {reason}, which does not tell whether it was taken. {_RECONCILE}"
        if state == "not_sent" and reason.startswith("3"):
            return "The server redirects: check base_url. " + _CALL
    return STATE_RULES[state].advice
