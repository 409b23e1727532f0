"""The ledger's tables: SQLite in a private temporary file, so that a million customers cost no memory.

`connect("")` opens a database that SQLite itself keeps in a file without a name and deletes when it is
closed, even when the process is killed. Nothing is durable and nothing has to be: a sandbox forgets
everything when it closes.
"""

# Names of tables and columns are put together here from words of this module; values are always parameters.
# ruff: noqa: S608

from __future__ import annotations

import array
import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from . import processing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from .settings import RecordKind

_SCHEMA = """
CREATE TABLE seen (
    kind TEXT NOT NULL, key TEXT NOT NULL, client INTEGER NOT NULL,
    delivered INTEGER NOT NULL, taken INTEGER NOT NULL,
    PRIMARY KEY (kind, key, client)) WITHOUT ROWID;
CREATE TABLE customers (
    id INTEGER PRIMARY KEY, client INTEGER NOT NULL, key TEXT NOT NULL, account INTEGER NOT NULL,
    organization TEXT NOT NULL, name TEXT NOT NULL, category TEXT NOT NULL, data BLOB NOT NULL);
CREATE UNIQUE INDEX customers_key ON customers (key, client);
CREATE TABLE documents (
    id INTEGER PRIMARY KEY, client INTEGER NOT NULL, key TEXT NOT NULL, number TEXT NOT NULL,
    customer TEXT NOT NULL, data BLOB NOT NULL);
CREATE INDEX documents_key ON documents (key, client);
CREATE INDEX documents_customer ON documents (customer, client);
CREATE TABLE batches (
    id INTEGER PRIMARY KEY, uuid TEXT NOT NULL UNIQUE, client INTEGER NOT NULL, kind TEXT NOT NULL,
    updates INTEGER NOT NULL, records INTEGER NOT NULL, body BLOB, status INTEGER NOT NULL, answer BLOB);
CREATE TABLE queries (
    id TEXT PRIMARY KEY, client INTEGER NOT NULL, kind TEXT NOT NULL, size INTEGER NOT NULL,
    maximum INTEGER NOT NULL, total INTEGER NOT NULL, ids BLOB NOT NULL) WITHOUT ROWID;
"""
_BUMP = """
INSERT INTO seen (kind, key, client, delivered, taken) VALUES (?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET delivered = delivered + excluded.delivered, taken = taken + excluded.taken
"""
_FILTERS: Mapping[RecordKind, Mapping[str, str]] = {
    "customers": {
        "customerno": "key",
        "accountno": "account",
        "organizationno": "organization",
        "name": "name",
        "customercategory": "category",
    },
    "documents": {"documentno": "key", "customerno": "customer"},
}


class CustomerRow(NamedTuple):
    """One customer of the ledger.

    `data` is JSON, `key` and the three after `account` are folded for comparing.
    """

    id: int
    client: int
    key: str
    account: int
    organization: str
    name: str
    category: str
    data: bytes


class DocumentRow(NamedTuple):
    """One document of the ledger.

    `number` is the documentNo the sandbox made, blank where the sender gave one.
    """

    id: int
    client: int
    key: str
    number: str
    customer: str
    data: bytes


class BatchRow(NamedTuple):
    """One batch.

    `body` is there until it is processed, `answer` (JSON) and `status` (HTTP) from then on.
    """

    id: int
    uuid: str
    client: int
    kind: RecordKind
    updates: int
    records: int
    body: bytes | None
    status: int
    answer: bytes | None


class QueryRow(NamedTuple):
    """One list query: the ids it found, so that its pages do not move when records come and go."""

    id: str
    client: int
    kind: str
    size: int
    maximum: int
    total: int
    ids: bytes


class Store:
    """The tables and every statement over them.

    Calls are quick and blocking; only the thread that serves may use it.
    """

    def __init__(self) -> None:
        # A thread that serves may be followed by another (`LoopThread`): they are never two at a time.
        self.sql = self._sql = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        for pragma in (
            "journal_mode=OFF",
            "synchronous=OFF",
            "cache_size=-8000",
            "temp_store=FILE",
            "secure_delete=OFF",
        ):
            self._sql.execute(f"PRAGMA {pragma}").close()
        self._sql.executescript(_SCHEMA).close()
        self._accounts: dict[int, int] = {}

    def close(self) -> None:
        """Closes the database, which deletes its file. Closing twice does nothing."""
        self._sql.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Makes everything inside one transaction."""
        self._sql.execute("BEGIN")
        try:
            yield
        finally:
            # With no journal there is nothing to roll back to; what was written stays, error or not.
            self._sql.execute("COMMIT")

    # -- what was delivered and taken

    def count(self, kind: str, client: int, keys: Sequence[str], *, taken: bool) -> None:
        """Counts one delivery of each key, and one taking if `taken`.

        A key that is there twice counts twice.
        """
        with self.transaction():
            self._sql.executemany(_BUMP, [(kind, key, client, 1, int(taken)) for key in keys])

    def seen(self, kind: str, key: str, client: int | None) -> tuple[int, int]:
        """Returns how often a key was delivered and taken, at one client or at all of them."""
        sql = "SELECT total(delivered), total(taken) FROM seen WHERE kind = ? AND key = ?"
        row = self._one(sql + self._at(client), (kind, key, *self._of(client)))
        return int(row[0]), int(row[1])

    def seen_totals(self, kind: RecordKind) -> tuple[int, int, int]:
        """Returns the number of keys, of deliveries and of takings."""
        row = self._one("SELECT count(*), total(delivered), total(taken) FROM seen WHERE kind = ?", (kind,))
        return int(row[0]), int(row[1]), int(row[2])

    def seen_keys(self, kind: RecordKind, *, taken_above: int, after: tuple[str, int]) -> list[tuple[int, str, int, int]]:
        """Returns (client, key, delivered, taken) of the next keys taken more often than `taken_above`, behind a key and client."""
        sql = (
            "SELECT client, key, delivered, taken FROM seen"
            " WHERE kind = ? AND taken > ? AND (key, client) > (?, ?) ORDER BY key, client LIMIT 1000"
        )
        return self._sql.execute(sql, (kind, taken_above, *after)).fetchall()

    def stored(self, kind: RecordKind, key: str | None, client: int | None) -> int:
        """Returns how many records the ledger holds: of one key or of all, at one client or at all of them."""
        sql = f"SELECT count(*) FROM {kind} WHERE 1" + self._at(client)
        if key is None:
            return int(self._one(sql, self._of(client))[0])
        return int(self._one(f"{sql} AND key = ?", (*self._of(client), key))[0])

    # -- customers

    def customers(self, client: int, keys: Iterable[str]) -> dict[str, CustomerRow]:
        """Returns those of the customers with these keys that exist, by key."""
        sql = "SELECT c.* FROM json_each(?) AS wanted CROSS JOIN customers AS c ON c.client = ? AND c.key = wanted.value"
        return {row[2]: CustomerRow._make(row) for row in self._sql.execute(sql, (_json(keys), client))}

    def customer(self, client: int | None, key: str) -> CustomerRow | None:
        """Returns one customer, or None; `client=None` looks through all clients."""
        sql = "SELECT * FROM customers WHERE key = ?" + self._at(client) + " ORDER BY id LIMIT 1"
        row = self._sql.execute(sql, (key, *self._of(client))).fetchone()
        return None if row is None else CustomerRow._make(row)

    def known_customers(self, client: int, keys: Iterable[str]) -> set[str]:
        """Returns those of the keys that are customers."""
        sql = "SELECT wanted.value FROM json_each(?) AS wanted CROSS JOIN customers AS c ON c.client = ? AND c.key = wanted.value"
        return {row[0] for row in self._sql.execute(sql, (_json(keys), client))}

    def next_account(self, client: int) -> int:
        """Returns the next account number of a client: 500001, 500002 and so on, never one twice."""
        self._accounts[client] = number = self._accounts.get(client, 500_000) + 1
        return number

    def add_customers(self, rows: Iterable[tuple[int, str, int, str, str, str, bytes]]) -> None:
        """Inserts (client, key, account, organization, name, category, data) of new customers."""
        sql = "INSERT INTO customers (client, key, account, organization, name, category, data) VALUES (?, ?, ?, ?, ?, ?, ?)"
        self._sql.executemany(sql, rows)

    def change_customers(self, rows: Iterable[tuple[str, str, str, bytes, int]]) -> None:
        """Updates (organization, name, category, data, id)."""
        self._sql.executemany("UPDATE customers SET organization = ?, name = ?, category = ?, data = ? WHERE id = ?", rows)

    def drop_customer(self, client: int, key: str) -> None:
        """Deletes one customer."""
        self._sql.execute("DELETE FROM customers WHERE client = ? AND key = ?", (client, key))

    # -- documents

    def add_documents(self, rows: Iterable[tuple[int, str, str, str, bytes]]) -> None:
        """Inserts (client, key, number, customer, data)."""
        sql = "INSERT INTO documents (client, key, number, customer, data) VALUES (?, ?, ?, ?, ?)"
        self._sql.executemany(sql, rows)

    def known_documents(self, client: int, keys: Iterable[str]) -> set[str]:
        """Returns those of the keys that are documents."""
        sql = "SELECT wanted.value FROM json_each(?) AS wanted CROSS JOIN documents AS d ON d.client = ? AND d.key = wanted.value"
        return {row[0] for row in self._sql.execute(sql, (_json(keys), client))}

    def document(self, client: int | None, key: str) -> DocumentRow | None:
        """Returns the document that was stored first under a key, or None.

        `client=None` looks through all.
        """
        sql = "SELECT * FROM documents WHERE key = ?" + self._at(client) + " ORDER BY id LIMIT 1"
        row = self._sql.execute(sql, (key, *self._of(client))).fetchone()
        return None if row is None else DocumentRow._make(row)

    def has_documents(self, client: int, customer: str) -> bool:
        """Returns whether a customer has any document."""
        sql = "SELECT 1 FROM documents WHERE client = ? AND customer = ? LIMIT 1"
        return self._sql.execute(sql, (client, customer)).fetchone() is not None

    # -- batches

    def add_batch(self, uuid: str, client: int, kind: RecordKind, *, updates: bool, records: int, body: bytes) -> int:
        """Keeps a batch until it is processed, and returns its row number."""
        sql = "INSERT INTO batches (uuid, client, kind, updates, records, body, status) VALUES (?, ?, ?, ?, ?, ?, 202)"
        number = self._sql.execute(sql, (uuid, client, kind, updates, records, body)).lastrowid
        assert number is not None, "SQLite numbers every row it inserts"
        return number

    def batch(self, number: int) -> BatchRow:
        """Returns one batch by its row number."""
        return BatchRow._make(self._one("SELECT * FROM batches WHERE id = ?", (number,)))

    def find_batch(self, client: int, uuid: str) -> BatchRow | None:
        """Returns one batch without its body, or None; the uuid is compared with case."""
        sql = "SELECT id, uuid, client, kind, updates, records, NULL, status, answer FROM batches WHERE uuid = ? AND client = ?"
        row = self._sql.execute(sql, (uuid, client)).fetchone()
        return None if row is None else BatchRow._make(row)

    def finish_batch(self, number: int, status: int, answer: bytes) -> None:
        """Puts a batch's result in the place of its body."""
        sql = "UPDATE batches SET body = NULL, status = ?, answer = ? WHERE id = ?"
        self._sql.execute(sql, (status, answer, number))

    # -- lists

    def select(
        self, kind: RecordKind, client: int, wanted: Mapping[str, str | int], limit: int, *, count: bool
    ) -> tuple[array.array[int], int]:
        """Returns the ids of the first `limit` records that match every filter, and the number of records.

        That is the number of ids, or with `count` of all that match, which has to look at every record.
        Filters are named as the query parameters are; one the kind does not have is not looked at.
        """
        columns = _FILTERS[kind]
        named = [(columns[name], value) for name, value in wanted.items() if name in columns]
        where = "".join(f" AND {column} = ?" for column, _ in named)
        values = (client, *(value for _, value in named))
        sql = f"SELECT id FROM {kind} WHERE client = ?{where} ORDER BY id LIMIT ?"
        ids = array.array("q", (row[0] for row in self._sql.execute(sql, (*values, limit))))
        if len(ids) < limit or not count:
            return ids, len(ids)
        return ids, int(self._one(f"SELECT count(*) FROM {kind} WHERE client = ?{where}", values)[0])

    def add_query(self, row: QueryRow) -> None:
        """Remembers a list query."""
        self._sql.execute("INSERT INTO queries VALUES (?, ?, ?, ?, ?, ?, ?)", row)

    def query(self, client: int, kind: str, query_id: str) -> QueryRow | None:
        """Returns a list query, or None; its id is compared with case."""
        sql = "SELECT * FROM queries WHERE id = ? AND client = ? AND kind = ?"
        row = self._sql.execute(sql, (query_id, client, kind)).fetchone()
        return None if row is None else QueryRow._make(row)

    def page(self, kind: RecordKind, ids: Sequence[int]) -> list[tuple[int, str, bytes]]:
        """Returns (account, made number, data) of the records with these ids that still exist, in order of id.

        A customer has no made number and a document no account: blank and 0.
        """
        columns = "c.account, ''" if kind == "customers" else "0, c.number"
        wanted = f"json_each(?) AS wanted CROSS JOIN {kind} AS c ON c.id = wanted.value"
        sql = f"SELECT {columns}, c.data FROM {wanted}"
        return self._sql.execute(sql, (_json(ids),)).fetchall()

    # -- small helpers

    def _one(self, sql: str, values: tuple[str | int, ...]) -> tuple[Any, ...]:
        row: tuple[Any, ...] = self._sql.execute(sql, values).fetchone()
        return row

    @staticmethod
    def _at(client: int | None) -> str:
        return "" if client is None else " AND client = ?"

    @staticmethod
    def _of(client: int | None) -> tuple[int, ...]:
        return () if client is None else (client,)


def _json(values: Iterable[str | int]) -> str:
    """Returns values for `json_each`: one parameter instead of a thousand."""
    return processing.encode(list(values)).decode()
