"""The operations of the API over the ledger: from a `ApiRequest` to an `ApiResponse`, without waiting.

That they don't wait is what makes "taken" exact: between the look at a request and the record in the tables
no client can vanish and no second request can come between.
"""

from __future__ import annotations

import dataclasses
import secrets
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from .. import endpoints
from . import lists, processing
from .ledger import Ledger, split_batch
from .processing import fold
from .routes import routes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from .entities import EntityStore
    from .received import Received
    from .settings import RecordKind, SandboxSettings
    from .worker import Worker


@dataclasses.dataclass(slots=True)
class ApiRequest:
    """One request to an operation.

    `records` are the pieces of a ledger write's body. `value` is the body of another write, decoded, and
    `entries` the records in it. `root` the address of /arm/v1, `address` the one that was called.
    """

    client_no: int
    root: str
    address: str
    params: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes
    records: Sequence[msgspec.Raw] = ()
    value: Any = None
    entries: Sequence[Any] = ()


@dataclasses.dataclass(slots=True)
class ApiResponse:
    """What goes back.

    `taken` says that the records of the request were kept; `error` is the message of a refusal, whose body may
    be written in another style before it leaves.
    """

    status: int
    body: bytes
    headers: dict[str, str] = dataclasses.field(default_factory=dict[str, str])
    taken: bool = False
    error: str | None = None
    content_type: str = "application/json"


@dataclasses.dataclass(frozen=True, slots=True)
class Operation:
    """One operation of the library's table, and the function that answers it.

    `writes` is set where the body holds records: `one` object or a `batch`, or any other `body`; `updates` where it changes what
    is there.
    """

    name: str
    kind: RecordKind | None
    writes: Literal["one", "batch", "body"] | None
    answer: Callable[[Operations, Operation, ApiRequest], ApiResponse]

    @property
    def section(self) -> str:
        """The part of the API it belongs to."""
        return self.name.partition(".")[0]

    @property
    def updates(self) -> bool:
        """Whether it changes what is there."""
        return ".update" in self.name

    @property
    def items(self) -> str:
        """The name of its list of records, or the name that a list of such records has."""
        listed = endpoints.OPERATIONS.get(f"{self.section}.list")
        return "" if listed is None else listed.items


def reply(status: int, value: object, *, taken: bool = False) -> ApiResponse:
    """Returns an answer with `value` as its JSON body."""
    return ApiResponse(status, processing.encode(value), taken=taken)


def refusal(status: int, message: str) -> ApiResponse:
    """Returns an error answer. The pages show no error body: this shape is an assumption."""
    answer = reply(status, {"status": "ERROR", "result": "FAILED", "message": message})
    answer.error = message
    return answer


class Operations:
    """What the operations share: the ledger, the other records, the worker and the settings."""

    def __init__(self, ledger: Ledger, entities: EntityStore, received: Received, worker: Worker, settings: SandboxSettings) -> None:
        self.ledger = ledger
        self.entities = entities
        self.received = received
        self.worker = worker
        self.settings = settings
        self.routes = routes(settings.paths)

    def pieces(self, operation: Operation, body: bytes) -> Sequence[msgspec.Raw]:
        """Returns the records of a ledger write's body; `ValueError` says what is wrong with it."""
        if operation.writes == "batch" and operation.kind is not None:
            records = split_batch(operation.kind, body)
            processing.refuse_deep_records(records)
            return records
        processing.decode_object(body)
        return [msgspec.Raw(body)]

    def done(self, message: str, **more: object) -> ApiResponse:
        """Returns the answer to a write that was taken."""
        words = self.settings.words
        return reply(200, {"status": words.processed, "result": words.succeeded, "message": message, **more}, taken=True)

    def write_one(self, operation: Operation, call: ApiRequest) -> ApiResponse:
        """POST or PUT of one record: validated and stored at once."""
        assert operation.kind is not None
        updates = operation.updates
        if self.poisoned(operation, call):
            return refusal(400, "the record is not valid")
        (outcome,) = self.ledger.apply(operation.kind, call.client_no, call.records, updates=updates)
        if outcome.fault is not None:
            missing = updates and outcome.fault == processing.NO_SUCH_CUSTOMER
            return refusal(404 if missing else 400, outcome.fault)
        words = self.settings.words
        singular = operation.kind.removesuffix("s")
        answer = {
            "status": words.processed,
            "result": words.succeeded,
            "message": f"{singular.capitalize()} {'updated' if updates else 'created'}",
        }
        if outcome.number:
            answer[f"{singular}No"] = outcome.number
        return reply(200, answer, taken=True)

    def write_batch(self, operation: Operation, call: ApiRequest) -> ApiResponse:
        """POST or PUT of a batch: kept, and processed later."""
        assert operation.kind is not None
        limit = self.settings.max_batch_records
        if limit is not None and len(call.records) > limit:
            return refusal(413, f"more than {limit} records in a batch")
        if self.poisoned(operation, call):
            return refusal(400, "a record of the batch is not valid")
        uuid = processing.batch_id(secrets.token_bytes(16))
        number = self.ledger.store.add_batch(
            uuid, call.client_no, operation.kind, updates=operation.updates, records=len(call.records), body=call.body
        )
        self.worker.add(number)
        return reply(202, self.pending(call, uuid), taken=True)

    def pending(self, call: ApiRequest, uuid: str) -> dict[str, str]:
        """Returns the pages' 202 body; its text says "Document batch" for customers too."""
        return {
            "status": self.settings.words.unprocessed,
            "result": self.settings.words.pending,
            "message": "Document batch accepted for processing",
            "batchUuid": uuid,
            "getResult": call.root + self.routes["batches.get"].fill(clientno=call.client_no, batchuuid=uuid),
        }

    def poisoned(self, operation: Operation, call: ApiRequest) -> bool:
        """Returns whether a record of the call is one for which the whole call is refused."""
        if not self.ledger.poison or operation.kind is None:
            return False
        kind = operation.kind
        return any((kind, key) in self.ledger.poison for key in self.ledger.keys(kind, call.records))

    def get_batch(self, operation: Operation, call: ApiRequest) -> ApiResponse:
        """GET a batch: 202 until it is processed, then its result."""
        batch = self.ledger.store.find_batch(call.client_no, call.params["batchuuid"])
        if batch is None:
            return refusal(404, "no such batch")
        if batch.answer is None:
            return reply(202, self.pending(call, batch.uuid))
        return ApiResponse(batch.status, batch.answer)

    def get_customer(self, operation: Operation, call: ApiRequest) -> ApiResponse:
        """GET one customer."""
        row = self.ledger.store.customer(call.client_no, fold(call.params["customerno"]))
        if row is None:
            return refusal(404, "no such customer")
        return self.one(operation, processing.show_customer(processing.decode_object(row.data), row.client, row.account))

    def one(self, operation: Operation, record: processing.JsonObject) -> ApiResponse:
        """Returns the answer that shows one record, in the style that is set."""
        style = self.settings.record_style
        if style == "wrapped":
            return reply(200, {operation.items.removesuffix("s"): record})
        return reply(200, {operation.items: [record]} if style == "listed" else record)

    def delete_customer(self, operation: Operation, call: ApiRequest) -> ApiResponse:
        """DELETE one customer; refused while it has documents."""
        key = fold(call.params["customerno"])
        row = self.ledger.store.customer(call.client_no, key)
        if row is None:
            return refusal(404, "no such customer")
        if self.ledger.store.has_documents(call.client_no, key) or self.entities.has_ar_items(call.client_no, key):
            return refusal(422, "the customer has documents or AR items")
        self.ledger.store.drop_customer(call.client_no, key)
        words = self.settings.words
        return reply(200, {"status": words.processed, "result": words.succeeded, "message": "Customer deleted"})

    def get_document(self, operation: Operation, call: ApiRequest) -> ApiResponse:
        """GET one document; of several with the same number, the one that was stored first."""
        row = self.ledger.store.document(call.client_no, fold(call.params["documentno"]))
        if row is None:
            return refusal(404, "no such document")
        return self.one(operation, processing.show_document(processing.decode_object(row.data), row.client, row.number))

    def list_name(self, operation: Operation) -> str:
        """Returns the name of the list in an answer."""
        return self.settings.list_names.get(operation.name, operation.items)

    def list_records(self, operation: Operation, call: ApiRequest) -> ApiResponse:
        """GET a page of a list."""
        assert operation.kind is not None
        return self.list_from(lists.LedgerSource(operation.kind, self.ledger.store), operation, call)

    def list_from(self, source: lists.Source, operation: Operation, call: ApiRequest) -> ApiResponse:
        """Returns a page of a list."""
        request = lists.ListRequest(source, self.list_name(operation), call.client_no, call.address, call.query)
        try:
            page: dict[str, Any] | None = lists.answer(self.ledger.store, self.settings, request)
        except ValueError as error:
            return refusal(400, str(error))
        return refusal(404, "no such query") if page is None else reply(200, page)


OPERATIONS: Sequence[Operation] = (
    Operation("customers.create", "customers", "one", Operations.write_one),
    Operation("customers.update", "customers", "one", Operations.write_one),
    Operation("customers.list", "customers", None, Operations.list_records),
    Operation("customers.create_batch", "customers", "batch", Operations.write_batch),
    Operation("customers.update_batch", "customers", "batch", Operations.write_batch),
    Operation("customers.get", "customers", None, Operations.get_customer),
    Operation("customers.delete", "customers", None, Operations.delete_customer),
    Operation("documents.create", "documents", "one", Operations.write_one),
    Operation("documents.list", "documents", None, Operations.list_records),
    Operation("documents.create_batch", "documents", "batch", Operations.write_batch),
    Operation("documents.get", "documents", None, Operations.get_document),
    Operation("batches.get", None, None, Operations.get_batch),
)
