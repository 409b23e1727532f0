"""Pure: what the fields of a record must be together: what is missing, which dates and amounts don't agree.

Each rule takes what it needs only where that is of the right type; what is not has been named already.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from decimal import Context, Decimal, localcontext
from types import MappingProxyType
from typing import Any, Final

from ..models.base import Input
from ..models.customers import Customer
from ..models.documents import Document
from ..values.findings import Found
from .formats import is_date, organization_fault

__all__ = ["RULES", "is_odd_key"]

# Amounts are exact; what is far beyond all money gives no error but Infinity.
_EXACT: Final = Context(prec=200, traps=[])
_AMOUNTS: Final = ("exclVat", "vat", "inclVat")


def is_odd_key(key: str) -> bool:
    """Whether a key has something around it or in it that is invisible."""
    return not key.isprintable() or key.strip() != key


def _key_faults(value: Mapping[str, Any], name: str) -> Iterator[Found]:
    key = value.get(name)
    if isinstance(key, str) and is_odd_key(key):
        yield Found("odd_key", f"$.{name}", "white space around it, or characters that can't be printed")


def _is_missing(value: Mapping[str, Any], name: str) -> bool:
    item = value.get(name)
    return item is None or (isinstance(item, str) and not item.strip())


def _customer_faults(value: Mapping[str, Any]) -> Iterator[Found]:
    if _is_missing(value, "customerNo"):
        yield Found("missing", "$.customerNo", "missing: it names the customer")
    else:
        yield from _key_faults(value, "customerNo")
    address = value.get("postalAddress")
    country = address.get("countryCode") if isinstance(address, Mapping) else None
    for name, scheme in (("organizationNo", value.get("organizationNoScheme")), ("parentOrganizationNo", None)):
        number = value.get(name)
        if isinstance(number, str) and (message := organization_fault(number, scheme, country)) is not None:
            yield Found("organization_no", f"$.{name}", message)


def _document_faults(value: Mapping[str, Any]) -> Iterator[Found]:
    if _is_missing(value, "customerNo"):
        yield Found("missing", "$.customerNo", "missing: nobody would be billed")
    else:
        yield from _key_faults(value, "customerNo")
    if _is_missing(value, "documentType"):
        yield Found("missing", "$.documentType", "missing")
    if _is_missing(value, "documentNo"):
        yield Found("no_document_no", "$.documentNo", "missing: an unknown outcome could not be looked up")
    else:
        yield from _key_faults(value, "documentNo")
    issued, due = _day(value.get("documentDate")), _day(value.get("dueDate"))
    if issued and due and due < issued:
        yield Found("due_before_date", "$.dueDate", "before documentDate")
    with localcontext(_EXACT):
        yield from _amount_faults(value)


def _day(value: object) -> str:
    # A date of Python in a record that can't be written is no text; its other faults come first.
    return value if isinstance(value, str) and is_date(value) else ""


def _number(value: object) -> int | Decimal | None:
    return value if isinstance(value, (int, Decimal)) and not isinstance(value, bool) else None


def _amount_faults(value: Mapping[str, Any]) -> list[Found]:
    found: list[Found] = []
    header, lines = value.get("currencyAmounts"), value.get("documentLines")
    if isinstance(header, Mapping) and not _adds_up(header):
        found.append(Found("amounts", "$.currencyAmounts", "exclVat and vat don't make inclVat"))
    if not isinstance(lines, list):
        return found
    for place, line in enumerate(lines):
        amounts = line.get("currencyAmounts") if isinstance(line, Mapping) else None
        if isinstance(amounts, Mapping) and not _adds_up(amounts):
            found.append(Found("amounts", f"$.documentLines[{place}].currencyAmounts", "exclVat and vat don't make inclVat"))
    if isinstance(header, Mapping) and lines:
        found.extend(_sum_faults(header, lines))
    return found


def _adds_up(amounts: Mapping[str, Any]) -> bool:
    excl, vat, incl = [_number(amounts.get(name)) for name in _AMOUNTS]
    return excl is None or vat is None or incl is None or Decimal(excl) + Decimal(vat) == incl


def _sum_faults(header: Mapping[str, Any], lines: list[Any]) -> Iterator[Found]:
    """The amounts of the document that are not the sum of those of its lines, where all lines tell theirs."""
    given = [line.get("currencyAmounts") for line in lines if isinstance(line, Mapping) and not _is_text_line(line)]
    amounts = [each for each in given if isinstance(each, Mapping)]
    if not given or len(amounts) < len(given):
        return
    for name in _AMOUNTS:
        total, parts = _number(header.get(name)), [_number(each.get(name)) for each in amounts]
        known = [part for part in parts if part is not None]
        if total is not None and len(known) == len(parts) and sum(map(Decimal, known), Decimal()) != total:
            yield Found("lines", f"$.currencyAmounts.{name}", "not the sum of the lines")


def _is_text_line(line: Mapping[str, Any]) -> bool:
    """Whether a line has no amounts because it is only text."""
    kind = line.get("lineType")
    return line.get("currencyAmounts") is None and isinstance(kind, str) and kind.upper() == "TXT"


RULES: Final[Mapping[type[Input], Callable[[Mapping[str, Any]], Iterator[Found]]]] = MappingProxyType(
    {Customer: _customer_faults, Document: _document_faults}
)
"""For each kind of record: the faults of its fields together."""
