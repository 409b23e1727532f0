"""`amili-arm replay`: what is sent, what is only looked up, what is left in the file, and replays that are killed."""

from __future__ import annotations

import json
import random
import signal
import stat

import pytest

from amili_arm_async.sandbox import Fault

from .conftest import WAIT, wait_for, wait_until

BATCHES = "documents/batches"


def document(number=None, **more):
    return {"documentType": "IN", "customerNo": "1", **({"documentNo": str(number)} if number is not None else {}), **more}


def customer(number, **more):
    return {"customerNo": str(number), "name": "Kari", **more}


class Letters:
    """A dead letter file, and the commands that write it and replay it."""

    def __init__(self, served, call, path):
        self.served = served
        self.path = path
        self.own_journal = path.with_name("failed.jsonl.journal")
        self.journal = path.with_name("nightly.sqlite")
        self._call = call
        served.ask(lambda sandbox: sandbox.customers.seed([customer(1)]))

    def fail(self, fault, *, times=1, skip=0, path=BATCHES):
        self.served.ask(lambda sandbox: sandbox.inject(fault, path=path, times=times, skip=skip))

    def push(self, *records, kind="documents", run_id=None, more=()):
        source = self.path.with_name("source.jsonl")
        source.write_bytes(b"".join(json.dumps(record).encode() + b"\n" for record in records))
        kept = ["--journal", self.journal, "--run-id", run_id] if run_id is not None else ["--no-journal"]
        return self._call("push", kind, source, "--dead-letter", self.path, *kept, *more, env=self.served.env)

    def one_by_one(self, *records, **more):
        return self.push(*records, **more, more=["--max-records", 1, "--concurrency", 1])

    def replay(self, *more):
        result = self._call("replay", self.path, "--json", *more, env=self.served.env)
        self.told = json.loads(result.stdout)
        self.stderr = result.stderr
        return result.exit_code

    @property
    def lines(self):
        return [json.loads(line) for line in self.path.read_bytes().splitlines()]

    @property
    def states(self):
        return [(line["key"], line["state"], line["reason"]) for line in self.lines]

    def edit(self, change):
        lines = self.lines
        for line in lines:
            change(line)
        self.path.write_bytes(b"".join(json.dumps(line).encode() + b"\n" for line in lines))

    def taken(self, *records):
        return [self.served.ask(lambda sandbox, record=record: sandbox.documents.taken(record)) for record in records]

    def delivered(self, *records):
        return [self.served.ask(lambda sandbox, record=record: sandbox.documents.delivered(record)) for record in records]


def letters_of(request, served, call, tmp_path):
    """For a fixture with the parameters `file` and `postgresql`: with a journal in a file, or in a database."""
    found = Letters(served, call, tmp_path / "failed.jsonl")
    if request.param == "postgresql":
        found.journal = request.getfixturevalue("database")
    return found


@pytest.fixture
def letters(served, call, tmp_path):
    return Letters(served, call, tmp_path / "failed.jsonl")


with_or_without = pytest.mark.parametrize("run_id", ["one", None])
"""With a journal of the run, and with the replay's own."""


# --- what was not taken ---------------------------------------------------------------------------------------------------


@with_or_without
def test_what_was_refused_is_sent_again(letters, run_id):
    letters.fail(Fault.status(400))
    assert letters.push(document(1), document(2), document(), run_id=run_id).exit_code == 1
    assert letters.replay("--quiet") == 0
    assert letters.told == {"lines": 3, "succeeded": 3, "left": {}, "gone": 0, "broken": 0, "refused": 0, "ok": True}
    assert (letters.path.read_bytes(), letters.stderr) == (b"", "")
    assert stat.S_IMODE(letters.path.stat().st_mode) == 0o600
    assert letters.taken("1", "2", document()) == [1, 1, 1]
    # And that is all.
    assert letters.replay() == 0
    assert letters.delivered("1", "2", document()) == [2, 2, 2]
    assert letters.own_journal.exists() is (run_id is None)


@with_or_without
def test_what_was_never_sent_is_sent(letters, run_id):
    letters.fail(Fault.status(429), times=None)
    records = [document(1), document(2), document(), document()]
    letters.push(*records, run_id=run_id, more=["--patience", 0, "--max-records", 1, "--concurrency", 1])
    assert {state for _, state, _ in letters.states} == {"not_sent"}
    letters.served.ask(lambda sandbox: sandbox.clear_faults())
    assert letters.replay() == 0
    assert letters.taken("1", "2") == [1, 1]
    assert letters.taken(document())[0] == letters.told["succeeded"] - 2 >= 1


@with_or_without
def test_what_fails_again_stays_with_its_new_state(letters, run_id):
    letters.fail(Fault.status(400))
    letters.push(document(1), document(2), run_id=run_id)
    letters.served.ask(lambda sandbox: sandbox.reject_record("1", "no such district"))
    assert letters.replay() == 1
    assert letters.told["left"] == {"failed": 1}
    (line,) = letters.lines
    assert (line["key"], line["state"], line["reason"], line["message"]) == ("1", "failed", "PROCESSED/FAILED", "no such district")
    assert (line["attempts"], bool(line["batch_uuid"]), line["payload"]) == (2, True, document(1))
    assert line["journal"] == str(letters.journal if run_id else letters.own_journal)
    assert "line 1, key 1: failed (PROCESSED/FAILED)" in letters.stderr
    assert "district" not in letters.stderr
    letters.replay("--server-messages")
    assert "no such district" in letters.stderr


def test_a_mended_line_is_sent_as_it_was_mended(letters):
    letters.push(document(1), {"documentType": "", "customerNo": "1", "documentNo": "2"}, run_id="one")
    assert letters.states == [("2", "failed", "PROCESSED/FAILED")]
    letters.edit(lambda line: line["payload"].update(documentType="IN"))
    assert letters.replay() == 0
    assert letters.served.ask(lambda sandbox: sandbox.documents.get("2"))["documentType"] == "IN"


@pytest.mark.parametrize("operation", [[], ["--update"]])
@with_or_without
def test_customers(letters, operation, run_id):
    path = "customers/batches"
    letters.served.ask(lambda sandbox: sandbox.customers.seed(map(customer, range(2, 5))))
    letters.fail(Fault.status(400), path=path)
    letters.push(*(customer(n, phoneNo="22") for n in range(2, 5)), kind="customers", run_id=run_id, more=[*operation, "--bisect", "off"])
    assert len(letters.lines) == 3
    assert letters.replay() == 0
    assert letters.served.ask(lambda sandbox: [sandbox.customers.get(str(n))["phoneNo"] for n in range(2, 5)]) == ["22"] * 3
    requests = letters.served.ask(lambda sandbox: dict(sandbox.requests))
    assert requests["PUT /clients/{clientno}/customers/batches" if operation else "POST /clients/{clientno}/customers/batches"] == 2


def test_customers_go_before_their_documents(letters):
    letters.fail(Fault.status(400))
    letters.push(document(1, customerNo="7"))
    letters.fail(Fault.status(400), path="customers/batches")
    letters.push(customer(7), kind="customers", more=["--bisect", "off"])
    assert [line["operation"] for line in letters.lines] == ["documents.create_batch", "customers.create_batch"]
    assert letters.replay() == 0
    assert letters.taken("1") == [1]


@pytest.mark.parametrize("run_ids", [("one", "two"), (None, None)])
def test_an_update_does_not_come_after_a_newer_create(letters, run_ids):
    letters.fail(Fault.status(400), path="customers/batches", times=2)
    letters.push(customer(1, phoneNo="old"), kind="customers", run_id=run_ids[0], more=["--update"])
    letters.push(customer(1, phoneNo="new"), kind="customers", run_id=run_ids[1])
    assert [line["payload"]["phoneNo"] for line in letters.lines] == ["old", "new"]
    assert letters.replay() == 0
    assert letters.served.ask(lambda sandbox: sandbox.customers.get("1"))["phoneNo"] == "new"


def test_a_customer_that_was_overtaken_stays(letters):
    letters.fail(Fault.status(400), path="customers/batches")
    letters.one_by_one(customer(2, phoneNo="old"), customer(2, phoneNo="new"), kind="customers", run_id="one")
    assert [line["payload"]["phoneNo"] for line in letters.lines] == ["old"]
    assert letters.replay() == 1
    assert letters.states == [("2", "rejected", "overtaken")]


def name_of(letters, number):
    return letters.served.ask(lambda sandbox: sandbox.customers.get(number))["name"]


def test_without_a_journal_a_customer_that_was_overtaken_stays(letters):
    letters.fail(Fault.status(400), path="customers/batches", times=2)
    letters.one_by_one(customer(2, name="old"), customer(3), customer(2, name="new"), kind="customers")
    assert [(line["key"], line.get("overtaken")) for line in letters.lines] == [("2", True), ("3", None)]
    assert letters.replay() == 1
    assert name_of(letters, "2") == "new"
    assert letters.states == [("2", "rejected", "400")]
    assert "a later record of this customer was taken" in letters.stderr


@pytest.mark.parametrize("run_ids", [("monday", "tuesday"), (None, None), ("monday", None), (None, "tuesday")])
def test_a_customer_that_a_later_run_sent_stays(letters, run_ids):
    letters.fail(Fault.status(400), path="customers/batches")
    letters.push(customer(1, name="old"), kind="customers", run_id=run_ids[0])
    letters.push(customer(1, name="new"), kind="customers", run_id=run_ids[1], more=["--update"])
    assert [line["overtaken"] for line in letters.lines] == [True]
    assert letters.replay() == 1
    assert letters.replay() == 1
    assert name_of(letters, "1") == "new"


def test_a_run_that_goes_on_has_sent_nothing_later_than_the_lines_of_another(letters):
    letters.push(customer(2, name="old"), kind="customers", run_id="monday")
    letters.fail(Fault.status(400), path="customers/batches")
    letters.push(customer(2, name="new"), kind="customers", run_id="tuesday")
    letters.push(customer(2, name="old"), customer(3), kind="customers", run_id="monday")
    assert [line.get("overtaken") for line in letters.lines] == [None]
    assert letters.replay() == 0
    assert name_of(letters, "2") == "new"


def test_an_older_line_stays_once_a_later_one_was_replayed(letters):
    letters.fail(Fault.status(400), path="customers/batches", times=3)
    letters.push(customer(2, name="old"), kind="customers", run_id="monday")
    letters.push(customer(2, name="new"), kind="customers", run_id="tuesday")
    assert letters.replay() == 1
    assert [(line["payload"]["name"], line.get("overtaken")) for line in letters.lines] == [("old", True)]
    assert letters.replay() == 1
    assert name_of(letters, "2") == "new"


def test_an_older_line_is_not_sent_where_a_later_one_has_its_result(letters):
    letters.fail(Fault.status(400), path="customers/batches")
    letters.push(customer(2, name="old"), kind="customers")
    letters.served.ask(lambda sandbox: sandbox.hold_processing())
    letters.push(customer(2, name="new"), kind="customers", more=["--deadline", 0.01])
    letters.served.ask(lambda sandbox: sandbox.release_processing())
    # As earlier versions wrote it.
    letters.edit(lambda line: line.pop("overtaken", None))
    assert [line["state"] for line in letters.lines] == ["rejected", "accepted"]
    assert letters.replay() == 1
    assert [(line["payload"]["name"], line["overtaken"]) for line in letters.lines] == [("old", True)]
    assert name_of(letters, "2") == "new"


def test_two_records_of_a_customer_are_replayed_in_the_order_of_their_source(letters):
    letters.fail(Fault.status(400), path="customers/batches", times=2)
    letters.fail(Fault.status(400), path="customers/batches", skip=1)
    records = customer(2, phoneNo="old"), customer(3), customer(2, phoneNo="new")
    letters.push(*records, kind="customers", run_id="one", more=["--max-records", "2"])
    assert [line["payload"]["phoneNo"] for line in letters.lines] == ["old", "new"]
    assert letters.replay() == 0
    assert letters.served.ask(lambda sandbox: sandbox.customers.get("2"))["phoneNo"] == "new"


def test_a_customer_that_was_overtaken_after_its_batch_was_split_stays(letters):
    """The parts are written down after the next batch, and sent before it."""
    letters.fail(Fault.status(413), path="customers/batches")
    letters.fail(Fault.status(400), path="customers/batches")
    records = [customer(2, phoneNo="old"), customer(3), customer(2, phoneNo="new"), customer(4)]
    letters.push(*records, kind="customers", run_id="one", more=["--max-records", 2, "--concurrency", 2])
    assert [line["payload"]["phoneNo"] for line in letters.lines] == ["old"]
    assert letters.replay() == 1
    assert letters.states == [("2", "rejected", "overtaken")]
    assert letters.served.ask(lambda sandbox: sandbox.customers.get("2"))["phoneNo"] == "new"


# --- what may have been taken ---------------------------------------------------------------------------------------------


@with_or_without
def test_an_unknown_document_that_is_there_is_found_and_not_sent(letters, run_id):
    letters.fail(Fault.reset_after())
    letters.push(document(1), document(2), run_id=run_id)
    assert [state for _, state, _ in letters.states] == ["unknown", "unknown"]
    assert letters.replay() == 0
    assert letters.path.read_bytes() == b""
    assert letters.delivered("1", "2") == [1, 1]


@with_or_without
def test_an_unknown_document_that_is_not_there_stays_and_is_never_sent(letters, run_id):
    letters.fail(Fault.status(502))
    letters.push(document(1), document(), run_id=run_id)
    for _ in range(2):
        assert letters.replay() == 1
        assert letters.states == [("1", "unknown", "absent"), (None, "unknown", "502")]
    assert letters.delivered("1", document()) == [1, 1]


def test_what_is_absent_is_sent_again_where_that_is_asked_for_and_a_journal_knows_it(letters):
    letters.push(document(0), run_id="one", more=["--deadline", 0.1])
    letters.fail(Fault.status(502))
    letters.push(document(1), run_id="one", more=["--deadline", 0.1])
    too_soon = ["--resend-absent", "--deadline", 0.1, "--settle", 0.05]
    assert letters._call("replay", letters.path, *too_soon, env=letters.served.env).exit_code == 2
    assert letters.replay("--resend-absent", "--deadline", 0.1, "--settle", 0.2) == 0
    assert (letters.taken("1"), letters.delivered("1")) == ([1], [2])


@with_or_without
def test_another_document_with_the_same_number_is_a_conflict(letters, run_id):
    letters.served.ask(lambda sandbox: sandbox.documents.seed([document(1, currency="SEK")]))
    letters.fail(Fault.status(502))
    letters.push(document(1, currency="NOK"), run_id=run_id)
    assert letters.replay() == 1
    assert letters.states == [("1", "unknown", "key_conflict")]


def test_a_look_up_that_is_not_answered(letters):
    letters.fail(Fault.status(502))
    letters.push(document(1))
    letters.fail(Fault.status(400), path="documents/1", times=None)
    assert letters.replay() == 1
    assert letters.states == [("1", "unknown", "not_looked_up")]


@with_or_without
def test_what_was_accepted_is_asked_for(letters, run_id):
    letters.served.ask(lambda sandbox: sandbox.hold_processing())
    letters.served.ask(lambda sandbox: sandbox.reject_record("2", "no"))
    letters.push(document(1), document(2), document(), run_id=run_id, more=["--deadline", 0.01])
    assert {state for _, state, _ in letters.states} == {"accepted"}
    assert letters.replay("--deadline", 0.01) == 1
    assert {(state, reason) for _, state, reason in letters.states} == {("accepted", "deadline")}
    letters.served.ask(lambda sandbox: sandbox.release_processing())
    assert letters.replay() == 1
    # The result names the documents that failed: alone, it says nothing of one without a number.
    unnumbered = [(None, "accepted", "unmapped")] if run_id else []
    assert letters.states == [("2", "failed", "PROCESSED/FAILED"), *unnumbered]
    assert letters.delivered("1", "2", document()) == [1, 1, 1]


def test_a_result_that_is_gone(letters):
    letters.served.ask(lambda sandbox: sandbox.hold_processing())
    letters.push(document(1), more=["--deadline", 0.01])
    letters.edit(lambda line: line.update(batch_uuid="x" * 22))
    assert letters.replay() == 1
    assert letters.states == [("1", "accepted", "result_gone")]


def test_a_number_that_may_have_been_taken_is_not_sent_by_another_line(letters):
    letters.fail(Fault.status(502))
    letters.push(document(1))
    twin = {**letters.lines[0], "state": "not_sent", "reason": "stopped", "payload": document(1, currency="SEK")}
    letters.path.write_bytes(letters.path.read_bytes() + json.dumps(twin).encode() + b"\n")
    assert letters.replay() == 1
    assert letters.delivered("1") == [1]
    assert [state for _, state, _ in letters.states] == ["unknown", "not_sent"]


# --- documents without number ---------------------------------------------------------------------------------------------


def test_equal_documents_of_which_one_failed(letters):
    letters.fail(Fault.status(400), skip=1)
    letters.one_by_one(document(), document(), document(), run_id="one")
    assert letters.taken(document()) == [2]
    # Nothing tells whether the line is one of those that were sent since.
    assert letters.replay() == 1
    assert letters.states == [(None, "rejected", "equal_sent")]
    assert letters.taken(document()) == [2]
    # The run itself knows it.
    assert json.loads(letters.push(document(), document(), document(), run_id="one", more=["--json"]).stdout)["counts"]["done_before"] == 2
    assert letters.taken(document()) == [3]
    assert json.loads(letters.push(document(), document(), document(), run_id="one", more=["--json"]).stdout)["counts"]["done_before"] == 3
    assert letters.taken(document()) == [3]


def test_equal_documents_in_all_states(letters):
    letters.fail(Fault.status(502))
    letters.fail(Fault.status(400))
    letters.one_by_one(document(), document(), document(), run_id="one")
    assert sorted(state for _, state, _ in letters.states) == ["rejected", "unknown"]
    for _ in range(2):
        assert letters.replay() == 1
        assert sorted(letters.states) == [(None, "rejected", "equal_sent"), (None, "unknown", "502")]
    assert letters.taken(document()) == [1]


def test_a_line_that_a_later_push_has_sent_is_not_sent_again(letters):
    letters.fail(Fault.status(400))
    letters.push(document(), document(1), run_id="one")
    old = letters.path.read_bytes()
    assert letters.push(document(), document(1), run_id="one").exit_code == 0
    letters.path.write_bytes(old)
    assert letters.replay() == 1
    assert letters.states == [(None, "rejected", "equal_sent")]
    assert letters.taken(document(), "1") == [1, 1]


@pytest.mark.parametrize("run_id", ["one", None])
def test_a_line_without_a_journal_that_another_push_has_sent_is_not_sent_again(letters, run_id):
    letters.fail(Fault.status(400))
    letters.push(document(7), document())
    letters.push(document("7"), document(8), run_id=run_id)
    assert [(line["key"], line.get("overtaken")) for line in letters.lines] == [("7", True), (None, None)]
    assert letters.replay() == 1
    assert letters.taken("7", document()) == [1, 1]
    assert letters.states == [("7", "rejected", "400")]
    assert "another run has sent, or may have sent, a document with this number" in letters.stderr


def test_a_line_without_a_journal_that_another_push_may_have_sent_is_not_sent_again(letters):
    letters.fail(Fault.status(400))
    letters.push(document(7))
    letters.fail(Fault.reset_after())
    letters.push(document(7))
    assert [(line["state"], line.get("overtaken")) for line in letters.lines] == [("rejected", True), ("unknown", None)]
    letters.replay()
    assert letters.taken("7") == [1]


def test_one_that_had_to_have_a_number(letters):
    letters.push(document(), run_id="one", more=["--require-document-no"])
    assert letters.replay() == 1
    assert letters.states == [(None, "invalid", "no_document_no")]
    letters.edit(lambda line: line.update(payload=document(5)))
    assert letters.replay() == 0
    assert letters.taken("5") == [1]


# --- what stays -----------------------------------------------------------------------------------------------------------


def test_lines_of_others_are_refused(letters):
    letters.fail(Fault.status(400), times=2)
    letters.push(document(1))
    before = letters.path.read_bytes()
    assert letters.replay("--client-no", 7) == 2
    assert "1 line of client number 2218" in letters.stderr
    letters.path.write_bytes(before.replace(b"http://127.0.0.1", b"https://production"))
    before = letters.path.read_bytes()
    assert letters.replay() == 2
    assert "https://production" in letters.stderr
    assert letters.path.read_bytes() == before
    assert letters.delivered("1") == [1]
    # Beside others, they stay.
    letters.push(document(2))
    assert letters.replay() == 1
    assert letters.told["refused"] == 1
    assert letters.path.read_bytes() == before


def test_broken_lines_are_named_and_stay(letters):
    letters.fail(Fault.status(400))
    letters.push(document(1))
    good = letters.path.read_bytes()
    line = letters.lines[0]
    broken = [
        b"not JSON",
        b'{"operation":"documents.create_batch"}',
        json.dumps({**line, "operation": "documents.delete"}).encode(),
        json.dumps({**line, "state": "lost"}).encode(),
        json.dumps({**line, "client_no": "2218"}).encode(),
        b'{"\xff": 1}',
    ]
    letters.path.write_bytes(b"\n".join([broken[0], b"", good.strip(), *broken[1:]]))
    assert letters.replay() == 1
    assert letters.told == {"lines": 7, "succeeded": 1, "left": {}, "gone": 0, "broken": 6, "refused": 0, "ok": False}
    for number in range(1, 7):
        assert f"line {number}: no line of a dead letter" in letters.stderr
    assert letters.path.read_bytes().splitlines() == broken
    assert letters.taken("1") == [1]


def test_what_has_no_payload_to_send_stays(letters):
    source = letters.path.with_name("source.jsonl")
    source.write_bytes(b'{"documentType":\n')
    letters._call("push", "documents", source, "--no-journal", "--dead-letter", letters.path, env=letters.served.env)
    before = letters.path.read_bytes()
    assert letters.states == [(None, "invalid", "encoding")] or letters.lines[0]["state"] == "invalid"
    assert letters.replay() == 1
    assert letters.told["left"] == {"invalid": 1}
    assert letters.path.read_bytes() == before


def test_a_run_that_is_going_on_and_one_that_is_not_there_any_more(letters, start, call):
    letters.fail(Fault.status(400))
    letters.push(document(1), run_id="one")
    letters.fail(Fault.hang_before())
    process = start(
        "push", "documents", letters.path.with_name("source.jsonl"), "--journal", letters.journal, "--run-id", "one", env=letters.served.env
    )
    wait_until(letters.served, lambda sandbox: sandbox.in_flight == 1)
    before = letters.path.read_bytes()
    assert letters.replay() == 1
    assert "1 line left in the file: the run 'one'" in letters.stderr
    process.kill()
    process.wait(WAIT)
    assert call("prune", letters.journal, "--unfinished", "--older-than-days", 0, "--with-failures").exit_code == 0
    assert letters.replay() == 1
    assert "the run 'one' (documents.create_batch) of the journal" in letters.stderr
    assert letters.path.read_bytes() == before
    assert letters.taken("1") == [0]


def test_a_journal_that_is_no_journal(letters):
    letters.fail(Fault.status(400), times=2)
    letters.push(document(1), run_id="one")
    letters.push(document(2))
    letters.journal.write_text("a letter")
    assert letters.replay() == 1
    assert "1 line left in the file: " in letters.stderr
    assert [(line["key"], line["state"]) for line in letters.lines] == [("1", "rejected")]
    assert letters.taken("1", "2") == [0, 1]


def test_a_journal_that_is_gone(letters):
    letters.fail(Fault.status(400))
    letters.one_by_one(document(1), run_id="one")
    letters.fail(Fault.status(502))
    letters.push(document(2), run_id="two")
    for path in letters.path.parent.glob("nightly*"):
        path.unlink()
    assert letters.replay() == 1
    assert letters.states == [("1", "rejected", "400"), ("2", "unknown", "absent")]
    assert (letters.delivered("1"), letters.delivered("2")) == ([1], [1])


def test_a_journal_that_was_replaced_by_a_new_one_sends_nothing_that_may_be_there(letters):
    letters.fail(Fault.status(502))
    letters.one_by_one(document(1), document(), run_id="one")
    letters.fail(Fault.status(502))
    letters.push(document(), run_id="one")
    for path in letters.path.parent.glob("nightly*"):
        path.unlink()
    kept = letters.path.read_bytes()
    letters.one_by_one(document(3), run_id="one")
    letters.path.write_bytes(kept)
    assert letters.replay() == 1
    assert {state for _, state, _ in letters.states} == {"unknown"}
    assert letters.delivered("1") == [1]


def test_a_cut_off_run_is_still_cut_off(letters, call):
    letters.fail(Fault.status(400), times=None)
    letters.push(*map(document, range(4)), run_id="one", more=["--max-records", 1, "--concurrency", 1, "--stop-after-failures", 1])
    letters.served.ask(lambda sandbox: sandbox.clear_faults())
    keys = [line["key"] for line in letters.lines]
    assert letters.replay() == 0
    assert call("prune", letters.journal, "--older-than-days", 0, "--with-failures").stdout == "0 runs removed\n"
    assert letters.taken(*keys) == [1] * len(keys)


def test_a_directory_that_can_not_be_written(letters, monkeypatch):
    from amili_arm_async.bulk.journal.replay import letters as module

    letters.fail(Fault.status(400))
    letters.push(document(1))

    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "AtomicFile", refuse)
    result = letters._call("replay", letters.path, env=letters.served.env)
    assert result.exit_code == 1
    assert "No space left on device" in result.stderr
    assert letters.delivered("1") == [1]


def test_the_table(letters):
    letters.fail(Fault.status(502))
    letters.push(document(1))
    result = letters._call("replay", letters.path, env=letters.served.env)
    assert result.stdout == ""
    for words in ("succeeded", "left: unknown", "lines", "line 1, key 1: unknown (absent)"):
        assert words in result.stderr


# --- replays that are ended -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_lets_the_file_be_right(letters, start, number, code):
    letters.fail(Fault.status(400), times=3)
    letters.one_by_one(*map(document, range(3)))
    letters.fail(Fault.hang_after(), skip=1)
    more = ["--max-records", 1, "--concurrency", 1, "--grace", 0.1, "--json"]
    process = start("replay", letters.path, *more, env=letters.served.env)
    wait_until(letters.served, lambda sandbox: sandbox.documents.total_taken == 2)
    process.send_signal(number)
    assert process.wait(WAIT) == code
    assert json.loads(process.stdout.read())["ok"] is False
    # The first was accepted, the second cut off, the third was not sent.
    assert [state for _, state, _ in letters.states] == ["accepted", "unknown", "not_sent"]
    assert letters.replay() == 0
    assert letters.delivered("0", "1", "2") == [2, 2, 2]


@pytest.mark.proof
@with_or_without
@pytest.mark.parametrize("point", ["before anything is taken", "when it is taken", "before the result"])
def test_a_replay_that_is_killed_sends_nothing_twice(letters, start, run_id, point):
    records = [*map(document, range(3)), document(), document()]
    letters.fail(Fault.status(400), times=4)
    letters.one_by_one(*records, run_id=run_id)
    assert len(letters.lines) == 4
    if point == "before the result":
        letters.served.ask(lambda sandbox: sandbox.hold_processing())
    else:
        letters.fail(Fault.hang_after() if point == "when it is taken" else Fault.hang_before(), skip=1)
    process = start("replay", letters.path, "--max-records", 1, "--concurrency", 1, env=letters.served.env)
    if point == "before the result":
        wait_until(letters.served, lambda sandbox: sandbox.open_batches == (3 if run_id else 4))
    else:
        wait_until(letters.served, lambda sandbox: sandbox.in_flight and sandbox.documents.total_delivered == 5 + 2)
    process.kill()
    process.wait(WAIT)
    letters.served.ask(lambda sandbox: (sandbox.clear_faults(), sandbox.release_processing()))
    for _ in range(2):
        letters.replay()
    assert not letters.served.ask(lambda sandbox: [one.key for one in sandbox.documents.doubles() if not one.key.startswith("content")])
    # What is left is named, and what is gone was taken.
    left = [json.dumps(line["payload"], sort_keys=True) for line in letters.lines]
    for record in records[:3]:
        assert letters.taken(record["documentNo"]) == [1] or json.dumps(record, sort_keys=True) in left
    assert letters.taken(document())[0] + left.count(json.dumps(document(), sort_keys=True)) >= 2
    assert letters.taken(document())[0] <= 2


@pytest.mark.proof
def test_replays_that_are_killed_at_random(letters, start):
    chance = random.Random(5)
    records = [document(n if n % 3 else None, remark="same" if n % 6 == 0 else str(n)) for n in range(120)]
    same = sum(record["remark"] == "same" for record in records)
    letters.fail(Fault.status(400), times=None)
    letters.push(*records, more=["--max-records", 7])
    letters.served.ask(lambda sandbox: sandbox.clear_faults())
    letters.fail(Fault.latency(0.01), times=None)
    assert len(letters.lines) == 120

    def taken_in_all():
        return letters.served.ask(lambda sandbox: sandbox.documents.total_taken)

    for _ in range(3):
        goal = taken_in_all() + chance.randrange(1, 30)
        process = start("replay", letters.path, "--max-records", 3, "--concurrency", 3, env=letters.served.env)
        wait_for(lambda goal=goal, process=process: taken_in_all() >= goal or process.poll() is not None)
        process.kill()
        process.wait(WAIT)
    letters.replay()
    left = [line["payload"]["remark"] for line in letters.lines]
    for record in records:
        if record["remark"] != "same":
            taken, named = letters.taken(record.get("documentNo", record))[0], left.count(record["remark"])
            assert taken <= 1 <= taken + named, record
    taken = letters.taken(document(remark="same"))[0]
    assert taken <= same <= taken + left.count("same")


# --- others who write the file --------------------------------------------------------------------------------------------


def test_lines_that_a_run_writes_meanwhile_are_kept(letters, start, tmp_path):
    letters.fail(Fault.status(400))
    letters.push(document(1))
    letters.fail(Fault.hang_after())
    process = start("replay", letters.path, "--grace", 0.1, env=letters.served.env)
    wait_until(letters.served, lambda sandbox: sandbox.documents.total_taken == 1)
    letters.fail(Fault.status(400))
    letters.push(document(2))
    process.send_signal(signal.SIGTERM)
    assert process.wait(WAIT) == 143
    assert [(key, state) for key, state, _ in letters.states] == [("1", "unknown"), ("2", "rejected")]
