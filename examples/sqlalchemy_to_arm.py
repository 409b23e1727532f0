"""Sends customers from any database that SQLAlchemy knows, in constant memory: the result is streamed, some rows at a time.

Needs SQLAlchemy 2 and the driver of the database, which the library does not: pip install "sqlalchemy>=2.0"

    AMILI_ARM_CLIENT_NO=2218 AMILI_ARM_BASE_URL=... AMILI_ARM_TOKEN=... python examples/sqlalchemy_to_arm.py "postgresql+psycopg:///billing"
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from typing import Any

import sqlalchemy

from amili_arm_async import ArmClient

# A name with a dot is a field of a group.
QUERY = sqlalchemy.text("""
    SELECT customer_no AS "customerNo", name, city AS "postalAddress.cityName", postal_code AS "postalAddress.postalCode",
        credit_limit AS "limitAmount"
    FROM customers ORDER BY customer_no
""").columns(limitAmount=sqlalchemy.Numeric(12, 2))

ROWS = 1000
"""Rows that come from the server together; no more than these are in memory."""


async def customers(url: str) -> AsyncIterator[dict[str, Any]]:
    """The customers of the table, each as the API names its fields."""
    engine = sqlalchemy.create_engine(url)
    try:
        with engine.connect() as connection:
            # Without `yield_per`, many drivers fetch the whole result first.
            result = connection.execution_options(yield_per=ROWS).execute(QUERY)
            # In a thread: a driver that waits for its server would hold up everything that is on its way to Amili.
            partitions = result.mappings().partitions()
            while rows := await asyncio.to_thread(next, partitions, None):
                for row in rows:
                    yield customer(row)
    finally:
        engine.dispose()


def customer(row: Mapping[Any, Any]) -> dict[str, Any]:
    """A row as a customer. A NULL is left out: so it keeps what Amili has."""
    found: dict[str, Any] = {}
    for name, value in row.items():
        group, _, field = str(name).rpartition(".")
        if value is not None:
            (found.setdefault(group, {}) if group else found)[field] = value
    return found


async def main(url: str) -> int:
    """Sends them all; gives the exit code."""
    async with ArmClient.from_env() as arm:
        report = await arm.customers.create_many(customers(url))
    print(report.summary())
    for failure in report.failures():
        print(f"customer {failure.key}: {failure.state} ({failure.reason})", file=sys.stderr)
    return 0 if report.ok else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1])))
