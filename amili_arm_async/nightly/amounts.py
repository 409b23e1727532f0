"""Reads the total and the currency of a document: a Struct, a mapping or bytes, of any quality. Pure.

A total is never guessed: one that is there but can't be read is no total, and is not computed from the lines either.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Context, Decimal, Inexact, InvalidOperation, Overflow, Subnormal, Underflow
from operator import attrgetter
from typing import Any, Final, NamedTuple

import msgspec

from .. import codec
from ..bulk.plain_records import plain_value
from ..bulk.record_amounts import EXACT, MOST_DIGITS
from ..models.documents import Document

__all__ = ["EXACT", "DocumentAmounts", "currency_of", "headers_of", "read_amounts"]

_BOUNDED: Final = Context(
    prec=2 * MOST_DIGITS, Emax=MOST_DIGITS, Emin=-MOST_DIGITS, traps=[Inexact, InvalidOperation, Overflow, Subnormal, Underflow]
)
_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,1000}(\.[0-9]{0,1000})?([eE][+-]?[0-9]{1,4})?")
_CURRENCY_LENGTH: Final = 3


class DocumentAmounts(NamedTuple):
    """What was read from a document.

    Attributes:
        currency: its currency, or None where it has none.
        total: its total, or None where it has none.
        from_lines: whether the total is the sum of the lines.
    """

    currency: str | None = None
    total: Decimal | None = None
    from_lines: bool = False


class _NotAnAmount(Exception):  # noqa: N818 - it is no error
    """Where an amount should be, there is something else."""


def read_amounts(record: Any) -> DocumentAmounts:
    """Reads total and currency of any record; what is not there stays empty. Never raises."""
    try:
        if isinstance(record, (bytes, bytearray)):
            record = codec.json_object(bytes(record))
        if not isinstance(record, (msgspec.Struct, Mapping)):
            return DocumentAmounts()
        currency = currency_of(_field(record, "currency"))
    except Exception:  # an object of the caller may raise anything while it is read
        return DocumentAmounts()
    try:
        total = _amount(_field(_field(record, "currency_amounts"), "incl_vat"))
        return DocumentAmounts(currency, total) if total is not None else _sum_of_lines(currency, _field(record, "document_lines"))
    except Exception:  # such as _NotAnAmount
        return DocumentAmounts(currency)


def currency_of(value: Any) -> str | None:
    """Returns a currency as it is compared: three letters, in upper case; None for everything else."""
    value = plain_value(value)
    if not isinstance(value, str):
        return None
    text = value.strip().upper()
    return text if len(text) == _CURRENCY_LENGTH and text.isascii() and text.isalpha() else None


_WIRE: Final = dict[str, str](
    currency="currency",
    currency_amounts="currencyAmounts",
    document_lines="documentLines",
    excl_vat="exclVat",
    incl_vat="inclVat",
    line_type="lineType",
    price="price",
    quantity="quantity",
    vat="vat",
)


def _field(record: Any, name: str) -> Any:
    """Returns a field by its name as an attribute or as in JSON; None where it is not given."""
    if record is None:
        return None
    if isinstance(record, msgspec.Struct):
        value = getattr(record, name, None)
    elif isinstance(record, Mapping):
        value = record.get(_WIRE[name])
    else:
        raise _NotAnAmount
    return None if value is msgspec.UNSET else value


def _amount(value: Any) -> Decimal | None:
    """Returns an amount exactly as it would be sent; None where there is none. Raises `_NotAnAmount` for anything else."""
    value = plain_value(value)
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if isinstance(value, float):
        # msgspec, like Python, writes the shortest text that reads as the same float.
        value = repr(value)
    if isinstance(value, str):
        if _NUMBER.fullmatch(value.strip()) is None:
            raise _NotAnAmount
        value = Decimal(value.strip())
    elif isinstance(value, int) and not isinstance(value, bool) and value.bit_length() <= MOST_DIGITS:
        value = Decimal(value)
    if not isinstance(value, Decimal) or not value.is_finite():
        raise _NotAnAmount
    # Raises for absurd exponents: calculating with them exactly could need any amount of memory.
    return _BOUNDED.plus(value) if value else Decimal(0)


def _sum_of_lines(currency: str | None, lines: Any) -> DocumentAmounts:
    """Returns the sum of the lines, if each has an amount or is only text."""
    if not isinstance(lines, (list, tuple)):
        return DocumentAmounts(currency)
    total: Decimal | None = None
    for line in lines:
        if not isinstance(line, (msgspec.Struct, Mapping)):
            raise _NotAnAmount
        amounts = _field(line, "currency_amounts")
        amount = _amount(_field(amounts, "incl_vat"))
        if amount is not None:
            total = EXACT.add(total or Decimal(0), amount)
        elif not _is_only_text(line, amounts):
            raise _NotAnAmount
    return DocumentAmounts(currency, total, total is not None)


def _is_only_text(line: Any, amounts: Any) -> bool:
    """Tells whether a line without an amount including VAT is no part of the total: nothing else in it says that it costs something."""
    figures = [_field(line, "price"), _field(amounts, "excl_vat"), _field(amounts, "vat")]
    kind = plain_value(_field(line, "line_type"))
    if not isinstance(kind, str) or kind.strip().upper() != "TXT":
        # A quantity of an article: the service may know its price.
        figures.append(_field(line, "quantity"))
    return not any(map(_amount, figures))


# --- many at once -------------------------------------------------------------------------------------------------------


class _Amounts(msgspec.Struct, rename="camel", gc=False):
    incl_vat: Any


class _Header(msgspec.Struct, rename="camel", gc=False):
    currency_amounts: _Amounts
    currency: str | None = None


# Not typed as Decimal: msgspec would also accept a text, which the careful path handles.
_HEADER: Final = msgspec.json.Decoder(_Header, float_hook=Decimal)
_TOTAL: Final = attrgetter("currency_amounts.incl_vat")
_CURRENCY: Final = attrgetter("currency")


def headers_of(records: Sequence[Any]) -> tuple[list[Any], list[Decimal]] | None:
    """Reads many documents at once: the fast path.

    Args:
        records: documents.

    Returns:
        Their currencies, not normalised, and their totals; None unless all records have the same type and a total in their header.
    """
    types = set(map(type, records))
    if len(types) != 1:
        return None
    cls = types.pop()
    try:
        if cls is Document:
            return list(map(_CURRENCY, records)), _decimals(list(map(_TOTAL, records)))
        if cls is bytes:
            headers = list(map(_HEADER.decode, records))
            return list(map(_CURRENCY, headers)), _decimals(list(map(_TOTAL, headers)))
        if cls is dict:
            totals = [record["currencyAmounts"]["inclVat"] for record in records]
            return [record.get("currency") for record in records], _decimals(totals)
    except Exception:  # below, each record is read alone
        return None
    return None


def _decimals(totals: list[Any]) -> list[Decimal]:
    types = set(map(type, totals))
    if types <= {Decimal}:
        return totals
    if not types <= {Decimal, int, float}:
        raise _NotAnAmount
    return [Decimal(repr(total)) if type(total) is float else Decimal(total) for total in totals]
