"""The service for customers: it keeps the latest that was processed, and gives lists page by page. Documents are as in `service`."""

from __future__ import annotations

import gzip
import json
from collections import Counter, defaultdict
from copy import copy
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from .lists import LIST_FAULTS, page_of
from .service import FAULTS as SERVICE_FAULTS
from .service import Batch, Service, _Request

if TYPE_CHECKING:
    from .network import Connection
    from .world import Process, World

__all__ = ["FAULTS", "CustomerService", "Version", "customer_name", "text_of"]

FAULTS = (*(fault for fault in SERVICE_FAULTS if fault != "repeated_uuid"), "late_processing")
"""What may go wrong. Only customers are processed late: of documents, each is billed once, whenever that is. No batchUuid comes twice:
without a journal nobody can know that one is that of a batch of an earlier process."""

_NOT_HEARD_OF = frozenset({"reset_after", "silence_after", "status_after", "cut_answer", "no_uuid"})
"""Faults after which a sender does not know whether its batch was taken."""


def customer_name(record: dict[str, Any]) -> str:
    """The number of a customer as the service compares it."""
    return str(record.get("customerNo")).casefold()


def text_of(record: dict[str, Any]) -> str:
    """What a record says, however it is written: numbers by their value, fields in any order."""
    return json.dumps(_plain(record), sort_keys=True)


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return {name: part if isinstance(part, str) else _plain(part) for name, part in value.items()}
    return f"{Decimal(str(value)).normalize():f}" if isinstance(value, (int, float, Decimal)) else value


@dataclass
class Version:
    """What a customer is made by one record.

    Attributes:
        record: the record as it came.
        process: who sent it.
        taken_at: when it came.
        done_at: when it is processed; until then the customer is as before.
        order: how many came before it.
        is_late: whether it is processed long after, though its sender heard of no success.
        is_heard: whether its sender was told at once that it was taken.
    """

    record: dict[str, Any]
    process: Process
    taken_at: float
    done_at: float
    order: int
    is_late: bool = False
    is_heard: bool = False


class CustomerService(Service):
    """The service with its books of customers.

    Attributes:
        versions: of each customer, all that was taken and did not fail.
        sent: by process, how often each record was taken, by what it says.
        listed: the customers that a list has.
        moves: how many more times a customer comes or goes, each after a page that is asked for.
        move: what moves then: one is `added` at the end, `inserted` anywhere, or `deleted`.
        odd_list: what is odd about the lists: see `lists.page_of`.
        deleted: how often a process has deleted a customer.
        refused: by process, records of which the result of a batch says that they failed, by what they say.
        methods: which process has sent customers with which method.
    """

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.versions: defaultdict[str, list[Version]] = defaultdict(list)
        self.sent: defaultdict[int, Counter[str]] = defaultdict(Counter)
        self.refused: defaultdict[int, set[str]] = defaultdict(set)
        self.deleted: Counter[tuple[int, str]] = Counter()
        self.methods: set[tuple[int, str]] = set()
        self._order = 0
        self._sender: Process | None = None
        self._kinds: dict[str, str] = {}
        self._kept: list[Version] = []
        self.listed: list[dict[str, Any]] = []
        self.moves = 0
        self.move = ""
        self.odd_list = ""
        self._queries = 0

    def _hides_its_failures(self, batch: Batch) -> bool:
        """A customer may be sent again."""
        return False

    def kept(self) -> dict[str, Any]:
        """Returns a copy of the books, for `back_to`."""
        versions = {name: [replace(one) for one in some] for name, some in self.versions.items()}
        sent = {pid: counted.copy() for pid, counted in self.sent.items()}
        refused = {pid: set(names) for pid, names in self.refused.items()}
        names = ("_order", "_kinds", "listed", "moves", "move", "odd_list", "_queries", "deleted", "methods")
        mine = {name: copy(getattr(self, name)) for name in names}
        return {**super().kept(), "mine": mine, "versions": versions, "sent": sent, "refused": refused}

    def back_to(self, kept: dict[str, Any]) -> None:
        """Makes the books again what they were."""
        super().back_to(kept)
        for name, value in kept["mine"].items():
            setattr(self, name, copy(value))
        self.versions = defaultdict(list, {name: [replace(one) for one in some] for name, some in kept["versions"].items()})
        self.sent = defaultdict(Counter, {pid: counted.copy() for pid, counted in kept["sent"].items()})
        self.refused = defaultdict(set, {pid: set(names) for pid, names in kept["refused"].items()})
        self._kept = []

    def at_last(self, name: str) -> Version | None:
        """What a customer is once all that was taken is processed."""
        return max(self.versions.get(name, ()), key=lambda one: (one.done_at, one.order), default=None)

    @property
    def taken_records(self) -> int:
        """How many records were taken and did not fail."""
        return self._order

    @property
    def busy_until(self) -> float:
        """When all that was taken is processed, but for what comes late."""
        times = [one.done_at for versions in self.versions.values() for one in versions if not one.is_late]
        return max([*times, *(batch.done_at for batch in self.batches.values())], default=0.0)

    def catch_up(self, *, with_all: bool = False) -> None:
        """Processes now what comes late and must have come by now, as the documentation takes for granted: where another job has sent
        something for the same customer since, or its own job something newer.

        Args:
            with_all: whether everything has come.
        """
        for versions in self.versions.values():
            for place, one in enumerate(versions):
                later = (
                    other.process is not one.process or text_of(other.record) != text_of(one.record) for other in versions[place + 1 :]
                )
                if one.done_at > self.world.seconds and (with_all or any(later)):
                    one.done_at = self.world.seconds

    def _handle(self, connection: Connection, request: _Request) -> None:
        self._sender = connection.process
        is_customer = request.path.endswith("/customers")
        if (request.method in {"POST", "PUT"} and is_customer) or request.method == "DELETE":
            self.world.note(f"service: {request.method} {request.path} came whole on connection {connection.number}")
            self._write_one(connection, request)
        elif request.method == "GET" and is_customer:
            self._list(connection, request)
        elif request.method == "GET" and "/customers/" in request.path:
            self._get(connection, request.path.rpartition("/")[2])
        elif request.method == "PUT":
            self.world.note(f"service: PUT {request.path} came whole on connection {connection.number}")
            self._write(connection, request)
        else:
            super()._handle(connection, request)

    def _list(self, connection: Connection, request: _Request) -> None:
        """Gives a page of the list. Its query is what there was when its first page was asked for, and those who came since at its end."""
        query = {name: values[0] for name, values in request.query.items()}
        number, size = int(query.get("pageno", 1)), int(query.get("pagesize", 100))
        self.world.note(f"service: GET page {number} of {query.get('query', 'a new query')} on connection {connection.number}")
        if "query" not in query:
            self._queries += 1
            query["query"] = f"q{self._queries}"
        fault = self.strikes(*LIST_FAULTS)
        records = self.listed[: len(self.listed)]
        if fault == "list_fails":
            self._answer(connection, 503, {})
        elif fault == "query_expired" and number > 1:
            self._answer(connection, 404, {"message": "no such query"})
        else:
            self._answer(connection, 200, page_of(records, number, size, query["query"], fault, self.odd_list), cut=fault == "list_cut")
        # A page that an earlier reader asked for announces nothing to this one.
        if self.moves and not connection.process.is_done:
            self.moves -= 1
            self._move()

    def _get(self, connection: Connection, number: str) -> None:
        """Gives one customer of the list; where that failed once, it fails for a while."""
        self.world.note(f"service: GET customer {number} on connection {connection.number}")
        name = number.casefold()
        fault = self.strikes("get_fails", "get_cut", "get_page")
        if fault == "get_fails":
            self.unanswered_until[name] = self.world.seconds + self._rng.choice((0.0, 60.0))
        found = next((record for record in self.listed if customer_name(record) == name), None)
        if fault == "get_fails" or (self.unanswered_until.get(name, 0.0) > self.world.seconds and not self.is_well):
            self._answer(connection, 503, {})
        elif fault == "get_page":
            # Of a gateway: it says nothing of the customer.
            self._answer(connection, 404, "<html>no such page</html>", is_page=True)
        elif found is None:
            self._answer(connection, 404, {"message": "no such customer"})
        else:
            self._answer(connection, 200, found, cut=fault == "get_cut")

    def _move(self) -> None:
        # Often at the front: then what was on the page before is on this one.
        place = self._rng.randrange(len(self.listed) + 1) * (self._rng.random() < 0.7)
        new = {"customerNo": f"N{self.moves:03}", "name": "new"}
        if self.move == "added":
            self.listed.append(new)
        elif self.move == "inserted":
            self.listed.insert(place, new)
        elif self.listed:
            gone = self.listed.pop(min(place, len(self.listed) - 1))
            self.world.note(f"service: {gone['customerNo']} is deleted")

    def _write_one(self, connection: Connection, request: _Request) -> None:
        self.writes += 1
        fault = self.strikes(
            "reset_before", "reset_after", "silence_before", "silence_after", "status_before", "status_after", "cut_answer"
        )
        draw = self._rng.random()
        if fault == "reset_before":
            connection.close_server(reset=True)
            return
        if fault == "status_before":
            self._answer(connection, (500, 502, 503, 504, 408, 409, 425)[int(draw * 7)], {})
            return
        if fault == "silence_before":
            return
        if request.method == "DELETE":
            self.deleted[connection.process.pid, request.path.rpartition("/")[2]] += 1
        else:
            self.methods.add((connection.process.pid, request.method))
            self._keep([json.loads(request.body, parse_float=Decimal)], self.world.seconds, set())
        if fault == "reset_after":
            connection.close_server(reset=True)
        elif fault == "status_after":
            self._answer(connection, (500, 502, 503, 504)[int(draw * 4)], {})
        elif fault != "silence_after":
            self._answer(connection, 200, {"status": "PROCESSED", "result": "SUCCESS"}, cut=fault == "cut_answer")

    def _take(self, request: _Request) -> str:
        text = gzip.decompress(request.body) if request.headers.get("content-encoding") == "gzip" else request.body
        body = json.loads(text, parse_float=Decimal)
        if "documents" in body:
            uuid = super()._take(request)
            self._kinds[uuid] = "documents"
            assert self._sender is not None
            self.sent[self._sender.pid].update(text_of(record) for record in body["documents"])
            return uuid
        assert self._sender is not None
        self.methods.add((self._sender.pid, request.method))
        records = body["customers"]
        uuid = f"{self._uuids.getrandbits(64):016x}-{len(self.batches)}"
        processing = self._rng.random() ** 2 * 2
        if self.strikes("slow_processing"):
            processing = self._rng.random() * 90
        now = self.world.seconds
        batch = Batch(uuid, records, now, now + processing)
        batch.failed = {place for place in range(len(records)) if self.strikes("record_fails")}
        self._keep(records, now + processing, batch.failed)
        self.batches[uuid] = batch
        self._kinds[uuid] = "customers"
        self.world.note(f"service: takes customers {', '.join(customer_name(record) for record in records)} as {uuid}")
        return uuid

    def _after_taking(self, connection: Connection, uuid: str, fault: str | None, draw: float) -> None:
        late = self._rng.random() * 20_000
        if fault in _NOT_HEARD_OF and self._kinds[uuid] == "customers" and self.strikes("late_processing"):
            for one in self._kept:
                one.done_at, one.is_late = one.done_at + late, True
        # After an early answer nobody reads the true one.
        for one in self._kept if fault is None and connection.memory.get("fault") is None else ():
            one.is_heard = True
        super()._after_taking(connection, uuid, fault, draw)

    def _keep(self, records: list[dict[str, Any]], done_at: float, failed: set[int]) -> None:
        sender = self._sender
        assert sender is not None
        self._kept = []
        for place, record in enumerate(records):
            self.sent[sender.pid][text_of(record)] += 1
            if place in failed:
                self.refused[sender.pid].add(text_of(record))
                continue
            self._order += 1
            self._kept.append(Version(record, sender, self.world.seconds, done_at, self._order))
            self.versions[customer_name(record)].append(self._kept[-1])

    def _result(self, batch: Batch) -> Any:
        if self._kinds.get(batch.uuid) != "customers":
            return super()._result(batch)
        items = [
            {"customerNo": record.get("customerNo"), "status": "FAILED" if place in batch.failed else "SUCCEEDED"}
            for place, record in enumerate(batch.records)
        ]
        if len(self._kinds) % 2:
            # In an order of its own, but for those of one customer.
            items.sort(key=lambda item: str(item["customerNo"]).casefold())
        return {"batchUuid": batch.uuid, "status": "PARTIAL" if batch.failed else "SUCCEEDED", "customers": items}
