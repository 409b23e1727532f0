"""The tasks that send frames, without a Spark: what the driver says before, what they send, and what they return."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from amili_arm_async import ArmClient, ArmError, BulkOptions, ConfigurationError, FrameError
from amili_arm_async.bulk.journal.postgres.journal import PostgresRunJournal
from amili_arm_async.nightly.shared_customers import times_sent
from amili_arm_async.sandbox import Fault, Sandbox
from amili_arm_async.spark.driver import enter, identify, read_report
from amili_arm_async.spark.job import FrameJob, Reading

from ..support.postgres import Server
from ..support.sandbox_runs import plan
from .frames import PARTS, SLOTS, labelled_batches, no_spark, task_of

pa = pytest.importorskip("pyarrow")

__all__ = ["no_spark"]

pytestmark = pytest.mark.usefixtures("no_spark")


@pytest.fixture
def connect(server: Sandbox) -> partial[ArmClient]:
    return partial(ArmClient, 2218, auth=server.token, base_url=server.base_url)


def job_of(kind: Any, connect: Any, database: str, **more: Any) -> FrameJob:
    options = BulkOptions(max_records=5, poll_first=0.01, poll_max=0.05)
    how: dict[str, Any] = {"run_id": "1", "parts": PARTS, "options": options, "lease": 60.0, "user_id": None, **more}
    return FrameJob.of(database, connect, Reading(kind, constants={"documentType": "IN"} if kind == "documents" else {}), **how)


def send_documents(job: FrameJob, table: Any) -> dict[int, str | None]:
    """Sends the rows of a frame as one task does; returns the errors of its parts."""
    from amili_arm_async.spark.tasks import PartSender

    key = identify(job)
    task = task_of(job, (key.client_no, key.base_url), table.column_names)
    (batch,) = PartSender(task)(labelled_batches(job.reading, table))
    return {row["part"]: row["error"] for row in batch.to_pylist()}


def send_customers(job: FrameJob, table: Any) -> list[dict[str, Any]]:
    """Sends the customers of a frame as its task does; returns the result."""
    from amili_arm_async.spark.tasks import CustomerSender

    key = identify(job)
    used = times_sent(job.url, key) or 0
    task = replace(task_of(job, (key.client_no, key.base_url), table.column_names), part_of_slot=dict.fromkeys(SLOTS, 0), used=used)
    return [row for batch in CustomerSender(task)(labelled_batches(job.reading, table, slots=SLOTS[:1])) for row in batch.to_pylist()]


DOCUMENTS = pa.table({"documentNo": [f"D{number}" for number in range(12)], "customerNo": [str(number % 3) for number in range(12)]})
CUSTOMERS = pa.table({"customerNo": ["0", "1", "2", "1"], "name": ["A", "B", "C", "D"]})


@pytest.fixture
def prepared(database: str) -> None:
    from amili_arm_async.database.url import DatabaseUrl
    from amili_arm_async.postgres.schema import prepare_schema

    prepare_schema(DatabaseUrl(database), "journal")


@pytest.mark.usefixtures("prepared")
def test_documents_wait_for_the_customers_of_their_run(connect: Any, database: str, server: Sandbox) -> None:
    of_customers, of_documents = (job_of(kind, connect, database) for kind in ("customers", "documents"))
    plan(server, [Fault.status(403)] * 20, path="customers/batches")
    (said,) = send_customers(of_customers, CUSTOMERS)
    assert said["error"] is not None
    with pytest.raises(FrameError, match=r"were not sent to their end .*: send them first"):
        enter(of_documents)
    assert server.documents.total_taken == 0
    server.clear_faults()
    server.reject_record("2", kind="customers")
    (failed,) = send_customers(of_customers, CUSTOMERS)
    assert (failed["key"], failed["state"], failed["error"]) == ("2", "failed", None)
    enter(of_documents)
    assert set(send_documents(of_documents, DOCUMENTS).values()) == {None}
    assert server.documents.total_taken == 8
    report = read_report(run_id="1", journal=database, client=connect)
    assert report.to_schema().parts[0].counts == {"succeeded": 3, "failed": 1}
    assert report.counts == {"succeeded": 8, "blocked": 4}


@pytest.mark.usefixtures("prepared")
def test_with_a_state_only_customers_that_changed_are_sent(connect: Any, database: str, server: Sandbox) -> None:
    for run_id in ("1", "2"):
        assert send_customers(job_of("customers", connect, database, run_id=run_id, state=database), CUSTOMERS.slice(0, 3)) == []
    assert server.customers.total_taken == 3
    report = read_report(run_id="2", journal=database, client=connect)
    assert report.counts["unchanged"] == 3


@pytest.mark.usefixtures("prepared")
def test_customers_and_documents_of_a_run_have_one_address(connect: Any, database: str, server: Sandbox) -> None:
    assert send_customers(job_of("customers", connect, database), CUSTOMERS) == []
    with Sandbox(process_delay=0.0, require_customers=False) as other:
        elsewhere = partial(ArmClient, 2218, auth=other.token, base_url=other.base_url)
        with pytest.raises(ConfigurationError, match=r"were sent with base_url .*: use another run_id"):
            enter(job_of("documents", elsewhere, database))
        with pytest.raises(ConfigurationError, match="were sent with base_url"):
            read_report(run_id="1", journal=database, client=elsewhere)
        with pytest.raises(ConfigurationError, match="were sent with base_url"):
            send_customers(job_of("customers", elsewhere, database), CUSTOMERS)
        assert (other.customers.total_taken, other.documents.total_taken) == (0, 0)
    assert read_report(run_id="1", journal=database, client=connect).ok


@pytest.mark.usefixtures("prepared")
def test_customers_come_too_late_where_documents_were_begun_without(connect: Any, database: str, server: Sandbox) -> None:
    of_documents = job_of("documents", connect, database)
    enter(of_documents)
    send_documents(of_documents, DOCUMENTS)
    (said,) = send_customers(job_of("customers", connect, database), CUSTOMERS)
    assert "were begun without customers" in said["error"]
    assert server.customers.total_taken == 0


@pytest.mark.usefixtures("prepared")
def test_a_frame_without_customers(connect: Any, database: str) -> None:
    assert send_customers(job_of("customers", connect, database), CUSTOMERS.slice(0, 0)) == []
    assert read_report(run_id="1", journal=database, client=connect).ok


@pytest.mark.usefixtures("prepared")
def test_an_executor_with_another_environment_sends_nothing(connect: Any, database: str, server: Sandbox) -> None:
    from amili_arm_async.spark.tasks import PartSender

    job = job_of("documents", connect, database)
    enter(job)
    (batch,) = PartSender(task_of(job, (7, server.base_url), DOCUMENTS.column_names))(labelled_batches(job.reading, DOCUMENTS))
    errors = [row["error"] for row in batch.to_pylist()]
    assert len(errors) == PARTS
    assert all("the client number is 2218" in error for error in errors)
    assert server.documents.total_taken == 0


@pytest.mark.usefixtures("prepared")
def test_a_task_whose_part_another_attempt_has_taken_over_fails_so_that_spark_repeats_it(
    connect: Any, database: str, server: Sandbox, postgres: Server
) -> None:
    # As when it was slow for longer than its lease: what the other attempt says of the part counts.
    job = job_of("documents", connect, database)
    enter(job)
    with pytest.MonkeyPatch.context() as patch:
        accepted = PostgresRunJournal.accepted

        async def take_over(self: PostgresRunJournal, *arguments: Any, **more: Any) -> bool:
            postgres.execute("UPDATE amili_arm.parts SET epoch = epoch + 1")
            return await accepted(self, *arguments, **more)

        patch.setattr(PostgresRunJournal, "accepted", take_over)
        with pytest.raises(Exception, match="another process has taken over") as caught:
            send_documents(job, DOCUMENTS)
    assert not isinstance(caught.value, ArmError)
    causes: list[BaseException | None] = [caught.value]
    while causes[-1] is not None:
        assert causes[-1] not in causes[:-1]
        causes.append(causes[-1].__cause__)


def test_a_state_is_for_customers_and_in_a_database(connect: Any) -> None:
    for kind, state, said in (("documents", "postgresql://h/d", "for customers"), ("customers", "state.sqlite", "PostgreSQL")):
        with pytest.raises(ConfigurationError, match=said):
            job_of(kind, connect, "postgresql://h/d", state=state)
