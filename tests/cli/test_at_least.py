"""`--at-least`: an export that is empty or broke off ends with 1, says how much there was, and forgets nobody."""

from __future__ import annotations

import json

import pytest


@pytest.fixture
def customers(tmp_path):
    def write(*numbers):
        path = tmp_path / "customers.jsonl"
        path.write_text("".join(f'{{"customerNo":"{number}","name":"x"}}\n' for number in numbers))
        return path

    return write


@pytest.fixture
def documents(tmp_path):
    def write(*numbers):
        path = tmp_path / "documents.jsonl"
        path.write_text("".join(f'{{"documentNo":"D{number}","customerNo":"{number}","documentType":"IN"}}\n' for number in numbers))
        return path

    return write


@pytest.fixture
def run(call, served):
    return lambda *arguments: call(*arguments, env=served.env)


@pytest.mark.parametrize("left", [[], [1], [1, 2, 3, 4]])
def test_a_sync_of_less_than_half_forgets_nobody(run, customers, tmp_path, left):
    state = tmp_path / "state.sqlite"
    assert run("sync", customers(*range(10)), "--state", state).exit_code == 0
    result = run("sync", customers(*left), "--state", state, "--forget-gone", "--json")
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    assert (told["ok"], told["forgotten"], told["sync"]["gone"]) == (False, 0, 10 - len(left))
    assert told["expectation"] == {"at_least": "50%", "expected": 5, "found": len(left)}
    assert told["shortfall"] in result.stderr
    assert f"of the 10 customers in the state {len(left)}" in result.stderr
    assert "--at-least 0" in result.stderr
    # In words, too.
    assert f"of the 10 customers in the state {len(left)}" in run("sync", customers(*left), "--state", state).stderr
    # Where it is meant.
    result = run("sync", customers(*left), "--state", state, "--forget-gone", "--at-least", "0", "--json")
    assert (result.exit_code, json.loads(result.stdout)["forgotten"]) == (0, 10 - len(left))


@pytest.mark.parametrize(("at_least", "code"), [("9", 1), ("8", 0), ("90%", 1), ("80%", 0), ("0.9", 1), ("100%", 1), ("0%", 0)])
def test_how_much_a_sync_expects(run, customers, tmp_path, at_least, code):
    state = tmp_path / "state.sqlite"
    assert run("sync", customers(*range(10)), "--state", state).exit_code == 0
    assert run("sync", customers(*range(8)), "--state", state, "--at-least", at_least).exit_code == code


def test_the_first_sync_of_an_empty_file_is_well(run, customers, tmp_path):
    assert run("sync", customers(), "--state", tmp_path / "state.sqlite").exit_code == 0


@pytest.mark.parametrize("kind", ["customers", "documents"])
def test_push(run, customers, documents, served, kind):
    path = customers(1, 2) if kind == "customers" else documents(1, 2)
    if kind == "documents":
        served.ask(lambda sandbox: sandbox.customers.seed({"customerNo": str(number), "name": "x"} for number in range(3)))
    more = ["--no-journal"] if kind == "documents" else []
    result = run("push", kind, path, "--at-least", "3", "--json", *more)
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    assert (told["ok"], told["counts"]["succeeded"]) == (False, 2)
    assert "the source holds 2 records, and at least 3 are expected" in told["shortfall"]
    assert told["shortfall"] in result.stderr
    assert run("push", "customers", customers(1, 2), "--at-least", "2").exit_code == 0
    assert run("push", "customers", customers()).exit_code == 0


@pytest.mark.parametrize("wrong", ["50%", "-1", "many", "1.5"])
def test_wrong_use(run, customers, served, wrong):
    result = run("push", "customers", customers(1), "--at-least", wrong)
    assert result.exit_code == 2
    assert "--at-least" in result.stderr
    assert served.ask(lambda sandbox: len(sandbox.customers)) == 0


@pytest.mark.parametrize("wrong", [["--at-least-customers", "50%"], ["--at-least-documents", "50%"], ["--at-least-customers", "x"]])
def test_wrong_use_of_a_night(run, customers, wrong):
    assert run("nightly", "--customers", customers(1), *wrong).exit_code == 2


def test_a_night(run, customers, documents, tmp_path):
    state, report, page = (tmp_path / name for name in ("state.sqlite", "r.json", "r.html"))
    night = ["nightly", "--state", state, "--report", report, "--html", page, "--no-journal", "--json"]
    assert run(*night, "--customers", customers(*range(10)), "--documents", documents(1)).exit_code == 0
    result = run(*night, "--customers", customers(1), "--documents", documents(2), "--at-least-documents", "2")
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    assert told["ok"] is False
    assert json.loads(report.read_text())["ok"] is False
    for part, words in (("customers", "of the 10 customers in the state 1"), ("documents", "the source holds 1 record, and at least 2")):
        assert f"{part}: the source holds 1 record" in result.stderr
        (found,) = [one for one in told["parts"] if one["name"] == part]
        assert words in found["shortfall"]
        assert words in page.read_text()
    assert "Every record succeeded, but customers and documents are fewer than expected." in page.read_text()
    again = tmp_path / "again.html"
    assert run("report", report, "--html", again).exit_code == 0
    assert "fewer than expected" in again.read_text()
    fewer = run(*night, "--customers", customers(1), "--at-least", "0")
    assert fewer.exit_code == 0


def test_the_settings_file_says_it_for_each_night(run, customers, tmp_path):
    file, state = tmp_path / "amili-arm.toml", tmp_path / "state.sqlite"
    file.write_text('[nightly]\nat_least_customers = "90%"\nat_least_documents = 1\n[sync]\nat_least = 9\n')
    assert run("nightly", "--config", file, "--state", state, "--customers", customers(*range(10))).exit_code == 0
    assert run("nightly", "--config", file, "--state", state, "--customers", customers(*range(8))).exit_code == 1
    assert run("sync", customers(*range(8)), "--config", file, "--state", state).exit_code == 1
    assert run("sync", customers(*range(9)), "--config", file, "--state", state).exit_code == 0
    file.write_text("[sync]\nat_least = 1.5\n")
    result = run("sync", customers(1), "--config", file, "--state", state)
    assert result.exit_code == 2
    assert "at_least" in result.stderr
