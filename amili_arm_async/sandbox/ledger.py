"""Stores records in the ledger: applies the rules of `processing` to the tables of `store`, many records at a time."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from . import processing
from .processing import CustomerHead, DocumentHead, fold, text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from .settings import RecordKind, SandboxSettings
    from .store import CustomerRow, Store


class RecordResult(NamedTuple):
    """What became of one record: its number as sent (blank if none), its key, and why it failed, if so."""

    number: str
    key: str
    fault: str | None


class _Envelope(msgspec.Struct):
    """A batch body: the records as they came, undecoded. UNSET where the list is missing."""

    customers: list[msgspec.Raw] | msgspec.UnsetType | None = msgspec.UNSET
    documents: list[msgspec.Raw] | msgspec.UnsetType | None = msgspec.UNSET


_ENVELOPE = msgspec.json.Decoder(_Envelope)
_CUSTOMER = msgspec.json.Decoder(CustomerHead)
_DOCUMENT = msgspec.json.Decoder(DocumentHead)


def split_batch(kind: RecordKind, body: bytes) -> list[msgspec.Raw]:
    """Returns the records of a batch body, each as its own piece of JSON.

    `ValueError` says what is wrong with it.
    """
    try:
        if not body.isascii():
            body.decode()  # msgspec leaves the text of pieces it does not read unchecked
        envelope = _ENVELOPE.decode(body)
    except msgspec.ValidationError as error:
        raise ValueError(f"a JSON object with a list named {kind} is expected") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError("the body is not JSON") from error
    records = envelope.customers if kind == "customers" else envelope.documents
    if not isinstance(records, list):
        raise ValueError(f"the list named {kind} is missing")
    if not records:
        raise ValueError(f"the list named {kind} is empty")
    return records


def heads(kind: RecordKind, records: Sequence[msgspec.Raw]) -> Sequence[Any]:
    """Returns the few fields the sandbox reads of each record; None for what is not a JSON object."""
    decode: Callable[[msgspec.Raw], Any] = _CUSTOMER.decode if kind == "customers" else _DOCUMENT.decode
    found: list[Any] = []
    for record in records:
        try:
            found.append(decode(record))
        except msgspec.DecodeError:
            found.append(None)
    return found


def document_key(head: DocumentHead | None, record: msgspec.Raw) -> str:
    """Returns a document's key: its number, folded; or a hash of its content if it has none."""
    if head is None:
        return ""
    if number := fold(head.document_no):
        return number
    try:
        return processing.content_key(processing.decode_object(memoryview(record)))
    except (ValueError, RecursionError):  # it is nested too deep, and still has to be counted
        return f"content:{hashlib.blake2b(memoryview(record), digest_size=16).hexdigest()}"


class Ledger:
    """Stores records, and knows which of them a test wants rejected."""

    def __init__(self, store: Store, settings: SandboxSettings) -> None:
        self.store = store
        self.settings = settings
        self.rejects: dict[tuple[str, str], str] = {}
        self.poison: set[tuple[str, str]] = set()
        self._made = 0

    def keys(self, kind: RecordKind, records: Sequence[msgspec.Raw]) -> list[str]:
        """Returns the key each record is counted under, in order; blank for what has none."""
        found = heads(kind, records)
        if kind == "customers":
            return ["" if head is None else fold(head.customer_no) for head in found]
        return [document_key(head, record) for head, record in zip(found, records, strict=True)]

    def rejected(self, section: str, record: Mapping[str, Any]) -> str | None:
        """Returns why a test wants a record of another section refused, or None: one of its fields is marked."""
        marks = (self.rejects.get((section, fold(value))) for value in record.values()) if self.rejects else ()
        return next((message for message in marks if message is not None), None)

    def poisoned(self, section: str, record: Any) -> bool:
        """Returns whether a test wants every call refused that holds this record of another section."""
        if not self.poison or not isinstance(record, dict):
            return False
        return any((section, fold(value)) in self.poison for value in record.values())

    def apply(self, kind: RecordKind, client: int, records: Sequence[msgspec.Raw], *, updates: bool = False) -> list[RecordResult]:
        """Validates the records and stores those that pass, in one transaction; one outcome each, in order."""
        with self.store.transaction():
            if kind == "customers":
                return self._apply_customers(client, records, may_create=not updates or self.settings.update_creates)
            return self._apply_documents(client, records)

    def _apply_customers(self, client: int, records: Sequence[msgspec.Raw], *, may_create: bool) -> list[RecordResult]:
        found: list[CustomerHead | None] = list(heads("customers", records))
        keys = ["" if head is None else fold(head.customer_no) for head in found]
        existing = self.store.customers(client, {key for key in keys if key})
        # What a record of this batch writes must be there for a later record with the same key: the last one
        # wins.
        written: dict[str, tuple[CustomerHead, bytes]] = {}
        outcomes: list[RecordResult] = []
        for head, key, record in zip(found, keys, records, strict=True):
            row = existing.get(key)
            fault = processing.customer_fault(head, exists=row is not None or key in written, may_create=may_create)
            fault = self.rejects.get(("customers", key), fault) if self.rejects else fault
            outcomes.append(RecordResult("" if head is None else text(head.customer_no), key, fault))
            if fault is None and head is not None:
                before = written[key][1] if key in written else None if row is None else row.data
                written[key] = (head, bytes(record)) if before is None else _merged(before, record)
        self._write_customers(client, existing, written)
        return outcomes

    def _write_customers(
        self,
        client: int,
        existing: Mapping[str, CustomerRow],
        written: Mapping[str, tuple[CustomerHead, bytes]],
    ) -> None:
        added: list[tuple[int, str, int, str, str, str, bytes]] = []
        changed: list[tuple[str, str, str, bytes, int]] = []
        for key, (head, data) in written.items():
            columns = (fold(head.organization_no), fold(head.name), fold(head.customer_category))
            row = existing.get(key)
            if row is None:
                added.append((client, key, self.store.next_account(client), *columns, data))
            else:
                changed.append((*columns, data, row.id))
        if added:
            self.store.add_customers(added)
        if changed:
            self.store.change_customers(changed)

    def _apply_documents(self, client: int, records: Sequence[msgspec.Raw]) -> list[RecordResult]:
        found: list[DocumentHead | None] = list(heads("documents", records))
        keys = [document_key(head, record) for head, record in zip(found, records, strict=True)]
        owners = ["" if head is None else fold(head.customer_no) for head in found]
        known = self.store.known_customers(client, set(owners)) if self.settings.require_customers else set(owners)
        taken = self.store.known_documents(client, set(keys)) if self.settings.duplicate_documents == "fail" else set()
        rows: list[tuple[int, str, str, str, bytes]] = []
        outcomes: list[RecordResult] = []
        for head, key, owner, record in zip(found, keys, owners, records, strict=True):
            number = "" if head is None else text(head.document_no)
            fault = processing.document_fault(head)
            if fault is None and owner not in known:
                fault = processing.NO_SUCH_CUSTOMER
            if fault is None and number and key in taken:
                fault = "documentNo already exists"
            fault = self.rejects.get(("documents", key), fault) if self.rejects else fault
            if fault is None:
                made = "" if number else self._make_number()
                rows.append((client, fold(made) or key, made, owner, bytes(record)))
                number = number or made
                if self.settings.duplicate_documents == "fail":
                    taken.add(key)
            outcomes.append(RecordResult(number, key, fault))
        self.store.add_documents(rows)
        return outcomes

    def _make_number(self) -> str:
        if not self.settings.number_documents:
            return ""
        self._made += 1
        return f"{90_000_000 + self._made}"


def _merged(before: bytes, record: msgspec.Raw) -> tuple[CustomerHead, bytes]:
    """Returns the stored customer with an update merged into it, and the head of the result."""
    given = processing.decode_object(memoryview(record))
    data = processing.encode(processing.merge_customer(processing.decode_object(before), given))
    return _CUSTOMER.decode(data), data
