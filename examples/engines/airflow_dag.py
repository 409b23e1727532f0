"""Sends the invoices in parts, each a mapped task of Airflow. docs/engines.md says what Airflow repeats, and why nothing is sent twice.

The tasks have JOURNAL, INVOICES and the AMILI_ARM_ variables; the password of the database is in PGPASSWORD.
"""

import os
from datetime import timedelta
from pathlib import Path

from airflow.sdk import dag, task

PARTS = 64


def run_id() -> str:
    """Returns the name that the export has given itself: a task that is cleared, and a DAG that is run again, have the same."""
    return Path(os.environ["INVOICES"]).with_name("run-id").read_text().strip()


# Imported in the tasks: the scheduler reads this file again and again.
@task(retries=3, retry_delay=timedelta(minutes=1), max_active_tis_per_dagrun=8)
def send_part(part: int) -> str:
    """Sends one part."""
    from amili_arm_async import ArmClient, open_records
    from amili_arm_async.blocking import BlockingClient

    with (
        BlockingClient(ArmClient.from_env()) as client,
        client.shared_run(os.environ["JOURNAL"], run_id=run_id(), parts=PARTS) as run,
    ):
        return run.send_part(part, open_records(os.environ["INVOICES"], "documents"), pass_over=True).summary()


@task(trigger_rule="all_done")
def report() -> None:
    """Reports on all parts, and raises where a document failed."""
    from amili_arm_async import ArmClient
    from amili_arm_async.blocking import BlockingClient

    with (
        BlockingClient(ArmClient.from_env()) as client,
        client.shared_run(os.environ["JOURNAL"], run_id=run_id(), parts=PARTS) as run,
    ):
        found = run.report()
    print(found.summary())
    if not found.ok:
        raise RuntimeError(found.summary())


@dag(schedule=None)
def invoices() -> None:
    """The invoices of one export."""
    send_part.expand(part=list(range(PARTS))) >> report()


invoices()
