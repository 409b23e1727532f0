"""Batches that are compressed on their way: the same records arrive, fewer bytes leave, and what is proved of them stays what it was."""

import asyncio
import gzip
import sys
import threading
from collections.abc import Iterator

import pytest

from amili_arm_async import ArmClient, BulkError, BulkOptions, ConfigurationError, StatusError, compression
from amili_arm_async.bulk import delivery as compressed
from amili_arm_async.compression import compress, has_zstd
from amili_arm_async.sandbox import Fault, Sandbox

from ..support.sandbox_fixtures import QUICK, customers, documents, quick

pytestmark = pytest.mark.quick

needs_zstd = pytest.mark.skipif(not has_zstd(), reason="no zstd: before Python 3.14 it needs the extra zstd")
encodings = pytest.mark.parametrize("encoding", ["gzip", pytest.param("zstd", marks=needs_zstd)])


def batches(sandbox: Sandbox) -> list:
    return [seen for seen in sandbox.recent if seen.method in {"POST", "PUT"} and seen.path.endswith("/batches")]


# --- what arrives -----------------------------------------------------------------------------------------------------------


@encodings
@pytest.mark.parametrize("form", ["mappings", "bytes"])
async def test_the_same_records_arrive_and_fewer_bytes_leave(arm, sandbox, encoding, form):
    source = list(customers(700))
    if form == "bytes":
        source = [b'{"customerNo":"%s","name":"%s"}' % (one["customerNo"].encode(), one["name"].encode()) for one in source]
    report = await arm.customers.create_many(source, options=quick(compression=encoding, max_records=100))

    assert report.counts["succeeded"] == 700
    assert [sandbox.customers.get(str(number))["name"] for number in range(700)] == [f"Customer {number}" for number in range(700)]
    assert {seen.headers.get("Content-Encoding") for seen in batches(sandbox)} == {encoding}
    # What is told is what went over the wire.
    assert report.totals.bytes_sent == sum(seen.body_bytes for seen in batches(sandbox))
    assert report.totals.bytes_sent < 700 * 20


@encodings
async def test_updates_are_compressed_too(arm, sandbox, encoding):
    sandbox.customers.seed(customers(20))
    report = await arm.customers.update_many(customers(20), options=quick(compression=encoding))

    assert report.counts["succeeded"] == 20
    assert [(seen.method, seen.headers.get("Content-Encoding")) for seen in batches(sandbox)] == [("PUT", encoding)]


async def test_nothing_is_compressed_unless_it_is_asked_for(arm, sandbox):
    report = await arm.customers.create_many(customers(100), options=quick())
    assert report.counts["succeeded"] == 100
    await arm.customers.create_batch(customers(5))

    assert report.totals.bytes_sent > 100 * 20
    assert not [seen for seen in sandbox.recent if "Content-Encoding" in seen.headers]


async def test_only_batches_are_compressed(arm, sandbox):
    await arm.customers.create_many(customers(100), options=quick(compression="gzip"))

    with_encoding = [seen for seen in sandbox.recent if "Content-Encoding" in seen.headers]
    assert with_encoding == batches(sandbox)
    assert len(sandbox.recent) > len(with_encoding)


async def test_the_largest_body_is_measured_before_it_is_compressed(arm, sandbox):
    await arm.customers.create_many(customers(1000), options=quick(compression="gzip", max_bytes=2000))

    # About 37 bytes each.
    assert len(batches(sandbox)) >= 18


@encodings
@pytest.mark.parametrize("pieces", [(), (b"",), (b"{", b'"a":1', b"}"), (b"x" * 300_000, b",", b"y" * 300_000)])
def test_a_body_is_the_same_when_it_is_plain_again(encoding, pieces):
    from amili_arm_async.sandbox.encodings import plain

    assert plain(compress(pieces, encoding), encoding, 1_000_000) == b"".join(pieces)


def test_what_is_called_gzip_is_gzip():
    assert gzip.decompress(compress((b"one ", b"two"), "gzip")) == b"one two"


# --- refusals and repeats ---------------------------------------------------------------------------------------------------


@encodings
async def test_repeated_split_and_searched_for_the_bad_record(encoding):
    async with (
        Sandbox(process_delay=0.0, require_customers=False, max_body_bytes=6000) as sandbox,
        ArmClient(2218, auth=sandbox.token, base_url=sandbox.base_url, retry=QUICK) as arm,
    ):
        sandbox.poison_record("17")
        sandbox.inject(Fault.status(429), method="POST", skip=6, times=2)
        report = await arm.customers.create_many(customers(400), options=quick(compression=encoding, concurrency=2))

        assert report.counts["succeeded"] == 399
        assert [(failure.key, failure.state) for failure in report.failures()] == [("17", "rejected")]
        assert {413, 400, 429} <= {seen.status for seen in batches(sandbox)}
        assert {seen.headers.get("Content-Encoding") for seen in batches(sandbox)} == {encoding}


@encodings
async def test_a_server_that_takes_no_compressed_bodies_ends_the_run_and_says_what_to_change(encoding):
    async with (
        Sandbox(process_delay=0.0, content_encodings=()) as sandbox,
        ArmClient(2218, auth=sandbox.token, base_url=sandbox.base_url, retry=QUICK) as arm,
    ):
        with pytest.raises(BulkError) as caught:
            await arm.customers.create_many(list(customers(1000)), options=quick(compression=encoding, max_records=10))

        cause = caught.value.__cause__
        assert isinstance(cause, StatusError)
        assert cause.status == 415
        assert "remove compression=" in str(cause)
        assert caught.value.report.counts["not_sent"] == 1000
        assert {"415"} == {failure.reason for failure in caught.value.report.failures()}
        assert sandbox.customers.total_delivered == 0


async def test_a_415_to_what_is_not_compressed_says_nothing_of_compression(arm, sandbox):
    sandbox.inject(Fault.status(415), method="POST")
    with pytest.raises(BulkError) as caught:
        await arm.customers.create_many(customers(10), options=quick())

    assert "compress" not in str(caught.value.__cause__)


@encodings
async def test_a_customer_batch_whose_connection_is_cut_is_sent_again(arm, sandbox, encoding):
    sandbox.inject(Fault.reset_before(), method="POST", times=2)
    sandbox.inject(Fault.reset_after(), method="POST", times=2)
    report = await arm.customers.create_many(customers(100), options=quick(compression=encoding, max_records=10))

    assert report.counts["succeeded"] == 100
    assert {seen.headers.get("Content-Encoding") for seen in batches(sandbox)} == {encoding}


@encodings
async def test_a_document_whose_connection_is_cut_is_unknown_and_not_sent_again(arm, sandbox, encoding):
    sandbox.inject(Fault.reset_after(), method="POST")
    options = quick(compression=encoding, max_records=10, concurrency=1)
    report = await arm.documents.create_many(documents(30), options=options)

    assert (report.counts["unknown"], report.counts["succeeded"]) == (10, 20)
    assert {record.delivered for record in sandbox.documents} == {1}


# --- cancelled ----------------------------------------------------------------------------------------------------------------


class Slow:
    """Compresses when it is told to, so that something can happen meanwhile."""

    def __init__(self, monkeypatch) -> None:
        self.begun = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._go = threading.Event()
        monkeypatch.setattr(compressed, "compress", self._compress)

    def _compress(self, pieces, encoding) -> bytes:
        self._loop.call_soon_threadsafe(self.begun.set)
        self._go.wait(10)
        return compress(pieces, encoding)

    def let_go(self) -> None:
        self._go.set()


@pytest.fixture
async def slow(monkeypatch):
    slow = Slow(monkeypatch)
    yield slow
    slow.let_go()


@pytest.mark.parametrize("journal", [False, True])
async def test_cancelled_while_it_is_compressed_nothing_has_left(arm, sandbox, slow, monkeypatch, tmp_path, journal):
    kept = {"journal": tmp_path / "journal.sqlite", "run_id": "night"} if journal else {}
    options = quick(compression="gzip", max_records=10, **kept)
    run = arm.documents.create_many(list(documents(50)), options=options)

    async def go() -> None:
        await run

    task = asyncio.create_task(go())
    await slow.begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert {state: count for state, count in run.report.counts.items() if count} == {"not_sent": run.report.totals.records_read}
    assert not batches(sandbox)
    assert run.report.totals.bytes_sent == 0
    if journal:
        slow.let_go()
        report = await arm.documents.create_many(list(documents(50)), options=options)
        assert report.counts["succeeded"] == 50
        assert {record.taken for record in sandbox.documents} == {1}


async def test_the_loop_goes_on_while_a_body_is_compressed(arm, sandbox, slow):
    """Reading a customer is answered while the batch is still being compressed."""
    sandbox.customers.seed(customers(1))

    async def go() -> None:
        await arm.customers.create_many(customers(5, 1), options=quick(compression="gzip"))

    task = asyncio.create_task(go())
    await slow.begun.wait()
    assert (await arm.customers.get("0")).name == "Customer 0"
    assert not batches(sandbox)
    slow.let_go()
    await task
    assert len(sandbox.customers) == 6


async def test_a_run_that_is_stopped_while_it_compresses_sends_nothing(arm, sandbox, slow):
    invalid = {"documentNo": "x", "limitAmount": float("inf")}
    run = arm.documents.create_many([invalid, *documents(50)], options=quick(compression="gzip", max_records=10, concurrency=1))
    async with run:
        async for outcome in run:
            assert outcome.counts == {"invalid": 1}
            await slow.begun.wait()
            break
        asyncio.get_running_loop().call_soon(slow.let_go)

    assert not batches(sandbox)
    assert run.report.counts["not_sent"] == run.report.totals.records_read - 1


# --- what is not there --------------------------------------------------------------------------------------------------------


@pytest.fixture
def no_zstd(monkeypatch) -> Iterator[None]:
    for name in ("zstandard", "compression.zstd"):
        monkeypatch.setitem(sys.modules, name, None)
    compression._zstd.cache_clear()
    yield
    compression._zstd.cache_clear()


def test_zstd_without_its_package_is_refused_when_the_options_are_made(no_zstd):
    with pytest.raises(ConfigurationError, match="zstandard" if sys.version_info >= (3, 14) else r"amili-arm-async\[zstd\]"):
        BulkOptions(compression="zstd")
    assert BulkOptions(compression="gzip").compression == "gzip"
