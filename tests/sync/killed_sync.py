"""The program that is killed, or has no room on the disk: one sync. Arguments: base_url, token, state, first and end of the customers,
their name, bytes that a file may have, and the step of the state at which it kills itself: a number, `kept` for the end of the first
look-up that was begun after something was kept, or 0 for none."""

import asyncio
import os
import resource
import signal
import sys

from amili_arm_async import ArmClient, ArmError, BulkOptions, Limits
from amili_arm_async.sync.state import SyncState


def kill_at_step(left: int) -> None:
    """Ends the process on the way into a step of the state, or on the way out of it."""

    def step() -> None:
        nonlocal left
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

    def killing(method):
        if asyncio.iscoroutinefunction(method):

            async def waiting(*arguments, **named):
                step()
                result = await method(*arguments, **named)
                step()
                return result

            return waiting

        def plain(*arguments):
            step()
            method(*arguments)
            step()

        return plain

    for name in ("find", "invalidate", "save", "close"):
        setattr(SyncState, name, killing(getattr(SyncState, name)))


def kill_once_kept() -> None:
    """Ends the process once something that was kept is in the file: what is looked up later is answered later."""
    find, keep, is_kept = SyncState.find, SyncState.save, False

    async def finding(*arguments):
        is_later = is_kept
        found = await find(*arguments)
        if is_later:
            os.kill(os.getpid(), signal.SIGKILL)
        return found

    def keeping(*arguments):
        nonlocal is_kept
        keep(*arguments)
        is_kept = True

    SyncState.find, SyncState.save = finding, keeping


async def main(base_url: str, token: str, state: str, first: int, end: int, name: str) -> None:
    source = ({"customerNo": str(number), "name": name} for number in range(first, end))
    options = BulkOptions(max_records=100, poll_first=0.01, poll_max=0.05)
    async with ArmClient(2218, auth=token, base_url=base_url, limits=Limits(open_batches=20)) as arm:
        report = await arm.customers.sync(source, state=state, options=options)
    print(report.new, report.changed, report.unchanged, report.failed)


if __name__ == "__main__":
    base_url, token, state, first, end, name, size, kill = sys.argv[1:]
    if int(size):
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(size), resource.RLIM_INFINITY))
    if kill == "kept":
        kill_once_kept()
    else:
        kill_at_step(int(kill))
    try:
        asyncio.run(main(base_url, token, state, int(first), int(end), name))
    except ArmError as exc:
        print(type(exc).__name__, exc, exc.__cause__)
        sys.exit(1)
