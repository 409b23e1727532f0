"""Pure: an endpoint and arguments become a `Request`; status, headers and bytes become a value or an error; links are made safe."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

import msgspec

from . import codec
from .endpoints import IDENTITY, Endpoint
from .errors import ConfigurationError, OutcomeUnknownError, ResponseError, StatusError, status_error
from .models.batches import BatchReceipt, Receipt
from .retry import rule_of

if TYPE_CHECKING:
    from .uploads import Encoded

__all__ = [
    "Envelope",
    "Request",
    "Response",
    "batch_receipt",
    "build",
    "form",
    "is_web_page",
    "link_query",
    "list_in",
    "one_record",
    "quotable",
    "receipt",
    "to_error",
]


MOST_BYTES: Final = 64_000_000
"""The largest answer that is read."""


class Request(msgspec.Struct, frozen=True):
    """One request, ready for the wire but for the token.

    Attributes:
        endpoint: the operation.
        path: the real path below the base address, percent-encoded.
        query: names and values of the query.
        language: value of `Accept-Language`, or None.
        body: the body in pieces; empty where there is none.
        encoding: how the body is compressed, the value of `Content-Encoding`, or None.
        base: the address of another service, which gets no token of ours; None for the API itself.
        content_type: of the body.
        accept: what the answer may be.
        most: bytes of the answer's body that are read at the most.
    """

    endpoint: Endpoint
    path: str
    query: tuple[tuple[str, str], ...] = ()
    language: str | None = None
    body: tuple[bytes | Encoded, ...] = ()
    encoding: str | None = None
    base: str | None = None
    content_type: str = "application/json"
    accept: str = "application/json"
    most: int = MOST_BYTES

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """Without what may name a person."""
        return [("endpoint", self.endpoint), ("language", self.language)]

    def __repr__(self) -> str:
        return f"Request(endpoint={self.endpoint!r}, language={self.language!r})"

    @property
    def size(self) -> int:
        """Bytes of the body as it goes over the wire."""
        return sum(len(piece) for piece in self.body)

    @property
    def held(self) -> int:
        """Bytes of the body that are held in memory while it is under way."""
        return sum(len(piece) if isinstance(piece, bytes) else piece.held for piece in self.body)


@dataclass(frozen=True, slots=True)
class Response:
    """An answer: `status`, `headers` (names in lower case), `request_id` and `body` (the bytes); `json()` parses it.

    Attributes:
        complete: False where the connection broke before the end of the body, or the body was larger than is read.
        attempts: how often the request was sent.
        is_too_large: True where the body was larger than is read: 64 MB, or less where less was asked for.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    complete: bool = True
    attempts: int = 1
    is_too_large: bool = False

    @property
    def request_id(self) -> str | None:
        """The request id that the server gave, under one of the usual names; None where it gave none.

        It goes into messages and logs: one that is not short and plain, or may be the number of a person, is none.
        """
        found = next((self.headers[name] for name in _REQUEST_IDS if self.headers.get(name)), None)
        return found if found is not None and _PLAIN_ID.fullmatch(found) and not _person().search(found) else None

    def json(self) -> Any:
        """Parses the body as JSON.

        Returns:
            The value, numbers with a fraction as `Decimal`; None where the body is empty.

        Raises:
            ResponseError: the body is not JSON.
        """
        if not self.body:
            return None
        value = codec.json_value(self.body)
        if value is None and self.body.strip() != b"null":
            raise ResponseError(f"an answer with status {self.status} is no JSON; its bytes are in .body")
        return value


_REQUEST_IDS: Final = ("x-request-id", "request-id", "x-correlation-id", "traceparent")

_PLAIN_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._:/+=|-]{0,127}")


@cache
def _person() -> re.Pattern[str]:
    """Finds the number of a person in the Nordic countries, by its form: its date of birth and four or five digits."""
    return re.compile(r"(?<![0-9A-Za-z])(?:[0-9]{2})?[0-9]{6}[-+]?[0-9]{4,5}(?![0-9A-Za-z])")


# --- out --------------------------------------------------------------------------------------------------------------


def segment(name: str, value: object) -> str:
    """A value as one part of a path, percent-encoded.

    Raises:
        ConfigurationError: it is empty, no text or number, or would change the path.
    """
    text = _plain_text(value)
    if text is None or isinstance(value, bool):
        raise ConfigurationError(f"{name} must be text, not {type(value).__name__}")
    if not text.strip() or text in {".", ".."}:
        raise ConfigurationError(f"{name} must not be blank, '.' or '..'")
    try:
        return quote(text, safe="")
    except UnicodeEncodeError:
        raise ConfigurationError(f"{name} holds half a surrogate pair") from None


def build(
    endpoint: Endpoint,
    parameters: Mapping[str, object],
    *,
    query: Mapping[str, object] | None = None,
    language: str | None = None,
    body: tuple[bytes | Encoded, ...] = (),
) -> Request:
    """The request of `endpoint`: `parameters` fill the braces of its path, query values that are None are left out."""
    parts = [segment(part[1:-1], parameters[part[1:-1]]) if part.startswith("{") else part for part in endpoint.path.split("/")]
    if language is not None and (not isinstance(language, str) or not language.isascii() or not language.isprintable()):
        raise ConfigurationError("language must be plain text such as 'no' or 'en'")
    return Request(endpoint, "/".join(parts), query_pairs(query or {}), language, body)


def query_pairs(query: Mapping[str, object]) -> tuple[tuple[str, str], ...]:
    """Names and values of a query as text; values that are None are left out, booleans are `true` and `false`."""
    pairs: list[tuple[str, str]] = []
    for name, value in query.items():
        if value is None:
            continue
        text = _plain_text(value)
        if text is None:
            raise ConfigurationError(f"the query parameter {name} must be text or a number, not {type(value).__name__}")
        pairs.append((name, text.lower() if isinstance(value, bool) else text))
    return tuple(pairs)


def _plain_text(value: object) -> str | None:
    """Returns a text or a whole number as it stands in a body too: an enum or a class of one's own may write itself otherwise."""
    value = value.value if isinstance(value, Enum) else value
    if isinstance(value, str):
        return str.__str__(value)
    # That of a bool is a word.
    return str(value) if isinstance(value, bool) else int.__repr__(value) if isinstance(value, int) else None


def form(endpoint: Endpoint, base: str, fields: Mapping[str, str]) -> Request:
    """The request of an operation of the service at `base`, with a form as its body."""
    body = (urlencode(fields).encode(),) if endpoint.method != "GET" else ()
    return Request(endpoint, endpoint.path, body=body, base=base, content_type="application/x-www-form-urlencoded")


class Envelope(msgspec.Struct, frozen=True):
    """What stands around the records of a batch body: `{"metadata":{"userId":...},"customers":[` and `]}`."""

    head: bytes
    tail: bytes = b"]}"

    @classmethod
    def of(cls, items: str, user_id: str | None) -> Envelope:
        """The envelope of a list `items`; without `user_id` there is no metadata."""
        try:
            metadata = b'"metadata":' + msgspec.json.encode({"userId": user_id}) + b"," if user_id is not None else b""
        except UnicodeEncodeError:
            raise ConfigurationError("user_id holds half a surrogate pair") from None
        return cls(b"{" + metadata + msgspec.json.encode(items) + b":[")

    @property
    def size(self) -> int:
        """Bytes of the envelope alone."""
        return len(self.head) + len(self.tail)


# --- back -------------------------------------------------------------------------------------------------------------


def quotable(response: Response, request: Request, token: str | None) -> Response:
    """The answer without what it repeats of the token, the secrets and the numbers in the request, where it may be quoted.

    Args:
        response: the answer.
        request: what was sent.
        token: the token that was sent with it, or None.
    """
    kept = {
        name: value
        for name, value in response.headers.items()
        if name not in _REQUEST_IDS or not any(sent in value for sent in _sent(request, token))
    }
    body = response.body
    if token is not None and len(token) >= _LONG and request.base is None:
        body = body.replace(token.encode(), b"***")
    return replace(response, headers=kept, body=body) if body is not response.body or len(kept) < len(response.headers) else response


_LONG: Final = 16
"""A shorter token, as in tests, may stand in an answer by chance."""

_SHORT: Final = 4
"""A shorter value may stand in a request id by chance."""


def _sent(request: Request, token: str | None) -> Iterator[str]:
    """What a request id must not hold: the token, the fields of a form, and what stands in the places of the path."""
    found = [] if token is None else [token]
    if request.base is not None:
        text = b"".join(piece for piece in request.body if isinstance(piece, bytes)).decode("utf-8", "replace")
        found += [value for _, value in parse_qsl(text)]
    places = request.endpoint.path.split("/")
    found += [
        unquote(real)
        for place, real in zip(places, request.path.split("/"), strict=False)
        if place.startswith("{") and place != "{clientno}" and place != "{batchuuid}"
    ]
    found += [value for _, value in request.query]
    return (value for value in found if len(value) >= _SHORT)


def to_error(response: Response, endpoint: Endpoint, retry_after: float | None, *, ambiguous: bool = False) -> StatusError:
    """The error of an answer that is no success; `ambiguous` where it may have been done all the same."""
    if endpoint.name in IDENTITY:
        # An identity service may repeat what it was sent: its words are not kept.
        response = replace(response, body=b"")
    body = codec.json_value(response.body)
    if body is None and response.body:
        body = response.body[:10_000].decode("utf-8", "replace")
    return status_error(
        response.status,
        operation=endpoint.operation,
        body=body,
        request_id=response.request_id,
        retry_after=retry_after,
        ambiguous=ambiguous,
        hint=_no_path_hint(endpoint, response.status) if rule_of(response.status).is_no_path else None,
    )


def _no_path_hint(endpoint: Endpoint, status: int) -> str | None:
    if not endpoint.is_guess:
        # Where the path names no record, none can be missing.
        names_a_record = "{" in endpoint.path.replace("{clientno}", "")
        is_absent = not names_a_record and rule_of(status).look_up == "absent"
        return "no such path, or no such client number: check base_url and client_no" if is_absent else None
    return (
        f"no such record, or another path: no public page shows the path of {endpoint.name}, so it was inferred; if it is another, set it"
        f" with ArmClient(paths={{{endpoint.name!r}: ...}})"
    )


def is_readable(response: Response) -> bool:
    """Whether a 2xx to a single write can be read: complete, and empty or a JSON value."""
    return response.complete and (not response.body.strip() or codec.json_value(response.body) is not None)


def _text(value: object) -> str | None:
    return str(value) if isinstance(value, (str, int)) and not isinstance(value, bool) and value != "" else None


def receipt(response: Response) -> Receipt:
    """The receipt of a single write."""
    body = codec.json_value(response.body)
    fields = body if isinstance(body, dict) else {}
    return Receipt(
        http_status=response.status,
        status=_text(fields.get("status")),
        result=_text(fields.get("result")),
        message=_text(fields.get("message")),
        request_id=response.request_id,
        body=body,
    )


def batch_receipt(response: Response) -> BatchReceipt | None:
    """The receipt of a batch, or None where the answer has no `batchUuid` or can't be read."""
    body = codec.json_object(response.body) if response.complete else None
    uuid = body.get("batchUuid") if body is not None else None
    # A name that can't stand in a path leads to no result: it is none.
    if body is None or not isinstance(uuid, str) or not uuid.strip() or not uuid.isprintable() or uuid in {".", ".."}:
        return None
    return BatchReceipt(
        batch_uuid=uuid,
        status=_text(body.get("status")),
        result=_text(body.get("result")),
        message=_text(body.get("message")),
        get_result=_text(body.get("getResult")),
        request_id=response.request_id,
    )


def unreadable(response: Response, endpoint: Endpoint) -> ResponseError | OutcomeUnknownError:
    """The error of a 2xx that can't be read: the outcome of an unsafe write is unknown then."""
    text = f"{endpoint.operation} was answered {response.status}, and the answer can't be read"
    if endpoint.safe:
        return ResponseError(text + ": it may be tried again")
    return OutcomeUnknownError(text + ": look the record up before you send it again")


def is_web_page(failure: StatusError) -> bool:
    """Tells whether an error status came with a web page, as from a gateway: it proves nothing, since the API writes none."""
    return isinstance(failure.body, str) and failure.body.lstrip("\ufeff \t\r\n").startswith("<")


def one_record(body: bytes, items: str, key: str) -> bytes | None:
    """The JSON object of the one record in an answer: the answer itself, or what it holds in a list or object of the usual name.

    The pages do not show this answer; so all the shapes that it may have are read. None where it is none of them.
    """
    try:
        fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except codec.DecodeFailure:
        return None
    if key in fields:
        return body
    for name in (items, items.removesuffix("s")):
        if name not in fields:
            continue
        inner = bytes(fields[name])
        if inner.startswith(b"["):
            found = msgspec.json.decode(inner, type=list[msgspec.Raw])
            inner = bytes(found[0]) if len(found) == 1 else b""
        return inner if inner.startswith(b"{") else None
    return body


def list_in(value: Any, items: str) -> list[Any] | None:
    """The records in the parsed answer of a list whose shape is on no page: the list of the usual name, else the only one, else the
    answer itself. None where there is none."""
    if isinstance(value, list):
        return value
    if not isinstance(value, dict):
        return None
    if items in value:
        named = value[items]
        return [] if named is None else named if isinstance(named, list) else None
    lists = [item for item in value.values() if isinstance(item, list)]
    if len(lists) == 1:
        return lists[0]
    return [] if not lists and isinstance(value.get("summary"), dict) else None


def link_query(link: str) -> tuple[tuple[str, str], ...] | None:
    """Names and values of the query in a link that the server made; None where it has none.

    The rest of the link is not used: a further page is asked for on our own origin and at the path of the list itself, so no link
    can lead the token anywhere else.
    """
    try:
        pairs = parse_qsl(urlsplit(link.strip()).query, keep_blank_values=True)
    except ValueError:
        return None
    return tuple(pairs) or None
