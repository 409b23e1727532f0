"""Sends invoices with their lines from any database that SQLAlchemy knows, as columns: names and types of your own, in constant memory.

Needs SQLAlchemy, the driver of the database, and the extra `arrow`: pip install "sqlalchemy>=2.0" "amili-arm-async[arrow]"

    export AMILI_ARM_CLIENT_NO=2218 AMILI_ARM_BASE_URL=... AMILI_ARM_TOKEN=...
    python examples/sqlalchemy_documents.py "postgresql+psycopg:///billing" nightly.sqlite 2026-11-20
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa
from sqlalchemy import Date, Numeric, create_engine, text

from amili_arm_async import ArmClient, BulkOptions, BulkReport, open_records

QUERY = text("""
    SELECT f.fakturanr, f.kundenr, f.dato, f.forfall, f.netto, f.mva, f.brutto, l.linjenr, l.tekst, l.antall, l.pris
    FROM fakturaer f JOIN linjer l ON l.fakturanr = f.fakturanr
    ORDER BY f.fakturanr, l.linjenr
""").columns(
    # The same types of Python from every database.
    dato=Date, forfall=Date, netto=Numeric(14, 2), mva=Numeric(14, 2), brutto=Numeric(14, 2), antall=Numeric(14, 3), pris=Numeric(14, 2)
)  # fmt: skip
"""One row for each line. The lines of an invoice stand together, so the result is read once, from its beginning to its end."""

MONEY = pa.decimal128(14, 2)

SCHEMA = pa.schema(
    {
        "fakturanr": pa.string(),
        "kundenr": pa.string(),
        "dato": pa.date32(),
        "forfall": pa.date32(),
        "netto": MONEY,
        "mva": MONEY,
        "brutto": MONEY,
        "linjenr": pa.int64(),
        "tekst": pa.string(),
        "antall": pa.decimal128(14, 3),
        "pris": MONEY,
    }
)
"""The types of the columns. A value of another type raises, rather than being converted."""

COLUMNS = {
    "fakturanr": "documentNo",
    "kundenr": "customerNo",
    "dato": "documentDate",
    "forfall": "dueDate",
    "netto": "currencyAmounts.exclVat",
    "mva": "currencyAmounts.vat",
    "brutto": "currencyAmounts.inclVat",
    "linjenr": "documentLines.lineNo",
    "tekst": "documentLines.lineText",
    "antall": "documentLines.quantity",
    "pris": "documentLines.price",
}
"""Which field of the API each column is."""

CONSTANTS = {"documentType": "IN", "currency": "NOK"}

ROWS = 1000
"""Rows that come from the database together."""


@contextmanager
def invoice_lines(url: str) -> Iterator[Iterator[pa.RecordBatch]]:
    """The rows of the query as they come, in batches, which the run reads in a thread."""
    engine = create_engine(url)
    try:
        # Without `yield_per`, many drivers fetch the whole result first.
        with engine.connect().execution_options(yield_per=ROWS) as connection:
            parts = connection.execute(QUERY).mappings().partitions()
            yield (pa.RecordBatch.from_pylist(part, SCHEMA) for part in parts)
    finally:
        engine.dispose()


async def send(arm: ArmClient, url: str, options: BulkOptions) -> BulkReport:
    """Sends the invoices; a refused one is named, and the others go on."""
    with invoice_lines(url) as rows:
        return await arm.documents.create_many(open_records(rows, "documents", columns=COLUMNS, constants=CONSTANTS), options=options)


async def main(url: str, journal: str, run_id: str) -> int:
    """Sends them all; called again with the same journal and run id, it sends what is missing. Gives the exit code."""
    async with ArmClient.from_env() as arm:
        report = await send(arm, url, BulkOptions(journal=journal, run_id=run_id))
    print(report.summary())
    for failure in report.failures():
        print(f"invoice {failure.key or '-'}: {failure.state}: {failure.message}", file=sys.stderr)
    return 0 if report.ok else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main(*sys.argv[1:4])))
