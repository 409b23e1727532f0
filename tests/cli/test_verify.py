"""`amili-arm verify`: what the service has, compared with a file."""

from __future__ import annotations

import json
import signal
from types import SimpleNamespace

import pytest

from amili_arm_async.sandbox import Fault

from .conftest import WAIT, wait_until


def document(number, **more):
    lines = [{"lineNo": 1, "price": 10, "quantity": 2}, {"lineNo": 2, "price": 5.5, "quantity": 1}]
    return {"documentNo": str(number), "documentType": "IN", "customerNo": "1", "documentLines": lines, **more}


@pytest.fixture
def served(serve):
    return serve(require_customers=False)


@pytest.fixture
def file(tmp_path):
    def write(*records):
        path = tmp_path / "records.jsonl"
        path.write_text("".join(f"{one if isinstance(one, str) else json.dumps(one)}\n" for one in records))
        return path

    return write


@pytest.fixture
def verify(call, served):
    def run(kind, path, *arguments):
        result = call("verify", kind, path, "--json", *arguments, env={**served.env, "AMILI_ARM_RETRY_ATTEMPTS": "1"})
        told = json.loads(result.stdout)
        assert told["ok"] is (result.exit_code == 0)
        return SimpleNamespace(code=result.exit_code, stderr=result.stderr, **told)

    return run


def seed(served, *documents):
    served.ask(lambda sandbox: sandbox.documents.seed(documents))


def methods(served):
    return served.ask(lambda sandbox: {seen.method for seen in sandbox.recent if "/identity" not in seen.path})


def test_what_is_there_is_the_same(verify, served, file):
    seed(served, *map(document, range(30)))
    told = verify("documents", file(*map(document, range(30))))
    assert (told.code, told.read, told.counts["same"]) == (0, 30, 30)
    assert methods(served) == {"GET"}


def test_fields_that_differ_are_named_and_their_values_are_not(verify, served, file):
    other = document(2, kid="123456785")
    other["documentLines"][1]["price"] = 7.25
    seed(served, document(1), other, document(3))
    changed = document(2, kid="987654321")
    told = verify("documents", file(document(1), changed, document(4)))
    assert (told.code, told.counts) == (1, {"same": 1, "differs": 1, "missing": 1, "not_compared": 0})
    assert told.fields == {"documentLines[].price": 1, "kid": 1}
    assert [(one["line"], one["key"], one["verdict"], one["fields"]) for one in told.first] == [
        (2, "2", "differs", ["documentLines[1].price", "kid"]),
        (3, "4", "missing", []),
    ]
    assert "line 2, key 2: differs: documentLines[1].price, kid" in told.stderr
    assert "987654321" not in told.stderr
    assert "123456785" not in told.stderr
    assert "7.25" not in told.stderr


def test_what_the_service_added_and_how_it_writes_numbers_do_not_count(verify, served, file):
    seed(served, document(1, balance=100, customerNo="KARI"))
    lines = '"documentLines": [{"price": 10.00}, {"price": 5.50}]'
    told = verify("documents", file(f'{{"documentNo": "1", "documentType": "in", "customerNo": "kari", "kid": "", {lines}}}'))
    assert told.counts["same"] == 1


def test_what_can_not_be_compared(verify, served, file):
    without = {name: value for name, value in document(1).items() if name != "documentNo"}
    told = verify("documents", file(without, "[]", "{broken"))
    assert (told.code, told.counts["not_compared"]) == (1, 3)
    assert told.reasons == {"no_number": 1, "invalid": 2}
    assert "line 1: not_compared (no_number) it has no number to look up" in told.stderr
    assert "line 2: not_compared (invalid) a list of JSON" in told.stderr
    assert [one["message"] is None for one in told.first] == [True, False, False]
    assert told.stderr.splitlines()[-1] == "amili-arm: of 3 records, 3 could not be compared"


@pytest.mark.parametrize("status", [400, 429, 500, 503])
def test_a_look_up_that_fails_is_never_missing(verify, served, file, status):
    served.ask(lambda sandbox: sandbox.inject(Fault.status(status), path="*/documents/*", times=None))
    told = verify("documents", file(document(1), document(2)))
    assert told.counts == {"same": 0, "differs": 0, "missing": 0, "not_compared": 2}
    assert told.reasons == {str(status): 2}


def test_a_web_page_is_never_missing(verify, served, file):
    page = Fault.status(404, body=b"<html>not here</html>")
    served.ask(lambda sandbox: sandbox.inject(page, path="*/documents/*", times=None))
    assert verify("documents", file(document(1))).reasons == {"not_found_uncertain": 1}


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_ends_it(verify, served, file, status):
    served.ask(lambda sandbox: sandbox.inject(Fault.status(status), path="*/documents/*", times=None))
    told = verify("documents", file(*map(document, range(500))))
    assert (told.code, told.counts["missing"]) == (1, 0)
    assert str(status) in told.stderr
    assert served.ask(lambda sandbox: sandbox.requests.total()) < 50


def test_a_sample_is_drawn_again_with_its_seed(verify, served, file):
    seed(served, *map(document, range(0, 100, 2)))
    path = file(*map(document, range(100)))
    first = verify("documents", path, "--sample", 20)
    assert (first.read, first.compared, first.sample) == (100, 20, 20)
    again = verify("documents", path, "--sample", 20, "--seed", first.seed)
    assert (again.counts, again.first) == (first.counts, first.first)
    others = [verify("documents", path, "--sample", 20, "--seed", number).first for number in range(3)]
    assert others[0] != others[1] != others[2]
    whole = verify("documents", path, "--sample", 500)
    assert whole.compared == 100


def test_that_none_is_found_is_said(verify, served, file):
    assert "none of them was found" in verify("documents", file(document(1), document(2))).stderr
    seed(served, document(1))
    assert "none of them was found" not in verify("documents", file(document(1), document(2))).stderr


def test_the_seed_is_told(call, served, file):
    result = call("verify", "documents", file(document(1)), "--sample", "1", env=served.env)
    assert "--sample 1 --seed " in result.stderr


def test_a_seed_is_of_a_sample(call, served, file):
    assert call("verify", "documents", file(document(1)), "--seed", "1", env=served.env).exit_code == 2


def test_customers(verify, served, file):
    served.ask(lambda sandbox: sandbox.customers.seed([{"customerNo": "1", "name": "Kari"}, {"customerNo": "2", "name": "Ola"}]))
    told = verify("customers", file({"customerNo": "1", "name": "Kari"}, {"customerNo": "2", "name": "Per"}, {"customerNo": "3"}))
    assert told.counts == {"same": 1, "differs": 1, "missing": 1, "not_compared": 0}
    assert told.fields == {"name": 1}


def test_a_table_of_many_lines(verify, served, tmp_path):
    path = tmp_path / "documents.csv"
    path.write_text("documentNo,documentType,customerNo,documentLines.price\n7,IN,1,10\n7,IN,1,5.50\n")
    seed(served, document(7))
    assert verify("documents", path).counts["same"] == 1


def test_ctrl_c_gives_the_report_so_far(start, served, file):
    seed(served, *map(document, range(20)))
    served.ask(lambda sandbox: sandbox.inject(Fault.hang_before(), path="*/documents/15", times=None))
    process = start("verify", "documents", file(*map(document, range(20))), "--json", "--concurrency", "1", env=served.env)
    wait_until(served, lambda sandbox: sandbox.in_flight and sum("/documents/" in seen.path for seen in sandbox.recent) >= 15)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=WAIT)
    told = json.loads(out)
    assert (process.returncode, told["ok"], told["counts"]["same"]) == (130, False, 15)
    assert b"interrupted" in err
