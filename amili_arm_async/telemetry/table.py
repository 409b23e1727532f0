"""The one table of what OpenTelemetry may be told: attributes with the values that they may have, and metrics. Anything else is dropped."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, Literal, NamedTuple, TypeAlias
from urllib.parse import urlsplit

from ..endpoints import IDENTITY, OPERATIONS, Endpoint
from ..retry import Proof

__all__ = ["ATTRIBUTES", "METRICS", "Attributes", "Metric", "allowed", "code", "kind_of", "method_of", "server_of", "template_of"]

Attributes: TypeAlias = Mapping[str, str | int]

_CODE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,63}|[1-5][0-9]{2}")
"""A short code, the name of a class, or an HTTP status: no number of a person or a record."""

_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}|[A-Za-z0-9_-]{21}[AQgw]")
"""128 bits, in hexadecimal or as the pages of the API show them, in Base64."""

_METHODS: Final = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"})
_OTHER: Final = "_OTHER"

_VARIABLE: Final = "{...}"

_WORDS: Final = frozenset(part for row in (*OPERATIONS.values(), *IDENTITY.values()) for part in row.path.split("/"))
_STATE: Final = re.compile(r"[a-z]+(_[a-z]+){0,2}")
_OF_STATE: Final = "amili_arm.records.{state}"


class Attribute(NamedTuple):
    """An attribute that may be told.

    Attributes:
        values: what its value may be: a pattern for all of it, or texts; None: any integer.
        meaning: one sentence for the documentation.
    """

    values: re.Pattern[str] | frozenset[str] | None
    meaning: str


def _texts(*texts: str) -> frozenset[str]:
    return frozenset(texts)


_TEMPLATE: Final = re.compile(r"(/([A-Za-z][A-Za-z_-]*|v[0-9]{1,2}|\{[a-z]+\}|\{\.\.\.\}))+")

ATTRIBUTES: Final[Mapping[str, Attribute]] = {
    # The semantic conventions for HTTP clients. `url.full` is left out: it would hold customer and document numbers.
    "http.request.method": Attribute(frozenset({*_METHODS, _OTHER}), "the method; `_OTHER` where it is no usual one"),
    "http.request.resend_count": Attribute(None, "how often the request was sent before; not there at the first time"),
    "http.request.body.size": Attribute(None, "bytes of the body as it goes over the wire"),
    "http.response.status_code": Attribute(None, "the status of the answer"),
    "http.response.body.size": Attribute(None, "bytes of the body of the answer"),
    "network.protocol.version": Attribute(_texts("1.1"), "always `1.1`; with an answer only"),
    "server.address": Attribute(re.compile(r"[A-Za-z0-9_.:%\[\]-]{1,255}"), "the host of `base_url` or `identity_url`"),
    "server.port": Attribute(None, "its port"),
    "url.scheme": Attribute(_texts("http", "https"), "the scheme"),
    "url.template": Attribute(_TEMPLATE, "the route below `base_url`, with the names of its variables in place of their values"),
    "error.type": Attribute(_CODE, "the status, the reason or the class of the error; only where something failed"),
    "exception.type": Attribute(_CODE, "the class of the error, in the event `exception`; its message is never recorded"),
    # Our own.
    "amili_arm.operation": Attribute(re.compile(r"[a-z_]+(\.[a-z_]+)?"), "the operation, such as `customers.create_batch`"),
    "amili_arm.record.kind": Attribute(_texts("customers", "documents", _OTHER), "what is sent"),
    "amili_arm.record.state": Attribute(_STATE, "the final state of records"),
    "amili_arm.outcome": Attribute(
        _texts(*(proof.value.replace(" ", "_") for proof in Proof)),
        "what is proved of one request: `done`, `not_sent`, `not_taken`, `ambiguous`",
    ),
    "amili_arm.batch.number": Attribute(None, "the number of the batch in its run; the halves of a split batch share it"),
    "amili_arm.batch.uuid": Attribute(_UUID, "the batchUuid; the report and the journal have it too"),
    "amili_arm.attempts": Attribute(None, "how often the batch was sent"),
    "amili_arm.records": Attribute(None, "number of records read or in the batch"),
    "amili_arm.batches": Attribute(None, "number of batches that were sent"),
    "amili_arm.requests": Attribute(None, "number of requests with records"),
    "amili_arm.bytes": Attribute(None, "bytes of their bodies"),
    "amili_arm.polls": Attribute(None, "number of polls for results"),
    _OF_STATE: Attribute(None, "number of records that ended in this state; only where there are any"),
}
"""Every attribute of a span, an event or a metric."""


class Metric(NamedTuple):
    """A metric.

    Attributes:
        instrument: `observable` is an asynchronous up-down counter: what several runs and clients have adds up.
        unit: by UCUM.
        attributes: the names of its attributes.
        meaning: one sentence, its description.
        buckets: the advised boundaries of a histogram.
    """

    instrument: Literal["counter", "observable", "histogram"]
    unit: str
    attributes: tuple[str, ...]
    meaning: str
    buckets: tuple[float, ...] = ()


_KIND: Final = "amili_arm.record.kind"

METRICS: Final[Mapping[str, Metric]] = {
    "amili_arm.records": Metric("counter", "{record}", (_KIND, "amili_arm.record.state"), "Records by their final state."),
    "amili_arm.records.unknown": Metric(
        "observable", "{record}", (_KIND,), "Records whose outcome is unknown now, in the runs of this process: reconcile them."
    ),
    "amili_arm.batches.open": Metric("observable", "{batch}", (_KIND,), "Batches that were accepted and wait for their result."),
    "amili_arm.concurrency": Metric("observable", "{batch}", (_KIND,), "Batches that may be sent at once."),
    "amili_arm.requests.in_flight": Metric("observable", "{request}", (), "Requests on the wire."),
    "amili_arm.bytes.in_flight": Metric("observable", "By", (), "Bytes of the bodies of requests on the wire."),
    "amili_arm.retry_after.held": Metric("counter", "s", (), "Seconds for which a Retry-After of the server held requests."),
    "amili_arm.batch.result.duration": Metric(
        "histogram",
        "s",
        (_KIND,),
        "Time from the 202 of a batch to its result.",
        (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600),
    ),
    "http.client.request.duration": Metric(
        "histogram",
        "s",
        (
            "http.request.method",
            "server.address",
            "server.port",
            "url.scheme",
            "url.template",
            "http.response.status_code",
            "network.protocol.version",
            "error.type",
        ),
        "Duration of HTTP client requests.",
        (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10),
    ),
}
"""Every metric by its name."""


def allowed(attributes: Mapping[str, str | int | None]) -> dict[str, str | int]:
    """Returns the attributes that are in the table with a value that they may have."""
    return {name: value for name, value in attributes.items() if value is not None and _is_allowed(_attribute(name), value)}


def _attribute(name: str) -> Attribute | None:
    before, _, state = name.rpartition(".")
    return ATTRIBUTES.get(name) or (ATTRIBUTES[_OF_STATE] if before == "amili_arm.records" and _STATE.fullmatch(state) else None)


def _is_allowed(attribute: Attribute | None, value: str | int) -> bool:
    if attribute is None:
        return False
    if attribute.values is None:
        return type(value) is int
    if not isinstance(value, str):
        return False
    return value in attribute.values if isinstance(attribute.values, frozenset) else attribute.values.fullmatch(value) is not None


def code(text: str) -> str:
    """Returns a reason as one code, as the reports have it; `_OTHER` for what is none."""
    found = text.replace(" ", "_").replace("-", "")
    return found if _CODE.fullmatch(found) else _OTHER


def method_of(endpoint: Endpoint) -> str:
    """Returns the method of an operation, or `_OTHER`."""
    return endpoint.method if endpoint.method in _METHODS else _OTHER


def kind_of(endpoint: Endpoint) -> str:
    """Returns what an operation sends."""
    return endpoint.items if endpoint.items in {"customers", "documents"} else _OTHER


@lru_cache(maxsize=256)
def template_of(endpoint: Endpoint) -> str:
    """Returns the route of an operation. Of one that is not in the table of operations, only words that are in the table: the rest of
    such a path may be the number or the name of a person."""
    parts = endpoint.path.split("/")
    if endpoint.name == "request":
        parts = [part if part in _WORDS else _VARIABLE for part in parts]
    elif endpoint.given:
        parts = [part if _TEMPLATE.fullmatch(f"/{part}") else _VARIABLE for part in parts]
    return "/" + "/".join(parts)


@lru_cache(maxsize=64)
def server_of(base: str) -> tuple[str, int, str]:
    """Returns host, port and scheme of an address."""
    parts = urlsplit(base)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80), parts.scheme
