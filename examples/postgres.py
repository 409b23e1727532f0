"""Sends customers from a PostgreSQL table in constant memory: a cursor on the server, rows as they come, into `create_many`.

Needs psycopg 3, which the library does not: pip install "psycopg[binary]>=3.2"

    AMILI_ARM_CLIENT_NO=2218 AMILI_ARM_BASE_URL=... AMILI_ARM_TOKEN=... python examples/postgres.py "host=/run/postgresql dbname=billing"
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Any

import psycopg
from psycopg.rows import dict_row

from amili_arm_async import ArmClient

QUERY = """
    SELECT customer_no AS "customerNo", name, email, city, postal_code, credit_limit AS "limitAmount"
    FROM customers ORDER BY customer_no
"""

ROWS = 1000
"""Rows that come from the server together; no more than these are in memory."""


async def customers(conninfo: str) -> AsyncIterator[dict[str, Any]]:
    """The customers of the table, each as the API names its fields. A NULL is left out: so it keeps what Amili has."""
    # A cursor with a name lives on the server; one without would fetch the whole table first.
    async with (
        await psycopg.AsyncConnection.connect(conninfo) as connection,
        connection.cursor("customers", row_factory=dict_row) as cursor,
    ):
        cursor.itersize = ROWS
        await cursor.execute(QUERY)
        async for row in cursor:
            email, city, postal_code = row.pop("email"), row.pop("city"), row.pop("postal_code")
            customer = {name: value for name, value in row.items() if value is not None}
            if email is not None:
                customer["emailAddressDocument"] = [email]
            if city is not None or postal_code is not None:
                # The address changes as a group: what is not sent of it is blank afterwards.
                customer["postalAddress"] = {"cityName": city or "", "postalCode": postal_code or ""}
            yield customer


async def main(conninfo: str) -> int:
    """Sends them all; gives the exit code."""
    async with ArmClient.from_env() as arm:
        report = await arm.customers.create_many(customers(conninfo))
    print(report.summary())
    for failure in report.failures():
        print(f"customer {failure.key}: {failure.state} ({failure.reason})", file=sys.stderr)
    return 0 if report.ok else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1])))
