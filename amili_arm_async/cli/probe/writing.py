"""The part that writes: one customer, as a batch, and one document of the caller's own, each sent once and never again."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from ... import clock, codec, wire
from ...attempts import DeliveryEvidence
from ...config import STAGING, is_loopback
from ...endpoints import OPERATIONS
from ...errors import ConfigurationError
from ...models.base import Input
from ...models.customers import Customer
from ...models.documents import Document
from ...retry import Proof
from .batches import POLLS, is_settled, outcome_of
from .client import ProbeClient
from .evidence import Evidence, Exchange

__all__ = ["Records", "check_host", "read_records", "write"]

_POLLS: Final = 60
"""Questions for the batch at the most, spread over the deadline."""


@dataclass
class Records:
    """What is to be written, as JSON texts, and what became of it.

    Attributes:
        customer, document: the JSON objects, or None.
        customer_no, document_no: their numbers.
        delivery: whether the document may have been taken.
        answered: whether an answer says that it was.
    """

    customer: bytes | None
    document: bytes | None
    customer_no: str
    document_no: str
    delivery: DeliveryEvidence = field(default_factory=DeliveryEvidence)
    answered: bool = False

    @property
    def document_is_unknown(self) -> bool:
        """Whether the document may have been taken, and no answer says so."""
        return self.delivery.is_ambiguous and not self.answered


def check_host(base_url: str, *, insists: bool) -> None:
    """Refuses to write to what may be the production service.

    Raises:
        ConfigurationError: the host is neither this machine nor the staging service, and nobody insists.
    """
    host = urlsplit(base_url).hostname or ""
    if not insists and not is_loopback(host) and host != urlsplit(STAGING).hostname:
        raise ConfigurationError(
            f"--write: {host} is not known to be a test service, so nothing was sent. If a customer and a document of yours may be"
            " created there for good, say --production"
        )


def read_records(customer: bytes | None, document: bytes | None) -> Records:
    """What is to be written, checked before anything is sent.

    Raises:
        ConfigurationError: one has no number, so that it could not be looked up.
        RecordError: it can't be sent as it is.
    """
    first, customer_no = _checked(customer, Customer, "customerNo", "--customer")
    second, document_no = _checked(document, Document, "documentNo", "--document")
    return Records(first, second, customer_no, document_no)


def _checked(record: bytes | None, cls: type[Input], key: str, option: str) -> tuple[bytes | None, str]:
    """The text that is sent, and the number in it."""
    if record is None:
        return None, ""
    text = codec.encode_one(record, cls)
    found = (codec.json_object(text) or {}).get(key)
    number = str(found).strip() if isinstance(found, (str, int)) and not isinstance(found, bool) else ""
    if number in {"", ".", ".."}:
        raise ConfigurationError(f"{option}: it needs a {key}: without one nobody could find out what became of it")
    return text, number


async def write(asker: ProbeClient, evidence: Evidence, records: Records, deadline: float) -> None:
    """Sends the customer, waits for its batch, then the document, and looks both up."""
    asker.allow(_POLLS + 5, deadline + 300.0)
    if records.customer is not None and not await _customer(asker, evidence, records.customer, records.customer_no, deadline):
        if records.document is not None:
            evidence.unsent = "it was not sent, because the customer did not make it"
        return
    if records.document is not None:
        await _document(asker, evidence, records, records.document)


async def _customer(asker: ProbeClient, evidence: Evidence, customer: bytes, number: str, deadline: float) -> bool:
    """Whether the customer made it: the batch says so, or does not deny it and the customer is there."""
    name = "customers.create_batch"
    envelope = wire.Envelope.of(OPERATIONS[name].items, asker.user_id)
    evidence.sent["customers"] = customer
    heard = await asker.write(name, name, (envelope.head, customer, envelope.tail), DeliveryEvidence())
    receipt = wire.batch_receipt(heard.response) if heard.is_success and heard.response is not None else None
    if receipt is not None:
        await _poll(asker, receipt.batch_uuid, deadline)
    found = await asker.get("customers.get/written", "customers.get", path={"customerno": number}, query={"userid": asker.user_id})
    last = evidence.last(POLLS)
    outcome = outcome_of(last) if last is not None else None
    return outcome == "succeeded" or (outcome != "failed" and found.is_success)


async def _poll(asker: ProbeClient, batch_uuid: str, deadline: float) -> None:
    """Asks until the batch is done, or nothing is known of it, or the time is up."""
    end = clock.monotonic() + deadline
    pause = 0.5
    before: Exchange | None = None
    for _ in range(_POLLS):
        heard = await asker.get(POLLS, "batches.get", path={"batchuuid": batch_uuid})
        known = heard.is_success or heard.status is None
        # What is not to be found yet may be there in a moment, so it is asked twice.
        if is_settled(heard) or (not known and before is not None and before.status == heard.status):
            return
        left = end - clock.monotonic()
        if left <= 0:
            return
        before = heard
        await clock.sleep(min(pause, left))
        pause = min(pause * 1.6, max(10.0, deadline / 40))


async def _document(asker: ProbeClient, evidence: Evidence, records: Records, document: bytes) -> None:
    """Sends the document exactly once. Whatever the answer is, or where there is none: it is looked up, and not sent again."""
    evidence.sent["documents"] = document
    heard = await asker.write("documents.create", "documents.create", (document,), records.delivery)
    records.answered = heard.proof is Proof.DONE
    if heard.proof in {Proof.DONE, Proof.AMBIGUOUS}:
        query = {"userid": asker.user_id}
        await asker.get("documents.get/written", "documents.get", path={"documentno": records.document_no}, query=query)
