"""What the snippets of the documentation find when they run: a sandbox, a client, records and files."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import amili_arm_async
from amili_arm_async import ArmClient
from amili_arm_async.sandbox import Sandbox

CUSTOMERS = [{"customerNo": str(number), "name": f"Customer {number}"} for number in range(543210, 543220)]
DOCUMENTS = [
    {
        "documentNo": str(88776655 + place),
        "documentType": "IN",
        "customerNo": customer["customerNo"],
        "currency": "NOK",
        "currencyAmounts": {"exclVat": 100, "vat": 25, "inclVat": 125},
    }
    for place, customer in enumerate(CUSTOMERS)
]


def variables(sandbox: Sandbox) -> dict[str, str]:
    """The settings of the environment for a sandbox."""
    return {
        "AMILI_ARM_BASE_URL": sandbox.base_url,
        "AMILI_ARM_CLIENT_NO": "2218",
        "AMILI_ARM_IDENTITY_URL": sandbox.identity_url,
        "AMILI_ARM_CLIENT_ID": sandbox.client_id,
        "AMILI_ARM_CLIENT_SECRET": sandbox.client_secret,
    }


def write_files(folder: Path) -> None:
    """The files that the pages name."""
    lines = {"customers": CUSTOMERS, "invoices": DOCUMENTS}
    for name, records in lines.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
    rows = [f"{record['customerNo']};{record['name']};Oslo\n" for record in CUSTOMERS]
    (folder / "customers.csv").write_text("customerNo;name;postalAddress.cityName\n" + "".join(rows), "utf-8")
    rows = [f"{record['documentNo']};IN;{record['customerNo']};NOK;125,00\n" for record in DOCUMENTS]
    (folder / "invoices.csv").write_text("documentNo;documentType;customerNo;currency;currencyAmounts.inclVat\n" + "".join(rows), "utf-8")
    rows = [f"{record['customerNo']};{record['name']};Oslo\n" for record in CUSTOMERS]
    (folder / "kunder.csv").write_text("Kundenr;Navn;Poststed\n" + "".join(rows), "utf-8")
    rows = [f"{record['documentNo']};{record['customerNo']};125,00\n" for record in DOCUMENTS]
    (folder / "fakturaer.csv").write_text("Fakturanr;Kundenr;Sum inkl. mva\n" + "".join(rows), "utf-8")
    (folder / "a.pdf").write_bytes(b"%PDF-1.4\n")
    (folder / "run-id").write_text("2026-11-20\n")


@asynccontextmanager
async def stage() -> AsyncIterator[dict[str, Any]]:
    """A sandbox with customers in it, a client, and the names that the pages use without making them."""
    async with Sandbox(process_delay=0.0) as sandbox:
        found: dict[str, Any] = {name: getattr(amili_arm_async, name) for name in amili_arm_async.__all__}
        auth = found["ClientCredentials"](
            client_id=sandbox.client_id, client_secret=sandbox.client_secret, identity_url=sandbox.identity_url
        )
        async with ArmClient(2218, auth=auth, base_url=sandbox.base_url) as arm:
            report = await arm.customers.create_many(CUSTOMERS)
            report.raise_for_failures()
            found |= {"arm": arm, "auth": auth, "sandbox": sandbox}
            found |= {"customers": CUSTOMERS, "documents": DOCUMENTS, "numbers": [record["customerNo"] for record in CUSTOMERS]}
            yield found
