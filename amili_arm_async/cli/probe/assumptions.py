"""The table of what this library assumes, and who judges it. Pure.

Everything is judged from the evidence alone, so that a probe that was ended early tells what it has seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from msgspec import Struct

from ...bulk.result_entries import meaning, status_words
from ...config import BatchWords
from ...endpoints import OPERATIONS, Endpoint
from . import batches, lists, records
from .evidence import Evidence, Judged, ProbeFinding, mismatch, right, why_not_seen
from .paths import ASKED, judge_path
from .words import shown

__all__ = ["ASSUMPTIONS", "PAGED", "Assumption", "findings"]

PAGED: Final = ("customers.list", "ar_items.list", "gl_items.list", "documents.list")
"""Lists of which further pages are read. The documented ones come first."""

_SHOWN: Final = PAGED[:-1]


class Assumption(Struct, frozen=True):
    """One thing that the library takes for granted where the public pages are silent.

    Attributes:
        id: its name, for programs.
        text: what it is about.
        expected: what is assumed.
        judge: says what was seen, and what is to be thought of it.
        only_writing: whether only `--write` can see it.
    """

    id: str
    text: str
    expected: str
    judge: Callable[[Evidence], Judged]
    only_writing: bool = False


def findings(evidence: Evidence, *, wrote: bool) -> list[ProbeFinding]:
    """What became of each assumption; what only a write can see is left out where nothing was to be written."""
    asked = [assumption for assumption in ASSUMPTIONS if wrote or not assumption.only_writing]
    return [ProbeFinding(one.id, one.text, one.expected, *one.judge(evidence)) for one in asked]


def _table() -> Iterator[Assumption]:
    yield from _paths()
    for name in PAGED:
        yield from _list(OPERATIONS[name])
    for row in ASKED:
        if row.items and row.name not in PAGED:
            for what, text, expected, judge in (
                ("name", "name of the list", _expected_name(row), lists.judge_name),
                ("summary", "summary", "the fields of the sample, or none", lists.judge_summary),
            ):
                yield Assumption(f"{row.name}.{what}", f"{row.name}: {text}", expected, partial(judge, endpoint=row))
    yield from _page_sizes(OPERATIONS["customers.list"])
    yield from _records()
    yield from _batches()
    yield from _replies()
    yield from _writes()


def _paths() -> Iterator[Assumption]:
    for name in _SHOWN:
        yield _path(OPERATIONS[name], "path")
    for row in ASKED:
        yield _path(row, "path (inferred)")


def _path(row: Endpoint, what: str) -> Assumption:
    return Assumption(f"{row.name}.path", f"{row.name}: {what}", row.operation, partial(judge_path, endpoint=row))


def _list(row: Endpoint) -> Iterator[Assumption]:
    for what, text, expected, judge in (
        ("name", "name of the list", _expected_name(row), lists.judge_name),
        ("summary", "summary", "the fields of the sample", lists.judge_summary),
        ("links", "nextPage", "pageno, query on the same host", lists.judge_links),
        ("end", "nextPage of the last page", "absent, null or blank", lists.judge_end),
        ("cap", "maximumcount above the cap", f"maximumCount {row.cap}", lists.judge_maximum),
    ):
        yield Assumption(f"{row.name}.{what}", f"{row.name}: {text}", expected, partial(judge, endpoint=row))


def _expected_name(row: Endpoint) -> str:
    return row.items if row.name in lists.STRICT else f"{row.items}, else the only list"


def _page_sizes(row: Endpoint) -> Iterator[Assumption]:
    for what, text, expected, judge in (
        ("small", "pagesize below 5", "pageSizeLimit 10", lists.judge_small),
        ("large", "pagesize above the cap", f"pageSizeLimit {lists.MOST_RECORDS}", lists.judge_large),
        ("total", "totalCount where maximumcount is less (sandbox)", "it stops there", lists.judge_total),
        ("past", "a page past the end (sandbox)", "200 without records", lists.judge_past),
    ):
        yield Assumption(f"{row.name}.{what}", f"{row.name}: {text}", expected, partial(judge, endpoint=row))


def _records() -> Iterator[Assumption]:
    for name in records.ONE:
        section = name.removesuffix(".get")
        singular, plural = section.removesuffix("s"), OPERATIONS[name].items
        expected = f"the object itself, or in {plural} or {singular}" if plural else "the object itself"
        yield Assumption(f"{name}.shape", f"{name}: what it is wrapped in", expected, partial(records.judge_one, name=name))
    for name in (*records.ONE, "batches.get"):
        yield Assumption(f"{name}.absent", f"{name}: where there is none", "404", partial(records.judge_absent, name=name))
    yield Assumption("errors.body", "body of an error", "a JSON object with a message", records.judge_error_body)


def _batches() -> Iterator[Assumption]:
    yield Assumption(
        "batches.status", "GET batch: statuses", "202: to come; 200, 206: done; 404, 406: nothing (any more)", batches.judge_status
    )
    yield Assumption("batches.words", "GET batch: words", "words that BatchWords knows", batches.judge_words)
    yield Assumption("batches.entries", "GET batch: where the entries are", "customers, documents, results, ...", batches.judge_entries)
    yield Assumption(
        "batches.entry_fields",
        "GET batch: fields of an entry",
        "customerNo or documentNo; status, result or resultType speak",
        batches.judge_entry_fields,
    )


def _replies() -> Iterator[Assumption]:
    yield Assumption(
        "headers.request_id",
        "header with the request id",
        "x-request-id, request-id, x-correlation-id or traceparent",
        records.judge_request_id,
    )
    yield Assumption("headers.rate_limits", "headers that tell of rate limits", "none", records.judge_rate_limits)
    yield Assumption("headers.retry_after", "Retry-After", "seconds or a date", records.judge_retry_after)
    yield Assumption("headers.content_type", "content type of a success", "JSON", records.judge_content_types)
    yield Assumption("token.answer", "answer of the identity service", "access_token, and expires_in or expires_on", records.judge_token)


def _writes() -> Iterator[Assumption]:
    for what, text, expected, judge in (
        ("write.receipt", "POST batch of customers: its answer", "202 with a batchUuid", batches.judge_receipt),
        ("write.course", "GET batch: from the 202 to the end", "202 until it is processed, then 200 or 206", batches.judge_course),
        ("write.customer", "GET of the customer that was sent", "what was sent", partial(records.judge_same, kind="customers")),
        (
            "write.document_answer",
            "POST one document: its answer",
            "2xx with status, result, message that tell of success",
            _judge_document_answer,
        ),
        ("write.document", "GET of the document that was sent", "what was sent", partial(records.judge_same, kind="documents")),
    ):
        yield Assumption(what, text, expected, judge, only_writing=True)


def _judge_document_answer(evidence: Evidence) -> Judged:
    heard = evidence.first("documents.create")
    if heard is None or heard.status is None or heard.status == 403:
        return why_not_seen(heard, evidence.unsent or evidence.ended or "nothing was sent")
    if not heard.is_success:
        return mismatch(f"refused with {heard.status}" if 400 <= heard.status < 500 else f"{heard.status}: it may have been taken")
    fields, words = heard.fields(), BatchWords()
    spoken = status_words(fields)
    told = f" ({'/'.join(shown(word, words) for word in spoken)})" if spoken else ""
    seen = f"{heard.status}: {lists.names(list(fields)) or 'no JSON object'}{told}"
    # The library takes any 2xx for a success: one that says otherwise, or nothing, is not as assumed.
    well = meaning(spoken, words) == "succeeded"
    return right(seen) if well else mismatch(seen)


ASSUMPTIONS: Final = tuple(_table())
"""All of them, in the order in which they are told."""
