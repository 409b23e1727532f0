"""Sends customers from a PostgreSQL table as columns, by ADBC: the quickest way out of PostgreSQL, in constant memory.

Needs ADBC and the extra `arrow`: pip install adbc-driver-postgresql "amili-arm-async[arrow]"

    AMILI_ARM_CLIENT_NO=2218 AMILI_ARM_BASE_URL=... AMILI_ARM_TOKEN=... python examples/adbc_to_arm.py "postgresql:///billing?host=/run/postgresql"
"""

from __future__ import annotations

import asyncio
import sys

from adbc_driver_postgresql import dbapi

from amili_arm_async import ArmClient

# A name with a dot is a field of a group.
QUERY = """
    SELECT customer_no AS "customerNo", name, city AS "postalAddress.cityName", postal_code AS "postalAddress.postalCode",
        CASE WHEN email IS NOT NULL THEN ARRAY[email] END AS "emailAddressDocument", credit_limit AS "limitAmount"
    FROM customers ORDER BY customer_no
"""

BATCH_BYTES = 1_000_000
"""Bytes that come from the server together, about."""


async def main(uri: str) -> int:
    """Sends them all; gives the exit code."""
    with dbapi.connect(uri) as connection, connection.cursor() as cursor:
        cursor.adbc_statement.set_options(**{"adbc.postgresql.batch_size_hint_bytes": str(BATCH_BYTES)})
        cursor.execute(QUERY)
        async with ArmClient.from_env() as arm:
            report = await arm.customers.create_many(cursor.fetch_record_batch())
    print(report.summary())
    for failure in report.failures():
        print(f"customer {failure.key}: {failure.state} ({failure.reason})", file=sys.stderr)
    return 0 if report.ok else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1])))
