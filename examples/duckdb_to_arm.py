"""Sends what changed among the customers of a query of DuckDB over files: the relation goes into `sync` as it is.

Needs DuckDB and the extra `arrow`: pip install duckdb "amili-arm-async[arrow]"

    AMILI_ARM_CLIENT_NO=2218 AMILI_ARM_BASE_URL=... AMILI_ARM_TOKEN=... python examples/duckdb_to_arm.py 'export/*.csv' customers.state
"""

from __future__ import annotations

import asyncio
import sys

import duckdb

from amili_arm_async import ArmClient

# A name with a dot is a field of a group. `all_varchar`: DuckDB would guess types, a boolean for NO among them.
QUERY = """
    SELECT Kundenr AS "customerNo", Navn AS "name", Poststed AS "postalAddress.cityName", Postnr AS "postalAddress.postalCode",
        Frist::INTEGER AS "dueDays", replace(Kredittgrense, ',', '.')::DECIMAL(12, 2) AS "limitAmount"
    FROM read_csv(?, all_varchar = true)
    ORDER BY Kundenr
"""


async def main(files: str, state: str) -> int:
    """Sends what changed since the last time; gives the exit code."""
    with duckdb.connect() as connection:
        customers = connection.sql(QUERY, params=[files])
        async with ArmClient.from_env() as arm:
            report = await arm.customers.sync(customers, state=state)
    print(report.summary())
    for failure in report.bulk.failures():
        print(f"customer {failure.key}: {failure.state} ({failure.reason})", file=sys.stderr)
    return 0 if report.bulk.ok else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main(*sys.argv[1:])))
