"""`amili-arm demo` in this process: what it says, and that it would say so if something were wrong."""

from __future__ import annotations

import json

import msgspec
import pytest

from amili_arm_async import sandbox
from amili_arm_async.cli import demo as module
from amili_arm_async.cli import generate
from amili_arm_async.models.customers import CustomerRecord
from amili_arm_async.sandbox import Sandbox


def said(result):
    assert result.stdout.count("\n") == 1
    return json.loads(result.stdout)


def test_everything_arrives(call):
    result = call("demo", "--customers", 1500, "--documents", 300, "--json")
    assert result.exit_code == 0
    assert result.stderr == ""
    told = said(result)
    assert told["customers"]["succeeded"] == sum(told["customers"].values()) == 1500
    assert told["documents"]["succeeded"] == sum(told["documents"].values()) == 300
    assert told["list"] == {"sent": 1500, "listed": 1500, "capped": False, "picked": 0, "wrong": 0, "elapsed": told["list"]["elapsed"]}
    assert told["documents_not_taken_once"] == 0
    assert told["batches"] == told["requests"] == 3
    assert told["ok"] is True
    assert told["elapsed"] > 0
    assert told["records_per_second"] > 0


def test_a_table_for_a_person(call):
    result = call("demo", "--customers", 20, "--documents", 30)
    assert result.exit_code == 0
    for words in ("succeeded", "records/s", "read back 20 of 20", "each was accepted once"):
        assert words in result.stdout
    assert result.stderr == ""


def test_documents_may_be_left_out(call):
    result = call("demo", "--customers", 5, "--documents", 0, "--json")
    assert (result.exit_code, said(result)["ok"]) == (0, True)


@pytest.mark.parametrize("arguments", [["--customers", "0"], ["--documents", "-1"], ["--customers", "many"], ["--what"]])
def test_wrong_use(call, arguments):
    assert call("demo", *arguments).exit_code == 2


@pytest.mark.parametrize("count", [30, 31])
def test_the_cap_of_the_list_is_said(call, monkeypatch, count):
    monkeypatch.setattr(module, "_CAP", 30)
    monkeypatch.setattr(module, "_PICKED", 10)
    monkeypatch.setattr(sandbox, "Sandbox", lambda: Sandbox(list_cap=30))
    result = call("demo", "--customers", count, "--documents", 1)
    assert result.exit_code == 0
    beyond = "read back 30 of 31 (the API's limit), and 10 read by number with get_many; all as sent"
    assert (beyond if count == 31 else "read back 30 of 30; all as sent") in result.stdout


def test_a_record_that_fails_is_not_ok(call, monkeypatch):
    class Rejecting(Sandbox):
        async def start(self):
            await super().start()
            self.reject_record("80000003")

    monkeypatch.setattr(sandbox, "Sandbox", Rejecting)
    result = call("demo", "--customers", 10, "--documents", 10, "--json")
    assert result.exit_code == 1
    told = said(result)
    assert (told["documents"]["failed"], told["ok"]) == (1, False)


def test_a_document_that_is_taken_twice_is_not_ok(call, monkeypatch):
    class Doubling(Sandbox):
        async def start(self):
            await super().start()
            self._ledger().store.count("documents", module.CLIENT_NO, ["80000001"], taken=True)

    monkeypatch.setattr(sandbox, "Sandbox", Doubling)
    result = call("demo", "--customers", 10, "--documents", 10, "--json")
    assert (result.exit_code, said(result)["documents_not_taken_once"]) == (1, 1)


def test_customers_that_come_back_changed_are_not_ok(call, monkeypatch):
    plain = generate.customer

    def other(seed, place):
        made = plain(seed, place)
        made.due_days = 99 if place == 3 else made.due_days
        return made

    monkeypatch.setattr(generate, "customers", lambda seed, count: (other(seed, place) for place in range(count)))
    result = call("demo", "--customers", 10, "--documents", 1, "--json")
    assert (result.exit_code, said(result)["list"]["wrong"]) == (1, 1)


def test_a_list_that_is_too_short_is_not_ok(call, monkeypatch):
    class Short(Sandbox):
        def __init__(self):
            super().__init__(list_cap=7)

    monkeypatch.setattr(sandbox, "Sandbox", Short)
    monkeypatch.setattr(module, "_CAP", 10)
    result = call("demo", "--customers", 10, "--documents", 1, "--json")
    assert (result.exit_code, said(result)["list"]["wrong"]) == (1, 3)


def test_as_sent_means_all_that_was_sent():
    sent = msgspec.to_builtins(generate.customer(1, 4))
    number = sent["customerNo"]

    def read(changes):
        return module.is_as_sent(1, number, msgspec.convert({**sent, **changes}, CustomerRecord))

    assert read({})
    assert read({"ssn": "1", "postalAddress": {**sent["postalAddress"], "addressLine2": "c/o"}})
    assert not read({"name": "Another"})
    assert not read({"name": None})
    assert not read({"postalAddress": {**sent["postalAddress"], "cityName": "Elsewhere"}})
    assert not read({"distribution": None})
    assert not module.is_as_sent(1, "no number", msgspec.convert(sent, CustomerRecord))
    assert not module.is_as_sent(2, number, msgspec.convert(sent, CustomerRecord))
