"""This library: Structs through `create_many`."""

import msgspec

from amili_arm_async import Customer

from ..bulk_send import with_library
from .rounds import RECORDS, serve


async def send(address: str, made: list[Customer]) -> None:
    """Sends the customers."""
    await with_library(address, "customers", made, RECORDS)


if __name__ == "__main__":
    serve((), lambda record: msgspec.convert(record, Customer), send)
