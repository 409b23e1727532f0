"""The table of what this library assumes, who checks it, and the settings that fix what is different. Pure.

Everything is checked from the evidence alone, so that a probe that ended early reports what it has seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from msgspec import Struct

from ...bulk.result_entries import meaning, status_words
from ...config import BatchWords
from ...endpoints import OPERATIONS, Endpoint
from . import lists, records
from .evidence import CheckResult, Evidence, ProbeFinding, as_assumed, different, why_not_seen
from .lists import UNDOCUMENTED, check_path, names, path_that_answered, single_of
from .masking import can_be_shown, shown_word
from .records import done_words, unknown_shape, unknown_words

__all__ = ["ASSUMPTIONS", "NONE", "PAGED", "Assumption", "findings", "remedy"]


PAGED: Final = ("customers.list", "ar_items.list", "gl_items.list", "documents.list")
"""Lists of which further pages are read. The documented ones come first."""

_SHOWN: Final = PAGED[:-1]


class Assumption(Struct, frozen=True):
    """One thing that the library assumes where the API documentation is silent.

    Attributes:
        id: its name, for programs.
        text: what it is about.
        expected: what is assumed.
        check: says what was seen, and whether it is as expected.
        only_writing: whether only `--write` can show it.
    """

    id: str
    text: str
    expected: str
    check: Callable[[Evidence], CheckResult]
    only_writing: bool = False


def findings(evidence: Evidence, *, wrote: bool) -> list[ProbeFinding]:
    """Checks every assumption.

    Args:
        evidence: what was seen.
        wrote: whether records were to be written; else what only a write can show is left out.

    Returns:
        A finding for each assumption, in the order of the table.
    """
    asked = [assumption for assumption in ASSUMPTIONS if wrote or not assumption.only_writing]
    return [ProbeFinding(one.id, one.text, one.expected, *one.check(evidence)) for one in asked]


def _table() -> Iterator[Assumption]:
    yield from _paths()
    for name in PAGED:
        yield from _list(OPERATIONS[name])
    for row in UNDOCUMENTED:
        if row.items and row.name not in PAGED:
            for what, text, expected, check in (
                ("name", "name of the list", _expected_name(row), lists.check_name),
                ("summary", "summary", "the fields of the sample, or none", lists.check_summary),
            ):
                yield Assumption(f"{row.name}.{what}", f"{row.name}: {text}", expected, partial(check, endpoint=row))
    yield from _page_sizes(OPERATIONS["customers.list"])
    yield from _records()
    yield from _batches()
    yield from _replies()
    yield from _writes()


def _paths() -> Iterator[Assumption]:
    for name in _SHOWN:
        yield _path(OPERATIONS[name], "path")
    for row in UNDOCUMENTED:
        yield _path(row, "path (inferred)")


def _path(row: Endpoint, what: str) -> Assumption:
    return Assumption(f"{row.name}.path", f"{row.name}: {what}", row.operation, partial(check_path, endpoint=row))


def _list(row: Endpoint) -> Iterator[Assumption]:
    for what, text, expected, check in (
        ("name", "name of the list", _expected_name(row), lists.check_name),
        ("summary", "summary", "the fields of the sample", lists.check_summary),
        ("links", "nextPage", "pageno, query on the same host", lists.check_links),
        ("end", "nextPage of the last page", "absent, null or blank", lists.check_end),
        ("cap", "maximumcount above the cap", f"maximumCount {row.cap}", lists.check_maximum),
    ):
        yield Assumption(f"{row.name}.{what}", f"{row.name}: {text}", expected, partial(check, endpoint=row))


def _expected_name(row: Endpoint) -> str:
    return row.items if row.name in lists.STRICT else f"{row.items}, else the only list"


def _page_sizes(row: Endpoint) -> Iterator[Assumption]:
    for what, text, expected, check in (
        ("small", "pagesize below 5", "pageSizeLimit 10", lists.check_small),
        ("large", "pagesize above the cap", f"pageSizeLimit {lists.MAX_PAGE_SIZE}", lists.check_large),
        ("total", "totalCount where maximumcount is less (sandbox)", "it stops there", lists.check_total),
        ("past", "a page past the end (sandbox)", "200 without records", lists.check_past),
    ):
        yield Assumption(f"{row.name}.{what}", f"{row.name}: {text}", expected, partial(check, endpoint=row))


def _records() -> Iterator[Assumption]:
    for name in records.SINGLE:
        section = name.removesuffix(".get")
        singular, plural = section.removesuffix("s"), OPERATIONS[name].items
        expected = f"the object itself, or in {plural} or {singular}" if plural else "the object itself"
        yield Assumption(f"{name}.shape", f"{name}: what it is wrapped in", expected, partial(records.check_one, name=name))
    for name in (*records.SINGLE, "batches.get"):
        yield Assumption(f"{name}.absent", f"{name}: where there is none", "404", partial(records.check_absent, name=name))
    yield Assumption("errors.body", "body of an error", "a JSON object with a message", records.check_error_body)


def _batches() -> Iterator[Assumption]:
    yield Assumption(
        "batches.status", "GET batch: statuses", "202: pending; 200, 206: done; 404, 406: no result (any more)", records.check_status
    )
    yield Assumption("batches.words", "GET batch: words", "words that BatchWords knows", records.check_words)
    yield Assumption("batches.entries", "GET batch: where the entries are", "customers, documents, results, ...", records.check_entries)
    yield Assumption(
        "batches.entry_fields",
        "GET batch: fields of an entry",
        "customerNo or documentNo; status, result or resultType give the outcome",
        records.check_entry_fields,
    )


def _replies() -> Iterator[Assumption]:
    yield Assumption(
        "headers.request_id",
        "header with the request id",
        "x-request-id, request-id, x-correlation-id or traceparent",
        records.check_request_id,
    )
    yield Assumption("headers.rate_limits", "headers about rate limits", "none", records.check_rate_limits)
    yield Assumption("headers.retry_after", "Retry-After", "seconds or a date", records.check_retry_after)
    yield Assumption("headers.content_type", "content type of a success", "JSON", records.check_content_types)
    yield Assumption("token.answer", "answer of the identity service", "access_token, and expires_in or expires_on", records.check_token)


def _writes() -> Iterator[Assumption]:
    for what, text, expected, check in (
        ("write.receipt", "POST batch of customers: its answer", "202 with a batchUuid", records.check_receipt),
        ("write.course", "GET batch: from the 202 to the end", "202 until it is processed, then 200 or 206", records.check_course),
        ("write.customer", "GET of the customer that was sent", "what was sent", partial(records.check_same, kind="customers")),
        (
            "write.document_answer",
            "POST one document: its answer",
            "2xx with status, result or message that reports success",
            _check_document_answer,
        ),
        ("write.document", "GET of the document that was sent", "what was sent", partial(records.check_same, kind="documents")),
    ):
        yield Assumption(what, text, expected, check, only_writing=True)


def _check_document_answer(evidence: Evidence) -> CheckResult:
    exchange = evidence.first("documents.create")
    if exchange is None or exchange.status is None or exchange.status == 403:
        return why_not_seen(exchange, evidence.unsent or evidence.ended or "nothing was sent")
    if not exchange.is_success:
        return different(
            f"refused with {exchange.status}" if 400 <= exchange.status < 500 else f"{exchange.status}: it may have been accepted"
        )
    fields, words = exchange.fields(), BatchWords()
    spoken = status_words(fields)
    suffix = f" ({'/'.join(shown_word(word, words) for word in spoken)})" if spoken else ""
    seen = f"{exchange.status}: {lists.names(list(fields)) or 'no JSON object'}{suffix}"
    # The library takes any 2xx for a success: one that reports a failure, or nothing, is not as assumed.
    is_success = meaning(spoken, words) == "succeeded"
    return as_assumed(seen) if is_success else different(seen)


ASSUMPTIONS: Final = tuple(_table())
"""All of them, in the order in which they are printed."""


# --- settings that fix it -----------------------------------------------------------------------------------------------


NONE: Final = "none: all is as assumed"
_WORD_SETS: Final = ("pending", "succeeded", "failed", "partial")


def remedy(evidence: Evidence, *, all_as_assumed: bool) -> str:
    """Returns the settings that make the library fit the service, as Python to paste.

    Args:
        evidence: what was seen.
        all_as_assumed: whether every assumption holds.

    Returns:
        Arguments for `ArmClient`, line by line; `none: ...` where there are none.
    """
    lines = [*_path_lines(evidence), *_word_lines(evidence), *_reader_lines(evidence)]
    if lines:
        return "\n".join(lines)
    return NONE if all_as_assumed else "none: no setting changes what is different"


def _path_lines(evidence: Evidence) -> Iterator[str]:
    rows: list[str] = []
    for row in UNDOCUMENTED:
        found = path_that_answered(evidence, row.name)
        if found is None:
            continue
        rows.append(f'    "{row.name}": "{found}",')
        one = single_of(row.name)
        if one is not None:
            rows.append(f'    "{one.name}": "{found}/{one.path.rpartition("/")[2]}",  # please confirm: derived from the path of the list')
    if rows:
        yield from ("paths={", *rows, "},")


def _word_lines(evidence: Evidence) -> Iterator[str]:
    known = BatchWords()
    unknown = unknown_words(evidence)
    placed = [(word, word_set) for word, word_set in sorted(unknown.items()) if word_set is not None and can_be_shown(word, known)]
    placed += [(word, "succeeded") for word in done_words(evidence)]
    unplaced = [word for word, word_set in sorted(unknown.items()) if word_set is None or not can_be_shown(word, known)]
    if placed:
        yield "batch_words=BatchWords(  # please confirm: where the words belong is a guess"
        for word_set in _WORD_SETS:
            words = [word for word, belongs in placed if belongs == word_set]
            if words:
                yield f"    {word_set}=BatchWords().{word_set} | {{{', '.join(f'{word!r}' for word in words)}}},".replace("'", '"')
        yield "),"
    yield from (f'# "{word}" is in no set of BatchWords, and nothing shows where it belongs: decide yourself' for word in unplaced)


def _reader_lines(evidence: Evidence) -> Iterator[str]:
    fields = unknown_shape(evidence)
    if fields:
        yield f"# the result of a batch has an unknown shape (fields: {names(fields)}): read it yourself"
        yield "batch_reader=lambda status, body, keys: None,  # to be written: an outcome for each key, see docs/probe.md"
