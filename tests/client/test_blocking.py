"""The client for code that is not async: in scripts, in notebooks, in threads, with sources that belong to the caller's thread."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from amili_arm_async import ArmClient, BulkError, BulkOptions, Customer, NotFoundError, Timeout, blocking
from amili_arm_async.blocking import BlockingClient
from amili_arm_async.errors import ConfigurationError
from amili_arm_async.sandbox import Sandbox

from ..support.sandbox_fixtures import QUICK, customers, documents, quick


class ThreadedSandbox:
    """A sandbox in an event loop of its own."""

    def __init__(self) -> None:
        self.ready = threading.Event()
        self.stop: asyncio.Event | None = None
        self.thread = threading.Thread(target=lambda: asyncio.run(self._main()))

    async def _main(self) -> None:
        self.loop, self.stop = asyncio.get_running_loop(), asyncio.Event()
        async with Sandbox(process_delay=0.0, require_customers=False, seed=1) as self.sandbox:
            self.base_url, self.token = self.sandbox.base_url, self.sandbox.token
            self.ready.set()
            await self.stop.wait()

    def __enter__(self) -> ThreadedSandbox:
        self.thread.start()
        self.ready.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.call_soon_threadsafe(self.stop.set)
        self.thread.join()


@pytest.fixture(scope="module")
def server() -> Iterator[ThreadedSandbox]:
    with ThreadedSandbox() as server:
        yield server


def made(server: ThreadedSandbox, **settings: Any) -> BlockingClient:
    return BlockingClient(ArmClient(2218, auth=server.token, base_url=server.base_url, retry=QUICK, **settings))


@pytest.fixture
def client(server: ThreadedSandbox) -> Iterator[BlockingClient]:
    with made(server) as client:
        yield client


def test_single_calls(client: BlockingClient) -> None:
    client.call(lambda arm: arm.customers.create(Customer(customer_no="S1", name="Ola")))
    assert client.call(lambda arm: arm.customers.get("S1")).name == "Ola"
    assert [record.customer_no for record in client.call(lambda arm: arm.customers.list(customer_no="S1").collect())] == ["S1"]
    with pytest.raises(NotFoundError):
        client.call(lambda arm: arm.customers.get("S2"))


def test_a_function_that_returns_nothing_to_await(client: BlockingClient) -> None:
    with pytest.raises(ConfigurationError, match=r"returned a Pager.*\.collect\(\)"):
        client.call(lambda arm: arm.customers.list())  # type: ignore[arg-type, return-value]
    assert client.call(lambda arm: arm.customers.list(customer_no="none").collect()) == []


def test_every_job(client: BlockingClient, tmp_path) -> None:
    assert client.create_many("customers", customers(700), options=quick()).counts["succeeded"] == 700
    assert client.update_many(list(customers(3)), options=quick()).counts["succeeded"] == 3
    assert client.create_many("documents", documents(3, 10), options=quick()).counts["succeeded"] == 3
    assert client.check("customers", customers(3)).records_read == 3
    state = tmp_path / "state"
    assert client.sync(customers(600), state=state, options=quick()).bulk.counts["succeeded"] == 600
    assert client.sync(customers(600), state=state, options=quick()).bulk.counts["unchanged"] == 600
    options = quick(journal=tmp_path / "journal", run_id="1")
    night = client.nightly(customers=customers(600), documents=documents(4, 20), state=state, document_options=options)
    assert night.documents is not None
    assert night.documents.counts["succeeded"] == 4
    assert client.reconcile(tmp_path / "journal", options=quick()).totals.records_read == 0
    with pytest.raises(ConfigurationError, match='"customers" or "documents"'):
        client.create_many("invoices", [])  # type: ignore[arg-type]


# --- sources ----------------------------------------------------------------------------------------------------------------


def test_a_source_is_read_in_the_thread_of_the_caller(client: BlockingClient) -> None:
    database = sqlite3.connect(":memory:")  # refuses to be used by another thread
    database.execute("create table customer (no text)")
    database.executemany("insert into customer values (?)", [(f"Q{number}",) for number in range(1200)])
    rows = ({"customerNo": number, "name": "Ola"} for (number,) in database.execute("select no from customer"))
    report = client.create_many("customers", rows, options=quick())
    database.close()
    assert report.counts["succeeded"] == 1200


def test_a_record_that_is_filled_again_is_what_it_was(client: BlockingClient) -> None:
    def refilled() -> Iterator[dict[str, Any]]:
        record: dict[str, Any] = {"name": "Ola"}
        for number in range(20):
            record["customerNo"] = f"R{number}"
            yield record

    assert client.create_many("customers", refilled(), options=quick()).counts["succeeded"] == 20
    assert client.call(lambda arm: arm.customers.get("R7")).customer_no == "R7"


def test_a_source_that_raises_is_the_cause(client: BlockingClient) -> None:
    def failing() -> Iterator[dict[str, Any]]:
        yield from customers(3, 900)
        raise OSError("the database is gone")

    with pytest.raises(BulkError) as raised:
        client.create_many("customers", failing(), options=quick())
    assert isinstance(raised.value.__cause__, OSError)
    assert raised.value.report.totals.records_read == 3


@pytest.mark.parametrize("records", ["text", b"{}", {"customerNo": "1"}, 5])
def test_what_is_no_source_is_refused(client: BlockingClient, records: Any) -> None:
    with pytest.raises(ConfigurationError):
        client.create_many("customers", records)


# --- where it is used -------------------------------------------------------------------------------------------------------


async def test_in_a_thread_that_has_a_loop_running(server: ThreadedSandbox) -> None:
    with made(server) as client:
        assert client.create_many("customers", customers(5), options=quick()).counts["succeeded"] == 5


def test_many_threads_share_a_client(client: BlockingClient) -> None:
    found: list[int] = []

    def send(number: int) -> None:
        found.append(client.create_many("customers", customers(600, number * 1000), options=quick()).counts["succeeded"])

    threads = [threading.Thread(target=send, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [600] * 8


def test_a_client_that_is_closed_says_so(server: ThreadedSandbox) -> None:
    client = made(server)
    assert repr(client) == f"BlockingClient(ArmClient(2218, base_url={server.base_url!r}))"
    with pytest.raises(AttributeError, match=r"no attribute 'customers': use call\(lambda arm: arm.customers...\)"):
        _ = client.customers  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match=r"no attribute 'custmers'$"):
        _ = client.custmers  # type: ignore[attr-defined]
    client.call(lambda arm: arm.customers.list().first())
    client.close()
    client.close()
    assert repr(client).endswith(", closed)")
    with pytest.raises(ConfigurationError, match="closed"):
        client.call(lambda arm: arm.customers.list().first())
    assert not [thread for thread in threading.enumerate() if thread.name == "amili-arm" and thread.is_alive()]


def test_a_call_that_waits_when_the_client_is_closed(server: ThreadedSandbox) -> None:
    client, waiting = made(server), threading.Event()

    async def wait(_: ArmClient) -> None:
        waiting.set()
        await asyncio.Event().wait()

    def close() -> None:
        waiting.wait()
        client.close()

    closer = threading.Thread(target=close)
    closer.start()
    with pytest.raises(ConfigurationError, match="closed during this call"):
        client.call(wait)
    closer.join()


@pytest.mark.parametrize("limit", [1, 5, 501])
@pytest.mark.parametrize("job", ["create_many", "update_many", "sync", "nightly"])
def test_what_is_beyond_a_limit_is_not_taken_from_the_source(client: BlockingClient, tmp_path: Path, job: str, limit: int) -> None:
    source, options = customers(1000), replace(quick(), limit=limit)
    if job == "create_many":
        client.create_many("customers", source, options=options)
    elif job == "update_many":
        client.update_many(source, options=options)
    elif job == "sync":
        client.sync(source, state=tmp_path / "state", options=options)
    else:
        client.nightly(customers=source, customer_options=options)
    assert next(source)["customerNo"] == str(limit)


@pytest.mark.parametrize("ends", [RuntimeError, KeyboardInterrupt, None])
def test_a_client_that_is_closed_while_a_source_is_read(server: ThreadedSandbox, ends: type[BaseException] | None) -> None:
    client = made(server)

    def closing() -> Iterator[dict[str, Any]]:
        yield from customers(3)
        client.close()
        if ends is not None:
            raise ends
        yield from customers(3, 100)

    expected: Any = (KeyboardInterrupt, None) if ends is KeyboardInterrupt else (ConfigurationError, "closed during this call")
    with pytest.raises(expected[0], match=expected[1]):
        client.create_many("customers", closing(), options=quick())


def test_what_cancels_itself_is_no_client_that_was_closed(client: BlockingClient) -> None:
    async def cancelled(_: ArmClient) -> None:
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    with pytest.raises(asyncio.CancelledError):
        client.call(cancelled)


def test_a_callback_of_its_own_job_can_not_call_it(client: BlockingClient) -> None:
    raised: list[Exception] = []

    def show(_: object) -> None:
        try:
            client.call(lambda arm: arm.customers.get("1"))
        except ConfigurationError as exc:
            raised.append(exc)

    client.create_many("customers", customers(2), options=quick(on_progress=show))
    assert "event loop" in str(raised[0])


def test_what_is_no_client_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="must be an ArmClient"):
        BlockingClient("https://example.com")  # type: ignore[arg-type]


def test_a_client_that_can_not_be_entered_says_why(server: ThreadedSandbox) -> None:
    async def used() -> ArmClient:
        async with ArmClient(2218, auth=server.token, base_url=server.base_url) as arm:
            return arm

    client = BlockingClient(asyncio.run(used()))
    for _ in range(2):
        with pytest.raises(ConfigurationError):
            client.call(lambda arm: arm.customers.get("1"))
    client.close()


# --- Ctrl-C -----------------------------------------------------------------------------------------------------------------


def test_ctrl_c_in_a_source_ends_the_job_first(client: BlockingClient, tmp_path) -> None:
    def interrupted() -> Iterator[dict[str, Any]]:
        yield from documents(1500, 5000)
        signal.raise_signal(signal.SIGINT)
        yield from documents(1, 9000)

    options = quick(journal=tmp_path / "journal", run_id="1")
    with pytest.raises(KeyboardInterrupt):
        client.create_many("documents", interrupted(), options=options)
    # The run let go of its journal, and the client goes on.
    report = client.create_many("documents", documents(1500, 5000), options=options)
    assert report.totals.records_read == 1500
    assert report.counts["succeeded"] + report.counts["done_before"] + report.counts["unknown"] == 1500


def test_ctrl_c_while_a_call_waits(server: ThreadedSandbox) -> None:
    ended: list[str] = []

    async def wait(_: ArmClient) -> None:
        try:
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)  # type: ignore[arg-type]
            await asyncio.Event().wait()
        finally:
            ended.append("ended")

    with made(server, timeout=Timeout(connect=5, read=5)) as client:
        with pytest.raises(KeyboardInterrupt):
            client.call(wait)
        assert ended == ["ended"]
        assert client.call(lambda arm: arm.customers.list().first()).items is not None


@pytest.mark.timeout(20)
def test_ctrl_c_when_the_end_of_a_call_is_known(client: BlockingClient, monkeypatch: pytest.MonkeyPatch) -> None:
    serve = blocking._Reads.serve

    def interrupted(reads: Any) -> None:
        serve(reads)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(blocking._Reads, "serve", interrupted)
        client.call(lambda arm: arm.customers.list().first())
    assert client.call(lambda arm: arm.customers.list().first()).items is not None


@pytest.mark.timeout(20)
@pytest.mark.parametrize("moment", ["before the thread begins", "before the client is entered"])
def test_ctrl_c_while_the_client_starts(server: ThreadedSandbox, monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with made(server) as client:
        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            if moment == "before the thread begins":
                patched.setattr(threading.Thread, "start", interrupted)
            else:
                patched.setattr(client._thread._ready, "wait", interrupted)
            client.call(lambda arm: arm.customers.list().first())
        assert client.call(lambda arm: arm.customers.list().first()).items is not None


# --- processes --------------------------------------------------------------------------------------------------------------

FORKED = """
import os, sys
from amili_arm_async import ArmClient, ConfigurationError
from amili_arm_async.blocking import BlockingClient

client = BlockingClient(ArmClient(2218, auth="token", base_url="http://127.0.0.1:9"))


async def nothing(arm):
    return 5


def used():
    try:
        return client.call(nothing)
    except ConfigurationError as exc:
        return str(exc)


before = sys.argv[1] == "before"
if before:
    assert used() == 5
process = os.fork()
if not process:
    print(used(), flush=True)
    client.close()
    os._exit(0)
os.waitpid(process, 0)
print(used())
"""


def run(code: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore:This process:DeprecationWarning", "-c", textwrap.dedent(code), *arguments],
        capture_output=True,
        text=True,
        timeout=50,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout


def test_a_process_that_was_forked_needs_a_client_of_its_own() -> None:
    assert run(FORKED, "after").splitlines() == ["5", "5"]
    assert run(FORKED, "before").splitlines() == ["the client was used before this process was forked: make one in each process", "5"]


def test_a_program_that_does_not_close_its_client_ends() -> None:
    code = """
        import asyncio
        from amili_arm_async import ArmClient
        from amili_arm_async.blocking import BlockingClient

        async def leave(arm):
            task = asyncio.create_task(asyncio.sleep(1000))
            arm.task = task
            return "done"

        client = BlockingClient(ArmClient(2218, auth="token", base_url="http://127.0.0.1:9"))
        print(client.call(leave))
    """
    assert run(code) == "done\n"


def test_options_are_those_of_the_async_client(client: BlockingClient) -> None:
    with pytest.raises(ConfigurationError, match="run_id"):
        client.create_many("documents", documents(1), options=BulkOptions(journal="x"))
