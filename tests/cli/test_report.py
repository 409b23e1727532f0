"""`amili-arm report`: from a document in JSON to the page and the table."""

from __future__ import annotations

import json

import pytest

from ..support import report_samples as samples

pytestmark = pytest.mark.quick


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "report.json"
    path.write_text(json.dumps(samples.troubled()))
    return path


def test_the_page_and_the_table(call, file, tmp_path) -> None:
    page, table = tmp_path / "out.html", tmp_path / "out.csv"
    result = call("report", file, "--html", page, "--csv", table)
    assert result.exit_code == 0
    assert "did not succeed." in page.read_text()
    rows = table.read_bytes().decode("utf-8-sig").splitlines()
    assert rows[0] == "part;index;line;key;state;reason;meaning;remedy;message"
    assert any(row.startswith("customers;4000;100;543211;rejected;400;the server refuses") for row in rows)
    assert "the report names 22 of 1,212 failures; all are in failures.csv" in result.stderr


def test_commas_where_they_are_asked_for(call, file, tmp_path) -> None:
    assert call("report", file, "--csv", tmp_path / "out.csv", "--comma").exit_code == 0
    assert (tmp_path / "out.csv").read_bytes().startswith(b"part,index,")


def test_nothing_to_make_is_wrong_use(call, file) -> None:
    result = call("report", file)
    assert result.exit_code == 2
    assert "give --html FILE" in result.stderr


@pytest.mark.parametrize(("text", "said"), [("{}", "has no format"), ("{", "not a report"), (None, "can't be read")])
def test_what_is_no_report_is_told(call, tmp_path, text, said) -> None:
    path = tmp_path / "report.json"
    if text is not None:
        path.write_text(text)
    result = call("report", path, "--html", tmp_path / "out.html")
    assert result.exit_code == 2
    assert said in result.stderr
    assert not (tmp_path / "out.html").exists()


def test_a_place_that_cannot_be_written_is_told(call, file, tmp_path) -> None:
    result = call("report", file, "--html", tmp_path / "nowhere" / "out.html")
    assert result.exit_code == 1
    assert "can't be written: No such file" in result.stderr
