"""Pure: whether a record that has the right types is clean, seen at once; False where that is not sure.

Nearly all records are clean. They are read once into a Struct and looked at here, each value in its place; only where something is odd,
`shapes` and `rules` walk through the record to say what. So all that is said here must hold there too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Final

from ..models.base import Input
from ..models.customers import Customer
from ..models.documents import Document
from .formats import COUNTRIES, CURRENCIES, is_date, is_email, is_kid, is_language, organization_fault
from .rules import is_odd_key

__all__ = ["IS_CLEAN", "may_hold_control"]

_NUMBERS: Final = frozenset({int, Decimal})
_NUMBERS_OR_NONE: Final = frozenset({int, Decimal, type(None)})
_ESCAPED: Final = re.compile(rb"\\(?:[bfnrt]|u00[01789])", re.IGNORECASE)
_RAW: Final = re.compile(rb"\xc2[\x80-\x9f]")


def may_hold_control(text: bytes) -> bool:
    """Whether a JSON text may hold control characters. To look for single bytes is cheap: most texts have none of these."""
    return (b"\\" in text and _ESCAPED.search(text) is not None) or b"\x7f" in text or (b"\xc2" in text and _RAW.search(text) is not None)


def _is_clean_customer(one: Any) -> bool:
    key, address = one.customer_no, one.postal_address
    country = address.country_code if address is not None else None
    return not (
        not key
        or is_odd_key(key)
        or (one.currency and one.currency not in CURRENCIES)
        or (country and country not in COUNTRIES)
        or (one.language and not is_language(one.language))
        or (one.ssn_country and one.ssn_country not in COUNTRIES)
        or (one.organization_no and organization_fault(one.organization_no, one.organization_no_scheme, country) is not None)
        or (one.parent_organization_no and organization_fault(one.parent_organization_no, None, country) is not None)
        or (one.email_address_document and not all(map(is_email, one.email_address_document)))
        or (one.secondary_email_address and not all(map(is_email, one.secondary_email_address)))
        or (one.date_of_birth and not is_date(one.date_of_birth))
        or (one.stop_debt_collection_until and not is_date(one.stop_debt_collection_until))
        or (one.stop_interest_calc_until and not is_date(one.stop_interest_calc_until))
        or (one.stop_reminder_until and not is_date(one.stop_reminder_until))
        or type(one.discount_rate) not in _NUMBERS_OR_NONE
        or type(one.limit_amount) not in _NUMBERS_OR_NONE
    )


def _is_clean_document(one: Any) -> bool:
    key, owner, kind = one.document_no, one.customer_no, one.document_type
    return not (
        not key
        or is_odd_key(key)
        or not owner
        or is_odd_key(owner)
        or not kind
        or kind.isspace()
        or (one.currency and one.currency not in CURRENCIES)
        or (one.language and not is_language(one.language))
        or (one.kid and not is_kid(one.kid))
        or (one.email_address and not all(map(is_email, one.email_address)))
        or not _are_days(one.document_date, one.due_date)
        or not _are_amounts(one.currency_amounts, one.document_lines)
    )


def _are_days(issued: str | None, due: str | None) -> bool:
    return (not issued or is_date(issued)) and (not due or (is_date(due) and (not issued or issued <= due)))


def _are_amounts(header: Any, lines: Any) -> bool:
    """Whether every line is well, and all amounts are there and agree."""
    excl: Any = 0
    vat: Any = 0
    for line in lines or ():
        if not (type(line.price) in _NUMBERS_OR_NONE and type(line.quantity) in _NUMBERS_OR_NONE and type(line.volume) in _NUMBERS_OR_NONE):
            return False
        amounts = line.currency_amounts
        if amounts is None:
            if header is not None and line.line_type != "TXT":
                return False
        elif not _adds_up(amounts):
            return False
        else:
            # Where these two are right, so is inclVat.
            excl, vat = excl + amounts.excl_vat, vat + amounts.vat
    if header is None:
        return True
    return _adds_up(header) and (not lines or (excl == header.excl_vat and vat == header.vat))


def _adds_up(amounts: Any) -> bool:
    excl, vat, incl = amounts.excl_vat, amounts.vat, amounts.incl_vat
    return type(excl) in _NUMBERS and type(vat) in _NUMBERS and type(incl) in _NUMBERS and excl + vat == incl


IS_CLEAN: Final[Mapping[type[Input], Callable[[Any], bool]]] = MappingProxyType(
    {Customer: _is_clean_customer, Document: _is_clean_document}
)
"""For each kind of record: whether one that was read into `fast_struct` is clean; an ArithmeticError says that it is not sure."""
