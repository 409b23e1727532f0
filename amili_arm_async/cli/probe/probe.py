"""What is asked, and in which order: documented operations first, so that a limit on requests costs the guesses and not the facts."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from msgspec import structs

from ... import clock, codec, wire
from ...attempts import Attempt, DeliveryEvidence
from ...auth import ClientCredentials
from ...client import ArmClient
from ...config import STAGING, Timeout, is_loopback
from ...endpoints import OPERATIONS, Endpoint
from ...errors import ConfigurationError
from ...models.base import Input
from ...models.customers import Customer
from ...models.documents import Document
from ...resources.base import RequestContext
from ...retry import Proof
from .assumptions import PAGED, findings, remedy
from .evidence import Evidence, Exchange, ProbeFinding, Verdict
from .lists import MAX_PAGE_SIZE, UNDOCUMENTED, answer_of, answers, candidates, is_elsewhere, last_page, other_paths, query_of
from .records import POLLS, SINGLE, is_settled, key_in_list, outcome_of

__all__ = ["MAX_REQUESTS", "Probe", "RecordsToWrite", "check_host", "read_records"]


MAX_REQUESTS: Final = 80
"""Maximum number of requests of a probe that only reads, without those for tokens and for the named batches."""

_SECONDS: Final = 600.0
"""Seconds after which no reading request is started."""

_FEW: Final = 5
"""Records on a page: the minimum that the API accepts unchanged."""
_PAGES: Final = 3
"""Maximum number of pages read in sequence."""


@dataclass
class Probe:
    """One probe of a service.

    Attributes:
        arm: the client; it is closed at the end.
        base_url: where the service is.
        timeout: for one request.
        batches: batchUuids of the caller's that are looked at.
        records: what is to be written, or None.
        deadline: seconds that are waited for the batch that was sent.
        keep: called with each reply.
        evidence: what was seen so far.
        unreachable: the service could not be reached, or refused the token.
        asked: requests so far.
    """

    arm: ArmClient
    base_url: str
    timeout: Timeout
    batches: Sequence[str] = ()
    records: RecordsToWrite | None = None
    deadline: float = 300.0
    keep: Callable[[Exchange], None] = lambda _: None
    unreachable: bool = False
    asked: int = 0
    evidence: Evidence = field(init=False)

    def __post_init__(self) -> None:
        self.evidence = Evidence(self.base_url)

    async def run(self) -> None:
        """Sends all requests. What was seen, even if it ends early, is in `evidence`."""
        caller = self.arm._context  # noqa: SLF001 - what is looked at are replies of any status, and each question is asked once
        client = ProbeClient(caller, self.evidence, timeout=self.timeout, most=MAX_REQUESTS, seconds=_SECONDS, keep=self.keep)
        async with self.arm:
            if caller.transport.credentials is not None:
                self._note_token_fields(caller.transport.credentials, caller.transport.post_form)
            try:
                await self._ask(client)
            except UnreachableError as exc:
                self.evidence.ended, self.unreachable = str(exc), True
            except BudgetExceededError as exc:
                self.evidence.ended = str(exc)
            except asyncio.CancelledError:
                self.evidence.ended = "interrupted"
                raise
            finally:
                self.asked = client.asked

    def _note_token_fields(self, auth: ClientCredentials, post: Callable[..., object]) -> None:
        """Notes the field names in the answer of the identity service."""

        async def exchange(url: str, form: Mapping[str, object]) -> bytes:
            answer: bytes = await post(url, form)  # type: ignore[misc]
            self.evidence.token_fields = tuple(codec.json_object(answer) or ())
            return answer

        auth.attach(exchange)

    async def _ask(self, client: ProbeClient) -> None:
        for name in PAGED:
            if OPERATIONS[name].documented:
                await self._walk(client, name)
        await self._page_sizes(client)
        if self.batches:
            client.allow(len(self.batches), self.timeout.read * len(self.batches))
        for uuid in self.batches:
            await client.get("batches.get", "batches.get", path={"batchuuid": uuid})
        for row in UNDOCUMENTED:
            await self._find(client, row.name)
        await self._single(client)
        if self.records is not None:
            await write(client, self.evidence, self.records, self.deadline)
        for row in UNDOCUMENTED:
            await self._look_elsewhere(client, row.name)

    # --- lists ----------------------------------------------------------------------------------------------------------

    async def _walk(self, client: ProbeClient, name: str, template: str | None = None) -> None:
        """Reads the first pages of a list, and its last."""
        exchange = answer_of(self.evidence, name)
        if exchange is None:
            exchange = await client.get(name, name, query={"pagesize": _FEW, "userid": client.user_id})
        for _ in range(_PAGES - 1):
            query = query_of(exchange.summary().get("nextPage")) if exchange.is_success else {}
            if not query:
                break
            exchange = await client.get(f"{name}/pages", name, template=template, query=query)
        if exchange.is_success and last_page(self.evidence, name) is None:
            query = query_of(exchange.summary().get("lastPage"))
            if query:
                await client.get(f"{name}/last", name, template=template, query=query)
        if exchange.is_success:
            most = {"maximumcount": OPERATIONS[name].cap * 10, "pagesize": _FEW, "userid": client.user_id}
            await client.get(f"{name}/most", name, template=template, query=most)

    async def _page_sizes(self, client: ProbeClient) -> None:
        """Sends page sizes that are too small or too large, for at most ten records each."""
        name = "customers.list"
        exchange = self.evidence.first(name)
        if exchange is None or not exchange.is_success:
            return
        more = {"userid": client.user_id}
        await client.get(f"{name}/small", name, query={"pagesize": _FEW - 1, "maximumcount": 10, **more})
        await client.get(f"{name}/large", name, query={"pagesize": MAX_PAGE_SIZE + 1, "maximumcount": 10, **more})
        await client.get(f"{name}/few", name, query={"pagesize": _FEW, "maximumcount": _FEW, **more})
        query, pages = exchange.summary().get("queryId"), exchange.summary().get("totalPages")
        if isinstance(query, str) and query and isinstance(pages, int):
            await client.get(f"{name}/past", name, query={"query": query, "pageno": pages + 1})

    # --- single records ---------------------------------------------------------------------------------------------------

    async def _single(self, client: ProbeClient) -> None:
        """Reads one record of each kind that a list has shown, and one that can't exist."""
        for name, key in SINGLE.items():
            parameter = OPERATIONS[name].path.rpartition("/")[2][1:-1]
            found = key_in_list(answer_of(self.evidence, name.removesuffix(".get") + ".list"), key)
            query = {"userid": client.user_id}
            if found is not None:
                await client.get(name, name, path={parameter: found}, query=query)
            await client.get(f"{name}/absent", name, path={parameter: _number_of_none(name)}, query=query)
        await client.get("batches.get/absent", "batches.get", path={"batchuuid": secrets.token_urlsafe(16)})

    # --- paths ------------------------------------------------------------------------------------------------------------

    async def _find(self, client: ProbeClient, name: str) -> None:
        """Sends the request that the library would send."""
        exchange = await client.get(name, name, query=_query(name, client))
        if name in PAGED and exchange.is_success:
            await self._walk(client, name)

    async def _look_elsewhere(self, client: ProbeClient, name: str) -> None:
        """Tries other spellings of a path that does not exist."""
        exchange = self.evidence.first(name)
        if exchange is None or not is_elsewhere(exchange):
            return
        for template in candidates(OPERATIONS[name]):
            found = await client.get(other_paths(name), name, template=template, query=_query(name, client))
            if answers(found):
                if name in PAGED:
                    await self._walk(client, name, template)
                return

    # --- the result --------------------------------------------------------------------------------------------------------

    def findings(self) -> list[ProbeFinding]:
        """Checks every assumption against what was seen so far.

        Returns:
            A finding for each.
        """
        return findings(self.evidence, wrote=self.records is not None)

    def remedy(self) -> str:
        """Returns the settings that make the library fit the service.

        Returns:
            Arguments for `ArmClient`, as Python to paste.
        """
        return remedy(self.evidence, all_as_assumed=all(one.verdict != Verdict.DIFFERENT for one in self.findings()))


def _query(name: str, client: ProbeClient) -> dict[str, object]:
    """Requests few records of a list; the parameters of other operations are not known."""
    return {"pagesize": _FEW, "userid": client.user_id} if OPERATIONS[name].items else {}


def _number_of_none(name: str) -> str:
    """Returns a number that no record can have; that of an AR item may have to be numeric."""
    return "999999999999" if name == "ar_items.get" else f"probe-{secrets.token_hex(8)}"


# --- requests -----------------------------------------------------------------------------------------------------------


_IN_A_ROW: Final = 3
"""Consecutive requests without an answer, or with a refused token, after which the probe stops."""

_WAITS: Final = 10.0
"""Maximum seconds to wait where the service asks for it; if it asks for more, the probe stops."""


class BudgetExceededError(Exception):
    """No further request is sent; the message says why."""


class UnreachableError(BudgetExceededError):
    """The service can't be reached, or refuses the token."""


class ProbeClient:
    """Sends one request at a time, and none of them twice.

    Args:
        caller: the client number and the connections.
        evidence: where the replies go.
        timeout: for one request.
        most: requests at the most.
        seconds: after so many, no request is begun.
        keep: called with each reply.
    """

    def __init__(
        self, context: RequestContext, evidence: Evidence, *, timeout: Timeout, most: int, seconds: float, keep: Callable[[Exchange], None]
    ) -> None:
        self._context = context
        self._evidence = evidence
        self._timeout = timeout
        self._keep = keep
        self._left = most
        self._end = clock.monotonic() + seconds
        self._unanswered = 0
        self._refused = 0
        self.asked = 0

    @property
    def user_id(self) -> str | None:
        """The user id, or None."""
        return self._context.user_id

    def allow(self, requests: int, seconds: float) -> None:
        """Allows more requests, and more time.

        Args:
            requests: number of further requests.
            seconds: further time.
        """
        self._left += requests
        self._end += seconds

    async def get(
        self,
        label: str,
        name: str,
        *,
        template: str | None = None,
        path: Mapping[str, object] | None = None,
        query: Mapping[str, object] | None = None,
    ) -> Exchange:
        """Sends a reading request once.

        Args:
            label: under which the reply is kept.
            name: of the operation, such as `customers.get`.
            template: another path, or None.
            path: parameters of the path.
            query: parameters of the query.

        Returns:
            The request and its reply.

        Raises:
            BudgetExceededError: no further request may be sent.
        """
        endpoint = OPERATIONS[name]
        if template is not None:
            endpoint = structs.replace(endpoint, path=template)
        return await self._ask(label, endpoint, path or {}, query or {}, (), DeliveryEvidence())

    async def write(self, label: str, name: str, body: tuple[bytes, ...], delivery: DeliveryEvidence) -> Exchange:
        """Sends a writing request once.

        Args:
            label: under which the reply is kept.
            name: of the operation.
            body: of the request, in parts.
            delivery: records whether it may have been accepted, even if this is cancelled.

        Returns:
            The request and its reply.

        Raises:
            BudgetExceededError: no further request may be sent.
        """
        endpoint = OPERATIONS[name]
        # A batch names the user in its body.
        query = {} if endpoint.items else {"userid": self._context.user_id}
        return await self._ask(label, endpoint, {}, query, body, delivery)

    async def _ask(
        self,
        label: str,
        endpoint: Endpoint,
        path: Mapping[str, object],
        query: Mapping[str, object],
        body: tuple[bytes, ...],
        delivery: DeliveryEvidence,
    ) -> Exchange:
        if self._left <= 0:
            raise BudgetExceededError("the bound on requests was reached")
        if clock.monotonic() >= self._end:
            raise BudgetExceededError("the time was up")
        parameters = {"clientno": self._context.client_no, **path}
        request = wire.build(endpoint, parameters, query=query, language=self._context.language, body=body)
        self._left -= 1
        self.asked += 1
        tried = await self._context.transport.attempt(request, timeout=self._timeout, delivery=delivery, starts=_at_once)
        assert tried is not None
        if tried.fatal is not None:
            raise UnreachableError(str(tried.fatal))
        reply = Exchange(
            endpoint.name, endpoint.method, endpoint.path, request.query, tried.proof, tried.response, tried.reason, tried.retry_after
        )
        self._evidence.add(label, reply)
        self._keep(reply)
        await self._pause_or_stop(tried)
        return reply

    async def _pause_or_stop(self, tried: Attempt) -> None:
        """Stops, or waits, if the reply asks for it."""
        first = self.asked == 1
        rule = tried.rule
        if rule is None:
            self._unanswered += 1
            if first or self._unanswered >= _IN_A_ROW:
                raise UnreachableError(
                    f"the identity service gave no token: {tried.description}"
                    if tried.reason == "no token"
                    else f"the service gave no answer ({tried.reason})"
                )
            return
        self._unanswered = 0
        self._refused = self._refused + 1 if rule.call == "refresh" else 0
        if self._refused >= _IN_A_ROW:
            raise BudgetExceededError("the token was refused (401) again and again")
        if rule.call == "refresh" and first:
            raise UnreachableError(
                "the service refused the token (401): check client_id, client_secret and identity_url, or the token you gave"
            )
        if rule.is_overload and (rule.proof is Proof.NOT_TAKEN or tried.retry_after is not None):
            wait = tried.retry_after if tried.retry_after is not None else _WAITS
            if wait > _WAITS:
                raise BudgetExceededError(f"{tried.status}: the service asked to be left alone for {wait:g} s")
            await clock.sleep(wait)


async def _at_once() -> bool:
    return True


# --- writing ------------------------------------------------------------------------------------------------------------


_POLLS: Final = 60
"""Maximum number of polls for the batch, spread over the deadline."""


@dataclass
class RecordsToWrite:
    """The records to write, as JSON texts, and their outcome.

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
        """Whether the document may have been accepted, and no answer confirms it."""
        return self.delivery.is_ambiguous and not self.answered


def check_host(base_url: str, *, is_production: bool) -> None:
    """Refuses to write to what may be the production service.

    Raises:
        ConfigurationError: the host is neither this machine nor the staging service, and --production was not given.
    """
    host = urlsplit(base_url).hostname or ""
    if not is_production and not is_loopback(host) and host != urlsplit(STAGING).hostname:
        raise ConfigurationError(
            f"--write: {host} is not known to be a test service, so nothing was sent. If a customer and a document of yours may be"
            " created there for good, say --production"
        )


def read_records(customer: bytes | None, document: bytes | None) -> RecordsToWrite:
    """Checks the records to write before anything is sent.

    Raises:
        ConfigurationError: one has no number, so that it could not be looked up.
        RecordError: it can't be sent as it is.
    """
    first, customer_no = _checked(customer, Customer, "customerNo", "--customer")
    second, document_no = _checked(document, Document, "documentNo", "--document")
    return RecordsToWrite(first, second, customer_no, document_no)


def _checked(record: bytes | None, cls: type[Input], key: str, option: str) -> tuple[bytes | None, str]:
    """Returns the text that is sent, and the number in it."""
    if record is None:
        return None, ""
    text = codec.encode_one(record, cls)
    found = (codec.json_object(text) or {}).get(key)
    number = str(found).strip() if isinstance(found, (str, int)) and not isinstance(found, bool) else ""
    if number in {"", ".", ".."}:
        raise ConfigurationError(f"{option}: it needs a {key}: without one it could not be looked up")
    return text, number


async def write(client: ProbeClient, evidence: Evidence, records: RecordsToWrite, deadline: float) -> None:
    """Sends the customer, waits for its batch, then the document, and looks both up."""
    client.allow(_POLLS + 5, deadline + 300.0)
    if records.customer is not None and not await _customer(client, evidence, records.customer, records.customer_no, deadline):
        if records.document is not None:
            evidence.unsent = "it was not sent, because the customer did not succeed"
        return
    if records.document is not None:
        await _document(client, evidence, records, records.document)


async def _customer(client: ProbeClient, evidence: Evidence, customer: bytes, number: str, deadline: float) -> bool:
    """Sends the customer, and returns whether it succeeded: the batch says so, or does not deny it and the customer exists."""
    name = "customers.create_batch"
    envelope = wire.Envelope.of(OPERATIONS[name].items, client.user_id)
    evidence.sent["customers"] = customer
    exchange = await client.write(name, name, (envelope.head, customer, envelope.tail), DeliveryEvidence())
    receipt = wire.batch_receipt(exchange.response) if exchange.is_success and exchange.response is not None else None
    if receipt is not None:
        await _poll(client, receipt.batch_uuid, deadline)
    found = await client.get("customers.get/written", "customers.get", path={"customerno": number}, query={"userid": client.user_id})
    last = evidence.last(POLLS)
    outcome = outcome_of(last) if last is not None else None
    return outcome == "succeeded" or (outcome != "failed" and found.is_success)


async def _poll(client: ProbeClient, batch_uuid: str, deadline: float) -> None:
    """Polls until the batch is done, is not known, or the time is up."""
    end = clock.monotonic() + deadline
    pause = 0.5
    before: Exchange | None = None
    for _ in range(_POLLS):
        exchange = await client.get(POLLS, "batches.get", path={"batchuuid": batch_uuid})
        known = exchange.is_success or exchange.status is None
        # What is not to be found yet may be there in a moment, so it is asked twice.
        if is_settled(exchange) or (not known and before is not None and before.status == exchange.status):
            return
        left = end - clock.monotonic()
        if left <= 0:
            return
        before = exchange
        await clock.sleep(min(pause, left))
        pause = min(pause * 1.6, max(10.0, deadline / 40))


async def _document(client: ProbeClient, evidence: Evidence, records: RecordsToWrite, document: bytes) -> None:
    """Sends the document exactly once. Whatever the answer is, it is looked up, and never sent again."""
    evidence.sent["documents"] = document
    exchange = await client.write("documents.create", "documents.create", (document,), records.delivery)
    records.answered = exchange.proof is Proof.DONE
    if exchange.proof in {Proof.DONE, Proof.AMBIGUOUS}:
        query = {"userid": client.user_id}
        await client.get("documents.get/written", "documents.get", path={"documentno": records.document_no}, query=query)
