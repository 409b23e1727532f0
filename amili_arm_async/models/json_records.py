"""Objects whose fields are on no public page: JSON as it came, and the little that the pages say about it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any, Final, Literal

from . import listing

__all__ = ["ArItem", "AutoPostingReply", "GlItem", "JsonRecord", "PaymentReservation", "Reply", "UploadReply"]


class JsonRecord(Mapping[str, Any]):
    """A JSON object as it came, by the API's own names: `record["customerNo"]`, `record.get("customerNo")`, `dict(record)`.

    Numbers with a fraction are `Decimal`. `repr` shows no values.

    Attributes:
        value: the parsed JSON. Where it is no object, the record has no names.
    """

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def _fields(self) -> dict[str, Any]:
        return self.value if isinstance(self.value, dict) else {}

    def __getitem__(self, name: str) -> Any:
        return self._fields()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields())

    def __len__(self) -> int:
        return len(self._fields())

    def __eq__(self, other: object) -> bool:
        if isinstance(other, JsonRecord):
            return bool(self.value == other.value)
        return bool(self._fields() == other) if isinstance(other, Mapping) else NotImplemented

    # A mapping, as a dict: what is equal to one can't be hashed.
    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return listing.brief(self, (), listing.counted(len(self)))

    def to_dict(self) -> dict[str, Any]:
        """Returns its fields by the API's own names, with numbers with a fraction as `Decimal`.

        Returns:
            A new dictionary; empty where the JSON is no object.
        """
        found: dict[str, Any] = listing.plain(self._fields())
        return found

    def show(self) -> None:
        """Prints its fields, personal data included, one a line."""
        listing.print_listing(self)


class Reply(JsonRecord):
    """The answer of an operation whose answer is on no public page: a mapping, as `JsonRecord`.

    Attributes:
        value: the parsed JSON, as it came; None where the answer was empty.
        http_status: the HTTP status, 2xx.
        request_id: the request id that the server gave, or None.
    """

    __slots__ = ("http_status", "request_id")

    def __init__(self, value: Any, http_status: int, request_id: str | None) -> None:
        super().__init__(value)
        self.http_status = http_status
        self.request_id = request_id

    def __repr__(self) -> str:
        shown = [("http_status", self.http_status), ("request_id", self.request_id)]
        return listing.brief(self, shown, listing.counted(len(self)))


# --- items of the ledgers -----------------------------------------------------------------------------------------------

_MONEY: Final = re.compile(r"amount|balance|price|vat$", re.IGNORECASE)
"""Names by which the public samples show money (`limitAmount`, `balanceTotal`, `price`, `exclVat`), wherever they stand."""


class _LedgerItem(JsonRecord):
    """An item whose fields are on no public page; whole numbers of money are `Decimal` too."""

    __slots__ = ()

    def __init__(self, value: Any) -> None:
        super().__init__(_with_money(value, 0))

    def decimal(self, name: str) -> Decimal:
        """Returns the number in a field.

        Args:
            name: the name of the field.

        Returns:
            The number, exactly as it was written.

        Raises:
            KeyError: there is no such field.
            ValueError: it holds no number.
        """
        value = self[name]
        try:
            number = Decimal(value) if isinstance(value, (str, int, Decimal)) and not isinstance(value, bool) else None
        except InvalidOperation:
            number = None
        if number is None or not number.is_finite():
            raise ValueError(f"{name} holds no number")
        return number


_DEEPEST: Final = 100
"""Levels below which money is not looked for."""


def _with_money(value: Any, depth: int) -> Any:
    if depth > _DEEPEST:
        return value
    if isinstance(value, list):
        return [_with_money(item, depth + 1) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        name: Decimal(item) if type(item) is int and _MONEY.search(name) else _with_money(item, depth + 1) for name, item in value.items()
    }


class ArItem(_LedgerItem):
    """A ledger item in the AR subledger (https://docs.amili.dev/joar), a mapping as `JsonRecord`; money is `Decimal`.

    "An item can be debit (positive amount) or credit (negative amount). It can be open (item balance <> 0) or closed (item
    balance = 0)." No public page shows the names of these two fields: tell them, as your account shows them.

    Attributes:
        value: the parsed JSON.
    """

    __slots__ = ()

    def side(self, amount: str) -> Literal["debit", "credit"] | None:
        """Returns whether the item is debit or credit.

        Args:
            amount: the name of the field with its amount, as your account shows it.

        Returns:
            `"debit"` where the amount is positive, `"credit"` where it is negative, None where it is 0.

        Raises:
            KeyError: there is no such field.
            ValueError: it holds no number.
        """
        number = self.decimal(amount)
        return ("debit" if number > 0 else "credit") if number else None

    def state(self, balance: str) -> Literal["open", "closed"]:
        """Returns whether the item is open or closed.

        Args:
            balance: the name of the field with its balance, as your account shows it.

        Returns:
            `"open"` where the balance is not 0, otherwise `"closed"`.

        Raises:
            KeyError: there is no such field.
            ValueError: it holds no number.
        """
        return "open" if self.decimal(balance) else "closed"


class GlItem(_LedgerItem):
    """An item of the general ledger, a mapping as `JsonRecord`; money is `Decimal`.

    Attributes:
        value: the parsed JSON.
    """

    __slots__ = ()


# --- answers that the pages say something of ------------------------------------------------------------------------------


class AutoPostingReply(Reply):
    """The answer to auto postings, a mapping as `Reply`. All or nothing: "If at least one posting in an autoposting batch fails, all
    postings in that batch will be rejected" (https://docs.amili.dev/post-create-one-or-more-auto-postings-3942671e0).

    Attributes:
        value: the parsed JSON.
        http_status: the HTTP status, 2xx.
        request_id: the request id that the server gave, or None.
        validate_only: True where a posting that was sent has the option `validateOnly`: then nothing of the batch may have been posted.
    """

    __slots__ = ("validate_only",)

    def __init__(self, value: Any, http_status: int, request_id: str | None, *, validate_only: bool = False) -> None:
        super().__init__(value, http_status, request_id)
        self.validate_only = validate_only

    @property
    def postings(self) -> list[JsonRecord]:
        """What the response says about single postings: each object in it that has a `resultType`, in order."""
        return [JsonRecord(found) for found in _objects(self.value) if "resultType" in found]

    @property
    def batch_rejected(self) -> list[JsonRecord]:
        """The valid postings that were rejected with their batch: `resultType` is `BATCH-REJECTED`."""
        return [posting for posting in self.postings if _word(posting["resultType"]) == "BATCH-REJECTED"]

    @property
    def is_rejected(self) -> bool:
        """True if the response says `FAILED` or `BATCH-REJECTED` about any posting or the whole: then nothing was posted."""
        names = ("resultType", "result", "status")
        return any(_word(found.get(name)) in {"FAILED", "BATCH-REJECTED"} for found in _objects(self.value) for name in names)


class UploadReply(Reply):
    """The answer to an upload, a mapping as `Reply` (https://docs.amili.dev/post-upload-one-or-more-os-files-3942683e0).

    The page lists 200 and 207; what stands in the body is on no public page.

    Attributes:
        value: the parsed JSON.
        http_status: 200, or 207 (multi-status) where the files did not all fare alike.
        request_id: the request id that the server gave, or None.
    """

    __slots__ = ()

    @property
    def is_multi_status(self) -> bool:
        """True for 207: look at each of `files`."""
        return self.http_status == 207

    @property
    def files(self) -> list[JsonRecord]:
        """What the response says about each file: the items of the first list of objects in it, as they came; empty if there is none."""
        lists = [self.value] if isinstance(self.value, list) else [item for item in self.values() if isinstance(item, list)]
        found = next((each for each in lists if any(isinstance(item, dict) for item in each)), [])
        return [JsonRecord(item) for item in found]


def says_validate_only(value: object) -> bool:
    """Tells whether a body to send has the option `validateOnly` anywhere: as a field that is true, or as a word."""
    for found in _objects(value):
        for name, item in found.items():
            if _word(name) == "VALIDATEONLY" and item is not False and item is not None:
                return True
            words = item if isinstance(item, (list, tuple)) else (item,)
            if any(_word(word) == "VALIDATEONLY" for word in words):
                return True
    return False


def _word(value: object) -> str:
    return value.strip().upper() if isinstance(value, str) else ""


def _objects(value: object) -> Iterator[Mapping[str, Any]]:
    """Gives every object in a JSON value, from the outside in."""
    waiting = [value]
    # It grows while it is walked.
    for found in waiting:
        if isinstance(found, Mapping):
            yield found
            waiting += [item for item in found.values() if isinstance(item, (Mapping, list, tuple))]
        elif isinstance(found, (list, tuple)):
            waiting += found


# --- what is sent -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentReservation:
    """A payment reservation to create, as far as its page shows it (https://docs.amili.dev/creates-a-new-payment-reservation-3942682e0).

    It needs a `payment_id`, and at least one of the others to say which document or customer it is for. That they stand at the top of
    the body is an assumption: where they don't, send a mapping.

    Attributes:
        payment_id: your own unique id of the payment; the same one is never made up or changed here.
        ar_item_id: the AR item of the document's AR posting.
        document_no: the document's number.
        document_uuid: the document's UUID.
        reference_no: reference number of the document.
        kid: KID (Norwegian payment identifier) of the document or of the customer.
        account_no: AR account number of the customer.
        customer_no: the customer's number.
        more: further fields by the API's own names, for example the amount: no public page shows them.
    """

    payment_id: str
    ar_item_id: int | str | None = None
    document_no: str | None = field(default=None, repr=False)
    document_uuid: str | None = None
    reference_no: str | None = field(default=None, repr=False)
    kid: str | None = field(default=None, repr=False)
    account_no: int | str | None = field(default=None, repr=False)
    customer_no: str | None = field(default=None, repr=False)
    more: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def to_mapping(self) -> dict[str, Any]:
        """Returns the body to send.

        Returns:
            A mapping with the API's own names, without the fields that are None.
        """
        named = {wire: getattr(self, name) for name, wire in RESERVATION_FIELDS.items()}
        return {**self.more, **{wire: value for wire, value in named.items() if value is not None}}


RESERVATION_FIELDS: Final = {
    "payment_id": "paymentId",
    "ar_item_id": "arItemId",
    "document_no": "documentNo",
    "document_uuid": "documentUuid",
    "reference_no": "referenceNo",
    "kid": "kid",
    "account_no": "accountNo",
    "customer_no": "customerNo",
}
"""The fields that the page names, by the attributes of `PaymentReservation`."""


def reservation_faults(body: object) -> list[str]:
    """Returns what the vendor's page requires and a reservation lacks, at any depth."""
    filled = {name for found in _objects(body) for name, value in found.items() if value is not None and str(value).strip()}
    faults = [] if "paymentId" in filled else ["$.paymentId: missing; it is your own unique id of the payment"]
    others = [wire for wire in RESERVATION_FIELDS.values() if wire != "paymentId"]
    if filled.isdisjoint(others):
        faults.append(f"$: names no document and no customer; it needs one of {', '.join(others)}")
    return faults
