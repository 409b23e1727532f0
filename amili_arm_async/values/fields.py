"""Pure: the fields of what is sent, by their names on the wire: type, role, meaning and an example of each."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache
from inspect import cleandoc
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias, get_args, get_origin, get_type_hints

from msgspec import Struct

from ..codec import type_options
from ..models.base import Input
from ..models.customers import Customer
from ..models.documents import Document

__all__ = ["KEYS", "LINES", "MODELS", "Field", "FieldType", "RecordKind", "Role", "fields_of"]

RecordKind: TypeAlias = Literal["customers", "documents"]

FieldType: TypeAlias = Literal["text", "texts", "integer", "decimal", "date", "boolean"]

Role: TypeAlias = Literal[
    "identifier", "reference", "name", "address", "email", "free_text", "code", "country", "currency", "language", "value"
]
"""What a text is for, which decides the rules that hold for it. `value`: the field is no text."""

KEYS: Final[Mapping[RecordKind, str]] = MappingProxyType({"customers": "customerNo", "documents": "documentNo"})
"""The field that identifies a record."""

MODELS: Final[Mapping[RecordKind, type[Input]]] = MappingProxyType({"customers": Customer, "documents": Document})

LINES: Final = "documentLines"
"""The field that holds the lines of a document."""

_TYPES: Final[dict[Any, FieldType]] = {str: "text", int: "integer", Decimal: "decimal", date: "date", bool: "boolean"}

_ROLES: Final[Mapping[str, Role]] = {
    **dict.fromkeys(("name", "informalName", "articleName"), "name"),
    **dict.fromkeys(("addressLine1", "addressLine2", "addressLine3", "cityName", "countryText"), "address"),
    **dict.fromkeys(("emailAddress", "emailAddressDocument", "secondaryEmailAddress"), "email"),
    **dict.fromkeys(("customerMessage", "ledgerNote", "lineText"), "free_text"),
    **dict.fromkeys(("countryCode", "ssnCountry"), "country"),
    **dict.fromkeys(("sellerReference", "buyerReference", "additionalReference"), "reference"),
    "currency": "currency",
    "language": "language",
}
_IDENTIFIER: Final = re.compile(r".*(No|Id|Ids)|kid|ssn|postalCode|address|attachmentFiles")
_MEANING: Final = re.compile(r"^    (\w+): (.+(?:\n {8,}.+)*)", re.MULTILINE)
_EXAMPLE: Final = re.compile(r"for example `\W*(.+?)\W*`")

_EXAMPLES: Final[Mapping[str, str]] = {
    "activeStatusWeb": "Passive",
    "additionalReference": "X99887",
    "articleName": "Comb",
    "articleNo": "1300",
    "attachmentCodes": "TERMS",
    "attachmentFiles": "a.pdf",
    "bankAccountNo": "86011117947",
    "buyerReference": "A1982",
    "customCodes": "A|B",
    "customerMessage": "Happy holidays!",
    "customerNo": "543210",
    "dateOfBirth": "1956-01-12",
    "digipostBlockIds": "1001|1002",
    "discountRate": "5.5",
    "districtCodes": "03",
    "documentDate": "2026-11-20",
    "documentNo": "88776655",
    "documentType": "IN",
    "dueDate": "2026-12-04",
    "dueDays": "14",
    "efakturaBlockIds": "1001|1002",
    "einvoiceCode": "0",
    "emailAddress": "ola@example.no",
    "emailAddressDocument": "ola@example.no|kari@example.no",
    "exclVat": "1000.00",
    "inclVat": "1250.00",
    "informalName": "Ola",
    "itemGroup1": "500",
    "itemGroup2": "510",
    "itemGroup3": "511",
    "kid": "2345676",
    "ledgerNote": "paid by the parent",
    "limitAmount": "50000",
    "lineNo": "1",
    "lineText": "Red comb",
    "lineType": "PLH",
    "marketingMessageCode": "0203",
    "naceCodes": "47.110|47.190",
    "name": "Ola Nordmann",
    "organizationNo": "984842252",
    "parentCustomerNo": "543209",
    "parentOrganizationNo": "984842252",
    "peppolBlockIds": "1001|1002",
    "phoneNo": "99887766",
    "price": "200.00",
    "purchaseOrderId": "P-4711",
    "quantity": "1.5",
    "salesOrderId": "B-0564311",
    "secondaryEmailAddress": "post@example.no",
    "secondaryPhoneNo": "98989898",
    "sellerReference": "C333",
    "ssn": "15079010003",
    "ssnCountry": "NO",
    "stopDebtCollectionUntil": "2026-12-31",
    "stopInterestCalcUntil": "2026-12-31",
    "stopReminderUntil": "2026-12-31",
    "subCustomerNo": "654655",
    "type": "M",
    "vat": "250.00",
    "vatLiable": "true",
    "volume": "0.75",
    "volumeUnit": "m3",
    "yearOfBirth": "1956",
    "addressLine1": "Storgata 1",
    "addressLine2": "Bolig 12",
    "addressLine3": "2. etasje",
    "peppolEndpointId": "984842252",
    "address": "984842252",
    "addressScheme": "0192",
    "operator": "NO987654321",
}
"""By the name of the field, where its meaning has none."""


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a record, as a column of a table.

    Attributes:
        path: its name on the wire, with dots: `postalAddress.postalCode`, `documentLines.price`.
        names: the parts of the path, from the outermost; in a line of a document, those below `documentLines`.
        in_lines: whether it belongs to a line of a document.
        type: of its value; `texts` is a list of texts.
        role: what it is for.
        meaning: in words.
        example: a value, as it stands in the cell of a table; `|` separates the texts of a list.
    """

    path: str
    names: tuple[str, ...]
    in_lines: bool
    type: FieldType
    role: Role
    meaning: str
    example: str


@cache
def fields_of(kind: RecordKind) -> Mapping[str, Field]:
    """Returns the fields of a kind of record that a column of a table can hold.

    Args:
        kind: `customers` or `documents`.

    Returns:
        The fields by their paths, in the order of the paths.
    """
    found = {field.path: field for field in _fields(MODELS[kind], (), in_lines=False)}
    return MappingProxyType(dict(sorted(found.items())))


def _fields(cls: type[Struct], above: tuple[str, ...], *, in_lines: bool) -> list[Field]:
    hints = get_type_hints(cls)
    meanings = {name: " ".join(words.split()) for name, words in _MEANING.findall(cleandoc(cls.__doc__ or ""))}
    fields: list[Field] = []
    for attribute, wire in zip(cls.__struct_fields__, cls.__struct_encode_fields__, strict=True):
        for option in type_options(hints[attribute]):
            names = (*above, wire)
            if isinstance(option, type) and issubclass(option, Struct):
                fields += _fields(option, names, in_lines=in_lines)
            elif get_origin(option) is list and isinstance(item := get_args(option)[0], type) and issubclass(item, Struct):
                fields += _fields(item, (), in_lines=True)
            elif (kind := "texts" if get_origin(option) is list else _TYPES.get(option)) is not None:
                fields.append(_field(names, in_lines, kind, meanings.get(attribute, "")))
    return fields


def _field(names: tuple[str, ...], in_lines: bool, kind: FieldType, meaning: str) -> Field:
    path = ".".join((LINES, *names) if in_lines else names)
    example = found[1] if (found := _EXAMPLE.search(meaning)) else _EXAMPLES.get(names[-1], "")
    return Field(path, names, in_lines, kind, _role(names[-1], kind), meaning, example)


def _role(name: str, kind: FieldType) -> Role:
    if kind not in {"text", "texts"}:
        return "value"
    return _ROLES.get(name) or ("identifier" if _IDENTIFIER.fullmatch(name) else "code")
