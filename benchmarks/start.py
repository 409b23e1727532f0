"""How long does it take from the start of a process until the first answer is there, beside aiohttp and msgspec by hand? One customer is
asked for; the time is that on the wall, over http and over TLS, and includes the start of the interpreter.
"""

import subprocess
import sys
import time

from .measure import ROUNDS, Row, medians, ratio
from .sink import serve
from .table import show

LIBRARY = """
import asyncio, ssl, sys
from amili_arm_async import ArmClient

async def main(address, certificate=None):
    trust = ssl.create_default_context(cafile=certificate) if certificate else None
    async with ArmClient(2218, auth="token", base_url=address, ssl=trust) as arm:
        assert (await arm.customers.get("500000")).customer_no == "500000"

asyncio.run(main(*sys.argv[1:]))
"""

BY_HAND = """
import asyncio, ssl, sys
import aiohttp, msgspec

class Address(msgspec.Struct, rename="camel"):
    address_line_1: str | None = None
    postal_code: str | None = None
    city_name: str | None = None

class Customer(msgspec.Struct, rename="camel"):
    customer_no: str
    name: str | None = None
    postal_address: Address | None = None
    phone_no: str | None = None
    balance_total: float | None = None

async def main(address, certificate=None):
    trust = ssl.create_default_context(cafile=certificate) if certificate else True
    headers = {"Authorization": "Bearer token"}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust)) as session:
        async with session.get(f"{address}/clients/2218/customers/500000", headers=headers) as answer:
            answer.raise_for_status()
            assert msgspec.json.decode(await answer.read(), type=Customer).customer_no == "500000"

asyncio.run(main(*sys.argv[1:]))
"""


def _milliseconds(program: str, *arguments: str) -> float:
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", program, *arguments], check=True)
    return 1000 * (time.perf_counter() - begin)


def measure(*, quick: bool = False) -> list[Row]:
    """A row for http, and one for TLS."""
    rows: list[Row] = []
    for tls in (False, True):
        with serve(tls=tls) as served:
            to = (served.address, str(served.certificate)) if tls else (served.address,)
            runs = {
                "library": lambda: _milliseconds(LIBRARY, *to),  # noqa: B023 - run at once
                "by hand": lambda: _milliseconds(BY_HAND, *to),  # noqa: B023
            }
            taken = medians(runs, 3 if quick else ROUNDS)
        question = f"from the start of the process to the first answer, {'TLS' if tls else 'http'}, wall, beside aiohttp + msgspec by hand"
        rows.append(ratio(question, taken["library"], taken["by hand"], "ms"))
    return rows


if __name__ == "__main__":
    show(measure())
