"""Tells OpenTelemetry, by its API alone, what the library does. Imported only by a program that uses OpenTelemetry itself.

Every attribute goes through `allowed`. A span is never ended by leaving a block in another task: who begins it says which is its parent.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from functools import wraps
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

from opentelemetry import context as otel_context
from opentelemetry import metrics, trace
from opentelemetry.context import Context
from opentelemetry.environment_variables import OTEL_PYTHON_METER_PROVIDER, OTEL_PYTHON_TRACER_PROVIDER
from opentelemetry.metrics import _internal as meters
from opentelemetry.trace import ProxyTracerProvider, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from .. import clock, log
from .base import NO_BATCH, NO_RUN, BatchSpan, Instrumentation, RequestSpan, RunInstrumentation, Span, Telemetry
from .instruments import Instruments
from .table import allowed, code, kind_of, method_of, server_of, template_of

if TYPE_CHECKING:
    from ..attempts import Attempt
    from ..bulk.report import BulkReport
    from ..endpoints import Endpoint
    from ..wire import Request

__all__ = ["OpenTelemetry"]

_SCOPE: Final = "amili_arm_async"

_NO_SPAN: Final = Span()
_NO_REQUEST: Final = RequestSpan()

# Keys that the instrumentations of OpenTelemetry share; they are in no public module yet.
_SUPPRESSED: Final[str | None] = getattr(otel_context, "_SUPPRESS_INSTRUMENTATION_KEY", None)
_HTTP_SUPPRESSED: Final[str | None] = getattr(otel_context, "_SUPPRESS_HTTP_INSTRUMENTATION_KEY", None)

_BY_NAME: Final = not {OTEL_PYTHON_TRACER_PROVIDER, OTEL_PYTHON_METER_PROVIDER}.isdisjoint(os.environ)
"""Whether the environment names a provider, which the API loads when it is asked for one."""

_PROPAGATOR: Final = TraceContextTextMapPropagator()

_INSTRUMENTS: Final[WeakKeyDictionary[Any, Instruments]] = WeakKeyDictionary()
"""Those of each provider: a second one of the same name in a provider is a mistake."""


_P = ParamSpec("_P")
_R = TypeVar("_R")


def _guarded(otherwise: _R) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
    """Makes a method that never raises: whatever a provider does, no request and no record depends on it.

    Args:
        otherwise: what it returns then.
    """

    def guard(method: Callable[_P, _R]) -> Callable[_P, _R]:
        @wraps(method)
        def guarded(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            try:
                return method(*args, **kwargs)
            except Exception as exc:
                log.warning("OpenTelemetry raised", error=type(exc).__name__)
                return otherwise

        return guarded

    return guard


def _instruments_of(provider: metrics.MeterProvider) -> Instruments:
    found = _INSTRUMENTS.get(provider)
    if found is None:
        found = _INSTRUMENTS[provider] = Instruments(provider.get_meter(_SCOPE))
    return found


def _has_global_provider() -> bool:
    # It is asked for at each call until there is one: the functions of the API take microseconds for that.
    if _BY_NAME or getattr(trace, "_TRACER_PROVIDER", trace) is not None or getattr(meters, "_METER_PROVIDER", meters) is not None:
        is_traced = not isinstance(trace.get_tracer_provider(), ProxyTracerProvider)
        return is_traced or type(metrics.get_meter_provider()).__module__ != meters.__name__
    return False


def _is_suppressed(key: str | None) -> bool:
    return key is not None and bool(otel_context.get_value(key))


class _LiveSpan(Span):
    """A span of OpenTelemetry; entered it is the current one, and left it ends, unless it `stays`."""

    def __init__(
        self,
        tracer: trace.Tracer,
        name: str,
        attributes: Mapping[str, str | int | None],
        *,
        kind: SpanKind = SpanKind.INTERNAL,
        parent: Context | None = None,
        stays: bool = False,
    ) -> None:
        self._span = tracer.start_span(
            name, context=parent, kind=kind, attributes=allowed(attributes), record_exception=False, set_status_on_exception=False
        )
        self.context = trace.set_span_in_context(self._span, parent)
        self._tokens: list[Any] = []
        self._stays = stays

    def __enter__(self) -> Any:
        self._tokens.append(otel_context.attach(self.context))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        token = self._tokens.pop()
        if kind is None or not issubclass(kind, GeneratorExit):
            # A coroutine that is thrown away ends in another context.
            otel_context.detach(token)
        if not self._stays:
            self.finish(error)

    def set(self, attributes: Mapping[str, str | int | None]) -> None:
        """Sets attributes, where the span is recorded."""
        if self._span.is_recording():
            self._span.set_attributes(allowed(attributes))

    def fail(self, error_type: str) -> None:
        """Marks the span as failed. There is no description: it could hold anything."""
        if self._span.is_recording():
            self._span.set_attributes(allowed({"error.type": code(error_type)}))
            self._span.set_status(Status(StatusCode.ERROR))

    @_guarded(None)
    def finish(self, error: BaseException | None, error_type: str | None = None) -> None:
        """Ends the span, with the class of an error that is on its way, or what else says more about it."""
        if error is not None and self._span.is_recording():
            name = type(error).__name__
            self.fail(error_type or name)
            self._span.add_event("exception", allowed({"exception.type": code(name)}))
        self._span.end()


class _LiveRequestSpan(RequestSpan):
    """One request on the wire."""

    def __init__(self, owner: OpenTelemetry, request: Request, base: str, sent_before: int) -> None:
        self._owner = owner
        self._size = request.size
        endpoint, (host, port, scheme) = request.endpoint, server_of(base)
        method, template = method_of(endpoint), template_of(endpoint)
        self._attributes: dict[str, str | int | None] = {
            "http.request.method": method,
            "server.address": host,
            "server.port": port,
            "url.scheme": scheme,
            "url.template": template,
        }
        more = {
            "amili_arm.operation": endpoint.name,
            "http.request.resend_count": sent_before or None,
            "http.request.body.size": self._size if request.body else None,
        }
        name = f"{'HTTP' if method == '_OTHER' else method} {template}"
        self._span = _LiveSpan(owner.tracer, name, {**self._attributes, **more}, kind=SpanKind.CLIENT, stays=True)
        self._attempt: Attempt | None = None
        if owner.propagate and request.base is None:
            headers: dict[str, str] = {}
            _PROPAGATOR.inject(headers, self._span.context)
            self.headers = headers
        if _HTTP_SUPPRESSED is not None:
            # The instrumentation of aiohttp would tell the same once more, with the numbers in the address.
            self._span.context = otel_context.set_value(_HTTP_SUPPRESSED, True, self._span.context)

    def __enter__(self) -> Any:
        self._owner.requests += 1
        self._owner.bytes += self._size
        self._began = clock.monotonic()
        self._span.__enter__()
        return self

    def conclude(self, attempt: Attempt) -> None:
        """Takes note of what is proved."""
        self._attempt = attempt

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        seconds = clock.monotonic() - self._began
        self._owner.requests -= 1
        self._owner.bytes -= self._size
        self._span.__exit__(kind, error, _)
        self._tell(seconds, error)

    @_guarded(None)
    def _tell(self, seconds: float, error: BaseException | None) -> None:
        attempt, told = self._attempt, self._attributes
        if attempt is None:
            told["error.type"] = type(error).__name__
        elif attempt.rule is None or attempt.rule.call != "return" or not attempt.reason.isdecimal():
            # Its status, or why there is no answer, or none that can be read.
            told["error.type"] = code(attempt.reason)
        more: dict[str, str | int | None] = {}
        if attempt is not None:
            more["amili_arm.outcome"] = attempt.proof.value.replace(" ", "_")
            if attempt.response is not None:
                told["http.response.status_code"] = attempt.response.status
                told["network.protocol.version"] = "1.1"
                more["http.response.body.size"] = len(attempt.response.body)
        self._span.set({**told, **more})
        self._owner.instruments.histogram("http.client.request.duration", seconds, allowed(told), self._span.context)
        if error is None and "error.type" in told:
            self._span.fail(str(told["error.type"]))
        self._span.finish(error)


class _LiveBatchSpan(_LiveSpan, BatchSpan):
    """A batch with its requests, and below it the wait for its result with its polls."""

    def __init__(
        self, tracer: trace.Tracer, endpoint: Endpoint, parent: Context, number: int, records: int, successes: Collection[str]
    ) -> None:
        common = {"amili_arm.operation": endpoint.name, "amili_arm.record.kind": kind_of(endpoint)}
        super().__init__(
            tracer,
            f"batch {endpoint.name}",
            {**common, "amili_arm.batch.number": number or None, "amili_arm.records": records},
            parent=parent,
            stays=True,
        )
        self._tracer = tracer
        self._common = common
        self._poll: _LiveSpan | None = None
        self._is_open = True
        self._successes = successes

    @_guarded(None)
    def accepted(self, batch_uuid: str) -> None:
        """Begins the wait for the result."""
        self.set({"amili_arm.batch.uuid": batch_uuid})
        attributes = {**self._common, "amili_arm.batch.uuid": batch_uuid}
        self._poll = _LiveSpan(self._tracer, f"poll {self._common['amili_arm.operation']}", attributes, parent=self.context, stays=True)

    def polling(self) -> Span:
        """Returns the wait for the result."""
        # Polls may overlap the end of the batch, but not each other.
        return self._poll if self._poll is not None else _NO_SPAN

    @_guarded(None)
    def end(self, common: Any, exceptions: Mapping[int, Any], records: int, attempts: int = 0) -> None:
        """Ends it with the number of records in each state."""
        if not self._is_open:
            return
        self._is_open = False
        if self._span.is_recording():
            counts: dict[str, int] = {}
            for outcome in exceptions.values():
                counts[outcome.state] = counts.get(outcome.state, 0) + 1
            counts[common.state] = counts.get(common.state, 0) + records - len(exceptions)
            self.set({"amili_arm.attempts": attempts or None, **_by_state(counts)})
            failures = {state: number for state, number in counts.items() if number and state not in self._successes}
            if failures:
                self.fail(max(failures, key=lambda state: failures[state]))
        self._end_spans()

    @_guarded(None)
    def split(self) -> None:
        """Ends it; its halves tell what became of its records."""
        if self._is_open:
            self._is_open = False
            self._end_spans()

    def _end_spans(self) -> None:
        if self._poll is not None:
            self._poll.finish(None)
        self._span.end()


def _by_state(counts: Mapping[str, int]) -> dict[str, int | str | None]:
    return {f"amili_arm.records.{state}": number or None for state, number in counts.items()}


class _LiveRun(RunInstrumentation):
    """One bulk run: its span, its part of the observed metrics, and the counters that follow its report."""

    def __init__(
        self,
        owner: OpenTelemetry,
        endpoint: Endpoint,
        report: BulkReport,
        name: object,
        open_batches: Callable[[], int],
        concurrency: Callable[[], int],
        stopped: Callable[[], str | None],
        successes: Collection[str],
    ) -> None:
        self.kind = kind_of(endpoint)
        self.name = name
        self.open_batches = open_batches
        self.concurrency = concurrency
        self._owner = owner
        self._endpoint = endpoint
        self._report = report
        self._stopped = stopped
        self._successes = successes
        # A run before it may have left numbers in the same report.
        self._before, self._totals_before = dict(report.counts), report.totals
        self._told = dict(self._before)
        # Records that are unknown, and not in the counts: kept back until they are looked up; left by an earlier attempt.
        self._deferred = 0
        self._carried = 0
        self._looks_up = False
        self._span: _LiveSpan | None = None

    @property
    def unknown(self) -> int:
        """Records of this run whose outcome is unknown now."""
        # Those of an earlier attempt come again, sooner or later.
        return max(self._carried, self._counts().get("unknown", 0)) + self._deferred

    def _counts(self) -> dict[str, int]:
        return {state: number - self._before.get(state, 0) for state, number in self._report.counts.items()}

    def __enter__(self) -> Any:
        self._begin()
        if self._span is not None:
            self._span.__enter__()
        return self

    @_guarded(None)
    def _begin(self) -> None:
        self._carried = self._owner.instruments.begin(self)
        attributes = {"amili_arm.operation": self._endpoint.name, "amili_arm.record.kind": self.kind}
        self._span = _LiveSpan(self._owner.tracer, f"bulk {self._endpoint.name}", attributes, stays=True)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self._span is not None:
            self._span.__exit__(kind, error, _)
            self._end(self._span, error)

    @_guarded(None)
    def _end(self, span: _LiveSpan, error: BaseException | None) -> None:
        self.settled(0)
        self._carried = self._deferred = 0
        self._owner.instruments.end(self)
        totals, before = self._report.totals, self._totals_before
        numbers: dict[str, int | str | None] = {
            "amili_arm.records": totals.records_read - before.records_read,
            "amili_arm.batches": totals.batches_sent - before.batches_sent,
            "amili_arm.requests": totals.requests - before.requests,
            "amili_arm.bytes": totals.bytes_sent - before.bytes_sent,
            "amili_arm.polls": totals.polls - before.polls,
        }
        span.set({**numbers, **_by_state(self._counts())})
        span.finish(error, self._stopped())

    @_guarded(NO_BATCH)
    def batch(self, number: int, records: int) -> BatchSpan:
        """Begins a batch, as a child of the run."""
        if self._span is None:
            return NO_BATCH
        return _LiveBatchSpan(self._owner.tracer, self._endpoint, self._span.context, number, records, self._successes)

    @_guarded(None)
    def settled(self, records: int) -> None:
        """Counts the records whose state came since the last time."""
        told = self._told
        for state, number in self._report.counts.items():
            if more := number - told.get(state, 0):
                told[state] = number
                self._owner.instruments.count(
                    "amili_arm.records", more, {"amili_arm.record.kind": self.kind, "amili_arm.record.state": state}
                )
        if self._looks_up:
            self._deferred = max(0, self._deferred - records)

    @_guarded(None)
    def deferred(self, outcome: Any) -> None:
        """Counts the records that wait to be looked up."""
        self._deferred += outcome.counts.get("unknown", 0)

    def look_ups_begin(self) -> None:
        """What is settled from now on was unknown until now."""
        self._looks_up = True
        self._deferred, self._carried = self._deferred + self._carried, 0

    @_guarded(None)
    def result(self, seconds: float) -> None:
        """Records how long a result took."""
        self._owner.instruments.histogram("amili_arm.batch.result.duration", seconds, {"amili_arm.record.kind": self.kind})


class OpenTelemetry(Instrumentation):
    """Tells OpenTelemetry what one client does.

    Args:
        settings: where to.

    Attributes:
        propagate: whether requests to the API carry the trace context.
        requests: requests on the wire.
        bytes: bytes of their bodies.
    """

    def __init__(self, settings: Telemetry) -> None:
        self.propagate = settings.propagate
        self.requests = 0
        self.bytes = 0
        self._settings = settings
        self._is_used: bool | None = None

    def is_used(self) -> bool:
        """Whether there is a provider; one that is set stays."""
        if self._is_used is None:
            try:
                self._is_used = self._is_set() or None
            except Exception as exc:
                # It is not tried again and again.
                self._is_used = False
                log.warning("OpenTelemetry can't be used", error=type(exc).__name__)
        return bool(self._is_used)

    def _is_set(self) -> bool:
        settings = self._settings
        is_set = settings.tracer_provider is not None or settings.meter_provider is not None or _has_global_provider()
        if is_set:
            self._begin()
        return is_set

    def _begin(self) -> None:
        settings = self._settings
        # Where only one of the two is set, the other is the API's own, which passes on to what is set later.
        self.tracer = (settings.tracer_provider or trace.get_tracer_provider()).get_tracer(_SCOPE)
        self.instruments = _instruments_of(settings.meter_provider or metrics.get_meter_provider())
        self.instruments.add_client(self)

    @_guarded(_NO_SPAN)
    def job(self, name: str) -> Span:
        """Begins a job of several runs or calls."""
        return _NO_SPAN if _is_suppressed(_SUPPRESSED) else _LiveSpan(self.tracer, name, {"amili_arm.operation": name})

    @_guarded(_NO_SPAN)
    def call(self, endpoint: Endpoint) -> Span:
        """Begins a single call, with all its retries."""
        if _is_suppressed(_SUPPRESSED):
            return _NO_SPAN
        return _LiveSpan(self.tracer, endpoint.name, {"amili_arm.operation": endpoint.name})

    @_guarded(_NO_REQUEST)
    def request(self, request: Request, base: str, sent_before: int) -> RequestSpan:
        """Begins one request on the wire."""
        if _is_suppressed(_SUPPRESSED) or _is_suppressed(_HTTP_SUPPRESSED):
            return _NO_REQUEST
        return _LiveRequestSpan(self, request, base, sent_before)

    @_guarded(NO_RUN)
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
        """Makes what a bulk run tells."""
        if _is_suppressed(_SUPPRESSED):
            return NO_RUN
        return _LiveRun(self, endpoint, report, name, open_batches, concurrency, stopped, successes)

    @_guarded(None)
    def held(self, seconds: float) -> None:
        """Counts the seconds that requests are held."""
        self.instruments.count("amili_arm.retry_after.held", seconds, {})
