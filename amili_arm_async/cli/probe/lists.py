"""How lists come: their names, their summaries, the links to further pages, their ends and their caps. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from ...endpoints import Endpoint
from ...wire import link_query, list_in
from .evidence import Evidence, Exchange, Judged, mismatch, not_seen, right, why_not_seen
from .masking import field_name, masked_text
from .paths import answer_of

__all__ = [
    "MOST_RECORDS",
    "STRICT",
    "judge_end",
    "judge_large",
    "judge_links",
    "judge_maximum",
    "judge_name",
    "judge_past",
    "judge_small",
    "judge_summary",
    "judge_total",
    "last_page",
    "names",
    "query_of",
]

MOST_RECORDS: Final = 1000
"""Records on a page at the most."""

STRICT: Final = frozenset({"customers.list", "documents.list"})
"""Lists that are read by their names alone; of the others any list is taken that is the only one."""

_SUMMARY: Final[Mapping[str, type]] = {
    "pageNo": int,
    "currentPageSize": int,
    "pageSizeLimit": int,
    "totalPages": int,
    "totalCount": int,
    "maximumCount": int,
    "lastPage": str,
    "queryId": str,
}
_LONGEST: Final = 60
_HOST: Final = re.compile(r"[a-z0-9.-]{1,60}")
_MAY_BE_THERE: Final = frozenset({*_SUMMARY, "nextPage"})


def names(fields: list[str]) -> str:
    """Names of fields in a row."""
    return ", ".join(field_name(name) for name in fields[:10]) + (", ..." if len(fields) > 10 else "")


def _number(heard: Exchange | None, name: str) -> int | None:
    found = heard.summary().get(name) if heard is not None else None
    return found if isinstance(found, int) and not isinstance(found, bool) else None


# --- one page -----------------------------------------------------------------------------------------------------------


def judge_name(evidence: Evidence, endpoint: Endpoint) -> Judged:
    """The name of the list in the body."""
    heard = answer_of(evidence, endpoint.name)
    if heard is None or not heard.is_success:
        return why_not_seen(heard, evidence.ended)
    value = heard.value()
    found = [name for name, item in heard.fields().items() if isinstance(item, list)]
    seen = (
        names(found) if found else "no list" if isinstance(value, dict) else "a list alone" if isinstance(value, list) else "no JSON object"
    )
    if endpoint.items in found:
        return right(endpoint.items)
    return right(seen) if endpoint.name not in STRICT and list_in(value, endpoint.items) is not None else mismatch(seen)


def judge_summary(evidence: Evidence, endpoint: Endpoint) -> Judged:
    """The fields of the summary."""
    heard = answer_of(evidence, endpoint.name)
    if heard is None or not heard.is_success:
        return why_not_seen(heard, evidence.ended)
    summary = heard.summary()
    if not summary:
        return mismatch("no summary") if endpoint.cap else right("none: it comes whole")
    missing = [name for name in _SUMMARY if name not in summary]
    odd = [name for name, kind in _SUMMARY.items() if name in summary and not _is(summary[name], kind)]
    more = [name for name in summary if name not in _MAY_BE_THERE]
    seen = "; ".join(
        f"{what}: {names(fields)}" for what, fields in (("missing", missing), ("of another kind", odd), ("more", more)) if fields
    )
    return mismatch(seen) if missing or odd else right(seen or "as the sample has it")


def _is(value: Any, kind: type) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


# --- further pages --------------------------------------------------------------------------------------------------------


def judge_links(evidence: Evidence, endpoint: Endpoint) -> Judged:
    """The link to the second page, and what is there."""
    heard = answer_of(evidence, endpoint.name)
    if heard is None or not heard.is_success:
        return why_not_seen(heard, evidence.ended)
    link = heard.summary().get("nextPage")
    if not isinstance(link, str) or not link.strip():
        pages = _number(heard, "totalPages")
        if pages is not None and pages > 1:
            return mismatch(f"no link, and {pages} pages")
        return not_seen("the list has one page")
    query = link_query(link)
    if query is None:
        return mismatch("a link without a query")
    parameters = [name for name, _ in query]
    seen = f"{names(parameters)}{_host(link, evidence.base_url)}"
    second = evidence.first(f"{endpoint.name}/pages")
    if second is None or not second.is_success:
        seen += f"; the second page: {why_not_seen(second, evidence.ended)[0]}"
    elif _number(second, "pageNo") != 2:
        return mismatch(f"{seen}; it does not lead to page 2")
    return right(seen) if sorted(parameters) == ["pageno", "query"] else mismatch(seen)


def _host(link: str, base_url: str) -> str:
    try:
        named, ours = urlsplit(link), urlsplit(base_url)
    except ValueError:
        return "; no address"
    if not named.netloc:
        return "; without a host"
    if named.netloc.casefold() == ours.netloc.casefold():
        return " on the same host"
    host = named.hostname or ""
    return f"; on another host ({host if _HOST.fullmatch(host) else masked_text(host[:_LONGEST])})"


def last_page(evidence: Evidence, name: str) -> Exchange | None:
    """The last page of a list, where it was read: that is the one whose number is that of the pages."""
    read = [answer_of(evidence, name), *evidence.all(f"{name}/pages"), *evidence.all(f"{name}/last")]
    for heard in read:
        number, pages = _number(heard, "pageNo"), _number(heard, "totalPages")
        if heard is not None and heard.is_success and number is not None and pages is not None and number >= pages:
            return heard
    return None


def judge_end(evidence: Evidence, endpoint: Endpoint) -> Judged:
    """What the last page has as its next one."""
    heard = answer_of(evidence, endpoint.name)
    if heard is None or not heard.is_success:
        return why_not_seen(heard, evidence.ended)
    found = last_page(evidence, endpoint.name)
    if found is None:
        return not_seen("the last page was not reached")
    if "nextPage" not in found.summary():
        return right("absent")
    link = found.summary()["nextPage"]
    if link is None:
        return right("null")
    if not isinstance(link, str):
        return mismatch(f"neither a text nor null ({type(link).__name__})")
    return mismatch("a link") if link.strip() else right("blank")


# --- caps ---------------------------------------------------------------------------------------------------------------


def judge_maximum(evidence: Evidence, endpoint: Endpoint) -> Judged:
    """What a `maximumcount` above the cap becomes."""
    heard = evidence.first(f"{endpoint.name}/most")
    return _judge_number(evidence, heard, "maximumCount", endpoint.cap)


def judge_small(evidence: Evidence, endpoint: Endpoint) -> Judged:
    """What a `pagesize` below 5 becomes."""
    return _judge_number(evidence, evidence.first(f"{endpoint.name}/small"), "pageSizeLimit", 10)


def judge_large(evidence: Evidence, endpoint: Endpoint) -> Judged:
    """What a `pagesize` above the cap becomes."""
    return _judge_number(evidence, evidence.first(f"{endpoint.name}/large"), "pageSizeLimit", MOST_RECORDS)


def _judge_number(evidence: Evidence, heard: Exchange | None, name: str, expected: int) -> Judged:
    if heard is not None and heard.status in {400, 422}:
        return mismatch(f"refused with {heard.status}")
    if heard is None or not heard.is_success:
        return why_not_seen(heard, evidence.ended)
    number = _number(heard, name)
    if number is None:
        return not_seen(f"no {name} in the summary")
    return right(f"{name} {number}") if number == expected else mismatch(f"{name} {number}")


def judge_total(evidence: Evidence, endpoint: Endpoint) -> Judged:
    """Whether `totalCount` stops at `maximumcount`."""
    heard, whole = evidence.first(f"{endpoint.name}/few"), answer_of(evidence, endpoint.name)
    if heard is None or not heard.is_success:
        return why_not_seen(heard, evidence.ended)
    total, asked, there = _number(heard, "totalCount"), int(dict(heard.query)["maximumcount"]), _number(whole, "totalCount")
    if total is None or there is None:
        return not_seen("no totalCount in the summary")
    if there <= asked:
        return not_seen(f"the list has no more than {asked} records")
    return right("it stops there") if total == asked else mismatch("it counts all" if total == there else "neither that nor all")


def judge_past(evidence: Evidence, endpoint: Endpoint) -> Judged:
    """What is past the last page."""
    heard = evidence.first(f"{endpoint.name}/past")
    if heard is None or heard.status is None or heard.status == 403:
        return why_not_seen(heard, evidence.ended)
    if not heard.is_success:
        return mismatch(str(heard.status))
    if any(isinstance(item, list) and item for item in heard.fields().values()):
        return mismatch(f"{heard.status} with records")
    return right(f"{heard.status} without records")


def query_of(link: object) -> dict[str, str]:
    """The query of a link that the server made, to be asked at the list's own address; empty where it has none."""
    try:
        return dict(parse_qsl(urlsplit(link.strip()).query)) if isinstance(link, str) else {}
    except ValueError:
        return {}
