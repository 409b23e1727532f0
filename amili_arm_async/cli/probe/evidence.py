"""What was asked and what came back; from it alone, everything is judged. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeAlias

from msgspec import Struct

from ... import codec
from ...retry import Proof
from ...wire import Response

__all__ = ["Agreement", "Evidence", "Exchange", "Judged", "ProbeFinding", "mismatch", "not_seen", "right", "why_not_seen"]


class Agreement(StrEnum):
    """What is to be thought of an assumption."""

    AS_ASSUMED = "as assumed"
    OTHERWISE = "otherwise"
    NOT_SEEN = "not seen"


Judged: TypeAlias = tuple[str, Agreement]
"""What was seen, in words that hold nothing personal, and the verdict."""


class ProbeFinding(Struct, frozen=True):
    """An assumption, and what became of it.

    Attributes:
        id: its name, for programs.
        assumption: what it is about.
        expected: what the library assumes.
        seen: what came back.
        verdict: the verdict.
    """

    id: str
    assumption: str
    expected: str
    seen: str
    verdict: Agreement


class Exchange(Struct, frozen=True):
    """One question and its reply.

    Attributes:
        operation: the name of the operation in the endpoint table.
        method, template: how it was asked, without any number of a client or a record.
        query: the query; its values are the caller's or the server's.
        proof: what is proved about it.
        response: the reply, or None where there was none.
        reason: in a few words, why there was none.
        retry_after: the seconds that the server asks to wait, or None.
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
        """Whether it is a 2xx that came whole."""
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
        """The JSON of the body, or None."""
        return codec.json_value(self.body)

    def fields(self) -> dict[str, Any]:
        """The JSON object of the body; empty where it is none."""
        value = self.value()
        return value if isinstance(value, dict) else {}

    def summary(self) -> dict[str, Any]:
        """What a list says of itself; empty where it says nothing."""
        found = self.fields().get("summary")
        return found if isinstance(found, dict) else {}


@dataclass
class Evidence:
    """Everything that was seen so far.

    Attributes:
        base_url: where the service is.
        replies: by what they were asked for, in the order in which they came.
        token_fields: the names of the fields of the identity service's answer, and None where it was not asked.
        sent: what was written, by the name of its list.
        unsent: why the document was not sent, or "".
        ended: why there was no more to see, or "".
    """

    base_url: str
    replies: dict[str, list[Exchange]] = field(default_factory=dict)
    token_fields: tuple[str, ...] | None = None
    sent: dict[str, bytes] = field(default_factory=dict)
    unsent: str = ""
    ended: str = ""

    def add(self, label: str, heard: Exchange) -> None:
        """One more reply."""
        self.replies.setdefault(label, []).append(heard)

    def all(self, label: str) -> list[Exchange]:
        """The replies to one sort of question."""
        return self.replies.get(label, [])

    def first(self, label: str) -> Exchange | None:
        """The first of them, or None."""
        return next(iter(self.all(label)), None)

    def last(self, label: str) -> Exchange | None:
        """The last of them, or None."""
        return self.all(label)[-1] if self.all(label) else None

    def everything(self) -> list[Exchange]:
        """Every reply."""
        return [heard for replies in self.replies.values() for heard in replies]


def right(seen: str) -> Judged:
    """It is as assumed."""
    return seen, Agreement.AS_ASSUMED


def mismatch(seen: str) -> Judged:
    """It is not."""
    return seen, Agreement.OTHERWISE


def not_seen(why: str) -> Judged:
    """Nobody can say."""
    return f"not seen ({why})", Agreement.NOT_SEEN


def why_not_seen(heard: Exchange | None, ended: str = "") -> Judged:
    """Why a reply tells nothing of what it was asked for."""
    if heard is None:
        return not_seen(ended or "not asked")
    if heard.status is None:
        return not_seen(f"no answer: {heard.reason}")
    if heard.status == 403:
        return not_seen("403: the token may not")
    return not_seen("the answer broke off" if heard.response is not None and not heard.response.complete else str(heard.status))
