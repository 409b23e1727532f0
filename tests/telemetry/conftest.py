"""A client whose spans and metrics are kept in memory by the SDK."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from amili_arm_async import ArmClient, Telemetry, Timeout
from amili_arm_async.sandbox import Sandbox
from tests.support.sandbox_fixtures import QUICK, sandbox

__all__ = ["sandbox"]


class Told:
    """What OpenTelemetry was told."""

    def __init__(self) -> None:
        self._exporter, self._reader = InMemorySpanExporter(), InMemoryMetricReader()
        self.tracers = TracerProvider(shutdown_on_exit=False)
        self.tracers.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.meters = MeterProvider([self._reader], shutdown_on_exit=False)

    def telemetry(self, **more: Any) -> Telemetry:
        return Telemetry(tracer_provider=self.tracers, meter_provider=self.meters, **more)

    @property
    def spans(self) -> list[ReadableSpan]:
        """The spans that have ended, in the order in which they began."""
        return sorted(self._exporter.get_finished_spans(), key=lambda span: span.start_time or 0)

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.spans if span.name == name]

    def one(self, name: str) -> ReadableSpan:
        (span,) = self.named(name)
        return span

    @property
    def tree(self) -> dict[str, Any]:
        """Each span that has no parent among them, with those below it: their names, and how often each."""
        return _tree(self.spans)

    def points(self, name: str) -> list[tuple[dict[str, Any], Any]]:
        """The data points of a metric: attributes, and value or count."""
        return [
            (dict(point.attributes), getattr(point, "value", None) if hasattr(point, "value") else point.count)
            for metric in self._metrics()
            if metric.name == name
            for point in metric.data.data_points
        ]

    def value(self, name: str, **attributes: Any) -> Any:
        """The sum of the data points of a metric with these attributes; the last words of their names are enough."""
        wanted = {f"amili_arm.record.{key}": value for key, value in attributes.items()}
        return sum(value for found, value in self.points(name) if wanted.items() <= found.items())

    def _metrics(self) -> list[Any]:
        data: Any = self._reader.get_metrics_data()
        return [
            metric for resource in (data.resource_metrics if data else []) for scope in resource.scope_metrics for metric in scope.metrics
        ]

    def metrics(self) -> dict[str, Any]:
        return {metric.name: metric for metric in self._metrics()}

    def everything(self) -> str:
        """All that was told, as text."""
        return json.dumps([json.loads(span.to_json()) for span in self.spans]) + "".join(metric.to_json() for metric in self._metrics())


def _tree(spans: list[ReadableSpan]) -> dict[str, Any]:
    ids = {span.context.span_id for span in spans if span.context is not None}
    below: dict[int | None, list[ReadableSpan]] = {}
    for span in spans:
        above = span.parent.span_id if span.parent is not None else None
        below.setdefault(above if above in ids else None, []).append(span)

    def part(above: int | None) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for span in below.get(above, ()):
            assert span.context is not None
            found.setdefault(span.name, []).append(part(span.context.span_id))
        return found

    return part(None)


@pytest.fixture
def told() -> Iterator[Told]:
    told = Told()
    yield told
    told.meters.shutdown()
    told.tracers.shutdown()


@pytest.fixture
async def arm(sandbox: Sandbox, told: Told) -> AsyncIterator[ArmClient]:
    async with ArmClient(
        2218,
        auth=sandbox.token,
        base_url=sandbox.base_url,
        retry=QUICK,
        timeout=Timeout(connect=5, read=5),
        telemetry=told.telemetry(),
    ) as arm:
        yield arm
