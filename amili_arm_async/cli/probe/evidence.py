"""What was asked and what came back: every assumption is checked from it alone. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeAlias

from msgspec import Struct

from ... import codec
from ...retry import Proof
from ...wire import Response

__all__ = ["CheckResult", "Evidence", "Exchange", "ProbeFinding", "Verdict", "as_assumed", "different", "not_seen", "why_not_seen"]


class Verdict(StrEnum):
    """Whether an assumption holds."""

    AS_ASSUMED = "as assumed"
    DIFFERENT = "different"
    NOT_SEEN = "not seen"


CheckResult: TypeAlias = tuple[str, Verdict]
"""What was seen, in words without personal data, and the verdict."""


class ProbeFinding(Struct, frozen=True):
    """An assumption, and whether it holds.

    Attributes:
        id: its name, for programs.
        assumption: what it is about.
        expected: what the library assumes.
        seen: what came back.
        verdict: whether it holds.
    """

    id: str
    assumption: str
    expected: str
    seen: str
    verdict: Verdict


class Exchange(Struct, frozen=True):
    """One request and its reply.

    Attributes:
        operation: the name of the operation in the endpoint table.
        method: the HTTP method.
        template: the path, with names in place of the numbers of clients and records.
        query: the query; its values are the caller's or the server's.
        proof: what is proved about the request.
        response: the reply, or None where there was none.
        reason: why there was none.
        retry_after: seconds that the server asks to wait, or None.
    """

    operation: str
    method: str
    template: str
    query: tuple[tuple[str, str], ...]
    proof: Proof
    response: Response | None
    reason: str
    retry_after: float | None = None

    @property
    def status(self) -> int | None:
        """The status of the reply, or None."""
        return self.response.status if self.response is not None else None

    @property
    def is_success(self) -> bool:
        """Whether it is a complete 2xx."""
        return self.response is not None and 200 <= self.response.status < 300 and self.response.complete

    @property
    def body(self) -> bytes:
        """The bytes of the reply."""
        return self.response.body if self.response is not None else b""

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers, by their names in lower case."""
        return self.response.headers if self.response is not None else {}

    def value(self) -> Any:
        """Returns the JSON value of the body, or None."""
        return codec.json_value(self.body)

    def fields(self) -> dict[str, Any]:
        """Returns the JSON object of the body; empty where it is none."""
        value = self.value()
        return value if isinstance(value, dict) else {}

    def summary(self) -> dict[str, Any]:
        """Returns the summary of a list; empty where there is none."""
        found = self.fields().get("summary")
        return found if isinstance(found, dict) else {}


@dataclass
class Evidence:
    """Everything that was seen so far.

    Attributes:
        base_url: where the service is.
        replies: by label, in the order in which they came.
        token_fields: names of the fields in the identity service's answer; None where it was not asked.
        sent: what was written, by the name of its list.
        unsent: why the document was not sent, or "".
        ended: why the probe ended early, or "".
    """

    base_url: str
    replies: dict[str, list[Exchange]] = field(default_factory=dict)
    token_fields: tuple[str, ...] | None = None
    sent: dict[str, bytes] = field(default_factory=dict)
    unsent: str = ""
    ended: str = ""

    def add(self, label: str, exchange: Exchange) -> None:
        """Adds a reply."""
        self.replies.setdefault(label, []).append(exchange)

    def all(self, label: str) -> list[Exchange]:
        """Returns the replies with a label."""
        return self.replies.get(label, [])

    def first(self, label: str) -> Exchange | None:
        """Returns the first of them, or None."""
        return next(iter(self.all(label)), None)

    def last(self, label: str) -> Exchange | None:
        """Returns the last of them, or None."""
        return self.all(label)[-1] if self.all(label) else None

    def everything(self) -> list[Exchange]:
        """Returns every reply."""
        return [exchange for replies in self.replies.values() for exchange in replies]


def as_assumed(seen: str) -> CheckResult:
    """Says that an assumption holds."""
    return seen, Verdict.AS_ASSUMED


def different(seen: str) -> CheckResult:
    """Says that an assumption does not hold."""
    return seen, Verdict.DIFFERENT


def not_seen(why: str) -> CheckResult:
    """Says that an assumption could not be checked."""
    return f"not seen ({why})", Verdict.NOT_SEEN


def why_not_seen(exchange: Exchange | None, ended: str = "") -> CheckResult:
    """Says why a reply does not show whether an assumption holds."""
    if exchange is None:
        return not_seen(ended or "not asked")
    if exchange.status is None:
        return not_seen(f"no answer: {exchange.reason}")
    if exchange.status == 403:
        return not_seen("403: the token may not")
    return not_seen("the answer broke off" if exchange.response is not None and not exchange.response.complete else str(exchange.status))
