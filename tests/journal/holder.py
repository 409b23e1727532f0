"""A process that holds a run: it says "running", and sends the rest when something is written to its standard input.

python -m tests.journal.holder BASE_URL TOKEN JOURNAL RUN_ID
"""

import asyncio
import sys

from amili_arm_async import ArmClient

from ..support.sandbox_runs import invoices, quick


async def main(base_url: str, token: str, journal: str, run_id: str) -> None:
    async def source():
        yield invoices(1)[0]
        print("running", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        for record in invoices(3, start=1):
            yield record

    async with ArmClient(2218, auth=token, base_url=base_url) as arm:
        report = await arm.documents.create_many(source(), options=quick(journal=journal, run_id=run_id, max_records=1))
    print(report.summary(), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
