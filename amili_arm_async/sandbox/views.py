"""What a test asks afterwards: how often each record was delivered and accepted, and what is stored."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from . import processing
from .serving import on_server

if TYPE_CHECKING:
    from .controls import Call
    from .ledger import Ledger
    from .settings import RecordKind


@dataclasses.dataclass(frozen=True, slots=True)
class TakenRecord:
    """How often one record reached the sandbox.

    Attributes:
        client_no: the client number.
        key: the record's number in lower case, or `content:...` for a document without a number.
        delivered: how many complete bodies contained it.
        taken: how often it was accepted: stored at once, or its batch accepted.
        stored: how many records of the ledger have this key now.
    """

    client_no: int
    key: str
    delivered: int
    taken: int
    stored: int


class RecordsView:
    """A live view of the customers or the documents of a sandbox. Iterating gives a `TakenRecord` for each that ever arrived."""

    def __init__(self, kind: RecordKind, ledger: Callable[[], Ledger], call: Call) -> None:
        self._kind: RecordKind = kind
        self._ledger = ledger
        self._call = call

    @on_server
    def delivered(self, key: str | Mapping[str, Any], client_no: int | None = None) -> int:
        """Counts the complete bodies with this record that arrived, whatever was answered.

        Args:
            key: a customerNo or documentNo, in any case; for a document without a number, the document itself with the API's names.
            client_no: the client number. Default None: all clients together.

        Returns:
            The number of deliveries.
        """
        return self._ledger().store.seen(self._kind, self.key(key), client_no)[0]

    @on_server
    def taken(self, key: str | Mapping[str, Any], client_no: int | None = None) -> int:
        """Counts how often this record was accepted: more than once for a document means that a person is billed twice.

        Args:
            key: a customerNo or documentNo, in any case; for a document without a number, the document itself with the API's names.
            client_no: the client number. Default None: all clients together.

        Returns:
            How often it was accepted.
        """
        return self._ledger().store.seen(self._kind, self.key(key), client_no)[1]

    @on_server
    def stored(self, key: str | Mapping[str, Any], client_no: int | None = None) -> int:
        """Counts the records with this key in the ledger; those of a batch only after processing.

        Args:
            key: a customerNo or documentNo, in any case; for a document without a number, the document itself with the API's names.
            client_no: the client number. Default None: all clients together.

        Returns:
            The number of stored records.
        """
        return self._ledger().store.stored(self._kind, self.key(key), client_no)

    @on_server
    def get(self, key: str | Mapping[str, Any], client_no: int | None = None) -> dict[str, Any] | None:
        """Returns a stored record as GET would show it.

        Args:
            key: a customerNo or documentNo, in any case; for a document without a number, the document itself with the API's names.
            client_no: the client number. Default None: all clients together.

        Returns:
            The record with the API's names, numbers as `int` or `Decimal`; None where there is none.
        """
        store = self._ledger().store
        if self._kind == "customers":
            customer = store.customer(client_no, self.key(key))
            if customer is None:
                return None
            data = processing.decode_object(customer.data)
            return processing.show_customer(data, customer.client, customer.account)
        document = store.document(client_no, self.key(key))
        if document is None:
            return None
        return processing.show_document(processing.decode_object(document.data), document.client, document.number)

    def key(self, key: str | Mapping[str, Any]) -> str:
        """Returns the key under which a record is counted.

        Args:
            key: a customerNo or documentNo, in any case; for a document without a number, the document itself with the API's names.

        Returns:
            The number in lower case, or `content:...`.
        """
        if isinstance(key, str):
            return processing.fold(key)
        number = processing.fold(key.get("customerNo" if self._kind == "customers" else "documentNo"))
        return number or processing.content_key(key)

    @on_server
    def __len__(self) -> int:
        """Returns how many records the ledger holds now, over all clients."""
        return self._ledger().store.stored(self._kind, None, None)

    def __contains__(self, key: object) -> bool:
        """Returns whether a record with this key is stored now."""
        return isinstance(key, (str, Mapping)) and self.stored(key) > 0

    def __iter__(self) -> Iterator[TakenRecord]:
        """Gives every record that was ever delivered, in order of key, in constant memory."""
        return self._walk(taken_above=-1)

    def doubles(self) -> Iterator[TakenRecord]:
        """Gives the records that were accepted more than once.

        Returns:
            An iterator over them, in order of key.
        """
        return self._walk(taken_above=1)

    @property
    @on_server
    def total_delivered(self) -> int:
        """The deliveries of all records together."""
        return self._ledger().store.seen_totals(self._kind)[1]

    @property
    @on_server
    def total_taken(self) -> int:
        """How often records were accepted, over all records."""
        return self._ledger().store.seen_totals(self._kind)[2]

    def seed(self, records: Iterable[Mapping[str, Any]], client_no: int = 2218) -> int:
        """Stores records without a request, and without counting them as delivered.

        Args:
            records: mappings with the API's names.
            client_no: the client number.

        Returns:
            How many were stored.

        Raises:
            ValueError: a record breaks a rule of the ledger; those before it stay.
        """
        count = 0
        source = iter(records)
        while chunk := [msgspec.Raw(processing.encode(record)) for record in itertools.islice(source, 500)]:
            for fault in self._store(chunk, client_no):
                if fault is not None:
                    raise ValueError(f"record {count} of the seed: {fault}")
                count += 1
        return count

    @on_server
    def _store(self, records: Sequence[msgspec.Raw], client_no: int) -> list[str | None]:
        return [outcome.fault for outcome in self._ledger().apply(self._kind, client_no, records)]

    def _walk(self, *, taken_above: int) -> Iterator[TakenRecord]:
        last: TakenRecord | None = None
        while page := self._page(taken_above, last):
            yield from page
            last = page[-1]

    @on_server
    def _page(self, taken_above: int, last: TakenRecord | None) -> list[TakenRecord]:
        store = self._ledger().store
        after = ("", -1) if last is None else (last.key, last.client_no)
        return [
            TakenRecord(client, key, delivered, taken, store.stored(self._kind, key, client))
            for client, key, delivered, taken in store.seen_keys(self._kind, taken_above=taken_above, after=after)
        ]
