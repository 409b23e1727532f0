"""Frames of Spark on two executors: what arrives at the server, what the report says, what is refused."""

from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal
from typing import Any

from amili_arm_async import BulkOptions
from amili_arm_async.spark import FrameReport, read_report, send_frame

from ..proof.control import Tenant
from ..support.ledger import content_hash
from .connecting import Connecting

PARTS = 4
RUN_ID = "2026-11-20"


def quick(**more: Any) -> BulkOptions:
    return BulkOptions(**{"max_records": 20, "poll_first": 0.02, "poll_max": 0.1, "patience": 30.0, "deadline": 60.0, **more})


def documents(spark: Any, count: int, number: str = "D%05d") -> Any:
    from pyspark.sql import functions

    return spark.range(count).select(
        functions.format_string(number, "id").alias("documentNo"),
        functions.lit("IN").alias("documentType"),
        functions.lit("1").alias("customerNo"),
        functions.lit("NOK").alias("currency"),
        (functions.col("id") + 1).cast("decimal(12,2)").alias("currencyAmounts.inclVat"),
    )


def content(number: str, total: int, lines: list[dict[str, Any]]) -> str:
    """What the server makes of a document of `documents` with these lines."""
    record = {"documentNo": number, "documentType": "IN", "customerNo": "1", "currency": "NOK", "currencyAmounts": {"inclVat": total}}
    return content_hash({**record, "documentLines": lines})


def send(frame: Any, tenant: Tenant, database: str, **more: Any) -> FrameReport:
    settings = {"run_id": RUN_ID, "parts": PARTS, "client": Connecting.to(tenant), "options": quick(), **more}
    return send_frame(frame, journal=database, **settings)


def taken(tenant: Tenant) -> Counter[str | None]:
    """How often the server took each document."""
    return Counter(line.key for line in tenant.truth(peek=True).lines)


def total(report: FrameReport, state: str = "succeeded") -> Decimal:
    money = report.to_schema().parts[-1].money
    assert money is not None
    assert money.adds_up
    return sum((Decimal(one.states[state].total or 0) for one in money.currencies if state in one.states), Decimal(0))


def test_each_document_is_sent_once_and_the_report_is_that_of_one_process(spark: Any, tenant: Tenant, database: str) -> None:
    from pyspark.sql import functions

    # Its lines are an array of structs.
    line = functions.struct(functions.lit("Fee").alias("articleName"), functions.col("`currencyAmounts.inclVat`").alias("price"))
    frame = documents(spark, 500).withColumn("documentLines", functions.array(line, line)).repartition(3)
    report = send(frame, tenant, database)
    assert report.ok
    assert report.summary() == "500 succeeded"
    assert report.done == tuple(range(PARTS))
    assert taken(tenant) == dict.fromkeys((f"D{number:05}" for number in range(500)), 1)
    lines = [{"articleName": "Fee", "price": 8}] * 2
    assert {one.content for one in tenant.truth(peek=True).lines if one.key == "D00007"} == {content("D00007", 8, lines)}
    assert total(report) == sum(range(1, 501))
    assert json.loads(json.dumps(report.to_dict()))["ok"]
    assert "500" in report.to_html()
    again = send(frame, tenant, database)
    assert again.counts == {"succeeded": 500}
    assert total(again) == sum(range(1, 501))
    assert len(tenant.truth(peek=True).lines) == 500
    assert read_report(run_id=RUN_ID, journal=database, client=Connecting.to(tenant)).counts == {"succeeded": 500}
