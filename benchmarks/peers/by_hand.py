"""The loop by hand of `benchmarks.bulk_send`: aiohttp and msgspec, with the Structs of this library."""

import msgspec

from amili_arm_async import Customer

from ..by_hand import by_hand
from .rounds import RECORDS, serve


async def send(address: str, made: list[Customer]) -> None:
    """Sends the customers."""
    await by_hand(address, "customers", made, RECORDS)


if __name__ == "__main__":
    serve((), lambda record: msgspec.convert(record, Customer), send)
