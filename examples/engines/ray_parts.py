"""Sends the invoices in parts, each of them a task of Ray. docs/engines.md says what Ray repeats, and why nothing is sent twice.

JOURNAL=postgresql://... RUN_ID=2026-11-20 INVOICES=/export/invoices.jsonl python ray_parts.py
"""

import os
import sys

import ray

from amili_arm_async import ArmClient, open_records
from amili_arm_async.blocking import BlockingClient

JOURNAL, RUN_ID, INVOICES = os.environ["JOURNAL"], os.environ["RUN_ID"], os.environ["INVOICES"]
PARTS = 64


# An exception is repeated too, such as that of a service that was away for too long.
@ray.remote(max_retries=3, retry_exceptions=True)
def send_part(part: int) -> tuple[int, str]:
    """Runs in a worker: it has the AMILI_ARM_ variables, and reads the export itself."""
    with BlockingClient(ArmClient.from_env()) as client, client.shared_run(JOURNAL, run_id=RUN_ID, parts=PARTS) as run:
        report = run.send_part(part, open_records(INVOICES, "documents"), pass_over=True)
    return part, report.summary()


def main() -> int:
    """Starts the tasks, and reports on all parts."""
    ray.init()
    for part, summary in ray.get([send_part.remote(part) for part in range(PARTS)]):
        print(part, summary)
    with BlockingClient(ArmClient.from_env()) as client, client.shared_run(JOURNAL, run_id=RUN_ID, parts=PARTS) as run:
        report = run.report()
    print(report.summary())
    return 0 if report.ok else 1


if __name__ == "__main__":
    sys.exit(main())
