"""The rules of the ledger, pure: what is a valid record, how an update merges, what a list shows.

Nothing here does I/O, reads a clock or knows the server. Numbers are `Decimal` or `int` and never
`float`, so that an amount comes back exactly as it was sent.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

JsonObject = dict[str, Any]

_DECODER = msgspec.json.Decoder(float_hook=Decimal)
_MARGIN = 64
"""Levels that are kept free for what reads or writes the same JSON further down the stack."""
_SHALLOW = 500
"""Levels that every Python can read and write, wherever it stands in the stack."""
_ENCODER = msgspec.json.Encoder(decimal_format="number")
_CANONICAL = msgspec.json.Encoder(decimal_format="number", order="sorted")

BLANK_ADDRESS: Mapping[str, str] = {
    "addressLine1": "",
    "addressLine2": "",
    "addressLine3": "",
    "postalCode": "",
    "cityName": "",
    "countryText": "",
    "countryCode": "",
}
_BLANK_DISTRIBUTION: Mapping[str, Any] = {
    "type": "",
    "einvoiceCode": 0,
    "peppolEndpointId": "",
    "peppolEndpointIdScheme": "",
}
# The fields of the pages' list sample in its order, with what is shown for a field that was not given. None: the
# field is left out then, as the sample leaves out dates and usingLanguage.
_SHOWN: Mapping[str, Any] = {
    "name": "",
    "postalAddress": BLANK_ADDRESS,
    "postalReturnStatus": 0,
    "postalReturnDate": None,
    "customerCategory": "",
    "emailAddressDocument": (),
    "secondaryEmailAddress": (),
    "phoneNo": "",
    "secondaryPhoneNo": "",
    "organizationNo": "",
    "organizationNoScheme": "",
    "dateOfBirth": None,
    "yearOfBirth": 0,
    "ssn": "",
    "ssnCountry": "",
    "informalName": "",
    "customerGroupCode": "",
    "priceNetOrGross": "",
    "language": "",
    "usingLanguage": None,
    "currency": "",
    "distribution": _BLANK_DISTRIBUTION,
    "sellerReference": "",
    "buyerReference": "",
    "bankAccountNo": "",
    "stopReminderUntil": None,
    "stopDebtCollectionUntil": None,
    "stopInterestCalcUntil": None,
    "efakturaBlockIds": (),
    "peppolBlockIds": (),
    "digipostBlockIds": (),
    "dueDays": 0,
    "vatLiable": False,
    "arRules": (),
    "naceCodes": (),
    "districtCodes": (),
    "parentCustomerNo": "",
    "parentOrganizationNo": "",
    "discountRate": 0,
    "activeStatusWeb": "",
    "customerMessage": "",
    "limitAmount": 0,
    "registrationStatusCode": "",
    "registrationStatusDate": None,
    "postalAddressChanged": None,
}
NO_SUCH_CUSTOMER = "customer does not exist"
"""Why an update, or a document, is refused whose customer is unknown."""
_NOT_WRITABLE = frozenset({"clientNo", "accountNo", "customerKid", "balanceTotal"})


class CustomerHead(msgspec.Struct, rename="camel"):
    """The few fields of a sent customer that the sandbox itself reads; the rest is kept as it came."""

    customer_no: Any = None
    name: Any = None
    organization_no: Any = None
    customer_category: Any = None


class DocumentHead(msgspec.Struct, rename="camel"):
    """The few fields of a sent document that the sandbox itself reads; the rest is kept as it came."""

    document_no: Any = None
    document_type: Any = None
    customer_no: Any = None


class TooDeep(ValueError):  # noqa: N818 - it says what the JSON is
    """JSON that is nested deeper than the stack is."""


def decode(data: bytes | memoryview) -> Any:
    """Returns the JSON value in `data`; numbers with a fraction become `Decimal`. No JSON: `ValueError`."""
    try:
        return _DECODER.decode(data)
    except RecursionError as error:
        raise TooDeep("the body is nested too deep") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError("the body is not JSON") from error


def refuse_depth(data: bytes | memoryview) -> None:
    """Raises a `ValueError` for JSON so deep that what comes later, further down the stack, could not read or write it."""
    try:
        # All of it is read, not just passed over: from Python 3.14 on, reading takes far more of the stack.
        _DECODER.decode(b"[" * _MARGIN + data + b"]" * _MARGIN)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise ValueError("the body is not JSON, or nested too deep") from exc


def refuse_deep_records(records: Sequence[msgspec.Raw]) -> None:
    """Raises a `ValueError` if one of many records is nested too deep; quick, since few can be."""
    for record in records:
        text = memoryview(record)
        # A level takes two bytes.
        if len(text) > 2 * _SHALLOW and bytes(text).count(b"[") + bytes(text).count(b"{") > _SHALLOW:
            refuse_depth(text)


def decode_object(data: bytes | memoryview) -> JsonObject:
    """Returns the JSON object in `data`; numbers with a fraction become `Decimal`.

    Anything else: `ValueError`.
    """
    value = decode(data)
    if not isinstance(value, dict):
        raise ValueError("a JSON object is expected")
    return value


def encode(value: object) -> bytes:
    """Returns `value` as JSON; a `Decimal` is written as a number with the very digits it has."""
    return _ENCODER.encode(value)


def text(value: object) -> str:
    """Returns a key as text: text as it is, a whole number as its digits, blank for anything else."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""


def fold(value: object) -> str:
    """Returns a data value as it is compared: the pages say that data values are not case-sensitive."""
    return value.casefold() if isinstance(value, str) else text(value)


def content_key(document: Mapping[str, Any]) -> str:
    """Returns the key of a document that has no documentNo: a hash of its content.

    Equal content gives an equal key: the order of the fields does not count, nor how a number is written (1,
    1.0, 1e0).
    """
    digest = hashlib.blake2b(_CANONICAL.encode(_plain(document)), digest_size=16).hexdigest()
    return f"content:{digest}"


def _plain(value: Any, levels: int = 100) -> Any:
    """Returns `value` with every number in one way of writing; what is nested deeper than `levels` stays as it is."""
    if isinstance(value, Mapping) and levels:
        return {key: _plain(item, levels - 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)) and levels:
        return [_plain(item, levels - 1) for item in value]
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        return value
    number = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    return number.normalize() if number else Decimal(0)


def customer_fault(head: CustomerHead | None, *, exists: bool, may_create: bool) -> str | None:
    """Returns why a customer is refused, or None. `head` is None for what is not a JSON object."""
    if head is None:
        return "customer must be an object"
    number = text(head.customer_no)
    if not number.strip():
        return "customerNo is missing"
    if not number.isprintable():
        return "customerNo has control characters"
    if exists:
        return None
    if not may_create:
        return NO_SUCH_CUSTOMER
    if not text(head.name).strip():
        return "name is missing"
    return None


def document_fault(head: DocumentHead | None) -> str | None:
    """Returns why a document is refused for what it lacks, or None.

    `head` is None for what is not a JSON object.
    """
    if head is None:
        return "document must be an object"
    if not text(head.customer_no).strip():
        return "customerNo is missing"
    if not text(head.document_type).strip():
        return "documentType is missing"
    return None


def merge_customer(stored: Mapping[str, Any], given: Mapping[str, Any]) -> JsonObject:
    """Returns the customer after an update: missing or null keeps, blank clears, an address changes whole.

    Objects inside (`distribution`) merge field by field in the same way; lists are replaced whole.
    """
    merged = dict(stored)
    for name, value in given.items():
        if value is None:
            continue
        before = merged.get(name)
        if name == "postalAddress" and isinstance(value, dict):
            address = {key: item for key, item in value.items() if item is not None}
            if address:
                merged[name] = {**BLANK_ADDRESS, **address}
        elif isinstance(value, dict) and isinstance(before, dict):
            merged[name] = {**before, **{key: item for key, item in value.items() if item is not None}}
        else:
            merged[name] = value
    return merged


def customer_kid(client_no: int, account_no: int) -> str:
    """Returns a payment identifier like the pages' samples: client, account, zeros, modulus-10 digit."""
    digits = f"500{client_no:04d}{account_no:06d}0000000"
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 - place % 2)
        total += value if value < 10 else value - 9
    return f"{digits}{-total % 10}"


def show_customer(data: Mapping[str, Any], client_no: int, account_no: int) -> JsonObject:
    """Returns a stored customer as it is shown: every field of the pages' sample, empty where not given."""
    shown: JsonObject = {
        "clientNo": client_no,
        "accountNo": account_no,
        "customerNo": text(data.get("customerNo")),
    }
    for name, empty in _SHOWN.items():
        value = data.get(name)
        if isinstance(empty, Mapping) and isinstance(value, dict):
            value = {**empty, **{key: item for key, item in value.items() if item is not None}}
        if value is None:
            value = _fresh(empty)
        if value is not None:
            shown[name] = value
    for name, value in data.items():
        # A field the samples don't have is stored and shown all the same: the sandbox must not lose what it
        # was sent.
        if name not in shown and name not in _SHOWN and name not in _NOT_WRITABLE and value is not None:
            shown[name] = value
    shown["customerKid"] = customer_kid(client_no, account_no)
    shown["balanceTotal"] = 0
    return shown


def _fresh(empty: Any) -> Any:
    """Returns what an empty field shows, as an object of its own."""
    if isinstance(empty, Mapping):
        return dict(empty)
    return [] if empty == () else empty


def show_document(data: Mapping[str, Any], client_no: int, number: str) -> JsonObject:
    """Returns a stored document as GET shows it: what was sent, the client, and the number if one was made."""
    shown: JsonObject = {"clientNo": client_no}
    shown.update((name, value) for name, value in data.items() if value is not None)
    if number:
        shown["documentNo"] = number
    return shown


def page_size(asked: int | None, cap: int = 1000) -> int:
    """Returns the page size that counts: 100 by default, 10 for an attempt below 5, at most `cap`."""
    wanted = 100 if asked is None else 10 if asked < 5 else asked
    return min(wanted, cap)


def batch_id(random_bytes: bytes) -> str:
    """Returns 16 random bytes as the 22 characters of the URL-safe base64 alphabet that the pages show."""
    return base64.urlsafe_b64encode(random_bytes).rstrip(b"=").decode("ascii")
