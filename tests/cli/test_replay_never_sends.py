"""What could not be read or encoded, and what was refused here, is never sent by a replay; fixed in its source, the run sends it."""

from __future__ import annotations

import json

import pytest

from amili_arm_async.sandbox import Fault

from .test_replay import Letters, customer, document

HEADER = "documentNo;documentType;customerNo;currency;currencyAmounts.inclVat;documentDate\n"


@pytest.fixture
def letters(served, call, tmp_path):
    return Letters(served, call, tmp_path / "failed.jsonl")


def push_file(letters, text, name="invoices.csv", run_id="one", kind="documents", more=()):
    source = letters.path.with_name(name)
    source.write_text(text)
    kept = ["--journal", letters.journal, "--run-id", run_id]
    return letters._call("push", kind, source, "--dead-letter", letters.path, *kept, "--json", *more, env=letters.served.env)


def test_rows_that_can_t_be_read_are_not_sent_and_mended_they_are(letters):
    bad = HEADER + "1;IN;1;NOK;1.234;2026-11-20\n2;IN;1;NOK;twelve;2026-11-20\n3;IN;1;NOK;7;20.11.26\n4;IN;1;NOK;8;2026-11-20\n"
    assert push_file(letters, bad).exit_code == 1
    before = letters.path.read_bytes()
    lines = letters.lines
    broken = [line["key"] for line in lines]
    assert broken
    assert {line["state"] for line in lines} == {"invalid"}
    assert all(line["payload"] is None and line["as_read"] and line["message"] for line in lines)

    assert letters.replay() == 1
    left = {"invalid": len(lines)}
    assert letters.told == {"lines": len(lines), "succeeded": 0, "left": left, "gone": 0, "broken": 0, "refused": 0, "ok": False}
    assert letters.path.read_bytes() == before, "each line stays as it was"
    assert f"line 1, key {broken[0]}: invalid" in letters.stderr
    assert "fix the source and run it again with the same --run-id" in letters.stderr
    assert letters.delivered(*broken) == [0] * len(broken)

    good = HEADER + "".join(f"{number};IN;1;NOK;{number}.50;2026-11-20\n" for number in range(1, 4)) + "4;IN;1;NOK;8;2026-11-20\n"
    result = push_file(letters, good)
    assert result.exit_code == 0
    counts = json.loads(result.stdout)["counts"]
    assert (counts["succeeded"], counts["done_before"], counts["invalid"]) == (len(broken), 4 - len(broken), 0)
    assert letters.taken("1", "2", "3", "4") == [1, 1, 1, 1]
    assert letters.path.read_bytes() == b""


def test_lines_of_an_older_form_with_the_cells_as_their_payload(letters):
    """Their payload looks like a record, and the reason tells that it is none."""
    assert push_file(letters, HEADER + "1;IN;1;NOK;twelve;2026-11-20\n").exit_code == 1

    def older(line):
        line["payload"] = line.pop("as_read")

    letters.edit(older)
    assert isinstance(letters.lines[0]["payload"], dict)
    assert letters.replay() == 1
    assert letters.delivered("1") == [0]
    letters.edit(lambda line: line.update(journal=None))
    assert letters.replay() == 1
    assert letters.delivered("1") == [0]
    assert "fix the source and send the record from there" in letters.stderr


def test_a_conflict_is_not_sent_when_the_journal_is_gone(letters):
    letters.push(document(1), run_id="one")
    letters.push(document(1, currency="SEK"), document(2), document(2), run_id="one")
    assert sorted(letters.states) == [("1", "invalid", "conflicts_with_journal"), ("2", "invalid", "document_no_repeated")]
    for path in letters.path.parent.glob("nightly*"):
        path.unlink()
    assert letters.replay() == 1
    assert letters.delivered("1", "2") == [1, 1]
    assert "; it was refused before anything was sent, and is never sent by replay" in letters.stderr


def test_a_line_that_broke_off_is_not_sent(letters):
    source = '{"documentNo": "1", "customerNo": "1", "documentType": "IN", "currencyAmounts": {"inclVat": NaN}}\n{"documentNo": "2",\n'
    assert push_file(letters, source, "invoices.jsonl").exit_code == 1
    assert [line["payload"] for line in letters.lines] == [None, None]
    assert letters.replay() == 1
    assert letters.told["left"] == {"invalid": 2}


def test_what_is_too_large_is_whole_and_may_be_sent(letters):
    letters.push(document(1, customerMessage="x" * 3000), run_id="one", more=["--max-bytes", 2000])
    assert letters.states == [("1", "invalid", "too_large")]
    assert letters.replay() == 0
    assert letters.taken("1") == [1]


@pytest.mark.parametrize("kind", ["documents", "customers"])
@pytest.mark.parametrize(
    ("field", "words"),
    [("currencyAmounts.inclVat", "currencyAmounts.inclVat"), ("lenguage", "language"), ("belop", "belop")],
)
def test_names_that_are_no_field_are_not_sent_from_a_file_edited_by_hand(letters, kind, field, words):
    letters.fail(Fault.status(400), path="/batches", times=1)
    letters.push(document(1) if kind == "documents" else customer(1), kind=kind, run_id="one", more=["--bisect", "off"])
    assert [line["state"] for line in letters.lines] == ["rejected"]
    letters.edit(lambda line: line["payload"].update({field: "1.234,50"}))
    before = letters.path.read_bytes()
    assert letters.replay() == 1
    assert letters.path.read_bytes() == before
    assert f"$.{field}" in letters.stderr
    assert words in letters.stderr
    assert letters.replay("--extra-fields") == 0
    assert letters.path.read_bytes() == b""


def test_results_of_unnumbered_documents_do_not_go_by_the_order_of_the_lines(letters):
    letters.served.ask(lambda sandbox: sandbox.hold_processing())
    records = [document(None, currency=currency) for currency in ("NOK", "SEK", "DKK")]
    letters.served.ask(lambda sandbox: sandbox.reject_record(records[0], "no"))
    letters.push(*records, more=["--deadline", 0.01])
    letters.path.write_bytes(b"".join(letters.path.read_bytes().splitlines(keepends=True)[::-1]))
    letters.served.ask(lambda sandbox: sandbox.release_processing())
    assert letters.replay() == 1
    kept = {line["payload"]["currency"] for line in letters.lines}
    assert "NOK" in kept, "the one that failed is still there"
    assert {line["state"] for line in letters.lines} == {"accepted"}


def test_the_journal_still_has_what_a_replay_does_not_send(letters, call):
    letters.fail(Fault.status(400))
    letters.push(document(1), document(2, currencyAmounts={"inclVat": "NaNaN"}), run_id="one")
    assert letters.replay() == 1
    assert letters.states == [("2", "invalid", "wrong_type")]
    status = json.loads(call("status", letters.journal, "--json", env=letters.served.env).stdout)
    assert {state: number for state, number in status["runs"][0]["counts"].items() if number} == {"succeeded": 1, "invalid": 1}
    assert call("prune", letters.journal, "--older-than-days", 0, env=letters.served.env).exit_code == 0
    assert letters.push(document(1), document(2), run_id="one").exit_code == 0
    assert letters.taken("1", "2") == [1, 1]
