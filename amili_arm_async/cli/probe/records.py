"""Checks of single records, errors, headers and batch results, read as a bulk run reads them. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import groupby
from typing import Any, Final

from ... import codec, wire
from ...bulk.lookups import same_content
from ...bulk.result_entries import find_entries, status_words
from ...bulk.results import KEY_NAMES, Reading, read_all
from ...config import BatchWords
from ...endpoints import OPERATIONS
from ...models.batches import BatchOutcomeWord, BatchResult
from .evidence import CheckResult, Evidence, Exchange, as_assumed, different, not_seen, why_not_seen
from .lists import names
from .masking import WordSet, field_name, guess_word_set, masked_text, shown_word

__all__ = [
    "BATCHES",
    "KEYS",
    "POLLS",
    "SINGLE",
    "check_absent",
    "check_content_types",
    "check_course",
    "check_entries",
    "check_entry_fields",
    "check_error_body",
    "check_one",
    "check_rate_limits",
    "check_receipt",
    "check_request_id",
    "check_retry_after",
    "check_same",
    "check_status",
    "check_token",
    "check_words",
    "done_words",
    "is_settled",
    "key_in_list",
    "outcome_of",
    "unknown_shape",
    "unknown_words",
]


KEYS: Final = {"customers": "customerNo", "documents": "documentNo", "ar_items": "arItemId"}
"""The key field of a record, by the section of the API."""

SINGLE: Final = {f"{section}.get": key for section, key in KEYS.items()}
"""The same by the operation that reads one record."""

_NUMBER: Final = re.compile(r"[0-9]{1,12}")
_MOST_SHOWN: Final = 8


def key_in_list(exchange: Exchange | None, key: str) -> str | None:
    """Returns the key of some record in a list, wherever the list is in the body."""
    value: Any = exchange.value() if exchange is not None and exchange.is_success else None
    lists = [value] if isinstance(value, list) else list(value.values()) if isinstance(value, dict) else []
    for items in lists:
        for item in items if isinstance(items, list) else ():
            found = item.get(key) if isinstance(item, dict) else None
            if isinstance(found, (str, int)) and not isinstance(found, bool) and str(found).strip() not in {"", ".", ".."}:
                return str(found)
    return None


# --- one record ---------------------------------------------------------------------------------------------------------


def check_one(evidence: Evidence, name: str) -> CheckResult:
    """Checks what a single record is wrapped in."""
    exchange = evidence.first(name)
    if exchange is None or not exchange.is_success:
        return why_not_seen(exchange, evidence.ended or "none is there to be asked for")
    fields, key = exchange.fields(), SINGLE[name]
    if not fields:
        return different("no JSON object")
    text = wire.one_record(exchange.body, OPERATIONS[name].items or "arItems", key)
    read = codec.json_object(text) if text is not None else None
    if read is None or key not in read:
        return different(f"no {key} is found in it: its fields are {names(list(fields))}")
    if key in fields:
        return as_assumed("the object itself")
    within = next((outer for outer, item in fields.items() if isinstance(item, (dict, list)) and item), "")
    return as_assumed(f"{'in the list' if isinstance(fields.get(within), list) else 'under'} {field_name(within)}")


def check_absent(evidence: Evidence, name: str) -> CheckResult:
    """Checks the answer for a record that does not exist."""
    exchange = evidence.first(f"{name}/absent")
    if exchange is None or exchange.status is None or exchange.status in {401, 403, 429, 503}:
        return why_not_seen(exchange, evidence.ended)
    return as_assumed("404") if exchange.status == 404 else different(str(exchange.status))


def check_error_body(evidence: Evidence) -> CheckResult:
    """Checks the body of errors."""
    errors = [exchange for exchange in evidence.everything() if exchange.status is not None and 400 <= exchange.status < 500]
    if not errors:
        return why_not_seen(None, evidence.ended or "there was no error")
    shapes = {_shape(exchange) for exchange in errors}
    seen = "; ".join(sorted(f"{exchange}" for exchange, _ in shapes)[:_MOST_SHOWN])
    return as_assumed(seen) if all(good for _, good in shapes) else different(seen)


def _shape(exchange: Exchange) -> tuple[str, bool]:
    if not exchange.body.strip():
        return "empty", False
    kind = _content_type(exchange)
    value = exchange.value()
    if not isinstance(value, dict):
        return f"{'JSON that is no object' if value is not None else 'no JSON'} ({kind})", False
    message = value.get("message")
    return f"{names(list(value))} ({kind})", isinstance(message, str) and bool(message.strip())


def check_same(evidence: Evidence, kind: str) -> CheckResult:
    """Checks that a record reads as it was sent; names the fields that differ, never a value."""
    exchange, sent = evidence.last(f"{kind}.get/written"), codec.json_object(evidence.sent.get(kind, b""))
    if exchange is None or sent is None:
        return why_not_seen(None, evidence.ended or "nothing was sent")
    if exchange.status == 404:
        return different("404: it is not there")
    text = wire.one_record(exchange.body, OPERATIONS[f"{kind}.get"].items, KEYS[kind]) if exchange.is_success else None
    found = codec.json_object(text) if text is not None else None
    if found is None:
        return why_not_seen(exchange, evidence.ended)
    differ = [path for name, value in sent.items() for path in _differences(name, value, found.get(name), 3)]
    if not differ:
        return as_assumed("the same")
    return different(", ".join(differ[:_MOST_SHOWN]) + (", ..." if len(differ) > _MOST_SHOWN else "") + " differ")


def _differences(name: str, sent: Any, found: Any, depth: int) -> list[str]:
    """Returns the paths of the fields that differ from what was sent, compared as in a reconcile."""
    if same_content(codec.encode_value({"v": sent}), codec.encode_value({"v": found})):
        return []
    if depth and isinstance(sent, dict) and isinstance(found, dict):
        inner = [path for below, value in sent.items() for path in _differences(below, value, found.get(below), depth - 1)]
        return [f"{field_name(name)}.{path}" for path in inner]
    return [field_name(name)]


# --- headers ------------------------------------------------------------------------------------------------------------


def check_request_id(evidence: Evidence) -> CheckResult:
    """Checks that replies have a request id that this library finds."""
    replies = [exchange for exchange in evidence.everything() if exchange.response is not None]
    if not replies:
        return why_not_seen(None, evidence.ended)
    found = sorted({_id_header(exchange) for exchange in replies if exchange.response is not None and exchange.response.request_id})
    if found:
        return as_assumed(", ".join(found))
    likely = sorted(
        {name for exchange in replies for name in exchange.headers if name.endswith("-id") or "trace" in name or "correlation" in name}
    )
    return different(names_of_headers(likely)) if likely else not_seen("no header looks like one")


def _id_header(exchange: Exchange) -> str:
    assert exchange.response is not None
    return next(name for name, value in exchange.headers.items() if value == exchange.response.request_id)


def names_of_headers(headers: list[str]) -> str:
    """Returns header names, separated by commas."""
    return ", ".join(
        name if name.replace("-", "").isalnum() and len(name) <= 40 else masked_text(name[:40]) for name in headers[:_MOST_SHOWN]
    )


def check_rate_limits(evidence: Evidence) -> CheckResult:
    """Checks that replies have no headers about rate limits."""
    if not any(exchange.response for exchange in evidence.everything()):
        return why_not_seen(None, evidence.ended)
    found: dict[str, str] = {}
    for exchange in evidence.everything():
        for name, value in exchange.headers.items():
            if "ratelimit" in name.replace("-", ""):
                found.setdefault(name, value)
    limits = [f"{names_of_headers([name])}{f' {value}' if _NUMBER.fullmatch(value) else ''}" for name, value in sorted(found.items())]
    return different(", ".join(limits[:_MOST_SHOWN])) if limits else as_assumed("none")


def check_retry_after(evidence: Evidence) -> CheckResult:
    """Checks that `Retry-After` can be parsed."""
    replies = [exchange for exchange in evidence.everything() if "retry-after" in exchange.headers]
    if not replies:
        return not_seen("no reply has one")
    seen = f"with {', '.join(sorted({str(exchange.status) for exchange in replies}))}"
    return as_assumed(seen) if all(exchange.retry_after is not None for exchange in replies) else different(f"{seen}, and it can't be read")


def check_content_types(evidence: Evidence) -> CheckResult:
    """Checks the content types of successful replies."""
    kinds = {_content_type(exchange) for exchange in evidence.everything() if exchange.is_success and exchange.body}
    if not kinds:
        return why_not_seen(None, evidence.ended or "no success had a body")
    seen = ", ".join(sorted(kinds))
    return as_assumed(seen) if all("json" in kind for kind in kinds) else different(seen)


def _content_type(exchange: Exchange) -> str:
    kind = exchange.headers.get("content-type", "").partition(";")[0].strip().lower()
    plain = kind.isascii() and kind.isprintable() and len(kind) <= 60 and " " not in kind
    return kind if kind and plain else "without a content type"


def check_token(evidence: Evidence) -> CheckResult:
    """Checks the answer of the identity service."""
    if evidence.token_fields is None:
        return not_seen("a token was given")
    seen = names(list(evidence.token_fields))
    both = "access_token" in evidence.token_fields and bool({"expires_in", "expires_on"} & set(evidence.token_fields))
    return as_assumed(seen) if both else different(seen or "no JSON object")


# --- batches ------------------------------------------------------------------------------------------------------------


BATCHES: Final = "batches.get"
"""Label of the replies for batches of the caller."""
POLLS: Final = "batches.get/polls"
"""Label of the replies for the batch that was sent."""

_WORDS: Final = BatchWords()
_RESULTS: Final = frozenset({200, 202, 206})
_DEEPEST: Final = 4


def _results(evidence: Evidence) -> list[Exchange]:
    """Returns every reply about a batch; for the batch that was sent, the last one."""
    last = evidence.last(POLLS)
    return [exchange for exchange in [*evidence.all(BATCHES), *([last] if last is not None else [])] if exchange.status in _RESULTS]


def _read(exchange: Exchange) -> BatchResult:
    return _reading(exchange).result


def _reading(exchange: Exchange) -> Reading:
    return read_all("", exchange.status or 0, exchange.body, _WORDS, KEY_NAMES)


def outcome_of(exchange: Exchange) -> BatchOutcomeWord | None:
    """Returns the outcome of the batch as a whole, or None."""
    return _read(exchange).outcome if exchange.is_success and exchange.status in _RESULTS else None


def is_settled(exchange: Exchange) -> bool:
    """Returns whether the batch has its final result."""
    return exchange.is_success and exchange.status != 202 and _read(exchange).outcome != "pending"


def _why_none(evidence: Evidence) -> CheckResult:
    asked = [*evidence.all(BATCHES), *evidence.all(POLLS)]
    return why_not_seen(asked[-1] if asked else None, evidence.ended or "no batch was named, and none was sent")


def check_status(evidence: Evidence) -> CheckResult:
    """Checks the HTTP statuses of batch results, and their status words."""
    asked = evidence.all(BATCHES) + evidence.all(POLLS)
    replies = [exchange for exchange in asked if exchange.status is not None and exchange.status not in {401, 403, 429, 503}]
    if not replies:
        return _why_none(evidence)
    seen, fits = [], True
    for exchange in replies:
        meaning = _read(exchange).outcome if exchange.status in _RESULTS else "nothing"
        seen.append(f"{exchange.status} ({meaning})")
        spoken = status_words(exchange.fields())
        pending = bool(spoken) and all(_WORDS.meaning(word) == "pending" for word in spoken)
        # Words that say "to come" in a 200 are no more than slow; a 202 whose words say that all is done is never read.
        fits = fits and (
            exchange.status in {200, 206, 404, 406} or (exchange.status == 202 and (pending or not spoken or not _known(spoken)))
        )
    shown_once = ", ".join(dict.fromkeys(seen))
    return as_assumed(shown_once) if fits else different(shown_once)


def _known(spoken: list[str]) -> bool:
    return all(_WORDS.meaning(word) is not None for word in spoken)


def check_course(evidence: Evidence) -> CheckResult:
    """Checks the sequence of replies for the batch that was sent."""
    polls = evidence.all(POLLS)
    if not polls:
        return why_not_seen(None, evidence.ended or "nothing was sent")
    steps = [
        f"{exchange.status if exchange.status is not None else exchange.reason} {'/'.join(_shown(exchange.fields()))}".strip()
        for exchange in polls
    ]
    parts = []
    for step, group in groupby(steps):
        times = len(list(group))
        parts.append(f"{step} ({times} x)" if times > 1 else step)
    seen = ", then ".join(parts)
    if polls[-1].status == 403:
        return why_not_seen(polls[-1])
    return as_assumed(seen) if is_settled(polls[-1]) else different(f"{seen}; it did not end") if polls[-1].is_success else not_seen(seen)


def _shown(fields: Mapping[str, Any]) -> list[str]:
    return [shown_word(word, _WORDS) for word in status_words(fields)]


# --- words --------------------------------------------------------------------------------------------------------------


def _replies_with_words(evidence: Evidence) -> list[Exchange]:
    receipt = evidence.first("customers.create_batch")
    return [*([receipt] if receipt is not None else []), *evidence.all(BATCHES), *evidence.all(POLLS)]


def unknown_words(evidence: Evidence) -> dict[str, WordSet | None]:
    """Returns the words that `BatchWords` does not know, masked where necessary, and the sets where they probably belong."""
    found: dict[str, WordSet | None] = {}
    for exchange in _replies_with_words(evidence):
        if not exchange.is_success:
            continue
        entries = find_entries(_fields(exchange), KEY_NAMES)
        spoken = [*status_words(exchange.fields()), *(word for entry in entries for word in status_words(entry))]
        for word in dict.fromkeys(spoken):
            if _WORDS.meaning(word) is None:
                word_set = guess_word_set(word, exchange.status) or _by_the_record(evidence, exchange)
                found[shown_word(word, _WORDS)] = found.get(shown_word(word, _WORDS)) or word_set
    return found


def _by_the_record(evidence: Evidence, exchange: Exchange) -> WordSet | None:
    """Returns "succeeded" for the batch that was sent, if its customer was found afterwards."""
    written = evidence.last("customers.get/written")
    return "succeeded" if exchange is evidence.last(POLLS) and written is not None and written.is_success else None


def done_words(evidence: Evidence) -> list[str]:
    """Returns the words that only say that the sent batch is done, if its customer was found afterwards: they may mean success."""
    last = evidence.last(POLLS)
    if last is None or not is_settled(last) or _read(last).outcome != "done" or _by_the_record(evidence, last) is None:
        return []
    return [word for word in dict.fromkeys(status_words(last.fields())) if _WORDS.meaning(word) == "done"]


def check_words(evidence: Evidence) -> CheckResult:
    """Checks that all status words are known."""
    replies = [exchange for exchange in _replies_with_words(evidence) if exchange.is_success]
    if not replies:
        return _why_none(evidence)
    unknown = unknown_words(evidence)
    if unknown:
        return different(f"unknown: {', '.join(unknown)}")
    spoken = dict.fromkeys(word for exchange in replies for word in _shown(exchange.fields()))
    return as_assumed(", ".join(spoken)) if spoken else different("neither status nor result")


# --- entries ------------------------------------------------------------------------------------------------------------


def _fields(exchange: Exchange) -> dict[str, Any]:
    value = exchange.value()
    return value if isinstance(value, dict) else {"results": value} if isinstance(value, list) else {}


def check_entries(evidence: Evidence) -> CheckResult:
    """Checks where the entries of a batch result are."""
    done = [exchange for exchange in _results(evidence) if is_settled(exchange)]
    if not done:
        return _why_none(evidence) if not _results(evidence) else not_seen("no batch was done")
    seen = [_entries_seen(exchange) for exchange in done]
    text = ", ".join(dict.fromkeys(words for words, _ in seen))
    if all(good is None for _, good in seen):
        return not_seen(text)
    return different(text) if any(good is False for _, good in seen) else as_assumed(text)


def _entries_seen(exchange: Exchange) -> tuple[str, bool | None]:
    """Returns where the entries are, and whether the library finds them; None where there are none and none are missing."""
    fields, reading = _fields(exchange), _reading(exchange)
    if find_entries(fields, KEY_NAMES):
        return _place(fields), True
    if reading.names_records:
        found = dict.fromkeys(item.name for item in (*reading.evidence.succeeded, *reading.evidence.failed))
        return f"in lists of what succeeded and what failed: {names(list(found))}", True
    lists = _lists(fields, _DEEPEST)
    if lists:
        return f"none is found; there are lists: {names(lists)}", False
    whole = _read(exchange).outcome
    return (
        ("none, and the success of the whole speaks for all", None) if whole == "succeeded" else (f"none, and the whole is {whole}", False)
    )


def unknown_shape(evidence: Evidence) -> list[str]:
    """Returns the fields of a result whose structure is unknown; empty where there is none. Unknown words do not matter here."""
    for exchange in _results(evidence):
        if not is_settled(exchange) or _entries_seen(exchange)[1] is not False:
            continue
        if _lists(_fields(exchange), _DEEPEST) or (_read(exchange).outcome == "unrecognised" and not status_words(exchange.fields())):
            return list(_fields(exchange))
    return []


def _place(fields: Mapping[str, Any]) -> str:
    """Returns the path of the list that the library reads as the entries."""
    entries = find_entries(fields, KEY_NAMES)
    for name, value in fields.items():
        if isinstance(value, list) and [item for item in value if isinstance(item, dict)] == [item for item in entries if item]:
            return field_name(name)
    for name, value in fields.items():
        if isinstance(value, dict) and find_entries(value, KEY_NAMES) == entries:
            return f"{field_name(name)}.{_place(value)}"
    return "a list"


def _lists(fields: Mapping[str, Any], depth: int) -> list[str]:
    """Returns the names of lists of objects, at any depth."""
    found = [name for name, value in fields.items() if isinstance(value, list) and any(isinstance(item, dict) for item in value)]
    below = [value for value in fields.values() if isinstance(value, dict)] if depth else []
    return found + [name for value in below for name in _lists(value, depth - 1)]


def check_entry_fields(evidence: Evidence) -> CheckResult:
    """Checks that each entry names its record and has an outcome."""
    entries = [entry for exchange in _results(evidence) if is_settled(exchange) for entry in find_entries(_fields(exchange), KEY_NAMES)]
    if not entries:
        return not_seen("there are no entries")
    keys = [name for name in KEY_NAMES if any(name in entry for entry in entries)]
    speaking = [name for name in ("status", "result", "resultType") if any(name in entry for entry in entries)]
    more = [name for name in dict.fromkeys(name for entry in entries for name in entry) if name not in {*keys, *speaking}]
    seen = f"named by {names(keys) or 'nothing'}; {names(speaking) or 'nothing'} speak; beside them: {names(more) or 'nothing'}"
    all_named = all(any(entry.get(name) not in (None, "") for name in KEY_NAMES) for entry in entries)
    return as_assumed(seen) if all_named and all(map(status_words, entries)) else different(seen)


def check_receipt(evidence: Evidence) -> CheckResult:
    """Checks the answer to the batch that was sent."""
    exchange = evidence.first("customers.create_batch")
    if exchange is None or exchange.status is None or exchange.status == 403:
        return why_not_seen(exchange, evidence.ended or "nothing was sent")
    if not exchange.is_success or exchange.response is None:
        return different(f"refused with {exchange.status}")
    seen = f"{exchange.status}: {names(list(exchange.fields()))}"
    receipt = wire.batch_receipt(exchange.response)
    return as_assumed(seen) if receipt is not None and exchange.status == 202 else different(seen)
