"""Report documents made by hand: a night with all kinds of trouble, a quiet one, an empty one."""

from __future__ import annotations

import json
from typing import Any

from amili_arm_async.bulk.outcomes import STATES
from amili_arm_async.nightly.clients_report import ClientResult, ClientsReport, clients_report
from amili_arm_async.nightly.report import ReportSchema, read_report

HOSTILE = [
    "<script>fetch('http://example.invalid/x')</script>",
    '"><img src=http://example.invalid/i.png onerror="document.title=1">',
    "</style></code><h1 id=injected>owned</h1>",
    "&lt;already&gt; & 'quoted' `ticks`",
    "\u202egnp.exe\u0000\u0007",
    "x" * 300,
]


def counts(**some: int) -> dict[str, int]:
    return {**dict.fromkeys(STATES, 0), **some}


def amount(count: int, total: str | None) -> dict[str, Any]:
    return {"count": count, "total": total}


def buckets(number: int, each: int = 900) -> list[dict[str, Any]]:
    made = []
    for place in range(number):
        settled = 0 if place == 0 else each + (place * 37) % 211 - (600 if 20 <= place < 25 else 0)
        latency = None if place in {21, 22} else [80 + (place * 13) % 40, 210 + (place * 29) % 160 + (900 if place == 25 else 0)]
        made.append({"settled": settled, "failed": 40 if place % 17 == 5 else 0, "accepted": settled, "latency_ms": latency})
    return made


def part(name: str = "customers", read: int = 0, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "operation": f"{name}.create_batch",
        "read": read,
        "counts": counts(succeeded=read),
        "results_awaited": True,
        "batches": 0,
        "requests": 0,
        "bytes_sent": 0,
        "elapsed": 0.0,
        "sync": None,
        "money": None,
        "reasons": [],
        "timeline": {"seconds": 1.0, "buckets": []},
        "failures_file": None,
        "source_exhausted": True,
        "not_read": 0,
        "expectation": None,
        "shortfall": None,
        **more,
    }


def document(*parts: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "format": "amili-arm report 1",
        "started": "2026-11-21T01:00:03.25+00:00",
        "ended": "2026-11-21T01:07:45+00:00",
        "elapsed": 461.75,
        "client_no": 2218,
        "base_url": "https://arm.example.no/v1",
        "run_id": "2026-11-21",
        "ok": True,
        "error": None,
        "parts": list(parts),
        "source_exhausted": True,
        "not_begun": [],
        **more,
    }


def reason(state: str, code: str, count: int, keys: list[str | None], line: int | None = 100) -> dict[str, Any]:
    examples = [{"index": 4000 + at, "line": line + at if line is not None else None, "key": key} for at, key in enumerate(keys)]
    return {"state": state, "reason": code, "count": count, "examples": examples}


def troubled() -> dict[str, Any]:
    """300,000 customers of which 1 % changed, 100,000 invoices, and some of everything that can go wrong."""
    customers = part(
        "customers",
        300_000,
        counts=counts(succeeded=2984, unchanged=297_000, rejected=9, invalid=5, failed=2),
        batches=3,
        requests=31,
        bytes_sent=2_345_678,
        elapsed=41.2,
        sync={"new": 410, "changed": 2590, "unchanged": 297_000, "failed": 16, "gone": 37},
        timeline={"seconds": 1.0, "buckets": buckets(42, 7000)},
        reasons=[
            reason("rejected", "400", 9, ["543211", "543298", "551002"]),
            reason("invalid", "not_encodable", 5, [*HOSTILE[:2], "600001", None, "600003"]),
            reason("failed", "FAILED", 2, ["700001", "700002"], None),
        ],
        failures_file="failures.csv",
    )
    states = {
        "succeeded": amount(97_990, "122487500.50"),
        "failed": amount(120, "150000.00"),
        "unknown": amount(1000, "1250000.25"),
        "blocked": amount(16, "19999.990"),
        "done_before": amount(0, None),
    }
    documents = part(
        "documents",
        100_000,
        counts=counts(succeeded=98_804, failed=120, unknown=1000, blocked=16, accepted=60),
        batches=101,
        requests=388,
        bytes_sent=131_072_000,
        elapsed=420.55,
        money={
            "currencies": [
                {"currency": "NOK", "read": amount(99_126, "123907500.740"), "states": states},
                {
                    "currency": "EUR",
                    "read": amount(874, "-4312.125"),
                    "states": {"succeeded": amount(814, "-4400.125"), "accepted": amount(60, "88")},
                },
            ],
            "without_total": 3,
            "without_currency": 0,
            "made_from_lines": 412,
            "adds_up": True,
        },
        timeline={"seconds": 4.25, "buckets": buckets(99, 1010)},
        reasons=[
            reason("unknown", "502", 1000, ["88776655", "88776656", *HOSTILE]),
            reason("failed", "FAILED", 120, ["88770001", "88770002"]),
            reason("accepted", "deadline", 60, ["88779001"]),
            reason("blocked", "customer_failed", 16, ["88775555"]),
        ],
        failures_file="failures.csv",
    )
    at_risk = [
        {"state": "unknown", "currency": "NOK", **amount(1000, "1250000.25")},
        {"state": "failed", "currency": "NOK", **amount(120, "150000.00")},
        {"state": "blocked", "currency": "NOK", **amount(16, "19999.990")},
        {"state": "accepted", "currency": "EUR", **amount(60, "88")},
    ]
    again = "cd '/srv/a r m' && amili-arm nightly --customers customers.csv --documents invoices.csv --journal night.sqlite --run-id 1"
    reconcile = "cd '/srv/a r m' && amili-arm reconcile night.sqlite --run-id 1"
    for one in (customers, documents):
        for group in one["reasons"]:
            is_open = group["state"] in {"unknown", "accepted"}
            group |= {"command": reconcile if is_open else again, "needs_fix": group["state"] in {"failed", "rejected", "invalid"}}
    return document(
        customers,
        documents,
        ok=False,
        money_at_risk=at_risk,
        commands=[
            {"does": "reconcile", "command": reconcile, "settles": "documents whose outcome is not known"},
            {"does": "run again", "command": again, "settles": "all that was not accepted"},
        ],
        files={"customers": "/srv/a r m/customers.csv", "documents": "/srv/a r m/invoices.csv"},
        settle=3960.0,
    )


def quiet() -> dict[str, Any]:
    """Everything succeeded."""
    sums = {"currency": "NOK", "read": amount(2000, "1000000.00"), "states": {"succeeded": amount(2000, "1000000.00")}}
    money = {"currencies": [sums], "without_total": 0, "without_currency": 0, "made_from_lines": 0, "adds_up": True}
    timeline = {"seconds": 1.0, "buckets": buckets(12)}
    return document(part("customers", 1000, timeline=timeline), part("documents", 2000, money=money, elapsed=3.5, timeline=timeline))


def read(value: dict[str, Any]) -> ReportSchema:
    return read_report(json.dumps(value).encode())


def of_clients() -> ClientsReport:
    """Five client numbers, each of which ended in another way."""
    bad, good = read(troubled()), read(quiet())
    clients = [
        ClientResult(2217, ok=True, exit_code=0, report=good),
        ClientResult(2218, ok=False, exit_code=1, report=bad),
        ClientResult(2219, ok=False, exit_code=2, error="there is no file /srv/export/2219/customers.csv"),
        ClientResult(2220, ok=False, exit_code=143, error="interrupted", report=bad),
        ClientResult(2221, ok=False, exit_code=None),
    ]
    return clients_report(clients, started=bad.started, ended=bad.ended, elapsed=bad.elapsed, files={})
