"""How single records and errors come, and what stands in the headers. Pure."""

from __future__ import annotations

import re
from typing import Any, Final

from ... import codec, wire
from ...bulk.lookups import same_content
from ...endpoints import OPERATIONS
from .evidence import Evidence, Exchange, Judged, mismatch, not_seen, right, why_not_seen
from .lists import names
from .masking import field_name, masked_text

__all__ = [
    "KEYS",
    "ONE",
    "judge_absent",
    "judge_content_types",
    "judge_error_body",
    "judge_one",
    "judge_rate_limits",
    "judge_request_id",
    "judge_retry_after",
    "judge_same",
    "judge_token",
    "key_in_list",
]

KEYS: Final = {"customers": "customerNo", "documents": "documentNo", "ar_items": "arItemId"}
"""The field that names a record, by the part of the API."""

ONE: Final = {f"{section}.get": key for section, key in KEYS.items()}
"""The same by the operation that gets one."""

_NUMBER: Final = re.compile(r"[0-9]{1,12}")
_MOST_SHOWN: Final = 8


def key_in_list(heard: Exchange | None, key: str) -> str | None:
    """The key of a record of a list that came, wherever the list is."""
    value: Any = heard.value() if heard is not None and heard.is_success else None
    lists = [value] if isinstance(value, list) else list(value.values()) if isinstance(value, dict) else []
    for items in lists:
        for item in items if isinstance(items, list) else ():
            found = item.get(key) if isinstance(item, dict) else None
            if isinstance(found, (str, int)) and not isinstance(found, bool) and str(found).strip() not in {"", ".", ".."}:
                return str(found)
    return None


# --- one record ---------------------------------------------------------------------------------------------------------


def judge_one(evidence: Evidence, name: str) -> Judged:
    """What GET of one record is wrapped in."""
    heard = evidence.first(name)
    if heard is None or not heard.is_success:
        return why_not_seen(heard, evidence.ended or "none is there to be asked for")
    fields, key = heard.fields(), ONE[name]
    if not fields:
        return mismatch("no JSON object")
    text = wire.one_record(heard.body, OPERATIONS[name].items or "arItems", key)
    read = codec.json_object(text) if text is not None else None
    if read is None or key not in read:
        return mismatch(f"no {key} is found in it: its fields are {names(list(fields))}")
    if key in fields:
        return right("the object itself")
    within = next((outer for outer, item in fields.items() if isinstance(item, (dict, list)) and item), "")
    return right(f"{'in the list' if isinstance(fields.get(within), list) else 'under'} {field_name(within)}")


def judge_absent(evidence: Evidence, name: str) -> Judged:
    """What is answered where there is no such record."""
    heard = evidence.first(f"{name}/absent")
    if heard is None or heard.status is None or heard.status in {401, 403, 429, 503}:
        return why_not_seen(heard, evidence.ended)
    return right("404") if heard.status == 404 else mismatch(str(heard.status))


def judge_error_body(evidence: Evidence) -> Judged:
    """What the body of an error is."""
    errors = [heard for heard in evidence.everything() if heard.status is not None and 400 <= heard.status < 500]
    if not errors:
        return why_not_seen(None, evidence.ended or "there was no error")
    shapes = {_shape(heard) for heard in errors}
    seen = "; ".join(sorted(f"{heard}" for heard, _ in shapes)[:_MOST_SHOWN])
    return right(seen) if all(good for _, good in shapes) else mismatch(seen)


def _shape(heard: Exchange) -> tuple[str, bool]:
    if not heard.body.strip():
        return "empty", False
    kind = _content_type(heard)
    value = heard.value()
    if not isinstance(value, dict):
        return f"{'JSON that is no object' if value is not None else 'no JSON'} ({kind})", False
    message = value.get("message")
    return f"{names(list(value))} ({kind})", isinstance(message, str) and bool(message.strip())


def judge_same(evidence: Evidence, kind: str) -> Judged:
    """Whether GET gives back what was sent: the names of the fields that differ, and never a value."""
    heard, sent = evidence.last(f"{kind}.get/written"), codec.json_object(evidence.sent.get(kind, b""))
    if heard is None or sent is None:
        return why_not_seen(None, evidence.ended or "nothing was sent")
    if heard.status == 404:
        return mismatch("404: it is not there")
    text = wire.one_record(heard.body, OPERATIONS[f"{kind}.get"].items, KEYS[kind]) if heard.is_success else None
    found = codec.json_object(text) if text is not None else None
    if found is None:
        return why_not_seen(heard, evidence.ended)
    differ = [path for name, value in sent.items() for path in _differences(name, value, found.get(name), 3)]
    if not differ:
        return right("the same")
    return mismatch(", ".join(differ[:_MOST_SHOWN]) + (", ..." if len(differ) > _MOST_SHOWN else "") + " differ")


def _differences(name: str, sent: Any, found: Any, depth: int) -> list[str]:
    """The paths of the fields that are not as they were sent, as a reconcile would see it."""
    if same_content(codec.encode_value({"v": sent}), codec.encode_value({"v": found})):
        return []
    if depth and isinstance(sent, dict) and isinstance(found, dict):
        inner = [path for below, value in sent.items() for path in _differences(below, value, found.get(below), depth - 1)]
        return [f"{field_name(name)}.{path}" for path in inner]
    return [field_name(name)]


# --- headers ------------------------------------------------------------------------------------------------------------


def judge_request_id(evidence: Evidence) -> Judged:
    """Whether replies have a request id that this library finds."""
    replies = [heard for heard in evidence.everything() if heard.response is not None]
    if not replies:
        return why_not_seen(None, evidence.ended)
    found = sorted({_id_header(heard) for heard in replies if heard.response is not None and heard.response.request_id})
    if found:
        return right(", ".join(found))
    likely = sorted(
        {name for heard in replies for name in heard.headers if name.endswith("-id") or "trace" in name or "correlation" in name}
    )
    return mismatch(names_of_headers(likely)) if likely else not_seen("no header looks like one")


def _id_header(heard: Exchange) -> str:
    assert heard.response is not None
    return next(name for name, value in heard.headers.items() if value == heard.response.request_id)


def names_of_headers(headers: list[str]) -> str:
    """Names of headers in a row."""
    return ", ".join(
        name if name.replace("-", "").isalnum() and len(name) <= 40 else masked_text(name[:40]) for name in headers[:_MOST_SHOWN]
    )


def judge_rate_limits(evidence: Evidence) -> Judged:
    """Whether replies tell of limits."""
    if not any(heard.response for heard in evidence.everything()):
        return why_not_seen(None, evidence.ended)
    found: dict[str, str] = {}
    for heard in evidence.everything():
        for name, value in heard.headers.items():
            if "ratelimit" in name.replace("-", ""):
                found.setdefault(name, value)
    told = [f"{names_of_headers([name])}{f' {value}' if _NUMBER.fullmatch(value) else ''}" for name, value in sorted(found.items())]
    return mismatch(", ".join(told[:_MOST_SHOWN])) if told else right("none")


def judge_retry_after(evidence: Evidence) -> Judged:
    """Whether `Retry-After` can be read, where there is one."""
    told = [heard for heard in evidence.everything() if "retry-after" in heard.headers]
    if not told:
        return not_seen("no reply has one")
    seen = f"with {', '.join(sorted({str(heard.status) for heard in told}))}"
    return right(seen) if all(heard.retry_after is not None for heard in told) else mismatch(f"{seen}, and it can't be read")


def judge_content_types(evidence: Evidence) -> Judged:
    """What the bodies of successes are said to be."""
    kinds = {_content_type(heard) for heard in evidence.everything() if heard.is_success and heard.body}
    if not kinds:
        return why_not_seen(None, evidence.ended or "no success had a body")
    seen = ", ".join(sorted(kinds))
    return right(seen) if all("json" in kind for kind in kinds) else mismatch(seen)


def _content_type(heard: Exchange) -> str:
    kind = heard.headers.get("content-type", "").partition(";")[0].strip().lower()
    plain = kind.isascii() and kind.isprintable() and len(kind) <= 60 and " " not in kind
    return kind if kind and plain else "without a content type"


def judge_token(evidence: Evidence) -> Judged:
    """What the identity service answers."""
    if evidence.token_fields is None:
        return not_seen("a token was given")
    seen = names(list(evidence.token_fields))
    both = "access_token" in evidence.token_fields and bool({"expires_in", "expires_on"} & set(evidence.token_fields))
    return right(seen) if both else mismatch(seen or "no JSON object")
