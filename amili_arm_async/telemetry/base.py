"""`Telemetry`, the setting of a client, and what the library calls: classes that do nothing, of which `opentelemetry.py` has those that do.

Nothing of OpenTelemetry is imported here. `find` asks whether the program has imported its API: before that it can have set no provider.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from msgspec import Struct

from .. import log
from ..errors import ConfigurationError

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

    from ..attempts import Attempt
    from ..bulk.report import BulkReport
    from ..endpoints import Endpoint
    from ..wire import Request
else:
    # Who asks for the types of the fields at run time need not have the API.
    MeterProvider = TracerProvider = Any

__all__ = [
    "NO_BATCH",
    "NO_RUN",
    "BatchSpan",
    "Instrumentation",
    "RequestSpan",
    "RunInstrumentation",
    "Span",
    "Telemetry",
    "check_telemetry",
    "find",
]

_NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})


class Telemetry(Struct, frozen=True):
    """What a client reports to OpenTelemetry. With `ArmClient(telemetry=None)` it reports nothing.

    Attributes:
        propagate: whether requests to the API carry `traceparent` and `tracestate`, so that Amili could continue the trace. Never baggage,
            and nothing to the identity service. Default False: the ids of your traces stay with you.
        tracer_provider: where spans go. Default None: the global provider of the program.
        meter_provider: where metrics go. Default None: the global provider of the program.
    """

    propagate: bool = False
    tracer_provider: TracerProvider | None = None
    meter_provider: MeterProvider | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.propagate, bool):
            raise ConfigurationError("Telemetry.propagate must be True or False")
        for name, method in (("tracer_provider", "get_tracer"), ("meter_provider", "get_meter")):
            provider = getattr(self, name)
            if provider is not None and not callable(getattr(provider, method, None)):
                raise ConfigurationError(f"Telemetry.{name} must have {method}(), as a provider of OpenTelemetry has")


def check_telemetry(telemetry: object) -> Telemetry | None:
    """Refuses what is neither a `Telemetry` nor None.

    Args:
        telemetry: the setting.

    Raises:
        ConfigurationError: it is something else.
    """
    if telemetry is not None and not isinstance(telemetry, Telemetry):
        raise ConfigurationError("telemetry must be a Telemetry(...), or None, which turns it off")
    return telemetry


class Span:
    """A piece of work: it is the current span while it is entered, and ends when it is left."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Ends the span, with an error where one is on its way."""


class RequestSpan(Span):
    """One request on the wire.

    Attributes:
        headers: what the request carries so that its receiver can continue the trace.
    """

    headers: Mapping[str, str] = _NO_HEADERS

    def conclude(self, attempt: Attempt) -> None:
        """Takes note of what is proved.

        Args:
            attempt: the outcome of the request.
        """


class BatchSpan(Span):
    """A batch, from when a worker takes it to its final state. It can be entered again and again; only `end` ends it."""

    def accepted(self, batch_uuid: str) -> None:
        """Takes note that the server accepted it: now it waits for its result.

        Args:
            batch_uuid: its batchUuid.
        """

    def polling(self) -> Span:
        """Returns what is to be entered while its result is asked for."""
        return _NO_SPAN

    def end(self, common: Any, exceptions: Mapping[int, Any], records: int, attempts: int = 0) -> None:
        """Ends it. Only the first call counts.

        Args:
            common: the outcome of all records but the exceptions.
            exceptions: the outcomes that differ, by position.
            records: number of its records.
            attempts: how often it was sent.
        """

    def split(self) -> None:
        """Ends it because its halves take its place."""


class RunInstrumentation(Span):
    """One bulk run."""

    def batch(self, number: int, records: int) -> BatchSpan:
        """Begins a batch, as a child of the run in whatever task it is.

        Args:
            number: its number in the run.
            records: number of its records.
        """
        return NO_BATCH

    def settled(self, records: int) -> None:
        """Takes note that records got their final state: the counts of the report have grown.

        Args:
            records: number of the records.
        """

    def deferred(self, outcome: Any) -> None:
        """Takes note that the outcome of a batch is kept back until its records are looked up.

        Args:
            outcome: the `BatchOutcome`.
        """

    def look_ups_begin(self) -> None:
        """Takes note that from here on, records whose outcome was kept back get their final state."""

    def result(self, seconds: float) -> None:
        """Takes note that a batch was processed.

        Args:
            seconds: from the 202 to its result.
        """


class Instrumentation:
    """What the library tells; the methods do nothing."""

    def is_used(self) -> bool:
        """Whether there is anyone to tell."""
        return False

    def job(self, name: str) -> Span:
        """Begins a job of several runs or calls.

        Args:
            name: for example `nightly`.
        """
        return _NO_SPAN

    def call(self, endpoint: Endpoint) -> Span:
        """Begins a single call, with all its retries.

        Args:
            endpoint: the operation.
        """
        return _NO_SPAN

    def request(self, request: Request, base: str, sent_before: int) -> RequestSpan:
        """Begins one request on the wire.

        Args:
            request: what is sent.
            base: the address of the service.
            sent_before: how often it was sent before.
        """
        return _NO_REQUEST

    def run(
        self,
        endpoint: Endpoint,
        report: BulkReport,
        *,
        name: object,
        open_batches: Callable[[], int],
        concurrency: Callable[[], int],
        stopped: Callable[[], str | None],
        successes: Collection[str],
    ) -> RunInstrumentation:
        """Makes what a bulk run tells; it begins when it is entered.

        Args:
            endpoint: the operation that sends the batches.
            report: counts and totals of the run.
            name: equal for attempts of the same run; None where there is only one.
            open_batches: gives the number of batches that wait for their result.
            concurrency: gives the number of batches that may be sent at once.
            stopped: gives why the run was ended early, as a code; None where it was not.
            successes: the states that are a success.
        """
        return NO_RUN

    def held(self, seconds: float) -> None:
        """Takes note that requests are held because of a `Retry-After`.

        Args:
            seconds: how much longer than before.
        """


_NO_SPAN: Final = Span()
_NO_REQUEST: Final = RequestSpan()
NO_BATCH: Final = BatchSpan()
NO_RUN: Final = RunInstrumentation()
_NOTHING: Final = Instrumentation()


def _load(settings: Telemetry) -> Instrumentation:
    try:
        from .opentelemetry import OpenTelemetry  # noqa: PLC0415 - only where it is used

        return OpenTelemetry(settings)
    except Exception as exc:  # a release that lacks something, or the half of one
        log.warning("OpenTelemetry can't be used", error=type(exc).__name__)
        return _NOTHING


def find(settings: Telemetry | None) -> Callable[[], Instrumentation]:
    """Returns a function that says, at each call, whom to tell.

    Args:
        settings: what to tell and where, or None: nothing.
    """
    if settings is None:
        return lambda: _NOTHING
    has_own = settings.tracer_provider is not None or settings.meter_provider is not None
    loaded: list[Instrumentation] = []

    def found() -> Instrumentation:
        if not loaded:
            # A provider is set by what has imported these.
            if not has_own and not ("opentelemetry.trace" in sys.modules or "opentelemetry.metrics" in sys.modules):
                return _NOTHING
            loaded.append(_load(settings))
        return loaded[0] if loaded[0].is_used() else _NOTHING

    return found
