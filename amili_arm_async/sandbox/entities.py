"""Records other than customers, documents and batches: JSON objects in one table, by kind, client and key."""

from __future__ import annotations

import array
from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Final, NamedTuple, get_args

import msgspec

from . import defaults, processing
from .processing import JsonObject, fold
from .settings import EntityKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .store import Store

KINDS: Final[tuple[EntityKind, ...]] = get_args(EntityKind)
_SCHEMA = """
CREATE TABLE entities (
    id INTEGER PRIMARY KEY, kind TEXT NOT NULL, client INTEGER NOT NULL, key TEXT NOT NULL,
    owner TEXT NOT NULL, made INTEGER NOT NULL, data BLOB NOT NULL);
CREATE UNIQUE INDEX entities_key ON entities (kind, client, key) WHERE key <> '';
CREATE INDEX entities_order ON entities (kind, client, id);
CREATE INDEX entities_owner ON entities (owner, client, kind) WHERE owner <> '';
"""
_PUT = """
INSERT INTO entities (kind, client, key, owner, made, data) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (kind, client, key) WHERE key <> '' DO UPDATE SET owner = excluded.owner, made = excluded.made, data = excluded.data
"""
_KEYS: Final[Mapping[str, str]] = {
    "ar_items": "arItemId",
    "client_configs": "key",
    "document_bundles": "documentBundleId",
    "files": "fileId",
    "gl_items": "glItemId",
    "log_items": "logItemId",
    "payment_reservations": "paymentId",
}
"""The field that holds the key of a record, by kind; a kind that is not here has none."""
_FIRST: Final[Mapping[str, int]] = {
    "ar_items": 700_001,
    "document_bundles": 600_001,
    "files": 400_001,
    "gl_items": 900_001,
    "log_items": 800_001,
}
"""The first number that is made for a record without a key, by kind."""
_STEP: Final = 1000


class Entity(NamedTuple):
    """One record: its key, folded, and its JSON."""

    key: str
    data: bytes

    @property
    def record(self) -> JsonObject:
        """The record, decoded."""
        return processing.decode_object(self.data)


class EntityStore:
    """The table of all other records, over the same database as the ledger's."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sql = store.sql
        self._sql.executescript(_SCHEMA).close()
        self._sql.create_function("matches", 2, _matches, deterministic=True)
        self._next: dict[tuple[str, int], int] = {}
        self._told: set[tuple[str, int]] = set()
        self._documents_seen = 0

    # -- in

    def seed(self, kind: EntityKind, client: int, records: Iterable[Mapping[str, Any]]) -> int:
        """Puts records in, in the place of the made-up ones of this kind, and returns how many."""
        if kind not in KINDS:
            raise ValueError(f"no such kind: {kind}; there are {', '.join(KINDS)}")
        self._told.add((kind, client))
        self._sql.execute("DELETE FROM entities WHERE kind = ? AND client = ? AND made", (kind, client))
        count = 0
        with self._store.transaction():
            for record in records:
                self.put(kind, client, dict(record))
                count += 1
        return count

    def put(self, kind: EntityKind, client: int, record: JsonObject, *, made: bool = False) -> JsonObject:
        """Stores a record, in the place of the one with the same key; without a key it is given one. Return it."""
        field = _KEYS.get(kind)
        key = "" if field is None else fold(record.get(field))
        if field is not None and not key:
            number = self._number(kind, client)
            record, key = {field: number, **{name: value for name, value in record.items() if name != field}}, str(number)
        data = processing.encode(record)
        self._sql.execute(_PUT, (kind, client, key, fold(record.get("customerNo")), int(made), data))
        return record

    def _number(self, kind: str, client: int) -> int:
        """Returns a number for a record that came without one, never one twice."""
        number = self._next.get((kind, client), _FIRST.get(kind, 1))
        while self._get(kind, client, str(number)) is not None:
            number += 1
        self._next[kind, client] = number + 1
        return number

    # -- out

    def get(self, kind: EntityKind, client: int, key: str) -> Entity | None:
        """Returns one record by its key, or None."""
        self._fill(kind, client)
        return self._get(kind, client, fold(key))

    def find(
        self, kind: EntityKind, client: int, wanted: Mapping[str, str], limit: int, *, count: bool = False
    ) -> tuple[array.array[int], int]:
        """Returns the ids of the first `limit` records all of whose `wanted` fields are equal, and the number of records.

        That is the number of ids, or with `count` of all that match. `wanted`: folded texts by names in lower case.
        """
        self._fill(kind, client)
        where, values = "kind = ? AND client = ?", list[str | int]([kind, client])
        if wanted.get("customerno"):  # the other filters look at every record, this one has an index
            where = f"{where} AND owner = ?"
            values.append(wanted["customerno"])
        if wanted:
            where = f"{where} AND matches(data, ?)"
            values.append(processing.encode(dict(wanted)).decode())
        rows = self._sql.execute(f"SELECT id FROM entities WHERE {where} ORDER BY id LIMIT ?", (*values, limit))  # noqa: S608
        ids = array.array("q", (row[0] for row in rows))
        if len(ids) < limit or not count:
            return ids, len(ids)
        return ids, int(self._sql.execute(f"SELECT count(*) FROM entities WHERE {where}", values).fetchone()[0])  # noqa: S608

    def page(self, ids: Sequence[int]) -> list[JsonObject]:
        """Returns the records with these ids, in their order."""
        sql = "SELECT t.data FROM json_each(?) AS wanted CROSS JOIN entities AS t ON t.id = wanted.value"
        found = self._sql.execute(sql, (processing.encode(list(ids)).decode(),)).fetchall()
        return [processing.decode_object(row[0]) for row in found]

    def has_ar_items(self, client: int, customer: str) -> bool:
        """Returns whether a customer has AR items that no document made."""
        sql = "SELECT 1 FROM entities WHERE owner = ? AND client = ? AND kind = 'ar_items' LIMIT 1"
        return self._sql.execute(sql, (customer, client)).fetchone() is not None

    def document_with(self, client: int, field: str, value: str) -> bool:
        """Returns whether a document, or an AR item, has this value in a field."""
        wanted = processing.encode({field.lower(): value}).decode()
        sql = "SELECT 1 FROM documents WHERE client = ? AND matches(data, ?) LIMIT 1"
        if self._sql.execute(sql, (client, wanted)).fetchone() is not None:
            return True
        return self.find("ar_items", client, {field.lower(): value}, 1)[1] > 0

    def _get(self, kind: str, client: int, key: str) -> Entity | None:
        sql = "SELECT key, data FROM entities WHERE kind = ? AND client = ? AND key = ? AND key <> ''"
        row = self._sql.execute(sql, (kind, client, key)).fetchone()
        return None if row is None else Entity._make(row)

    # -- what is made automatically

    def _fill(self, kind: EntityKind, client: int) -> None:
        """Makes what was not seeded: AR items of documents, and the made-up records of a kind that was never seeded."""
        if kind == "ar_items":
            self._follow_documents()
        if (kind, client) not in self._told:
            self._told.add((kind, client))
            for record in defaults.RECORDS.get(kind, ()):
                self.put(kind, client, dict(record), made=True)

    def _follow_documents(self) -> None:
        """Makes the AR items of the documents that came since. Only who looks at AR items pays for them."""
        sql = "SELECT id, client, number, data FROM documents WHERE id > ? ORDER BY id LIMIT ?"
        while rows := self._sql.execute(sql, (self._documents_seen, _STEP)).fetchall():
            with self._store.transaction():
                for _, client, number, data in rows:
                    self.put("ar_items", client, _ar_item(client, number, _readable(data)))
            self._documents_seen = rows[-1][0]


def _readable(data: bytes) -> JsonObject:
    """Returns a stored record; one that is nested too deep to be read is blank: it is one of many, and the others count."""
    try:
        return processing.decode_object(data)
    except processing.TooDeep:
        return {}


def _ar_item(client: int, number: str, document: Mapping[str, Any]) -> JsonObject:
    """Returns the AR item that a document makes. Its fields are assumed: no page shows one."""
    amounts = document.get("currencyAmounts")
    amount = amounts.get("inclVat") if isinstance(amounts, Mapping) else None
    amount = amount if isinstance(amount, (int, Decimal)) and not isinstance(amount, bool) else 0
    return {
        "arItemId": None,
        "clientNo": client,
        "customerNo": processing.text(document.get("customerNo")),
        "documentNo": number or processing.text(document.get("documentNo")),
        "itemAmount": amount,
        "itemBalance": amount,
    }


def _matches(data: bytes, wanted: str) -> bool:
    """Returns whether every wanted field is in a record, at its top, and says the same; for SQLite."""
    fields = {name.lower(): value for name, value in _readable(data).items()}
    expected: dict[str, str] = msgspec.json.decode(wanted)
    return all(name in fields and _equal(fields[name], value) for name, value in expected.items())


def _equal(value: Any, wanted: str) -> bool:
    """Returns whether a value of a record is the one that a text of a query means."""
    if isinstance(value, bool):
        return wanted == ("true" if value else "false")
    if isinstance(value, (int, Decimal)):
        try:
            return bool(Decimal(wanted) == value)
        except InvalidOperation:
            return False
    return isinstance(value, str) and fold(value) == wanted
