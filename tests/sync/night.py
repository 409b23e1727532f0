"""The program that is killed, or has no room on the disk: one sync. Arguments: base_url, token, state, first and end of the customers,
their name, bytes that a file may have, and the lookup at which it kills itself; 0 for none."""

import asyncio
import os
import resource
import signal
import sys

from amili_arm_async import ArmClient, ArmError, BulkOptions
from amili_arm_async.bulk.delta_state import DeltaState


async def main(base_url: str, token: str, state: str, first: int, end: int, name: str, kill: int) -> None:
    left = kill

    def killing(method):
        """Ends the process on the way into a step of the state, or on the way out of it."""

        def step() -> None:
            nonlocal left
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)

        if asyncio.iscoroutinefunction(method):

            async def waiting(*arguments):
                step()
                result = await method(*arguments)
                step()
                return result

            return waiting

        def plain(*arguments):
            step()
            method(*arguments)
            step()

        return plain

    for step in ("find", "doubt", "keep", "close"):
        setattr(DeltaState, step, killing(getattr(DeltaState, step)))
    source = ({"customerNo": str(number), "name": name} for number in range(first, end))
    options = BulkOptions(max_records=100, poll_first=0.01, poll_max=0.05)
    async with ArmClient(2218, auth=token, base_url=base_url) as arm:
        report = await arm.customers.sync(source, state=state, options=options)
    print(report.new, report.changed, report.unchanged, report.failed)


if __name__ == "__main__":
    base_url, token, state, first, end, name, size, kill = sys.argv[1:]
    if int(size):
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(size), resource.RLIM_INFINITY))
    try:
        asyncio.run(main(base_url, token, state, int(first), int(end), name, int(kill)))
    except ArmError as failure:
        print(type(failure).__name__, failure, failure.__cause__)
        sys.exit(1)
