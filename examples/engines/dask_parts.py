"""Sends the invoices in parts, each of them a task of Dask. docs/engines.md says what Dask repeats, and why nothing is sent twice.

JOURNAL=postgresql://... RUN_ID=2026-11-20 INVOICES=/export/invoices.jsonl python dask_parts.py tcp://scheduler:8786
"""

import os
import sys

from dask.distributed import Client, as_completed

from amili_arm_async import ArmClient, open_records
from amili_arm_async.blocking import BlockingClient

JOURNAL, RUN_ID, INVOICES = os.environ["JOURNAL"], os.environ["RUN_ID"], os.environ["INVOICES"]
PARTS = 64


def send_part(part: int) -> tuple[int, str]:
    """Runs in a worker: it has the AMILI_ARM_ variables, and reads the export itself."""
    with BlockingClient(ArmClient.from_env()) as client, client.shared_run(JOURNAL, run_id=RUN_ID, parts=PARTS) as run:
        report = run.send_part(part, open_records(INVOICES, "documents"), pass_over=True)
    return part, report.summary()


def main(scheduler: str) -> int:
    """Starts the tasks, and reports on all parts."""
    with Client(scheduler) as dask:
        # Not pure: a part is a task each time, and its result is not taken from an earlier one.
        futures = dask.map(send_part, range(PARTS), pure=False, retries=3)
        for future in as_completed(futures):
            print(*future.result())
    with BlockingClient(ArmClient.from_env()) as client, client.shared_run(JOURNAL, run_id=RUN_ID, parts=PARTS) as run:
        report = run.report()
    print(report.summary())
    return 0 if report.ok else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
