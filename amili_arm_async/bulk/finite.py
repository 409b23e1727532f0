"""Pure: checks whether Structs hold only finite numbers, by the fields that are numbers by their type.

msgspec writes NaN and Infinity as null or as bare words. To search the text for them costs as much as to write it; to check the few fields
that hold numbers costs a fraction of that. Fields of text are not checked: a type checker does that. Whatever is unusual makes the answer
False: then the text is searched after all, which also finds what is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

from msgspec import UNSET

from ..models.base import Input
from ..models.customers import Customer
from ..models.documents import Document

__all__ = ["FINITE_CHECKS"]

# These run for every record that is sent: so each value is checked in place, without a call. What has no `is_finite`, or can't be iterated,
# raises.


def _are_finite_customers(customers: Iterable[Any]) -> bool:
    for one in customers:
        if not (
            # Only few customers have an amount or a rate; without them, no customer of a run has a Decimal anywhere.
            one.limit_amount is UNSET
            and one.discount_rate is UNSET
            and (type(one.due_days) is int or one.due_days is UNSET)
            and (one.year_of_birth is UNSET or type(one.year_of_birth) is int)
            and (one.distribution is UNSET or type(one.distribution.einvoice_code) is int or one.distribution.einvoice_code is UNSET)
        ):
            return False
    return True


def _are_finite_documents(documents: Iterable[Any]) -> bool:
    for one in documents:
        if not (one.attachment_files is UNSET and one.attachment_codes is UNSET and one.custom_codes is UNSET):
            # They may hold anything.
            return False
        if not (one.distribution is UNSET or type(one.distribution.einvoice_code) is int or one.distribution.einvoice_code is UNSET):
            return False
        amounts = one.currency_amounts
        if amounts is not UNSET and not (
            (amounts.excl_vat is UNSET or amounts.excl_vat.is_finite())
            and (amounts.vat is UNSET or amounts.vat.is_finite())
            and (amounts.incl_vat is UNSET or amounts.incl_vat.is_finite())
        ):
            return False
        if one.document_lines is not UNSET and not _are_finite_lines(one.document_lines):
            return False
    return True


def _are_finite_lines(lines: Iterable[Any]) -> bool:
    for line in lines:
        amounts = line.currency_amounts
        if not (
            (type(line.line_no) is int or line.line_no is UNSET)
            and (line.price is UNSET or line.price.is_finite())
            and (line.quantity is UNSET or line.quantity.is_finite())
            and (line.volume is UNSET or line.volume.is_finite())
            and (
                amounts is UNSET
                or (
                    (amounts.excl_vat is UNSET or amounts.excl_vat.is_finite())
                    and (amounts.vat is UNSET or amounts.vat.is_finite())
                    and (amounts.incl_vat is UNSET or amounts.incl_vat.is_finite())
                )
            )
        ):
            return False
    return True


FINITE_CHECKS: Final[Mapping[type[Input], Callable[[Iterable[Any]], bool]]] = MappingProxyType(
    {Customer: _are_finite_customers, Document: _are_finite_documents}
)
"""For each Struct of a record: checks whether records hold only finite numbers; False or an error where that is not certain."""
