"""Checks of paths and lists: where they are, their names, summaries, links to further pages, ends and limits. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from ...endpoints import OPERATIONS, Endpoint
from ...wire import link_query, list_in
from .evidence import CheckResult, Evidence, Exchange, as_assumed, different, not_seen, why_not_seen
from .masking import field_name, masked_text

__all__ = [
    "MAX_PAGE_SIZE",
    "STRICT",
    "UNDOCUMENTED",
    "answer_of",
    "answers",
    "candidates",
    "check_end",
    "check_large",
    "check_links",
    "check_maximum",
    "check_name",
    "check_past",
    "check_path",
    "check_small",
    "check_summary",
    "check_total",
    "is_elsewhere",
    "last_page",
    "names",
    "other_paths",
    "path_that_answered",
    "query_of",
    "single_of",
]


UNDOCUMENTED: Final = tuple(
    row for row in OPERATIONS.values() if row.method == "GET" and not row.documented and "{" not in row.path.replace("{clientno}", "")
)
"""Reading operations without parameters whose path is not documented."""

_CLIENT: Final = "clients/{clientno}/"
_MOST: Final = 5

_WORDS: Final = {
    "clientconfigs": ("client", "configs"),
    "documentbundles": ("document", "bundles"),
    "glmovements": ("gl", "movements"),
    "latestclosed": ("latest", "closed"),
    "adbintervals": ("adb", "intervals"),
    "logitems": ("log", "items"),
}
"""The words of the parts of a path that consist of several."""

_NO_PLURAL: Final = frozenset({"health", "insights", "latestclosed"})

_OTHERS: Final = {"gl_movements.latest_closed": (f"{_CLIENT}glmovements/latest",), "health.check": ("healthcheck", "health-check")}


def candidates(endpoint: Endpoint) -> tuple[str, ...]:
    """Returns other spellings of the path of an operation, the most likely first."""
    found = dict.fromkeys(path for path in _spellings(endpoint) if path != endpoint.path)
    return tuple(found)[:_MOST]


def _spellings(endpoint: Endpoint) -> Iterator[str]:
    has_client = endpoint.path.startswith(_CLIENT)
    parts = endpoint.path.removeprefix(_CLIENT).split("/")
    before = _CLIENT if has_client else ""
    yield before + "/".join(map(_kebab, parts))
    yield before + "/".join(map(_camel, parts))
    yield ("" if has_client else _CLIENT) + "/".join(parts)
    yield before + "/".join(map(_other_number, parts))
    yield from _OTHERS.get(endpoint.name, ())
    if len(parts) > 1:
        yield before + parts[-1]


def _kebab(part: str) -> str:
    return "-".join(_WORDS.get(part, (part,)))


def _camel(part: str) -> str:
    first, *others = _WORDS.get(part, (part,))
    return first + "".join(map(str.capitalize, others))


def _other_number(part: str) -> str:
    """Returns the singular of a plural, and the plural of a singular."""
    if part in _NO_PLURAL:
        return part
    return part.removesuffix("s") if part.endswith("s") else part + "s"


def single_of(name: str) -> Endpoint | None:
    """Returns the operation that reads one record of a list, if its path is not documented either."""
    row = OPERATIONS.get(name.removesuffix(".list") + ".get") if name.endswith(".list") else None
    return row if row is not None and not row.documented else None


_GONE = frozenset({404, 405})


def other_paths(name: str) -> str:
    """Returns the label of the replies at other spellings of a path."""
    return f"{name}/others"


def is_elsewhere(exchange: Exchange) -> bool:
    """Returns whether a reply says that there is nothing at this path."""
    return exchange.status in _GONE


def answers(exchange: Exchange) -> bool:
    """Returns whether another spelling answered; a 200 with an HTML page for anything missing does not count."""
    return exchange.is_success and (not exchange.body or exchange.value() is not None)


def path_that_answered(evidence: Evidence, name: str) -> str | None:
    """Returns the other spelling that answered, or None."""
    return next((exchange.template for exchange in evidence.all(other_paths(name)) if answers(exchange)), None)


def answer_of(evidence: Evidence, name: str) -> Exchange | None:
    """Returns the reply to an operation, at whatever path it was found."""
    return next((exchange for exchange in evidence.all(other_paths(name)) if answers(exchange)), evidence.first(name))


def check_path(evidence: Evidence, endpoint: Endpoint) -> CheckResult:
    """Checks that the path exists."""
    exchange = evidence.first(endpoint.name)
    if exchange is not None and exchange.is_success:
        return as_assumed(str(exchange.status))
    if exchange is None or not is_elsewhere(exchange):
        return why_not_seen(exchange, evidence.ended)
    found = path_that_answered(evidence, endpoint.name)
    if found is not None:
        return different(f"{exchange.status}; it is at {found}")
    tried = len(evidence.all(other_paths(endpoint.name)))
    return different(f"{exchange.status}; none of {tried} other spellings answered" if tried else str(exchange.status))


# --- lists --------------------------------------------------------------------------------------------------------------


MAX_PAGE_SIZE: Final = 1000
"""Maximum number of records on a page."""

STRICT: Final = frozenset({"customers.list", "documents.list"})
"""Lists that are read by name only; of any other list, the only one in the body is read."""

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
    """Returns field names, separated by commas."""
    return ", ".join(field_name(name) for name in fields[:10]) + (", ..." if len(fields) > 10 else "")


def _number(exchange: Exchange | None, name: str) -> int | None:
    found = exchange.summary().get(name) if exchange is not None else None
    return found if isinstance(found, int) and not isinstance(found, bool) else None


# --- one page -----------------------------------------------------------------------------------------------------------


def check_name(evidence: Evidence, endpoint: Endpoint) -> CheckResult:
    """Checks the name of the list in the body."""
    exchange = answer_of(evidence, endpoint.name)
    if exchange is None or not exchange.is_success:
        return why_not_seen(exchange, evidence.ended)
    value = exchange.value()
    found = [name for name, item in exchange.fields().items() if isinstance(item, list)]
    seen = (
        names(found) if found else "no list" if isinstance(value, dict) else "a list alone" if isinstance(value, list) else "no JSON object"
    )
    if endpoint.items in found:
        return as_assumed(endpoint.items)
    return as_assumed(seen) if endpoint.name not in STRICT and list_in(value, endpoint.items) is not None else different(seen)


def check_summary(evidence: Evidence, endpoint: Endpoint) -> CheckResult:
    """Checks the fields of the summary."""
    exchange = answer_of(evidence, endpoint.name)
    if exchange is None or not exchange.is_success:
        return why_not_seen(exchange, evidence.ended)
    summary = exchange.summary()
    if not summary:
        return different("no summary") if endpoint.cap else as_assumed("none: it comes whole")
    missing = [name for name in _SUMMARY if name not in summary]
    odd = [name for name, kind in _SUMMARY.items() if name in summary and not _is(summary[name], kind)]
    more = [name for name in summary if name not in _MAY_BE_THERE]
    seen = "; ".join(
        f"{what}: {names(fields)}" for what, fields in (("missing", missing), ("of another kind", odd), ("more", more)) if fields
    )
    return different(seen) if missing or odd else as_assumed(seen or "as the sample has it")


def _is(value: Any, kind: type) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


# --- further pages --------------------------------------------------------------------------------------------------------


def check_links(evidence: Evidence, endpoint: Endpoint) -> CheckResult:
    """Checks the link to the second page, and that page."""
    exchange = answer_of(evidence, endpoint.name)
    if exchange is None or not exchange.is_success:
        return why_not_seen(exchange, evidence.ended)
    link = exchange.summary().get("nextPage")
    if not isinstance(link, str) or not link.strip():
        pages = _number(exchange, "totalPages")
        if pages is not None and pages > 1:
            return different(f"no link, and {pages} pages")
        return not_seen("the list has one page")
    query = link_query(link)
    if query is None:
        return different("a link without a query")
    parameters = [name for name, _ in query]
    seen = f"{names(parameters)}{_host(link, evidence.base_url)}"
    second = evidence.first(f"{endpoint.name}/pages")
    if second is None or not second.is_success:
        seen += f"; the second page: {why_not_seen(second, evidence.ended)[0]}"
    elif _number(second, "pageNo") != 2:
        return different(f"{seen}; it does not lead to page 2")
    return as_assumed(seen) if sorted(parameters) == ["pageno", "query"] else different(seen)


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
    """Returns the last page of a list, if it was read: its number is the number of pages."""
    read = [answer_of(evidence, name), *evidence.all(f"{name}/pages"), *evidence.all(f"{name}/last")]
    for exchange in read:
        number, pages = _number(exchange, "pageNo"), _number(exchange, "totalPages")
        if exchange is not None and exchange.is_success and number is not None and pages is not None and number >= pages:
            return exchange
    return None


def check_end(evidence: Evidence, endpoint: Endpoint) -> CheckResult:
    """Checks `nextPage` of the last page."""
    exchange = answer_of(evidence, endpoint.name)
    if exchange is None or not exchange.is_success:
        return why_not_seen(exchange, evidence.ended)
    found = last_page(evidence, endpoint.name)
    if found is None:
        return not_seen("the last page was not reached")
    if "nextPage" not in found.summary():
        return as_assumed("absent")
    link = found.summary()["nextPage"]
    if link is None:
        return as_assumed("null")
    if not isinstance(link, str):
        return different(f"neither a text nor null ({type(link).__name__})")
    return different("a link") if link.strip() else as_assumed("blank")


# --- caps ---------------------------------------------------------------------------------------------------------------


def check_maximum(evidence: Evidence, endpoint: Endpoint) -> CheckResult:
    """Checks what a `maximumcount` above the limit becomes."""
    exchange = evidence.first(f"{endpoint.name}/most")
    return _check_number(evidence, exchange, "maximumCount", endpoint.cap)


def check_small(evidence: Evidence, endpoint: Endpoint) -> CheckResult:
    """Checks what a `pagesize` below 5 becomes."""
    return _check_number(evidence, evidence.first(f"{endpoint.name}/small"), "pageSizeLimit", 10)


def check_large(evidence: Evidence, endpoint: Endpoint) -> CheckResult:
    """Checks what a `pagesize` above the limit becomes."""
    return _check_number(evidence, evidence.first(f"{endpoint.name}/large"), "pageSizeLimit", MAX_PAGE_SIZE)


def _check_number(evidence: Evidence, exchange: Exchange | None, name: str, expected: int) -> CheckResult:
    if exchange is not None and exchange.status in {400, 422}:
        return different(f"refused with {exchange.status}")
    if exchange is None or not exchange.is_success:
        return why_not_seen(exchange, evidence.ended)
    number = _number(exchange, name)
    if number is None:
        return not_seen(f"no {name} in the summary")
    return as_assumed(f"{name} {number}") if number == expected else different(f"{name} {number}")


def check_total(evidence: Evidence, endpoint: Endpoint) -> CheckResult:
    """Checks that `totalCount` stops at `maximumcount`."""
    exchange, whole = evidence.first(f"{endpoint.name}/few"), answer_of(evidence, endpoint.name)
    if exchange is None or not exchange.is_success:
        return why_not_seen(exchange, evidence.ended)
    total, asked, there = _number(exchange, "totalCount"), int(dict(exchange.query)["maximumcount"]), _number(whole, "totalCount")
    if total is None or there is None:
        return not_seen("no totalCount in the summary")
    if there <= asked:
        return not_seen(f"the list has no more than {asked} records")
    return as_assumed("it stops there") if total == asked else different("it counts all" if total == there else "neither that nor all")


def check_past(evidence: Evidence, endpoint: Endpoint) -> CheckResult:
    """Checks what is past the last page."""
    exchange = evidence.first(f"{endpoint.name}/past")
    if exchange is None or exchange.status is None or exchange.status == 403:
        return why_not_seen(exchange, evidence.ended)
    if not exchange.is_success:
        return different(str(exchange.status))
    if any(isinstance(item, list) and item for item in exchange.fields().values()):
        return different(f"{exchange.status} with records")
    return as_assumed(f"{exchange.status} without records")


def query_of(link: object) -> dict[str, str]:
    """Returns the query of a link from the server, to be sent to the list's own address; empty where there is none."""
    try:
        return dict(parse_qsl(urlsplit(link.strip()).query)) if isinstance(link, str) else {}
    except ValueError:
        return {}
