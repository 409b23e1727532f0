"""What all sections share: the context of a call, the arguments of lists, and the lists whose criteria are on no public page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar

from msgspec import Struct, structs

from .. import codec, wire
from ..bulk.plain_records import encode_record
from ..config import RetryPolicy, Timeout, check_int
from ..endpoints import Endpoint
from ..errors import ConfigurationError
from ..models.base import Input, PydanticModel, Record
from ..models.batches import BatchReceipt, Receipt
from ..models.json_records import JsonRecord, Reply
from ..paging import Pager, Query
from ..transport import Transport
from ..uploads import Encoded, body_of
from ..wire import Envelope, Request, Response

if TYPE_CHECKING:
    from ..bulk.results import BatchRules

__all__ = ["JsonBody", "ListOptions", "Parameters", "RequestContext", "SourceRecord", "check_list", "listed", "query_of"]

RecordT = TypeVar("RecordT", bound=Record)
ListedT = TypeVar("ListedT", bound=Record | JsonRecord)
ItemT = TypeVar("ItemT", bound=JsonRecord)
ReplyT = TypeVar("ReplyT", bound=Reply)

SourceRecord = Input | Mapping[str, Any] | PydanticModel | bytes
JsonBody = Mapping[str, Any] | Sequence[Mapping[str, Any]] | bytes
"""A body that no page shows: a mapping by the API's own names, a list of such, or bytes of JSON."""
Parameters = Mapping[str, str | int | bool]
"""Query parameters by the API's own names, all lower case."""


class RequestContext(Struct, frozen=True):
    """One client number over a transport.

    Attributes:
        client_no: the client number that every path holds.
        transport: the connections.
        user_id: who is named as the user, or None.
        language: `Accept-Language` of reads, or None.
        rules: how batch results are read.
        endpoints: the operations by their names, with the paths that the caller set.
    """

    client_no: int
    transport: Transport
    user_id: str | None
    language: str | None
    rules: BatchRules
    endpoints: Mapping[str, Endpoint]

    def request(
        self,
        name: str,
        *,
        query: Mapping[str, object] | None = None,
        language: str | None = None,
        body: tuple[bytes | Encoded, ...] = (),
        path: Mapping[str, object] | None = None,
    ) -> Request:
        """Builds the request of an operation for this client number.

        Args:
            name: the name of the operation in `endpoints.OPERATIONS`.
            query: the query; values that are None are left out.
            language: `Accept-Language`. None: the client's.
            body: the body in pieces.
            path: values for the variables of its path, besides the client number.

        Returns:
            The request, without a token.
        """
        return wire.build(
            self.endpoints[name],
            {"clientno": self.client_no, **(path or {})},
            query=query,
            language=language or self.language,
            body=body,
        )

    def probe(self) -> Request:
        """Builds a cheap read, which shows whether the service answers.

        Returns:
            The request, without a token.
        """
        return self.request("customers.list", query={"maximumcount": 5, "pagesize": 5})

    async def write_one(
        self,
        name: str,
        record: SourceRecord | None,
        cls: type[Input],
        *,
        user_id: str | None,
        timeout: Timeout | None,
        retry: RetryPolicy | None,
        path: Mapping[str, object] | None = None,
    ) -> Receipt:
        """Writes one record; without a record, does what the path says, such as deleting.

        Args:
            name: the name of the operation in `endpoints.OPERATIONS`.
            record: the record; None: there is no body.
            cls: the Struct of its type.
            user_id: the user id that each batch names. None: the client's.
            timeout: time-outs of this call. None: the client's.
            retry: retries of this call. None: the client's.
            path: values for the variables of its path, besides the client number.

        Returns:
            What the server says about it.

        Raises:
            RecordError: the record can't be sent.
            OutcomeUnknownError: it may have been accepted.
            ResponseError: the response can't be read.
            StatusError: the server answered with an error status.
        """
        body = (encode_record(record, cls),) if record is not None else ()
        request = self.request(name, query={"userid": user_id or self.user_id}, body=body, path=path)
        response = await self.transport.send(request, timeout=timeout, retry=retry)
        if not wire.is_readable(response):
            raise wire.unreadable(response, request.endpoint)
        return wire.receipt(response)

    async def write_batch(
        self,
        name: str,
        records: list[bytes],
        *,
        user_id: str | None,
        timeout: Timeout | None,
        retry: RetryPolicy | None,
    ) -> BatchReceipt:
        """Writes one batch in one request, which is only retried where that does no harm.

        Args:
            name: the name of the operation in `endpoints.OPERATIONS`.
            records: each record as JSON.
            user_id: the user id that each batch names. None: the client's.
            timeout: time-outs of this call. None: the client's.
            retry: retries of this call. None: the client's.

        Returns:
            The `batchUuid` of the batch.

        Raises:
            OutcomeUnknownError: it may have been accepted.
            ResponseError: the response can't be read.
            StatusError: the server answered with an error status.
        """
        envelope = Envelope.of(self.endpoints[name].items, user_id if user_id is not None else self.user_id)
        request = self.request(name, body=(envelope.head, b",".join(records), envelope.tail))
        response = await self.transport.send(request, timeout=timeout, retry=retry)
        receipt = wire.batch_receipt(response)
        if receipt is None:
            raise wire.unreadable(response, request.endpoint)
        return receipt

    async def read_one(
        self,
        name: str,
        cls: type[RecordT],
        key: str,
        *,
        query: Mapping[str, object],
        language: str | None,
        timeout: Timeout | None,
        retry: RetryPolicy | None,
        path: Mapping[str, object],
    ) -> tuple[RecordT, bytes]:
        """Reads one record.

        Args:
            name: the name of the operation in `endpoints.OPERATIONS`.
            cls: the Struct of the record.
            key: the wire name of the field that identifies the record.
            query: the query; values that are None are left out.
            language: `Accept-Language`. None: the client's.
            timeout: time-outs of this call. None: the client's.
            retry: retries of this call. None: the client's.
            path: values for the variables of its path, besides the client number.

        Returns:
            The record and its JSON text.

        Raises:
            ResponseError: the response can't be read.
            StatusError: the server answered with an error status.
        """
        request = self.request(name, query=query, language=language, path=path)
        response = await self.transport.send(request, timeout=timeout, retry=retry)
        text = wire.one_record(response.body, request.endpoint.items, key)
        try:
            if text is not None:
                return codec.read_record(text, cls), text
        except codec.DecodeFailure:
            # JSON by its marks alone: a number that is too large, for example.
            pass
        raise wire.unreadable(response, request.endpoint)

    async def read(
        self,
        name: str,
        *,
        query: Mapping[str, object] | None = None,
        language: str | None = None,
        timeout: Timeout | None,
        retry: RetryPolicy | None,
        path: Mapping[str, object] | None = None,
    ) -> Reply:
        """Reads a response that no public page shows.

        Args:
            name: the name of the operation in `endpoints.OPERATIONS`.
            query: the query; values that are None are left out.
            language: `Accept-Language`. None: the client's.
            timeout: time-outs of this call. None: the client's.
            retry: retries of this call. None: the client's.
            path: values for the variables of its path, besides the client number.

        Returns:
            The response as it came.

        Raises:
            ResponseError: the response can't be read.
            StatusError: the server answered with an error status.
        """
        request = self.request(name, query=query, language=language, path=path)
        response = await self.transport.send(request, timeout=timeout, retry=retry)
        return reply_of(Reply, response, request)

    async def read_item(
        self,
        name: str,
        cls: type[ItemT],
        key: str,
        *,
        query: Mapping[str, object],
        language: str | None,
        timeout: Timeout | None,
        retry: RetryPolicy | None,
        path: Mapping[str, object],
    ) -> ItemT:
        """Reads one item whose fields are on no public page.

        Args:
            name: the name of the operation in `endpoints.OPERATIONS`.
            cls: the class of the item.
            key: the wire name of the field that identifies the record.
            query: the query; values that are None are left out.
            language: `Accept-Language`. None: the client's.
            timeout: time-outs of this call. None: the client's.
            retry: retries of this call. None: the client's.
            path: values for the variables of its path, besides the client number.

        Returns:
            The item as it came.

        Raises:
            ResponseError: the response can't be read.
            StatusError: the server answered with an error status.
        """
        request = self.request(name, query=query, language=language, path=path)
        response = await self.transport.send(request, timeout=timeout, retry=retry)
        text = wire.one_record(response.body, request.endpoint.items, key)
        value = codec.json_object(text) if text is not None else None
        if value is None:
            raise wire.unreadable(response, request.endpoint)
        return cls(value)

    async def write(
        self,
        name: str,
        body: JsonBody,
        cls: type[ReplyT],
        *,
        user_id: str | None = None,
        query: Mapping[str, object] | None = None,
        timeout: Timeout | None,
        retry: RetryPolicy | None,
        path: Mapping[str, object] | None = None,
    ) -> ReplyT:
        """Writes a body that no public page shows.

        Args:
            name: the name of the operation in `endpoints.OPERATIONS`.
            body: a mapping with the API's own names, a list of such, or JSON as bytes.
            cls: the class of the reply.
            user_id: who is named as the user; None: no user.
            query: the query; values that are None are left out.
            timeout: time-outs of this call. None: the client's.
            retry: retries of this call. None: the client's.
            path: values for the variables of its path, besides the client number.

        Returns:
            The response as it came.

        Raises:
            RecordError: the body can't be sent.
            OutcomeUnknownError: it may have been accepted.
            ResponseError: the response can't be read.
            StatusError: the server answered with an error status.
        """
        what = f"what {name}() sends"
        request = self.request(name, query={**(query or {}), "userid": user_id}, body=body_of(body, what), path=path)
        response = await self.transport.send(request, timeout=timeout, retry=retry)
        return reply_of(cls, response, request)

    def pager(
        self,
        name: str,
        cls: type[ListedT],
        query: Mapping[str, object],
        *,
        may_be_truncated: bool,
        language: str | None,
        timeout: Timeout | None,
        retry: RetryPolicy | None,
    ) -> Pager[ListedT]:
        """Makes the list of an operation. Nothing is sent yet.

        Args:
            name: the name of the operation in `endpoints.OPERATIONS`.
            cls: the class of its records.
            query: the criteria; values that are None are left out.
            may_be_truncated: whether a part of the list is no error.
            language: `Accept-Language`. None: the client's.
            timeout: time-outs of each page. None: the client's.
            retry: retries of each page. None: the client's.

        Returns:
            The list.
        """
        template = self.request(name, language=language)

        async def fetch(page: Query) -> Response:
            return await self.transport.send(structs.replace(template, query=page), timeout=timeout, retry=retry)

        return Pager(template.endpoint, cls, fetch, wire.query_pairs(query), may_be_truncated=may_be_truncated)


def reply_of(cls: type[ReplyT], response: Response, request: Request) -> ReplyT:
    """Reads the reply in a 2xx; raises the error of `wire.unreadable` if it can't be read."""
    if not wire.is_readable(response):
        raise wire.unreadable(response, request.endpoint)
    return cls(codec.json_value(response.body), response.status, response.request_id)


ListItemT = TypeVar("ListItemT", bound=Record | JsonRecord)


class ListOptions(TypedDict, total=False):
    """The arguments that every list takes besides its criteria.

    Attributes:
        maximum_count: the most records to give. With it, a list that reaches that number is no error.
        query: the id of an earlier query, to read its pages again.
        page_no: the page to begin with.
        page_size: records on a page, at least 5. Default: the API's, 100.
        user_id: the user id that each batch names.
        language: `Accept-Language`.
        allow_truncated: True: a list that hits its cap, or gives fewer records than it announces, is no error.
        timeout: time-outs of each page.
        retry: retries of each page.
    """

    maximum_count: int | None
    query: str | None
    page_no: int | None
    page_size: int | None
    user_id: str | None
    language: str | None
    allow_truncated: bool
    timeout: Timeout | None
    retry: RetryPolicy | None


def check_list(endpoint: Endpoint, *, maximum_count: int | None, page_size: int | None, page_no: int | None) -> None:
    """Refuses what the API would silently change, before anything is sent.

    Raises:
        ConfigurationError: the reason is in the message.
    """
    # Every entity has caps of its own: where no page shows them, only the server knows.
    capped = endpoint.cap > 0
    if page_size is not None:
        why = "the API takes 10 for anything below 5" + (" and caps at 1000" if capped else "") + ", and would not say so"
        check_int("page_size", page_size, least=5, most=1000 if capped else None, why=why)
    if maximum_count is not None:
        why = f"{endpoint.cap:,} is the upper limit of the API" if capped else ""
        check_int("maximum_count", maximum_count, least=1, most=endpoint.cap or None, why=why)
    if page_no is not None:
        check_int("page_no", page_no, least=1)


def query_of(
    parameters: Parameters | None, arguments: Mapping[str, object], *, user_id: str | None, **criteria: object
) -> dict[str, object]:
    """Returns the query of a list: its arguments, its criteria by their names, and what the caller gave as `parameters`.

    Raises:
        ConfigurationError: something in `parameters` is an argument, or was given as one too.
    """
    given = parameters or {}
    for name in given:
        if name in arguments or criteria.get(name) is not None:
            raise ConfigurationError(f"parameters holds {name!r}: the method has an argument for it; give it there, and only there")
    return {**criteria, **arguments, "userid": user_id, **given}


def listed(
    context: RequestContext,
    name: str,
    cls: type[ListItemT],
    parameters: Parameters | None,
    *,
    maximum_count: int | None = None,
    query: str | None = None,
    page_no: int | None = None,
    page_size: int | None = None,
    user_id: str | None = None,
    language: str | None = None,
    allow_truncated: bool = False,
    timeout: Timeout | None = None,
    retry: RetryPolicy | None = None,
) -> Pager[ListItemT]:
    """The pager of a list whose criteria are on no public page."""
    check_list(context.endpoints[name], maximum_count=maximum_count, page_size=page_size, page_no=page_no)
    return context.pager(
        name,
        cls,
        query_of(
            parameters,
            {"maximumcount": maximum_count, "query": query, "pageno": page_no, "pagesize": page_size},
            user_id=user_id or context.user_id,
        ),
        may_be_truncated=allow_truncated or maximum_count is not None,
        language=language,
        timeout=timeout,
        retry=retry,
    )
