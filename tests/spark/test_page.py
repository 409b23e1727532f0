"""What docs/spark.md shows works: its Python, in its order, with the settings of the client from the environment of the executors."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import amili_arm_async.spark
from amili_arm_async.spark import send_frame, send_stream

from ..docs.pages import ROOT, Snippet, snippets
from ..proof.control import Tenant
from ..support.postgres import Server
from .conftest import environment_of
from .test_frames import content, documents, quick, taken

PAGE = ROOT / "docs/spark.md"
URL = "postgresql://sender@db.example/billing"


class Page:
    """The blocks of the page, one after the other.

    Attributes:
        names: what they have made, and what they find.
    """

    def __init__(self, replaced: dict[str, str], names: dict[str, Any]) -> None:
        self.names = names
        self._replaced = replaced
        self._left: Iterator[Snippet] = snippets(PAGE, "python")

    def run(self, has: str, **names: Any) -> Any:
        """Runs the next block, which has this text, with further names; returns what it calls its report."""
        snippet = next(self._left)
        assert has in snippet.text
        text = snippet.padded()
        for old, new in self._replaced.items():
            text = text.replace(old, new)
        self.names |= names
        exec(compile(text, PAGE.name, "exec"), self.names)
        return self.names.get("report")

    def assert_at_end(self) -> None:
        """Every block was run."""
        assert list(self._left) == []


def make_tables(spark: Any) -> None:
    """The tables of the page."""
    from pyspark.sql import functions

    spark.sql("CREATE DATABASE billing")
    every = spark.range(40).select(functions.format_string("S%03d", "id").alias("invoice_no"), functions.col("id"))
    invoices = every.select("invoice_no", functions.lit("1").alias("customer"), functions.col("id").alias("total"))
    invoices.withColumn("issued", functions.current_date()).write.saveAsTable("billing.invoices")
    lines = every.where("id < 6").withColumn("invoice_no", functions.concat(functions.lit("L"), functions.col("id") % 3))
    lines.select("invoice_no", functions.format_string("line %d", "id").alias("text"), "id").drop("id").write.saveAsTable(
        "billing.invoice_lines"
    )


@pytest.fixture
def page(spark: Any, page_tenant: Tenant, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Page]:
    how = {"parts": 3, "options": quick()}
    monkeypatch.setattr(amili_arm_async.spark, "send_frame", partial(send_frame, **how))
    monkeypatch.setattr(amili_arm_async.spark, "send_stream", partial(send_stream, **how))
    for name, value in environment_of(page_tenant).items():
        monkeypatch.setenv(name, value)
    replaced = {URL: database, "/checkpoints/invoices": str(tmp_path / "checkpoint"), "https://arm.example": page_tenant.base_url}
    yield Page(replaced | {"2218": str(page_tenant.client)}, {"spark": spark, "journal": database})
    spark.sql("DROP DATABASE IF EXISTS billing CASCADE")


def test_the_python_of_the_page(page: Page, spark: Any, page_tenant: Tenant, postgres: Server, tmp_path: Path, capsys: Any) -> None:
    from pyspark.sql import functions

    make_tables(spark)
    assert page.run("billing.invoices").counts == {"succeeded": 40}
    assert capsys.readouterr().out == "40 succeeded True\n"

    # Documents L0 to L2 have two lines each, and L3 has none.
    report = page.run("lines=", invoices=documents(spark, 4, "L%d"))
    assert report.counts == {"succeeded": 3, "invalid": 1}
    assert [(failure.key, failure.reason) for failure in report.failures()] == [("L3", "no_lines")]
    joined = content("L1", 2, [{"lineText": "line 1"}, {"lineText": "line 4"}])
    assert [one.content for one in page_tenant.truth(peek=True).lines if one.key == "L1"] == [joined]

    # Of four customers, one can't be sent.
    postgres.execute("DROP SCHEMA amili_arm CASCADE")
    due = [(str(number), "x" if number == 3 else "14") for number in range(4)]
    customers = spark.createDataFrame(due, "customerNo string, dueDays string")
    invoices = documents(spark, 8, "C%d").withColumn("customerNo", functions.translate("documentNo", "4567C", "0123"))
    report = page.run('"customers"', customers=customers, invoices=invoices)
    assert report.summary() == "customers: 3 succeeded, 1 invalid; documents: 6 succeeded, 2 blocked"

    folder = tmp_path / "stream"
    documents(spark, 20, "T%02d").repartition(2).write.json(str(folder))
    stream = spark.readStream.schema(documents(spark, 1).schema).option("maxFilesPerTrigger", 1).json(str(folder))
    page.run("foreachBatch", stream=stream, columns={})
    page.names["query"].processAllAvailable()
    page.names["query"].stop()
    page.run("read_report(")
    assert capsys.readouterr().out == "20 succeeded\n"

    page.run("executorEnv")
    assert page.names["spark"] is spark
    report = page.run("partial(ArmClient.from_env, settings)", secrets={"amili-token": "a-token"})
    assert report.counts == {"succeeded": 6, "blocked": 2}
    page.run("report.failures()")
    assert sorted((row.number, row.state) for row in page.names["failed"].collect()) == [("C3", "blocked"), ("C7", "blocked")]
    page.assert_at_end()
    assert set(taken(page_tenant).values()) == {1}
