"""`--limit`: a rehearsal with the first records of each file."""

from __future__ import annotations

import json

import pytest


@pytest.fixture
def served(serve):
    return serve(require_customers=False)


@pytest.fixture
def files(tmp_path):
    """Customers, and documents with their lines in rows and in a file of their own."""
    customers = tmp_path / "customers.csv"
    customers.write_text("customerNo,name\n" + "".join(f"{number},Kari\n" for number in range(20)))
    documents = tmp_path / "documents.csv"
    rows = (f"{number},IN,{number},{line},10.00\n" for number in range(20) for line in range(3))
    documents.write_text("documentNo,documentType,customerNo,documentLines.lineNo,documentLines.price\n" + "".join(rows))
    heads = tmp_path / "heads.csv"
    heads.write_text("documentNo,documentType,customerNo\n" + "".join(f"H{number},IN,{number}\n" for number in range(20)))
    lines = tmp_path / "lines.csv"
    lines.write_text("documentNo,documentLines.price\n" + "".join(f"H{number},{line}.00\n" for line in (1, 2) for number in range(20)))
    return tmp_path


def report_of(result):
    return json.loads(result.stdout)


def sent(served, kind):
    return served.ask(lambda sandbox: [getattr(sandbox, kind).get(record.key) for record in getattr(sandbox, kind)])


def test_push_takes_the_first_documents_with_all_their_lines(call, served, files):
    run = ["push", "documents", files / "documents.csv", "--journal", files / "journal", "--run-id", "night", "--json"]
    result = call(*run, "--limit", 4, env=served.env)
    told = report_of(result)
    assert (result.exit_code, told["ok"], told["limited_to"], told["source_exhausted"]) == (0, True, 4, False)
    assert [len(document["documentLines"]) for document in sent(served, "documents")] == [3] * 4

    rest = report_of(call(*run, env=served.env))
    assert (rest["counts"]["done_before"], rest["counts"]["succeeded"], rest["limited_to"]) == (4, 16, None)
    assert len(sent(served, "documents")) == 20


def test_the_lines_of_another_file(call, served, files):
    call("push", "documents", files / "heads.csv", "--lines", files / "lines.csv", "--no-journal", "--limit", 2, env=served.env)
    documents = sent(served, "documents")
    assert [(document["documentNo"], len(document["documentLines"])) for document in documents] == [("H0", 2), ("H1", 2)]


def test_it_is_said(call, served, files):
    result = call("push", "customers", files / "customers.csv", "--limit", 5, env=served.env)
    assert "amili-arm: limited to the first 5 records: nothing beyond them was read" in result.stderr
    assert "not read" not in result.stderr.replace("nothing beyond them was read", "")


def test_sync_tells_nobody_as_gone(call, served, files):
    run = ["sync", files / "customers.csv", "--state", files / "state", "--json"]
    call(*run, env=served.env)
    told = report_of(call(*run, "--limit", 5, env=served.env))
    assert (told["sync"]["gone"], told["counts"]["unchanged"], told["ok"]) == (None, 5, True)
    refused = call(*run, "--limit", 5, "--forget-gone", env=served.env)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "--forget-gone needs all customers" in refused.stderr


def test_nightly_limits_both_files(call, served, files):
    result = call(
        *("nightly", "--customers", files / "customers.csv", "--documents", files / "documents.csv", "--no-journal", "--json"),
        *("--html", files / "night.html", "--limit", 3),
        env=served.env,
    )
    told = report_of(result)
    assert (result.exit_code, told["ok"], told["source_exhausted"]) == (0, True, False)
    assert [(part["read"], part["limited_to"]) for part in told["parts"]] == [(3, 3), (3, 3)]
    page = (files / "night.html").read_text()
    assert page.count("Limited to the first 3 records: nothing beyond was read.") == 2
    assert "Not every record was read" not in page


@pytest.mark.parametrize("limit", ["0", "-3", "many"])
def test_a_limit_that_is_no_number(call, served, files, limit):
    assert call("push", "customers", files / "customers.csv", "--limit", limit, env=served.env).exit_code == 2
