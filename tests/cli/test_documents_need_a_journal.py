"""Documents are sent with a journal or with `--no-journal`; what `prune`, `status`, `push` and `replay` say of a run that was pruned."""

from __future__ import annotations

import json

import pytest

NUMBERS = ("1", "2", "3")


def lines(*records):
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


@pytest.fixture
def document():
    return lambda number: {"documentType": "IN", "customerNo": "1", "documentNo": number}


@pytest.fixture
def file(tmp_path, document):
    path = tmp_path / "documents.jsonl"
    path.write_bytes(lines(*map(document, NUMBERS)))
    return path


@pytest.fixture
def served_(served):
    served.ask(lambda sandbox: sandbox.customers.seed([{"customerNo": "1", "name": "Kari"}]))
    return served


@pytest.fixture
def journal(tmp_path):
    return tmp_path / "nightly.sqlite"


def taken(served):
    return [served.ask(lambda sandbox, number=number: sandbox.documents.taken(number)) for number in NUMBERS]


@pytest.fixture(params=["push", "nightly"])
def begin(request, call, served_, file):
    """Sends the documents by one of the two commands."""
    given = ["push", "documents", file] if request.param == "push" else ["nightly", "--documents", file]
    return lambda *more: call(*given, *more, env=served_.env)


def test_without_a_journal_nothing_is_sent_unless_that_is_meant(begin, served_):
    result = begin()
    assert result.exit_code == 2
    for words in ("--journal", "--no-journal", "second time"):
        assert words in result.stderr
    assert taken(served_) == [0, 0, 0]
    assert begin("--no-journal").exit_code == 0
    assert taken(served_) == [1, 1, 1]


def test_a_journal_without_a_run_id_is_refused_before_anything_is_sent(call, served_, file, journal, tmp_path):
    customers = tmp_path / "customers.jsonl"
    customers.write_bytes(lines({"customerNo": "77", "name": "Ola"}))
    for given in (["push", "documents", file], ["nightly", "--customers", customers, "--documents", file]):
        result = call(*given, "--journal", journal, env=served_.env)
        assert result.exit_code == 2
        assert "--run-id" in result.stderr
    assert served_.ask(lambda sandbox: "77" in sandbox.customers) is False
    assert not journal.exists()
    assert taken(served_) == [0, 0, 0]


def test_both_is_refused(begin, served_, journal):
    result = begin("--journal", journal, "--run-id", "one", "--no-journal")
    assert result.exit_code == 2
    assert "--no-journal" in result.stderr
    assert taken(served_) == [0, 0, 0]


def test_a_journal_in_the_settings_file_counts(call, served_, file, journal, tmp_path):
    config = tmp_path / "amili-arm.toml"
    config.write_text(f'[nightly]\njournal = "{journal}"\n')
    given = ["nightly", "--documents", file, "--config", config, "--run-id", "one"]
    assert call(*given, "--no-journal", env=served_.env).exit_code == 2
    assert call(*given, env=served_.env).exit_code == 0
    assert taken(served_) == [1, 1, 1]


def test_customers_need_none(call, served_, tmp_path):
    path = tmp_path / "customers.jsonl"
    path.write_bytes(lines({"customerNo": "1", "name": "Kari"}))
    assert call("push", "customers", path, env=served_.env).exit_code == 0
    assert call("nightly", "--customers", path, env=served_.env).exit_code == 0


def test_another_run_id_sends_nothing_again_unless_that_is_asked_for(begin, call, served_, journal, tmp_path):
    assert begin("--journal", journal, "--run-id", "monday").exit_code == 0
    result = begin("--journal", journal, "--run-id", "tuesday")
    assert result.exit_code == 1
    assert taken(served_) == [1, 1, 1]
    assert begin("--journal", journal, "--run-id", "wednesday", "--resend-known").exit_code == 0
    assert taken(served_) == [2, 2, 2]
    config = tmp_path / "amili-arm.toml"
    config.write_text("[bulk]\nresend_known = true\n")
    assert begin("--journal", journal, "--run-id", "thursday", "--config", config, "--no-resend-known").exit_code == 1
    assert begin("--journal", journal, "--run-id", "friday", "--config", config).exit_code == 0
    assert taken(served_) == [3, 3, 3]


def test_the_run_is_named_and_replay_does_not_send_it(call, served_, file, journal, tmp_path):
    letters = tmp_path / "failed.jsonl"
    kept = ["push", "documents", file, "--journal", journal, "--run-id"]
    call(*kept, "monday", env=served_.env)
    result = call(*kept, "tuesday", "--dead-letter", letters, env=served_.env)
    assert "invalid (sent_in_run)" in result.stderr
    assert "the run 'monday' of this journal" in result.stderr
    before = letters.read_bytes()
    # Not even where nothing is known of the numbers any more.
    call("prune", journal, "--older-than-days", 0, "--keep-numbers", 0, "--run-id", "monday")
    assert call("replay", letters, env=served_.env).exit_code == 1
    assert letters.read_bytes() == before
    assert taken(served_) == [1, 1, 1]


def test_replay_does_not_send_a_number_twice_that_came_twice(call, served_, file, document, tmp_path):
    letters = tmp_path / "failed.jsonl"
    file.write_bytes(lines(*map(document, (*NUMBERS, "2"))))
    assert call("push", "documents", file, "--no-journal", "--dead-letter", letters, env=served_.env).exit_code == 1
    (line,) = [json.loads(text) for text in letters.read_bytes().splitlines()]
    assert (line["key"], line["reason"]) == ("2", "document_no_repeated")
    assert call("replay", letters, env=served_.env).exit_code == 1
    assert taken(served_) == [1, 1, 1]


# --- pruned -----------------------------------------------------------------------------------------------------------------


def test_prune_says_what_it_keeps_and_why(call, served_, file, journal, document):
    kept = ["push", "documents", file, "--journal", journal, "--run-id"]
    call(*kept, "whole", env=served_.env)
    call(*kept, "known", env=served_.env)
    result = call("prune", journal)
    assert result.stdout == "0 runs removed\n"
    assert result.stderr.count("--older-than-days") == 2
    result = call("prune", journal, "--older-than-days", 0)
    assert result.stdout == "1 run removed\n"
    assert "kept known: create documents" in result.stderr
    assert "(3 invalid): it has failed records: --with-failures removes it" in result.stderr
    assert call("prune", journal, "--run-id", "whole", "--older-than-days", 0).stderr == (
        "amili-arm: the run 'whole' was pruned before: only its name is left\n"
    )
    assert "has no run 'monday'" in call("prune", journal, "--run-id", "monday").stderr
    assert call("prune", journal, "--older-than-days", 0, "--with-failures").stdout == "1 run removed\n"


def test_prune_keeps_the_customers_of_a_night_with_its_documents(call, served_, journal, document, tmp_path):
    people, file = tmp_path / "customers.jsonl", tmp_path / "documents.jsonl"
    people.write_bytes(lines({"customerNo": "1", "name": "Kari"}))
    bare = [{**document("2"), "currencyAmounts": {"inclVat": amount}} for amount in (1, 2)]
    for record in bare:
        del record["documentNo"]
    file.write_bytes(lines(document("1"), *bare))
    night = ["nightly", "--customers", people, "--documents", file, "--journal", journal, "--run-id", "n"]
    served_.ask(lambda sandbox: sandbox.reject_record("1", kind="documents"))
    assert call(*night, env=served_.env).exit_code == 1
    result = call("prune", journal, "--older-than-days", 0)
    assert result.stdout == "0 runs removed\n"
    assert "kept n: create customers" in result.stderr
    assert "(1 succeeded): another run of its name is kept" in " ".join(result.stderr.split())
    served_.ask(lambda sandbox: sandbox._ledger().rejects.clear())
    taken = served_.ask(lambda sandbox: sandbox.documents.total_taken)
    assert call(*night, env=served_.env).exit_code == 0
    assert served_.ask(lambda sandbox: sandbox.documents.total_taken) == taken + 1
    assert call("prune", journal, "--older-than-days", 0).stdout == "2 runs removed\n"


def test_a_run_that_was_pruned(call, served_, file, journal):
    kept = ["push", "documents", file, "--journal", journal, "--run-id"]
    call(*kept, "one", env=served_.env)
    assert call("prune", journal, "--older-than-days", 0).exit_code == 0
    result = call(*kept, "one", env=served_.env)
    assert result.exit_code == 1
    for words in ("'one'", "was pruned on 20", "only new records with another --run-id", "a second time"):
        assert words in result.stderr
    assert "was pruned on" in call("reconcile", journal, "--run-id", "one", env=served_.env).stderr
    shown = call("status", journal)
    assert shown.stdout.startswith("pruned 20")
    assert "one: create documents, client 2218" in shown.stdout
    told = json.loads(call("status", journal, "--json").stdout)
    assert (told["runs"], [run["run_id"] for run in told["pruned"]]) == ([], ["one"])
    assert call(*kept, "two", env=served_.env).exit_code == 1
    assert taken(served_) == [1, 1, 1]
