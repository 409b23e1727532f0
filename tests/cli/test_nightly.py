"""`amili-arm nightly`: exit codes, the reports it writes, and what it says, whatever ends the night."""

from __future__ import annotations

import csv
import functools
import json
import signal
import stat
import subprocess
import sys
from decimal import Decimal

import pytest

from amili_arm_async import BulkOptions
from amili_arm_async.cli import nightly
from amili_arm_async.nightly.report import read_report
from amili_arm_async.sandbox import Fault

from .conftest import WAIT, wait_until

posix = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")


def customers(*numbers, name="Kari"):
    return "".join(json.dumps({"customerNo": str(number), "name": name}) + "\n" for number in numbers)


def invoices(*owners):
    """An invoice for each of these customers, over 1.10, 2.10 and so on."""
    return "".join(
        json.dumps({"documentNo": f"D{place}", "documentType": "IN", "customerNo": str(owner), "currency": "NOK"})[:-1]
        + f', "currencyAmounts": {{"inclVat": {place}.10}}}}\n'
        for place, owner in enumerate(owners, 1)
    )


class Morning:
    """What a night left behind."""

    def __init__(self, folder, result):
        self.code = result.exit_code
        self.out, self.said = result.stdout, " ".join(result.stderr.split())
        self.paths = [folder / name for name in ("report.json", "report.html", "failures.csv")]

    @property
    def report(self):
        return read_report(self.paths[0].read_bytes())

    @property
    def rows(self):
        return list(csv.DictReader(self.paths[2].read_text("utf-8-sig").splitlines(), delimiter=";"))

    def states(self, part):
        found = next(one for one in self.report.parts if one.name == part)
        return {state: number for state, number in found.counts.items() if number}


@pytest.fixture
def night(served, call, tmp_path, monkeypatch):
    """Writes the two files, does the night and gives what it left behind."""
    monkeypatch.setattr(nightly, "BulkOptions", functools.partial(BulkOptions, poll_first=0.01))

    def run(customers=None, documents=None, *arguments, reports=True):
        given = [*arguments, *([] if {"--journal", "--config"} & set(arguments) else ["--no-journal"])]
        for name, text in (("customers", customers), ("documents", documents)):
            if text is not None:
                path = tmp_path / name
                path.write_bytes(text.encode())
                given += [f"--{name}", path]
        if reports:
            given += ["--report", tmp_path / "report.json", "--html", tmp_path / "report.html", "--failures", tmp_path / "failures.csv"]
        return Morning(tmp_path, call("nightly", *given, env=served.env))

    return run


# --- how it ends ----------------------------------------------------------------------------------------------------------


def test_all_made_it(night, served) -> None:
    morning = night(customers(1, 2, 3), invoices(1, 2, 2, 3))
    assert (morning.code, morning.out) == (0, "")
    assert (morning.states("customers"), morning.states("documents")) == ({"succeeded": 3}, {"succeeded": 4})
    report = morning.report
    assert (report.ok, report.error, report.client_no) == (True, None, 2218)
    (nok,) = report.parts[1].money.currencies
    assert (nok.currency, nok.read.total, nok.states["succeeded"].total) == ("NOK", "10.40", "10.40")
    assert morning.rows == []
    assert b"<html" in morning.paths[1].read_bytes()
    assert [stat.S_IMODE(path.stat().st_mode) for path in morning.paths] == [0o600] * 3
    assert served.ask(lambda sandbox: sandbox.documents.total_taken) == 4


def test_what_failed_and_what_is_blocked_is_named_with_its_line(night, served) -> None:
    served.ask(lambda sandbox: sandbox.reject_record("2", kind="customers"))
    served.ask(lambda sandbox: sandbox.reject_record("D3", "Kari owes", kind="documents"))
    # Blank lines count as lines of the file, and not as records.
    morning = night("\n" + customers(1, 2), "\n\n" + invoices(1, 2, 1))
    assert morning.code == 1
    rows = {(row["part"], row["index"], row["line"], row["key"], row["state"]) for row in morning.rows}
    assert rows == {
        ("customers", "1", "3", "2", "failed"),
        ("documents", "1", "4", "D2", "blocked"),
        ("documents", "2", "5", "D3", "failed"),
    }
    assert morning.states("documents") == {"succeeded": 1, "failed": 1, "blocked": 1}
    examples = {reason.state: reason.examples for reason in morning.report.parts[1].reasons}
    assert (examples["blocked"][0].line, examples["failed"][0].key) == (4, "D3")
    assert served.ask(lambda sandbox: sandbox.documents.delivered("D2")) == 0
    assert "Kari" not in "".join(path.read_text("utf-8-sig") for path in morning.paths)
    assert "Kari owes" in night(None, invoices(1, 2, 1), "--server-messages").paths[2].read_text("utf-8-sig")


def test_customers_that_are_refused_end_the_night_before_any_document(night, served) -> None:
    served.ask(lambda sandbox: sandbox.inject(Fault.status(403), path="customers", times=None))
    morning = night(customers(1, 2), invoices(1, 2))
    assert morning.code == 1
    assert "403" in morning.report.error
    assert [part.name for part in morning.report.parts] == ["customers"]
    assert morning.states("customers").keys() <= {"not_sent", "rejected"}
    assert {row["part"] for row in morning.rows} == {"customers"}
    assert served.ask(lambda sandbox: sandbox.documents.total_delivered) == 0


@pytest.mark.parametrize("name", ["customers", "documents"])
def test_a_source_that_breaks_ends_the_night(night, served, name) -> None:
    given = {"customers": customers(1), "documents": invoices(1), name: "<html><body>"}
    morning = night(given["customers"], given["documents"])
    assert morning.code == 1
    assert "HTML page" in morning.said
    assert morning.report.ok is False
    assert morning.report.error is not None
    assert served.ask(lambda sandbox: (sandbox.customers.total_taken, sandbox.documents.total_taken)) == (int(name == "documents"), 0)


def test_one_part_alone(night) -> None:
    assert [part.name for part in night(customers(1)).report.parts] == ["customers"]
    morning = night(None, invoices(1))
    assert (morning.code, [part.name for part in morning.report.parts]) == (0, ["documents"])


def test_money_that_does_not_add_up_is_no_success(night, monkeypatch) -> None:
    monkeypatch.setattr("amili_arm_async.nightly.money.MoneyObserver._adds_up", lambda *_: False)
    morning = night(customers(1), invoices(1))
    assert (morning.code, morning.report.ok) == (1, False)
    assert "DOES NOT ADD UP" in morning.said


# --- what is sent again, and what is not ----------------------------------------------------------------------------------


def test_the_same_command_goes_on_and_only_what_changed_is_sent(night, tmp_path, served) -> None:
    kept = ["--state", tmp_path / "state.sqlite", "--journal", tmp_path / "journal.sqlite", "--run-id", "monday"]
    assert night(customers(1, 2, 3), invoices(1, 2), *kept).code == 0
    morning = night(customers(1, 2) + customers(3, name="Ola"), invoices(1, 2), *kept)
    assert (morning.code, morning.report.run_id) == (0, "monday")
    sync = morning.report.parts[0].sync
    assert (sync.new, sync.changed, sync.unchanged, sync.failed, sync.gone) == (0, 1, 2, 0, 0)
    assert morning.states("documents") == {"done_before": 2}
    assert morning.report.parts[1].money.currencies[0].states["done_before"].total == "3.20"
    assert served.ask(lambda sandbox: (sandbox.customers.total_taken, sandbox.documents.total_taken)) == (4, 2)


def test_who_is_gone_is_not_known_where_a_record_has_no_number(night, tmp_path) -> None:
    kept = ["--state", tmp_path / "state.sqlite", "--journal", tmp_path / "journal.sqlite", "--run-id", "monday"]
    night(customers(1, 2, 3), None, *kept)
    assert night(customers(1, 2) + '{"customerNo"\n', None, *kept).report.parts[0].sync.gone is None
    assert "no longer in the source" not in (tmp_path / "report.html").read_text()
    assert night(customers(1, 2), None, *kept).report.parts[0].sync.gone == 1
    assert "no longer in the source" in (tmp_path / "report.html").read_text()
    assert night(customers(1, 2, 3), None, *kept[:2], "--full").states("customers") == {"succeeded": 3}


def test_without_a_state_the_journal_knows_the_customers(night, tmp_path, served) -> None:
    kept = ["--journal", tmp_path / "journal.sqlite", "--run-id", "monday"]
    night(customers(1, 2), invoices(1), *kept)
    assert night(customers(1, 2), invoices(1), *kept).states("customers") == {"done_before": 2}
    assert served.ask(lambda sandbox: sandbox.customers.total_taken) == 2


def test_dead_letters_of_both(night, tmp_path, served) -> None:
    served.ask(lambda sandbox: sandbox.reject_record("2"))
    served.ask(lambda sandbox: sandbox.reject_record("D1", kind="documents"))
    letters = [tmp_path / "customers.dead", tmp_path / "documents.dead"]
    night(customers(1, 2), invoices(1, 1), "--dead-letter-customers", letters[0], "--dead-letter-documents", letters[1])
    payloads = [[json.loads(line).get("payload") for line in path.read_text().splitlines()] for path in letters]
    assert [payload["customerNo"] for payload in payloads[0] if payload] == ["2"]
    assert [payload["documentNo"] for payload in payloads[1] if payload] == ["D1"]


def test_blocked_documents_are_in_the_dead_letter_with_all_that_was_to_be_sent(night, tmp_path, served) -> None:
    served.ask(lambda sandbox: sandbox.reject_record("2", kind="customers"))
    letter = tmp_path / "documents.dead"
    kept = ["--journal", tmp_path / "journal.sqlite", "--run-id", "monday", "--dead-letter-documents", letter]
    for _ in range(2):
        night(customers(1, 2), invoices(1, 2, 2), *kept)
        found = [json.loads(line) for line in letter.read_text().splitlines()]
        assert [(line["index"], line["key"], line["state"], line["payload"]["customerNo"]) for line in found] == [
            (1, "D2", "blocked", "2"),
            (2, "D3", "blocked", "2"),
        ]
    assert night(customers(1, 2), invoices(1, 2, 2)).states("documents") == {"succeeded": 1, "blocked": 2}
    served.ask(lambda sandbox: sandbox._ledger().rejects.clear())
    assert night(customers(1, 2), invoices(1, 2, 2), *kept).states("documents") == {"succeeded": 2, "done_before": 1}
    assert letter.read_text() == ""


def test_a_replay_leaves_blocked_documents_to_the_night(night, tmp_path, call, served) -> None:
    served.ask(lambda sandbox: sandbox.reject_record("2", kind="customers"))
    one, two = tmp_path / "customers.failed.jsonl", tmp_path / "documents.failed.jsonl"
    kept = ["--journal", tmp_path / "journal.sqlite", "--run-id", "monday", "--dead-letter-customers", one, "--dead-letter-documents", two]
    morning = night(customers(1, 2), invoices(1, 2), *kept)
    assert {command.does for command in morning.report.commands} == {"run again", "replay"}
    assert not [command for command in morning.report.commands if "documents.failed" in command.command and command.does == "replay"]
    assert call("replay", one, env=served.env).exit_code == 1
    replayed = call("replay", two, env=served.env)
    assert replayed.exit_code == 1
    assert "run the night again" in replayed.stderr
    assert served.ask(lambda sandbox: sandbox.documents.taken("D2")) == 0
    served.ask(lambda sandbox: sandbox._ledger().rejects.clear())
    assert night(customers(1, 2), invoices(1, 2), *kept).states("documents") == {"succeeded": 1, "done_before": 1}


def test_after_a_replay_the_journal_still_has_what_was_blocked(night, tmp_path, call, served) -> None:
    served.ask(lambda sandbox: [sandbox.reject_record("2", kind="customers"), sandbox.reject_record("D1")])
    letter = tmp_path / "documents.failed.jsonl"
    kept = ["--journal", tmp_path / "journal.sqlite", "--run-id", "monday", "--dead-letter-documents", letter]
    night(customers(1, 2), invoices(1, 2), *kept)
    served.ask(lambda sandbox: sandbox._ledger().rejects.clear())
    assert call("replay", letter, env=served.env).exit_code == 1
    status = json.loads(call("status", tmp_path / "journal.sqlite", "--json", env=served.env).stdout)
    (documents,) = (run["counts"] for run in status["runs"] if run["operation"].startswith("documents"))
    assert {state: number for state, number in documents.items() if number} == {"succeeded": 1, "blocked": 1}


def test_without_a_journal_blocked_documents_are_replayed(night, tmp_path, call, served) -> None:
    served.ask(lambda sandbox: sandbox.reject_record("2", kind="customers"))
    one, two = tmp_path / "customers.failed.jsonl", tmp_path / "documents.failed.jsonl"
    night(customers(1, 2), invoices(1, 2), "--no-journal", "--dead-letter-customers", one, "--dead-letter-documents", two)
    served.ask(lambda sandbox: sandbox._ledger().rejects.clear())
    assert call("replay", one, env=served.env).exit_code == 0
    assert call("replay", two, env=served.env).exit_code == 0
    assert served.ask(lambda sandbox: sandbox.documents.taken("D2")) == 1


def test_a_document_that_was_sent_is_not_called_blocked_when_its_customer_fails_later(night, tmp_path, served) -> None:
    kept = ["--journal", tmp_path / "journal.sqlite", "--run-id", "monday", "--state", tmp_path / "state.sqlite"]
    letter = ["--dead-letter-documents", tmp_path / "documents.dead"]
    assert night(customers(1, 2), invoices(1, 2), *kept, *letter).code == 0
    served.ask(lambda sandbox: sandbox.reject_record("2", kind="customers"))
    morning = night(customers(1) + customers(2, name="Ola"), invoices(1, 2, 2), *kept, *letter)
    assert morning.states("documents") == {"done_before": 2, "blocked": 1}
    (nok,) = morning.report.parts[1].money.currencies
    assert (nok.states["done_before"].total, nok.states["blocked"].total) == ("3.20", "3.10")
    assert [json.loads(line)["key"] for line in letter[1].read_text().splitlines()] == ["D3"]


# --- broken rows ----------------------------------------------------------------------------------------------------------

ROWS = "customerNo;name;dueDays\r\n1;A;14\r\n2;B;soon\r\n3;C;30\r\n4\r\n"


@pytest.mark.parametrize("with_state", [True, False])
def test_a_broken_row_of_customers_is_named_with_its_line_and_its_documents_wait(night, tmp_path, served, with_state) -> None:
    kept = ["--state", tmp_path / "state.sqlite"] if with_state else []
    for turn in range(2):
        morning = night(ROWS, invoices(1, 2, 3), *kept)
        assert morning.code == 1
        before = {"unchanged": 2} if with_state and turn else {"succeeded": 2}
        assert morning.states("customers") == {**before, "invalid": 2}
        assert morning.states("documents") == {"succeeded": 2, "blocked": 1}
        found = {(row["part"], row["line"], row["key"], row["reason"]) for row in morning.rows}
        assert found >= {("customers", "3", "2", "number"), ("documents", "2", "D2", "customer_failed")}
        assert {row["line"] for row in morning.rows if row["part"] == "customers"} == {"3", "5"}
    assert served.ask(lambda sandbox: sandbox.customers.delivered("2")) == 0
    # Fixed, it is new: nothing was kept of the broken one.
    fixed = night(ROWS.replace("soon", "7"), None, *kept)
    assert fixed.states("customers")["invalid"] == 1
    if with_state:
        assert fixed.report.parts[0].sync.new == 1


def test_a_broken_row_of_documents_is_counted_without_a_total(night) -> None:
    rows = "documentNo;documentType;customerNo;currency;currencyAmounts.inclVat\n1;IN;1;NOK;10,05\n2;IN;1;NOK;dear\n3;IN;1;NOK;0,95\n4\n"
    morning = night(customers(1), rows)
    assert morning.code == 1
    assert morning.states("documents") == {"succeeded": 2, "invalid": 2}
    money = morning.report.parts[1].money
    assert (money.adds_up, money.without_total) == (True, 2)
    by_currency = {one.currency: one for one in money.currencies}
    assert sum(one.states["invalid"].count for one in money.currencies if "invalid" in one.states) == 2
    assert (by_currency["NOK"].read.total, by_currency["NOK"].states["succeeded"].total) == ("11.00", "11.00")
    assert {(row["line"], row["key"]) for row in morning.rows} == {("3", "2"), ("5", "")}


def test_broken_lines_of_json_and_documents_without_money(night) -> None:
    broken = invoices(1) + 'no JSON\n{"documentNo": "D9", "documentType": "IN", "customerNo": "1"}\n'
    morning = night(customers(1) + "[]\n", broken)
    assert morning.states("customers") == {"succeeded": 1, "invalid": 1}
    assert morning.states("documents") == {"succeeded": 2, "invalid": 1}
    money = morning.report.parts[1].money
    assert (money.adds_up, money.without_total, money.without_currency) == (True, 2, 2)


# --- what it says ---------------------------------------------------------------------------------------------------------


def test_json_alone_is_on_standard_output(night, served) -> None:
    served.ask(lambda sandbox: sandbox.reject_record("2", kind="customers"))
    morning = night(customers(1, 2), invoices(1, 2), "--json", "--quiet", reports=False)
    assert (morning.code, morning.out.count("\n")) == (1, 1)
    assert "customers, line 2, key 2: failed" in morning.said
    told = json.loads(morning.out)
    read_report(morning.out.encode())
    assert told["ok"] is False
    assert [(part["name"], part["failures_file"]) for part in told["parts"]] == [("customers", None), ("documents", None)]
    assert not any(path.exists() for path in morning.paths)


def test_tables_for_people(night) -> None:
    morning = night(customers(1), invoices(1), reports=False)
    assert (morning.code, morning.out) == (0, "")
    for words in ("customers", "documents", "NOK: read", "1.10"):
        assert words in morning.said


def test_a_report_that_can_not_be_written_any_more_costs_only_itself(night, tmp_path, monkeypatch) -> None:
    reports = tmp_path / "reports"
    reports.mkdir()
    whole = nightly.NightlyJob.run

    async def removed(self):
        await whole(self)
        reports.rmdir()

    monkeypatch.setattr(nightly.NightlyJob, "run", removed)
    morning = night(customers(1), invoices(1), "--report", reports / "report.json", "--html", tmp_path / "page", reports=False)
    assert morning.code == 1
    assert "can't be written: No such file or directory" in morning.said
    assert (tmp_path / "page").exists()


# --- settings and wrong use -----------------------------------------------------------------------------------------------


def test_settings_from_a_file(night, tmp_path, served) -> None:
    (tmp_path / "c").write_text(customers(1, 2))
    (tmp_path / "d").write_text(invoices(1, 2, 2))
    config = tmp_path / "amili-arm.toml"
    names = {"customers": "c", "documents": "d", "state": "s", "journal": "j", "report": "report.json", "failures": "failures.csv"}
    config.write_text(
        "[nightly]\n" + "".join(f'{name} = "{tmp_path / file}"\n' for name, file in names.items()) + "[bulk]\nmax_records = 1\n"
    )
    morning = night(None, None, "--config", config, "--run-id", "monday", reports=False)
    assert morning.code == 0, morning.said
    assert [part.batches for part in morning.report.parts] == [2, 3]
    assert (tmp_path / "s").exists()
    assert (tmp_path / "j").exists()
    # What is on the command line wins.
    morning = night(customers(1), None, "--config", config, "--run-id", "monday", "--max-records", 5, reports=False)
    assert morning.report.parts[0].sync.gone == 1


WRONG = {
    "nothing to send": ([], "give --customers, --documents or both"),
    "a run id without a journal": (["--documents", "d", "--run-id", "x"], "give --journal too"),
    "both from standard input": (["--customers", "-", "--documents", "-"], "standard input can't be both"),
    "full without a state": (["--customers", "c", "--full"], "full"),
    "no such file": (["--customers", "none"], "none"),
    "a share that is none": (["--customers", "c", "--stop-after-failures", "many"], "--stop-after-failures"),
}


@pytest.mark.parametrize("how", WRONG)
def test_wrong_use_sends_nothing(how, night, tmp_path, served, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c").write_text(customers(1))
    (tmp_path / "d").write_text(invoices(1))
    arguments, words = WRONG[how]
    morning = night(None, None, *arguments, "--report", "report.json", reports=False)
    assert morning.code == 2
    assert words in morning.said
    assert not morning.paths[0].exists()
    assert served.ask(lambda sandbox: sum(sandbox.requests.values())) == 0


# --- signals --------------------------------------------------------------------------------------------------------------


@pytest.mark.proof
@posix
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("part", ["customers", "documents"])
def test_a_signal_in_the_middle_leaves_a_report(start, served, tmp_path, number, code, part) -> None:
    """The part under way is read from a pipe that says nothing more."""
    given = {"customers": tmp_path / "customers", "documents": tmp_path / "documents", part: "-"}
    (tmp_path / "customers").write_text(customers(1, 2))
    (tmp_path / "documents").write_text(invoices(1, 2))
    named = [word for name, path in given.items() for word in (f"--{name}", path)]
    reports = ["--report", tmp_path / "report.json", "--failures", tmp_path / "failures.csv", "--journal", tmp_path / "journal.sqlite"]
    options = [*reports, "--run-id", "x", "--json", "--grace", 10]
    process = start("nightly", *named, *options, env=served.env, stdin=subprocess.PIPE)
    process.stdin.write((customers(*range(5000)) if part == "customers" else invoices(*[1] * 5000)).encode())
    process.stdin.flush()
    wait_until(served, lambda sandbox: getattr(sandbox, part).total_taken >= 2)
    process.send_signal(number)
    assert process.wait(WAIT) == code
    out, err = process.stdout.read(), process.stderr.read()
    assert b"Traceback" not in err
    assert b"interrupted" in err
    assert out.count(b"\n") == 1
    report = read_report((tmp_path / "report.json").read_bytes())
    assert (report.ok, json.loads(out)["ok"]) == (False, False)
    assert (report.error, report.interrupted) == ("it was interrupted: the same run id goes on where it stopped", True)
    assert b"The run was interrupted: nothing has to be fixed for that." in err
    assert report.ended is not None
    assert [one.name for one in report.parts] == (["customers"] if part == "customers" else ["customers", "documents"])
    last = report.parts[-1]
    assert sum(last.counts.values()) == last.read
    assert (tmp_path / "failures.csv").exists()
    if part == "documents":
        assert last.money.adds_up
        taken = served.ask(lambda sandbox: sandbox.documents.total_taken)
        assert sum(last.counts[state] for state in ("succeeded", "accepted", "unknown")) == taken
        sums = [Decimal(one.total) for one in last.money.currencies[0].states.values()]
        assert sum(sums) == Decimal(last.money.currencies[0].read.total)


# --- checked first ------------------------------------------------------------------------------------------------------------


def test_a_night_with_errors_is_not_begun(night, served) -> None:
    morning = night(customers(1) + '{"customerNo": 7}\n', invoices(1, 9), "--check-first", reports=False)
    assert morning.code == 1
    assert "nothing was sent" in morning.said
    assert "line 2, key 7: error wrong_type: $.customerNo" in morning.said
    assert "line 2, key D2: error unknown_customer" in morning.said
    assert served.ask(lambda sandbox: sandbox.customers.total_delivered + sandbox.documents.total_delivered) == 0
    told = json.loads(night(customers(), invoices(9), "--check-first", "--json", reports=False).out)
    assert (told["ok"], [check["errors"] for check in told["checks"]]) == (False, [0, 1])


def test_a_night_that_is_clean_is_sent_and_a_customer_of_the_state_is_known(night, tmp_path) -> None:
    state = ("--state", tmp_path / "state.sqlite")
    assert night(customers(1, 2), invoices(1, 2), "--check-first", *state).code == 0
    assert night(customers(1), invoices(2), "--check-first", *state).code == 0


def test_standard_input_can_not_be_checked_first(night, served) -> None:
    morning = night(customers(1), None, "--documents", "-", "--check-first", reports=False)
    assert (morning.code, morning.out) == (2, "")
    assert "needs a file" in morning.said
