"""Faults to inject, and the plan that decides which request is hit by which fault.

Three words are used throughout. A record was *delivered* when its whole body was read by the server; it was
*taken* when the server kept it (stored it, or stored its batch for processing); it was *answered* when a
whole answer left.
"""

from __future__ import annotations

import dataclasses
import fnmatch
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from . import fault_checks

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping

FaultKind: TypeAlias = Literal[
    "latency",
    "status",
    "redirect",
    "reset_before",
    "reset_after",
    "hang_before",
    "hang_after",
    "cut",
    "garbage",
    "no_uuid",
    "close_idle",
]


@dataclasses.dataclass(frozen=True, slots=True)
class Fault:
    """One thing that can go wrong with a request; the class methods make it and say what each kind does.

    ======================= ========= ===== =====================================
    kind                    delivered taken the client sees
    ======================= ========= ===== =====================================
    ``latency``             yes       yes   the answer, late
    ``status``              yes       no    the status (``taken=True``: taken too)
    ``redirect``            yes       no    a redirect
    ``reset_before``        no        no    a connection reset
    ``reset_after``         yes       yes   a connection reset
    ``hang_before``         yes       no    nothing, ever
    ``hang_after``          yes       yes   nothing, ever
    ``cut``                 yes       yes   half a body, then a closed connection
    ``garbage``             yes       yes   the true status, a body that is not JSON
    ``no_uuid``             yes       yes   the true status, no ``batchUuid``
    ``close_idle``          yes       yes   the answer; the connection closes after it
    ======================= ========= ===== =====================================
    """

    kind: FaultKind
    seconds: float = 0.0
    code: int = 0
    body: bytes | None = None
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str])
    taken: bool = False
    graceful: bool = False

    def __post_init__(self) -> None:
        """Refuses what can't happen."""
        given: dict[str, Any] = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)[1:]}
        usual: tuple[Any, ...] = (0.0, 0, None, {}, False, False)
        changed = [name for (name, value), default in zip(given.items(), usual, strict=True) if value != default]
        fault_checks.check_fault(self.kind, given, changed)

    @classmethod
    def latency(cls, seconds: float) -> Fault:
        """Makes a fault that delays a request. Other faults may hit the same request.

        Args:
            seconds: how long the request waits before it is processed.

        Returns:
            The fault.

        Raises:
            ValueError: `seconds` is negative or no number.
        """
        return cls("latency", seconds=seconds)

    @classmethod
    def status(
        cls,
        code: int,
        *,
        retry_after: float | str | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        taken: bool = False,
    ) -> Fault:
        """Makes a fault that answers with a status.

        Args:
            code: the HTTP status.
            retry_after: `Retry-After`: seconds, or an HTTP date. Default None: no such header.
            body: the body of the response. Default None: the usual JSON error.
            headers: further headers; a `Content-Type` replaces the usual one.
            taken: True: the records are accepted first. Default False: nothing is.

        Returns:
            The fault.

        Raises:
            ValueError: there is no such response: a status that is not 200 to 599, a body that it does not allow, `Retry-After` twice,
                a header that the server sets itself.
        """
        sent = dict(headers or {})
        if retry_after is not None:
            if any(name.lower() == "retry-after" for name in sent):
                raise ValueError("Retry-After is given twice: as retry_after and among the headers")
            if not isinstance(retry_after, str):
                fault_checks.check_number("retry_after", retry_after, 0)
            sent["Retry-After"] = retry_after if isinstance(retry_after, str) else f"{retry_after:g}"
        return cls("status", code=code, body=body, headers=sent, taken=taken)

    @classmethod
    def redirect(cls, code: int, location: str) -> Fault:
        """Makes a fault that answers with a redirect; nothing is accepted.

        Args:
            code: 301, 302, 303, 307 or 308.
            location: the address to redirect to.

        Returns:
            The fault.

        Raises:
            ValueError: `code` is none of these, or there is no address.
        """
        return cls("redirect", code=code, headers={"Location": location})

    @classmethod
    def reset_before(cls, *, graceful: bool = False) -> Fault:
        """Makes a fault that breaks the connection before the body is read.

        Args:
            graceful: True: close it (FIN). Default False: reset it (RST).

        Returns:
            The fault.
        """
        return cls("reset_before", graceful=graceful)

    @classmethod
    def reset_after(cls, *, graceful: bool = False) -> Fault:
        """Makes a fault that accepts the records, then breaks the connection without a response.

        Args:
            graceful: True: close it (FIN). Default False: reset it (RST).

        Returns:
            The fault.
        """
        return cls("reset_after", graceful=graceful)

    @classmethod
    def hang_before(cls) -> Fault:
        """Makes a fault that reads the body, accepts nothing and never answers, until the client or the sandbox closes.

        Returns:
            The fault.
        """
        return cls("hang_before")

    @classmethod
    def hang_after(cls) -> Fault:
        """Makes a fault that accepts the records and never answers, until the client or the sandbox closes.

        Returns:
            The fault.
        """
        return cls("hang_after")

    @classmethod
    def cut(cls) -> Fault:
        """Makes a fault that accepts the records, sends half of the response and closes the connection.

        Returns:
            The fault.
        """
        return cls("cut")

    @classmethod
    def garbage(cls, body: bytes = b"<html>gateway</html>") -> Fault:
        """Makes a fault that accepts the records and answers with the true status and a body that is not JSON.

        Args:
            body: the bytes to answer.

        Returns:
            The fault.

        Raises:
            ValueError: `body` is no bytes.
        """
        return cls("garbage", body=body)

    @classmethod
    def no_uuid(cls) -> Fault:
        """Makes a fault that accepts the records and answers as usual, but without `batchUuid` and `getResult`.

        Returns:
            The fault.
        """
        return cls("no_uuid")

    @classmethod
    def close_idle(cls, after: float = 0.0) -> Fault:
        """Makes a fault that answers as usual, promises to keep the connection, and closes it later.

        Args:
            after: how many seconds later.

        Returns:
            The fault.

        Raises:
            ValueError: `after` is negative or no number.
        """
        return cls("close_idle", seconds=after)

    @property
    def refuses(self) -> bool:
        """Whether the request is answered by the fault alone, so that nothing is taken."""
        return self.kind == "redirect" or (self.kind == "status" and not self.taken)


@dataclasses.dataclass(slots=True)
class Injection:
    """A fault that was injected into a sandbox.

    Attributes:
        fault: what happens.
        method: the method of the requests it hits; None: any.
        path: a part of their path below the base address, or a pattern with `*` for all of it; None: any.
        operation: the name of the operation that it hits; None: any.
        times: how often it fires; None: always.
        skip: how many matching requests pass first.
        probability: the chance that it hits a matching request, above 0 and at most 1.
        fired: how often it has hit a request.
    """

    fault: Fault
    method: str | None = None
    path: str | None = None
    times: int | None = 1
    skip: int = 0
    probability: float = 1.0
    operation: str | None = None
    fired: int = 0

    def __post_init__(self) -> None:
        """Refuses numbers that could never fire."""
        if not isinstance(self.fault, Fault):
            raise TypeError(f"a Fault is injected, such as Fault.status(503), and not {self.fault!r}")
        if self.times is not None:
            fault_checks.check_number("times (None: always)", self.times, 1, whole=True)
        fault_checks.check_number("skip", self.skip, 0, whole=True)
        if not 0.0 < self.probability <= 1.0:
            raise ValueError("probability must be greater than 0 and at most 1")

    @property
    def spent(self) -> bool:
        """True when it has fired as often as it may."""
        return self.times is not None and self.fired >= self.times

    def covers(self, other: Injection) -> bool:
        """Tells whether this fault hits every request that another one is meant for.

        Args:
            other: an injection that comes later.

        Returns:
            Whether the other one can never fire.
        """
        always = self.times is None and self.probability == 1.0 and self.fault.kind != "latency"
        wider = all(mine in (None, its) for mine, its in ((self.path, other.path), (self.operation, other.operation)))
        same = self.method is None or (other.method is not None and self.method.upper() == other.method.upper())
        is_token = self.path is None and other.path is not None and "identity" in other.path
        return always and wider and same and not is_token

    def matches(self, method: str, path: str, operation: str | None = None) -> bool:
        """Tells whether this fault is meant for a request.

        A fault hits the token endpoint only if its own `path` names `identity`: a fault for "everything" should not cost the token.

        Args:
            method: the method of the request, in capitals.
            path: the path of the request, below the base address; of the token endpoint, the whole path.
            operation: the name of the operation.

        Returns:
            Whether the operation, method and path match.
        """
        if self.operation is not None and self.operation != operation:
            return False
        if self.method is not None and self.method.upper() != method:
            return False
        if path.startswith("/identity") and (self.path is None or "identity" not in self.path):
            return False
        return self.path is None or self.path in path or fnmatch.fnmatchcase(path, self.path)


class FaultPlan:
    """The faults that wait, in the order they were injected.

    A request is hit by the first that matches it.
    """

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._waiting: list[Injection] = []

    def add(self, injection: Injection) -> None:
        """Puts a fault behind those that wait already; a `ValueError` where they leave nothing to it."""
        if any(waiting.covers(injection) for waiting in self._waiting):
            raise ValueError("this fault could never happen: one that was injected before always hits these requests; clear_faults() first")
        self._waiting.append(injection)

    def clear(self) -> None:
        """Forgets every fault that has not fired."""
        self._waiting.clear()

    def __len__(self) -> int:
        """Returns how many faults wait."""
        return len(self._waiting)

    def draw(self, method: str, path: str, operation: str | None = None) -> tuple[float, Fault | None]:
        """Returns the seconds this request is held up, and the fault it meets, if any.

        Latencies add up and let the search go on. A fault that is skipping, or that chance leaves out, lets
        the request pass on to the next fault in the plan.
        """
        held = 0.0
        found: Fault | None = None
        for injection in self._waiting:
            if not injection.matches(method, path, operation):
                continue
            if injection.skip:
                injection.skip -= 1
                continue
            if injection.probability < 1.0 and self._chance.random() >= injection.probability:
                continue
            injection.fired += 1
            if injection.fault.kind != "latency":
                found = injection.fault
                break
            held += injection.fault.seconds
        self._waiting = [injection for injection in self._waiting if not injection.spent]
        return held, found
