"""In a program with, without and with half of OpenTelemetry, and beside the instrumentation of aiohttp."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

from amili_arm_async import ArmClient, Telemetry
from amili_arm_async.sandbox import Sandbox
from tests.support.sandbox_fixtures import customers, documents, quick

from .conftest import Told

GET = "GET /clients/{clientno}/customers/{customerno}"

PROGRAM = """
import asyncio, json, sys
{before}
from amili_arm_async import ArmClient, BulkOptions, NotFoundError
from amili_arm_async.sandbox import Sandbox

async def main():
    async with Sandbox(process_delay=0.0) as sandbox, ArmClient(2218, auth=sandbox.token, base_url=sandbox.base_url) as arm:
        {inside}
        report = await arm.customers.create_many(
            [{{"customerNo": str(number), "name": "Kari"}} for number in range(20)], options=BulkOptions(max_records=5, poll_first=0.01)
        )
        try:
            await arm.customers.get("nobody")
        except NotFoundError:
            pass
        return dict(report.counts)

counts = asyncio.run(main())
told = {after}
print(json.dumps([counts, told, sorted(name for name in sys.modules if name.startswith("opentelemetry"))]))
"""

SDK = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
exporter, provider = InMemorySpanExporter(), TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
"""

BLOCKED = """
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "opentelemetry":
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Block())
"""

SPANS = "sorted({span.name for span in exporter.get_finished_spans()})"


def run(before: str = "", inside: str = "pass", after: str = "None", **variables: str) -> tuple[dict[str, int], Any, list[str]]:
    """Runs the program in a process of its own: what became of its records, what it was told, and what it loaded."""
    program = PROGRAM.format(before=before, inside=inside, after=after)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        timeout=50,
        env={**os.environ, **variables},
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    counts, told, loaded = json.loads(done.stdout)
    assert {state: number for state, number in counts.items() if number} == {"succeeded": 20}
    return counts, told, loaded


def test_where_it_is_not_installed_nothing_changes() -> None:
    assert run(BLOCKED)[2] == []


def test_where_the_program_does_not_use_it_nothing_of_it_is_loaded() -> None:
    assert run()[2] == []


def test_where_only_half_of_it_is_there_nothing_changes() -> None:
    half = "import types; sys.modules['opentelemetry.trace'] = types.ModuleType('opentelemetry.trace')"
    run(f"{BLOCKED}\n{half}")


def test_the_provider_of_the_program_is_found() -> None:
    _, names, _ = run(SDK, "trace.set_tracer_provider(provider)", SPANS)
    assert names == [
        "GET /clients/{clientno}/batches/{batchuuid}",
        GET,
        "POST /clients/{clientno}/customers/batches",
        "batch customers.create_batch",
        "bulk customers.create_batch",
        "customers.get",
        "poll customers.create_batch",
    ]


def test_a_provider_that_is_set_between_two_calls_is_found_by_the_second() -> None:
    inside = "await arm.customers.list().collect(); trace.set_tracer_provider(provider)"
    _, names, _ = run(SDK, inside, SPANS)
    assert "customers.get" in names
    assert "customers.list" not in names


def test_the_api_alone_tells_nobody() -> None:
    _, _, loaded = run("import opentelemetry.trace, opentelemetry.metrics")
    assert not any(name.startswith("opentelemetry.sdk") for name in loaded)


class _Broken(SpanProcessor):
    """Raises wherever it can."""

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        raise ValueError("on_start")

    def on_end(self, span: Any) -> None:
        raise ValueError("on_end")


class _Raises:
    """A provider that gives nothing."""

    def get_tracer(self, *_: object) -> Any:
        raise ValueError("get_tracer")

    def get_meter(self, *_: object) -> Any:
        raise ValueError("get_meter")


@pytest.mark.parametrize("broken", ["processor", "tracers", "meters"])
async def test_what_a_provider_raises_ends_nothing(sandbox: Sandbox, told: Told, broken: str) -> None:
    tracers = TracerProvider(shutdown_on_exit=False)
    tracers.add_span_processor(_Broken())
    other: Any = _Raises()
    telemetry = {
        "processor": Telemetry(tracer_provider=tracers, meter_provider=told.meters),
        "tracers": Telemetry(tracer_provider=other, meter_provider=told.meters),
        "meters": Telemetry(tracer_provider=told.tracers, meter_provider=other),
    }[broken]
    async with ArmClient(2218, auth=sandbox.token, base_url=sandbox.base_url, telemetry=telemetry) as arm:
        report = await arm.customers.create_many(customers(20), options=quick(max_records=5))
        await arm.customers.get("1")
    assert report.ok


async def test_the_instrumentation_of_aiohttp_tells_nothing_twice(sandbox: Sandbox, told: Told) -> None:
    import aiohttp
    from opentelemetry.instrumentation.aiohttp_client import AioHttpClientInstrumentor

    instrumentor = AioHttpClientInstrumentor()
    instrumentor.instrument(tracer_provider=told.tracers, meter_provider=told.meters)
    try:
        async with aiohttp.ClientSession() as session:
            for settings in ({}, {"session": session}):
                async with ArmClient(2218, auth=sandbox.token, base_url=sandbox.base_url, telemetry=told.telemetry(), **settings) as arm:
                    report = await arm.customers.create_many(customers(6), options=quick(max_records=2))
                    await arm.customers.get("1")
                    assert report.ok
            assert {span.name for span in told.spans if span.name.startswith("GET")} == {GET, "GET /clients/{clientno}/batches/{batchuuid}"}
            assert len(told.named(GET)) == 2
            assert "/clients/2218/" not in told.everything()
            # What the program itself asks for is told as before.
            async with session.get(sandbox.origin) as answer:
                await answer.read()
            assert any(span.name == "GET" for span in told.spans)
    finally:
        instrumentor.uninstrument()


async def test_the_command_line_under_opentelemetry_instrument(sandbox: Sandbox, tmp_path: Path) -> None:
    # What is told last is written when the process ends.
    program = Path(sys.executable).with_name("opentelemetry-instrument")
    (tmp_path / "customers.jsonl").write_text("".join(json.dumps(record) + "\n" for record in customers(20)))
    (tmp_path / "documents.jsonl").write_text("".join(json.dumps(record) + "\n" for record in documents(20)))
    work = [
        program,
        sys.executable,
        "-m",
        "amili_arm_async.cli",
        "nightly",
        "--customers",
        "customers.jsonl",
        "--documents",
        "documents.jsonl",
    ]
    variables = {
        "AMILI_ARM_BASE_URL": sandbox.base_url,
        "AMILI_ARM_CLIENT_NO": "2218",
        "AMILI_ARM_TOKEN": sandbox.token,
        "OTEL_TRACES_EXPORTER": "console",
        "OTEL_METRICS_EXPORTER": "console",
        "OTEL_LOGS_EXPORTER": "none",
    }
    process = await asyncio.create_subprocess_exec(
        *map(str, [*work, "--journal", "night.journal", "--run-id", "1", "--quiet"]),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
        env={**os.environ, **variables},
    )
    told, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    assert b'"name": "nightly"' in told
    assert b'"name": "bulk documents.create_batch"' in told
    assert b'"name": "amili_arm.records"' in told
    assert b"/clients/2218" not in told
